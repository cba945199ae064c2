"""Transactions, locks, migrations and roles on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from halyard import postgres, provisioning
from halyard.errors import (
    ConfigurationError,
    ContractError,
    DatabaseUnavailable,
    HalyardError,
    PermanentError,
)
from halyard.postgres import Pool, lock, make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from tests.support.services import Database, DatabaseServer
from tests.support.waiting import aeventually

CANARY = "9990000018"
NAMES = [name for name, _ in postgres._migration_files()]


def _raises(database: Database, statement: str) -> type[BaseException] | None:
    """What the app role gets for `statement`."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return type(error)
    return None


def test_migrations_are_applied_once(database_server: DatabaseServer) -> None:
    """An empty database gets all of them, a second run none; both give the same schema."""
    database = database_server.create()
    try:
        with psycopg.connect(database.url, autocommit=True) as connection:
            assert postgres.pending_migrations(connection) == NAMES
        assert postgres.migrate(database.owner_url) == NAMES
        assert postgres.migrate(database.owner_url) == []
        with psycopg.connect(database.url, autocommit=True) as connection:
            assert postgres.pending_migrations(connection) == []
    finally:
        database_server.drop(database)


async def test_two_migrations_at_a_time_apply_once(database_server: DatabaseServer) -> None:
    """Two processes that start together: one migrates, the other waits and finds it done."""
    database = database_server.create()
    try:
        both = await asyncio.gather(
            *(asyncio.to_thread(postgres.migrate, database.owner_url) for _ in range(2))
        )
        assert sorted(both) == [[], NAMES]
    finally:
        database_server.drop(database)


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    """An old program does not run on tables it does not know."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("insert into halyard.migration (name) values ('9999_future.sql')")
    with pytest.raises(ConfigurationError, match="upgrade Halyard"):
        postgres.migrate(database.owner_url)


def test_a_missing_role_or_server_says_what_to_do(database: Database) -> None:
    """No app role, and nobody at the address; no password is shown."""
    with pytest.raises(ConfigurationError, match="has no role nobody_of_ours"):
        postgres.migrate(database.owner_url, app_role="nobody_of_ours")
    with pytest.raises(ConfigurationError, match="HALYARD_DATABASE__OWNER_URL") as caught:
        postgres.migrate(f"postgresql://owner:{CANARY}@127.0.0.1:1/none")
    assert CANARY not in caught.value.message


@pytest.mark.parametrize(
    "statement",
    [
        "create table halyard.mine (id integer)",
        "create schema mine",
        "drop table halyard.outbox",
        "alter table halyard.outbox add column more text",
        "truncate halyard.outbox",
        "create role mine",
        "drop table halyard.migration",
        "insert into halyard.migration (name) values ('9999_mine.sql')",
        "delete from halyard.migration",
        "alter role halyard_app superuser",
    ],
)
def test_the_app_role_cannot_change_the_schema(database: Database, statement: str) -> None:
    """It reads and writes rows; definitions belong to the owner."""
    assert _raises(database, statement) is psycopg.errors.InsufficientPrivilege


def test_neither_role_is_above_row_security(database: Database) -> None:
    """No superuser, no BYPASSRLS, no right to make roles or databases."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        rows = connection.execute(
            "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb "
            "or rolreplication from pg_roles where rolname in ('halyard_app', 'halyard_owner')"
        ).fetchall()
    assert dict(rows) == {"halyard_app": False, "halyard_owner": False}


async def test_a_committed_transaction_stays_and_a_failed_one_leaves_nothing(pool: Pool) -> None:
    """All or nothing, also for an error of ours."""
    async with transaction(pool) as connection:
        await connection.execute("insert into pauses (stage, reason, by) values ('a', 'r', 'b')")

    async def fail() -> None:
        async with transaction(pool) as connection:
            await connection.execute(
                "insert into pauses (stage, reason, by) values ('c', 'r', 'b')"
            )
            raise ContractError

    with pytest.raises(ContractError):
        await fail()
    async with transaction(pool) as connection:
        cursor = await connection.execute("select stage from pauses")
        assert [row["stage"] for row in await cursor.fetchall()] == ["a"]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("select pg_sleep(30)", DatabaseUnavailable),
        ("select 1/0", ContractError),
        (f"select '{CANARY}x'::integer", ContractError),
        ("select * from no_such_table", PermanentError),
        (
            "insert into journal_offsets values ('" + CANARY + "', 0, 0), ('" + CANARY + "', 0, 0)",
            PermanentError,
        ),
        ("create table mine (id integer)", PermanentError),
    ],
    ids=["time-out", "division", "number", "table", "unique", "rights"],
)
async def test_an_error_is_translated_without_its_text(
    pool: Pool, statement: str, kind: type[HalyardError]
) -> None:
    """By SQLSTATE; DETAIL and the statement, which quote values, are in no message or cause; the
    connection goes back whole."""
    with pytest.raises(HalyardError) as caught:
        async with transaction(pool) as connection:
            await connection.execute(statement.encode())
    assert type(caught.value) is kind
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    async with transaction(pool) as connection:
        await connection.execute("select 1")


