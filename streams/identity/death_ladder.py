"""The identity ladder for messages about a death: a table of rules, tried in order, as
`streams.identity.ladder` for attendances.

Pure. A death never waits for its number (ADR 0025): what is decided here is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from schemas.deaths import DeathMessageKind, DeathNotified
from stores.claims import ClaimState
from streams.identity.evidence import Death, Evidence, Standing, perhaps_child
from streams.identity.ladder import DEATH, Decision

VOIDED: Final = "death-voided"
_PARTIAL: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?(?:-([0-9]{2}))?", re.ASCII)


class Need(Enum):
    """What a message wants of the ladder."""

    NUMBER = auto()  # a person must find the number if PDS cannot tell it
    TRACE = auto()  # PDS is asked, and nobody else
    NOTHING = auto()  # told of whom it is if that is known; PDS is not asked
    REQUEST = auto()  # as NUMBER; without evidence it is of the child whom we asked about
    NOBODY = auto()  # an adult of whom a hospital tells: leaves nothing


@dataclass(frozen=True, slots=True)
class DeathFacts:
    """All that the ladder looks at.

    `by_number`: the known person with the message's number; `recent`: PDS verified them lately
    enough. `of_key`: whom the same notification is of, unless the message contradicts.
    `parked`: one of its messages waits for a trace.
    """

    evidence: Evidence
    need: Need
    by_number: Standing | None = None
    recent: bool = False
    of_key: Standing | None = None
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the ladder. `says` gives None where the rule does not apply."""

    name: str
    outcome: str
    when: str
    says: Callable[[DeathFacts], Decision | None]


def decide(facts: DeathFacts) -> Decision:
    """The first rule that speaks; the last always does."""
    for rule in RULES:
        decision = rule.says(facts)
        if decision is not None:
            return decision
    return Decision(ClaimState.UNRESOLVED, RULES[-1].name)


def is_void(event: Death) -> bool:
    """Whether it takes a notification back."""
    return isinstance(event, DeathNotified) and event.kind is DeathMessageKind.VOIDED


def need_of(event: Death, *, adult_age: int) -> Need:
    """What a message wants of the ladder. Whether an indicated death may be a child's is judged by
    the birth date that was sent, on the day of death.
    """
    if not isinstance(event, DeathNotified):
        return Need.NUMBER if event.request_id is None else Need.REQUEST
    if is_void(event):
        return Need.NOTHING
    if event.kind is not DeathMessageKind.INDICATED:
        return Need.NUMBER
    child = perhaps_child(event.claim.birth_date, _died(event), adult_age=adult_age)
    return Need.TRACE if child else Need.NOBODY


def _died(event: DeathNotified) -> datetime:
    """The day of death, its earliest reading; no later than receipt, which also stands in."""
    found = _PARTIAL.fullmatch(event.died_at or "")
    if found is None:
        return event.received_at
    try:
        day = datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=UTC)
    except ValueError:  # the thirteenth month
        return event.received_at
    return min(day, event.received_at)


def _nobody(facts: DeathFacts) -> Decision | None:
    if facts.need is not Need.NOBODY:
        return None
    return Decision(ClaimState.NOT_USED, "death-of-adult")


def _local_index(facts: DeathFacts) -> Decision | None:
    found = facts.by_number
    if found is None or not facts.recent or not found.full:
        return None
    return Decision(ClaimState.VERIFIED, "local-index", found.person, basis="local-index")


def _same_notification(facts: DeathFacts) -> Decision | None:
    known = facts.of_key
    if known is None:
        return None
    return Decision(ClaimState.VERIFIED, "same-notification", known.person, basis="same-key")


def _voided(facts: DeathFacts) -> Decision | None:
    if facts.need is not Need.NOTHING:
        return None
    return Decision(ClaimState.NOT_TRACED, VOIDED)


def _number(facts: DeathFacts) -> Decision | None:
    if facts.evidence.number_token is None:
        return None
    return Decision(ClaimState.WAITING, "death-number", priority=DEATH)


def _search(facts: DeathFacts) -> Decision | None:
    if not facts.evidence.searchable:
        return None
    return Decision(ClaimState.WAITING, "death-search", priority=DEATH)


def _behind(facts: DeathFacts) -> Decision | None:
    return Decision(ClaimState.WAITING, "behind-trace") if facts.parked else None


def _answers_request(facts: DeathFacts) -> Decision | None:
    if facts.need is not Need.REQUEST:
        return None
    return Decision(ClaimState.NOT_TRACED, "report-of-request")


def _indicated_unknown(facts: DeathFacts) -> Decision | None:
    if facts.need is not Need.TRACE:
        return None
    return Decision(ClaimState.NOT_TRACED, "indicated-without-evidence")


def _unknown(facts: DeathFacts) -> Decision | None:
    return Decision(ClaimState.UNRESOLVED, "death-without-evidence")


RULES: Final = (
    Rule(
        "death-of-adult",
        "not used, and nothing is said",
        "a hospital or PDS indicates a death, and the birth date is an adult's",
        _nobody,
    ),
    Rule(
        "local-index",
        "verified",
        "number, names and birth date agree with a person whom PDS verified lately, "
        "the given name whole",
        _local_index,
    ),
    Rule(
        "same-notification",
        "verified",
        "a version of the same notification, or of the same report, is verified (the highest up to "
        "this one, else the last taken); nothing contradicts",
        _same_notification,
    ),
    Rule(VOIDED, "not traced", "a void: its notification counts, not its number", _voided),
    Rule("death-number", "waits, trace priority 2", "a usable number", _number),
    Rule(
        "death-search",
        "waits, search priority 2",
        "no usable number; family name and birth date",
        _search,
    ),
    Rule("behind-trace", "waits", "another message of the key waits for a trace", _behind),
    Rule(
        "report-of-request",
        "not traced",
        "a report that names a request of the hub, and nobody",
        _answers_request,
    ),
    Rule(
        "indicated-without-evidence",
        "not traced",
        "an indicated death that says too little to ask PDS",
        _indicated_unknown,
    ),
    Rule(
        "death-without-evidence",
        "unresolved",
        "a notification or report that says too little to ask PDS",
        _unknown,
    ),
)
