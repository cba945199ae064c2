"""Alerts are what the facts call for: raised, updated, withdrawn, revived (rules 1, 5, 13, 17)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halyard import ids
from schemas import codec
from schemas.events import (
    AlertChange,
    AlertChanged,
    Assertion,
    IdentityStatus,
    PlanType,
    VisitDetail,
)
from stores.alerts import ACCEPTED, RAISED, WITHDRAWN, AlertRow
from stores.flags import Flag
from stores.visits import Visit, VisitEvent
from streams.matching.alerts import Change, reconcile
from streams.matching.desired import Deciding, PersonState
from streams.matching.notices import notices
from streams.matching.visit import fold
from tests.support.matching import (
    CHILD,
    DESK,
    DIRECTORY,
    LEEDS,
    NOON,
    OTHER_CHILD,
    SHEFFIELD,
    attendance,
    flag,
    identity,
    person_of,
    visit,
    visit_event,
)

HOUR = timedelta(hours=1)


def deciding(now: datetime = NOON) -> Deciding:
    """What a decision at `now` needs."""
    return Deciding(
        directory=DIRECTORY,
        now=now,
        digest=lambda body: hashlib.sha256(body).hexdigest(),
        trace=lambda person, visits: "00-1-2-01",
    )


class World:
    """One person's facts and alerts, kept as the stores would."""

    def __init__(self, *visits: Visit, flags: Iterable[Flag] = (), person: str = "") -> None:
        self.person = person or person_of(CHILD)
        self.visits = {one.visit_id: one for one in visits}
        self.flags = tuple(flags)
        self.alerts: dict[uuid.UUID, AlertRow] = {}
        self.now = NOON

    def turn(self) -> list[Change]:
        """Reconcile and keep the outcome; versions only grow."""
        self.now += timedelta(seconds=1)
        changes = reconcile(self.state(), deciding(self.now))
        for change in changes:
            before = self.alerts.get(change.row.alert_id)
            grown = 0 if change.change is None else 1
            assert change.row.version == (before.version if before else 0) + grown
            self.alerts[change.row.alert_id] = change.row
        assert reconcile(self.state(), deciding(self.now)) == []
        return changes

    def state(self) -> PersonState:
        """What is known now; restricted if a plan or a visit of the person says so."""
        own = [one.about(self.person) for one in self.visits.values()]
        return PersonState(
            self.person,
            tuple(self.visits.values()),
            self.flags,
            tuple(self.alerts.values()),
            restricted=any(one.restricted for one in self.flags)
            or any(one.restricted for one in own if one.person == self.person),
        )

    def put(self, *visits: Visit) -> list[Change]:
        """Store folded visits and reconcile."""
        self.visits.update({one.visit_id: one for one in visits})
        return self.turn()

    @property
    def standing(self) -> list[AlertRow]:
        """Alerts that are not withdrawn."""
        return [one for one in self.alerts.values() if one.state != WITHDRAWN]


def kinds(changes: list[Change]) -> list[AlertChange | None]:
    """What kind each change is."""
    return [one.change for one in changes]


def rules(changes: list[Change]) -> list[str]:
    """Which rule decided each."""
    return [one.row.rule for one in changes]


def test_an_arrival_of_a_flagged_child_is_alerted_with_all_that_is_known() -> None:
    """One alert to the authority: who, where, why, whom to ring."""
    world = World(visit(), flags=[flag(), flag(PlanType.LAC)])
    (change,) = world.turn()
    row, content = change.row, change.row.content.content
    assert (change.change, row.version, row.state, row.rule) == (
        AlertChange.RAISED,
        1,
        RAISED,
        "arrival-of-flagged-person",
    )
    assert row.alert_id == ids.derive(
        "alert", person_of(CHILD), SHEFFIELD, visit().source_patient, str(visit().visit_id)
    )
    assert [one.plan_type for one in content.flags] == [PlanType.CPP, PlanType.LAC]
    assert (content.department, content.site_ods) == ("Emergency Department", "RHQ01")
    assert (content.mode_of_arrival, content.reason) == ("ambulance", "fall")
    assert (content.callback_name, content.callback_phone) == (
        "Safeguarding nurse",
        "0114 496 0001",
    )
    assert content.nhs_number == CHILD
    told = notices(change, DESK)
    assert [(one.destination, one.kind) for one in told.deliveries] == [
        ("sheffield", "alert"),
        ("hospital-contact", "match"),
    ]
    assert told.entry.record.key == str(row.alert_id)


