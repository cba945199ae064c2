"""What a merge says of who stays counts for what lacks its person, and for nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import AttendanceReported, Moment, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from streams.identity import merging
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

OTHER = PersonClaim(
    nhs_number=make.number(2), family="Otherwise", given=("Ann",), birth_date="2016-06-06"
)
TWIN = replace(CHILD, nhs_number=make.number(3), given=("Jamie",))


def arrival(minutes: int, local_id: str = "R") -> AttendanceReported:
    """Of nobody who is known."""
    made = make.attendance(PersonClaim(), local_id=local_id)
    return replace(made, recorded_at=Moment(make.NOW + timedelta(minutes=minutes)))


def merge(
    claim: PersonClaim, retired: str = "R", stays: str = "S", at: int = 5
) -> AttendanceReported:
    """It says who stays."""
    made = make.merge(retired, stays, minutes=at)
    return replace(made, claim=replace(claim, local_id=stays))


def read(
    events: Iterable[AttendanceReported], *, flagged: tuple[PersonClaim, ...]
) -> tuple[Ledger, int]:
    """All heard, by a hub that knows all three, of whom these are flagged; and what was asked."""
    book = make.ledger([make.known(one, flagged=one in flagged) for one in (CHILD, OTHER, TWIN)])
    for event in events:
        merging.hear(book, event, make.TRACE)
    return book, len(book.changes.new_traces)


def who(book: Ledger, event: AttendanceReported) -> str | None:
    return book.claim(event.event_id).person


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_c05_an_anonymous_arrival_is_whom_its_merge_names(order: tuple[int, ...]) -> None:
    """Whichever is read first, at once and without a question to PDS."""
    events = [arrival(0), merge(CHILD)]
    book, asked = read((events[one] for one in order), flagged=(CHILD,))
    assert (who(book, events[0]), asked) == (make.known(CHILD).person, 0)


def test_who_is_verified_under_the_id_goes_before_an_old_word() -> None:
    """The merge named the twin; since then the surviving id was verified as the child: the arrival
    is hers, nothing is a conflict, and nobody is asked.
    """
    told = merge(TWIN)
    sure = make.attendance(CHILD, local_id="S", visit="V2", kind=VisitEventKind.UPDATE)
    lost = arrival(0)
    book, asked = read((told, sure, lost), flagged=(CHILD,))
    assert (who(book, lost), asked) == (make.known(CHILD).person, 0)
    assert book.claim(told.event_id).state is ClaimState.NOT_USED


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_words_that_name_two_people_are_for_a_person_to_settle(order: tuple[int, ...]) -> None:
    """In whatever order the merges were read, the arrival after them is on the worklist: it is
    neither child's in silence.
    """
    words, lost = [merge(CHILD), merge(OTHER, "S", "T", 10)], arrival(0)
    book, asked = read((*(words[one] for one in order), lost), flagged=(CHILD,))
    assert (book.claim(lost.event_id).state, asked) == (ClaimState.UNRESOLVED, 0)
    assert lost.event_id in book.changes.worklist


def test_an_id_that_is_given_out_again_is_not_named_by_its_old_merge() -> None:
    """Recorded hours after the merge, under the retired id: somebody else's, whom nothing names."""
    lost = arrival(200)
    book, asked = read((merge(CHILD), lost), flagged=(CHILD,))
    assert (book.claim(lost.event_id).state, asked) == (ClaimState.UNRESOLVED, 0)


def test_a_chain_of_merges_names_who_stays() -> None:
    """The first says nothing, the second does; the arrival of the first id is read last."""
    lost = arrival(0)
    book, _ = read((merge(PersonClaim()), merge(CHILD, "S", "T", 10), lost), flagged=(CHILD,))
    assert who(book, lost) == make.known(CHILD).person


def test_a_merge_on_the_worklist_lacks_nobody() -> None:
    """Two verified people were merged, a conflict: the next update asks PDS for nothing."""
    one = make.attendance(CHILD, local_id="R", visit="V1")
    two = make.attendance(TWIN, local_id="S", visit="V2")
    third = merge(replace(OTHER, nhs_number=make.number(9)), "Q", "S", 6)
    again = make.attendance(TWIN, local_id="S", visit="V2", kind=VisitEventKind.UPDATE)
    conflict = merge(PersonClaim())
    book, asked = read((one, two, third, conflict, again), flagged=(CHILD,))
    assert book.claim(conflict.event_id).state is ClaimState.UNRESOLVED
    assert asked == 0
