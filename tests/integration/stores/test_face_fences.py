"""A hole in the second fence is noticed: by `stores.fences`, and so by `halyard doctor`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from halyard.cli.doctor import _rows, _run
from halyard.postgres import Pool, make_pool, transaction
from stores import (
    fences,
)
from tests.support.face import settings
from tests.support.services import Database

TABLES = (
    "uploads", "upload_answers", "worklist", "alerts", "deliveries", "letters", "outbox",
    "audit_entries", "flags", "identities", "visits", "death_notes", "claims", "trace_batches",
    "trace_items",
)  # fmt: skip


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Pool]:
    """The app role's pool."""
    async with make_pool(settings(database_url=database.url), name="app", size=1) as pool:
        yield pool


def owner(database: Database, statement: sql.Composed | sql.SQL) -> None:
    """What only the tables' owner may do."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set search_path = halyard")
        connection.execute(statement)


async def test_security_switched_off_is_noticed(database: Database, app: Pool) -> None:
    """`stores.fences` (and so `halyard doctor`) names each table; before, nothing is wrong."""
    async with transaction(app) as connection:
        assert await fences.holes(connection) == []
    for table in TABLES:
        off = sql.SQL("alter table {} disable row level security")
        owner(database, off.format(sql.Identifier(table)))
    async with transaction(app) as connection:
        assert await fences.holes(connection) == [
            f"halyard_face reaches {table} without a policy" for table in sorted(TABLES)
        ]


async def test_a_right_without_a_policy_is_noticed(database: Database, app: Pool) -> None:
    """Also one on a single column, on a view, or by a function of its owner's rights."""
    owner(database, sql.SQL("grant select (person) on visit_events to halyard_face"))
    owner(database, sql.SQL("create view everything as select * from alerts"))
    owner(database, sql.SQL("grant select on everything to halyard_face"))
    owner(
        database,
        sql.SQL(
            "create function every() returns bigint language sql security definer "
            "return (select count(*) from alerts)"
        ),
    )
    async with transaction(app) as connection:
        assert await fences.holes(connection) == [
            "halyard_face reaches everything without a policy",
            "halyard_face reaches visit_events without a policy",
            "halyard_face may call every, which has its owner's rights",
        ]


async def test_a_policy_that_lets_everything_through_is_noticed(
    database: Database, app: Pool
) -> None:
    """Security is on and a policy stands there, but it decides nothing: of the face, or of all
    roles; seen, changed or added.
    """
    for policy in (
        "create policy wide on letters for select to halyard_face using (true)",
        "create policy wide on alerts to public using (true)",
        "create policy wide on deliveries for insert to halyard_face with check (true)",
    ):
        owner(database, sql.SQL(policy))
    async with transaction(app) as connection:
        assert await fences.holes(connection) == [
            f"policy wide lets halyard_face reach every row of {table}"
            for table in ("alerts", "deliveries", "letters")
        ]


def test_doctor_says_whether_the_fence_stands(database: Database) -> None:
    """`rows`: all is well; a face that cannot log in; a table whose security is off."""
    made = settings(database_url=database.url)
    assert _run("rows", _rows, made).result == "ok"
    nobody = made.http.model_copy(update={"database_url": SecretStr(database.url + "-none")})
    found = _run("rows", _rows, made.model_copy(update={"http": nobody}))
    assert (found.result, "HALYARD_HTTP__DATABASE_URL" in found.text) == ("failed", True)
    owner(database, sql.SQL("alter table letters disable row level security"))
    found = _run("rows", _rows, made)
    assert (found.result, "letters without a policy" in found.text) == ("failed", True)