def test_a_person_without_flag_or_visit_is_not_alerted() -> None:
    """Silence for everyone else."""
    assert World(visit()).turn() == []
    assert World(flags=[flag()]).turn() == []
    assert World(visit(live=False, arrived=None, state="cancelled"), flags=[flag()]).turn() == []
    assert World(visit(person=person_of(OTHER_CHILD)), flags=[flag()]).turn() == []


def test_two_authorities_are_both_told() -> None:
    """Each has an alert of its own with its own flags only."""
    world = World(visit(), flags=[flag(), flag(PlanType.LAC, authority=LEEDS)])
    world.turn()
    shown = {
        one.authority: [flag.plan_type for flag in one.content.content.flags]
        for one in world.standing
    }
    assert shown == {SHEFFIELD: [PlanType.CPP], LEEDS: [PlanType.LAC]}


def test_an_ended_plan_is_shown_beside_an_active_one_and_alone_is_silent() -> None:
    """Ended within 365 days: shown as ended; it raises nothing by itself."""
    ended = flag(PlanType.LAC, start=date(2024, 1, 1), end=date(2025, 12, 1))
    assert World(visit(), flags=[ended]).turn() == []
    world = World(visit(), flags=[ended, flag()])
    world.turn()
    (row,) = world.standing
    assert [(one.plan_type, one.active) for one in row.content.content.flags] == [
        (PlanType.CPP, True),
        (PlanType.LAC, False),
    ]
    assert row.content.content.flags[1].end == "2025-12-01"


@pytest.mark.parametrize(
    ("after", "alerted"),
    [
        (timedelta(hours=23, minutes=59), True),
        (timedelta(hours=24), True),
        (timedelta(hours=24, minutes=1), False),
    ],
)
def test_a_flag_received_within_24_hours_of_the_arrivals_receipt_alerts(
    after: timedelta, alerted: bool
) -> None:
    """The 24 h run between receive times, not the times that are stated."""
    came = visit(received_at=NOON + 3 * HOUR)
    late_flag = flag(start=date(2026, 3, 9), active_since=came.received_at + after)
    changes = World(came, flags=[late_flag]).turn()
    assert bool(changes) is alerted
    assert all(rule == "flag-after-arrival" for rule in rules(changes))


def test_a_plan_that_begins_the_day_after_the_arrival_alerts_if_it_came_by_then() -> None:
    """Active on the day on which it was received, within 24 h of the arrival."""
    evening = datetime(2026, 3, 10, 22, 0, tzinfo=UTC)
    tomorrow = flag(start=date(2026, 3, 11), active_since=evening + 12 * HOUR)
    assert World(visit(at=evening), flags=[tomorrow]).turn()
    planned = flag(start=date(2026, 3, 11), active_since=evening - 12 * HOUR)
    assert World(visit(at=evening), flags=[planned]).turn() == []


@pytest.mark.parametrize("wrong", [timedelta(days=-3650), timedelta(days=400)])
def test_a_plan_active_on_the_day_of_receipt_alerts_whatever_arrival_time_was_typed(
    wrong: timedelta,
) -> None:
    """A wrong time of arrival, years off either way: the plan that stands today alerts, once. Of an
    arrival recorded days before it reached us the stated day alone counts.
    """
    plan = flag(start=date(2026, 1, 5), end=date(2026, 12, 31))
    odd = visit(at=NOON + wrong, received_at=NOON, late=wrong < timedelta(0))
    (change,) = World(odd, flags=[plan]).turn()
    assert (change.row.rule, change.row.late) == ("arrival-of-flagged-person", odd.late)
    assert [one.active for one in change.row.content.content.flags] == [True]
    assert World(replace(odd, fresh=False), flags=[plan]).turn() == []


def test_the_days_of_a_plan_are_london_days() -> None:
    """23:30 UTC in summer is already the next day, on which the plan begins."""
    night = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    begins = flag(start=date(2026, 7, 2))
    assert World(visit(at=night), flags=[begins]).turn()
    assert World(visit(at=night - HOUR), flags=[begins]).turn() == []


