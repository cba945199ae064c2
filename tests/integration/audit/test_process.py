"""`halyard sealer` as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path

import orjson
import psycopg

from halyard.audit_keys import new_seed
from stores.audit import AuditEntry
from tests.support.audit import entry
from tests.support.services import Database
from tests.support.waiting import eventually


def append(url: str, made: AuditEntry) -> None:
    """Append an entry, as any process does."""
    body = orjson.dumps(made.body()).decode()
    with psycopg.connect(url, options="-c search_path=halyard") as connection:
        connection.execute(
            "insert into audit_entries (entry_id, chain, recorded_at, body, person, actor)"
            " values (%s, %s, %s, %s, %s, %s)",
            (made.entry_id, made.chain, made.recorded_at, body, made.person, made.actor),
        )


def sealed(url: str) -> bool:
    """Whether an entry is sealed."""
    with psycopg.connect(url) as connection:
        return bool(connection.execute("select 1 from halyard.audit_seals").fetchall())


def test_the_process_seals_signs_exports_and_ends_cleanly(
    database: Database, tmp_path: Path, child_environment: MutableMapping[str, str]
) -> None:
    """An entry is under an exported checkpoint soon, at the latest when the process stops."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'[audit]\ncurrent = "a"\na = "{new_seed()}"\n')
    secrets.chmod(0o600)
    place = tmp_path / "checkpoints"
    command = (sys.executable, "-m", "halyard.cli.main", "sealer")
    environment = {
        **child_environment,
        "HALYARD_DATABASE__URL": database.url,
        "HALYARD_AUDIT__DATABASE_URL": database.sealer_url,
        "HALYARD_AUDIT__KEYS_FILE": str(secrets),
        "HALYARD_AUDIT__CHECKPOINT_DIR": str(place),
        "HALYARD_AUDIT__SEAL_SECONDS": "0.05",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(command, env=environment, stderr=output, stdout=output)
        try:
            append(database.url, entry(1))
            eventually(lambda: sealed(database.owner_url), 20)
            running.send_signal(signal.SIGTERM)
            assert running.wait(10) == 0
            (path,) = place.glob("*.jsonl")
            signed = [orjson.loads(one)["chain"] for one in path.read_text().splitlines()]
            assert entry(1).chain in signed  # the hub's own tells that a sealer is at work
        finally:
            running.kill()
            running.wait(5)
