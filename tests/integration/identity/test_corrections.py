"""Corrected visits and merges through both stages: the flagged child's one live alert."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import AttendanceReported, Moment, PersonClaim, VisitEventKind
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World

PERSON = make.known().person
GUESS = PersonClaim(family="Unknown", given=("Child",), birth_date="2014-01-01")
SLIP = replace(CHILD, nhs_number=None, birth_date="2017-03-15")


def at(event: AttendanceReported, minutes: int) -> AttendanceReported:
    return replace(event, recorded_at=Moment(make.NOW + timedelta(minutes=minutes)))


async def ends_with_one_alert(world: World, *events: AttendanceReported) -> None:
    """The plan is known; each event is taken, traced, and taken by matching, one by one."""
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    for event in events:
        await hub.take(event)
        await hub.trace()
    (row,) = await hub.live()
    assert (row.person, row.provisional) == (PERSON, False)
    assert await world.value("select count(*) from worklist where closed_at is null") == 0


@pytest.mark.parametrize("first", [SLIP, GUESS], ids=["birth-date", "unknown"])
@pytest.mark.parametrize("late", [False, True])
async def test_c05_a_corrected_visit_ends_with_one_live_alert(
    world: World, first: PersonClaim, late: bool
) -> None:
    """The registration was wrong, an A08 of the same visit corrects it, in either order."""
    events = [
        at(make.attendance(first), 0),
        at(make.attendance(kind=VisitEventKind.UPDATE), 5),
    ]
    await ends_with_one_alert(world, *(reversed(events) if late else events))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_c05_an_unknown_arrival_that_is_merged_ends_with_one_live_alert(
    world: World, order: tuple[int, ...]
) -> None:
    """Registered under a temporary id with a guessed birth date, merged, then the child's A08."""
    events = [
        at(make.attendance(GUESS, local_id="TMP7"), 0),
        make.merge("TMP7", "S", minutes=5),
        at(make.attendance(local_id="S", kind=VisitEventKind.UPDATE), 9),
    ]
    await ends_with_one_alert(world, *(events[one] for one in order))


ANONYMOUS = PersonClaim()
NUMBERED, NAMED = replace(CHILD, local_id="S"), replace(CHILD, nhs_number=None, local_id="S")


@pytest.mark.parametrize("merge_first", [False, True], ids=["arrival first", "merge first"])
@pytest.mark.parametrize("says", [NUMBERED, NAMED], ids=["number", "name"])
@pytest.mark.parametrize("who", [GUESS, ANONYMOUS], ids=["guess", "anonymous"])
async def test_c05_a_merges_own_word_frees_the_arrival_whichever_is_read_first(
    world: World, who: PersonClaim, says: PersonClaim, merge_first: bool
) -> None:
    """Nothing else says who it was: two partitions carry the two, and either may be ahead."""
    arrival = at(make.attendance(who, local_id="TMP7"), 0)
    merge = replace(make.merge("TMP7", "S", minutes=5), claim=says)
    await ends_with_one_alert(world, *((merge, arrival) if merge_first else (arrival, merge)))


async def test_a_plan_that_comes_after_the_correction_finds_the_arrival(world: World) -> None:
    """Both were untold when they came: the new plan finds the correction, and by it the arrival."""
    hub = BothStages(world)
    await hub.take(at(make.attendance(SLIP), 0))
    await hub.trace()
    await hub.take(at(make.attendance(kind=VisitEventKind.UPDATE), 5))
    await hub.trace()
    await hub.take(make.flag())
    await hub.trace()
    (row,) = await hub.live()
    assert row.person == PERSON
