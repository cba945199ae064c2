"""A provisional alert goes on where PDS's answer names nobody and everything fits; and where the
answer that proves it also names a successor who is restricted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import AlertChange
from stores.alerts import RAISED, WITHDRAWN
from tests.integration.identity.test_changes_by_the_way import (
    NEW,
    NEW_PERSON,
    flagged,
    provisional_alert,
    supersede,
)
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

ONE = replace(CHILD, given=("Mohammed", "Hassan"), gender="male")
TWO = replace(CHILD, given=("Mohammed", "Ali"), gender="male", nhs_number=make.number(77))


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


async def told_of_a_twin(stages: BothStages) -> None:
    """Twin two has a plan, and came without a number: alerted before PDS has answered."""
    stages.world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    await stages.take(make.flag(TWO))
    await stages.trace()
    await stages.take(make.attendance(replace(TWO, nhs_number=None), local_id="L2", visit="V10"))
    assert [one.provisional for one in await stages.live()] == [True]


async def test_too_many_matches_take_no_alert_back(stages: BothStages, world: World) -> None:
    """PDS has two such records: nothing is proven and nothing contradicted, so the alert stands,
    and the hospital has the arrival on its worklist."""
    await told_of_a_twin(stages)
    await stages.trace()
    assert [(one.state, one.provisional) for one in await stages.alerts()] == [(RAISED, True)]
    rows = await world.rows("select rule, event_kind from worklist where closed_at is null")
    assert [tuple(row.values()) for row in rows] == [("pds.too_many_matches", "attendance")]


async def test_too_many_matches_take_back_who_is_restricted_by_now(
    stages: BothStages, world: World
) -> None:
    """Who is restricted is never named without proof: word of it withdraws the alert as before."""
    await told_of_a_twin(stages)
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2, restricted=True))
    await stages.take(make.changed(TWO.nhs_number or ""))
    await stages.trace()
    assert [one.state for one in await stages.alerts()] == [WITHDRAWN]


async def test_a_number_that_comes_later_confirms_what_stood(
    stages: BothStages, world: World
) -> None:
    """The hospital finds the number: the same alert is confirmed, and the worklist is empty."""
    await told_of_a_twin(stages)
    (before,) = await stages.live()
    await stages.trace()
    await stages.take(make.attendance(TWO, local_id="L2", visit="V10"))
    await stages.trace()
    (after,) = await stages.alerts()
    assert (after.alert_id, after.state, after.provisional) == (before.alert_id, RAISED, False)
    assert await world.value("select count(*) from worklist where closed_at is null") == 0


@pytest.mark.parametrize("theirs", [False, True], ids=["unknown", "known with a plan"])
async def test_a_restricted_successor_told_by_the_arrivals_own_answer(
    stages: BothStages, world: World, theirs: bool
) -> None:
    """The answer moves the child, who is restricted by now, and proves the arrival: whatever record
    matching takes first, the alert is the same, and is never withdrawn."""
    if theirs:
        world.knows(person_of(replace(CHILD, nhs_number=NEW)))
        plan = make.flag(replace(CHILD, nhs_number=NEW), line=2, local_id="C2", upload="U2")
        await stages.take(plan)
        await stages.trace()
    before = await provisional_alert(stages)
    supersede(world, restricted=True)
    await world.trace_all()
    await stages.hand_over(single=True)
    (after,) = await stages.alerts()
    assert (after.alert_id, after.state, after.person) == (before.alert_id, RAISED, NEW_PERSON)
    assert (after.restricted, after.provisional) == (True, False)
    assert AlertChange.WITHDRAWN not in [one.change for one in stages.told]


async def test_a_restricted_successor_whom_the_answer_does_not_prove(
    stages: BothStages, world: World
) -> None:
    """The arrival's names are not the child's: nobody who is restricted is named without proof."""
    await flagged(stages)
    await stages.take(make.attendance(replace(CHILD, given=("Robyn",), family="Unlike")))
    assert [one.provisional for one in await stages.live()] == [True]
    supersede(world, restricted=True)
    await world.trace_all()
    await stages.hand_over(single=True)
    assert [one.state for one in await stages.alerts()] == [WITHDRAWN]