def test_a_late_arrival_alerts_and_is_marked() -> None:
    """Older than 24 h on receipt: alerted all the same, as late."""
    (change,) = World(visit(late=True), flags=[flag()]).turn()
    assert change.row.late
    assert change.row.content.late


def test_an_unborn_plan_is_alerted_for_its_adult_mother_and_a_childs_plan_is_not() -> None:
    """Age ends the plans of children alone."""
    mother = flag(PlanType.UCPP, birth_date="1990-01-01")
    assert World(visit(), flags=[mother]).turn()
    assert World(visit(), flags=[flag(birth_date="1990-01-01")]).turn() == []


def test_eighteenth_birthday_silences_from_that_day() -> None:
    """Arrival the day before: alerted; on the birthday: the plan is shown as ended, silent."""
    eighteen = flag(birth_date="2008-03-11")
    assert World(visit(), flags=[eighteen]).turn()
    assert World(visit(at=NOON + 24 * HOUR), flags=[eighteen]).turn() == []
    leap = flag(birth_date="2008-02-29")
    assert World(visit(at=datetime(2026, 2, 28, 12, tzinfo=UTC)), flags=[leap]).turn()
    assert World(visit(at=datetime(2026, 3, 1, 12, tzinfo=UTC)), flags=[leap]).turn() == []


def test_an_unknown_plan_type_alerts() -> None:
    """A symbol not known yet needs a person; it is never dropped."""
    assert World(visit(), flags=[flag(PlanType.UNKNOWN)]).turn()


def test_a_second_flag_updates_the_alert_and_opens_a_new_round() -> None:
    """Accepted, then another plan: same id, raised again, the answer no longer stands."""
    world = World(visit(), flags=[flag()])
    (raised,) = world.turn()
    accepted = replace(
        raised.row, state=ACCEPTED, accepted_at=NOON, accepted_by="EDT", answer="seen", version=2
    )
    world.alerts[accepted.alert_id] = accepted
    world.flags = (flag(), flag(PlanType.LAC, active_since=NOON + HOUR))
    (change,) = world.turn()
    assert (change.change, change.row.rule) == (AlertChange.UPDATED, "flag-added")
    assert (change.row.state, change.row.round, change.row.version) == (RAISED, 2, 3)
    assert (change.row.accepted_at, change.row.accepted_by, change.row.answer) == (None,) * 3
    assert change.row.alert_id == raised.row.alert_id


def test_a_new_round_asks_for_delivery_and_sight_anew() -> None:
    """Delivered, seen and accepted before a new flag or a revival: none of it holds of the new."""
    for revived in (False, True):
        world = World(visit(), flags=[flag()])
        (raised,) = world.turn()
        world.alerts[raised.row.alert_id] = replace(
            raised.row, state=ACCEPTED, accepted_at=NOON, delivered_at=NOON, seen_at=NOON, version=4
        )
        if revived:
            world.put(visit(live=False, arrived=None, state="cancelled"))
            world.put(visit())
        else:
            world.flags = (flag(), flag(PlanType.LAC, active_since=NOON + HOUR))
            world.turn()
        (row,) = world.standing
        assert row.round == 2
        assert (row.delivered_at, row.seen_at, row.accepted_at) == (None, None, None)


def test_other_updates_keep_the_acceptance() -> None:
    """The reason becomes known, the child leaves: updates that ask nobody again."""
    world = World(visit(reason=None), flags=[flag()])
    (raised,) = world.turn()
    world.alerts[raised.row.alert_id] = replace(
        raised.row, state=ACCEPTED, accepted_at=NOON, version=2
    )
    assert rules(world.put(visit())) == ["details-changed"]
    assert rules(world.put(visit(state="departed"))) == ["visit-departed"]
    (row,) = world.standing
    assert (row.state, row.version, row.round) == (ACCEPTED, 4, 1)


def test_nothing_changed_is_no_new_version() -> None:
    """The same facts again: no change."""
    world = World(visit(), flags=[flag()])
    world.turn()
    assert world.turn() == []


