"""Hears PostgreSQL's NOTIFY: a hint that something waits, never more (correctness rule 19).

The connection is this module's own and is opened again when the server drops it. Every new
connection counts as a hint, for what was said while nobody listened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import sql

from halyard import telemetry

CHANNEL = "halyard_deliveries"
# A silent connection is tried this often: a cut one looks like a quiet one
_TRY_SECONDS = 20.0
_LONGEST_WAIT = 5.0

log = telemetry.get_logger()


async def listen(url: str, hint: Callable[[], None], channel: str = CHANNEL) -> None:
    """Call `hint` for each notification and each new connection; returns only by cancellation."""
    wait = 0.1
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                application_name=f"halyard-listen-{channel}",
                options="-c statement_timeout=10000",
            )
            async with connection:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                log.info("listening", channel=channel)
                wait = 0.1
                hint()
                while True:
                    async for _ in connection.notifies(timeout=_TRY_SECONDS):
                        hint()
                    await connection.execute("select 1")
        except psycopg.Error as error:
            log.warning("listening_lost", channel=channel, reason=telemetry.describe(error))
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
