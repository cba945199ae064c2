"""Takes a reported attendance: gathers the facts, asks the ladder, and does what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from connectors.persons import shared_local_id
from schemas import codec
from schemas.events import AttendanceReported, NhsNumberStatus, VisitEventKind
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity import ladder, numbers, release
from streams.identity.evidence import (
    Evidence,
    Standing,
    about_person,
    hides_place,
    is_birth,
    is_merge,
    occurred,
    perhaps_child,
    standing,
)
from streams.identity.ladder import Decision, Facts
from streams.identity.ledger import NEW, Ledger

PLACE_HIDDEN: Final = "place-hidden"
_NOT_USED: Final = (VisitEventKind.NOT_USED, VisitEventKind.PRE_ADMIT, VisitEventKind.MERGE)


def take(ledger: Ledger, event: AttendanceReported, traceparent: str) -> None:
    """Decide a new attendance, and with it what else it decides."""
    event = numbers.choose(ledger, event)
    evidence = ledger.weigh(event)
    row = new_claim(ledger, event, evidence, traceparent)
    decision = ladder.decide(facts_of(ledger, event, evidence))
    if hides_place(event) and _hide(ledger, event, row, decision):
        return
    if decision.state is ClaimState.NOT_USED:
        row = replace(row, event=None, number_token=None, demographic_token=None)
    ledger.open_claim(row, event)
    enact(ledger, row, decision, evidence)


def _hide(ledger: Ledger, event: AttendanceReported, row: ClaimRow, decision: Decision) -> bool:
    """The place is hidden in all visits of the patient, whoever they are, also in later ones. Gives
    whether matching hears of it by this event, as one of the key's only person (and it decides no
    other event); else what it knows of the patient is said again, where that can be.
    """
    if shared_local_id(event.claim.local_id):
        return False  # nobody's id, or everybody's
    aliases, key = ledger.aliases, ledger.aliases.key_of(event)
    patients = {event.source_patient, aliases.patient_of(event), *aliases.patients(key)}
    ledger.changes.hidden |= patients
    if decision.state.asserted:
        return False
    stands = _standing(ledger.weigh(event), _of_key(ledger, event, key))
    if not decision.state.open and stands is not None and stands.uncontradicted:
        ledger.open_claim(row, event)
        release.assert_verified(ledger, row, stands.person, PLACE_HIDDEN, "same-key")
        return True
    last = {one.visit_id: one for one in ledger.of_key(key) if one.person and ledger.recent(one)}
    for one in last.values():
        ledger.say_again(one, PLACE_HIDDEN)
    return False


def new_claim(
    ledger: Ledger, event: AttendanceReported, evidence: Evidence, traceparent: str
) -> ClaimRow:
    """The claim before anything is decided."""
    return ClaimRow(
        reported_event_id=event.event_id,
        key=ledger.aliases.key_of(event),
        event_kind="attendance",
        visit_id=event.visit_id,
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


def facts_of(ledger: Ledger, event: AttendanceReported, evidence: Evidence) -> Facts:
    """What the ladder looks at, before the event's own claim is in the ledger."""
    limits = ledger.limits
    birth, birth_date, at = is_birth(event), evidence.claim.birth_date, occurred(event)
    numbered = ledger.person(evidence.number_token)
    key = ledger.aliases.key_of(event)
    parked = ledger.parked(key)
    candidate = ledger.person(parked.candidate) if parked is not None else None
    visit = [] if about_person(event) else ledger.of_visit(event.visit_id)
    asserted = [row for row in visit if row.person is not None]  # an unresolved one may stand
    # two children under one visit number: what came under the event's own local id counts first
    asserted = [row for row in asserted if row.key == key] or asserted
    visit_person = ledger.person(asserted[-1].person) if asserted else None
    by_number = _standing(evidence, numbered)
    recent = numbered is not None and ledger.lately(numbered)
    decided = recent and by_number is not None and by_number.full
    return Facts(
        evidence=evidence,
        used=event.kind not in _NOT_USED and (not about_person(event) or lacking(ledger, key)),
        arrival=event.arrival,
        # of a birth only the mother is told: an adult, or traced for herself
        child=not birth and perhaps_child(birth_date, at, adult_age=limits.adult_age),
        birth=birth,
        mother=_standing(evidence, _of_key(ledger, event, key)) if birth else None,
        by_number=by_number,
        recent=recent,
        # each comparison costs a fifth of a millisecond: none that cannot matter
        flagged=() if decided or ledger.barred(event, evidence, key) else ledger.flagged(evidence),
        visit=None if decided else _standing(evidence, visit_person),
        visit_state=_surely(asserted[-1]) if asserted else None,
        visit_key=any(row.key == key and row.person == asserted[-1].person for row in asserted),
        visit_open=any(row.state.open for row in visit),
        visit_lacks=_lacks(ledger, event, evidence),
        candidate=None if decided else _standing(evidence, candidate),
        shared_key=shared_local_id(event.claim.local_id),
        parked=parked is not None,
        number_asked=any(
            row.state.open and row.number_token == evidence.number_token
            for row in [*visit, *ledger.of_key(key)]
        ),
    )


