"""Two owners, two publishers (correctness rules 2 and 3): transactions held open at the line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from halyard.kafka import Incoming, Record
from halyard.postgres import transaction
from stores import outbox
from tests.support.plumbing import Plumbing
from tests.support.toy_stage import GROUP, SOURCE, TARGET, event, event_id
from tests.support.waiting import aeventually


def incoming(*numbers: int) -> list[Incoming]:
    """Events as a worker takes them."""
    return [Incoming(SOURCE, 0, number, f"key-{number % 7}", event(number)) for number in numbers]


async def test_c02_old_and_new_owner_take_the_same_batch_and_it_has_one_effect(
    plumbing: Plumbing,
) -> None:
    """While the old owner's transaction stands open the new one waits at the inbox; then it finds
    nothing new, and nothing is decided or published twice."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(_: Sequence[Incoming]) -> None:
        reached.set()
        await go.wait()

    batch = incoming(*range(10))
    async with plumbing.toy() as old, plumbing.toy() as new:
        old.inside = hold
        first = asyncio.ensure_future(old.process(batch))
        await asyncio.wait_for(reached.wait(), 10)
        second = asyncio.ensure_future(new.process(list(reversed(batch))))
        await aeventually(lambda: _waits_for_a_lock(plumbing), 10)
        assert plumbing.done() == []
        go.set()
        await asyncio.gather(first, second)
    assert sorted(plumbing.done()) == list(range(10))
    assert sorted(await plumbing.outputs()) == list(range(10))


async def test_c02_a_rolled_back_owner_leaves_the_batch_to_the_other(plumbing: Plumbing) -> None:
    """If the old owner's transaction is cancelled, the waiting one finds every event new."""
    reached = asyncio.Event()

    async def hold(_: Sequence[Incoming]) -> None:
        reached.set()
        await asyncio.Event().wait()

    batch = incoming(*range(10))
    async with plumbing.toy() as old, plumbing.toy() as new:
        old.inside = hold
        first = asyncio.ensure_future(old.process(batch))
        await asyncio.wait_for(reached.wait(), 10)
        second = asyncio.ensure_future(new.process(batch))
        await aeventually(lambda: _waits_for_a_lock(plumbing), 10)
        first.cancel()
        await second
        await asyncio.gather(first, return_exceptions=True)
    assert sorted(plumbing.done()) == list(range(10))
    assert sorted(await plumbing.outputs()) == list(range(10))


async def test_c03_raised_is_never_published_after_withdrawn(plumbing: Plumbing) -> None:
    """A dies after it committed "raised"; B commits and publishes "withdrawn" of the same key. The
    one function that publishes sends what A left behind first."""
    raised, withdrawn = _entry("raised"), _entry("withdrawn")
    async with plumbing.toy() as a, plumbing.toy() as b:
        async with transaction(a.pool) as connection:
            await outbox.add(connection, [raised])
        # A is gone: it never publishes
        async with transaction(b.pool) as connection:
            lanes = await outbox.add(connection, [withdrawn])
        assert await outbox.publish_lanes(b.pool, b.send, lanes) == 2
        assert await outbox.sweep(a.pool, a.send, older_than_seconds=0) == 0
    assert [r.value for r in await plumbing.records(TARGET)] == [b"raised", b"withdrawn"]


async def test_c03_a_publisher_waits_for_the_lane_and_skips_nothing(plumbing: Plumbing) -> None:
    """While a sweeper holds the lane with the older row, the in-line publisher of the newer one
    waits for it; each row is sent once, in order."""
    reached, go = asyncio.Event(), asyncio.Event()
    async with plumbing.toy() as a, plumbing.toy() as b:
        async with transaction(a.pool) as connection:
            await outbox.add(connection, [_entry("raised")])

        async def slow(records: Sequence[Record]) -> Sequence[bool | outbox.Never]:
            reached.set()
            await go.wait()
            return await a.send(records)

        sweeping = asyncio.ensure_future(outbox.sweep(a.pool, slow, older_than_seconds=0))
        await asyncio.wait_for(reached.wait(), 10)
        async with transaction(b.pool) as connection:
            lanes = await outbox.add(connection, [_entry("withdrawn")])
        publishing = asyncio.ensure_future(outbox.publish_lanes(b.pool, b.send, lanes))
        await aeventually(lambda: _waits_for_a_lock(plumbing), 10)
        assert await plumbing.records(TARGET) == []
        go.set()
        assert (await sweeping, await publishing) == (1, 1)
    assert [r.value for r in await plumbing.records(TARGET)] == [b"raised", b"withdrawn"]


async def test_c03_a_lane_stops_at_its_first_error(plumbing: Plumbing) -> None:
    """What the broker did not confirm keeps everything behind it in its lane, for the next time."""
    async with plumbing.toy() as a:

        async def broken(records: Sequence[Record]) -> Sequence[bool]:
            return [False, *(True for _ in records[1:])]

        async with transaction(a.pool) as connection:
            lanes = await outbox.add(connection, [_entry("raised"), _entry("withdrawn")])
        assert await outbox.publish_lanes(a.pool, broken, lanes) == 0
        assert await outbox.sweep(a.pool, a.send, older_than_seconds=0) == 2
    assert [r.value for r in await plumbing.records(TARGET)] == [b"raised", b"withdrawn"]


def _entry(text: str) -> outbox.Entry:
    return outbox.Entry(Record(TARGET, "alert-1", text.encode(), ()), event_id(len(text)))


def _waits_for_a_lock(plumbing: Plumbing) -> bool:
    return bool(
        plumbing.query(
            "select 1 from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock' and application_name = %s",
            f"halyard-{GROUP}",
        )
    )
