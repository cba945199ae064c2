"""A world of identity: PostgreSQL, a practice PDS, a stage and tracers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.services import Database


@pytest.fixture
def pds() -> Iterator[PdsThread]:
    """A practice PDS that knows the child."""
    child = Person(
        nhs_number=CHILD.nhs_number or "",
        family=CHILD.family or "",
        given=CHILD.given,
        birth_date=CHILD.birth_date or "",
        gender=CHILD.gender or "",
        postcode=CHILD.postcode,
    )
    with PdsThread([child]) as thread:
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