async def test_a_value_that_psycopg_itself_refuses_is_the_records_fault(pool: Pool) -> None:
    """A NUL never reaches PostgreSQL and has no SQLSTATE; trying again would never end."""
    with pytest.raises(ContractError) as caught:
        async with transaction(pool) as connection:
            await connection.execute("select %s::text", (f"{CANARY}\x00",))
    assert CANARY not in caught.value.message
    async with transaction(pool) as connection:
        await connection.execute("select 1")


async def test_a_lock_that_is_held_too_long_is_transient(pool: Pool) -> None:
    """The waiter gives up after lock_timeout, and may try again."""
    async with transaction(pool) as holder:
        await lock(holder, ["person:1"])
        with pytest.raises(DatabaseUnavailable):
            async with transaction(pool) as waiter:
                await lock(waiter, ["person:1"])
    async with transaction(pool) as waiter:
        await lock(waiter, ["person:1"])


async def test_locks_in_any_order_do_not_deadlock(
    database: Database,
) -> None:
    """Two transactions that name the same persons in opposite order take them in one order."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 4})
    )
    names = [f"person:{number}" for number in range(40)]

    async def work(mine: list[str]) -> None:
        for _ in range(10):
            async with transaction(pool) as connection:
                await lock(connection, mine)

    async with make_pool(settings, name="test", size=4) as pool:
        await asyncio.gather(
            *(work(mine) for mine in (names, names[::-1], names[1::2], names[::2] + names[1::2]))
        )


async def test_c01_what_a_lock_guards_is_seen_after_it(pool: Pool) -> None:
    """A waiter that gets the lock sees what the holder committed: READ COMMITTED, and the lock is
    a statement of its own."""
    seen: list[int] = []

    async def waiter() -> None:
        async with transaction(pool) as connection:
            await lock(connection, ["person:1"])
            cursor = await connection.execute("select count(*) as n from inbox")
            seen.append(postgres.one(await cursor.fetchone())["n"])

    async with transaction(pool) as holder:
        await lock(holder, ["person:1"])
        task = asyncio.ensure_future(waiter())

        async def waits() -> bool:
            cursor = await holder.execute(
                "select 1 from pg_locks where locktype = 'advisory' and not granted "
                "and database = (select oid from pg_database where datname = current_database())"
            )
            return await cursor.fetchone() is not None

        await aeventually(waits, 5)
        await holder.execute("insert into inbox (stage, event_id) values ('s', gen_random_uuid())")
    await task
    assert seen == [1]


async def test_a_deadlock_is_transient(pool: Pool) -> None:
    """PostgreSQL ends one of the two; that one may try again."""
    ready = [asyncio.Event(), asyncio.Event()]

    async def work(mine: int) -> None:
        async with transaction(pool) as connection:
            await connection.execute("set local lock_timeout = '10s'")
            await lock(connection, [f"person:{mine}"])
            ready[mine].set()
            await ready[1 - mine].wait()
            await lock(connection, [f"person:{1 - mine}"])

    results = await asyncio.gather(work(0), work(1), return_exceptions=True)
    failed = [one for one in results if one is not None]
    assert [type(one) for one in failed] == [DatabaseUnavailable]


async def test_a_database_that_is_away_is_transient() -> None:
    """Nobody at the address: `DatabaseUnavailable`, not a hang and no password in it."""
    settings = Settings(
        database=DatabaseSettings.model_validate(
            {"url": f"postgresql://app:{CANARY}@127.0.0.1:1/none"}
        )
    )
    pool = make_pool(settings, name="test", size=1)
    pool.timeout = 0.5
    await pool.open(wait=False)
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            async with transaction(pool):
                pass
    finally:
        await pool.close()
    assert CANARY not in caught.value.message


def test_a_copy_of_the_template_is_migrated(make_database: Callable[[], Database]) -> None:
    """Tests get databases of their own, each as `halyard migrate` leaves it."""
    one, other = make_database(), make_database()
    assert one.name != other.name
    assert postgres.migrate(one.owner_url) == postgres.migrate(other.owner_url) == []


def test_provisioning_twice_keeps_the_database(database_server: DatabaseServer) -> None:
    """`halyard up` provisions at each start: what is there stays."""
    database = database_server.create()
    try:
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("comment on database {} is 'kept'").format(sql.Identifier(database.name))
            )
        provisioning.provision(
            database_server.admin_url,
            database=database.name,
            owner_password="practice-owner",
            app_password="practice-app",
        )
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            row = connection.execute(
                "select shobj_description(oid, 'pg_database') from pg_database "
                "where datname = current_database()"
            ).fetchone()
        assert row == ("kept",)
    finally:
        database_server.drop(database)
