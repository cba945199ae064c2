"""A file of a hundred thousand lines: in flat memory, in and out; the small sibling is
`test_batch_routes.test_pages_of_a_long_file_come_whole_and_in_order`.
"""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from flag_service.trace_batches import stream
from flag_service.trace_loading import load
from flag_service.tracing import make_tracing
from halyard.caller import Caller
from halyard.postgres import transaction
from stores import trace_batches
from tests.support import identity as make
from tests.support.face import NORTH, desk_of, directory
from tests.support.identity_world import World
from tests.support.tracing import batches

LINES = 100_000


async def pieces() -> AsyncIterator[bytes]:
    """The file, a thousand lines at a time; each asks something of its own."""
    yield b"Local ID,Family,Given,Birth date\n"
    for start in range(0, LINES, 1_000):
        rows = (f"C-{n},Surname{n},Alex,2015-01-01\n" for n in range(start, start + 1_000))
        yield "".join(rows).encode()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_lines_take_flat_memory(world: World) -> None:
    """Loaded, fed and told again: at no time is more than a few thousand lines held."""
    desk = desk_of(directory())
    mine = make_tracing(world.settings, world.pool, desk, lambda: datetime.now(UTC), make.KEYS)
    asking = Caller(organisation=NORTH, subject="token:north", roles=frozenset({"la-system"}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = await load(
        mine,
        asking,
        purpose="child-protection",
        reason="go-live",
        chunks=pieces(),
        request_id=None,
        max_line_bytes=16_000,
    )
    assert loaded.lines == LINES
    assert await batches(world, live=10).feed() == 10
    async with transaction(world.pool) as connection:
        batch = await trace_batches.get(connection, loaded.batch_id)
    assert batch is not None
    told = 0
    async for piece in stream(mine, asking, batch, after=0, request_id=None):
        told += piece.count(b"\n")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert told == LINES + 1
    assert grown < 60_000  # KiB; the file's rows are ten times that
