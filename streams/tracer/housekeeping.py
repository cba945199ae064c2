"""What identity may not keep: claims beyond their window, people without a reason, old traces."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import psycopg

from halyard import metrics, telemetry
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.postgres import Connection, Pool, transaction
from stores import claims, identities, trace_requests, worklist

EVERY_SECONDS: Final = 60.0
_TRACES_KEPT: Final = timedelta(days=7)

log = telemetry.get_logger()


async def retention(
    connection: Connection, now: datetime, *, window: timedelta = timedelta(hours=48)
) -> None:
    """Empty claims that ended before `window`, forget those not traced, purge people and traces.

    What waits for a trace, or stands provisionally, is kept until it ends.
    """
    await claims.retain(connection, before=now - window)
    await identities.purge(connection, now=now)
    await trace_requests.purge(connection, before=now - _TRACES_KEPT)


async def gauges(connection: Connection) -> None:
    """How much waits, and how long the oldest worklist entry has."""
    waiting = await trace_requests.waiting(connection)
    for priority in range(1, trace_requests.LEAST_URGENT + 1):
        metrics.gauge("halyard_trace_waiting", waiting.get(priority, 0), priority=str(priority))
    metrics.gauge("halyard_worklist_oldest_seconds", await worklist.oldest_seconds(connection))


async def keep_house(
    pool: Pool, clock: Clock, *, window: timedelta, every_seconds: float = EVERY_SECONDS
) -> None:
    """Both, every minute, until cancelled; a failure is logged and tried again."""
    while True:
        try:
            async with transaction(pool) as connection:
                await retention(connection, clock(), window=window)
            async with transaction(pool) as connection:
                await gauges(connection)
        except (HalyardError, psycopg.Error, OSError) as error:
            log.warning("identity_retention_failed", error=telemetry.describe(error))
        await asyncio.sleep(every_seconds)
