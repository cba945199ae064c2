"""A broker of the test's own, that dies, comes back and freezes under the journal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from halyard.embedded.kafka import EmbeddedKafka
from schemas import topics
from tests.integration.journal.rig import Rig, as_record
from tests.support.services import Database
from tests.unit.schemas.samples import SAMPLES

STOP = 10.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """A broker that may be hurt."""
    with EmbeddedKafka(tmp_path / "kafka", heap_mb=256) as started:
        yield started


@pytest.mark.slow
async def test_a_broker_that_dies_and_one_that_freezes(
    broker: EmbeddedKafka, namespace: str, database: Database, tmp_path: Path
) -> None:
    """The journal goes on where it was when the broker is back; SIGTERM while the broker holds
    every request open still ends it in time, with 0."""
    rig = Rig.make(broker.bootstrap_servers, namespace, database, tmp_path)
    rig.make_topics()
    records = [as_record(topics.ALERT_RECEIPT, SAMPLES[0])] * 5
    await rig.send(records)
    with rig.process() as process:
        await rig.until_indexed(5)
        broker.kill()
        await asyncio.to_thread(process.wait_for, "journal_waits")
        broker.start()  # from the main thread only
        await rig.send(records)
        await rig.until_indexed(10)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            await asyncio.to_thread(
                process.wait_for, lambda text: text.count("journal_waits") > 1, 30
            )
            began = time.monotonic()
            assert await asyncio.to_thread(process.terminate, STOP) == 0, process.log_text()
            assert time.monotonic() - began < STOP
        finally:
            os.kill(broker.pid, signal.SIGCONT)
