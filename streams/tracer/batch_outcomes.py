"""What an answer of PDS means for a line of a batch, or for a trace of one person. Pure.

A number is told of a line that was verified, and of no other: of a potential match only that there
is one. Which field is wrong, by itself or by the name of a rule, is told only where the asker has
shown to know the person, and never of a restricted record that was not verified: else every answer
would be worth a guess. What is not told is not stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.pds.comparison import Agreement, Comparison, Verdict
from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    InvalidNumber,
    NotFound,
    NotSearchable,
    Superseded,
    TooMany,
)
from halyard.nhs_number import NhsNumberOutcome
from halyard.privacy import Keys
from stores.trace_work import AskedLine, LineAnswer
from streams.identity.answers import Judgement, PdsAnswer, TraceAnswer
from streams.identity.evidence import Evidence

VERIFIED: Final = "verified"
SUPERSEDED: Final = "superseded"
RESTRICTED: Final = "restricted"
POTENTIAL: Final = "potential"
CONFLICT: Final = "conflict"
NO_MATCH: Final = "no-match"
TOO_MANY: Final = "too-many"
INVALIDATED: Final = "invalidated"
NOT_SEARCHABLE: Final = "not-searchable"
NOT_ASKED: Final = "not-asked"
SEVERAL_PEOPLE: Final = "several-people"

ON_SEVERAL: Final = "trace.number_on_several"
DIFFER: Final = "trace.details_differ"
PARTLY: Final = "trace.details_partly"
"""Rules of lines whose details are not compared, or of which no finer one is told."""

OUTCOMES: Final = {
    VERIFIED: "the number that is told is the person's, by the details that were sent",
    SUPERSEDED: "verified; the number that was sent was merged into the one that is told",
    RESTRICTED: "verified; the record is restricted: no address is told, and none may be sought",
    POTENTIAL: "somebody agrees in part: check the details with the family and send them again",
    CONFLICT: "number and details are not one person's",
    NO_MATCH: "PDS knows nobody by this number, or with these details",
    TOO_MANY: "more than one person has these details; send more of them",
    INVALIDATED: "the number was taken out of use and stands for nobody; nothing was looked for",
    NOT_SEARCHABLE: "too little to ask with, or a placeholder for a name",
    NOT_ASKED: "PDS gave no readable answer; send the line again later",
    SEVERAL_PEOPLE: "one number came with more than two different details in 24 hours: nothing was "
    "compared; find out whose it is, and send it with theirs alone a day later",
}
"""Every outcome of a line that was asked about."""

UNUSABLE: Final = "unusable"
_LEFT_OUT: Final = (
    "what was sent as the number cannot be an NHS number: the other details alone were looked for"
)


def text_of(outcome: str | None, number_rule: str | None) -> str | None:
    """An outcome in words. `number_rule`: why what was sent as a number is none, which `verified`
    alone would not say.
    """
    text = OUTCOMES.get(outcome or "")
    return f"{text}; {_LEFT_OUT}" if text and number_rule else text


UNTRACED: Final = frozenset({NO_MATCH, TOO_MANY, POTENTIAL, CONFLICT, NOT_ASKED})
"""Outcomes of lines that another route may still find: their details are kept for a trace file."""

_ENDS: Final[dict[type[PdsAnswer], str]] = {
    Invalidated: INVALIDATED,
    InvalidNumber: NO_MATCH,
    NotFound: NO_MATCH,
    TooMany: TOO_MANY,
    NotSearchable: NOT_SEARCHABLE,
    Bug: NOT_ASKED,
}

_WORDS: Final = {
    Agreement.AGREES: "agrees",
    Agreement.PARTLY: "partly",
    Agreement.SUPERSEDED: "superseded",
    Agreement.SWAPPED: "swapped",
    Agreement.PLACEHOLDER: "placeholder",
    Agreement.ABSENT: "not-compared",
    Agreement.NEARLY: "differs",
    Agreement.DIFFERS: "differs",
}
_AGREED: Final = (Agreement.AGREES, Agreement.PARTLY)


@dataclass(frozen=True, slots=True)
class Reading:
    """Of a batch: a person's is told field by field, a file's lines keep what may be sent on."""

    keys: Keys
    person: bool


def answer_line(
    line: AskedLine, said: TraceAnswer, one: Judgement, evidence: Evidence, reading: Reading
) -> LineAnswer:
    """The end of a line. `one` is what `said` means for its `evidence`."""
    outcome = _outcome(said, one)
    record = one.record
    fields = _fields(one, evidence, said) if reading.person else None
    if record is None:
        keep = outcome in UNTRACED and not reading.person and not line.of_file
        return LineAnswer(line.line, outcome, _rule(said, one), fields=fields, keep=keep)
    return LineAnswer(
        line.line,
        outcome,
        one.rule,
        nhs_number=record.nhs_number,
        person=reading.keys.person(record.nhs_number),
        restricted=record.restricted,
        fields=fields,
    )


def _outcome(said: TraceAnswer, one: Judgement) -> str:
    if not isinstance(said.outcome, Found | Superseded):
        return _ENDS[type(said.outcome)]
    if one.record is not None:
        if one.record.restricted:
            return RESTRICTED
        return SUPERSEDED if one.superseded else VERIFIED
    # a restricted record's potential match is told like anybody's
    potential = one.comparison is not None and one.comparison.verdict is Verdict.POTENTIAL
    return POTENTIAL if potential else CONFLICT


def _rule(said: TraceAnswer, one: Judgement) -> str:
    """Why a line was not verified. The names of finer rules say which field is wrong."""
    on = one.comparison
    if on is None or not isinstance(said.outcome, Found | Superseded):
        return one.rule
    if _knows(on) and not said.outcome.record.restricted:
        return one.rule
    return PARTLY if on.verdict is Verdict.POTENTIAL else DIFFER


def _fields(one: Judgement, evidence: Evidence, said: TraceAnswer) -> dict[str, str] | None:
    on = one.comparison
    if on is None or not isinstance(said.outcome, Found | Superseded):
        return None
    verified = one.record is not None
    if not verified and (said.outcome.record.restricted or not _knows(on)):
        return None
    claim = evidence.claim
    # no postcode: who has all else right could try one after the other until it agrees
    sent = {
        "nhs_number": (claim.nhs_number, on.number),
        "family": (claim.family, on.family),
        "given": (claim.given, on.given),
        "birth_date": (claim.birth_date, on.birth_date),
        "gender": (claim.gender, on.gender),
    }
    told = {name: _WORDS[how] for name, (value, how) in sent.items() if value}
    if evidence.number not in (NhsNumberOutcome.USABLE, NhsNumberOutcome.ABSENT):
        told["nhs_number"] = UNUSABLE
    return told


def _knows(on: Comparison) -> bool:
    """Whether two of birth date, family and given name are right."""
    return sum(how in _AGREED for how in (on.birth_date, on.family, on.given)) > 1
