"""The end of a month of the audit chain, by the commands that an operator runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from typer.testing import CliRunner, Result

from halyard.cli import doctor
from halyard.cli.main import app
from halyard.settings import load_settings
from stores import months
from tests.support.audit import COUNCIL, HOSPITAL, KEY, Chain, chain, entry
from tests.support.face import KEYS
from tests.support.services import Database

LONG_AGO = datetime(2019, 5, 20, tzinfo=UTC)


@pytest.fixture
async def old(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Chain]:
    """Two chains with entries of May and June 2019, sealed and exported; a secrets file."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n'
        f'[audit]\ncurrent = "test"\ntest = "{KEY.private_bytes_raw().hex()}"\n'
    )
    secrets.chmod(0o600)
    for name, value in {
        "DATA_DIR": str(tmp_path / "none"),
        "SECURITY__SECRETS_FILE": str(secrets),
        "DATABASE__URL": database.url,
        "DATABASE__OWNER_URL": database.owner_url,
        "AUDIT__DATABASE_URL": database.sealer_url,
        "AUDIT__CHECKPOINT_DIR": str(tmp_path / "checkpoints"),
        "RETENTION__DAYS": '{"audit": 400}',
    }.items():
        monkeypatch.setenv(f"HALYARD_{name}", value)
    async with chain(database, tmp_path / "checkpoints") as made:
        made.now = datetime.now(UTC)  # that of the commands
        for place in (HOSPITAL, COUNCIL):
            await made.append(
                *(entry(number, place, recorded_at=LONG_AGO) for number in (1, 2)),
                entry(3, place, recorded_at=datetime(2019, 6, 2, tzinfo=UTC)),
                entry(4, place),
            )
        await made.seal_all()
        yield made


def run(*arguments: str) -> Result:
    """A command, which has an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: CliRunner().invoke(app, list(arguments))).result()


def verified() -> tuple[int, Any]:
    """Exit code and document of `halyard audit verify`."""
    result = run("audit", "verify", "--json")
    return result.exit_code, json.loads(result.stdout)


def apply(*more: str) -> Result:
    """`halyard retention apply` of the audit chain alone."""
    return run(
        "retention", "apply", "--class", "audit", "--reason", "yearly", "--yes", "--json", *more
    )


async def test_a_month_that_retention_dropped_leaves_a_chain_that_verifies(old: Chain) -> None:
    """Both months go, also those for which nobody had made a partition; signed statements of it
    are exported before anything is dropped, and verifying counts what went.
    """
    assert verified()[0] == 0
    done = apply()
    assert done.exit_code == 0, done.output
    gone = ["audit_entries_y2019m05", "audit_entries_y2019m06"]
    assert json.loads(done.stdout)["months_dropped"] == gone
    assert set(gone) < set(json.loads(done.stdout)["months_made"])
    assert old.rows("select count(*) from audit_entries where recorded_at < '2020-01-01'") == [(0,)]
    stated = [json.loads(text) for text in old.lines() if '"kind":"retention"' in text]
    assert {(one["chain"], one["first_kept"], one["dropped"]) for one in stated} == {
        (HOSPITAL, 4, 3),
        (COUNCIL, 4, 3),
    }
    code, found = verified()
    assert (code, found["findings"], found["dropped"]) == (0, [], 6)
    assert apply().exit_code == 0  # and again, when nothing is due
    assert verified()[0] == 0


async def test_a_month_that_somebody_dropped_without_a_statement_is_found(old: Chain) -> None:
    """Dropping a partition by hand is a deletion like any other."""
    async with (
        await psycopg.AsyncConnection.connect(
            old.database.owner_url,
            autocommit=True,
            row_factory=dict_row,
            options="-c search_path=halyard",
        ) as owner,
        owner.transaction(),
    ):
        await months.make(owner, "audit_entries", date(2019, 5, 1))
        month = (await months.there(owner, ["audit_entries"]))[0]
        await months.drop(owner, month)
    code, found = verified()
    assert code == 1
    assert {(one["kind"], one["chain"]) for one in found["findings"]} == {
        ("missing", HOSPITAL),
        ("missing", COUNCIL),
    }


async def test_nothing_is_dropped_where_the_statement_cannot_be_exported(
    old: Chain, tmp_path: Path
) -> None:
    """The month stays, and the command says what to mend."""
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("no directory")
    done = apply()
    assert "HALYARD_AUDIT__CHECKPOINT_DIR" in str(done.exception)
    assert old.rows("select count(*) from audit_entries where recorded_at < '2020-01-01'") == [(6,)]


async def test_nothing_is_dropped_before_it_is_sealed(old: Chain) -> None:
    """An entry without a place would go without a trace."""
    await old.append(entry(5, HOSPITAL, recorded_at=LONG_AGO))
    done = apply()
    assert "halyard sealer" in str(done.exception)
    assert old.rows("select count(*) from audit_entries where recorded_at < '2020-01-01'") == [(7,)]


async def test_doctor_says_what_keeps_nothing_from_growing(old: Chain) -> None:
    """Never applied since the database is old: a warning; applied: none; without the next month's
    partition: a warning again.
    """

    def finding() -> tuple[str, str]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(doctor._retention, load_settings()).result()

    old.as_owner("update migration set applied_at = now() - interval '30 days'")
    result, text = finding()
    assert result == "warning"
    assert "30 days" in text
    assert apply().exit_code == 0
    assert finding()[0] == "ok"
    following = months.following(datetime.now(UTC).date())
    old.as_owner(f"drop table {months.name('accesses', following)}")
    result, text = finding()
    assert result == "warning"
    assert months.name("accesses", following) in text
