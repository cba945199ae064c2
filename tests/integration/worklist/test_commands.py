"""`halyard worklist`: what an organisation's people decided is entered in their name."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from halyard.cli import worklist as command
from halyard.cli.main import app
from halyard.errors import PermanentError
from halyard.postgres import make_pool, transaction
from stores import resolutions, worklist
from stores.worklist import WorklistEntry
from tests.support.face import NORTH, environment, settings
from tests.support.services import Database

NUMBER = "9990000018"
FOR: Final = ("--for", NORTH, "--by", "Pat Clerk")
ENTRY = uuid.UUID(int=1)


@pytest.fixture(autouse=True)
def _system(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's database, keys and directory, and no running system."""
    for name, value in environment(settings(database_url=database.url), tmp_path).items():
        if name.startswith("HALYARD_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "WAIT_SECONDS", 0.0)


@pytest.fixture
async def entry(database: Database) -> None:
    """One open entry of NORTH's."""
    made = WorklistEntry(
        entry_id=ENTRY,
        reported_event_id=uuid.UUID(int=101),
        event_kind="flag",
        organisation=NORTH,
        source=NORTH,
        rule="pds.search_no_match",
        indicator="S04",
        opened_at=datetime.now(UTC) - timedelta(days=3),
        local_id="C-1",
        claim={"nhs_number": None, "family": "Secret", "given": [], "birth_date": "2017-01-01"},
    )
    async with (
        make_pool(settings(database_url=database.url), name="test", size=1) as pool,
        transaction(pool) as connection,
    ):
        await worklist.add(connection, [made])


async def run(*arguments: str, text: str | None = None) -> Result:
    """One command, beside the test's own loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["worklist", *arguments], input=text)


@pytest.mark.usefixtures("entry")
async def test_an_entry_is_listed_shown_and_resolved(database: Database) -> None:
    """The number comes by standard input; decision and audit entry name who decided and that it was
    entered here; what was sent is not shown to the operator.
    """
    listed = await run("list", "--organisation", NORTH)
    assert str(ENTRY) in listed.output
    assert "3 d" in listed.output
    shown = await run("show", str(ENTRY))
    assert "PDS knows nobody" in shown.output
    assert "no candidate can be shown" in shown.output
    assert "Secret" not in shown.output
    told = await run(
        "resolve", str(ENTRY), "--reason", "seen", "--despite", "given", *FOR, "--json", text=NUMBER
    )
    assert json.loads(told.stdout)["state"] == "waiting"
    assert NUMBER not in told.output
    async with (
        make_pool(settings(database_url=database.url), name="test", size=1) as pool,
        transaction(pool) as connection,
    ):
        [made] = await resolutions.of_entry(connection, ENTRY)
        found = await connection.execute("select body from audit_entries")
        [audit] = await found.fetchall()
    assert (made.made_by_name, made.despite) == ("Pat Clerk", ("given",))
    assert audit["body"]["detail"]["entered_by"] == "hub"
    assert audit["body"]["actor_name"] == "Pat Clerk"


@pytest.mark.usefixtures("entry")
async def test_nobody_decides_for_an_organisation_unsaid() -> None:
    """Without whose decision it is, nothing; a blank reason and a code that is none are usage."""
    nobody = await run("reject", str(ENTRY), "--because", "nobody", "--reason", "seen")
    assert isinstance(nobody.exception, PermanentError)
    blank = await run("reject", str(ENTRY), "--because", "nobody", "--reason", " ", *FOR)
    assert blank.exit_code == 2
    unsaid = await run("claim", str(ENTRY), "--for", NORTH)
    assert (unsaid.exit_code, "give --by" in unsaid.output) == (2, True)


@pytest.mark.usefixtures("entry")
async def test_what_is_said_wrongly_is_told_with_what_may_be_said() -> None:
    """Usage, with the option, the rule and the values that it takes; never the number."""
    for act, option, codes in (
        ("reject", "--because", ("nobody", "not-ours", "test-record")),
        ("ask", "--question", ("nhs-number", "birth-date", "names", "multiple-birth")),
        ("resolve", "--despite", ("number", "birth_date", "family", "given", "gender")),
    ):
        told = await run(act, str(ENTRY), option, "bored", "--reason", "seen", *FOR, text=NUMBER)
        assert told.exit_code == 2, act
        for word in (option, *codes):
            assert word in told.output, (act, word)
    wrong = await run("resolve", str(ENTRY), "--reason", "seen", *FOR, text="9990000019")
    assert wrong.exit_code == 2
    assert "nhs_number." in wrong.output
    assert "9990000019" not in wrong.output
    both = ("--despite", "number", "--despite", "birth_date")
    nothing = await run("resolve", str(ENTRY), "--reason", "seen", *both, *FOR, text=NUMBER)
    assert (nothing.exit_code, "worklist.nothing_left" in nothing.output) == (2, True)


@pytest.mark.usefixtures("entry")
async def test_who_has_it_in_hand_is_told() -> None:
    """By way of the operator two people are two."""
    assert "in hand until" in (await run("claim", str(ENTRY), *FOR)).output
    other = ("--for", NORTH, "--by", "Kim Other")
    refused = await run("retry", str(ENTRY), "--reason", "again", *other)
    assert isinstance(refused.exception, PermanentError)
    assert "worklist.claimed" in refused.exception.message
    assert "claimed_by: Pat Clerk" in refused.exception.message
    assert "let go" in (await run("claim", str(ENTRY), "--let-go", *FOR)).output
    asked = await run("ask", str(ENTRY), "--question", "names", "--reason", "unclear", *other)
    assert "taken" in asked.output
