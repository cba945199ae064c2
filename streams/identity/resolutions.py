"""What a person decides about an event whose person could not be established (ADR 0045).

A person says what PDS cannot: this is that child, whatever was sent of it. The record is PDS's all
the same, so a number that nobody has, an invalidated one and a record that contradicts what was
sent (unless the person says which of it was wrong) resolve nothing. In memory, without I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.pds.comparison import compare
from connectors.pds.outcomes import Bug, Found, Invalidated, Superseded
from connectors.persons import shared_local_id
from halyard.names import is_placeholder_given, normalise_name
from schemas.events import FlagSubmitted, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.resolutions import Resolution, State
from stores.uploads import Answer
from streams.identity import answering, doubts, notifications, release
from streams.identity.answers import Judgement, TraceAnswer, judge
from streams.identity.evidence import Death, is_merge
from streams.identity.knowledge import INVALIDATED
from streams.identity.ledger import Ledger

RESOLVED: Final = "resolved-by-person"
SUPERSEDED: Final = "resolved-by-person.superseded"
REJECTED: Final = "rejected-by-person"
WITHDRAWN: Final = "resolution-withdrawn"
EXPIRED: Final = "expired"
CONTRADICTED: Final = "resolution.contradicted"
OVERTAKEN: Final = "resolution.overtaken"
TOO_LATE: Final = "resolution.too_late"
NO_PERSON: Final = "resolution.not_of_a_person"
OLD_LIFE: Final = "resolution.number_invalidated"
"""What was sent under an invalidated number is never joined to another (ADR 0047)."""
NOT_TRACEABLE: Final = "resolution.nothing_to_ask"
LINE_REUSED: Final = "resolution.line_reused"
FAILED: Final = "resolution.failed"
NOBODY: Final = f"{REJECTED}.nobody"
"""Closes the entry of a record of which nobody is to be found: a flag goes on counting as matching
nobody until it is sent again."""

REUSED_LINE: Final = "flag-line-reused"
"""Rule of a record whose line was taken by another; the line's answer is of what was sent first."""

_NEVER_BOTH: Final = frozenset({"number", "birth_date"})

