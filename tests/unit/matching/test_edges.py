"""Departures, leave, hidden places, acuity, births and merged patients in visits and alerts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from schemas.events import Assertion, AttendanceVerified, Moment, PlanType, VisitDetail
from stores.alerts import ACCEPTED, RAISED, WITHDRAWN
from stores.visits import Visit
from streams.matching import payload
from streams.matching.episodes import group
from streams.matching.visit import fold
from tests.support.matching import (
    DIRECTORY,
    KEYS,
    MOTHER,
    NOON,
    attendance,
    flag,
    identity,
    person_of,
    visit,
    visit_event,
)
from tests.unit.matching.test_alerts import World, rules

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OTHER_PATIENT = KEYS.source_patient("feed", "P2", None, None)


def made(*events: AttendanceVerified) -> Visit:
    """The fold of attendance events."""
    return fold(visit_event(one) for one in events)


def test_leave_departs_and_the_return_is_present_whatever_comes_first() -> None:
    """A21 then A22, in every order of arrival: gone since the leave, then there again."""
    arrival, leave = attendance("A04"), attendance("A21", at=NOON + HOUR)
    back = attendance("A22", at=NOON + 3 * HOUR)
    for order in itertools.permutations((arrival, leave)):
        away = made(*order)
        assert (away.state, away.departed) == ("departed", Moment(NOON + HOUR))
    for order in itertools.permutations((arrival, leave, back)):
        there = made(*order)
        assert (there.state, there.departed) == ("present", None)


def test_a_leave_in_the_same_minute_as_its_return_comes_before_it() -> None:
    """Both recorded in one minute: the return is the last word; a discharge is after both."""
    arrival = attendance("A04")
    leave, back, gone = (attendance(one, at=NOON + HOUR) for one in ("A21", "A22", "A03"))
    for order in itertools.permutations((arrival, leave, back)):
        assert made(*order).state == "present"
    for order in itertools.permutations((arrival, leave, back, gone)):
        assert made(*order).state == "departed"


def test_a_discharge_says_when_and_where_to_and_its_undoing_takes_both_back() -> None:
    """The stated time of discharge, else that of the event; nothing of it after an A13."""
    at = Moment(NOON + 2 * HOUR, offset_minutes=60)
    arrival = attendance("A04")
    gone = attendance(
        "A03",
        at=NOON + 3 * HOUR,
        detail=VisitDetail(discharged_at=at, discharge_destination="29"),
    )
    assert (made(arrival, gone).departed, made(arrival, gone).discharge_destination) == (at, "29")
    plain = attendance("A03", at=NOON + 3 * HOUR)
    assert made(arrival, plain).departed == Moment(NOON + 3 * HOUR)
    undone = made(arrival, gone, attendance("A13", at=NOON + 4 * HOUR))
    assert (undone.state, undone.departed, undone.discharge_destination) == ("present", None, None)
    cancelled = made(arrival, gone, attendance("A11", at=NOON + 5 * HOUR))
    assert (cancelled.state, cancelled.departed) == ("cancelled", None)


def test_acuity_is_the_last_that_occurred() -> None:
    """Known at triage; a late word of an earlier moment does not replace it."""
    arrival = attendance("A04")
    triage = attendance("A08", at=NOON + HOUR, detail=VisitDetail(acuity="2"))
    older = attendance(
        "A08", at=NOON + MINUTE, recorded=NOON + 2 * HOUR, detail=VisitDetail(acuity="5")
    )
    assert made(arrival, triage, older).acuity == "2"


@pytest.mark.parametrize("trigger", ["A08", "A11"])
def test_a_place_once_hidden_stays_hidden(trigger: str) -> None:
    """Any event of the visit hides the place, also one that comes late or is a cancel."""
    hides = attendance(trigger, at=NOON - HOUR, detail=VisitDetail(location_shielded=True))
    assert made(attendance("A04"), hides).location_shielded


def test_a_hidden_place_withholds_department_site_and_reason_but_not_whom_to_ring() -> None:
    """The hospital's name and its call-back contact stay, for the authority must be able to act."""
    hidden = replace(visit(admission_method="31"), location_shielded=True)
    world = World(hidden, flags=[flag()])
    (change,) = world.turn()
    content = change.row.content.content
    assert (content.department, content.site_ods, content.reason) == (None, None, None)
    assert (content.mode_of_arrival, content.admission_method) == (None, None)
    assert content.location_shielded
    assert content.hospital_name == "Northern Children's Hospital"
    assert content.callback_phone == "0114 496 0001"
    body = orjson.loads(payload.dump(payload.alert_body(change.row.content, DIRECTORY)))
    assert body["visit"]["location_shielded"] is True
    assert body["visit"]["department"] is None


