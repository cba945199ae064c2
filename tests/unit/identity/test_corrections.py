"""A hospital corrects who a visit is of: whatever comes first, the end is the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.pds.outcomes import Found, NotFound
from schemas.events import AttendanceReported, Moment, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from stores.trace_requests import TraceRequest
from streams.identity import answering, merging
from streams.identity.answers import TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

TWIN = replace(CHILD, nhs_number=make.number(3), given=("Jamie",))
OTHER = PersonClaim(
    nhs_number=make.number(2), family="Otherwise", given=("Ann",), birth_date="2016-06-06"
)
PEOPLE = (CHILD, TWIN, OTHER)
PERSON = make.known().person
SLIP = replace(CHILD, nhs_number=None, birth_date="2017-03-15")
GUESS = PersonClaim(family="Unknown", given=("Male",), birth_date="2014-01-01", gender="male")
BARE = PersonClaim()
UPDATE = VisitEventKind.UPDATE
UNRESOLVED = (ClaimState.UNRESOLVED, None)


def at(event: AttendanceReported, minutes: int) -> AttendanceReported:
    """Recorded so many minutes after NOW, and known by that."""
    named = make.attendance(message_id=f"at-{minutes}").event_id
    return replace(event, event_id=named, recorded_at=Moment(make.NOW + timedelta(minutes=minutes)))


def came(claim: PersonClaim, **changes: Any) -> AttendanceReported:
    return at(make.attendance(claim, **changes), 0)


def updated(claim: PersonClaim, minutes: int = 5, **changes: Any) -> AttendanceReported:
    return at(make.attendance(claim, kind=UPDATE, **changes), minutes)


def take(book: Ledger, event: AttendanceReported) -> None:
    merging.hear(book, event, make.TRACE)


def answer_one(book: Ledger) -> bool:
    """PDS answers one question, by number or by all names and birth date; False if none is live."""
    if not book._live:
        return False
    trace = book.trace(min(book._live.values()))
    keys = make.parked_behind(book, trace.trace_id)
    answering.answer(book, trace, keys, said(trace))
    merging.settle(book)
    return True


def said(trace: TraceRequest) -> TraceAnswer:
    claim = trace.claim
    for one in PEOPLE:
        if trace.kind == "get" and one.nhs_number == claim.nhs_number:
            return TraceAnswer(Found(make.record(one)))
        same = (one.family, one.given, one.birth_date) == (
            claim.family,
            claim.given,
            claim.birth_date,
        )
        if trace.kind == "search" and same:
            return TraceAnswer(Found(make.record(one), score=1.0), "given_prefix_and_birth_date")
    return TraceAnswer(NotFound())


Ends = list[tuple[ClaimState, str | None]]


def ends(
    events: Sequence[AttendanceReported], *persons: PersonClaim, days_ago: int = 0
) -> list[Ends]:
    """What became of `events`, in every order, answered at once or at the end.

    `persons` are flagged, and were verified so many days ago: if any, PDS is asked again.
    """
    verified_at = make.NOW - timedelta(days=days_ago)
    found = []
    for order in itertools.permutations(events):
        for at_once in (True, False):
            book = make.ledger([make.known(one, verified_at=verified_at) for one in persons])
            for event in order:
                take(book, event)
                while at_once and answer_one(book):
                    pass
            while answer_one(book):
                pass
            assert not book._parked
            rows = [book.claim(event.event_id) for event in events]
            found.append([(row.state, row.person) for row in rows])
    return found


VERIFIED = (ClaimState.VERIFIED, PERSON)


@pytest.mark.parametrize(
    ("first", "right"),
    [
        (SLIP, replace(CHILD, nhs_number=None)),
        (GUESS, CHILD),
        (replace(CHILD, given=("Jamie",)), CHILD),
        (replace(CHILD, birth_date="1987-03-14", nhs_number=None), CHILD),
    ],
    ids=["birth-date", "unknown", "siblings-name", "adult"],
)
@pytest.mark.parametrize("days_ago", [0, 3])
def test_c05_a_corrected_visit_takes_its_arrival_along(
    first: PersonClaim, right: PersonClaim, days_ago: int
) -> None:
    """Nobody was verified of the arrival; the hospital corrects the visit: its person's, in
    whichever order they and the answers come, with a bare discharge between.
    """
    events = [came(first), updated(right), updated(BARE, 3)]
    found = ends(events, CHILD, days_ago=days_ago)
    assert all(one[:2] == [VERIFIED] * 2 for one in found), found


def test_a_correction_closes_the_worklist_entry() -> None:
    """The rule stands in the claim, and the entry that asked a person is closed by it."""
    first, right = came(GUESS), updated(CHILD)
    book = make.ledger([make.known()])
    take(book, first)
    answer_one(book)
    assert book.claim(first.event_id).state is ClaimState.UNRESOLVED
    take(book, right)
    assert book.claim(first.event_id).rule == "visit-corrected"
    assert book.changes.closed[first.event_id] == "visit-corrected"
    assert first.event_id not in book.changes.worklist


@pytest.mark.parametrize(
    ("first", "right"),
    [
        (came(GUESS), updated(CHILD, -5)),
        (came(GUESS), updated(CHILD, visit="V2")),
        (came(GUESS), updated(CHILD, local_id="L2")),
        (came(GUESS, local_id="UNKNOWN"), updated(CHILD, local_id="UNKNOWN")),
    ],
    ids=["recorded-earlier", "another-visit", "another-id", "placeholder-id"],
)
def test_c05_what_is_no_correction_takes_nothing_along(
    first: AttendanceReported, right: AttendanceReported
) -> None:
    """Only a later word on the same visit under the same id corrects."""
    assert all(one == [UNRESOLVED, VERIFIED] for one in ends([first, right], CHILD))


def test_c05_a_verified_arrival_stays_with_its_person() -> None:
    """PDS verified the arrival as another: the correction takes nobody away."""
    found = ends([came(TWIN), updated(CHILD)], CHILD, TWIN)
    assert all(one == [(ClaimState.VERIFIED, make.known(TWIN).person), VERIFIED] for one in found)


def test_c05_an_update_that_names_nobody_corrects_nothing() -> None:
    """A twin's arrival with the sibling's number is a conflict; a bare update that follows the
    sibling's earlier visit says not whose the visit is.
    """
    twin = came(replace(CHILD, given=("Jamie",)), visit="V2")
    events = [at(make.attendance(visit="V1"), -60), twin, updated(BARE, visit="V2")]
    found = ends(events, CHILD)
    assert all(one[0] == VERIFIED and one[1][0] is ClaimState.UNRESOLVED for one in found), found


def test_c05_the_last_of_two_corrections_holds() -> None:
    """Corrected twice: the arrival is the last one's, whatever came first."""
    found = ends([came(GUESS), updated(TWIN, 5), updated(CHILD, 9)], CHILD, TWIN)
    twin = (ClaimState.VERIFIED, make.known(TWIN).person)
    assert all(one == [VERIFIED, twin, VERIFIED] for one in found), found