_FOLLOWED: Final = ("key-evidence", "same-visit", "visit-corrected", "merged", "same-notification")
"""Rules of events that are somebody's because another event is."""
REJECTED_ANSWERS: Final = {
    "nobody": Answer("CPR01", "not held: closed on the worklist: nobody could be found"),
    "not-ours": Answer("CPR07", "not held: closed on the worklist: not the authority's record"),
    "test-record": Answer("CPR07", "not held: closed on the worklist: a test record"),
}
UNDONE: Final = Answer(
    "CPR03", "not held: the resolution was taken back; it is on the worklist again"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a decision ended: done, or refused with nothing changed; `outcome` is the rule."""

    state: State
    outcome: str
    evidence: dict[str, str] | None = None


def decide(ledger: Ledger, row: ClaimRow, order: Resolution, answer: TraceAnswer | None) -> Ended:
    """Carry out a decision; `answer` is PDS's, where it was asked."""
    if order.action == "undo":
        return undo(ledger, row)
    if order.action == "reject":
        return expire(ledger, row) if order.scheduled else reject(ledger, row, order)
    if order.action == "ask" or answer is None:
        return Ended("done", "asked")
    if order.action == "retry":
        return retry(ledger, row, answer)
    return resolve(ledger, row, order, answer)


def obstacle(ledger: Ledger, row: ClaimRow) -> Ended | None:
    """Why nothing can be decided about a claim now; None: it can."""
    if row.state is not ClaimState.UNRESOLVED:
        return Ended("refused", OVERTAKEN)
    if row.event is None:
        return Ended("refused", TOO_LATE)
    if row.rule == REUSED_LINE:
        return Ended("refused", LINE_REUSED)
    if is_merge(ledger.event(row)):
        return Ended("refused", NO_PERSON)
    return None


def sent_number(ledger: Ledger, row: ClaimRow, token: str, said: TraceAnswer) -> Ended | None:
    """What PDS says of a number that was sent, where a person named another; None: nothing that
    stands in the way. An invalidated one does: its old life is joined to nothing.
    """
    if (hindered := obstacle(ledger, row)) is not None:
        return hindered
    if isinstance(said.outcome, Bug):
        return Ended("refused", said.outcome.rule)
    if not isinstance(said.outcome, Invalidated):
        return None
    evidence = ledger.evidence(row)
    if token == evidence.number_token and row.rule not in INVALIDATED:
        answering.refuse(ledger, row, judge(said, evidence, ledger.limits.thresholds), said)
    return Ended("refused", OLD_LIFE)


def resolve(ledger: Ledger, row: ClaimRow, order: Resolution, said: TraceAnswer) -> Ended:
    """The person of an unresolved claim is the one whose number was asked for.

    What contradicts the record must all have been named by who resolves (`order.despite`). Which
    fields do is told to nobody: the answer must not say what stands in a record.
    """
    if (hindered := obstacle(ledger, row)) is not None:
        return hindered
    if ledger.of_old_life(row):
        return Ended("refused", OLD_LIFE)
    outcome = said.outcome
    if not isinstance(outcome, Found | Superseded):
        return Ended("refused", outcome.rule)
    superseded = isinstance(outcome, Superseded)
    requested = outcome.requested if isinstance(outcome, Superseded) else None
    evidence = ledger.evidence(row)
    fields = compare(evidence.claim, outcome.record, requested=requested)
    wrong = frozenset(order.despite)
    borne_out = doubts.borne_out(fields) and not wrong >= _NEVER_BOTH
    if not borne_out or doubts.contradicted(fields) - wrong:
        return Ended("refused", CONTRADICTED)
    rule = SUPERSEDED if superseded else RESOLVED
    person = answering.person_in(ledger, outcome.record, said)
    one = Judgement(
        rule,
        NhsNumberStatus.VERIFIED,
        basis="person",
        record=outcome.record,
        superseded=superseded,
    )
    for mate in (row, *_alike(ledger, row)):
        answering.verify(ledger, mate, one, person)
    # as long as it can be taken back
    ledger.keep(person, ledger.now + ledger.limits.backmatch)
    release.settle(ledger, [row.key])
    after = ledger.claim(row.reported_event_id)
    if after.state is not ClaimState.VERIFIED:  # nobody may be told: the upload's answer says why
        return Ended("refused", after.rule)
    return Ended("done", rule, None if person.restricted else doubts.told(fields))


def retry(ledger: Ledger, row: ClaimRow, said: TraceAnswer) -> Ended:
    """PDS was asked again about an unresolved claim: its answer counts as any other."""
    if (hindered := obstacle(ledger, row)) is not None:
        return hindered
    if ledger.unsearchable(row):
        return Ended("refused", OLD_LIFE)
    one = judge(said, ledger.evidence(row), ledger.limits.thresholds)
    if one.record is not None:
        answering.verify(ledger, row, one, answering.person_in(ledger, one.record, said))
        release.settle(ledger, [row.key])
    elif one.rule != row.rule and not isinstance(said.outcome, Bug) and not ledger.of_old_life(row):
        answering.refuse(ledger, row, one, said)
    return Ended("done", one.rule)


def reject(ledger: Ledger, row: ClaimRow, order: Resolution) -> Ended:
    """Nobody is to be found for an unresolved claim, as a person says: its entry ends.

    A provisional assertion stands: that there is nothing to look for takes no alert back.
    """
    event_id = row.reported_event_id
    if row.event_kind == "flag" and row.state is ClaimState.VERIFIED:
        # what is the matter with its number was looked at; the plan goes on being held
        ledger.changes.closed[event_id] = REJECTED
        return Ended("done", REJECTED)
    if row.state is not ClaimState.UNRESOLVED:
        return Ended("refused", OVERTAKEN)
    readable = row.event is not None
    if readable and row.person is None and not is_merge(ledger.event(row)):
        present = row.number_token is not None
        status = NhsNumberStatus.NOT_TRACED if present else NhsNumberStatus.NOT_PRESENT
        # what came under an invalidated number remains that
        rule = row.rule if ledger.of_old_life(row) else REJECTED
        ledger.transition(row, ClaimState.NOT_TRACED, rule, status)
    ledger.changes.worklist.pop(event_id, None)
    nobody = order.code in (None, "nobody")
    ledger.changes.closed[event_id] = NOBODY if nobody else REJECTED
    if row.event_kind == "flag" and row.rule != REUSED_LINE:
        ledger.answer(row, REJECTED_ANSWERS[order.code or "nobody"])
    return Ended("done", REJECTED)


def expire(ledger: Ledger, row: ClaimRow) -> Ended:
    """Nobody said in time whose arrival it is of which an alert stands: it is taken back, so that
    none stands for ever of what nobody can decide any more.
    """
    if row.state is not ClaimState.UNRESOLVED:
        return Ended("refused", OVERTAKEN)
    if row.event is not None:
        present = row.number_token is not None
        status = NhsNumberStatus.NOT_TRACED if present else NhsNumberStatus.NOT_PRESENT
        rule = row.rule if ledger.of_old_life(row) else EXPIRED
        ledger.transition(row, ClaimState.NOT_TRACED, rule, status)
    ledger.changes.worklist.pop(row.reported_event_id, None)
    ledger.changes.closed[row.reported_event_id] = EXPIRED
    return Ended("done", EXPIRED)


def undo(ledger: Ledger, row: ClaimRow) -> Ended:
    """A resolution was wrong: what it asserted is taken back, and the claim is unresolved again
    (rule 9), with what followed from it alone.
    """
    wrong = row.person
    if row.state is not ClaimState.VERIFIED or row.rule not in (RESOLVED, SUPERSEDED):
        return Ended("refused", OVERTAKEN)
    if row.event is None or ledger.person(wrong) is None:
        return Ended("refused", TOO_LATE)
    rest = [
        mate
        for mate in ledger.around(row)
        if mate.reported_event_id != row.reported_event_id
        and mate.state is ClaimState.VERIFIED
        and mate.person == wrong
        and mate.event is not None
    ]
    own = [mate for mate in rest if mate.rule not in (*_FOLLOWED, RESOLVED, SUPERSEDED)]
    follows = () if own else (mate for mate in rest if mate.rule in _FOLLOWED)
    same = (
        mate
        for mate in rest
        if mate.rule in (RESOLVED, SUPERSEDED) and mate.decided_at == row.decided_at
    )
    for one in (row, *same):
        _doubt(ledger, one)
    for one in follows:
        release.end_follower(ledger, ledger.claim(one.reported_event_id))
    return Ended("done", WITHDRAWN)


def _doubt(ledger: Ledger, row: ClaimRow) -> None:
    event = ledger.event(row)
    death = isinstance(event, Death)
    state = notifications.unnamed(ledger, row) if death else ClaimState.UNRESOLVED
    ledger.transition(row, state, WITHDRAWN, NhsNumberStatus.NEEDS_RESOLUTION)
    if isinstance(event, FlagSubmitted):
        ledger.answer(row, UNDONE)


def _alike(ledger: Ledger, row: ClaimRow) -> list[ClaimRow]:
    """Unresolved claims of the same sender's person that say the very same of them: of the same
    visit, or of the same plan. None where the words may be of several children: a local id that
    many share, "Baby", a plan without a given name.
    """
    words = _words(ledger, row)
    if words is None:
        return []
    return [
        mate
        for mate in ledger.in_state(row.key, ClaimState.UNRESOLVED)
        if mate.reported_event_id != row.reported_event_id
        and mate.event_kind == row.event_kind
        and mate.visit_id == row.visit_id
        and mate.event is not None
        and mate.version is None
        and mate.rule != REUSED_LINE
        and not is_merge(ledger.event(mate))
        and _words(ledger, mate) == words
    ]


def _words(ledger: Ledger, row: ClaimRow) -> tuple[str, ...] | None:
    """All that a claim says of one child and plan; None if it may be of several."""
    event, evidence = ledger.event(row), ledger.evidence(row)
    claim = evidence.claim
    if shared_local_id(event.claim.local_id if event.claim else None):
        return None
    if claim.given and is_placeholder_given(" ".join(claim.given)):
        return None
    plan: tuple[str, ...] = ()
    if isinstance(event, FlagSubmitted):
        if not claim.given or event.record is None:
            return None
        plan = (event.record.plan_type.value, event.record.start or "")
    elif not claim.given and row.visit_id is None:
        return None
    return (
        claim.nhs_number or "",
        *sorted(evidence.others),
        normalise_name(claim.family),
        *(normalise_name(one) for one in claim.given),
        claim.birth_date or "",
        claim.gender or "",
        *plan,
    )
