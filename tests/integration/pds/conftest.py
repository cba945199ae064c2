"""A practice PDS over HTTP, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from connectors.pds.client import PdsClient
from sandbox.pds.people import load_people
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import PEOPLE_FILE


@pytest.fixture(scope="module")
def server() -> Iterator[PdsThread]:
    """One practice PDS for a module; `practice` cleans it for each test."""
    with PdsThread(load_people(PEOPLE_FILE), PdsSandboxSettings(token="practice-token")) as thread:
        yield thread


@pytest.fixture
def practice(server: PdsThread) -> PdsThread:
    """The practice PDS without faults and with counters at zero."""
    server.pds.reset()
    return server


@pytest.fixture
async def client(practice: PdsThread) -> AsyncIterator[PdsClient]:
    """A client with the right token."""
    async with PdsClient(
        practice.url,
        token="practice-token",
        end_user_organisation="X26",
        profile="test",
        timeout_seconds=5,
    ) as client:
        yield client