def test_c05_the_fold_names_another_person_and_the_alert_is_withdrawn() -> None:
    """A08 makes it another child: the first child's alert goes, with the rule that says why."""
    world = World(visit(), flags=[flag()])
    world.turn()
    (change,) = world.put(visit(person=person_of(OTHER_CHILD)))
    assert (change.change, change.row.rule) == (AlertChange.WITHDRAWN, "person-retracted")
    assert world.standing == []


def test_a_cancelled_visit_withdraws_and_a_revived_one_raises_the_same_id() -> None:
    """Cancel, then the same visit again: one id, versions 1, 2, 3, a new round."""
    world = World(visit(), flags=[flag()])
    (raised,) = world.turn()
    (gone,) = world.put(visit(live=False, arrived=None, state="cancelled"))
    assert (gone.change, gone.row.rule) == (AlertChange.WITHDRAWN, "visit-cancelled")
    assert gone.row.content.content.visit_state == "cancelled"
    assert gone.row.withdrawn_at is not None
    (again,) = world.put(visit())
    assert (again.change, again.row.rule) == (AlertChange.RAISED, "revived")
    assert (again.row.alert_id, again.row.version, again.row.round) == (raised.row.alert_id, 3, 2)
    assert again.row.withdrawn_at is None
    assert again.row.raised_at == raised.row.raised_at


def test_a_deleted_flag_withdraws_one_that_ended_since_does_not() -> None:
    """Deleted means never meant; an end after the arrival leaves the alert, with the end shown."""
    world = World(visit(), flags=[flag()])
    world.turn()
    world.flags = (flag(end=date(2026, 3, 20)),)
    assert rules(world.turn()) == ["flag-changed"]
    world.flags = ()
    assert rules(world.turn()) == ["flag-withdrawn"]


def test_a_withdrawal_shows_the_plans_as_they_are_now() -> None:
    """Ended before the arrival: as ended, with its end. Deleted: not at all. To the hospital no
    type is active any more.
    """
    ended = (flag(end=date(2026, 3, 1)),)
    for now, shown in ((ended, [("2026-01-05", "2026-03-01", False)]), ((), [])):
        world = World(visit(), flags=[flag()])
        world.turn()
        world.flags = now
        (gone,) = world.turn()
        alert, match = (orjson.loads(one.body) for one in notices(gone, DESK).deliveries)
        assert gone.row.rule == "flag-withdrawn"
        assert [(one["start"], one["end"], one["active"]) for one in alert["flags"]] == shown
        assert match["plan_types"] == []


def test_a_withdrawal_for_the_visits_sake_shows_the_plan_that_still_stands() -> None:
    """Cancelled, or about somebody else: the plan is as active as it was, unless it ended since."""
    for since, active in ((flag(), True), (flag(end=date(2026, 3, 10)), True)):
        world = World(visit(), flags=[flag()])
        world.turn()
        world.flags = (since,)
        (gone,) = world.put(visit(live=False, arrived=None, state="cancelled"))
        (one,) = gone.row.content.content.flags
        assert (one.active, one.end) == (active, since.end.isoformat() if since.end else None)
    world.put(visit())
    world.now += timedelta(days=2)
    (gone,) = world.put(visit(person=person_of(OTHER_CHILD)))
    (one,) = gone.row.content.content.flags
    assert (gone.row.rule, one.active, one.end) == ("person-retracted", False, "2026-03-10")


def test_a_plan_that_began_after_the_arrival_is_not_shown_in_its_flags_withdrawal() -> None:
    """No active plan was left for the alert: one that stands only since is not part of it."""
    world = World(visit(), flags=[flag()])
    world.turn()
    world.now += timedelta(days=5)
    world.flags = (flag(start=date(2026, 3, 12), active_since=world.now),)
    (gone,) = world.turn()
    assert (gone.row.rule, gone.row.content.content.flags) == ("flag-withdrawn", ())


