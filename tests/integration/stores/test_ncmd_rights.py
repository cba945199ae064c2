"""Two roles, two schemas: neither reaches into the other's."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from halyard import provisioning
from tests.support.services import Database, DatabaseServer


def _privileges(url: str, schema: str) -> tuple[bool, bool]:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select has_schema_privilege(current_user, %(s)s, 'USAGE'), "
            "has_schema_privilege(current_user, %(s)s, 'CREATE')",
            {"s": schema},
        ).fetchone()
    assert row is not None
    return bool(row[0]), bool(row[1])


def test_the_stores_role_may_use_its_own_schema_and_nothing_else(database: Database) -> None:
    """`halyard_ncmd`: usage of `ncmd`, none of `halyard` and `public`; it creates nothing."""
    assert _privileges(database.ncmd_url, "ncmd") == (True, False)
    assert _privileges(database.ncmd_url, "halyard") == (False, False)
    assert _privileges(database.ncmd_url, "public") == (False, False)
    with psycopg.connect(database.ncmd_url) as connection:
        row = connection.execute(
            "select rolsuper, rolbypassrls, rolcreatedb, rolcreaterole from pg_roles "
            "where rolname = current_user"
        ).fetchone()
    assert row == (False, False, False, False)


def test_the_hubs_app_role_has_no_right_in_the_store(database: Database) -> None:
    """`halyard_app`: nothing in `ncmd`, nothing in `public`."""
    assert _privileges(database.url, "ncmd") == (False, False)
    assert _privileges(database.url, "public") == (False, False)
    with (
        psycopg.connect(database.url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select 1 from ncmd.cases")


@pytest.mark.parametrize("table", ["outbox", "flags", "migration"])
def test_the_stores_role_reads_no_table_of_the_hub(database: Database, table: str) -> None:
    """A statement on a table of the hub is refused."""
    with (
        psycopg.connect(database.ncmd_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(sql.SQL("select 1 from {}").format(sql.Identifier("halyard", table)))


@pytest.mark.parametrize(
    "statement", ["update ncmd.history set rule = ''", "delete from ncmd.history"]
)
def test_history_is_written_once(database: Database, statement: str) -> None:
    """The store's own role may add to the history, not change or remove it."""
    with (
        psycopg.connect(database.ncmd_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_provisioning_the_role_twice_keeps_its_rights(
    database: Database, database_server: DatabaseServer
) -> None:
    """`halyard up` provisions at each start: the role logs in, as before, with what it may do."""
    url = provisioning.provision_ncmd(
        database_server.admin_url, database=database.name, password="practice-ncmd"
    )
    assert url == database.ncmd_url
    assert _privileges(url, "ncmd") == (True, False)
