"""One NHS number on more than one record of an organisation (ISB 0149, requirement 12)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from halyard.cli.main import app
from halyard.postgres import transaction
from stores import shared_numbers
from tests.support import identity as make
from tests.support.disclosing import entries
from tests.support.face import NORTH, SOUTH, bearer, environment, hub, settings
from tests.support.identity import CHILD, HOSPITAL
from tests.support.identity_world import World

BROTHER = replace(CHILD, given=("Sasha",), birth_date="2015-08-02")  # under the child's number


async def report(world: World, organisation: str | None = None) -> list[list[tuple[str, str]]]:
    """Local id and standing of the records of each number."""
    async with transaction(world.pool) as connection:
        found = await shared_numbers.shared(connection, organisation, limit=100)
    return [[(one.local_id, one.standing) for one in shared.records] for shared in found]


async def flagged(world: World, authority: str = make.AUTHORITY) -> None:
    """The child has a plan of the authority, as C1."""
    await world.take(make.flag(authority=authority))
    await world.trace_all()


async def test_two_records_of_a_hospital_under_one_number_are_reported(world: World) -> None:
    """Both verified, each event by its own evidence; another organisation's is its own affair."""
    await flagged(world)
    await world.take(make.attendance(local_id="L1"), make.attendance(local_id="L2", visit="V2"))
    assert await report(world) == [[("L1", "verified"), ("L2", "verified")]]
    assert await report(world, HOSPITAL) == await report(world)
    assert await report(world, make.AUTHORITY) == []


async def test_who_claims_anothers_number_is_reported_as_unverified(world: World) -> None:
    """A sibling under the child's number is never verified; the report says which record."""
    await flagged(world)
    await world.take(make.flag(BROTHER, local_id="C2", line=2))
    await world.trace_all()
    assert await report(world) == [[("C1", "verified"), ("C2", "unverified")]]
    async with transaction(world.pool) as connection:
        (shared,) = await shared_numbers.shared(connection, None, limit=9)
        assert shared.records[1].rule
        (lacking,) = await shared_numbers.without(connection, make.AUTHORITY)
    assert (lacking.kind, lacking.records) == ("flag", 1)


async def test_records_that_the_hospital_merged_are_one(world: World) -> None:
    """A merge is how it mends what the report shows."""
    await flagged(world)
    await world.take(make.attendance(local_id="L1"), make.attendance(local_id="L2", visit="V2"))
    await world.take(make.merge("L2", "L1"))
    assert await report(world) == []


async def test_one_record_is_no_finding_however_often_it_is_sent(world: World) -> None:
    """Nor is a placeholder id, under which anybody may be."""
    await flagged(world)
    await world.take(
        make.attendance(local_id="L1"),
        make.attendance(local_id="L1", visit="V2"),
        make.attendance(local_id="UNKNOWN", visit="V3"),
    )
    assert await report(world) == []


async def test_an_organisation_reads_its_own_alone_and_never_a_number(world: World) -> None:
    """By HTTP, with an entry of its audit chain for each person; others have nothing of it."""
    await flagged(world, NORTH)
    await world.take(make.flag(BROTHER, local_id="C2", line=2, authority=NORTH))
    await world.trace_all()
    made = settings(database_url=world.database.url)
    async with hub(made, connect=False) as face:
        told: dict[str, Any] = {}
        for organisation in (NORTH, SOUTH):
            headers = bearer(organisation)
            async with httpx.AsyncClient(base_url=face.url, headers=headers) as http:
                told[organisation] = (await http.get("/reports/shared-numbers")).json()
        (entry,) = await entries(face.pool, "worklist")
    assert told[SOUTH] == {"entries": [], "without_number": {}, "more": False}
    (one,) = told[NORTH]["entries"]
    assert [(row["local_id"], row["standing"]) for row in one["records"]] == [
        ("C1", "verified"),
        ("C2", "unverified"),
    ]
    assert told[NORTH]["without_number"] == {"flag": 1}
    assert (CHILD.nhs_number or "") not in json.dumps(told)
    assert make.KEYS.person(CHILD.nhs_number or "") not in json.dumps(told)
    assert (entry["chain"], entry["subject"]) == (NORTH, "shared-numbers")


async def test_the_operator_prints_it_for_a_spreadsheet(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each record; what would be a formula is text; that it was read is recorded."""
    await flagged(world)
    await world.take(make.attendance(local_id="L1"), make.attendance(local_id="=L2", visit="V2"))
    for name, value in environment(settings(database_url=world.database.url), tmp_path).items():
        if name.startswith("HALYARD_"):
            monkeypatch.setenv(name, value)
    arguments = ["identity", "shared-numbers", "--csv"]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["group"], row["organisation"], row["local_id"]) for row in rows] == [
        ("1", HOSPITAL, "'=L2"),
        ("1", HOSPITAL, "L1"),
    ]
    (entry,) = await entries(world.pool)
    assert (entry["rule"], entry["kind"]) == ("shared-numbers.read", "administration")
    assert (CHILD.nhs_number or "") not in done.output
