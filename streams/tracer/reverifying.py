"""Asks PDS again, in turn, about every flagged person: word of a change may never have come.

Spread over time: whoever was verified longest ago is asked first, and of a large register no more
in a minute than the days allow (`HALYARD_IDENTITY__REVERIFY_FLAGGED_DAYS`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Final

import psycopg

from halyard import metrics, telemetry
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.postgres import Connection, Pool, transaction
from stores import number_changes
from streams.identity.watching import LATER, Question, file

EVERY_SECONDS: Final = 60.0
_LEAST: Final = 20
_HEADROOM: Final = 2
"""Twice what the days call for: what was missed is caught up with."""
_NO_AUTHORITY: Final = "hub"

log = telemetry.get_logger()


def share(flagged: int, every: timedelta) -> int:
    """How many are asked about in one turn, of so many."""
    turns = max(every.total_seconds() / EVERY_SECONDS, 1)
    return max(_LEAST, ceil(flagged / turns) * _HEADROOM)


async def reverify(
    connection: Connection,
    now: datetime,
    every: timedelta,
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> int:
    """File what is due; gives how many requests are new."""
    limit = share(await number_changes.count_flagged(connection), every)
    due = await number_changes.lapsed(connection, now - every, limit=limit)
    questions = [
        Question(one.person, one.nhs_number, one.authority or _NO_AUTHORITY, LATER) for one in due
    ]
    filed = await file(connection, questions, new_id)
    await number_changes.asked(connection, [one.person for one in due], now)
    metrics.gauge("halyard_reverify_due", len(due))
    metrics.gauge("halyard_numbers_inactive", await number_changes.count_inactive(connection))
    return filed


async def reverify_forever(
    pool: Pool, clock: Clock, *, every: timedelta, seconds: float = EVERY_SECONDS
) -> None:
    """Every minute, until cancelled; a failure is logged and tried again."""
    while True:
        try:
            async with transaction(pool) as connection:
                await reverify(connection, clock(), every)
        except (HalyardError, psycopg.Error, OSError) as error:
            log.warning("reverify_failed", error=telemetry.describe(error))
        await asyncio.sleep(seconds)
