"""A matching stage on a real PostgreSQL, with a bus that only remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from halyard import kafka, postgres
from halyard.postgres import Pool
from halyard.settings import DatabaseSettings, Settings
from schemas.events import AttendanceVerified, FlagVerified
from stores import alerts
from stores.alerts import AlertRow
from streams.matching.agent import MatchingStage
from tests.support.matching import DIRECTORY, KEYS, NOON, SHEFFIELD, incoming


@dataclass
class Hub:
    """The stage, its database, what it sent, and a clock that goes on by a second a batch."""

    pool: Pool
    settings: Settings
    sent: list[kafka.Record] = field(default_factory=list)
    now: datetime = NOON
    broker_away: bool = False

    def stage(self) -> MatchingStage:
        """A worker's stage; several may run at once."""
        return MatchingStage(self.pool, KEYS, self.settings, DIRECTORY, self.send, self.clock)

    def clock(self) -> datetime:
        """The present."""
        self.now += timedelta(seconds=1)
        return self.now

    async def send(self, records: Sequence[kafka.Record]) -> Sequence[bool]:
        """A broker that confirms, or is away."""
        if not self.broker_away:
            self.sent.extend(records)
        return [not self.broker_away] * len(records)

    async def take(self, *events: AttendanceVerified | FlagVerified) -> None:
        """Process `events` as one batch."""
        await self.stage().process([incoming(one) for one in events])

    async def alerts(self, organisation: str = SHEFFIELD) -> list[AlertRow]:
        """What there is for the authority; its own restricted ones too, which no list shows."""
        async with postgres.transaction(self.pool) as connection:
            return await alerts.list_for_organisation(connection, organisation, restricted=True)

    async def query(self, text: Any, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query of the test's own."""
        async with postgres.transaction(self.pool) as connection:
            cursor = await connection.execute(text, values)
            return await cursor.fetchall()


@pytest.fixture
async def hub(database_url: str) -> AsyncIterator[Hub]:
    """A stage on an empty database."""
    settings = Settings(database=DatabaseSettings(url=database_url, pool_size=6))
    pool = postgres.make_pool(settings, name="matching-test")
    await pool.open()
    yield Hub(pool, settings)
    await pool.close()
