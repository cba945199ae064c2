"""What an answer of PDS means for one claim: verified or not, by which rule. Pure.

The same answer is judged for each claim that asked the question, because two claims may have the
same number and different names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from connectors.pds.comparison import (
    DEFAULT_THRESHOLDS,
    Comparison,
    Thresholds,
    Verdict,
    compare,
    compare_search,
)
from connectors.pds.outcomes import (
    Bug,
    Found,
    GetOutcome,
    Invalidated,
    InvalidNumber,
    NotFound,
    NotSearchable,
    PdsRecord,
    RateLimited,
    Superseded,
    TokenRefused,
    TooMany,
    Unavailable,
)
from connectors.pds.search import Searched, manner_of
from halyard.nhs_number import NhsNumberOutcome
from halyard.privacy import Keys
from schemas.events import FlagRecord, NhsNumberStatus
from stores.directory import Authority
from stores.identities import KnownPerson
from stores.uploads import Answer
from streams.identity.evidence import Evidence, demographic_token, known_person

PdsAnswer = (
    Found | Superseded | Invalidated | NotFound | TooMany | InvalidNumber | NotSearchable | Bug
)
"""Outcomes that are an end; the rest is asked again, as a `Bug` is until the tracer gives up."""


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """An answer and how it was come by. `query`: the search that decided, None for a GET."""

    outcome: PdsAnswer
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`record` is there only if the claim is verified to be this person's.

    `potential`: whom PDS named without proof or contradiction; never a restricted record.
    `comparison`: field by field, where PDS named a record at all.
    """

    rule: str
    indicator: NhsNumberStatus
    basis: str = ""
    record: PdsRecord | None = None
    superseded: bool = False
    potential: PdsRecord | None = None
    comparison: Comparison | None = None


def answer_of(
    outcome: GetOutcome | Searched,
) -> TraceAnswer | Unavailable | RateLimited | TokenRefused | Bug:
    """The answer in an outcome, or the reason to ask again.

    A `Bug` says nothing of the person: it is an end only when the caller gives up.
    """
    found = outcome.outcome if isinstance(outcome, Searched) else outcome
    if isinstance(found, Unavailable | RateLimited | TokenRefused | Bug):
        return found
    return TraceAnswer(found, outcome.query if isinstance(outcome, Searched) else None)


def person_answered(answer: TraceAnswer, keys: Keys, now: datetime) -> KnownPerson | None:
    """Whom PDS answered with, as the index would hold them; kept by nothing yet."""
    if not isinstance(answer.outcome, Found | Superseded):
        return None
    return known_person(answer.outcome.record, keys=keys, verified_at=now, keep_until=now)


def with_former_names(
    answer: TraceAnswer, found: KnownPerson, known: KnownPerson | None, keys: Keys
) -> KnownPerson:
    """`found` as `answer` has them. A search's record has no old or maiden names: those that are
    `known` of the same person stay, with the family name that was in use until now. Of a given
    name only PDS says that it was one: it may have been a twin's.
    """
    if answer.query is None or known is None or known.person != found.person:
        return found
    families = [*known.other_families]
    if known.family and known.family != found.family:
        families.append(known.family)
    families += [one for one in found.other_families if one not in families]
    further = [one for one in found.other_given if one not in known.other_given]
    every = (found.family, *families)
    tokens = {demographic_token(keys, family, found.birth_date) for family in every}
    return replace(
        found,
        other_families=tuple(families),
        other_given=(*known.other_given, *further),
        demographic_tokens=tuple(sorted(token for token in tokens if token)),
    )


def judge(
    answer: TraceAnswer, evidence: Evidence, thresholds: Thresholds = DEFAULT_THRESHOLDS
) -> Judgement:
    """What `answer` means for a claim that asked this question."""
    outcome = answer.outcome
    if isinstance(outcome, Found | Superseded):
        return _judge_record(answer, outcome, evidence, thresholds)
    return Judgement(outcome.rule, _INDICATORS[type(outcome)])


