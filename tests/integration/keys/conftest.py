"""`halyard keys …` on a database and a secrets file of the test's own."""

from __future__ import annotations

import json
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from tests.support.audit import KEY
from tests.support.services import Database

BUS, STORE = "b1" * 32, "5e" * 32
OLD = "old-secret-of-the-council"


class Commands:
    """Commands, and what they leave."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.file = folder / "secrets.toml"
        self.file.write_text(
            f'bus_key = "{BUS}"\nstore_key = "{STORE}"\npds_token = "kept"\n'
            f'[webhook]\ncouncil = "{OLD}"\n'
            f'[audit]\ncurrent = "2025-1"\n2025-1 = "{KEY.private_bytes_raw().hex()}"\n'
        )
        self.file.chmod(0o600)
        self.printed = ""

    def __call__(self, *arguments: str) -> Result:
        """Run `halyard` with these arguments."""
        with ThreadPoolExecutor(1) as pool:  # a command has an event loop of its own
            done = pool.submit(lambda: CliRunner().invoke(app, list(arguments))).result()
        self.printed += f"{done.output}{done.exception or ''}"
        return done

    def json(self, *arguments: str) -> Any:
        """What a command prints with ``--json``, which must succeed."""
        done = self(*arguments, "--json")
        assert done.exit_code == 0, f"{done.output} {done.exception}"
        return json.loads(done.stdout)

    def table(self) -> dict[str, Any]:
        """The secrets file."""
        return tomllib.loads(self.file.read_text())

    def entries(self) -> list[dict[str, Any]]:
        """Entries of the audit chain."""
        with psycopg.connect(self.database.owner_url) as connection:
            rows = connection.execute(
                "select body from halyard.audit_entries order by recorded_at"
            ).fetchall()
        return [row[0] for row in rows]


@pytest.fixture
def keys(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands with the secrets file in the settings."""
    made = Commands(database, tmp_path)
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(made.file))
    monkeypatch.setenv("HALYARD_DATABASE__URL", database.url)
    monkeypatch.setenv("HALYARD_AUDIT__CHECKPOINT_DIR", str(tmp_path / "checkpoints"))
    return made
