"""Hears PostgreSQL's NOTIFY: a hint that deliveries wait, never more (correctness rule 19).

The connection is this module's own and is opened again when the server drops it. Every new
connection counts as a hint, for what was said while nobody listened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg

from halyard import telemetry

CHANNEL = "halyard_deliveries"
# A silent connection is tried this often: a cut one looks like a quiet one
_TRY_SECONDS = 20.0
_LONGEST_WAIT = 5.0

log = telemetry.get_logger()


async def listen(url: str, hint: Callable[[], None]) -> None:
    """Call `hint` for each notification and each new connection; returns only by cancellation."""
    wait = 0.1
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                application_name="halyard-dispatcher-listen",
                options="-c statement_timeout=10000",
            )
            async with connection:
                await connection.execute("listen halyard_deliveries")
                log.info("listening", channel=CHANNEL)
                wait = 0.1
                hint()
                while True:
                    async for _ in connection.notifies(timeout=_TRY_SECONDS):
                        hint()
                    await connection.execute("select 1")
        except psycopg.Error as error:
            log.warning("listening_lost", channel=CHANNEL, reason=telemetry.describe(error))
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
