"""What identity may not keep: claims beyond their window, people without a reason, old traces."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import psycopg

from halyard import metrics, telemetry
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.postgres import Connection, Pool, transaction
from stores import claims, identities, number_changes, sibling_links, trace_requests, worklist
from streams.identity import doubts

EVERY_SECONDS: Final = 60.0
_THOROUGH_EVERY: Final = 60  # turns: an hour
_ALERTS_OPEN: Final = timedelta(days=30)  # from the arrival, of a number that was invalidated
_TRACES_KEPT: Final = timedelta(days=7)
_INACTIVE_KEPT: Final = timedelta(days=400)  # beyond any alert, visit and ended plan of the number

log = telemetry.get_logger()


async def retention(
    connection: Connection,
    now: datetime,
    *,
    window: timedelta = timedelta(hours=48),
    thorough: bool = True,
) -> None:
    """Empty claims that ended before `window`, forget those not traced, purge people and traces.

    What waits for a trace, or stands provisionally, is kept until it ends. Alerts of invalidated
    numbers that nobody accepted are closed. `thorough`: it is looked whose plans have ended, and
    which old numbers lead to nobody.
    """
    await claims.retain(connection, before=now - window)
    await identities.purge(connection, now=now, plans=thorough)
    await sibling_links.resolve_all(connection)
    await trace_requests.purge(connection, before=now - _TRACES_KEPT)
    await number_changes.close_alerts(connection, before=now - _ALERTS_OPEN, at=now)
    await number_changes.purge_inactive(connection, before=now - _INACTIVE_KEPT)
    if thorough:
        await number_changes.purge_successors(connection)


async def gauges(connection: Connection) -> None:
    """How much waits, and how long the oldest worklist entry has."""
    waiting = await trace_requests.waiting(connection)
    for priority in range(1, trace_requests.LEAST_URGENT + 1):
        metrics.gauge("halyard_trace_waiting", waiting.get(priority, 0), priority=str(priority))
    pace, away = await trace_requests.pace(connection)
    metrics.gauge("halyard_pds_pace", pace)
    metrics.gauge("halyard_pds_breaker_open", float(away))
    metrics.gauge("halyard_worklist_oldest_seconds", await worklist.oldest_seconds(connection))


async def worklist_gauges(connection: Connection, now: datetime) -> None:
    """Of open worklist entries how many, how old, and how many in somebody's hand."""
    found = await worklist.standing(connection, now=now)
    for kind in ("attendance", "flag", "death", "report"):
        of_kind = [one for one in found if one.event_kind == kind]
        metrics.gauge("halyard_worklist_claimed", sum(one.claimed for one in of_kind), kind=kind)
        for group in doubts.GROUPS:
            alike = [one for one in of_kind if doubts.group_of(one.rule) == group]
            ages = [(now - one.oldest).total_seconds() for one in alike]
            amount = sum(one.amount for one in alike)
            metrics.gauge("halyard_worklist_open", amount, kind=kind, group=group)
            metrics.gauge(
                "halyard_worklist_age_seconds", max(ages, default=0.0), kind=kind, group=group
            )


async def keep_house(
    pool: Pool, clock: Clock, *, window: timedelta, every_seconds: float = EVERY_SECONDS
) -> None:
    """Both, every minute, until cancelled; a failure is logged and tried again."""
    for turn in count():
        try:
            async with transaction(pool) as connection:
                thorough = turn % _THOROUGH_EVERY == 0
                await retention(connection, clock(), window=window, thorough=thorough)
            async with transaction(pool) as connection:
                await gauges(connection)
                await worklist_gauges(connection, clock())
        except (HalyardError, psycopg.Error, OSError) as error:
            log.warning("identity_retention_failed", error=telemetry.describe(error))
        await asyncio.sleep(every_seconds)
