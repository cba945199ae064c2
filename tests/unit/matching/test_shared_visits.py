"""Several children under one visit number: each by their own local id, and none for another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import (
    Assertion,
    AttendanceVerified,
    IdentityStatus,
    VisitDetail,
    VisitEventKind,
)
from stores.visits import Visit, VisitEvent
from streams.matching.visit import fold, folds, highest_revisions
from tests.support.matching import (
    CHILD,
    KEYS,
    NOON,
    OTHER_CHILD,
    attendance,
    identity,
    person_of,
    visit_event,
)
from tests.unit.matching.test_visit import distinct, messages

MINUTE = timedelta(minutes=1)
PATIENTS = [KEYS.source_patient("feed", local_id, None, None) for local_id in ("P1", "P2", "P3")]


def made(*events: AttendanceVerified) -> dict[str | None, Visit]:
    """By person, the visits that attendance events make."""
    found = folds(visit_event(one) for one in events)
    assert len({one.source_patient for one in found}) == len(found)
    return {one.person: one for one in found}


def maybe(number: str) -> AttendanceVerified:
    """An arrival of the second local id that is provisionally of this number."""
    who = identity(number, status=IdentityStatus.PROVISIONAL)
    return attendance("A04", patient="P2", at=NOON + MINUTE, message="second", who=who)


def test_two_local_ids_of_two_people_are_two_visits() -> None:
    """Whoever is verified last takes nothing from the other; nor does who waits for PDS."""
    first = attendance("A04")
    second = attendance("A04", number=OTHER_CHILD, patient="P2", message="second")
    for visits in (made(first, second), made(first, maybe(OTHER_CHILD))):
        assert set(visits) == {person_of(CHILD), person_of(OTHER_CHILD)}
        assert all(one.live and one.also is None for one in visits.values())
    assert made(first, maybe(OTHER_CHILD))[person_of(OTHER_CHILD)].provisional


def test_two_local_ids_of_one_person_are_one_visit() -> None:
    """A child under two of the hospital's ids is there once, verified as soon as one is."""
    (visit,) = made(attendance("A04"), maybe(CHILD)).values()
    assert (visit.person, visit.provisional) == (person_of(CHILD), False)


def test_what_is_only_perhaps_of_a_child_adds_nothing_to_her_verified_visit() -> None:
    """A twin comes with her sister's number: neither her department nor her cancel is the sister's.
    Where the sister's own visit was cancelled, somebody has come who is perhaps her."""
    first = attendance("A04", detail=VisitDetail(department="ED"))
    perhaps = identity(CHILD, status=IdentityStatus.PROVISIONAL)
    twin = attendance(
        "A04",
        patient="P2",
        at=NOON + MINUTE,
        message="second",
        who=perhaps,
        detail=VisitDetail(department="MAT"),
    )
    gone = attendance("A11", patient="P2", at=NOON + 2 * MINUTE, who=perhaps)
    for events in ((first, twin), (first, twin, gone)):
        (visit,) = made(*events).values()
        assert (visit.live, visit.provisional, visit.department) == (True, False, "ED")
    over = attendance("A11", at=NOON + MINUTE)
    live = [one for one in folds(map(visit_event, (first, over, twin))) if one.live]
    assert [(one.provisional, one.department) for one in live] == [(True, "MAT")]
    housekeeping = replace(twin, kind=VisitEventKind.UPDATE, arrival=False)
    found = folds(map(visit_event, (first, over, housekeeping)))
    assert not any(one.live for one in found)


def test_a_cancel_or_discharge_is_of_its_own_local_id() -> None:
    """The other child's visit under the same number goes on."""
    first = attendance("A04")
    second = attendance("A04", number=OTHER_CHILD, patient="P2", message="second")
    gone = attendance("A11", at=NOON + MINUTE)
    left = attendance("A03", at=NOON + MINUTE, patient="P2", number=OTHER_CHILD)
    visits = made(first, second, gone, left)
    assert visits[person_of(CHILD)].state == "cancelled"
    assert visits[person_of(OTHER_CHILD)].state == "departed"


def test_who_comes_by_an_update_alone_has_the_arrival_of_the_visit() -> None:
    """The hospital corrects whose visit it is, under another id: the second child is told of, and
    the first is not taken back on a guess. Cancelled under the first id, it was the first's; under
    both, neither's."""
    first = attendance("A04")
    second = attendance("A08", number=OTHER_CHILD, patient="P2", at=NOON + MINUTE)
    visits = made(first, second)
    assert all(one.live for one in visits.values())
    assert set(visits) == {person_of(CHILD), person_of(OTHER_CHILD)}
    cancel = attendance("A11", at=NOON + 2 * MINUTE)
    visits = made(first, second, cancel)
    assert [visits[person_of(one)].live for one in (CHILD, OTHER_CHILD)] == [False, True]
    its_own = attendance("A11", at=NOON + 3 * MINUTE, patient="P2", number=OTHER_CHILD)
    assert not any(one.live for one in made(first, second, cancel, its_own).values())