def test_a_departure_updates_the_alert_and_opens_no_new_round() -> None:
    """The authority is told when and where to; an acceptance stands."""
    world = World(visit(), flags=[flag()])
    (raised,) = world.turn()
    world.alerts[raised.row.alert_id] = replace(raised.row, state=ACCEPTED, accepted_at=NOON)
    at = Moment(NOON + HOUR)
    changes = world.put(visit(state="departed", departed=at, discharge_destination="19"))
    assert rules(changes) == ["visit-departed"]
    row = changes[0].row
    assert (row.state, row.round, row.accepted_at) == (ACCEPTED, 1, NOON)
    body = orjson.loads(payload.dump(payload.alert_body(row.content, DIRECTORY)))
    assert body["visit"]["departed_at"] == "2026-03-10T13:00:00+00:00"
    assert body["visit"]["discharge_destination"] == "19"


def test_a_cancelled_visit_after_a_departure_says_cancelled() -> None:
    """The withdrawal says that the visit was cancelled, not that the child left."""
    world = World(visit(state="departed", departed=Moment(NOON + HOUR)), flags=[flag()])
    world.turn()
    (change,) = world.put(visit(state="cancelled", live=False, arrived=None))
    content = change.row.content.content
    assert (change.row.state, content.visit_state, content.departed_at) == (
        WITHDRAWN,
        "cancelled",
        None,
    )


def test_a_restricted_childs_departure_names_no_destination() -> None:
    """When the child left is told to the registered contact; where to, and how ill, is not."""
    gone = visit(
        state="departed",
        departed=Moment(NOON + HOUR),
        discharge_destination="29",
        acuity="1",
        restricted=True,
    )
    (change,) = World(gone, flags=[flag(restricted=True)]).turn()
    content = change.row.content.content
    assert (content.discharge_destination, content.acuity) == (None, None)
    assert content.departed_at == Moment(NOON + HOUR)


def mothers(name: str = "V1", **changes: object) -> Visit:
    """A visit of the mother."""
    return replace(visit(name), person=person_of(MOTHER), **changes)  # type: ignore[arg-type]  # names of its fields


UNBORN = flag(PlanType.UCPP, person=person_of(MOTHER), nhs_number=MOTHER, birth_date="1990-01-01")


def test_a_birth_joins_the_mothers_stay_and_asks_anew() -> None:
    """Three days after she came: one alert, about her own visit, that says a baby was born; what
    was accepted before is asked again.
    """
    world = World(mothers(), flags=[UNBORN], person=person_of(MOTHER))
    (raised,) = world.turn()
    world.alerts[raised.row.alert_id] = replace(raised.row, state=ACCEPTED, accepted_at=NOON)
    born = mothers("B1", birth=True, arrived=Moment(NOON + 3 * DAY), department="NICU", reason=None)
    (change,) = world.put(born)
    row, content = change.row, change.row.content.content
    assert (row.alert_id, row.rule, row.state) == (raised.row.alert_id, "birth-reported", RAISED)
    assert (row.round, row.accepted_at) == (2, None)
    assert content.birth
    assert content.arrived_at == Moment(NOON)
    assert content.department == "Emergency Department"
    assert content.earlier_attendances == 0


def test_a_cancelled_birth_updates_the_mothers_alert() -> None:
    """The baby's visit was a mistake: her alert stands, without a birth, and asks nothing anew."""
    born = mothers("B1", birth=True, arrived=Moment(NOON + HOUR))
    world = World(mothers(), born, flags=[UNBORN], person=person_of(MOTHER))
    (raised,) = world.turn()
    assert raised.row.content.content.birth
    gone = replace(born, live=False, arrived=None, state="cancelled")
    (change,) = world.put(gone)
    assert (change.row.rule, change.row.round) == ("birth-cancelled", 1)
    assert not change.row.content.content.birth


def test_a_birth_without_any_visit_of_the_mother_alerts_and_its_cancel_withdraws() -> None:
    """Her own arrival never came: the birth alone alerts."""
    born = mothers("B1", birth=True)
    world = World(born, flags=[UNBORN], person=person_of(MOTHER))
    (raised,) = world.turn()
    assert raised.row.content.content.birth
    (change,) = world.put(replace(born, live=False, arrived=None, state="cancelled", birth=False))
    assert change.row.rule == "visit-cancelled"


def test_a_birth_long_after_she_left_is_an_episode_of_its_own() -> None:
    """She departed; a birth two days later at the same hospital is another attendance."""
    left = mothers(state="departed", departed=Moment(NOON + HOUR))
    born = mothers("B1", birth=True, arrived=Moment(NOON + 2 * DAY))
    assert len(group([left, born])) == 2
    assert len(group([replace(left, departed=Moment(NOON + 3 * DAY)), born])) == 1


