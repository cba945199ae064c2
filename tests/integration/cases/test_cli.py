"""`halyard cases …` on a database: what a person sees and decides from a terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from typer.testing import CliRunner

from halyard.cli.main import app
from halyard.errors import PermanentError
from halyard.postgres import make_pool
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import CaseState, DeathIndication
from tests.support.case_desk import (
    HOSPITAL,
    KEYS,
    NORTH,
    NUMBER,
    OFFICE,
    SECOND_HOSPITAL,
    SOUTH,
    SURGERY,
    Desk,
    case_of,
    death,
    indicated,
    report,
    row,
)
from tests.support.services import Database

DIRECTORY = f"""
[[hospital]]
ods = "{HOSPITAL}"
name = "Northtown General"
[[agency]]
code = "{SURGERY}"
name = "Ash Surgery"
kind = "general-practice"
health_or_social_care = true
[[authority]]
gss = "{NORTH}"
name = "Northtown"
[[panel]]
code = "north"
name = "North"
organisation = "{OFFICE}"
areas = [{{ gss = "{NORTH}" }}]
[[panel]]
code = "south"
name = "South"
organisation = "{OFFICE}"
areas = [{{ gss = "{SOUTH}" }}]
"""
WITHHELD: Final = "do not ask for the address by ordinary means"
GP = row("professional", 1, role="general-practitioner", organisation_code=SURGERY)


@pytest.fixture
async def desk(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """A stage on a database, and the settings by which the command finds it."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
    secrets.chmod(0o600)
    (tmp_path / "directory.toml").write_text(DIRECTORY)
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DATABASE__URL", database.url)
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(secrets))
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(tmp_path / "directory.toml"))
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def run(*arguments: str, code: int = 0) -> str:
    """What `halyard cases …` prints."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["cases", *arguments])
    assert result.exit_code == code, result.output
    return result.output


async def of(*arguments: str) -> Any:
    """What it prints with `--json`."""
    return json.loads(await run(*arguments, "--json"))


async def refused(arguments: Sequence[str]) -> str:
    """What it says when it refuses."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["cases", *arguments])
    assert isinstance(result.exception, PermanentError)
    return result.exception.message


async def test_cases_are_listed_without_and_shown_with_personal_data(desk: Desk) -> None:
    """The number is shown only if it is asked for."""
    event = death("N-1", rows=(GP,))
    await desk.take(event)
    case_id = str(case_of(event))
    listed = await of("list")
    assert [one["case_id"] for one in listed["cases"]] == [case_id]
    assert case_id in await run("list")
    for text in (json.dumps(listed), await run("list")):
        assert "Jessop" not in text
        assert NUMBER not in text
    assert (await of("list", "--needs", "number"))["cases"] == []
    assert await run("list", "--state", "voided") == "no cases\n"

    shown = await of("show", case_id)
    assert NUMBER not in json.dumps(shown)
    assert shown["nhs_number"] == "hidden"
    assert [one["agency"] for one in shown["requests"]] == [SURGERY]
    assert "Jessop" in [one["value"] for one in shown["facts"]]
    assert [one["change"] for one in shown["history"]] == ["OPENED"]
    text = await run("show", case_id)
    assert "Jessop" in text
    assert NUMBER not in text
    assert (await of("show", case_id, "--with-number"))["nhs_number"] == NUMBER
    assert "no case" in await refused(["show", "6f1c1a6e-5b0a-5c86-9a53-4f4d1f8f6a10"])
    await run("show", "nonsense", code=2)


async def test_a_review_from_the_terminal(desk: Desk) -> None:
    """Proposed, rejected, merged all the same, assigned, voided; nobody has acknowledged."""
    one, two = death("N-1", rows=(GP,)), death("N-2", organisation=SECOND_HOSPITAL)
    await desk.take(one, two)
    first, second = str(case_of(one)), str(case_of(two))
    (proposed,) = (await of("duplicates"))["duplicates"]
    assert {proposed["one"], proposed["other"]} == {first, second}
    assert first in await run("duplicates")
    pair = (await run("show", first)).split("proposals\n")[1]
    assert f"{proposed['score']:.2f}" in pair
    assert "(" not in pair.split("history")[0]  # no tuples
    why = ("--reason", "looked at both", "--by", "Designated doctor")
    assert (await of("reject", first, second, *why))["versions"].keys() == {first, second}
    assert await run("duplicates") == "nothing is proposed\n"
    done = await of("merge", second, first, *why, "--version", "2", "--into-version", "3")
    assert done["already"] is False
    assert "already" in await run("merge", second, first, *why)
    assert "version 5" in await run("assign", first, "--panel", "south", *why)
    await run("assign", first, *why, code=2)  # neither panel nor out of scope
    assert "south" in await run("list", "--panel", "south")
    assert "unmerge" in await refused(["void", second, *why])
    await run("unmerge", second, *why)
    await run("void", first, *why)
    shown = await of("show", first)
    assert shown["state"] == CaseState.VOIDED.value
    assert {one["organisation"] for one in shown["not_acknowledged"]} == {
        OFFICE,
        SURGERY,
        HOSPITAL,
    }
    assert [one["kind"] for one in shown["decisions"]] == [
        "reject",
        "merge",
        "assign",
        "unmerge",
        "void",
    ]
    text = await run("show", first)
    assert "not acknowledged" in text
    await run("void", first, "--undo", *why)
    assert (await of("republish", "--all"))["republished"] == 2
    await run("republish", code=2)


