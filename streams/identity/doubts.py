"""What a worklist entry shows of PDS's answer, and when PDS is asked again. Pure (ADR 0045).

A record that was not proven may be another child's: of it an entry shows field by field whether it
agrees with what was sent, and nothing that stands in it. Of a restricted record not even that there
is one: it is shown as a record that agrees in nothing but what was asked for is.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.pds.comparison import Agreement, Comparison
from connectors.pds.outcomes import Found, NotFound, NotSearchable, Superseded, TooMany
from schemas.events import NhsNumberStatus
from streams.identity.answers import Judgement, TraceAnswer
from streams.identity.evidence import Evidence, under_six_weeks

NOT_CONFIRMED: Final = "pds.not_confirmed"
"""Shown for the rule where no candidate can be shown."""
FIELDS: Final = ("number", "birth_date", "family", "given", "gender")
"""What is told of a comparison: never a postcode, which is where somebody lives."""

_IDENTIFYING: Final = ("number", "birth_date", "family", "given")
_AGREED: Final = (Agreement.AGREES, Agreement.PARTLY, Agreement.SUPERSEDED)
_CONTRADICTS: Final = (Agreement.DIFFERS, Agreement.NEARLY, Agreement.SWAPPED)
_NOBODY: Final = ("pds.not_found", "pds.search_no_match", "pds.too_many_matches", "key-unresolved")
_MAY_CHANGE: Final = (*_NOBODY, "pds.bug")
GROUPS: Final = ("nobody", "conflict", "invalidated", "not-asked", "too-little", "other")
"""Why entries are there, for counting: a bounded few of the many rules."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Of an answer that verified nobody. `rule` None: the claim's own is shown."""

    candidates: tuple[dict[str, Any], ...] = ()
    rule: str | None = None


def shown(answer: TraceAnswer, one: Judgement) -> Shown:
    """What the entry of a claim shows of the answer of which `one` was judged.

    A record is a candidate if at least two of number, birth date, family and given name agree;
    others, and restricted ones, are alike: no candidate can be shown.
    """
    outcome, fields = answer.outcome, one.comparison
    if fields is None or not isinstance(outcome, Found | Superseded):
        return Shown()
    agreeing = sum(getattr(fields, name) in _AGREED for name in _IDENTIFYING)
    if outcome.record.restricted or agreeing < 2:
        return Shown(rule=NOT_CONFIRMED)
    found_by = "number" if answer.query is None else "search"
    return Shown(({"rule": one.rule, "found_by": found_by, "fields": told(fields)},))


def group_of(rule: str) -> str:
    """The one of `GROUPS` that a rule belongs to."""
    if rule in _NOBODY or rule == "number-not-found":
        return "nobody"
    if rule.startswith(("pds.get.", "pds.search.")) or rule == "number-superseded-differs":
        return "conflict"
    if rule in ("pds.invalidated", "number-invalidated"):
        return "invalidated"
    if rule.startswith("pds.bug"):
        return "not-asked"
    little = rule.endswith("without-evidence") or rule.startswith("pds.not_searchable")
    return "too-little" if little else "other"


def told(fields: Comparison) -> dict[str, str]:
    """A comparison field by field, as entries and decisions keep it."""
    return {name: str(getattr(fields, name)) for name in FIELDS}


def contradicted(fields: Comparison) -> frozenset[str]:
    """The fields in which claim and record say different things."""
    return frozenset(name for name in FIELDS if getattr(fields, name) in _CONTRADICTS)


def borne_out(fields: Comparison) -> bool:
    """Whether what was sent says at all that it is the record's person: number or whole birth date,
    and one more of number, birth date, family and given name. Else a person could make a record of
    nobody anybody's, and so learn who has a number.
    """
    sure = [one in _SAME for one in (fields.number, fields.birth_date)]
    names = [one in _AGREED for one in (fields.family, fields.given)]
    return any(sure) and sum(sure) + sum(names) > 1


_SAME: Final = (Agreement.AGREES, Agreement.SUPERSEDED)


def next_try(
    rule: str,
    tries: int,
    now: datetime,
    delays: Sequence[timedelta],
    *,
    of: uuid.UUID | None = None,
) -> datetime | None:
    """When PDS is asked again about an entry of `rule` that was tried so often; None: never, by
    itself. A conflict stays one until somebody says something else. `delays` are counted from the
    opening, so that each try waits for the difference; and up to a tenth longer, by the event
    (`of`): what came in one file is not asked at one moment.
    """
    if tries >= len(delays) or not rule.startswith(_MAY_CHANGE):
        return None
    before = delays[tries - 1] if tries else timedelta()
    waits = max(delays[tries] - before, timedelta(minutes=1))
    spread = 0 if of is None else of.int % 1000
    return now + waits * (1 + spread / 10_000)


def postponed(answer: TraceAnswer, evidence: Evidence, at: datetime) -> NhsNumberStatus | None:
    """S08 for a baby under six weeks without a number of whom PDS has no one match: it may have
    none yet. None where the answer's own status stands.
    """
    nobody = isinstance(answer.outcome, NotFound | TooMany | NotSearchable)
    if not nobody or evidence.number_token is not None:
        return None
    young = under_six_weeks(evidence.claim.birth_date, at.date())
    return NhsNumberStatus.POSTPONED if young else None