def test_ending_a_plan_stirs_no_old_alert_and_deleting_it_only_those_of_30_days() -> None:
    """Three arrivals 90, 31 and 10 days ago, one an hour ago: an end date is told of the newest
    alone, and carried with the next change of an old one; a deletion withdraws what is recent.
    """
    ages = {name: timedelta(days=days) for name, days in (("A", 90), ("B", 31), ("C", 10))}
    came = [visit(name, NOON - age) for name, age in ages.items()]
    plan = flag(start=date(2025, 1, 5), active_since=NOON - timedelta(days=300))
    world = World(*came, visit("D", NOON - HOUR), flags=[plan])
    world.turn()
    world.flags = (replace(plan, end=NOON.date()),)
    (only,) = world.turn()
    assert (only.row.rule, only.row.visit_ids) == ("flag-changed", (visit("D").visit_id,))
    (carried,) = world.put(visit("B", NOON - ages["B"], state="departed"))
    assert carried.row.content.content.flags[0].end == NOON.date().isoformat()
    world.flags = ()
    gone = world.turn()
    assert rules(gone) == ["flag-withdrawn"] * 2
    assert {one.row.visit_ids[0] for one in gone} == {visit("C").visit_id, visit("D").visit_id}


def test_provisional_becomes_confirmed_as_an_update() -> None:
    """The trace answered: same id, no longer provisional."""
    world = World(visit(provisional=True), flags=[flag()])
    (raised,) = world.turn()
    assert raised.row.provisional
    (change,) = world.put(visit())
    assert (change.change, change.row.rule) == (AlertChange.UPDATED, "identity-confirmed")
    assert not change.row.content.provisional


def test_a_restricted_childs_alert_names_no_place_and_goes_to_its_own_contact_alone() -> None:
    """No department, site, mode, reason; only the endpoint registered for restricted children."""
    for world in (
        World(visit(restricted=True), flags=[flag()]),
        World(visit(), flags=[flag(restricted=True)]),
    ):
        (change,) = world.turn()
        content = change.row.content.content
        assert (content.department, content.site_ods, content.mode_of_arrival) == (None,) * 3
        assert (content.reason, content.admission_method) == (None, None)
        told = notices(change, DESK)
        assert [one.destination for one in told.deliveries] == ["sheffield-restricted"]
        assert b"Emergency" not in told.deliveries[0].body


def test_a_restricted_childs_alert_names_no_hospital_on_the_bus_only_whom_to_ring_in_its_body() -> (
    None
):
    """Subscribers learn no hospital and no phone; the registered contact learns the phone."""
    world = World(visit(), flags=[flag(restricted=True)])
    (change,) = world.turn()
    told = notices(change, DESK)
    event = codec.decode_as(AlertChanged, told.entry.record.value)
    assert (event.hospital, event.content.hospital, event.content.hospital_name) == ("", "", "")
    assert (event.content.callback_name, event.content.callback_phone) == (None, None)
    assert b"RHQ01" not in told.entry.record.value
    assert change.row.hospital == "RHQ01"
    (delivery,) = told.deliveries
    assert orjson.loads(delivery.body)["hospital"] == {
        "ods": "withheld",
        "name": "withheld",
        "site_ods": None,
        "callback": {"name": "Safeguarding nurse", "phone": "0114 496 0001"},
    }
    assert b"RHQ01" not in delivery.body
    (gone,) = world.put(visit(live=False, arrived=None, state="cancelled"))
    assert b"RHQ01" not in notices(gone, DESK).entry.record.value


def test_becoming_restricted_takes_the_hospital_out_also_of_the_withdrawal() -> None:
    """Raised openly, then cancelled and restricted at once: the withdrawal names no hospital."""
    world = World(visit(), flags=[flag()])
    world.turn()
    world.flags = (flag(restricted=True),)
    (gone,) = world.put(visit(live=False, arrived=None, state="cancelled"))
    assert b"RHQ01" not in notices(gone, DESK).entry.record.value


def test_an_alert_without_endpoint_has_a_row_that_waits_for_one() -> None:
    """The row is addressed to the authority by its code, known or not to the directory."""
    for authority in (LEEDS, "E08000099"):
        world = World(visit(), flags=[flag(authority=authority)])
        (change,) = world.turn()
        known = replace(DIRECTORY, authorities={})
        told = notices(change, replace(DESK, directory=known))
        assert [one.destination for one in told.deliveries if one.kind == "alert"] == [
            f"none:{authority}"
        ]
        assert told.unreachable


def test_a_restricted_child_without_registered_contact_is_alerted_to_nobody_but_kept() -> None:
    """The alert waits for a registered contact; the missing endpoint is told to the log."""
    world = World(visit(restricted=True), flags=[flag(authority=LEEDS)])
    (change,) = world.turn()
    told = notices(change, DESK)
    assert [one.destination for one in told.deliveries] == [f"none-restricted:{LEEDS}"]
    assert told.unreachable


