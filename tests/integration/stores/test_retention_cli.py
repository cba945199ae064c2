"""`halyard retention`, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from typer.testing import CliRunner

from halyard.cli.main import app
from halyard.errors import ConfigurationError
from halyard.postgres import Pool
from stores.retention import MONTHS, ROWS
from tests.integration.stores.test_retention import count, put
from tests.support.services import Database

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "retention.md"


@pytest.fixture(autouse=True)
def _environment(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DATABASE__URL", database.url)
    monkeypatch.setenv("HALYARD_DATABASE__OWNER_URL", database.owner_url)


async def run(*arguments: str) -> Any:
    """What `halyard retention … --json` prints."""
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["retention", *arguments, "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


async def test_a_plan_changes_nothing_and_apply_ends_what_it_showed(
    pool: Pool, database: Database
) -> None:
    """What is due is shown by class, ended once, and told to the audit chain with the reason."""
    for stage in ("matching", "identity"):
        await put(
            pool,
            "inbox",
            stage=stage,
            event_id="7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f",
            taken_at="2020-01-01T00:00:00Z",
        )
    shown = await run("plan")
    due = {one["class"]: one["due"] for one in shown["classes"]}
    assert (due["inbox"], sum(due.values())) == (2, 2)
    assert await count(pool, "inbox") == 2
    assert any(name.startswith("audit_entries_y") for name in shown["months_to_make"])

    assert await run("apply", "--reason", "yearly", "--yes") == {
        "ended": {"inbox": 2},
        "months_made": shown["months_to_make"],
        "months_dropped": [],
    }
    assert await count(pool, "inbox") == 0
    again = await run("plan")
    assert (again["months_to_make"], sum(one["due"] for one in again["classes"])) == ([], 0)
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:
        rows = connection.execute("select chain, body from halyard.audit_entries").fetchall()
    (row,) = rows
    assert row["chain"] == "hub"
    assert {
        "kind": "administration",
        "rule": "retention",
        "reason": "yearly",
        "subject": "class:inbox",
    }.items() <= row["body"].items()
    assert row["body"]["detail"]["count"] == "2"


async def test_what_is_printed_for_people_names_the_months(pool: Pool) -> None:
    """Which were made, and that none was dropped; a second time there are none to make."""
    first = (await run("plan"))["months_to_make"]
    for made in (", ".join(first), "none"):
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["retention", "apply", "--reason", "x", "--yes"]
        )
        assert result.exit_code == 0, result.output
        assert f"months made: {made}\n" in result.output
        assert "months dropped: none\n" in result.output


async def test_one_class_alone_may_be_ended(pool: Pool) -> None:
    """The others stay due."""
    await put(
        pool,
        "inbox",
        stage="matching",
        event_id="7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f",
        taken_at="2020-01-01T00:00:00Z",
    )
    applied = await run("apply", "--reason", "x", "--yes", "--class", "journal")
    assert applied["ended"] == {}
    assert await count(pool, "inbox") == 1


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ('{"flags": 100}', "at least 400: a plan is shown"),
        ('{"flagz": 500}', "names flagz, which is no class"),
    ],
)
def test_days_that_break_a_promise_are_refused(
    days: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the class and what needs more days."""
    monkeypatch.setenv("HALYARD_RETENTION__DAYS", days)
    result = CliRunner().invoke(app, ["retention", "plan"])
    assert isinstance(result.exception, ConfigurationError)
    assert said in result.exception.message


def test_the_page_states_every_class_with_its_days() -> None:
    """docs/reference/retention.md is the code's own table."""
    text = PAGE.read_text()
    for one in ROWS:
        kept = "kept" if one.days is None else str(one.days)
        assert f"| `{one.name}` | {one.what} | {kept} | {one.least} |" in text
    for one in MONTHS:
        assert f"| `{one.name}` | {one.what}; by month | {one.days} | {one.least} |" in text
