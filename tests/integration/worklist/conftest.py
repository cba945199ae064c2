"""A world of identity with worklists, and the face of one entry."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.identity.conftest import pds, world
from tests.support.services import Database
from tests.support.worklist_face import Face, facing

__all__ = ["pds", "world"]


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Face]:
    """One entry of NORTH's."""
    async with facing(database) as made:
        yield made
