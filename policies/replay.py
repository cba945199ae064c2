"""What recorded disclosures would have been under other policies. Pure; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from policies.decision import RELEASED, decide
from policies.model import Policies
from policies.ruling import Decision, Disclosure, Flow, Ruling
from stores.sectors import Sector

OTHERS_SAID: Final = frozenset(
    {
        "refused-by-person",  # from review
        "number-withheld",  # a letter that cannot leave without the number in it
        "tells-more",  # a held letter that was composed when more was permitted
        "correction",  # takes back what was told: no policy holds it up
        "restricted-since",  # the person was restricted before it was sent
        "opted-out",
        "no-verified-number",
        "other-policy",
        "not-asked",
    }
)
"""Rules that no policy gave: it would have been the same under any."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A question that was asked `amount` times on a day, and its answer."""

    disclosure: Disclosure
    decision: Decision
    rule: str
    policy: str
    version: int
    fields: frozenset[str]
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Difference:
    """What would have differed, `amount` times: a field more, a field less, another decision."""

    recorded: Recorded
    ruling: Ruling
    more: frozenset[str]
    less: frozenset[str]
    amount: int


@dataclass(slots=True)
class Replay:
    """The whole of a replay."""

    asked: int = 0
    same: int = 0
    unreadable: int = 0  # entries that do not say what was asked
    differences: list[Difference] = field(default_factory=list)


def replay(
    policies: Policies, rows: Iterable[Mapping[str, Any]], *, at: datetime | None = None
) -> Replay:
    """Ask `policies` what was asked before (`stores.releases.recorded`); `at`: as if it were asked
    then, else on the day on which it was.
    """
    done = Replay()
    found: dict[tuple[Any, ...], Difference] = {}
    for row in rows:
        amount = int(row["amount"])
        done.asked += amount
        recorded = read(row, at=at)
        if recorded is None:
            done.unreadable += amount
            continue
        if recorded.rule in OTHERS_SAID:
            done.same += amount
            continue
        released = recorded.rule == RELEASED
        ruling = decide(policies, recorded.disclosure, released=released)
        more, less = ruling.fields - recorded.fields, recorded.fields - ruling.fields
        if ruling.decision is recorded.decision and not more and not less:
            done.same += amount
            continue
        asked = recorded.disclosure
        key = (asked.flow, asked.recipient, recorded.decision, ruling, more, less, recorded.version)
        before = found.get(key)
        count = amount + (before.amount if before is not None else 0)
        found[key] = Difference(recorded, ruling, more, less, count)
    done.differences = sorted(
        found.values(), key=lambda one: (one.recorded.disclosure.flow, -one.amount)
    )
    return done


def read(row: Mapping[str, Any], *, at: datetime | None = None) -> Recorded | None:
    """What an entry says was asked; None if it does not say enough."""
    try:
        fields = frozenset(row["fields"] or ())
        return Recorded(
            disclosure=Disclosure(
                flow=Flow(row["flow"]),
                recipient=row["recipient"],
                sector=Sector(row["sector"]),
                purpose=row["purpose"] or None,
                at=at or row["day"],
                fields=fields | _listed(row["withheld"]),
                restricted=row["restricted"] == "yes",
                roles=_listed(row["roles"]),
            ),
            decision=Decision(row["decision"]),
            rule=row["rule"],
            policy=row["policy"] or "none",
            version=int(row["policy_version"] or 0),
            fields=fields,
            amount=int(row["amount"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _listed(text: str | None) -> frozenset[str]:
    return frozenset(filter(None, (text or "").split(",")))
