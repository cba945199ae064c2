"""A visit folds its events, whatever their order of arrival (correctness rule 12).

Two orders, never by offset:

- *existence* (is there an arrival, was it cancelled, has the person left, whom is it about) by
  (recorded, message time, sequence, rank of the kind, event id);
- *values* (department, reason, …) by (occurred, then the same).

A time that the sender left out falls back: recorded → message → received; message → received;
occurred → recorded → message → received. A missing sequence comes first.

Two sites may count their visits alike, and twins may share one: whom the local ids of one visit
number name as different people, they are, and nobody takes the visit from another (ADR 0051).
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.events import AttendanceVerified, IdentityStatus, Moment, VisitDetail, VisitEventKind
from stores.visits import Visit, VisitEvent

LATE = timedelta(hours=24)
"""An arrival older than this when it is received alerts as late."""

SILENCE = timedelta(days=30)
"""A visit of which nothing was heard for longer is not taken for a stay that went on."""

Order = tuple[datetime, datetime, int, int, uuid.UUID]

# Within one minute and one message time: what opens a visit, what fills it, what ends it
_RANK = {
    VisitEventKind.PRE_ADMIT: 0,
    VisitEventKind.REGISTER: 0,
    VisitEventKind.BIRTH: 0,
    VisitEventKind.ADMIT: 1,
    VisitEventKind.UPDATE: 2,
    VisitEventKind.UNKNOWN: 2,
    VisitEventKind.NOT_USED: 2,
    VisitEventKind.DEMOGRAPHICS: 2,
    VisitEventKind.MERGE: 2,
    VisitEventKind.LEAVE: 3,
    VisitEventKind.RETURN: 4,
    VisitEventKind.DISCHARGE: 5,
    VisitEventKind.CANCEL_DISCHARGE: 6,
    VisitEventKind.CANCEL: 7,
}
_OPENING = frozenset({VisitEventKind.REGISTER, VisitEventKind.ADMIT, VisitEventKind.BIRTH})
_LEAVING = frozenset({VisitEventKind.CANCEL, VisitEventKind.DISCHARGE, VisitEventKind.LEAVE})
_TEXTS = ("department", "site_ods", "admission_method", "mode_of_arrival", "reason", "acuity")
OF_NO_VISIT = frozenset({VisitEventKind.DEMOGRAPHICS, VisitEventKind.MERGE})
"""About a person, not about a visit: they name nobody here."""


def highest_revisions(events: Iterable[VisitEvent]) -> list[VisitEvent]:
    """One entry for each reported event: its highest revision."""
    best: dict[uuid.UUID, VisitEvent] = {}
    for one in events:
        held = best.get(one.reported_event_id)
        if held is None or _revision(one) > _revision(held):
            best[one.reported_event_id] = one
    return list(best.values())


def folds(events: Iterable[VisitEvent]) -> list[Visit]:
    """The visits that `events` (at least one, all under one visit number) make: one for each person
    whom its local ids name, in a stable order; their source patients are different ones.

    A local id names whom `fold` would name of its events alone; several that name one person are
    one visit, if they are as sure of it: a provisional one adds nothing to a verified visit, and is
    one of its own where that is over. Who has no arrival of their own comes by that of another
    local id, as where a hospital corrects whose visit it is; how it ends there is no word of
    theirs. What came under a local id that names nobody any more counts for nobody else but so.
    """
    ordered = sorted(highest_revisions(events), key=existence)
    by_patient: dict[str, list[VisitEvent]] = defaultdict(list)
    for one in ordered:
        by_patient[one.source_patient].append(one)
    verified: dict[str, set[str]] = defaultdict(set)
    provisional: dict[str, set[str]] = defaultdict(set)
    for patient, own in by_patient.items():
        person, unsure, _, _ = _named(own)
        if person is not None:
            (provisional if unsure else verified)[person].add(patient)
    unnamed = by_patient.keys() - set().union(*verified.values(), *provisional.values())
    if len(unnamed) == len(by_patient):
        return [_fold(ordered, ordered, ordered)]
    found = [_of_patients(ordered, patients, unnamed) for patients in verified.values()]
    there = {visit.person for visit in found if visit.live}
    for person, patients in provisional.items():
        theirs = (one for one in ordered if one.source_patient in patients)
        if person not in verified or (person not in there and any(map(_tells_of_arrival, theirs))):
            found.append(_of_patients(ordered, patients, unnamed))
    # whom another local id has there is told of under that
    there = {visit.person for visit in found if visit.live}
    return sorted(
        (
            replace(one, also=None, also_restricted=False) if one.also in there else one
            for one in found
        ),
        key=lambda one: one.source_patient,
    )


def _of_patients(
    ordered: Sequence[VisitEvent], patients: AbstractSet[str], unnamed: AbstractSet[str]
) -> Visit:
    """The visit of whom `patients` name; `unnamed` ones name nobody."""
    own = [one for one in ordered if one.source_patient in patients]
    if any(_tells_of_arrival(one) for one in own):
        return _fold(own, own, own)
    lent = [
        one for one in ordered if one.source_patient in patients or one.event.kind not in _LEAVING
    ]
    # what another person is there for, and how ill, is theirs
    stating = [one for one in lent if one.source_patient in patients | unnamed]
    return _fold(own, lent, stating)


def fold(events: Iterable[VisitEvent]) -> Visit:
    """The visit that `events` (at least one, all of one visit) make, if it is of one person.

    A retracted event says nothing of who the visit is about, but what happened still happened:
    its arrival, its cancellation and its values count.
    """
    ordered = sorted(highest_revisions(events), key=existence)
    return _fold(ordered, ordered, ordered)


def _fold(
    naming: Sequence[VisitEvent], ordered: Sequence[VisitEvent], stating: Sequence[VisitEvent]
) -> Visit:
    """`naming` says who the visit is about, `ordered` what happened, `stating` its values."""
    exists = _exist(ordered)
    arrivals = exists.arrivals
    person, provisional, restricted, also = _named(naming)
    detail = _values(stating)
    live = bool(arrivals)
    if live:
        state = "departed" if exists.left is not None else "present"
    else:
        state = "cancelled" if exists.cancelled else "none"
    last = naming[-1]
    # what was taken back is not said anew when a hospital merges patients
    named = [one for one in naming if not one.retracted] or naming
    return Visit(
        visit_id=last.visit_id,
        source_patient=named[-1].source_patient,
        person=person,
        hospital=last.event.organisation,
        live=live,
        state=state,
        arrived=min((_occurred(one) for one in arrivals), key=lambda at: at.utc, default=None),
        received_at=min(one.received_at for one in (arrivals or ordered)),
        late=live and all(one.received_at - _occurred(one).utc > LATE for one in arrivals),
        fresh=live and any(_fresh(one) for one in arrivals),
        provisional=provisional,
        restricted=restricted,
        department=detail.department,
        site_ods=detail.site_ods,
        admission_method=detail.admission_method,
        mode_of_arrival=detail.mode_of_arrival,
        reason=detail.reason,
        acuity=detail.acuity,
        departed=_departed(exists.left, detail) if live else None,
        discharge_destination=detail.discharge_destination if exists.discharged else None,
        birth=any(one.event.kind is VisitEventKind.BIRTH for one in arrivals),
        location_shielded=detail.location_shielded,
        heard_until=_heard_until(ordered),
        also=also,
        also_restricted=any(
            one.event.identity.restricted
            for one in naming
            if not one.retracted and one.person == also
        ),
    )


@dataclass(frozen=True, slots=True)
class _Existence:
    """The arrivals not cancelled; whether the last word is a cancel; by which event the person
    left, None if they are there; whether for good.
    """

    arrivals: list[VisitEvent]
    cancelled: bool
    left: VisitEvent | None
    discharged: bool


def _tells_of_arrival(one: VisitEvent) -> bool:
    return one.event.arrival or one.event.kind is VisitEventKind.BIRTH


def _exist(ordered: Sequence[VisitEvent]) -> _Existence:
    arrivals: list[VisitEvent] = []
    cancelled = False
    discharge: VisitEvent | None = None
    leave: VisitEvent | None = None
    for one in ordered:
        event = one.event
        # a later message of a newborn tells of a birth that nothing has told, and revives none
        told = event.kind is VisitEventKind.BIRTH and not cancelled and not arrivals
        if event.arrival or told:
            if cancelled:  # recorded after the cancel: it revives, as a visit begun anew
                cancelled = False
            arrivals.append(one)
        if event.kind is VisitEventKind.CANCEL:
            arrivals, cancelled, discharge, leave = [], True, None, None
        elif event.kind is VisitEventKind.DISCHARGE:
            discharge = one
        elif event.kind is VisitEventKind.LEAVE:
            leave = one
        elif event.kind is VisitEventKind.CANCEL_DISCHARGE:
            discharge = None
        elif event.kind is VisitEventKind.RETURN or event.kind in _OPENING:
            discharge = leave = None
    return _Existence(arrivals, cancelled, discharge or leave, discharge is not None)


def _heard_until(ordered: Sequence[VisitEvent]) -> datetime:
    """When the last event was recorded before the first long silence: a discharge that somebody
    tidies up a year later is no word of a stay. A time after receipt is a wrong clock.
    """
    times = sorted(min(existence(one)[0], one.received_at) for one in ordered)
    heard = times[0]
    for at in times[1:]:
        if at - heard > SILENCE:
            break
        heard = at
    return heard


def _departed(left: VisitEvent | None, detail: VisitDetail) -> Moment | None:
    """When the person left: as stated for a discharge, else when the event occurred."""
    if left is None:
        return None
    if left.event.kind is VisitEventKind.DISCHARGE:
        return left.event.detail.discharged_at or detail.discharged_at or _occurred(left)
    return _occurred(left)


def _named(
    ordered: Sequence[VisitEvent],
) -> tuple[str | None, bool, bool, str | None]:
    """(person, whether only provisionally, whether restricted, whom the fold names besides).

    The latest verified assertion names the person, without one the latest of all. What is not
    verified never displaces what is: a later provisional assertion names its person besides, until
    the trace answers.
    """
    asserted = [one for one in ordered if not one.retracted]
    if not asserted:
        return None, True, any(one.event.identity.restricted for one in ordered), None
    verified = [one for one in asserted if one.event.identity.status is IdentityStatus.VERIFIED]
    person = (verified or asserted)[-1].person
    also = asserted[-1].person if asserted[-1].person != person else None
    same = [one.event.identity for one in asserted if one.person == person]
    return person, not verified, any(identity.restricted for identity in same), also


def _values(ordered: Sequence[VisitEvent]) -> VisitDetail:
    """Each value as last stated; an event without it leaves it. A cancel states nothing. A place
    once hidden stays hidden.
    """
    stating = [one for one in ordered if one.event.kind is not VisitEventKind.CANCEL]
    values: dict[str, Any] = {}
    for one in sorted(stating, key=lambda one: (_occurred(one).utc, *existence(one))):
        for name in (*_TEXTS, "discharged_at", "discharge_destination"):
            value = getattr(one.event.detail, name)
            if value is not None:
                values[name] = value
    shielded = any(one.event.detail.location_shielded for one in ordered)
    return VisitDetail(**values, location_shielded=shielded)


def existence(one: VisitEvent) -> Order:
    """Where `one` stands in the order of what was recorded."""
    event = one.event
    message = _message(event)
    return (
        event.recorded_at.utc if event.recorded_at else message,
        message,
        -1 if event.sequence is None else event.sequence,
        _RANK[event.kind],
        one.reported_event_id,
    )


def _fresh(one: VisitEvent) -> bool:
    """Whether it reached us within 24 h of being recorded, whatever time it says it occurred."""
    return one.received_at - existence(one)[0] <= LATE


def _message(event: AttendanceVerified) -> datetime:
    return event.message_at.utc if event.message_at else event.received_at


def _occurred(one: VisitEvent) -> Moment:
    event = one.event
    stated = event.occurred_at or event.recorded_at or event.message_at
    return stated or Moment(event.received_at)


def _revision(one: VisitEvent) -> tuple[int, uuid.UUID]:
    return one.revision, one.event.event_id