def test_what_was_taken_back_of_one_leaves_the_visit_to_the_other() -> None:
    """Identity takes an assertion back: it names nobody, but somebody arrived."""
    back = attendance("A04", assertion=Assertion.RETRACTED, revision=2)
    second = attendance("A08", number=OTHER_CHILD, patient="P2", at=NOON + MINUTE)
    ((person, visit),) = made(back, second).items()
    assert (person, visit.live) == (person_of(OTHER_CHILD), True)


@pytest.mark.parametrize("trigger", ["A11", "A03", "A21"])
def test_how_it_ended_under_an_id_that_names_nobody_counts_for_nobody_else(trigger: str) -> None:
    """A cancel or discharge that was taken back with its person is no word of another child."""
    back = attendance("A04", assertion=Assertion.RETRACTED, revision=2)
    end = attendance(trigger, at=NOON + 5 * MINUTE, assertion=Assertion.RETRACTED, revision=2)
    for second in ("A04", "A08"):
        own = attendance(second, number=OTHER_CHILD, patient="P2", at=NOON + MINUTE, message="s")
        ((person, visit),) = made(back, end, own).items()
        assert (person, visit.state) == (person_of(OTHER_CHILD), "present")


def test_another_childs_leaving_and_reason_are_hers() -> None:
    """Who comes by another local id's arrival has neither her discharge nor what she is there for,
    unless that id names nobody."""
    why = VisitDetail(reason="fall", acuity="2")
    first = attendance("A04", detail=why)
    second = attendance("A08", number=OTHER_CHILD, patient="P2", at=NOON + MINUTE)
    left = attendance("A03", at=NOON + 5 * MINUTE)
    visits = made(first, second, left)
    assert (visits[person_of(CHILD)].state, visits[person_of(CHILD)].reason) == ("departed", "fall")
    theirs = visits[person_of(OTHER_CHILD)]
    assert (theirs.state, theirs.reason, theirs.acuity) == ("present", None, None)
    nobody = attendance("A04", detail=why, assertion=Assertion.RETRACTED, revision=2)
    assert made(nobody, second)[person_of(OTHER_CHILD)].reason == "fall"


def test_who_was_cancelled_under_their_own_id_is_named_besides_another() -> None:
    """The hospital takes the registration back and corrects the first id: they are told of there,
    provisionally."""
    second = attendance("A04", number=OTHER_CHILD, patient="P2", message="second")
    gone = attendance("A11", at=NOON + MINUTE, patient="P2", number=OTHER_CHILD)
    who = identity(OTHER_CHILD, status=IdentityStatus.PROVISIONAL)
    later = attendance("A08", at=NOON + 2 * MINUTE, who=who)
    visits = made(attendance("A04"), second, gone, later)
    assert visits[person_of(CHILD)].also == person_of(OTHER_CHILD)


def test_who_has_a_visit_under_an_id_of_their_own_is_not_named_besides_another() -> None:
    """One alert each: the first id's later provisional word is of the second id's child."""
    who = identity(OTHER_CHILD, status=IdentityStatus.PROVISIONAL)
    later = attendance("A08", at=NOON + 2 * MINUTE, who=who)
    second = attendance("A04", number=OTHER_CHILD, patient="P2", message="second")
    visits = made(attendance("A04"), later, second)
    assert visits[person_of(CHILD)].also is None
    assert not visits[person_of(OTHER_CHILD)].provisional


@st.composite
def of_patients(draw: st.DrawFn) -> VisitEvent:
    """A message of one visit number, under one of three local ids."""
    event = draw(messages())
    return replace(event, source_patient=draw(st.sampled_from(PATIENTS)))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_order_gives_one_visit_a_person_and_forgets_nobody(data: st.DataObject) -> None:
    """Whom any local id names has a visit, and only one that is live; nobody else has one; any
    order is the same."""
    events = distinct(data.draw(st.lists(of_patients(), min_size=1, max_size=7)))
    found = folds(events)
    assert folds(data.draw(st.permutations(events))) == found
    kept = highest_revisions(events)
    alone = {
        fold(own).person
        for patient in PATIENTS
        if (own := [one for one in kept if one.source_patient == patient])
    } - {None}
    live = [one.person for one in found if one.live]
    assert len(live) == len(set(live))
    sure = [one.person for one in found if not one.provisional]
    assert len(sure) == len(set(sure))
    assert {one.person for one in found} == (alone or {None})
    assert len({one.source_patient for one in found}) == len(found)
    if len(alone) <= 1 and len({one.source_patient for one in kept}) == 1:
        assert found == [fold(events)]
