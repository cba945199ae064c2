"""A pool of the app role's connections to a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from halyard.postgres import Pool, make_pool
from halyard.settings import DatabaseSettings, Settings
from tests.support.services import Database


@pytest.fixture
def settings(database: Database) -> Settings:
    """Settings with short time-outs."""
    return Settings(
        database=DatabaseSettings.model_validate(
            {
                "url": database.url,
                "pool_size": 4,
                "statement_timeout_seconds": 3,
                "lock_timeout_seconds": 1,
            }
        )
    )


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """Open, with those time-outs."""
    async with make_pool(settings, name="test") as made:
        yield made
