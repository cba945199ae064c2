"""`halyard connector ncmd` as a process: how it ends, and that the store is the same then."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.error
import urllib.request
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.ncmd import process
from connectors.ncmd.port import Batch, StorePort
from halyard.cli.ncmd import app
from halyard.clock import system_clock
from halyard.errors import DatabaseUnavailable
from halyard.postgres import Pool, make_pool
from halyard.service import Service
from schemas.codec import encode
from schemas.topics import CASE_CHANGED
from stores.ncmd import Arrived
from tests.integration.ncmd.adapters import TOKEN, pool_of, receiving
from tests.integration.ncmd.conftest import empty
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import NUMBER, case_id, changed, voided
from tests.support.processes import Process
from tests.support.waiting import aeventually

START = 40.0
EVENTS = [
    *(changed(number, version) for version in (1, 2, 3) for number in range(30)),
    *(voided(number, 4) for number in range(5)),
]


def _probe(process: Process, path: str) -> dict[str, object]:
    text = process.wait_for("health_port", START)
    port = re.search(r'"health_port": ?(\d+)', text)
    assert port is not None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}", timeout=5) as answer:
            body: dict[str, object] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            body = json.load(error)
    return body


async def test_a_kill_leaves_no_gap_and_no_double(rig: Rig) -> None:
    """SIGKILL between writing and commit: the next process goes on, and the store says what one
    says that was never killed."""
    await rig.send(EVENTS)
    with rig.process(name="killed", HALYARD_FAULT="ncmd.before_commit:kill:2") as started:
        assert await asyncio.to_thread(started.wait, START) == -signal.SIGKILL
    assert 0 < rig.versions() < len(EVENTS)
    async with rig.sink():
        await rig.until(len(EVENTS))
    killed = rig.canonical()
    empty(rig.database)
    async with pool_of(rig, 1) as pool:
        port = StorePort(pool, topic=CASE_CHANGED, clock=system_clock)
        await port.begin([0], "log")
        await port.apply(Batch({0: 0}, {0: 1}, [Arrived(event, encode(event)) for event in EVENTS]))
    assert rig.canonical() == killed
    assert len(killed) == 30


async def test_it_stops_in_time_submits_and_says_nothing_personal(rig: Rig) -> None:
    """Ready and alive, submitting over HTTP; SIGTERM ends it with 0 within its limit; no line of
    its log names a child."""
    from sandbox.ncmd.app import Receiver
    from sandbox.ncmd.receiver import Inbox

    inbox = Inbox()
    await rig.send(EVENTS)
    async with receiving(Receiver(inbox, TOKEN)) as url:
        with rig.with_ncmd(submit_url=url).process(HALYARD_NCMD__SUBMIT_TOKEN=TOKEN) as started:
            await rig.until(len(EVENTS), START)

            async def all_there() -> bool:
                states = {one: case.state for one, case in inbox.cases.items()}
                return len(states) == 30 and list(states.values()).count("voided") == 5

            await aeventually(all_there, START, 0.1, why="all cases at the receiver")
            assert (await asyncio.to_thread(_probe, started, "/readyz"))["status"] == "pass"
            assert (await asyncio.to_thread(_probe, started, "/livez"))["status"] == "pass"
            assert await asyncio.to_thread(started.terminate, 10) == 0, started.log_text()
    said = started.output() + started.log_text()
    assert not [word for word in (NUMBER, "Example1", "as told", TOKEN) if word in said]
    resource = next(case.content for case in inbox.cases.values() if case.content)
    assert resource["type"] == "collection"


async def test_a_database_that_stays_away_ends_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's database is away for longer than the limit: it ends with an error and nothing is
    passed over."""

    def impatient(*arguments: Any, **named: Any) -> Pool:
        pool = make_pool(*arguments, **named)
        pool.timeout = 0.2  # else 10 s
        return pool

    monkeypatch.setattr(process, "make_pool", impatient)
    await rig.send(EVENTS[:3])
    away = rig.with_ncmd(database_url=re.sub(r":\d+/", ":9/", rig.database.ncmd_url))
    limits = away.settings.worker.model_copy(update={"transient_seconds": 0.5, "stop_seconds": 1.0})
    settings = away.settings.model_copy(update={"worker": limits})
    with pytest.raises(DatabaseUnavailable):
        await asyncio.wait_for(process.run(Service("ncmd", settings), settings), START)
    async with rig.sink():
        await rig.until(3)


async def test_the_commands_show_the_store_as_it_is_and_as_it_was(rig: Rig) -> None:
    """`ncmd status` counts, `ncmd as-of` shows a voided case as it stood before; neither prints a
    name or number unless it is asked for all."""
    await rig.send([changed(1), changed(1, 2), voided(1, 3), changed(2)])
    async with rig.sink():
        await rig.until(4)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, env=rig.command_environment())
        assert done.exit_code == 0, done.output
        return done.output

    told = json.loads(await asyncio.to_thread(run, "status", "--json"))
    assert (told["cases"], told["versions"]) == ({"OPEN": 1, "VOIDED": 1}, 4)
    assert (told["behind"], told["version_gaps"], told["dead_letters"]) == (0, 0, 0)
    one = str(case_id(1))
    before = ("--at", "2026-03-01T11:30:00+00:00")
    text = await asyncio.to_thread(run, "as-of", one, *before)
    assert "version 2 of" in text
    assert "state OPEN" in text
    assert NUMBER not in text
    whole = json.loads(await asyncio.to_thread(run, "as-of", one, *before, "--json"))
    assert whole["case"]["content"]["nhs_number"] == NUMBER
    assert [row["version"] for row in whole["versions"]] == [1, 2, 3]
    now = await asyncio.to_thread(run, "as-of", one)
    assert "state VOIDED" in now
