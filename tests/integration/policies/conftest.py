"""A database with cases, and the settings by which a command finds it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from halyard.cli.main import app
from halyard.postgres import Pool, make_pool, transaction
from halyard.privacy import Keys
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import CaseChanged
from stores import cases
from tests.support.services import Database, DatabaseServer

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
DIRECTORY = """
[[hospital]]
ods = "RXX01"
name = "Northtown General"
[[authority]]
gss = "E06000001"
name = "Northtown Council"
[[agency]]
code = "EE1234"
name = "Ash School"
kind = "school"
"""


@dataclass
class Desk:
    """A database, and `halyard` on it."""

    pool: Pool
    database: Database
    home: Path

    async def run(self, *arguments: str, code: int = 0, text: bytes | None = None) -> str:
        """What a command prints."""
        done = await asyncio.to_thread(
            CliRunner().invoke, app, list(arguments), input=text, catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done.output

    async def of(self, *arguments: str, code: int = 0) -> Any:
        """What it prints with `--json`."""
        return json.loads(await self.run(*arguments, "--json", code=code))

    async def add(self, *events: CaseChanged, person: str | None = None) -> None:
        """Write cases, of one verified child if any."""
        async with transaction(self.pool) as connection:
            await cases.append(connection, events, persons={e.case_id: person for e in events})

    async def query(self, text: Any, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query of the test's own."""
        async with transaction(self.pool) as connection:
            return await (await connection.execute(text, values)).fetchall()

    def everything(self) -> dict[str, int]:
        """A digest of every table, as its owner sees it."""
        with psycopg.connect(self.database.owner_url) as connection:
            found = {}
            for (table,) in connection.execute(
                "select tablename from pg_tables where schemaname = 'halyard'"
            ).fetchall():
                row = connection.execute(
                    sql.SQL(
                        "select coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) "
                        "from halyard.{} t"
                    ).format(sql.Identifier(table))
                ).fetchone()
                found[table] = row[0] if row else 0
        return found


@pytest.fixture(scope="package")
def _shared(database_server: DatabaseServer, _migrated: str) -> Iterator[Database]:
    database = database_server.create(template=_migrated)
    yield database
    database_server.drop(database)


@pytest.fixture
async def desk(
    _shared: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """Empty tables; a directory with a hospital, an authority and a school."""
    with psycopg.connect(_shared.admin_url) as connection:
        for table in (
            *("release_files", "releases", "opt_outs", "opt_out_imports", "audit_entries"),
            *("case_events", "cases"),
        ):
            connection.execute(sql.SQL("delete from halyard.{}").format(sql.Identifier(table)))
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
    secrets.chmod(0o600)
    (tmp_path / "directory.toml").write_text(DIRECTORY)
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DATABASE__URL", _shared.url)
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(secrets))
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(tmp_path / "directory.toml"))
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": _shared.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, _shared, tmp_path)
