"""Months are made and dropped while everybody goes on appending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial

import psycopg
import pytest
from psycopg.rows import dict_row

from halyard import postgres
from halyard.errors import DatabaseUnavailable
from halyard.postgres import Connection, Pool, transaction
from stores import audit, months
from tests.integration.stores.test_retention import entry
from tests.support.services import Database
from tests.support.waiting import aeventually

NAMES = sorted(months.TABLES.values())


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection as the tables' owner has it."""
    async with await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        options="-c search_path=halyard -c timezone=UTC",
    ) as connection:
        yield connection


async def test_migrating_makes_this_month_and_the_next(database: Database) -> None:
    """So no row stands in a default partition that a month must be cut out of later; what is
    missing comes again with the next migration.
    """
    now = datetime.now(UTC).date()
    wanted = {(name, first) for name in NAMES for first in months.wanted(now, 2)}
    async with connected(database.owner_url) as owner:
        assert {(one.table, one.first) for one in await months.there(owner, NAMES)} == wanted
        for one in await months.there(owner, ["accesses"]):
            await months.drop(owner, one)
        assert await asyncio.to_thread(postgres.migrate, database.owner_url) == []
        assert {(one.table, one.first) for one in await months.there(owner, NAMES)} == wanted


async def test_a_month_is_made_while_rows_of_it_are_appended(
    pool: Pool, database: Database
) -> None:
    """No append fails, none waits for long, none is lost, and the rows stand in their month."""
    async with connected(database.owner_url) as owner:
        for one in await months.there(owner, ["audit_entries"]):
            await months.drop(owner, one)
        running, count, slowest = True, 0, 0.0

        async def append() -> None:
            nonlocal count, slowest
            while running:
                began = time.monotonic()
                async with transaction(pool) as connection:
                    await audit.append(connection, [entry(datetime.now(UTC))])
                slowest = max(slowest, time.monotonic() - began)
                count += 1

        writers = [asyncio.create_task(append()) for _ in range(3)]
        first = datetime.now(UTC).date().replace(day=1)
        await aeventually(lambda: count >= 20, 20, 0.01)
        await months.patiently(owner, partial(months.make, owner, "audit_entries", first))
        standing = count
        await aeventually(lambda: count >= standing + 20, 20, 0.01)
        running = False
        await asyncio.gather(*writers)
        (month,) = await months.there(owner, ["audit_entries"])
        assert await months.count(owner, month) == count
        assert slowest < 2


async def test_dropping_a_month_behind_a_long_reader_keeps_nobody_waiting(
    pool: Pool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody verifies: the drop asks for its lock for a moment and steps back, again and again,
    and is done once the reader is; an append meanwhile waits for less than a second.
    """
    monkeypatch.setattr(months, "_PAUSE_SECONDS", 0.05)
    async with connected(database.owner_url) as owner, connected(database.url) as reader:
        await months.make(owner, "audit_entries", date(2020, 1, 1))
        month = (await months.there(owner, ["audit_entries"]))[0]
        slowest = 0.0
        async with reader.transaction():
            await reader.execute("select count(*) from audit_entries")
            dropping = asyncio.create_task(
                months.patiently(owner, partial(months.drop, owner, month))
            )
            for _ in range(20):
                began = time.monotonic()
                async with transaction(pool) as connection:
                    await audit.append(connection, [entry(datetime.now(UTC))])
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.02)
            assert not dropping.done()
        await dropping
        assert month not in await months.there(owner, ["audit_entries"])
        assert slowest < 1


async def test_a_row_that_its_partition_refuses_is_tried_again(database: Database) -> None:
    """A row on its way while bounds change is no poison: the stage tries again. A check that has a
    name is one.
    """
    async with connected(database.owner_url) as owner:
        first = months.name("audit_entries", datetime.now(UTC).date().replace(day=1))
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            await owner.execute(
                f"insert into {first} (entry_id, chain, recorded_at, body, actor)"
                " values (gen_random_uuid(), 'RX901', '2020-01-01', '{}', 'user:a')"
            )
        assert isinstance(postgres.translated(refused.value), DatabaseUnavailable)
        with pytest.raises(psycopg.errors.CheckViolation) as named:
            await owner.execute(
                "insert into audit_seals values ('RX901', 0, gen_random_uuid(), now(), '3',"
                " '', '', now())"
            )
        assert not isinstance(postgres.translated(named.value), DatabaseUnavailable)
