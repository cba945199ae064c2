"""Monthly partitions: made ahead, dropped whole.

Only the owner of the tables may do either. What falls into no month goes to the table's default
partition, so a missing month loses nothing; it makes the drop slower.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "retention.sql")
T = TypeVar("T")
_NAME: Final = re.compile(r"_y(\d{4})m(\d{2})$")

TABLES: Final = {"audit": "audit_entries", "accesses": "accesses"}
"""The partitioned table of each class."""

# Whoever appends waits behind somebody who waits for a table: 200 ms, and then again a little later
_LOCK_TIMEOUT: Final = "set local lock_timeout = '200ms'"
_TRIES, _PAUSE_SECONDS = 60, 0.5

COLUMNS: Final = {"audit_entries": "recorded_at", "accesses": "looked_at"}


@dataclass(frozen=True, slots=True)
class Month:
    """A partition and the first day of its month."""

    table: str
    partition: str
    first: date
    about: int  # rows, as PostgreSQL estimates

    @property
    def end(self) -> date:
        """The first day of the next month."""
        return following(self.first)


def following(first: date) -> date:
    """The first day of the month after that of `first`."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def name(table: str, first: date) -> str:
    """The partition of a month."""
    return f"{table}_y{first.year:04}m{first.month:02}"


def wanted(today: date, ahead: int) -> list[date]:
    """The first days of this month and of the next `ahead`."""
    months = [today.replace(day=1)]
    for _ in range(ahead):
        months.append(following(months[-1]))
    return months


async def there(connection: Connection, tables: Sequence[str]) -> list[Month]:
    """The monthly partitions of `tables`, oldest first; defaults are left out."""
    cursor = await connection.execute(_SQL["months"], {"tables": list(tables)})
    found = []
    for row in await cursor.fetchall():
        match = _NAME.search(row["partition"])
        if match is not None:
            first = date(int(match[1]), int(match[2]), 1)
            found.append(Month(row["parent"], row["partition"], first, row["about"]))
    return sorted(found, key=lambda one: (one.table, one.first))


async def unmade(connection: Connection, table: str) -> list[date]:
    """The first days of months of which `table` has rows in its default partition."""
    cursor = await connection.execute(
        sql.SQL(
            "select distinct date_trunc('month', {column} at time zone 'UTC')::date as first "
            "from {default} order by 1"
        ).format(column=sql.Identifier(COLUMNS[table]), default=sql.Identifier(f"{table}_other"))
    )
    return [row["first"] for row in await cursor.fetchall()]


async def make(connection: Connection, table: str, first: date) -> None:
    """Add the partition of a month to `table`; rows of it in the default partition move there.

    In a transaction of its own (`patiently`), as the tables' owner.
    """
    await connection.execute("select halyard.make_month(%s::regclass, %s)", (table, first))


async def count(connection: Connection, month: Month) -> int:
    """How many rows a month holds; reads them all."""
    found = await connection.execute(
        sql.SQL("select count(*) as n from {partition}").format(
            partition=sql.Identifier(name(month.table, month.first))
        )
    )
    return int(one(await found.fetchone())["n"])


async def drop(connection: Connection, month: Month) -> None:
    """Drop a month with all that it holds, in a transaction of its own (`patiently`), as the
    tables' owner.
    """
    await connection.execute(
        sql.SQL("drop table {partition}").format(
            partition=sql.Identifier(name(month.table, month.first))
        )
    )


async def patiently(connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, which takes the lock of a table that everybody appends to, in one transaction;
    again if it could not have it at once. Raises what PostgreSQL raises; `LockNotAvailable` after
    40 s.
    """
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(_LOCK_TIMEOUT)
                return await work()
        except (LockNotAvailable, DeadlockDetected):
            if not left:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError
