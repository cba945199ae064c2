"""A visit folds its events whatever their order of arrival (correctness rule 12)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import (
    Assertion,
    AttendanceVerified,
    IdentityStatus,
    Moment,
    VisitDetail,
    VisitEventKind,
)
from stores.visits import Visit, VisitEvent
from streams.matching.visit import existence, fold, highest_revisions
from tests.support.matching import (
    CHILD,
    MOTHER,
    NOON,
    OTHER_CHILD,
    attendance,
    identity,
    person_of,
    visit_event,
)

MINUTE = timedelta(minutes=1)


def made(*events: AttendanceVerified) -> Visit:
    """The fold of attendance events."""
    return fold(visit_event(one) for one in events)


def test_an_arrival_makes_a_live_visit_with_its_time() -> None:
    """An arrival alone: live, present, arrived when it occurred, named by its identity."""
    visit = made(attendance("A04"))
    assert (visit.live, visit.state, visit.person) == (True, "present", person_of(CHILD))
    assert visit.arrived == Moment(NOON)
    assert not visit.late
    assert not visit.provisional


def test_an_admission_that_is_no_arrival_does_not_live() -> None:
    """A planned admission makes no live visit, and nothing to alert for."""
    visit = made(attendance("A01", arrival=False))
    assert (visit.live, visit.state, visit.arrived) == (False, "none", None)


def test_housekeeping_of_a_baby_founds_a_birth_and_revives_none() -> None:
    """An A08 that names the mother tells of a birth if nothing did; after the A11 it does not. The
    baby's own arrival, recorded after the cancel, does.
    """

    def birth(minutes: int, *, arrival: bool) -> AttendanceVerified:
        at = NOON + minutes * MINUTE
        told = attendance("A04", at=at, arrival=arrival, message=str(minutes))
        return replace(told, kind=VisitEventKind.BIRTH)

    first, cancel = birth(0, arrival=True), attendance("A11", at=NOON + 5 * MINUTE, message="5")
    update, again = birth(9, arrival=False), birth(10, arrival=True)
    assert made(update).live
    assert made(update).birth
    assert made(first, update).arrived == Moment(NOON)
    for order in ((first, cancel, update), (update, cancel, first), (cancel, update, first)):
        assert made(*order).state == "cancelled"
    assert made(cancel, update).state == "cancelled"
    assert made(first, cancel, update, again).live


def test_c12_cancel_then_same_visit_again_revives() -> None:
    """A04, A11, then the A04 re-sent with its original EVN-6 but recorded later: live again."""
    first = attendance("A04", message="1")
    cancel = attendance("A11", at=NOON + 5 * MINUTE, message="2")
    again = attendance("A04", at=NOON, recorded=NOON + 9 * MINUTE, message="3")
    assert not made(first, cancel).live
    assert made(first, cancel).state == "cancelled"
    for order in ((first, cancel, again), (again, cancel, first), (cancel, again, first)):
        visit = made(*order)
        assert (visit.live, visit.state) == (True, "present")
        assert visit.arrived == Moment(NOON)


def test_c12_a_cancel_that_comes_first_leaves_a_tombstone() -> None:
    """The cancel is seen before the arrival that it cancels: the arrival stays cancelled."""
    cancel = attendance("A11", at=NOON + 5 * MINUTE)
    assert made(cancel).state == "cancelled"
    assert made(cancel, attendance("A04")).state == "cancelled"


def test_c12_a13_undoes_a_discharge_but_not_a_cancel() -> None:
    """A13 brings a departed person back; a cancelled visit stays cancelled."""
    arrival, discharge = attendance("A04"), attendance("A03", at=NOON + 5 * MINUTE)
    undo = attendance("A13", at=NOON + 6 * MINUTE)
    assert made(arrival, discharge).state == "departed"
    assert made(undo, discharge, arrival).state == "present"
    cancel = attendance("A11", at=NOON + 5 * MINUTE)
    assert made(arrival, cancel, undo).state == "cancelled"


def test_values_are_the_last_that_occurred_not_the_last_that_came() -> None:
    """An update recorded late about an earlier moment does not overwrite a later one."""
    arrival = attendance("A04", detail=VisitDetail(department="ED", reason="fall"))
    moved = attendance("A08", at=NOON + 9 * MINUTE, detail=VisitDetail(department="PAU"))
    older = attendance(
        "A08",
        at=NOON + 2 * MINUTE,
        recorded=NOON + 20 * MINUTE,
        detail=VisitDetail(department="XRAY", mode_of_arrival="ambulance"),
    )
    visit = made(arrival, moved, older)
    assert (visit.department, visit.reason, visit.mode_of_arrival) == ("PAU", "fall", "ambulance")


def test_a_cancel_states_no_values() -> None:
    """What a cancel message carries of the visit is not taken over."""
    cancel = attendance("A11", at=NOON + MINUTE, detail=VisitDetail(department="VOID"))
    again = attendance("A04", recorded=NOON + 2 * MINUTE, detail=VisitDetail(department="ED"))
    assert made(cancel, again).department == "ED"


def test_the_latest_assertion_names_the_person() -> None:
    """A04 named one person, a later A08 another: the visit is about the second."""
    first, second = attendance("A04"), attendance("A08", at=NOON + MINUTE, number=OTHER_CHILD)
    assert made(second, first).person == person_of(OTHER_CHILD)


def test_the_higher_revision_holds_whatever_comes_last() -> None:
    """A retraction (revision 2) seen before the assertion (revision 1) still retracts."""
    asserted = attendance("A04")
    retracted = attendance("A04", revision=2, assertion=Assertion.RETRACTED)
    anew = attendance("A04", revision=3, number=OTHER_CHILD)
    for order in ((asserted, retracted), (retracted, asserted)):
        visit = made(*order)
        assert visit.person is None
        assert visit.live  # somebody did arrive
    assert made(anew, asserted, retracted).person == person_of(OTHER_CHILD)


def test_one_verified_event_makes_the_visit_verified() -> None:
    """Provisional until any event that names the person is verified."""
    maybe = attendance("A04", who=identity(status=IdentityStatus.PROVISIONAL))
    unknown = attendance("A08", at=NOON + MINUTE, who=identity(status=IdentityStatus.UNKNOWN))
    assert made(maybe, unknown).provisional
    assert not made(maybe, attendance("A08", at=NOON + MINUTE)).provisional
    other = attendance("A08", at=NOON - MINUTE, number=OTHER_CHILD)
    assert not made(maybe, other).provisional
    uncertain = replace(other, identity=replace(other.identity, status=IdentityStatus.PROVISIONAL))
    assert made(maybe, uncertain).provisional


def test_a_later_provisional_assertion_does_not_displace_a_verified_one() -> None:
    """Verified word names one child, later provisional word another: the first stays, the second
    is named besides until the trace answers; verified, it names the visit; taken back, nobody.
    """
    first = attendance("A04")

    def second(status: IdentityStatus, revision: int, **changes: Any) -> AttendanceVerified:
        who = identity(OTHER_CHILD, status=status, restricted=True)
        return attendance("A08", at=NOON + MINUTE, who=who, revision=revision, **changes)

    maybe = second(IdentityStatus.PROVISIONAL, 1)
    visit = made(maybe, first)
    assert (visit.person, visit.provisional, visit.also) == (
        person_of(CHILD),
        False,
        person_of(OTHER_CHILD),
    )
    assert (visit.restricted, visit.also_restricted) == (False, True)
    theirs = visit.about(person_of(OTHER_CHILD))
    assert (theirs.person, theirs.provisional, theirs.restricted) == (
        person_of(OTHER_CHILD),
        True,
        True,
    )
    assert visit.about(person_of(CHILD)) == visit
    answered = made(first, maybe, second(IdentityStatus.VERIFIED, 2))
    assert (answered.person, answered.also) == (person_of(OTHER_CHILD), None)
    gone = made(first, maybe, second(IdentityStatus.VERIFIED, 2, assertion=Assertion.RETRACTED))
    assert (gone.person, gone.also) == (person_of(CHILD), None)


def test_fresh_is_measured_from_what_was_recorded_not_from_what_is_said_to_have_occurred() -> None:
    """A wrong time of arrival leaves a message fresh; one recorded 24 h ago and more is not."""
    wrong = attendance("A04", at=NOON - timedelta(days=3650), recorded=NOON)
    assert (made(wrong).late, made(wrong).fresh) == (True, True)
    backlog = attendance("A04", received=NOON + timedelta(hours=24, seconds=1))
    assert not made(backlog).fresh


def test_missing_times_fall_back_to_message_then_receipt() -> None:
    """Without EVN-2 and EVN-6 the message's time orders, without that the receipt."""
    bare = attendance("A04", recorded_at=None, occurred_at=None, message_at=None, received=NOON)
    assert made(bare).arrived == Moment(NOON)
    cancel = attendance("A11", at=NOON + MINUTE, recorded_at=None)
    assert not made(cancel, bare).live
    earlier = attendance("A11", at=NOON - MINUTE, recorded_at=None)
    assert made(earlier, bare).live


