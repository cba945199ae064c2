"""The inbox: what a stage has taken, once."""

from __future__ import annotations

import asyncio
import uuid

from halyard.postgres import Pool, transaction
from stores import inbox

IDS = [uuid.UUID(int=number) for number in range(20)]


async def _take(pool: Pool, stage: str, ids: list[uuid.UUID]) -> set[uuid.UUID]:
    async with transaction(pool) as connection:
        return await inbox.take(connection, stage, ids)


async def test_an_event_is_new_once_for_each_stage(pool: Pool) -> None:
    """A repeat is not new, within a batch and after it; another stage takes it for itself."""
    assert await _take(pool, "identity", [*IDS[:3], IDS[0]]) == set(IDS[:3])
    assert await _take(pool, "identity", IDS[:5]) == set(IDS[3:5])
    assert await _take(pool, "matching", IDS[:5]) == set(IDS[:5])
    assert await _take(pool, "identity", []) == set()


async def test_c02_two_batches_in_opposite_order_do_not_deadlock(pool: Pool) -> None:
    """Ids are inserted in one order, whatever the batch's: each is new to exactly one."""
    for turn in range(10):
        ids = [uuid.UUID(int=1_000 * turn + one.int) for one in IDS]
        one, other = await asyncio.gather(
            _take(pool, "identity", ids), _take(pool, "identity", ids[::-1])
        )
        assert one | other == set(ids)
        assert not one & other
