"""Who said what: the facts of a case with their provenance, and where organisations differ (pure).

Order decides what leads, and only what was said decides the order: notifications before reports,
each by when its first (a report: its last) version came. So a second notifier or a later report
never changes what leads, and the first notifier's own correction does. Nothing is overwritten:
every statement stays in the case with its organisation and message, and what differs is listed.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas.death_fields import catalogue
from schemas.deaths import CaseFact, Fact, FactKind, TrackingNumber
from streams.cases.facts import Facts
from streams.cases.model import Family

# Text that names something is compared, text that tells something is not: no two people tell the
# circumstances in the same words
_NAMES: Final = frozenset({"child.family", "child.given"})
_CODES_OF_PLACE: Final = frozenset({"child.postcode", "child.alternative-postcode"})
_COMPARED_TYPES: Final = frozenset(
    {"code", "date", "partial-date", "time", "boolean", "integer", "decimal"}
)
# About the message or its sender, or about what has been done by then: not about the child
_NOT_COMPARED: Final = (
    *("child.local-id", "referral.", "referrer.", "report.agency", "report.completed-on"),
    *("social-care.source-authority", "death.certificate-issued", "death.follow-up"),
    *("death.designated-doctor-confirmed", "death.post-mortem-required"),
    *("death.coroner-informed", "death.registrar-informed", "death.police-informed"),
)
# What may be one thing on one day and another later; all else is one thing for ever
_CHANGES: Final = (
    *("child.address", "child.postcode", "child.residence-", "child.alternative-"),
    *("child.homeless", "child.looked-after", "child.protection-register", "child.known-to-"),
    *("social-care.", "report."),
)

MAX_TRACKING: Final = 200
MAX_TRACKING_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class Source:
    """A message whose facts count."""

    organisation: str
    event_id: uuid.UUID
    stated_at: datetime
    form: str
    facts: tuple[Fact, ...]


def sources(family: Family) -> tuple[Source, ...]:
    """The messages of a case whose facts count, the leading one first: live notifications, oldest
    first, then reports.
    """
    told = [
        Source(
            one.notified.organisation,
            one.notified.event_id,
            one.notified.received_at,
            one.notified.form,
            one.notified.facts,
        )
        for one in family.live
    ]
    reports = sorted(
        family.reports, key=lambda one: (one.report.received_at, one.source, one.reference)
    )
    told.extend(
        Source(
            one.report.organisation,
            one.report.event_id,
            one.report.received_at,
            one.report.form,
            one.report.facts,
        )
        for one in reports
    )
    return tuple(told)


def stated(said: Iterable[Source]) -> tuple[CaseFact, ...]:
    """Every fact with its provenance, what leads first. Rows keep the numbers of their form: those
    of different messages are different rows, also under the same number.
    """
    return tuple(
        CaseFact(fact, one.organisation, one.event_id, one.stated_at, one.form)
        for one in said
        for fact in one.facts
    )


def combined(said: Iterable[Source]) -> Facts:
    """What decisions look at: the first fact of a name counts, an opinion after every fact. Rows
    are numbered anew, so that those of different messages stay apart.
    """
    counted: list[Fact] = []
    used: dict[str, int] = defaultdict(int)
    for one in said:
        above = dict(used)
        for fact in one.facts:
            if not fact.row:
                counted.append(fact)
                continue
            group = fact.name.partition(".")[0]
            row = above.get(group, 0) + fact.row
            used[group] = max(used[group], row)
            counted.append(replace(fact, row=row))
    return Facts(tuple(sorted(counted, key=lambda one: one.kind is FactKind.OPINION)))


def rows(facts: Sequence[CaseFact], group: str) -> list[tuple[CaseFact, dict[str, str]]]:
    """The rows of a repeating group over all messages, each with one of its facts (for provenance)
    and its fields (without the group's name).
    """
    start = f"{group}."
    found: dict[tuple[uuid.UUID, int], tuple[CaseFact, dict[str, str]]] = {}
    for one in facts:
        fact = one.fact
        if fact.row and fact.value and fact.name.startswith(start):
            _, row = found.setdefault((one.event_id, fact.row), (one, {}))
            row.setdefault(fact.name.removeprefix(start), fact.value)
    return list(found.values())


def conflicts(facts: Iterable[CaseFact]) -> tuple[str, ...]:
    """Names of the fields about which messages differ, sorted.

    Values are compared in their normal form; a partial date agrees with every date in it, one
    given name with two that begin with it. Opinions never conflict, rows of repeating groups are
    lists and not compared, and free text is not. What changes with time conflicts only if it is
    not stated as of different days.
    """
    by_name: dict[str, dict[tuple[str, str | None], set[uuid.UUID]]] = defaultdict(
        lambda: defaultdict(set)
    )
    for one in facts:
        fact = one.fact
        if fact.value and not fact.row and fact.kind is FactKind.FACT and _compared(fact.name):
            key = (normal(fact.name, fact.value), fact.as_at if _changes(fact.name) else None)
            by_name[fact.name][key].add(one.event_id)
    return tuple(sorted(name for name, values in by_name.items() if _differ(name, list(values))))


def _differ(name: str, values: Sequence[tuple[str, str | None]]) -> bool:
    for (one, at), (other, later) in itertools.combinations(values, 2):
        if at is not None and later is not None and at != later:
            continue
        if not _agree(name, one, other):
            return True
    return False


def _agree(name: str, one: str, other: str) -> bool:
    if one == other:
        return True
    field = catalogue().get(name)
    if field is not None and field.type == "partial-date":
        return one.startswith(f"{other}-") or other.startswith(f"{one}-")
    if name == "child.given":
        return one.startswith(f"{other} ") or other.startswith(f"{one} ")
    return False


def normal(name: str, value: str) -> str:
    """The form in which values of a field are compared."""
    text = " ".join(value.split()).casefold()
    field = catalogue().get(name)
    if name in _CODES_OF_PLACE:
        return text.replace(" ", "")
    if name in _NAMES:
        return " ".join(re.sub(r"[\W_]+", " ", text.replace("'", "").replace("’", "")).split())
    if field is None:
        return text
    if field.type == "time":
        return text[:5]
    if field.type in ("integer", "decimal"):
        try:
            return f"{float(text):g}"
        except ValueError:
            return text
    return text


def _compared(name: str) -> bool:
    field = catalogue().get(name)
    if field is None or field.group is not None or field.opinion or name.startswith(_NOT_COMPARED):
        return False
    return field.type in _COMPARED_TYPES or name in _NAMES or name in _CODES_OF_PLACE


def _changes(name: str) -> bool:
    return name.startswith(_CHANGES)


def without_places(facts: Iterable[CaseFact]) -> tuple[CaseFact, ...]:
    """The facts of a restricted child: without address and place, and without what this version's
    catalogue does not know, which might be one.
    """
    known = catalogue()
    return tuple(
        one
        for one in facts
        if (field := known.get(one.fact.name)) is not None and not field.location
    )


def tracking(facts: Sequence[CaseFact]) -> tuple[TrackingNumber, ...]:
    """What other systems call the case; whoever told it first is named. A text that is too long to
    be a number stays among the facts alone, and there are `MAX_TRACKING` at most.
    """
    found: dict[tuple[str, str], TrackingNumber] = {}
    for one, row in rows(facts, "tracking"):
        system = row.get("system", "")
        if "value" in row and len(row["value"]) + len(system) <= MAX_TRACKING_TEXT:
            found.setdefault(
                (system, row["value"]), TrackingNumber(system, row["value"], one.organisation)
            )
    return tuple(itertools.islice(found.values(), MAX_TRACKING))
