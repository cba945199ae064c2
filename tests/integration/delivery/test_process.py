"""The dispatcher as a process: killed at every point, stopped, without Kafka, misconfigured."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from halyard.kafka_admin import TopicSpec, apply
from halyard.postgres import Pool, transaction
from schemas import codec
from schemas.events import AlertReceipt, Rung
from schemas.topics import ALERT_RECEIPT
from stores import mailbox
from stores.mailbox import Letter
from tests.integration.delivery.practice import (
    AUTHORITY,
    HOSPITAL,
    NUMBER,
    SECRET,
    Running,
    add,
    delivery,
    raise_alert,
    receiving,
    states,
)
from tests.support.processes import Process
from tests.support.waiting import aeventually

ROOT = Path(__file__).parents[3]
MAIN = (
    "import sys;"
    "from halyard import service;"
    "from halyard.settings import load_settings;"
    "from streams.delivery.process import run;"
    "settings = load_settings();"
    "sys.exit(service.run('dispatcher', settings, lambda one: run(one, settings)))"
)


@dataclass(frozen=True, slots=True)
class Hub:
    """What a dispatcher process is started with."""

    directory: Path
    env: Mapping[str, str]
    receiver: Running

    def start(self, name: str, **more: str) -> Process:
        """A dispatcher; `more` are further variables."""
        return Process(
            (sys.executable, "-c", MAIN),
            directory=self.directory,
            name=name,
            env={**self.env, **more},
        )


@pytest.fixture
async def hub(
    tmp_path: Path, database_url: str, kafka_bootstrap: str, namespace: str
) -> AsyncIterator[Hub]:
    """Files and variables of a hub with one authority that listens."""
    async with receiving() as receiver:
        (tmp_path / "directory.toml").write_text(
            f"""
            [[hospital]]
            ods = "{HOSPITAL}"
            name = "Practice General"
            message_endpoint = "authority"
            [[authority]]
            gss = "{AUTHORITY}"
            name = "Practiceshire"
            alert_endpoint = "authority"
            [[endpoint]]
            name = "authority"
            url = "{receiver.url}"
            secret = "practice"
            """
        )
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(
            f'bus_key = "{"01" * 32}"\nstore_key = "{"02" * 32}"\n'
            f'[webhook]\npractice = "{SECRET}"\n'
        )
        secrets.chmod(0o600)
        yield Hub(
            tmp_path,
            {
                "PYTHONPATH": str(ROOT),
                "HALYARD_DATABASE__URL": database_url,
                "HALYARD_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap,
                "HALYARD_KAFKA__NAMESPACE": namespace,
                "HALYARD_DIRECTORY_FILE": str(tmp_path / "directory.toml"),
                "HALYARD_SECURITY__SECRETS_FILE": str(secrets),
                "HALYARD_DELIVERY__TIMEOUT_SECONDS": "0.5",
                "HALYARD_DELIVERY__LEASE_SECONDS": "1.0",
                "HALYARD_DELIVERY__POLL_SECONDS": "0.2",
            },
            receiver,
        )


@pytest.fixture
def receipt_topic(kafka_bootstrap: str, namespace: str) -> str:
    """The topic of receipts under this test's namespace."""
    name = f"{namespace}.{ALERT_RECEIPT}"
    apply(kafka_bootstrap, [TopicSpec(name=name, partitions=2, replication=1, config={})])
    return name


