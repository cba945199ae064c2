"""A number that PDS invalidated, a record that became restricted, a death: what PDS says anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from halyard import ids
from schemas import codec, topics
from schemas.changes import PersonChangeKind
from schemas.deaths import DeathIndication, DeathNotified
from schemas.events import VisitEventKind
from stores.alerts import CLOSED, RAISED
from streams.tracer.housekeeping import retention
from streams.tracer.rechecks import ASKED_AGAIN_AT_MOST
from streams.tracer.reverifying import reverify, share
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

OLD = CHILD.nhs_number or ""
PERSON = make.KEYS.person(OLD)
RECORD = PersonChangeKind.RECORD


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def pds_says(world: World, **changes: Any) -> None:
    """PDS's record of the child is otherwise from now on."""
    world.knows(person_of(CHILD, **changes))


async def word(stages: BothStages, kind: PersonChangeKind = PersonChangeKind.NUMBER) -> None:
    """Word of a change comes, and PDS is asked."""
    await stages.take(make.changed(OLD, kind))
    await stages.trace()


async def flagged_child_in_hospital(stages: BothStages) -> None:
    """A plan, and an arrival that raised one alert."""
    await stages.take(make.flag())
    await stages.trace()
    await stages.take(make.attendance())
    await stages.trace()
    assert len(await stages.live()) == 1


@pytest.mark.parametrize("hours", [1, 72], ids=["claims still readable", "claims emptied"])
async def test_an_invalidated_number_is_quarantined(
    stages: BothStages, world: World, hours: int
) -> None:
    """The plan is taken back and its authority's to send anew; the alert stays as it was told."""
    await flagged_child_in_hospital(stages)
    world.now += timedelta(hours=hours)
    async with world.pool.connection() as connection:
        await retention(connection, world.now)
    pds_says(world, invalidated=True)
    stages.told.clear()
    await word(stages)
    assert stages.told == []
    (alert,) = await stages.alerts()
    assert (alert.state, alert.version) == (RAISED, 1)
    assert await world.value("select count(*) from identities") == 0
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from flag_events where nhs_number <> ''") == 0
    assert (
        await world.value(
            "select count(*) from claims where person is not null and event_kind = 'flag'"
        )
        == 0
    )
    rows = await world.rows(
        "select organisation, rule, local_id, line from worklist "
        "where closed_at is null and event_kind = 'flag'"
    )
    assert [tuple(row.values()) for row in rows] == [
        (make.AUTHORITY, "number-invalidated", "C1", 1)
    ]
    assert await world.answers() == {1: "CPR07"}
    letters = await world.rows("select kind, organisation, body from letters")
    assert [(row["kind"], row["organisation"]) for row in letters] == [
        ("number-invalidated", make.AUTHORITY)
    ]
    assert OLD.encode() not in bytes(letters[0]["body"])


async def test_after_an_invalidation_nothing_matches_and_nothing_is_searched(
    stages: BothStages, world: World
) -> None:
    """An arrival under the old number is unresolved, by PDS's own word; nobody is alerted, and no
    question is asked with the old details."""
    await flagged_child_in_hospital(stages)
    pds_says(world, invalidated=True)
    await word(stages)
    before = len(await stages.alerts())
    later = make.attendance(local_id="L9", visit="V9")
    await stages.take(later)
    await stages.trace()
    assert await world.states(later) == [("unresolved", "pds.invalidated")]
    assert len(await stages.alerts()) == before
    update = make.attendance(kind=VisitEventKind.UPDATE, arrival=False)
    await stages.take(update)  # of the visit that was told: it goes nowhere, and stops nothing
    await stages.trace()
    assert [
        row["kind"] for row in await world.rows("select distinct kind from trace_requests")
    ] == ["get"]


async def test_the_new_record_of_the_child_is_another_person(
    stages: BothStages, world: World
) -> None:
    """The authority sends it under the new number: held, alerts, and nothing leads to the old."""
    await flagged_child_in_hospital(stages)
    pds_says(world, invalidated=True)
    await word(stages)
    new = replace(CHILD, nhs_number=make.number(60), family="Newname", given=("Alex",))
    world.knows(person_of(new))
    await stages.take(make.flag(new, local_id="C2", upload="U2"))
    await stages.trace()
    await stages.take(make.attendance(new, local_id="L2", visit="V2"))
    await stages.trace()
    assert len([one for one in await stages.live() if one.person != PERSON]) == 1
    assert await world.value("select count(*) from number_successors") == 0
    assert await world.rows("select person from inactive_numbers") == [{"person": PERSON}]


