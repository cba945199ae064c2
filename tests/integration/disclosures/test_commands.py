"""`halyard reviews disclosures`: the operator lists, releases and refuses whatever is held."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from halyard.errors import PermanentError
from halyard.postgres import Pool, make_pool
from policies.ruling import Flow
from tests.integration.disclosures.test_held import composed, states, tell
from tests.support.alerts import NUMBER, alert, save
from tests.support.disclosing import REVIEW, changed, entries
from tests.support.face import INFIRMARY, NORTH, environment, settings
from tests.support.services import Database

FOR: Final = ("--for", INFIRMARY, "--by", "Named nurse")


@pytest.fixture(autouse=True)
def _system(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's database, keys and directory, and no running system."""
    for name, value in environment(settings(database_url=database.url), tmp_path).items():
        if name.startswith("HALYARD_"):
            monkeypatch.setenv(name, value)


async def run(*arguments: str) -> Result:
    """One command, beside the test's own loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["reviews", "disclosures", *arguments])


async def held_one(pool: Pool) -> uuid.UUID:
    """An alert that waits for a person."""
    row = alert(1)
    await save(pool, row)
    return await tell(pool, composed(row, changed(Flow.ALERT, **REVIEW)))


async def test_what_waits_is_listed_without_its_body_and_released_with_a_reason(
    database: Database,
) -> None:
    """The list names rule and ids; the release opens the row and stands in the audit chain."""
    async with make_pool(settings(database_url=database.url), name="test") as pool:
        item = await held_one(pool)
        listed = await run("list", "--json")
        (shown,) = json.loads(listed.stdout)["disclosures"]
        assert (shown["item_id"], shown["rule"]) == (str(item), "a-person-decides")
        assert NUMBER not in listed.output
        assert "body" not in shown
        done = await run("release", str(item), "--reason", "Looked at", *FOR, "--json")
        assert json.loads(done.stdout)["state"] == "released"
        assert await states(pool) == ["open"]
        entry = (await entries(pool))[-1]
        assert entry["actor"].startswith("cli:")
        assert (entry["actor_name"], entry["organisation"]) == ("Named nurse", INFIRMARY)
        assert entry["detail"]["decided_at"] == "command-line"
        assert entry["detail"]["entered_by"] == "hub"
        assert (entry["kind"], entry["reason"]) == ("review", "Looked at")
        again = await run("refuse", str(item), "--reason", "Too late", *FOR)
        assert again.exit_code == 1
        assert (await run("list")).stdout.startswith("nothing waits")


@pytest.mark.parametrize("more", [(), FOR[2:], ("--for", NORTH, *FOR[2:])])
async def test_what_belongs_to_an_organisation_is_its_peoples_to_decide(
    database: Database, more: tuple[str, ...]
) -> None:
    """The operator is told who decides and by which route; nothing leaves, nothing is recorded."""
    async with make_pool(settings(database_url=database.url), name="test") as pool:
        item = await held_one(pool)
        before = await entries(pool)
        done = await run("release", str(item), "--reason", "Looked at", *more)
        assert isinstance(done.exception, PermanentError)
        said = done.exception.message
        assert INFIRMARY in said
        assert f"POST /reviews/disclosures/{item}" in said
        assert f"--for {INFIRMARY}" in said
        assert await states(pool) == ["held"]
        assert await entries(pool) == before


async def test_what_belongs_to_the_hub_is_decided_by_a_named_person(database: Database) -> None:
    """Without a name, or on behalf of an organisation, the call is wrong; with one it is recorded
    as the hub's.
    """
    async with make_pool(settings(database_url=database.url), name="test") as pool:
        row = alert(1)
        await save(pool, row)
        told = composed(row, changed(Flow.ALERT, **REVIEW))
        item = await tell(pool, replace(told, row=replace(told.row, reviewer="hub")))
        why = ("refuse", str(item), "--reason", "Looked at")
        assert (await run(*why)).exit_code == 2
        assert (await run(*why, *FOR)).exit_code == 2
        assert (await run(*why, "--by", "Duty operator")).exit_code == 0
        entry = (await entries(pool))[-1]
        assert (entry["actor_name"], entry["organisation"]) == ("Duty operator", "hub")
        assert entry["detail"]["decided_at"] == "command-line"


@pytest.mark.parametrize(
    "arguments",
    [
        ("release", "no-id", "--reason", "x"),
        ("release", str(uuid.uuid4()), "--reason", " "),
        ("release", str(uuid.uuid4()), "--reason", "x", "--for", INFIRMARY),
        ("refuse", str(uuid.uuid4()), "--reason", "x", "--for", INFIRMARY, "--by", " "),
        ("refuse", str(uuid.uuid4()), "--reason", "x", "--for", " ", "--by", "x"),
    ],
)
async def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...]) -> None:
    """Exit code 2: the call is wrong."""
    assert (await run(*arguments)).exit_code == 2
