"""A face with agencies, on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from policies.model import Policies
from tests.support import disclosing
from tests.support.face import Hub, hub, settings
from tests.support.services import Database

Facing = Callable[..., AbstractAsyncContextManager[Hub]]


@pytest.fixture
def facing(database: Database) -> Facing:
    """Runs a face under these policies (the product's, if none are given)."""
    made = settings(database_url=database.url)

    @asynccontextmanager
    async def running(policies: Policies | None = None) -> AsyncIterator[Hub]:
        known = disclosing.directory()
        door = disclosing.door(known)
        async with hub(made, connect=False, known=known, policies=policies, door=door) as face:
            yield face

    return running


@asynccontextmanager
async def asking(face: Hub, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody's requests."""
    async with httpx.AsyncClient(
        base_url=face.url, headers=disclosing.as_(name), timeout=10, trust_env=False
    ) as http:
        yield http