async def test_a_number_that_stands_again_is_no_longer_quarantined(
    stages: BothStages, world: World
) -> None:
    """PDS took the invalidation back: the record is sent again, and arrivals alert."""
    await flagged_child_in_hospital(stages)
    pds_says(world, invalidated=True)
    await word(stages)
    pds_says(world)
    await stages.take(make.flag(upload="U2"))
    await stages.trace()
    assert await world.value("select count(*) from inactive_numbers") == 0
    await stages.take(make.attendance(local_id="L2", visit="V2"))
    await stages.trace()
    assert any(one.visit_ids == (ids.derive("visit", "feed", "V2"),) for one in await stages.live())


async def test_who_was_merged_into_an_invalidated_number_is_quarantined_alone(
    stages: BothStages, world: World
) -> None:
    """No row leads from the first number to the second any more."""
    new = make.number(61)
    await flagged_child_in_hospital(stages)
    world.knows(person_of(replace(CHILD, nhs_number=new)))
    pds_says(world, superseded_by=new)
    await word(stages)
    world.knows(person_of(replace(CHILD, nhs_number=new), invalidated=True))
    await stages.take(make.changed(new))
    await stages.trace()
    assert await world.value("select count(*) from number_successors") == 0
    rows = await world.rows("select person from inactive_numbers")
    assert {row["person"] for row in rows} == {PERSON, make.KEYS.person(new)}


async def test_who_becomes_restricted_is_hidden_at_once(stages: BothStages, world: World) -> None:
    """The open alert loses its place as soon as PDS says so, without another arrival; and a plan
    that is no longer restricted is told as before."""
    await flagged_child_in_hospital(stages)
    pds_says(world, restricted=True)
    await word(stages, RECORD)
    (alert,) = await stages.alerts()
    assert (alert.restricted, alert.content.hospital, alert.rule) == (
        True,
        "",
        "restriction-changed",
    )
    assert await world.value("select bool_and(restricted) from flags")
    assert await world.value("select postcode from identities") is None
    pds_says(world)
    await word(stages, RECORD)
    (alert,) = await stages.alerts()
    assert not alert.restricted
    assert not await world.value("select bool_or(restricted) from flags")
    assert not await world.value("select is_restricted(%(p)s)", p=PERSON)


async def test_a_provisional_alert_of_who_becomes_restricted_is_taken_back(
    stages: BothStages, world: World
) -> None:
    """Nobody restricted is ever named before PDS has verified them."""
    await stages.take(make.flag())
    await stages.trace()
    world.now += timedelta(hours=30)
    unsure = make.attendance(replace(CHILD, given=("Rob",), birth_date=None))
    await stages.take(unsure)
    assert len(await stages.live()) == 1
    await stages.take(make.changed(OLD, RECORD))
    pds_says(world, restricted=True)
    requests = await world.new_tracer().lease()
    for request in sorted(requests, key=lambda one: one.purpose == "claims"):
        if request.purpose == "recheck":
            await world.new_tracer().trace(request)
    await stages.hand_over()
    assert await stages.live() == []
    assert (await world.states(unsure))[0][0] == "waiting"


async def test_new_names_find_who_was_not_found(stages: BothStages, world: World) -> None:
    """An unresolved arrival under the new name agrees with the flagged child from now on."""
    await stages.take(make.flag())
    await stages.trace()
    arrival = make.attendance(replace(CHILD, nhs_number=None, family="Newname"))
    await stages.take(arrival)
    await stages.trace()
    assert (await world.states(arrival))[0][0] != "provisional"
    pds_says(world, family="Newname")
    await word(stages, RECORD)
    assert (await world.states(arrival))[0][0] in ("provisional", "verified")
    assert len(await stages.live()) == 1


async def test_a_death_and_its_end_are_told_as_indications(
    stages: BothStages, world: World
) -> None:
    """PDS says that a flagged child died, later that they did not: one indication each."""
    await stages.take(make.flag())
    await stages.trace()
    for deceased, expected in (
        (True, DeathIndication.PDS_FORMAL),
        (False, DeathIndication.PDS_REMOVED),
    ):
        pds_says(world, **({"deceased": "2026-02-27"} if deceased else {}))
        world.sent.clear()
        stages.taken = 0
        await word(stages, PersonChangeKind.DEATH)
        await word(stages, PersonChangeKind.DEATH)
        events = [
            codec.decode_as(DeathNotified, one.value)
            for one in world.sent
            if one.topic == topics.DEATH_NOTIFIED
        ]
        assert [one.indication for one in events] == [expected]
        assert events[0].claim.postcode is None
        await world.take(events[0])
        assert (await world.states(events[0]))[0] == ("verified", "local-index")