@pytest.mark.parametrize(
    ("point", "sent", "published"),
    [
        ("dispatcher.after_claim", 1, 1),
        ("dispatcher.after_send", 2, 1),
        ("dispatcher.after_commit", 1, 1),
        ("dispatcher.after_produce", 1, 2),
    ],
)
async def test_a_killed_dispatcher_loses_nothing_and_repeats_are_the_same(
    hub: Hub,
    pool: Pool,
    kafka_bootstrap: str,
    receipt_topic: str,
    point: str,
    sent: int,
    published: int,
) -> None:
    """SIGKILL at `point`; another dispatcher takes over: the authority has the alert, the bus
    has its receipt, and what comes twice has the same id and the same bytes.
    """
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    with hub.start("killed", HALYARD_FAULT=f"{point}:kill:1") as killed:
        await aeventually(lambda: killed.exit_code is not None, 60, why=f"death at {point}")
        assert killed.exit_code == -9, killed.log_text()
    with hub.start("successor") as successor:
        records = await _records(kafka_bootstrap, receipt_topic, published)
        assert successor.exit_code is None, successor.log_text()
        received = hub.receiver.receiver.received
        await aeventually(lambda: len(received) == sent)
        assert len({(one.delivery_id, one.body_sha256) for one in received}) == 1
        assert await states(pool, alert.alert_id) == [(1, "alert", "delivered")]
        assert len(set(records)) == 1
        receipt = codec.decode_as(AlertReceipt, records[0][1])
        assert (receipt.alert_id, receipt.rung) == (alert.alert_id, Rung.DELIVERED)


@pytest.mark.usefixtures("receipt_topic")
async def test_sigterm_ends_it_with_zero_and_no_line_names_a_person(hub: Hub, pool: Pool) -> None:
    """Start, deliver, stop: exit code 0; the log has its fixed actions and nothing personal."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    with hub.start("dispatcher") as process:
        await aeventually(lambda: hub.receiver.versions(alert.alert_id), 60)
        await aeventually(lambda: "delivery_delivered" in process.log_text(), 30)
        assert process.terminate() == 0, process.log_text()
    said = process.log_text() + process.output()
    assert NUMBER not in said
    assert hub.receiver.url not in said
    assert SECRET not in said
    actions = {json.loads(line)["event"] for line in said.splitlines()}
    assert {"process_started", "listening", "delivery_delivered", "process_stopped"} <= actions


async def test_it_delivers_and_stops_while_kafka_is_away(hub: Hub, pool: Pool) -> None:
    """No broker answers: an alert and a letter go out all the same, and a stop ends with zero."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    one = Letter(
        uuid.UUID(int=1),
        HOSPITAL,
        "report-request",
        b'{"resourceType":"Bundle","id":"00000000-0000-0000-0000-000000000001"}',
        datetime.now(UTC),
        endpoint="authority",  # whether it is pushed; where, the directory says
    )
    async with transaction(pool) as connection:
        await mailbox.add(connection, [one])
    with hub.start("kafkaless", HALYARD_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as process:
        await aeventually(lambda: hub.receiver.versions(alert.alert_id), 60)
        await aeventually(lambda: "delivery_delivered" in process.log_text(), 30)
        await aeventually(lambda: "letter_pushed" in process.log_text(), 30)
        assert process.terminate() == 0, process.log_text()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HALYARD_DELIVERY__LEASE_SECONDS", "0.6", "LEASE_SECONDS"),
        ("HALYARD_SECURITY__SECRETS_FILE", "other.toml", "practice"),
    ],
)
async def test_a_wrong_configuration_is_said_at_start(
    hub: Hub, variable: str, value: str, says: str
) -> None:
    """A lease shorter than an attempt, a secret that is missing: exit 78 and what to mend."""
    other = hub.directory / "other.toml"
    other.write_text(f'bus_key = "{"01" * 32}"\nstore_key = "{"02" * 32}"\n')
    other.chmod(0o600)
    with hub.start("wrong", **{variable: value}) as process:
        assert await asyncio.to_thread(process.wait, 60) == 78, process.log_text()
    assert says in process.log_text()


async def _records(bootstrap: str, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    """The first `count` (key, value) on `topic`, and whatever follows within half a second."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    got: list[tuple[bytes, bytes]] = []
    try:
        async with asyncio.timeout(60):
            while True:
                batches = await consumer.getmany(timeout_ms=500)
                got += [(one.key, one.value) for batch in batches.values() for one in batch]
                if not batches and len(got) >= count:
                    return got
    finally:
        await consumer.stop()
