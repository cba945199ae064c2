"""No secret is printed or logged: real processes and commands with secrets that are looked for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halyard import kafka_admin
from halyard.embedded.datadir import free_ports
from halyard.kafka_admin import TopicSpec
from schemas import topics
from tests.support.processes import halyard, run_halyard
from tests.support.services import Database

BUS, STORE, SEED = "ca11ab1e" * 8, "decea5ed" * 8, "c0ffee42" * 8
WEBHOOK, OLD_WEBHOOK, PDS, NCMD, PASSWORD = (
    "canary-webhook",
    "canary-older-webhook",
    "canary-pds-token",
    "canary-ncmd-token",
    "canary-password",
)
CANARIES = (BUS, STORE, SEED, WEBHOOK, OLD_WEBHOOK, PDS, NCMD, PASSWORD)
DIRECTORY = """
[[hospital]]
ods = "RZ9"
name = "Hospital"
[[authority]]
gss = "E06000999"
name = "Authority"
alert_endpoint = "council"
[[endpoint]]
name = "council"
url = "http://127.0.0.1:1/"
secret = "council"  # pragma: allowlist secret
[[feed]]
source = "rz9-edis"
organisation = "RZ9"
facility = "RZ9"
peers = ["127.0.0.0/8"]
"""


def environment(database: Database, bootstrap: str, namespace: str, folder: Path) -> dict[str, str]:
    """Settings of a process; nothing of them but the database's password is wrong."""
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f'bus_key = "{BUS}"\nstore_key = "{STORE}"\n'
        f'[webhook]\ncouncil = ["{WEBHOOK}", "{OLD_WEBHOOK}"]\n'
        f'[audit]\ncurrent = "one"\none = "{SEED}"\n'
    )
    secrets.chmod(0o600)
    (folder / "directory.toml").write_text(DIRECTORY)
    mllp, http = free_ports(2)
    given = {
        "DATA_DIR": str(folder / "data"),
        "DIRECTORY_FILE": str(folder / "directory.toml"),
        "SECURITY__SECRETS_FILE": str(secrets),
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA__NAMESPACE": namespace,
        "DATABASE__URL": database.url,
        "HTTP__DATABASE_URL": database.face_url,
        "NCMD__DATABASE_URL": database.ncmd_url,
        "NCMD__SUBMIT_TOKEN": NCMD,
        "PDS__TOKEN": PDS,
        "HL7V2__PORT": str(mllp),
        "HTTP__PORT": str(http),
    }
    return {f"HALYARD_{name}": value for name, value in given.items()}


def run(
    commands: Sequence[tuple[tuple[str, ...], dict[str, str]]], folder: Path, env: dict[str, str]
) -> list[str]:
    """What commands print and log; each with settings of its own beside those of all."""

    def one(command: tuple[tuple[str, ...], dict[str, str]]) -> str:
        words, change = command
        changed = env | {f"HALYARD_{name}": value for name, value in change.items()}
        done = run_halyard(*words, directory=folder, env=changed)
        return done.stdout + done.stderr

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, commands))


def test_processes_and_commands_show_no_secret(
    database: Database, kafka_bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    """Started well, started with a wrong key or password, asked to list and to change keys, ended:
    output and logs hold none of the secrets.
    """
    env = environment(database, kafka_bootstrap, namespace, tmp_path)
    wanted = [TopicSpec(f"{namespace}.{one.name}", 1, 1) for one in topics.registry()]
    kafka_admin.apply(kafka_bootstrap, wanted)
    seen: list[str] = []
    with contextlib.ExitStack() as running:
        started = [
            running.enter_context(halyard(*words, directory=tmp_path, env=env))
            for words in (("serve",), ("connector", "hl7v2"), ("dispatcher",), ("sealer",))
        ]
        for process in started:
            process.wait_for("process_ready", 60)
        commands = (
            ("doctor",),
            ("keys", "list"),
            ("keys", "rotate", "bus", "--reason", "x"),
        )
        seen += run([(words, {}) for words in commands], tmp_path, env)
    seen += [process.output() + process.log_text() for process in started]
    wrong = f"postgresql://halyard_app:{PASSWORD}@127.0.0.1:1/none"
    wrongly: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("worker", "identity"), {"SECURITY__BUS_KEY": BUS[:40]}),
        (("keys", "list"), {"SECURITY__WEBHOOK": f'{{"council": ["{WEBHOOK}"]}}', "PDS": PDS}),
        (("worker", "identity"), {"DATABASE__URL": wrong, "WORKER__TRANSIENT_SECONDS": "1"}),
    ]
    seen += run(wrongly, tmp_path, env)
    text = "\n".join(seen)
    assert "process_ready" in text
    assert "serve runs: stop it" in text
    assert "HALYARD_PDS" in text
    assert "Traceback" not in text
    assert [one for one in CANARIES if one in text] == []
    assert [one for one in (database.url, database.face_url) if one in text] == []


@pytest.mark.parametrize("text", ["bus_key = canary-unquoted", 'bus_key = "canary'])
def test_a_broken_file_is_not_quoted(text: str, tmp_path: Path) -> None:
    """A parser's message would show the line."""
    file = tmp_path / "secrets.toml"
    file.write_text(text)
    file.chmod(0o600)
    env = {"HALYARD_SECURITY__SECRETS_FILE": str(file), "HALYARD_DATA_DIR": str(tmp_path / "data")}
    done = run_halyard("keys", "list", directory=tmp_path, env=env)
    assert done.returncode == 3
    assert "canary" not in done.stdout + done.stderr
