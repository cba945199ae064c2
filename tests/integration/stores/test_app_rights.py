"""What the workers' role may not do, and that no migration opens it for a moment."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from halyard import postgres
from tests.support.services import Database

CHANGE = "update, delete, truncate"


def may(database: Database, table: str, what: str) -> bool:
    """Whether the app role has one of these rights on a table, by itself or a column."""
    with psycopg.connect(database.admin_url) as connection:
        found = connection.execute(
            "select has_table_privilege('halyard_app', %(table)s, %(what)s)",
            {"table": f"halyard.{table}", "what": what},
        ).fetchone()
    assert found is not None
    return bool(found[0])


def test_a_migration_that_fails_among_its_grants_opens_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All grants are one transaction: nobody sees a state between them, whatever fails."""
    real = postgres._GRANTS
    for after in range(1, len(real) + 1):
        broken = (*real[:after], "grant usage on schema no_such_schema to {app}", *real[after:])
        monkeypatch.setattr(postgres, "_GRANTS", broken)
        with pytest.raises(psycopg.Error):
            postgres.migrate(database.owner_url)
        for table in ("audit_entries", "audit_seals", "audit_checkpoints"):
            assert not may(database, table, CHANGE), (after, table)
        assert not may(database, "migration", "insert, update, delete"), after
        assert not may(database, "sessions", "insert, update"), after


def test_no_worker_mints_a_log_in(database: Database) -> None:
    """Sessions and used tokens are the face's: a worker removes what is over, and writes none; also
    after migrating again.
    """
    assert postgres.migrate(database.owner_url) == []
    for table in ("sessions", "used_tokens"):
        assert not may(database, table, "insert, update, truncate, references, trigger"), table
        assert may(database, table, "select")
        assert may(database, table, "delete")
    with (
        psycopg.connect(database.url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(sql.SQL("update halyard.sessions set organisation = 'RX902'"))
