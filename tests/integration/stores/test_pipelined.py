"""Pipelined transactions: what is not committed is never taken for it, and dead connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from halyard.errors import HalyardError, PermanentError
from halyard.postgres import Connection, Pool, make_pool, scoped, transaction
from halyard.settings import DatabaseSettings, Settings
from tests.support.services import Database

TABLE = """
create table halyard.things (name text primary key);
grant select, insert on halyard.things to halyard_app;
create function halyard.refuse() returns trigger language plpgsql as
    $$ begin raise exception 'no'; end $$;
create constraint trigger refuse after insert on halyard.things
    deferrable initially deferred for each row when (new.name = 'late')
    execute function halyard.refuse();
"""
ADD = "insert into things values (%s)"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """One connection to a database with a table that refuses 'late' at the commit."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(TABLE)
    settings = Settings(database=DatabaseSettings.model_validate({"url": database.url}))
    made = make_pool(settings, name="test", size=1)
    await made.open()
    async with made:
        yield made


async def _names(pool: Pool) -> list[str]:
    async with transaction(pool) as connection:
        cursor = await connection.execute("select name from things order by name")
        return [row["name"] for row in await cursor.fetchall()]


async def _add(pool: Pool, *names: str, then: Callable[[Connection], Awaitable[object]]) -> None:
    async with scoped(pool, "RX901", pipelined=True) as connection:
        for name in names:
            await connection.execute(ADD, (name,))
        await then(connection)


async def _nothing(_connection: Connection) -> None:
    """Nothing is fetched."""


async def _own_error(_connection: Connection) -> None:
    raise KeyError


async def _too_slow(connection: Connection) -> None:
    async with asyncio.timeout(0.1):
        await (await connection.execute("select pg_sleep(5)")).fetchall()


async def _passed_over(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        await (await connection.execute("select 1 / 0")).fetchall()


async def test_what_is_written_stands_when_the_block_is_left(pool: Pool) -> None:
    """Nothing was fetched in it, and yet it is committed."""
    await _add(pool, "a", "b", then=_nothing)
    assert await _names(pool) == ["a", "b"]


@pytest.mark.parametrize("names", [("a", "late"), ("a", "a")])
async def test_c26_who_leaves_the_block_without_an_error_has_committed(
    pool: Pool, names: tuple[str, ...]
) -> None:
    """The commit, or a statement whose result nobody fetched, fails: the block raises and nothing
    of it stands; the connection serves the next.
    """
    with pytest.raises(PermanentError):
        await _add(pool, *names, then=_nothing)
    assert await _names(pool) == []


@pytest.mark.parametrize(
    ("then", "raised"),
    [(_own_error, KeyError), (_too_slow, TimeoutError), (_passed_over, HalyardError)],
)
async def test_a_block_that_breaks_off_leaves_nothing(
    pool: Pool, then: Callable[[Connection], Awaitable[object]], raised: type[Exception]
) -> None:
    """By an error of its own, by being cancelled, or because a statement failed that it passed
    over: PostgreSQL would answer that one's commit with a rollback.
    """
    with pytest.raises(raised):
        await _add(pool, "a", then=then)
    assert await _names(pool) == []


async def test_a_connection_that_died_while_it_was_idle_is_not_given_out(
    pool: Pool, database: Database
) -> None:
    """That it was ended is seen without asking PostgreSQL."""
    assert await _names(pool) == []
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where application_name = 'halyard-test' and datname = %s",
            (database.name,),
        )
    assert await _names(pool) == []
