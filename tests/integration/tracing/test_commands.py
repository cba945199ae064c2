"""`halyard trace-batch` and `trace-person`, as an operator runs them; and the trace file."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import stat
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.trace_files.request import reference
from flag_service import trace_files
from halyard.cli.main import app
from halyard.cli.trace_person import NoAnswerYet
from halyard.cli.who import me
from halyard.errors import PermanentError
from schemas.events import PersonClaim
from stores import trace_batches
from tests.integration.tracing.test_batch_routes import file
from tests.support import identity as make
from tests.support.face import INFIRMARY, NORTH, directory_toml
from tests.support.identity_world import World, person_of
from tests.support.tracing import batches, claim, outcomes, results, standing, work
from tests.support.waiting import aeventually

SAID = ("--by", "Kim Clerk", "--reason", "go-live")


class Operator:
    """`halyard` on the world's database."""

    def __init__(self, world: World, home: Path) -> None:
        self.world, self.home = world, home

    async def run(self, *arguments: str, code: int = 0, text: str | None = None) -> str:
        """What a command prints."""
        done = await asyncio.to_thread(
            CliRunner().invoke, app, list(arguments), input=text, catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done.output

    async def start(self, text: str) -> dict[str, Any]:
        """`trace-batch start` of a file."""
        path = self.home / "children.csv"
        path.write_text(text)
        said = await self.run("trace-batch", "start", str(path), "--for", NORTH, *SAID, "--json")
        return dict(json.loads(said))

    async def import_(self, batch_id: str, *rows: tuple[int, str, str, str], code: int = 0) -> Any:
        """`trace-batch import` of a response with these rows: line, code, number, birth date."""
        lines = ["head"]
        for line, answer, number, born in rows:
            cells = [""] * 56
            cells[0], cells[1] = answer, reference(uuid.UUID(batch_id), line)
            cells[3], cells[29] = number, born
            lines.append(",".join(cells))
        path = self.home / "response.csv"
        path.write_text("\r\n".join([*lines, "tail", ""]))
        said = await self.run(
            "trace-batch", "import", batch_id, str(path), *SAID, "--json", code=code
        )
        return json.loads(said)


@pytest.fixture
def operator(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Settings of a system of the test's own."""
    secrets = tmp_path / "secrets.toml"
    keys = make.KEYS
    secrets.write_text(f'bus_key = "{keys.bus.hex()}"\nstore_key = "{keys.store.hex()}"\n')
    secrets.chmod(0o600)
    (tmp_path / "directory.toml").write_text(directory_toml())
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DATABASE__URL", world.database.url)
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(tmp_path / "directory.toml"))
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(secrets))
    return Operator(world, tmp_path)


async def test_a_file_is_started_followed_fetched_and_cancelled(
    operator: Operator, world: World
) -> None:
    """The result is a file that nobody else may read, with the rate and the line of go-live; the
    chain names who decided, and each child.
    """
    people = [claim(index) for index in range(4)]
    world.knows(*(person_of(one) for one in people[:3]))
    started = await operator.start(file(people))
    assert (started["lines"], started["repeat_of"]) == (4, None)
    batch_id = started["batch_id"]
    assert (await operator.start(file(people)))["repeat_of"] == batch_id
    said = await operator.run("trace-batch", "status")
    assert batch_id in said
    assert "Kim Clerk" in said
    (listed,) = json.loads(await operator.run("trace-batch", "status", "--json"))["batches"]
    assert (listed["made_by"], listed["made_by_name"]) == (me(), "Kim Clerk")
    await work(world, batches(world))
    said = await operator.run("trace-batch", "status", batch_id)
    assert "match rate 75.0% of all lines: too few; 95% are needed to go live" in said
    assert "1  no-match  pds.not_found" in said
    out = operator.home / "result.csv"
    await operator.run("trace-batch", "result", batch_id, "--out", str(out), *SAID)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"))))
    assert [one["outcome"] for one in rows] == [*["verified"] * 3, "no-match"]
    with pytest.raises(PermanentError, match="not there"):
        await operator.run("trace-batch", "result", batch_id, "--out", str(out), *SAID)
    entries = await world.rows("select chain, body from audit_entries order by recorded_at, xid")
    assert {row["chain"] for row in entries} == {NORTH}
    assert {(row["body"]["actor"], row["body"]["actor_name"]) for row in entries} == {
        (me(), "Kim Clerk")
    }
    told = {row["body"].get("person") for row in entries if row["body"]["kind"] == "disclosure"}
    assert told == {make.KEYS.person(one.nhs_number or "") for one in people}
    assert await operator.run("trace-batch", "cancel", batch_id, *SAID) == "cancelled\n"
    assert "before" in await operator.run("trace-batch", "cancel", batch_id, *SAID)
    await batches(world).tend()
    assert {one.nhs_number for one in await results(world, uuid.UUID(batch_id))} == {None}


async def test_untraced_lines_go_out_as_a_trace_file_and_its_numbers_are_asked_of_pds(
    operator: Operator, world: World
) -> None:
    """Only lines that may be looked for leave; what comes back is a claim: PDS confirms it, or the
    line is a conflict. A row of another child's birth date, of a line with an answer, of another
    batch or twice is refused, and the same response again changes nothing.
    """
    found, wrong, nobody, gone, known = (claim(index) for index in range(5))
    other = claim(20)
    world.knows(person_of(gone, invalidated=True), person_of(known), person_of(other))
    lost = replace(found, nhs_number=None, family="Mistyped")
    said = [lost, replace(wrong, nhs_number=None), replace(nobody, nhs_number=None), gone, known]
    batch_id = (await operator.start(file(said)))["batch_id"]
    mine = batches(world)
    await work(world, mine)
    out = operator.home / "request.csv"
    await operator.run("trace-batch", "export", batch_id, "--out", str(out), *SAID)
    exported = list(csv.reader(io.StringIO(out.read_text("utf-8"))))
    lines = [row[0].partition("-")[2] for row in exported[1:]]
    assert lines == ["2", "3", "4"]  # neither the invalidated number nor the verified one
    world.knows(person_of(found, family="Mistyped"))
    rows = (
        (2, "20", found.nhs_number or "", (found.birth_date or "").replace("-", "")),
        (3, "33", other.nhs_number or "", ""),
        (4, "21", "", ""),
        (5, "30", gone.nhs_number or "", ""),
        (99, "20", other.nhs_number or "", ""),
    )
    done = await operator.import_(batch_id, *rows, code=1)
    assert done["results"] == {"asked": 2, "no-match": 1}
    refused = [(one["row"], one["rule"]) for one in done["refused"]]
    assert refused == [(5, "trace_file.settled"), (6, "trace_file.reference")]
    assert (await standing(world, uuid.UUID(batch_id))).state == "running"
    await work(world, mine)
    batch = uuid.UUID(batch_id)
    assert await outcomes(world, batch) == [
        "verified",
        "conflict",
        "no-match",
        "invalidated",
        "verified",
    ]
    told = await results(world, batch)
    assert [one.nhs_number for one in told[:3]] == [found.nhs_number, None, None]
    assert told[2].rule == "trace-file.21"
    state = await standing(world, batch)
    assert (state.state, state.answered, sum(state.counts.values())) == ("done", 5, 5)
    again = await operator.import_(batch_id, *rows, code=1)
    assert (again["results"], again["refused_count"]) == ({"no-match": 1}, 4)
    assert (await standing(world, batch)).counts == state.counts
    assert "postcode" not in str(await world.rows("select claim from trace_items where line = 2"))


async def test_a_row_that_is_not_of_its_line_is_refused(operator: Operator, world: World) -> None:
    """Another birth date than was sent, or two rows for one line: a file that slipped by a row."""
    said = replace(claim(1), nhs_number=None)
    batch_id = (await operator.start(file([said, replace(claim(2), nhs_number=None)])))["batch_id"]
    await work(world, batches(world))
    number = claim(9).nhs_number or ""
    done = await operator.import_(
        batch_id,
        (2, "20", number, "19990101"),
        (3, "20", number, ""),
        (3, "21", "", ""),
        code=1,
    )
    rules = [one["rule"] for one in done["refused"]]
    assert rules == ["trace_file.twice", "trace_file.twice", "trace_file.birth_date"]
    assert done["results"] == {}


