"""What one decision does to the other claims of its key and visit (correctness rules 6 to 10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from connectors.persons import shared_local_id
from schemas.events import AttendanceReported, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity import notifications, numbers
from streams.identity.answers import INVALIDATED, NO_MATCH
from streams.identity.evidence import (
    Death,
    about_person,
    is_birth,
    is_merge,
    occurred,
    perhaps_child,
)
from streams.identity.ladder import CHILD, FLAGGED
from streams.identity.ledger import Ledger

BESIDE_INVALIDATED: Final = "beside-invalidated"
_ENDED = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)


def verify(ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, basis: str) -> None:
    """Assert a claim, and every other claim of its key and visit that the person fits, in order.

    What waits is released, and so are unresolved and untraced claims of the last 48 hours: a
    worklist entry holds up nobody (rule 7).
    """
    touched = {row.key}
    if row.version is not None:  # of which version's person the others are depends on it
        assert_verified(ledger, row, person, rule, basis)
    for mate in ledger.unsure(row):
        late = mate.state in _ENDED and ledger.recent(mate)
        if mate.reported_event_id == row.reported_event_id:
            if row.version is None:
                assert_verified(ledger, row, person, rule, basis)
        elif (mate.state.open or late) and goes_with(ledger, mate, row, person):
            assert_verified(ledger, mate, person, "key-evidence", "key-evidence")
            touched.add(mate.key)
    settle(ledger, touched)


def goes_with(ledger: Ledger, mate: ClaimRow, row: ClaimRow, person: KnownPerson) -> bool:
    """Whether `mate` is of the person whom `row` was found to be of.

    Nothing may contradict. An event under another key (a visit number may clash, or be two
    twins'), or under a placeholder local id in another visit, needs evidence of its own; of a
    birth that is the mother's number.
    """
    if is_merge(ledger.event(mate)):
        return False
    if ledger.of_old_life(mate) and mate.number_token != person.person:
        return False
    if mate.version is not None:
        return notifications.goes_with(ledger, mate, row, person)
    stands = ledger.standing(mate, person)
    if not stands.uncontradicted or stands.supported:
        return stands.uncontradicted
    if is_birth(ledger.event(mate)) and stands.number:
        return True
    if mate.key != row.key:
        return False
    if mate.visit_id is not None and mate.visit_id == row.visit_id:
        return True
    claim = ledger.event(mate).claim
    return not shared_local_id(claim.local_id if claim else None)


def assert_verified(
    ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, basis: str
) -> None:
    """This claim alone."""
    ledger.transition(
        row, ClaimState.VERIFIED, rule, NhsNumberStatus.VERIFIED, person=person, basis=basis
    )


def go_provisionally(
    ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, priority: int | None
) -> None:
    """Assert a claim provisionally, with what waits in its key and what its visit told.

    An update alone would raise no alert. A trace confirms or withdraws them all.
    """
    touched = {row.key}
    for mate in ledger.around(row):
        if mate.reported_event_id == row.reported_event_id:
            assert_provisional(ledger, row, person, rule, priority)
            continue
        if mate.person == person.person and priority is None:
            continue  # it stands, and nothing new is asked
        # what is told of the person is told of all their visits
        meant = mate.visit_id == row.visit_id or about_person(ledger.event(row))
        same_visit = meant and ledger.recent(mate)
        if mate.state is not ClaimState.WAITING and not (mate.state in _ENDED and same_visit):
            continue
        if goes_with(ledger, mate, row, person):
            assert_provisional(ledger, mate, person, "key-provisional", mate.priority)
            touched.add(mate.key)
    settle(ledger, [row.key])
    parked = ledger.parked(row.key)
    for key in touched - {row.key}:
        if parked is not None:
            ledger.park_behind(key, parked.trace_id)
    settle(ledger, touched)


def assert_provisional(
    ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, priority: int | None
) -> None:
    """This claim alone."""
    ledger.transition(
        row,
        ClaimState.PROVISIONAL,
        rule,
        NhsNumberStatus.IN_PROGRESS,
        person=person,
        basis="candidate",
        priority=priority,
    )


def wait(ledger: Ledger, row: ClaimRow, rule: str, priority: int | None) -> None:
    """Let a claim wait for its own question, or behind its key's or visit's."""
    ledger.transition(row, ClaimState.WAITING, rule, NhsNumberStatus.IN_PROGRESS, priority=priority)
    if row.version is not None and ledger.goes_along(ledger.claim(row.reported_event_id)):
        return
    if ledger.parked(row.key) is None:
        for mate in ledger.of_visit(row.visit_id):
            parked = ledger.parked(mate.key)
            if mate.state.open and parked is not None:
                ledger.park_behind(row.key, parked.trace_id)
                break
    settle(ledger, [row.key])


def settle(ledger: Ledger, keys: Iterable[str]) -> None:
    """Park each key behind its best question; end what waits for nothing any more, unless it has a
    number of its own to ask for.
    """
    for key in sorted(set(keys)):
        left = ledger.settle(key)
        asking = [row for row in left if _brings_number(ledger, row)]
        for row in asking:
            status = NhsNumberStatus.IN_PROGRESS
            ledger.transition(row, ClaimState.WAITING, "unresolved-visit", status, priority=CHILD)
        for row in [] if asking else left:
            end_follower(ledger, row)
        ledger.settle(key)


def _brings_number(ledger: Ledger, row: ClaimRow) -> bool:
    """Whether a claim that only followed has a number that nobody has asked for, and its visit or
    key a claim that ended unresolved: as if it came now (rule ``unresolved-visit``).
    """
    event = ledger.event(row)
    if not isinstance(event, AttendanceReported) or is_birth(event) or ledger.of_old_life(row):
        return False
    evidence = ledger.evidence(row)
    child = _perhaps_child(ledger, row, event)
    if row.state is not ClaimState.WAITING or evidence.number_token is None or not child:
        return False
    ended = [mate for mate in ledger.around(row) if mate.state is ClaimState.UNRESOLVED]
    numbers_asked = {mate.number_token for mate in ended}
    return bool(ended) and evidence.number_token not in numbers_asked


def end_follower(ledger: Ledger, row: ClaimRow) -> None:
    """End a claim that only waited behind others, whose answer did not name its person."""
    event = ledger.event(row)
    if row.state is ClaimState.WAITING and ledger.unsearchable(row):
        _end_beside(ledger, row)
        return
    if not isinstance(event, AttendanceReported):
        death = isinstance(event, Death)
        state = notifications.unnamed(ledger, row) if death else ClaimState.UNRESOLVED
        ledger.transition(row, state, "key-unresolved", NhsNumberStatus.NO_OR_MULTIPLE_MATCH)
        if not death:
            ledger.answer(row, NO_MATCH)
        return
    if row.person is not None and any(
        mate.state is ClaimState.UNRESOLVED and mate.person == row.person
        for mate in ledger.around(row)
    ):
        ledger.transition(
            row,
            ClaimState.UNRESOLVED,
            "key-unresolved",
            NhsNumberStatus.NEEDS_RESOLUTION,
            stands=True,
        )
        return
    if _child_arrives(ledger, row, event):
        ledger.transition(
            row, ClaimState.UNRESOLVED, "key-unresolved", NhsNumberStatus.NO_OR_MULTIPLE_MATCH
        )
    else:
        present = ledger.evidence(row).number_token is not None
        status = NhsNumberStatus.NOT_TRACED if present else NhsNumberStatus.NOT_PRESENT
        ledger.transition(row, ClaimState.NOT_TRACED, "key-not-traced", status)


def _child_arrives(ledger: Ledger, row: ClaimRow, event: AttendanceReported) -> bool:
    return event.arrival and _perhaps_child(ledger, row, event) and not is_birth(event)


def _perhaps_child(ledger: Ledger, row: ClaimRow, event: AttendanceReported) -> bool:
    birth_date, at = ledger.evidence(row).claim.birth_date, occurred(event)
    return perhaps_child(birth_date, at, adult_age=ledger.limits.adult_age)


def _end_beside(ledger: Ledger, row: ClaimRow) -> None:
    """End a claim without a number beside one with an invalidated number: nobody is looked for."""
    event = ledger.event(row)
    state = ClaimState.UNRESOLVED
    if isinstance(event, Death):
        state = notifications.unnamed(ledger, row)
    elif isinstance(event, AttendanceReported):
        state = state if _child_arrives(ledger, row, event) else ClaimState.NOT_TRACED
    else:
        ledger.answer(row, INVALIDATED)
    ledger.transition(row, state, BESIDE_INVALIDATED, NhsNumberStatus.NEEDS_RESOLUTION)


def backmatch(ledger: Ledger, person: KnownPerson) -> None:
    """Compare a newly flagged person with 48 hours of claims that were not verified (rule 10)."""
    for seen in ledger.sharing(person):
        row = ledger.claim(seen.reported_event_id)  # an earlier one may have released it
        unsure = row.state is ClaimState.WAITING or row.state in _ENDED
        if not unsure or not ledger.recent(row):
            continue
        if ledger.of_old_life(row) or ledger.unsearchable(row):
            continue  # names of an old life lead to nobody
        row = numbers.choose_anew(ledger, row)
        stands = ledger.standing(row, person)
        if row.person is not None and not stands.full:
            continue  # it stands of another, whom nothing contradicted
        mother = is_birth(ledger.event(row)) and stands.number
        partial = stands.number_and_more or stands.all_but_number or mother
        if stands.full:
            verify(ledger, row, person, "flag-backmatch", "local-index")
        elif partial and not person.restricted:
            go_provisionally(ledger, row, person, "flag-backmatch-provisional", FLAGGED)
        elif partial or stands.number or stands.names_and_birth_date:
            wait(ledger, row, "flag-backmatch-waits", FLAGGED)