def _of_key(ledger: Ledger, event: AttendanceReported, key: str) -> KnownPerson | None:
    """Whom everything verified under the key is of; None if that is nobody, or several."""
    people = {row.person for row in ledger.of_key(key) if row.state is ClaimState.VERIFIED}
    if len(people) != 1 or shared_local_id(event.claim.local_id):
        return None
    return ledger.person(people.pop())


def lacking(ledger: Ledger, key: str) -> bool:
    """Whether an event of the key still lacks its person, so that evidence may help it."""
    return any(lacks(ledger, row) for row in ledger.of_key(key))


def lacks(ledger: Ledger, row: ClaimRow) -> bool:
    """Whether a claim still lacks its person. A merge on the worklist lacks nobody."""
    ended = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)
    if not (row.state.open or (row.state in ended and ledger.recent(row))):
        return False
    return row.event is None or not is_merge(ledger.event(row))


def _surely(row: ClaimRow) -> ClaimState:
    verified = row.state is ClaimState.VERIFIED
    return ClaimState.VERIFIED if verified else ClaimState.PROVISIONAL


def _standing(evidence: Evidence, person: KnownPerson | None) -> Standing | None:
    return None if person is None else standing(evidence, person)


def _lacks(ledger: Ledger, event: AttendanceReported, evidence: Evidence) -> bool:
    """The visit or key has unresolved events, and none of them asked what this one would ask."""
    key = ledger.aliases.key_of(event)
    around = [*ledger.of_key(key), *ledger.of_visit(event.visit_id)]
    unresolved = [row for row in around if row.state is ClaimState.UNRESOLVED and row.event]
    if not unresolved:
        return False
    if evidence.number_token is not None:
        return all(row.number_token != evidence.number_token for row in unresolved)
    return all(row.demographic_token != evidence.demographic_token for row in unresolved)


def enact(ledger: Ledger, row: ClaimRow, decision: Decision, evidence: Evidence) -> None:
    """Do what the ladder says."""
    state, person = decision.state, decision.person
    if state is ClaimState.VERIFIED and person is not None:
        release.verify(ledger, row, person, decision.rule, decision.basis)
    elif state is ClaimState.PROVISIONAL and person is not None:
        _attach_to_visit(ledger, row)
        release.go_provisionally(ledger, row, person, decision.rule, decision.priority)
    elif state is ClaimState.WAITING:
        release.wait(ledger, row, decision.rule, decision.priority)
    else:
        indicator = ladder.indicator(state, evidence)
        ledger.transition(row, state, decision.rule, indicator)


def _attach_to_visit(ledger: Ledger, row: ClaimRow) -> None:
    """A visit under two keys waits for one trace."""
    for mate in ledger.of_visit(row.visit_id):
        parked = ledger.parked(mate.key)
        if mate.state.open and parked is not None:
            ledger.park_behind(row.key, parked.trace_id)