def test_a_restricted_child_is_never_alerted_provisionally() -> None:
    """Not raised; one that was raised is withdrawn when the restriction becomes known."""
    assert World(visit(provisional=True, restricted=True), flags=[flag()]).turn() == []
    world = World(visit(provisional=True), flags=[flag()])
    world.turn()
    world.flags = (flag(restricted=True),)
    (change,) = world.turn()
    assert (change.change, change.row.rule) == (AlertChange.WITHDRAWN, "restricted-not-verified")
    assert change.row.content.content.department is None
    assert change.became_restricted


def test_a_visit_that_is_nobodys_is_not_said_to_be_somebody_elses() -> None:
    """Identity takes the assertion back, as it does of a restricted child until PDS has answered:
    the authority reads that it is not verified, not that another child is there."""
    world = World(visit(provisional=True), flags=[flag()])
    world.turn()
    world.flags = (flag(restricted=True),)
    (change,) = world.put(visit(person=None))
    assert change.row.rule == "restricted-not-verified"


def test_arrivals_within_24_hours_are_one_episode() -> None:
    """23:59 apart is the same alert, 24:01 apart another."""
    near = visit("V2", NOON + timedelta(hours=23, minutes=59))
    far = visit("V2", NOON + timedelta(hours=24, minutes=1))
    world = World(visit(), flags=[flag()])
    world.turn()
    assert kinds(world.put(near)) == [AlertChange.UPDATED]
    assert len(world.standing) == 1
    world = World(visit(), flags=[flag()])
    world.turn()
    assert kinds(world.put(far)) == [AlertChange.RAISED]
    assert len(world.standing) == 2


def test_other_source_patients_are_other_episodes() -> None:
    """The same child registered twice by a hospital: two records, two alerts."""
    world = World(visit(), visit("V2", source_patient="other"), flags=[flag()])
    world.turn()
    assert len(world.standing) == 2


def test_c13_an_admission_seen_before_its_earlier_arrival_is_one_alert() -> None:
    """The A01 of the ward is seen first, then the A04 of A&E: the first id is kept."""
    ward = visit("V2", NOON + 3 * HOUR, department="PAU")
    world = World(ward, flags=[flag()])
    (raised,) = world.turn()
    changes = world.put(visit())
    assert [one.row.alert_id for one in changes] == [raised.row.alert_id]
    (row,) = world.standing
    assert row.visit_ids == (visit().visit_id, ward.visit_id)
    assert row.content.content.department == "PAU"


def test_c13_joining_two_episodes_keeps_the_accepted_id() -> None:
    """A visit between two alerts joins them: the accepted stays, the other is withdrawn."""
    first, last = visit(), visit("V3", NOON + 40 * HOUR)
    world = World(first, last, flags=[flag()])
    world.turn()
    accepted = next(one for one in world.standing if one.visit_ids == (last.visit_id,))
    world.alerts[accepted.alert_id] = replace(accepted, state=ACCEPTED, accepted_at=NOON, version=2)
    changes = world.put(visit("V2", NOON + 20 * HOUR))
    assert [one.alert_id for one in world.standing] == [accepted.alert_id]
    assert "episode-joined" in rules(changes)
    # and apart again: each visit's own alert, under the ids they had
    world.put(visit("V2", live=False, arrived=None, state="cancelled"))
    assert {one.alert_id for one in world.standing} == set(world.alerts)


def test_c13_joining_two_unaccepted_episodes_keeps_the_first_raised() -> None:
    """Neither was accepted: the one raised first stays."""
    world = World(visit("V3", NOON + 40 * HOUR), flags=[flag()])
    (first,) = world.turn()
    world.put(visit())
    world.put(visit("V2", NOON + 20 * HOUR))
    assert [one.alert_id for one in world.standing] == [first.row.alert_id]


