"""`halyard journal` as a process: how it ends, and that nothing is lost or doubled then."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import signal
import time
import urllib.request
import uuid
from collections.abc import Callable

import pytest

from halyard.kafka import Record
from halyard.service import EXIT_DIED
from schemas import topics
from schemas.events import AlertReceipt
from tests.integration.journal.rig import KEY, Rig, as_record
from tests.support.processes import Process
from tests.support.waiting import eventually
from tests.unit.schemas.samples import NUMBER, SAMPLES

START = 30.0
STOP = 10.0


def _receipts(amount: int) -> list[Record]:
    (sample,) = [event for event in SAMPLES if isinstance(event, AlertReceipt)]
    return [
        as_record(
            topics.ALERT_RECEIPT,
            dataclasses.replace(sample, event_id=uuid.uuid4()),
            key=f"key-{number}",
        )
        for number in range(amount)
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


@pytest.mark.parametrize("point", ["journal.before_commit", "journal.after_commit"])
async def test_a_kill_leaves_no_gap_and_no_double(rig: Rig, point: str) -> None:
    """Killed before or after a commit, the next process goes on: every record has one row."""
    sent = _receipts(100)
    await rig.send(sent)
    with rig.process(name="killed", HALYARD_FAULT=f"{point}:kill:2") as process:
        assert await asyncio.to_thread(process.wait, START) == -signal.SIGKILL
    assert 0 < len(rig.rows()) < 100
    with rig.process(name="next"):
        rows = await rig.until_indexed(100)
    named = {dict(record.headers)["ce_id"].decode() for record in sent}
    assert {str(row["event_id"]) for row in rows} == named
    ends: dict[int, int] = {}
    for row in rows:
        assert row["kafka_offset"] == ends.get(row["partition"], 0)
        ends[row["partition"]] = row["kafka_offset"] + 1
    saved = rig.query("select partition, next_offset from journal_offsets")
    assert {row["partition"]: row["next_offset"] for row in saved} == ends


async def test_it_is_ready_and_stops_in_time(rig: Rig) -> None:
    """/readyz and /livez pass; SIGTERM ends it with 0 within its limit; no line is personal."""
    await rig.send(_receipts(3))
    with rig.process() as process:
        await rig.until_indexed(3)
        await asyncio.to_thread(eventually, lambda: _probe(process, "/readyz")["status"] == "pass")
        assert (await asyncio.to_thread(_probe, process, "/livez"))["status"] == "pass"
        began = time.monotonic()
        assert await asyncio.to_thread(process.terminate, STOP) == 0, process.log_text()
        assert time.monotonic() - began < STOP
        text = process.log_text() + process.output()
    for hidden in (NUMBER, KEY, "Exâmple"):
        assert hidden not in text


async def test_it_stops_in_time_under_load(rig: Rig) -> None:
    """SIGTERM between two batches: exit 0, and the next process does the rest."""
    await rig.send(_receipts(600))
    with rig.process(name="stopped") as process:
        await asyncio.to_thread(eventually, lambda: bool(rig.rows()), START)
        assert await asyncio.to_thread(process.terminate, STOP) == 0, process.log_text()
    with rig.process(name="next"):
        await rig.until_indexed(600)


async def test_without_a_broker_it_waits_then_ends(make_rig: Callable[..., Rig]) -> None:
    """Nobody answers at the bootstrap address: not ready, and after the limit non-zero."""
    rig = make_rig(transient_seconds=3)
    with rig.process(HALYARD_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as process:
        status = await asyncio.to_thread(_probe, process, "/readyz")
        assert status["status"] == "fail"
        assert await asyncio.to_thread(process.wait, START) == EXIT_DIED, process.log_text()
        assert "BrokerUnavailable" in process.log_text()


async def test_without_a_broker_it_still_stops_in_time(make_rig: Callable[..., Rig]) -> None:
    """SIGTERM while the broker is away: exit 0 within the limit."""
    rig = make_rig(transient_seconds=60)
    with rig.process(HALYARD_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as process:
        await asyncio.to_thread(process.wait_for, "journal_waits", START)
        assert await asyncio.to_thread(process.terminate, STOP) == 0, process.log_text()


async def test_without_a_database_it_waits_then_ends(make_rig: Callable[..., Rig]) -> None:
    """PostgreSQL does not answer: after the limit the process ends non-zero and says why."""
    rig = make_rig(transient_seconds=3)
    rig.make_topics(topics.ALERT_RECEIPT)
    with rig.process(
        HALYARD_DATABASE__URL="postgresql://halyard_app:x@127.0.0.1:1/none"
    ) as process:
        assert await asyncio.to_thread(process.wait, START) == EXIT_DIED, process.log_text()
        assert "DatabaseUnavailable" in process.log_text()
