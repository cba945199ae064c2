"""A cases stage on a real PostgreSQL, with a bus that only remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from halyard import postgres
from halyard.settings import DatabaseSettings, Settings
from tests.support.cases import Hub


@pytest.fixture
async def hub(database_url: str) -> AsyncIterator[Hub]:
    """A stage on an empty database."""
    settings = Settings(database=DatabaseSettings(url=database_url, pool_size=6))
    pool = postgres.make_pool(settings, name="cases-test")
    await pool.open()
    yield Hub(pool, settings)
    await pool.close()
