"""How entries end: as not traced, and when age and a person's decision come at one moment."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from flag_service import worklist_actions
from flag_service.worklist_actions import Done, Wanted
from halyard.actor import Actor
from halyard.nhs_number import profile_for
from halyard.postgres import Connection, transaction
from halyard.problems import HttpProblem
from schemas.events import VisitEventKind
from stores import worklist
from streams.identity.evidence import Reported
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.waiting import aeventually
from tests.support.worklist import decide, ended, entry_of

BARE = replace(CHILD, nhs_number=None, given=("Sam",))
PAT = Actor(subject="user:pat", organisation=make.HOSPITAL, name="Pat Clerk")


async def arrived(world: World) -> Reported:
    """An arrival that matched nobody, two days and an hour ago."""
    arrival = make.attendance(BARE)
    await world.take(arrival)
    await world.trace_all()
    world.now = make.NOW + timedelta(hours=49)
    return arrival


async def reject(world: World, connection: Connection, entry_id: uuid.UUID) -> Done:
    """Pat decides, in this transaction."""
    return await worklist_actions.decide(
        connection,
        entry_id,
        Wanted("reject", "nobody knows them", code="nobody"),
        PAT,
        world.desk,
        world.now,
        profile=profile_for(world.settings.profile),
    )


async def expire(world: World, connection: Connection) -> int:
    """What is due ends, in this transaction."""
    old = world.now - world.limits.backmatch
    ended = await worklist.expire(
        connection, now=world.now, arrivals=old, others=old - timedelta(days=30), limit=10
    )
    return len(ended)


async def waits_for_a_row(world: World) -> None:
    """Until a transaction waits for another's."""

    async def waiting() -> bool:
        found = await world.value(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
            "and datname = current_database()"
        )
        return bool(found)

    await aeventually(waiting, 10, 0.02, why="a transaction that waits for the entry")


async def test_c07_an_entry_expires_while_somebody_decides_it(world: World) -> None:
    """Age has the entry first: who decides waits for it, is told that it has ended, and nothing of
    the decision is left.
    """
    arrival = await arrived(world)
    entry_id = (await entry_of(world, arrival)).entry_id

    async def deciding() -> Done:
        async with transaction(world.pool) as connection:
            return await reject(world, connection, entry_id)

    async with transaction(world.pool) as connection:
        assert await expire(world, connection) == 1
        task = asyncio.create_task(deciding())
        await waits_for_a_row(world)
    with pytest.raises(HttpProblem) as told:
        await task
    assert (told.value.status_code, told.value.rule) == (409, "worklist.ended")
    assert told.value.extras["closed_rule"] == "expired"
    assert await world.value("select count(*) from resolutions") == 0
    assert await world.value("select count(*) from audit_entries") == 0
    entry = await entry_of(world, arrival)
    assert (entry.closed_rule, entry.ended_by) == ("expired", None)


async def test_c07_somebody_decides_an_entry_while_it_expires(world: World) -> None:
    """The person has it first: age passes it over, now and until the decision is carried out, and
    it ends once, as decided.
    """
    arrival = await arrived(world)
    entry_id = (await entry_of(world, arrival)).entry_id
    async with transaction(world.pool) as connection:
        done = await reject(world, connection, entry_id)
        async with transaction(world.pool) as other:
            assert await expire(world, other) == 0
    assert done.decision is not None
    await world.new_resolver().keep()
    assert (await entry_of(world, arrival)).closed_at is None
    await world.new_resolver().work()
    await world.new_resolver().keep()
    assert (await ended(world, done.decision.resolution_id)).state == "done"
    entry = await entry_of(world, arrival)
    assert (entry.closed_rule, entry.ended_name) == ("rejected-by-person.nobody", "Pat Clerk")
    assert await world.states(arrival) == [("not_traced", "rejected-by-person")]


async def test_an_entry_that_a_person_rejects_ends_not_traced(world: World) -> None:
    """What was sent and the candidates go with it, nobody is named on the bus, and PDS is not asked
    again by itself; evidence that comes later names the child all the same, and the entry stays as
    it ended.
    """
    arrival = make.attendance(BARE)
    await world.take(arrival)
    await world.trace_all()
    done = await decide(world, arrival, "reject", code="nobody")
    assert done.state == "done"
    assert await world.states(arrival) == [("not_traced", "rejected-by-person")]
    before = await entry_of(world, arrival)
    assert before.closed_rule == "rejected-by-person.nobody"
    assert (before.claim, list(before.candidates), before.next_try_at) == (None, [], None)
    assert world.said() == []
    await world.take(make.attendance(replace(CHILD, given=("Sam",)), kind=VisitEventKind.UPDATE))
    await world.trace_all()
    after = await entry_of(world, arrival)
    assert (after.closed_at, after.closed_rule) == (before.closed_at, before.closed_rule)
    assert await world.value("select count(*) from worklist where closed_at is null") <= 1


async def test_an_entry_whose_claim_waits_behind_another_is_not_closed_with_it(
    world: World,
) -> None:
    """An arrival and an update of its visit are both before a person. A late plan makes both
    provisional, and PDS then says that the child is another: the update, which waited behind the
    arrival, brings a number that the arrival has not; PDS is asked for it, and both are before a
    person still, each with what PDS said of it.
    """
    child = replace(CHILD, nhs_number=None, family="Newname", given=("Ona",))
    numbered = replace(child, nhs_number=make.number(7))
    arrival = make.attendance(child)
    update = make.attendance(numbered, kind=VisitEventKind.UPDATE)
    for event in (arrival, update):
        await world.take(event)
        await world.trace_all()
    assert [state for state, _ in await world.states(arrival, update)] == ["unresolved"] * 2
    world.knows(person_of(numbered))
    await world.take(make.flag(numbered))
    await world.trace()  # the flag's question alone
    assert [state for state, _ in await world.states(arrival, update)] == ["provisional"] * 2
    world.knows(person_of(numbered, birth_date="2011-01-01"))
    await world.trace_all()
    assert await world.states(arrival, update) == [
        ("unresolved", "pds.search_no_match"),
        ("unresolved", "pds.get.birth_date_differs"),
    ]
    for event in (arrival, update):
        assert (await entry_of(world, event)).closed_at is None
    decided = await decide(world, update, "reject", code="nobody")
    assert decided.state == "done"
