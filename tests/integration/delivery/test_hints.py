"""NOTIFY is a hint: what it misses is found, and listening survives PostgreSQL (rule 19)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from halyard.postgres import Pool, transaction
from stores import alerts
from streams.delivery.dispatcher import Dispatcher
from streams.delivery.listener import listen
from tests.integration.delivery.practice import (
    add,
    delivery,
    directory_of,
    quick,
    raise_alert,
    receiving,
)
from tests.support.waiting import aeventually

Dispatching = Callable[..., Awaitable[Dispatcher]]


async def test_c19_a_row_without_notify_is_sent_by_polling(
    pool: Pool, dispatching: Dispatching
) -> None:
    """Nobody is told of the row (its NOTIFY was missed); polling finds it."""
    async with receiving() as authority:
        await dispatching(directory_of(authority=authority.url), quick(poll_seconds=0.2))
        alert = await raise_alert(pool)
        await _insert_silently(pool, alert)
        await aeventually(lambda: authority.versions(alert.alert_id))


async def test_c19_listening_is_taken_up_again_when_postgresql_drops_it(
    pool: Pool, dispatching: Dispatching, postgres_admin_url: str, database_url: str
) -> None:
    """With polling practically off: hints are heard, the listening connection is killed, opened
    again, what was missed meanwhile is sent, and hints are heard again.
    """
    async with receiving() as authority:
        dispatcher = await dispatching(
            directory_of(authority=authority.url), quick(poll_seconds=3600), hears=True
        )
        first, missed, last = [await raise_alert(pool) for _ in range(3)]
        old = await aeventually(lambda: _listeners(pool))
        await add(pool, delivery(first))
        await aeventually(lambda: authority.versions(first.alert_id))
        await aeventually(lambda: dispatcher.under_way == 0)
        await _insert_silently(pool, missed)
        async with transaction(pool) as connection:
            await connection.execute("select pg_terminate_backend(%s)", (old,))
        await aeventually(lambda: authority.versions(missed.alert_id))
        await aeventually(lambda: _another_listener(pool, old))
        await aeventually(lambda: dispatcher.under_way == 0)
        await add(pool, delivery(last))
        await aeventually(lambda: authority.versions(last.alert_id))


async def test_c19_each_new_connection_is_a_hint(database_url: str) -> None:
    """Connecting alone wakes the dispatcher: what was said before is not lost."""
    heard = asyncio.Event()
    listening = asyncio.create_task(listen(database_url, heard.set))
    await asyncio.wait_for(heard.wait(), 10)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def _insert_silently(pool: Pool, alert: alerts.AlertRow) -> None:
    """A delivery row whose NOTIFY nobody hears."""
    row = delivery(alert)
    async with transaction(pool) as connection:
        await connection.execute(
            "insert into deliveries (delivery_id, destination, alert_id, version, round, kind, "
            "body, event_id, traceparent) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                row.delivery_id,
                row.destination,
                row.alert_id,
                row.version,
                row.round,
                row.kind,
                row.body,
                row.event_id,
                row.traceparent,
            ),
        )


async def _listeners(pool: Pool) -> int | None:
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select pid from pg_stat_activity where datname = current_database() "
            "and application_name = 'halyard-listen-halyard_deliveries' and query like 'listen%%'"
        )
        row = await cursor.fetchone()
        return None if row is None else int(row["pid"])


async def _another_listener(pool: Pool, old: int | None) -> bool:
    return await _listeners(pool) not in (None, old)