async def test_a_list_that_is_cut_says_so(desk: Desk) -> None:
    """How many there are, also in JSON; a list that is whole says nothing."""
    one, two = death("N-1"), death("N-2", organisation=SECOND_HOSPITAL)
    three = death("N-3", organisation=SURGERY)
    await desk.take(one, two, three)
    await desk.take(report("POL01", number=None), report("POL01", reference="R-2", number=None))
    assert (await run("list", "--limit", "2")).endswith("2 of 3 shown; use --limit\n")
    found = await of("list", "--limit", "2")
    assert (len(found["cases"]), found["total"]) == (2, 3)
    assert "shown" not in await run("list")
    assert "shown" not in await run("list", "--limit", "1", "--state", "voided")
    assert "1 of 3 shown" in await run("duplicates", "--limit", "1")
    assert "1 of 2 shown" in await run("reports", "--limit", "1")
    assert (await of("reports", "--limit", "1"))["total"] == 2
    await desk.take(
        *(indicated(DeathIndication.HOSPITAL, f"I-{n}", number=f"999000{n:04}") for n in (1, 2))
    )
    assert "1 of 2 shown" in await run("prompts", "--all", "--limit", "1")


async def test_withheld_places_are_said_and_are_no_gap(desk: Desk) -> None:
    """By the sender's mark or by the child's record; who reads does not go and ask."""
    marked = death("N-1", marks=("location-shielded",), told={"child.residence-authority": ""})
    restricted = death("N-2", number="9990000026", restricted=True)
    plain = death("N-3", number="9990000034", told={"child.family": "Other"})
    await desk.take(marked, restricted, plain)
    case_id = str(case_of(marked))
    text = await run("show", case_id)
    assert (
        f"places withheld: the sender ({HOSPITAL}) marked the child as restricted; {WITHHELD}"
        in (text)
    )
    assert "panel: - (" in text
    assert "no gap of the form" in text
    assert (await of("show", case_id))["shielded_by"] == [HOSPITAL]
    text = await run("show", str(case_of(restricted)))
    assert f"places withheld: the child's record is restricted; {WITHHELD}" in text
    assert "(restricted; places are withheld: this is no gap of the form)" in text
    text = await run("show", str(case_of(plain)))
    assert "withheld" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("merge", "CASE", "CASE"),
        ("unmerge", "CASE"),
        ("reject", "CASE", "CASE"),
        ("assign", "CASE", "--out-of-scope"),
        ("void", "CASE"),
        ("attach", "CASE", "CASE"),
    ],
    ids=lambda one: one[0],
)
async def test_a_decision_says_whose_it_is(desk: Desk, arguments: tuple[str, ...]) -> None:
    """The account of a machine of the hub is nobody: without a role or name nothing is decided."""
    event = death("N-1")
    await desk.take(event)
    given = [str(case_of(event)) if one == "CASE" else one for one in arguments]
    assert "give --by" in await run(*given, "--reason", "seen", code=2)
    assert "give --by" in await run(*given, "--reason", "seen", "--by", " ", code=2)
    assert (await of("show", str(case_of(event))))["decisions"] == []


async def test_prompts_are_listed_without_the_person(desk: Desk) -> None:
    """Who was asked, by which rule."""
    await desk.take(indicated(DeathIndication.HOSPITAL))
    (prompt,) = (await of("prompts"))["prompts"]
    assert (prompt["state"], prompt["organisation"]) == ("open", HOSPITAL)
    assert "person" not in prompt
    assert HOSPITAL in await run("prompts", "--all")


async def test_reports_of_which_no_case_is_known_are_listed(desk: Desk) -> None:
    """Until their case is there; without the child."""
    await desk.take(report(SURGERY, number=None), report(SURGERY, reference="R-2"))
    listed = (await of("reports"))["reports"]
    assert [one["organisation"] for one in listed] == [SURGERY, SURGERY]
    assert NUMBER not in json.dumps(listed)
    assert SURGERY in await run("reports")
    await desk.take(death("N-1"))
    (left,) = (await of("reports"))["reports"]  # the one without a number
    case_id, why = str(case_of(death("N-1"))), ("--reason", "their letter", "--by", "Office")
    assert (await of("attach", left["event_id"], case_id, *why))["versions"].keys() == {case_id}
    assert await run("reports") == "every report has its case\n"
    assert "already" in await run("attach", left["event_id"], case_id, *why)
    (decision,) = (await of("show", case_id))["decisions"]
    assert (decision["kind"], decision["other"]) == ("attach", left["event_id"])


def test_every_command_of_cases_has_a_help() -> None:
    """What a person sees first."""
    group = typer.main.get_command(app).commands["cases"]  # type: ignore[attr-defined]
    assert all(one.help for one in group.commands.values())
