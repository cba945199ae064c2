"""Transactions that learn under their locks what else they must lock."""

from __future__ import annotations

import uuid

import pytest

from halyard.lock_sets import LockSetGrew, growing
from halyard.postgres import Connection, Pool, transaction
from stores import inbox


def event_id(attempt: int) -> uuid.UUID:
    """What an attempt leaves behind."""
    return uuid.UUID(int=attempt)


async def test_it_starts_again_with_all_locks_and_keeps_nothing_of_before(pool: Pool) -> None:
    """What the first attempts wrote is undone; the last one is committed."""
    seen: list[frozenset[str]] = []

    async def decide(connection: Connection, locks: frozenset[str]) -> str:
        seen.append(locks)
        await inbox.take(connection, "test", [event_id(len(seen))])
        if len(seen) < 3:
            raise LockSetGrew(frozenset({f"lock-{len(seen)}"}))
        return "done"

    assert await growing(pool, decide) == "done"
    assert seen == [frozenset(), frozenset({"lock-1"}), frozenset({"lock-1", "lock-2"})]
    async with transaction(pool) as connection:
        fresh = await inbox.take(connection, "test", [event_id(one) for one in (1, 2, 3)])
    assert fresh == {event_id(1), event_id(2)}


async def test_what_grows_for_ever_ends_as_an_error_that_is_tried_again(pool: Pool) -> None:
    """A batch is not taken again without end."""
    attempts = 0

    async def decide(connection: Connection, locks: frozenset[str]) -> None:
        nonlocal attempts
        attempts += 1
        raise LockSetGrew(frozenset({f"lock-{attempts}"}))

    with pytest.raises(LockSetGrew):
        await growing(pool, decide)
    assert attempts == 6
