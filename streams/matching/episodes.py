"""Episodes: arrivals of one source patient, each within 24 h of the one before (rule 13), and a
birth during the mother's stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.events import Moment
from stores.visits import Visit

GAP = timedelta(hours=24)
STAY_HEARD_OF = timedelta(days=30)
"""How long after the last event of her stay a mother counts as there when her child is born: many
visits are never discharged, or years later.
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A live visit and when the person arrived."""

    visit: Visit
    at: Moment


@dataclass(frozen=True, slots=True)
class Episode:
    """At least one arrival, in time order."""

    source_patient: str
    arrivals: tuple[Arrival, ...]

    @property
    def leading(self) -> Arrival:
        """The latest arrival that the alert describes: of the person, before a baby's birth."""
        own = [arrival for arrival in self.arrivals if not arrival.visit.birth]
        return (own or self.arrivals)[-1]

    @property
    def birth(self) -> bool:
        """A birth to this person was reported."""
        return any(arrival.visit.birth for arrival in self.arrivals)

    @property
    def visits(self) -> tuple[Visit, ...]:
        return tuple(arrival.visit for arrival in self.arrivals)

    @property
    def received_at(self) -> datetime:
        """When the hub first heard of it."""
        return min(visit.received_at for visit in self.visits)


def group(visits: Iterable[Visit]) -> list[Episode]:
    """Episodes of the live visits among `visits`, by first arrival."""
    by_patient: dict[str, list[Arrival]] = defaultdict(list)
    for visit in visits:
        if visit.live and visit.arrived is not None:
            by_patient[visit.source_patient].append(Arrival(visit, visit.arrived))
    episodes: list[Episode] = []
    for patient, arrivals in by_patient.items():
        arrivals.sort(key=_time)
        chain = [arrivals[0]]
        for arrival in arrivals[1:]:
            if arrival.at.utc - chain[-1].at.utc > GAP and not _born_during(arrival, chain):
                episodes.append(Episode(patient, tuple(chain)))
                chain = []
            chain.append(arrival)
        episodes.append(Episode(patient, tuple(chain)))
    return sorted(episodes, key=lambda one: (_time(one.arrivals[0]), one.source_patient))


def _born_during(arrival: Arrival, chain: Iterable[Arrival]) -> bool:
    """Whether it is a birth while the mother was there: a long stay is one attendance of hers."""
    return arrival.visit.birth and any(
        _there(one, arrival.at.utc) for one in chain if not one.visit.birth
    )


def _there(one: Arrival, at: datetime) -> bool:
    visit = one.visit
    if at - max(visit.heard_until or one.at.utc, one.at.utc) > STAY_HEARD_OF:
        return False
    return visit.state == "present" or (visit.departed is not None and visit.departed.utc >= at)


def _time(arrival: Arrival) -> tuple[datetime, str]:
    return arrival.at.utc, str(arrival.visit.visit_id)
