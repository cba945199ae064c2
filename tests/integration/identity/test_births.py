"""Births through both stages: the mother's alert says that there is a baby to confirm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from schemas.events import Moment, PersonClaim, PlanType, VisitEventKind
from stores import claims
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World, person_of

MOTHER = PersonClaim(
    nhs_number=make.number(4),
    family="Mother",
    given=("Mary",),
    birth_date="1990-01-01",
    gender="female",
    postcode="ZZ4 4DD",
)
PERSON = make.known(MOTHER).person


async def with_plan(world: World) -> BothStages:
    """The mother has an unborn plan, verified."""
    world.knows(person_of(MOTHER))
    hub = BothStages(world)
    known = make.NOW - timedelta(days=30)
    await hub.take(make.flag(MOTHER, plan_type=PlanType.UCPP, received_at=known))
    await hub.trace()
    return hub


async def test_a_birth_joins_the_alert_of_a_mother_who_came_days_ago(world: World) -> None:
    """She arrived five days before: her old claim still says who her local id is; one alert."""
    hub = await with_plan(world)
    came = make.NOW - timedelta(days=5)
    await hub.take(make.attendance(MOTHER, local_id="M1", received_at=came))
    (before,) = await hub.live()
    birth = make.birth(local_id="M1")
    await hub.take(birth)
    assert await world.states(birth) == [("verified", "mother-key")]
    (row,) = await hub.live()
    assert (row.alert_id, row.rule, row.round) == (before.alert_id, "birth-reported", 2)
    assert row.content.content.birth
    await hub.take(make.birth(local_id="M1", kind=VisitEventKind.CANCEL, message_id="cancel"))
    (row,) = await hub.live()
    assert (row.rule, row.content.content.birth) == ("birth-cancelled", False)


async def test_a_birth_under_the_mothers_merged_id_joins_her_stay(world: World) -> None:
    """She came under a temporary id that was merged into her own, which the birth names."""
    hub = await with_plan(world)
    came = make.NOW - timedelta(days=5)
    await hub.take(make.attendance(MOTHER, local_id="TEMP1X", received_at=came))
    await hub.take(make.merge("TEMP1X", "M1"))
    birth = make.birth(local_id="M1")
    await hub.take(birth)
    assert await world.states(birth) == [("verified", "mother-key")]
    assert any(one.content.content.birth for one in await hub.live())


async def test_retention_leaves_the_mothers_key(world: World) -> None:
    """Her claim is emptied after 48 hours; the birth still follows it."""
    hub = await with_plan(world)
    await hub.take(make.attendance(MOTHER, local_id="M1", received_at=make.NOW - timedelta(days=5)))
    async with world.pool.connection() as connection:
        await claims.retain(connection, before=make.NOW - timedelta(hours=48))
    birth = make.birth(local_id="M1")
    await hub.take(birth)
    assert await world.states(birth) == [("verified", "mother-key")]


async def test_a_birth_by_the_mothers_number_alone_alerts_provisionally(world: World) -> None:
    """Her own arrival never came: provisional at once; PDS confirms the number and no more, so that
    the alert stands and the worklist asks a person.
    """
    hub = await with_plan(world)
    birth = make.birth(MOTHER.nhs_number, local_id="M9")
    await hub.take(birth)
    (row,) = await hub.live()
    assert (row.provisional, row.person, row.content.content.birth) == (True, PERSON, True)
    await hub.trace()
    (row,) = await hub.live()
    assert row.provisional
    assert await world.value("select count(*) from worklist where closed_at is null") == 1


async def test_an_unknown_mothers_birth_leaves_nothing(world: World) -> None:
    """No plan: not traced, nobody told, and after 48 hours nothing kept."""
    hub = BothStages(world)
    birth = make.birth(MOTHER.nhs_number, local_id="M9")
    await hub.take(birth)
    assert await world.states(birth) == [("not_traced", "adult")]
    assert await world.value("select count(*) from trace_requests") == 0
    assert await world.value("select count(*) from worklist") == 0
    async with world.pool.connection() as connection:
        await claims.retain(connection, before=make.NOW + timedelta(seconds=1))
    assert await world.value("select count(*) from claims") == 0


async def test_demographics_free_an_unresolved_arrival_and_leave_no_visit(world: World) -> None:
    """A04 without a number, then an A31 that brings it: the alert, about the arrival alone."""
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    arrival = make.attendance(PersonClaim(family="Testchild"))
    await hub.take(arrival)
    assert await hub.live() == []
    told = make.attendance(kind=VisitEventKind.DEMOGRAPHICS, visit="P1", message_id="A31")
    await hub.take(told)
    (row,) = await hub.live()
    assert row.visit_ids == (arrival.visit_id,)
    assert await world.value("select count(*) from visits") == 1


async def test_a_booking_changes_nothing_live(world: World) -> None:
    """A05 before and after the arrival: neither raises, updates nor withdraws."""
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    booking = VisitEventKind.PRE_ADMIT
    await hub.take(make.attendance(kind=booking, message_id="1"))
    assert await hub.alerts() == []
    await hub.take(make.attendance(message_id="2"))
    later = make.attendance(kind=booking, message_id="3")
    await hub.take(replace(later, recorded_at=Moment(make.NOW + timedelta(hours=1))))
    (row,) = await hub.alerts()
    assert row.version == 1