async def test_no_record_is_asked_for_again_and_then_a_person_looks(
    stages: BothStages, world: World
) -> None:
    """Nothing is taken back for it: the plan stands, and its authority has it on the worklist."""
    await flagged_child_in_hospital(stages)
    world.pds.pds.register = type(world.pds.pds.register)([])
    await stages.take(make.changed(OLD))
    for _ in range(ASKED_AGAIN_AT_MOST):
        await world.rows("update trace_requests set due_at = now() where state = 'queued'")
        await world.trace()
    await stages.hand_over()
    assert await world.value("select count(*) from flags") == 1
    rows = await world.rows("select rule from worklist where closed_at is null")
    assert [row["rule"] for row in rows] == ["number-not-found"]
    assert len(await stages.live()) == 1


async def test_flagged_people_are_asked_about_in_turn_without_any_word(
    stages: BothStages, world: World
) -> None:
    """After the days of the setting, once, at the lowest priority but batches; the answer is
    acted on as after a word."""
    await stages.take(make.flag())
    await stages.trace()
    every = timedelta(days=7)

    async def due() -> int:
        async with world.pool.connection() as connection:
            return await reverify(connection, world.now, every)

    assert await due() == 0
    world.now += every + timedelta(minutes=1)
    assert await due() == 1
    assert await due() == 0
    assert await world.value("select priority from trace_requests where state = 'queued'") == 5
    pds_says(world, invalidated=True)
    await stages.trace()
    assert await world.value("select count(*) from flags") == 0


def test_a_large_register_is_spread_over_the_days() -> None:
    """150,000 plans in 7 days are half a call a second at most, with everything caught up."""
    assert share(150_000, timedelta(days=7)) == 30
    assert share(0, timedelta(days=7)) == 20


async def test_what_is_quarantined_leads_to_no_visit_and_no_patient(
    stages: BothStages, world: World
) -> None:
    """The hospital goes on with its visit and its local id under the new number, the authority with
    its own: the alert that was told, the claims and the records join none of it; looks that were
    not told yet end, the alert itself still leaves."""
    await flagged_child_in_hospital(stages)
    await world.rows(
        "insert into deliveries select (jsonb_populate_record(d, jsonb_build_object("
        "'delivery_id', gen_random_uuid(), 'alert_id', gen_random_uuid(), 'kind', 'access'))).* "
        "from deliveries d"
    )
    world.now += timedelta(days=5)
    async with world.pool.connection() as connection:
        await retention(connection, world.now)
    pds_says(world, invalidated=True)
    await word(stages)
    new = replace(CHILD, nhs_number=make.number(60), family="Newname", given=("Alex",))
    world.knows(person_of(new))
    await stages.take(make.flag(new, upload="U2"))
    await stages.trace()
    await stages.take(make.attendance(new, kind=VisitEventKind.UPDATE, received_at=world.now))
    await stages.trace()
    (told,) = [one for one in await stages.alerts() if one.person == PERSON]
    assert (told.state, told.visit_ids, told.source_patient) == (RAISED, (), "")
    for table in ("visits", "visit_events", "flag_events", "claims"):
        query = f"select count(*) from {table} where person = %(p)s"
        assert await world.value(query, p=PERSON) == 0, table
    assert (
        await world.value(
            "select count(*) from claims where rule = 'number-invalidated' "
            "and (number_token is not null or demographic_token is not null)"
        )
        == 0
    )
    rows = await world.rows("select kind, state from deliveries where person = %(p)s", p=PERSON)
    assert {tuple(row.values()) for row in rows} == {("alert", "open"), ("access", "superseded")}


async def test_an_alert_of_an_invalidated_number_ends_by_itself(
    stages: BothStages, world: World
) -> None:
    """Thirty days after the arrival, without a word; until then it may be accepted."""
    await flagged_child_in_hospital(stages)
    pds_says(world, invalidated=True)
    await word(stages)
    stages.told.clear()
    for days, state in ((29, RAISED), (2, CLOSED)):
        world.now += timedelta(days=days)
        async with world.pool.connection() as connection:
            await retention(connection, world.now)
        assert [one.state for one in await stages.alerts()] == [state]
    assert stages.told == []


async def test_a_visit_that_goes_on_keeps_its_alert_when_the_number_stands_again(
    stages: BothStages, world: World
) -> None:
    """The alert was told and lost its visit meanwhile; it is found again, and none is doubled."""
    await flagged_child_in_hospital(stages)
    (before,) = await stages.live()
    pds_says(world, invalidated=True)
    await word(stages)
    pds_says(world)
    await stages.take(make.flag(upload="U2"))
    await stages.trace()
    await stages.take(make.attendance(kind=VisitEventKind.UPDATE))
    await stages.trace()
    (after,) = await stages.live()
    assert after.alert_id == before.alert_id
    assert after.visit_ids == before.visit_ids
