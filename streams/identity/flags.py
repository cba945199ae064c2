"""Takes a flag record of an authority: verified, traced or refused, and always answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from halyard.errors import ContractError
from halyard.nhs_number import NhsNumberOutcome
from schemas import codec
from schemas.events import FlagRecord, FlagSubmitted, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.uploads import Answer
from streams.identity import release
from streams.identity.answers import MALFORMED, NO_EVIDENCE, acceptance, worded
from streams.identity.evidence import Evidence, standing
from streams.identity.ladder import FLAG
from streams.identity.ledger import FOR_EVER, NEW, Ledger

_SHOWN_AFTER_END: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class FlagDecision:
    """What to do with a flag before PDS is asked; `answer` where it is an end."""

    state: ClaimState
    rule: str
    indicator: NhsNumberStatus
    person: KnownPerson | None = None
    answer: Answer | None = None


def decide(evidence: Evidence, known: KnownPerson | None, *, recent: bool) -> FlagDecision:
    """The ladder for flags: index, number, search; a number that cannot be one is refused.

    `known`: the person of the local index with this number; `recent`: verified lately enough.
    """
    progress = NhsNumberStatus.IN_PROGRESS
    if evidence.number_token is not None:
        if known is not None and recent and standing(evidence, known).full:
            return FlagDecision(ClaimState.VERIFIED, "local-index", NhsNumberStatus.VERIFIED, known)
        return FlagDecision(ClaimState.WAITING, "flag-number", progress)
    elsewhere = evidence.number is NhsNumberOutcome.OUT_OF_JURISDICTION
    if evidence.number is not NhsNumberOutcome.ABSENT and not elsewhere:
        return FlagDecision(
            ClaimState.REJECTED,
            "flag-number-malformed",
            NhsNumberStatus.NEEDS_RESOLUTION,
            answer=MALFORMED,
        )
    if not evidence.searchable:
        return FlagDecision(
            ClaimState.UNRESOLVED,
            "flag-without-evidence",
            NhsNumberStatus.TRACE_REQUIRED,
            answer=NO_EVIDENCE,
        )
    rule = "flag-out-of-jurisdiction" if elsewhere else "flag-search"
    return FlagDecision(ClaimState.WAITING, rule, progress)


def take(ledger: Ledger, event: FlagSubmitted, traceparent: str, *, line_taken: bool) -> None:
    """Decide a new flag. `line_taken`: another body came under the same upload and line.

    Raises `ContractError` for a submission without a record.
    """
    if event.record is None:
        raise ContractError("A submitted flag has no record; inspect it in the dead-letter topic.")
    evidence = ledger.weigh(event)
    row = ClaimRow(
        reported_event_id=event.event_id,
        key=event.source_patient,
        event_kind="flag",
        visit_id=None,
        state=ClaimState.WAITING,
        rule=NEW,
        indicator=NhsNumberStatus.UNKNOWN,
        received_at=event.received_at,
        decided_at=ledger.now,
        traceparent=traceparent,
        number_token=evidence.number_token,
        demographic_token=evidence.demographic_token,
        event=codec.encode(replace(event, message=b"")),
    )
    ledger.open_claim(row, event)
    if line_taken:
        ledger.transition(
            row, ClaimState.UNRESOLVED, "flag-line-reused", NhsNumberStatus.TRACE_REQUIRED
        )
        ledger.changes.reused[event.event_id] = (event.upload_id, event.line)
        return
    known = ledger.person(evidence.number_token)
    recent = known is not None and known.verified_at > ledger.now - ledger.limits.verified_for
    decision = decide(evidence, known, recent=recent)
    if decision.person is not None:
        old = decision.person.person != evidence.number_token
        hold(ledger, row, decision.person, decision.rule, "local-index", superseded=old)
        _release_waiting(ledger, row, decision.person)
    elif decision.state is ClaimState.WAITING:
        release.wait(ledger, row, decision.rule, FLAG)
    else:
        ledger.transition(row, decision.state, decision.rule, decision.indicator)
        if decision.answer is not None:
            ledger.answer(row, decision.answer)


def hold(
    ledger: Ledger,
    row: ClaimRow,
    person: KnownPerson,
    rule: str,
    basis: str,
    *,
    superseded: bool,
) -> None:
    """A flag's person is verified: hold the flag, unless nobody may be told of it; answer.

    The person is then known as flagged, and claims that were not verified are looked at again.
    """
    event = ledger.event(row)
    if not isinstance(event, FlagSubmitted) or event.record is None:
        raise ContractError("A flag's claim holds no flag record.")
    authority = ledger.limits.directory.authorities.get(event.source)
    answer, held = acceptance(
        restricted=person.restricted, superseded=superseded, authority=authority
    )
    if held:
        ends = _midnight(event.record.end) is not None
        answer = worded(answer, event.record, ends=ends)
    ledger.answer(row, answer)
    if not held:
        ledger.transition(
            row,
            ClaimState.UNRESOLVED,
            "flag-restricted-without-contact",
            NhsNumberStatus.NEEDS_RESOLUTION,
        )
        return
    release.assert_verified(ledger, row, person, rule, basis)
    # the authority has sent the plan again with what identifies the child: nobody need do more
    ledger.changes.resent[row.key, event.record.plan_type.value] = row.received_at
    if ledger.keep(person, shown_until(event.record, ledger.now), flagged=True):
        release.backmatch(ledger, ledger.person(person.person) or person)


def release_compatible(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> None:
    """The same local id was verified by another line: this one is that person's too."""
    hold(ledger, row, person, "key-evidence", "key-evidence", superseded=False)


def _release_waiting(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> None:
    for mate in ledger.of_key(row.key):
        waits = mate.state is ClaimState.WAITING and mate.event_kind == "flag"
        if waits and release.goes_with(ledger, mate, row, person):
            release_compatible(ledger, mate, person)
    release.settle(ledger, [row.key])


def shown_until(record: FlagRecord, now: datetime) -> datetime:
    """How long a plan keeps its person in the local index: 365 days beyond its end."""
    ended = now if record.delete else _midnight(record.end)
    return FOR_EVER if ended is None else max(ended, now) + _SHOWN_AFTER_END


def _midnight(day: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
    except ValueError:  # an odd date keeps the person known; it says nothing about an end
        return None