def _judge_record(
    answer: TraceAnswer, outcome: Found | Superseded, evidence: Evidence, thresholds: Thresholds
) -> Judgement:
    superseded = isinstance(outcome, Superseded)
    if isinstance(outcome, Superseded):
        fields = compare(
            evidence.claim,
            outcome.record,
            requested=outcome.requested,
            one_of_several=evidence.one_of_several,
            newborn=evidence.newborn,
        )
    elif answer.query is not None:
        fields = compare_search(
            evidence.claim,
            outcome.record,
            score=outcome.score,
            manner=manner_of(answer.query),
            thresholds=thresholds,
            one_of_several=evidence.one_of_several,
            other_country=evidence.number is NhsNumberOutcome.OUT_OF_JURISDICTION,
            of_a_death=evidence.of_a_death,
        )
    else:
        fields = compare(
            evidence.claim,
            outcome.record,
            one_of_several=evidence.one_of_several,
            newborn=evidence.newborn,
        )
    if not fields.verified:
        record = outcome.record
        open_to_doubt = fields.verdict is Verdict.POTENTIAL and not record.restricted
        return Judgement(
            fields.rule,
            NhsNumberStatus.NEEDS_RESOLUTION,
            potential=record if open_to_doubt else None,
            comparison=fields,
        )
    return Judgement(
        rule=f"{fields.rule}.superseded" if superseded else fields.rule,
        indicator=NhsNumberStatus.VERIFIED,
        basis="pds-get" if answer.query is None else "pds-search",
        record=outcome.record,
        superseded=superseded,
        comparison=fields,
    )


_INDICATORS: Final[dict[type[PdsAnswer], NhsNumberStatus]] = {
    Invalidated: NhsNumberStatus.NEEDS_RESOLUTION,
    InvalidNumber: NhsNumberStatus.NEEDS_RESOLUTION,
    NotFound: NhsNumberStatus.NO_OR_MULTIPLE_MATCH,
    TooMany: NhsNumberStatus.NO_OR_MULTIPLE_MATCH,
    NotSearchable: NhsNumberStatus.TRACE_REQUIRED,
    Bug: NhsNumberStatus.TRACE_REQUIRED,
}

# CP-ISUploadRecordResponse codes, each with what the authority is to do
ACCEPTED: Final = Answer("CPR06", "held: the NHS number is verified")
SUPERSEDED: Final = Answer(
    "CPR05", "held on the successor: the NHS number was superseded, take over the new one"
)
RESTRICTED_HELD: Final = Answer("CPR02", "held on the restricted path")
RESTRICTED_REFUSED: Final = Answer(
    "CPR02", "not held: register a contact for restricted children, then send the record again"
)
RESTRICTED_UNTOLD: Final = Answer(
    "CPR02", "held, but nobody can be told: register a contact for restricted children"
)
NO_MATCH: Final = Answer(
    "CPR01", "not held: PDS has no match, or more than one; it is on the worklist"
)
NO_EVIDENCE: Final = Answer(
    "CPR01", "not held: neither an NHS number nor names and birth date to search with"
)
CONFLICT: Final = Answer(
    "CPR03", "not held: number and details are not one person's; it is on the worklist"
)
MALFORMED: Final = Answer("CPR04", "not held: this cannot be an NHS number; correct it")
INVALIDATED: Final = Answer(
    "CPR07", "not held: number invalidated; ask the NHS for the child's record"
)
LINE_REUSED: Final = Answer(
    "CPR07", "line was sent before with other content; send it under a new sequence"
)
NOT_ASKED: Final = Answer("CPR07", "not held: PDS could not be asked; it is on the worklist")


def refusal(answer: TraceAnswer) -> Answer:
    """The upload's answer to a flag that `answer` did not verify."""
    match answer.outcome:
        case Found() | Superseded():
            return CONFLICT
        case Invalidated():
            return INVALIDATED
        case InvalidNumber():
            return MALFORMED
        case NotSearchable():
            return NO_EVIDENCE
        case Bug():
            return NOT_ASKED
        case _:
            return NO_MATCH


def worded(answer: Answer, record: FlagRecord, *, ends: bool) -> Answer:
    """The answer to a record that was taken, in words of what it did. `ends`: it has an end."""
    if record.delete:
        successor = "; the NHS number was superseded, take over the new one"
        tail = successor if answer == SUPERSEDED else ""
        return replace(answer, detail=f"deleted: the plan is no longer held{tail}")
    if ends:
        return replace(answer, detail=f"{answer.detail}; the plan ends on the date given")
    return answer


def acceptance(
    *, restricted: bool, superseded: bool, authority: Authority | None
) -> tuple[Answer, bool]:
    """The upload's answer to a verified flag, and whether the flag is held."""
    if restricted:
        held = authority is not None and authority.restricted_endpoint is not None
        return (RESTRICTED_HELD if held else RESTRICTED_REFUSED), held
    return (SUPERSEDED if superseded else ACCEPTED), True