def test_a_birth_folds_to_a_visit_of_the_mother() -> None:
    """Reported again, and cancelled: the last word counts; it is a birth only while it lives."""
    who = identity(MOTHER)
    first = attendance("birth", visit="B1", who=who)
    again = attendance("birth", visit="B1", who=who, at=NOON + MINUTE)
    assert made(first, again).birth
    cancel = attendance("A11", visit="B1", who=who, at=NOON + HOUR)
    assert (made(first, cancel).birth, made(first, cancel).live) == (False, False)


def test_an_alert_follows_its_visit_to_the_patient_it_was_merged_into() -> None:
    """The visit is said to be of another source patient: same alert id, nothing told."""
    world = World(visit(), flags=[flag()])
    (raised,) = world.turn()
    assert world.put(visit(source_patient=OTHER_PATIENT)) == []
    (row,) = world.standing
    assert row.alert_id == raised.row.alert_id


def test_c13_merged_patients_alerts_become_one() -> None:
    """Two patients' visits within a day, each alerted; merged: the accepted alert stays, the other
    is withdrawn as joined. Taken apart again, each has its own.
    """
    one, two = visit("V1"), visit("V2", NOON + HOUR, source_patient=OTHER_PATIENT)
    world = World(one, two, flags=[flag()])
    first, second = world.turn()
    world.alerts[second.row.alert_id] = replace(second.row, state=ACCEPTED, accepted_at=NOON)
    world.put(replace(one, source_patient=OTHER_PATIENT))
    assert [row.alert_id for row in world.standing] == [second.row.alert_id]
    joined = world.alerts[first.row.alert_id]
    assert (joined.state, joined.rule) == (WITHDRAWN, "episode-joined")
    world.put(one)
    assert len(world.standing) == 2


def test_what_was_taken_back_does_not_keep_the_retired_patient() -> None:
    """A retracted event still has the retired patient: the visit is of whom the others say."""
    arrival = attendance("A04", source_patient=OTHER_PATIENT, revision=2)
    retracted = attendance("A08", at=NOON + MINUTE, revision=2, assertion=Assertion.RETRACTED)
    assert made(arrival, retracted).source_patient == OTHER_PATIENT


def test_a_cancel_that_hides_the_place_does_not_tell_it_once_more() -> None:
    """The withdrawal shows the last content, without the place that is hidden by now."""
    told = VisitDetail(department="ED", site_ods="S1", reason="assault", mode_of_arrival="police")
    arrival = attendance("A04", detail=told)
    world = World(made(arrival), flags=[flag()])
    world.turn()
    cancel = attendance("A11", at=NOON + HOUR, detail=VisitDetail(location_shielded=True))
    (change,) = world.put(made(arrival, cancel))
    content = change.row.content.content
    assert (change.row.state, content.location_shielded) == (WITHDRAWN, True)
    assert {content.department, content.site_ods, content.reason, content.mode_of_arrival} == {None}


def test_every_baby_is_to_be_confirmed() -> None:
    """Twins: the second was born after the first was accepted, and asks anew; said again, or in
    the same batch, it does not.
    """
    world = World(mothers(), flags=[UNBORN], person=person_of(MOTHER))
    world.turn()
    for baby in (1, 2):
        born = mothers(f"B{baby}", birth=True, arrived=Moment(NOON + baby * HOUR))
        (change,) = world.put(born)
        row = change.row
        assert (row.rule, row.state, row.round) == ("birth-reported", RAISED, baby + 1)
        world.alerts[row.alert_id] = replace(row, state=ACCEPTED, accepted_at=NOON)
        assert world.put(born) == []


@pytest.mark.parametrize("days", [31, 240, 400])
def test_a_birth_joins_no_visit_of_which_nothing_was_heard_for_a_month(days: int) -> None:
    """Never discharged, months ago: the birth stands alone. Heard of within 30 days, it joins."""
    old = mothers(reason="sprained ankle")
    born = mothers("B1", birth=True, arrived=Moment(NOON + days * DAY))
    assert len(group([old, born])) == 2
    assert len(group([replace(old, heard_until=NOON + (days - 30) * DAY), born])) == 1


def test_a_discharge_tidied_up_long_after_is_no_word_of_a_stay() -> None:
    """The events of a stay follow each other; what comes after a silence does not prolong it."""
    weeks = [attendance("A08", at=NOON + count * 20 * DAY) for count in (1, 2)]
    tidied = attendance("A03", at=NOON + 240 * DAY)
    assert made(attendance("A04"), *weeks, tidied).heard_until == NOON + 40 * DAY


@pytest.mark.parametrize(("days", "raised"), [(364, 1), (366, 0)])
def test_an_arrival_of_long_ago_is_not_alerted_again(days: int, raised: int) -> None:
    """After a year its alert may have ended; before that, what comes late is still told."""
    world = World(made(attendance("A04")), flags=[flag()])
    world.now = NOON + days * DAY
    assert len(world.turn()) == raised