async def test_no_row_of_a_response_is_applied_without_its_audit_entry(
    operator: Operator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response is taken in parts; when the hub ends between two of them, what was applied is on
    record, and the same response again applies and records the rest.
    """
    monkeypatch.setattr(trace_files, "CHUNK", 2)
    said = [replace(claim(index), nhs_number=None) for index in range(1, 4)]
    batch_id = (await operator.start(file(said)))["batch_id"]
    await work(world, batches(world))
    real, calls = trace_batches.lines_for_update, 0

    async def lines_for_update(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionResetError
        return await real(*given)

    monkeypatch.setattr(trace_batches, "lines_for_update", lines_for_update)

    async def on_record() -> list[tuple[str, str]]:
        entries = await world.rows(
            "select body from audit_entries where body->'detail'->>'act' = 'trace-file-read' "
            "order by recorded_at, body->'detail'->>'count' desc"
        )
        return [
            (one["body"]["detail"]["count"], one["body"]["detail"]["refused"]) for one in entries
        ]

    rows = ((2, "21", "", ""), (3, "21", "", ""), (4, "21", "", ""), (99, "21", "", ""))
    with pytest.raises(ConnectionResetError):
        await operator.import_(batch_id, *rows)
    no_match = "select count(*) from trace_items where rule = 'trace-file.21'"
    assert await world.value(no_match) == 2
    assert await on_record() == [("2", "0")]
    await operator.import_(batch_id, *rows, code=1)
    assert await world.value(no_match) == 3
    assert await on_record() == [("2", "0"), ("2", "0"), ("1", "1")]


async def test_a_trusted_file_is_believed_but_not_against_what_was_sent(
    operator: Operator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting, 20 and 30 verify by the file's word, if the row has the line's whole birth
    date; 33 is asked of PDS all the same. The number is told as a restricted child's is: nobody has
    looked.
    """
    monkeypatch.setenv("HALYARD_TRACING__TRUST_TRACE_FILE", "true")
    said: list[PersonClaim] = [replace(claim(index), nhs_number=None) for index in (1, 2, 3, 4)]
    batch_id = (await operator.start(file(said)))["batch_id"]
    await work(world, batches(world))
    calls = world.pds.pds.calls()["calls"]
    numbers = [claim(index).nhs_number or "" for index in (1, 2, 3, 4)]
    days = [(one.birth_date or "").replace("-", "") for one in said]
    done = await operator.import_(
        batch_id,
        (2, "20", numbers[0], days[0]),
        (3, "33", numbers[1], days[1]),
        (4, "20", numbers[2], ""),
        (5, "30", numbers[3], days[3][:6]),
    )
    assert done["results"] == {"verified": 1, "asked": 3}
    first, second, undated, partly = await results(world, uuid.UUID(batch_id))
    assert (undated.state, partly.state) == ("waiting", "waiting")
    assert (first.outcome, first.rule, first.nhs_number, first.restricted) == (
        "verified",
        "trace-file.20",
        numbers[0],
        True,
    )
    assert (second.state, second.nhs_number) == ("waiting", None)
    assert world.pds.pds.calls()["calls"] == calls


async def test_one_person_is_traced_from_standard_input(operator: Operator, world: World) -> None:
    """Details are no arguments; the answer says outcome, rule, number and fields."""
    child = claim(1)
    world.knows(person_of(child))
    mine = batches(world)

    async def answer() -> None:
        there = "select exists(select from trace_batches)"
        await aeventually(lambda: world.value(there), 20, 0.02, why="a trace")
        await work(world, mine)

    body = {
        "nhs_number": child.nhs_number,
        "family": child.family,
        "given": " ".join(child.given),
        "birth_date": child.birth_date,
    }
    asked = ("trace-person", "--for", INFIRMARY, *SAID, "--purpose", "direct-care")
    said, _ = await asyncio.gather(operator.run(*asked, text=json.dumps(body)), answer())
    assert "verified: the number that is told is the person's" in said
    assert f"NHS number {child.nhs_number}" in said
    with pytest.raises(PermanentError, match="Too little is said"):
        await operator.run(*asked, text=json.dumps({"nhs_number": child.nhs_number}))
    await operator.run(*asked, text="no json", code=2)
    with pytest.raises(PermanentError, match="neither hospital nor authority"):
        await operator.run("trace-person", "--for", "ZZ999", *SAID, text=json.dumps(body))


async def test_what_pds_has_not_answered_in_time_is_fetched_later(
    operator: Operator, world: World
) -> None:
    """The error (4: a service is away) names the trace and the command; that fetches the answer
    for the account that asked and its organisation alone, and PDS is asked once.
    """
    child = claim(1)
    world.knows(person_of(child))
    body = {
        "family": child.family,
        "given": "Alex N1",
        "birth_date": child.birth_date,
        "gender": child.gender,
    }
    asked = ("trace-person", "--for", INFIRMARY, *SAID, "--seconds", "0")
    with pytest.raises(NoAnswerYet, match=r"--answer [0-9a-f-]{36} --for RX901") as away:
        await operator.run(*asked, text=json.dumps(body))
    trace_id = away.value.message.partition("--answer ")[2].split()[0]
    later = (*asked, "--answer", trace_id)
    with pytest.raises(NoAnswerYet):
        await operator.run(*later)
    await work(world, batches(world))
    told = json.loads(await operator.run(*later, "--json"))
    assert (told["trace_id"], told["outcome"]) == (trace_id, "verified")
    assert (told["nhs_number"], told["number_rule"]) == (child.nhs_number, None)
    assert world.pds.pds.calls()["calls"] == 1
    for_another = ("trace-person", "--for", NORTH, *SAID, "--answer", trace_id)
    with pytest.raises(PermanentError, match="No such trace of yours"):
        await operator.run(*for_another)
    await world.rows("update trace_batches set made_by = 'cli:another'")
    with pytest.raises(PermanentError, match="No such trace of yours"):
        await operator.run(*later)