@pytest.mark.parametrize("visit", ["V1", "V2"])
def test_c05_a_merge_takes_an_unverified_arrival_along(visit: str) -> None:
    """Registered as unknown with a guessed birth date, then merged into the child's record."""
    events = [
        came(GUESS, local_id="R"),
        updated(CHILD, 90, local_id="S", visit=visit),
        make.merge("R", "S"),
    ]
    found = ends(events, CHILD)
    assert all(one[:2] == [VERIFIED] * 2 for one in found), found
    assert {one[2] for one in found} == {(ClaimState.NOT_USED, None)}


def test_c05_a_merge_takes_the_survivors_slip_along() -> None:
    """The surviving id's own arrival was mistyped, the retired one's is verified."""
    events = [came(SLIP, local_id="S"), updated(CHILD, local_id="R"), make.merge("R", "S")]
    assert all(one[:2] == [VERIFIED] * 2 for one in ends(events, CHILD))


def test_c05_what_is_recorded_after_the_merge_is_its_own() -> None:
    """A retired id that is given out again to another child."""
    events = [
        at(make.attendance(GUESS, local_id="R"), 200),
        updated(CHILD, local_id="S", visit="V2"),
        make.merge("R", "S"),
    ]
    assert all(one[:2] == [UNRESOLVED, VERIFIED] for one in ends(events, CHILD))


def test_c05_two_verified_people_are_a_conflict_also_after_a_correction() -> None:
    """The retired id's visit is corrected to one child, the survivor is another: all stands."""
    events = [
        came(GUESS, local_id="R"),
        updated(TWIN, local_id="R"),
        updated(CHILD, 7, local_id="S", visit="V2"),
        make.merge("R", "S"),
    ]
    twin = (ClaimState.VERIFIED, make.known(TWIN).person)
    found = ends(events, CHILD, TWIN)
    assert all(one == [twin, twin, VERIFIED, UNRESOLVED] for one in found), found


@pytest.mark.parametrize("flagged", [True, False])
def test_c09_what_stands_of_a_flagged_child_is_given_to_no_other_without_a_plan(
    flagged: bool,
) -> None:
    """PDS neither proved nor contradicted the arrival's child; the visit is corrected to another:
    the provisional alert moves only to a flagged one.
    """
    first = came(replace(CHILD, family=None, birth_date="2017-03"))
    book = make.ledger([make.known(), make.known(OTHER, flagged=flagged)])
    take(book, first)
    while answer_one(book):
        pass
    assert book.claim(first.event_id).person == PERSON
    assert book.claim(first.event_id).state is ClaimState.UNRESOLVED
    take(book, updated(OTHER))
    row = book.claim(first.event_id)
    if flagged:
        assert (row.state, row.person) == (ClaimState.VERIFIED, make.known(OTHER).person)
    else:
        assert (row.state, row.person) == (ClaimState.UNRESOLVED, PERSON)