def test_earlier_attendances_count_a_year_without_the_episodes_own() -> None:
    """Visits before the episode within 12 months, live, verified."""
    world = World(
        visit("old", NOON - timedelta(days=366)),
        visit("a", NOON - timedelta(days=364), received_at=NOON - timedelta(days=364)),
        visit("b", NOON - timedelta(days=3), source_patient="other hospital"),
        visit("c", NOON - timedelta(days=2), provisional=True),
        visit("d", NOON - timedelta(days=2), live=False, arrived=None),
        visit("V0", NOON - HOUR),
        visit(),
        flags=[flag(start=date(2026, 3, 9))],
    )
    world.turn()
    (row,) = world.standing
    assert row.content.content.earlier_attendances == 2


def test_a_changed_callback_contact_alone_stirs_no_old_alert() -> None:
    """Within 48 h a new version, later it is carried along with the next change."""
    world = World(visit(), flags=[flag()])
    world.turn()
    hospital = DIRECTORY.hospitals["RHQ01"].model_copy(update={"callback_phone": "0114 496 0002"})
    moved = replace(DIRECTORY, hospitals={"RHQ01": hospital})
    state = PersonState(
        world.person, tuple(world.visits.values()), world.flags, tuple(world.alerts.values())
    )
    at = replace(deciding(NOON + timedelta(hours=47)), directory=moved)
    assert rules(reconcile(state, at)) == ["details-changed"]
    at = replace(deciding(NOON + timedelta(hours=49)), directory=moved)
    assert reconcile(state, at) == []
    changed = replace(state, visits=(visit(state="departed"),))
    (change,) = reconcile(changed, at)
    assert change.row.content.content.callback_phone == "0114 496 0002"


def test_an_alert_whose_visits_are_no_longer_kept_stays_as_it_is() -> None:
    """Retention removed its visits: nothing withdraws it."""
    world = World(visit(), flags=[flag()])
    world.turn()
    world.visits.clear()
    assert world.turn() == []


@st.composite
def stories(draw: st.DrawFn) -> list[VisitEvent]:
    """Messages of three visits of one patient, mostly about the flagged child."""
    events = []
    for index in range(draw(st.integers(1, 8))):
        name, offset = draw(st.sampled_from([("V1", 0), ("V2", 20), ("V3", 40)]))
        at = NOON + offset * HOUR + draw(st.integers(0, 3)) * timedelta(minutes=1)
        events.append(
            visit_event(
                attendance(
                    draw(
                        st.sampled_from(
                            ["A04", "A04", "A08", "A11", "A03", "A13", "A21", "A22", "birth"]
                        )
                    ),
                    visit=name,
                    at=at,
                    recorded=at + draw(st.integers(0, 3)) * timedelta(minutes=1),
                    message=str(index),
                    who=identity(
                        draw(st.sampled_from([CHILD, CHILD, OTHER_CHILD])),
                        status=draw(
                            st.sampled_from([IdentityStatus.VERIFIED, IdentityStatus.PROVISIONAL])
                        ),
                    ),
                    assertion=draw(
                        st.sampled_from([Assertion.ASSERTED] * 3 + [Assertion.RETRACTED])
                    ),
                    detail=VisitDetail(
                        department=draw(st.sampled_from([None, "ED", "PAU"])),
                        discharge_destination=draw(st.sampled_from([None, "19"])),
                        location_shielded=draw(st.sampled_from([False, False, True])),
                    ),
                )
            )
        )
    return events


def told(events: list[VisitEvent]) -> tuple[object, World]:
    """Play `events` one by one; gives the live content in the end, without ids and versions."""
    world = World(flags=[flag(), flag(PlanType.LAC, authority=LEEDS)])
    seen: list[VisitEvent] = []
    for event in events:
        seen.append(event)
        world.put(fold(one for one in seen if one.visit_id == event.visit_id))
    live = {
        (one.authority, one.source_patient, one.visit_ids, one.provisional): one.content.content
        for one in world.standing
    }
    return live, world


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_c13_every_permutation_of_a_story_ends_in_the_same_live_content(
    data: st.DataObject,
) -> None:
    """Any order, with repeats: the same standing alerts say the same; never two for an episode."""
    events = data.draw(stories())
    expected, world = told(events)
    assert len(world.standing) == len(
        {(one.authority, visit_id) for one in world.standing for visit_id in one.visit_ids[:1]}
    )
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=3))
    live, _ = told(data.draw(st.permutations([*events, *repeats])))
    assert live == expected
