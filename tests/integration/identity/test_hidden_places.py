"""A place that the hospital hides for a patient (A28, A31), through both stages to the alerts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import AttendanceReported, Moment, PersonClaim, VisitDetail, VisitEventKind
from stores import claims
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World

WARD = VisitDetail(department="Ward 7", site_ods="RX101", reason="assault", admission_method="31")


def hides(claim: PersonClaim = make.CHILD, *, local_id: str = "L1") -> AttendanceReported:
    """An A31 that hides where the patient is."""
    told = make.attendance(
        claim,
        local_id=local_id,
        kind=VisitEventKind.DEMOGRAPHICS,
        visit="A31",
        message_id=f"A31 {local_id}",
    )
    return replace(told, detail=VisitDetail(location_shielded=True))


def moves(ward: str) -> AttendanceReported:
    """The patient's next event, of another ward, that says nothing of hiding."""
    event = make.attendance(PersonClaim(), kind=VisitEventKind.UPDATE)
    later = Moment(make.NOW + timedelta(hours=1))
    return replace(event, detail=replace(WARD, department=ward), recorded_at=later)


async def flagged(world: World) -> BothStages:
    hub = BothStages(world)
    await hub.take(make.flag(received_at=make.NOW - timedelta(days=9)))
    await hub.trace()
    return hub


def places(hub: BothStages) -> list[set[str | None]]:
    """What each alert told of the place."""
    told = [one.content for one in hub.told]
    return [{one.department, one.site_ods, one.reason, one.admission_method} for one in told]


@pytest.mark.parametrize("claim", [make.CHILD, PersonClaim()], ids=["whole", "bare"])
async def test_a_place_hidden_for_the_patient_is_hidden_in_the_visit(
    world: World, claim: PersonClaim
) -> None:
    """Told at once, and not disclosed by the next event, which says nothing of hiding."""
    hub = await flagged(world)
    await hub.take(replace(make.attendance(), detail=WARD))
    told = hides(claim)
    await hub.take(told)
    assert await world.states(told) == [("verified", "place-hidden")]
    await hub.take(moves("Ward 9"))
    assert [one == {None} for one in places(hub)] == [False, True]
    assert await world.value("select count(*) from visits") == 1


async def test_a_place_hidden_before_anybody_is_known_is_never_told(world: World) -> None:
    """The A31 comes first, names nobody, and asks PDS nothing; the arrival is alerted without its
    place.
    """
    hub = await flagged(world)
    told = hides(PersonClaim())
    await hub.take(told)
    assert await world.states(told) == [("not_used", "not-used")]
    assert await world.value("select count(*) from hidden_patients") == 1
    await hub.take(replace(make.attendance(), detail=WARD))
    assert places(hub) == [{None}]


@pytest.mark.parametrize("retained", [False, True])
async def test_a_place_is_hidden_in_a_stay_of_days(world: World, retained: bool) -> None:
    """The arrival is too old to be decided anew: the alert is still told without its place."""
    hub = await flagged(world)
    came = make.NOW - timedelta(days=4)
    await hub.take(replace(make.attendance(received_at=came), detail=WARD))
    if retained:
        async with world.pool.connection() as connection:
            await claims.retain(connection, before=make.NOW - timedelta(hours=48))
    await hub.take(hides(PersonClaim()))
    assert [one == {None} for one in places(hub)] == [False, True]


@pytest.mark.parametrize("order", ["mark first", "merge first"])
async def test_a_hidden_patient_stays_hidden_under_the_id_they_are_merged_into(
    world: World, order: str
) -> None:
    """Hidden under the retired id, arrived under the surviving one: one patient, hidden."""
    hub = await flagged(world)
    told, merge = hides(PersonClaim(), local_id="R"), make.merge("R", "L1")
    for event in (told, merge) if order == "mark first" else (merge, told):
        await hub.take(event)
    await hub.take(replace(make.attendance(), detail=WARD))
    assert places(hub) == [{None}]


async def test_a_placeholder_hides_nobody(world: World) -> None:
    """UNKNOWN is everybody's: the next one is not hidden for ever."""
    hub = await flagged(world)
    await hub.take(hides(PersonClaim(), local_id="UNKNOWN"))
    assert await world.value("select count(*) from hidden_patients") == 0