def test_late_only_if_every_arrival_was_late() -> None:
    """24 h after the arrival is not late, a second more is; a timely arrival makes it timely."""
    at_limit = attendance("A04", received=NOON + timedelta(hours=24))
    over = attendance("A04", received=NOON + timedelta(hours=24, seconds=1), message="late")
    assert not made(at_limit).late
    assert made(over).late
    assert not made(over, at_limit).late


STEP = st.integers(min_value=0, max_value=4)


@st.composite
def messages(draw: st.DrawFn) -> VisitEvent:
    """A message of one visit, about one of two people, with few distinct times."""
    start = datetime(2026, 3, 29, 0, 50, tzinfo=UTC)  # clocks go forward at 01:00
    triggers = ["A01", "A03", "A04", "A08", "A11", "A13", "A21", "A22", "birth"]
    trigger = draw(st.sampled_from(triggers))
    occurred = start + draw(STEP) * MINUTE
    recorded = occurred + draw(STEP) * MINUTE
    event = attendance(
        trigger,
        at=occurred,
        recorded=recorded,
        received=recorded + draw(STEP) * MINUTE,
        message=draw(st.sampled_from("abcdef")) + trigger,
        arrival=trigger in {"A01", "A04", "birth"} and draw(st.booleans()),
        revision=draw(st.integers(1, 3)),
        assertion=draw(st.sampled_from([Assertion.ASSERTED, Assertion.RETRACTED])),
        who=identity(
            draw(st.sampled_from([CHILD, OTHER_CHILD, MOTHER])),
            status=draw(st.sampled_from([IdentityStatus.VERIFIED, IdentityStatus.PROVISIONAL])),
        ),
        sequence=draw(st.none() | st.integers(0, 3)),
        detail=VisitDetail(
            department=draw(st.sampled_from([None, "ED", "PAU"])),
            reason=draw(st.sampled_from([None, "fall", "burn"])),
            acuity=draw(st.sampled_from([None, "1", "5"])),
            discharged_at=draw(st.sampled_from([None, Moment(NOON), Moment(NOON + MINUTE)])),
            discharge_destination=draw(st.sampled_from([None, "19"])),
            location_shielded=draw(st.booleans()),
        ),
    )
    if draw(st.booleans()):
        event = replace(event, recorded_at=None, occurred_at=None)  # a sender without EVN times
    return visit_event(event)


