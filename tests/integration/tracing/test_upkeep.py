"""What keeps every organisation's traces going, and ends what must not stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from halyard.postgres import transaction
from stores import retention, trace_batches, trace_work
from stores.trace_work import LineAnswer
from streams.tracer.batch_questions import question_of
from tests.support import identity as make
from tests.support.identity_world import World, person_of
from tests.support.tracing import (
    NORTH,
    SOUTH,
    batches,
    claim,
    outcomes,
    put,
    results,
    standing,
    tracer,
    without_number,
    work,
)
from tests.support.waiting import aeventually


async def test_a_number_that_is_being_asked_about_holds_up_nobody(world: World) -> None:
    """A trace file gives a line the number that another line of the batch is asked about: it waits
    for that answer, and everybody else's lines are asked meanwhile.
    """
    child, lost = claim(1), without_number(claim(5))
    world.knows(person_of(child))
    batch_id = await put(world, [lost, child])
    mine = batches(world, live=1)
    await mine.feed()
    asking = tracer(world, mine)
    for request in await aeventually(asking.lease, 5, 0.02):
        await asking.trace(request)
    await mine.feed()  # the child's number is before PDS
    said = replace(lost, nhs_number=child.nhs_number)
    question = question_of(make.KEYS, "test", said)
    assert question is not None
    async with transaction(world.pool) as connection:
        held = await trace_work.hold_batch(connection, batch_id)
        assert held is not None
        await trace_work.ask_again(
            connection, held, [(2, question, said)], before=["no-match"], now=world.now
        )
    await put(world, [claim(9)], person=True, organisation=SOUTH)
    assert await batches(world, live=10).feed() == 1
    await work(world, mine)
    assert await outcomes(world, batch_id) == ["conflict", "verified"]


async def test_a_trace_that_pds_never_answers_ends_after_a_day(world: World) -> None:
    """Whatever its state: its details go, and PDS is not asked any more, also where a tracer has
    the request in its hand.
    """
    world.knows(person_of(claim(1)), person_of(claim(2)))
    mine = batches(world)
    queued = await put(world, [claim(1)], person=True)
    await mine.feed()
    world.now += timedelta(hours=23)
    assert await mine.tend() == 0
    world.now += timedelta(hours=2)
    leased = await aeventually(tracer(world, mine).lease, 5, 0.02)
    assert await mine.tend() == 1
    assert (await standing(world, queued)).state == "cancelled"
    rows = await world.rows("select claim, number_token, local_id from trace_items")
    assert rows == [{"claim": {}, "number_token": None, "local_id": None}]
    found = await world.rows("select state, claim from trace_requests")
    assert found == [{"state": "cancelled", "claim": {}}]
    for request in leased:
        await tracer(world, mine).trace(request)
    assert await mine.feed() == 0
    assert await mine.tend() == 0


async def test_lines_are_cleared_and_removed_page_by_page(world: World, monkeypatch: Any) -> None:
    """Of a cancelled file, one past its retention and one that was dropped; no page holds the feed,
    and what is past is told nobody from the first moment.
    """
    for each in (trace_work.clear_page, trace_work.remove_page):
        monkeypatch.setattr(each, "__kwdefaults__", {"limit": 2})
    world.knows(*(person_of(claim(index)) for index in range(5)))
    mine = batches(world)
    cancelled, old, dropped = [
        await put(world, [claim(index) for index in range(start, 5)]) for start in range(3)
    ]
    await work(world, mine)
    async with transaction(world.pool) as connection:
        await trace_batches.cancel(connection, cancelled)
    await world.rows(
        "update trace_batches set state = 'dropped' where batch_id = %(id)s", id=dropped
    )
    kinds = {one.name: one for one in retention.ROWS}
    later = world.now + timedelta(days=1)
    assert await retention.drop(world.pool, kinds["trace-results"], later) == 1
    assert (await standing(world, old)).emptied_at is not None
    assert await mine.tend() == 2
    content = "select count(*) from trace_items where claim <> '{}' or nhs_number is not null"
    assert await world.value(content + " or person is not null or number_token is not null") == 0
    assert await world.value("select count(*) from trace_items") == 9
    assert await retention.drop(world.pool, kinds["trace-batches"], later) == 2
    assert await mine.tend() == 0
    assert await world.value("select count(*) from trace_items") == 0
    assert await world.value("select count(*) from trace_batches") == 0


async def test_persons_of_all_organisations_have_so_much_room_before_pds(world: World) -> None:
    """With room for three, organisations take turns, and the next come when these are answered."""
    for index in range(4):
        await put(world, [claim(index)], person=True, organisation=NORTH)
    await put(world, [claim(7)], person=True, organisation=SOUTH)
    mine = batches(world, persons=3)
    assert await mine.feed() == 3
    rows = await world.rows("select organisation, priority from trace_requests")
    assert sorted(row["organisation"] for row in rows) == sorted([NORTH, NORTH, SOUTH])
    assert {row["priority"] for row in rows} == {3}
    assert await mine.feed() == 0
    await work(world, mine)
    assert await world.value("select count(*) from trace_batches where state = 'done'") == 5


async def test_an_answer_that_comes_again_moves_no_end(world: World) -> None:
    """The day on which a file was done, from which its result is kept, is that of its last line."""
    batch_id = await put(world, [without_number(claim(5))])
    await work(world, batches(world))
    first = (await standing(world, batch_id)).done_at
    async with transaction(world.pool) as connection:
        held = await trace_work.hold_batch(connection, batch_id)
        assert held is not None
        answer = LineAnswer(2, "no-match", "trace-file.21", keep=True)
        later = world.now + timedelta(days=20)
        await trace_work.answer(connection, held, [answer], now=later, before=["no-match"])
    assert (await standing(world, batch_id)).done_at == first
    assert [one.rule for one in await results(world, batch_id)] == ["trace-file.21"]
