"""A world in which batches are traced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.pds.server import PdsThread
from tests.support.identity_world import World
from tests.support.services import Database


@pytest.fixture
def pds() -> Iterator[PdsThread]:
    """A practice PDS that knows nobody yet."""
    with PdsThread([]) as thread:
        yield thread


@pytest.fixture
async def world(database: Database, pds: PdsThread) -> AsyncIterator[World]:
    """Everything, on a database of the test's own."""
    made = World(database, pds)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
