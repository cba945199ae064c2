"""A listener in front of a real Kafka, and hands to look at what it stored."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from connectors.hl7v2.client import MllpClient
from connectors.hl7v2.mllp import MllpServer
from connectors.hl7v2.process import limits
from connectors.hl7v2.server import Intake
from halyard import kafka_admin
from halyard.clock import system_clock
from halyard.embedded.datadir import write_private
from halyard.kafka import make_producer, qualified
from halyard.kafka_admin import TopicSpec
from halyard.privacy import Keys
from halyard.settings import Hl7v2Settings, KafkaSettings, Settings
from schemas.codec import decode_as
from schemas.deaths import DeathNotified
from schemas.events import AttendanceReported, MessageRejected
from schemas.topics import ATTENDANCE_REPORTED, DEATH_NOTIFIED, MESSAGE_REJECTED
from stores.directory import Feed
from tests.support.processes import Process
from tests.unit.hl7v2.messages import FEED, directory

ROOT = Path(__file__).parents[3]
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
_PROCESS = """
import sys
from connectors.hl7v2.process import run
from halyard import service
from halyard.settings import load_settings
settings = load_settings()
sys.exit(service.run("connector-hl7v2", settings, lambda running: run(running, settings)))
"""


def make_settings(bootstrap: str, namespace: str, **hl7v2: float) -> Settings:
    """Settings of a listener on a free port."""
    given = {"port": 0, "ack_timeout_seconds": 5.0, "read_timeout_seconds": 5.0, **hl7v2}
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=bootstrap, namespace=namespace),
        hl7v2=Hl7v2Settings.model_validate(given),
    )


def create_topics(settings: Settings, *names: str) -> None:
    """Make the connector's topics (or those named)."""
    wanted = names or (ATTENDANCE_REPORTED, DEATH_NOTIFIED, MESSAGE_REJECTED)
    config = {"max.message.bytes": "1500000"}
    kafka_admin.apply(
        settings.kafka.bootstrap_servers,
        [TopicSpec(qualified(settings, name), 2, 1, config) for name in wanted],
    )


async def records(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Everything on a topic now, by time of receipt."""
    name = qualified(settings, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await consumer.start()
    try:
        partitions = [TopicPartition(name, at) for at in consumer.partitions_for_topic(name) or ()]
        if not partitions:
            partitions = [TopicPartition(name, at) for at in (0, 1)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for one in partitions:
            consumer.seek(one, 0)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += batch
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: record.timestamp)


@dataclass(frozen=True, slots=True)
class Rig:
    """A running listener."""

    settings: Settings
    server: MllpServer
    intake: Intake

    def client(self, tls: ssl.SSLContext | None = None) -> MllpClient:
        """A sender for it; use it as a context manager."""
        return MllpClient("127.0.0.1", self.server.port, timeout=20, tls=tls)

    async def attendances(self) -> list[AttendanceReported]:
        """What is on the bus as attendances."""
        return [
            decode_as(AttendanceReported, record.value)
            for record in await records(self.settings, ATTENDANCE_REPORTED)
        ]

    async def deaths(self) -> list[DeathNotified]:
        """What is on the bus as indications of a death."""
        return [
            decode_as(DeathNotified, record.value)
            for record in await records(self.settings, DEATH_NOTIFIED)
        ]

    async def rejected(self) -> list[MessageRejected]:
        """What is on the bus as rejected."""
        return [
            decode_as(MessageRejected, record.value)
            for record in await records(self.settings, MESSAGE_REJECTED)
        ]


@contextlib.asynccontextmanager
async def listening(
    settings: Settings, *feeds: Feed, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Rig]:
    """A listener with a real producer; topics must be there."""
    producer: AIOKafkaProducer = make_producer(settings, client_id="test")
    await producer.start()
    intake = Intake(
        settings,
        directory=directory(*feeds),
        keys=KEYS,
        producer=producer,
        clock=system_clock,
    )
    server = MllpServer(intake, limits=limits(settings), tls=tls)
    try:
        async with server:
            yield Rig(settings, server, intake)
    finally:
        await producer.stop()


def connector(
    settings: Settings, folder: Path, port: int, *, feed: str = "", **extra: str
) -> Process:
    """The connector as a process on `port`; `feed` are further lines of its feed's entry. Use it
    as a context manager.
    """
    secrets = folder / "secrets.toml"
    write_private(secrets, f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
    listed = folder / "directory.toml"
    listed.write_text(
        f'[[hospital]]\nods = "{FEED.organisation}"\nname = "Test Hospital"\n'
        f'[[feed]]\nsource = "{FEED.source}"\norganisation = "{FEED.organisation}"\n'
        f'facility = "{FEED.facility}"\napplication = "{FEED.application}"\n{feed}\n'
    )
    return Process(
        (sys.executable, "-c", _PROCESS),
        directory=folder,
        name="connector",
        env={
            "PYTHONPATH": str(ROOT),
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "HALYARD_KAFKA__NAMESPACE": settings.kafka.namespace,
            "HALYARD_SECURITY__SECRETS_FILE": str(secrets),
            "HALYARD_DIRECTORY_FILE": str(listed),
            "HALYARD_HL7V2__PORT": str(port),
            "HALYARD_HL7V2__ACK_TIMEOUT_SECONDS": str(settings.hl7v2.ack_timeout_seconds),
            **extra,
        },
    )
