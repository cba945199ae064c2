"""An invalidated number beside another event of the same patient or visit: nothing leads on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import AttendanceReported, VisitEventKind
from streams.identity.release import BESIDE_INVALIDATED
from streams.identity.resolutions import OLD_LIFE
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide

OLD, NEW = CHILD.nhs_number or "", make.number(77)
NAMELESS = replace(CHILD, nhs_number=None)
ADOPTED = replace(CHILD, nhs_number=NEW)
RENAMED = replace(ADOPTED, family="Newfamily", given=("Newgiven",))
INVALIDATED = ("unresolved", "pds.invalidated")
BESIDE = ("unresolved", BESIDE_INVALIDATED)


def adopted(world: World, new: object = ADOPTED) -> None:
    """PDS has invalidated the old number, and made a record that nothing leads to."""
    world.knows(person_of(CHILD, invalidated=True), person_of(new))


async def nothing_links(world: World) -> None:
    """No row of a claim, and nothing on the bus, holds both numbers."""
    forms = [(one, make.KEYS.person(one), make.KEYS.bus_person(one)) for one in (OLD, NEW)]
    rows = [str(row) for row in await world.rows("select row_to_json(claims)::text from claims")]
    rows += [f"{one.key} {one.value!r}" for one in world.sent]
    for row in rows:
        held = [any(f in row or f.encode().hex() in row for f in life) for life in forms]
        assert not all(held)


async def taken(world: World, *events: AttendanceReported) -> list[tuple[str, str]]:
    """Each event with all that PDS says to it, in order; then how they all ended."""
    for event in events:
        await world.take(event)
        await world.trace_all()
    return await world.states(*events)


@pytest.mark.parametrize("visit", ["V1", "V2"], ids=["same visit", "another visit"])
async def test_nobody_is_searched_for_beside_an_invalidated_number(
    world: World, visit: str
) -> None:
    """A second event of the patient without a number, with the names of the old life: PDS would
    find the new record. It is not asked, and the first claim is nobody's."""
    adopted(world)
    first, second = make.attendance(visit="V1"), make.attendance(NAMELESS, visit=visit)
    assert await taken(world, first, second) == [INVALIDATED, BESIDE]
    assert "search" not in world.pds.pds.calls()["kind"]
    await nothing_links(world)


async def test_a_search_that_waited_for_the_number_is_not_made(world: World) -> None:
    """The same where both events wait when PDS says that the number is invalidated."""
    adopted(world)
    first, second = make.attendance(), make.attendance(NAMELESS)
    await world.take(second, first)
    await world.trace_all()
    assert await world.states(first, second) == [INVALIDATED, BESIDE]
    assert "search" not in world.pds.pds.calls()["kind"]


async def test_the_new_number_under_the_same_visit_is_verified_for_itself_alone(
    world: World,
) -> None:
    """The hospital itself gives the new number and names: that event is the new record's, and the
    hub says nothing of the first."""
    adopted(world, RENAMED)
    first, second = make.attendance(), make.attendance(RENAMED)
    states = await taken(world, first, second)
    assert states[0] == INVALIDATED
    assert states[1][0] == "verified"
    await nothing_links(world)


async def test_an_event_in_the_names_of_before_is_not_corrected_to_the_new_record(
    world: World,
) -> None:
    """Of three events of one visit the last gives the new number and names: neither the first,
    under the old number, nor the second, in the old names without one, follows."""
    adopted(world, RENAMED)
    events = make.attendance(), make.attendance(NAMELESS), make.attendance(RENAMED)
    states = await taken(world, *events)
    assert states[:2] == [INVALIDATED, BESIDE]
    assert states[2][0] == "verified"
    await nothing_links(world)


async def test_a_new_plan_takes_no_event_of_the_old_life_along(world: World) -> None:
    """The plan of the new record, with the same names, birth date and home, is compared with what
    came in the last two days: not with what came under, or beside, the invalidated number."""
    adopted(world)
    first, second = make.attendance(), make.attendance(NAMELESS)
    await taken(world, first, second)
    await world.take(make.flag(ADOPTED))
    await world.trace_all()
    assert await world.states(first, second) == [INVALIDATED, BESIDE]
    again = make.attendance(message_id="again", kind=VisitEventKind.UPDATE)
    await world.take(again)  # nor is one under the old number held for the flagged child
    await world.trace_all()
    assert (await world.states(again))[0][1] in ("pds.invalidated", "no-arrival")
    await nothing_links(world)


async def test_a_merge_takes_no_event_of_the_old_life_along(world: World) -> None:
    """The hospital merges the patient of before into the one of now: two patients, no link."""
    adopted(world, RENAMED)
    first = make.attendance(local_id="L1", visit="V1")
    second = make.attendance(RENAMED, local_id="L2", visit="V2")
    await taken(world, first, second)
    merge = make.merge("L1", "L2")
    await world.take(merge)
    await world.trace_all()
    assert (await world.states(first))[0] == INVALIDATED
    await nothing_links(world)


async def test_an_authoritys_record_without_its_number_is_refused_like_the_first(
    world: World,
) -> None:
    """A plan under the invalidated number, then the same child's without: not searched for."""
    adopted(world)
    first, second = make.flag(), make.flag(NAMELESS, upload="U2")
    await world.take(first)
    await world.trace_all()
    await world.take(second)
    await world.trace_all()
    assert await world.states(first, second) == [INVALIDATED, BESIDE]
    assert set((await world.answers()).values()) == {"CPR07"}
    assert await world.value("select count(*) from flags") == 0


async def test_a_placeholder_local_id_bars_nobody(world: World) -> None:
    """UNKNOWN is the id of many: another child under it is searched for as ever."""
    adopted(world)
    other = replace(RENAMED, family="Another", nhs_number=make.number(78))
    world.knows(person_of(other))
    first = make.attendance(local_id="UNKNOWN", visit="V1")
    second = make.attendance(
        replace(other, nhs_number=None), local_id="UNKNOWN", visit="V2", message_id="m2"
    )
    states = await taken(world, first, second)
    assert states[1][0] == "verified"


async def test_asking_again_makes_no_search_beside_an_invalidated_number(world: World) -> None:
    """A person, or the schedule, has PDS asked again: the new record's search is not even made."""
    adopted(world)
    first, second = make.attendance(), make.attendance(NAMELESS)
    await taken(world, first, second)
    done = await decide(world, second, "retry")
    assert (done.state, done.outcome) == ("refused", OLD_LIFE)
    assert "search" not in world.pds.pds.calls()["kind"]
    await nothing_links(world)