def distinct(events: list[VisitEvent]) -> list[VisitEvent]:
    """Real senders' events: one content for one (reported event, revision)."""
    seen: dict[tuple[uuid.UUID, int], VisitEvent] = {}
    for one in events:
        seen.setdefault((one.reported_event_id, one.revision), one)
    return list(seen.values())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_permutation_and_repetition_folds_the_same(data: st.DataObject) -> None:
    """Any order, with any repeats, gives the same visit: nothing depends on offsets."""
    events = distinct(data.draw(st.lists(messages(), min_size=1, max_size=7)))
    expected = fold(events)
    shuffled = data.draw(st.permutations(events))
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=4))
    assert fold([*shuffled, *repeats]) == expected
    assert fold([*repeats, *reversed(shuffled)]) == expected


@settings(max_examples=200, deadline=None)
@given(events=st.lists(messages(), min_size=1, max_size=7))
def test_live_is_exactly_an_arrival_that_no_later_cancel_undoes(events: list[VisitEvent]) -> None:
    """The fold against its definition, written the other way round."""
    kept = highest_revisions(events)
    arrivals = [existence(one) for one in kept if one.event.arrival]
    cancels = [existence(one) for one in kept if one.event.trigger == "A11"]
    births = [one for one in kept if one.event.kind is VisitEventKind.BIRTH]
    live = bool(arrivals) and (not cancels or max(arrivals) > max(cancels))
    live = live or (bool(births) and not cancels)
    visit = fold(events)
    assert visit.live is live
    assert (visit.arrived is not None) is live
