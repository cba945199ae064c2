"""A bus with every topic of the registry, a database, and journals to run on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from connectors.journal.process import Journal
from connectors.journal.reader import Reader
from halyard import kafka_admin
from halyard.clock import system_clock
from halyard.kafka import Record, cloudevent_headers, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import make_pool
from halyard.privacy import Keys
from halyard.settings import DatabaseSettings, KafkaSettings, Settings, WorkerSettings
from schemas.codec import Event, encode
from schemas.topics import registry
from tests.support.processes import Process, halyard
from tests.support.services import Database
from tests.support.waiting import aeventually

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
TRACE = "0af7651916cd43dd8448eb211c80319c"
KEY = "cafe0123456789abcafe0123456789ab"  # of every record: the journal must not keep it


def as_record(topic: str, event: Event, *, trace: str = TRACE, key: str = KEY) -> Record:
    """`event` as the hub puts it on the bus."""
    headers = cloudevent_headers(
        event_id=event.event_id,
        event_type=type(event).__name__,
        source="RXX-ADT",
        time=system_clock(),
        traceparent=f"00-{trace}-{uuid.uuid4().hex[:16]}-01",
    )
    return Record(topic, key, encode(event), headers)


@dataclass(frozen=True, slots=True)
class Rig:
    """Hands on the bus and on the journal's tables."""

    settings: Settings
    database: Database
    directory: Path

    @classmethod
    def make(
        cls, bootstrap: str, namespace: str, database: Database, directory: Path, **worker: float
    ) -> Rig:
        """`worker` overrides the limits of the journal."""
        secrets = directory / "secrets.toml"
        descriptor = os.open(secrets, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
        limits: dict[str, Any] = {"max_batch": 20, "transient_seconds": 15.0, **worker}
        return cls(
            Settings(
                data_dir=directory,
                kafka=KafkaSettings(
                    bootstrap_servers=bootstrap, namespace=namespace, request_timeout_seconds=2.0
                ),
                database=DatabaseSettings.model_validate({"url": database.url}),
                worker=WorkerSettings(**limits),
            ),
            database,
            directory,
        )

    def make_topics(self, *names: str, partitions: int = 2) -> None:
        """Create these topics, or all of the registry."""
        wanted = names or tuple(topic.name for topic in registry())
        kafka_admin.apply(
            self.settings.kafka.bootstrap_servers,
            [TopicSpec(qualified(self.settings, name), partitions, 1) for name in wanted],
        )

    async def send(self, records: Sequence[Record]) -> None:
        """Put records on the bus, confirmed."""
        producer = make_producer(self.settings, client_id="test")
        await producer.start()
        try:
            for result in await produce(producer, self.settings, records):
                assert not isinstance(result, Exception)
        finally:
            await producer.stop()

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL as the app role."""
        with psycopg.connect(
            self.database.url,
            autocommit=True,
            options="-c search_path=halyard",
            row_factory=dict_row,
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> list[dict[str, Any]]:
        """The journal by place."""
        return self.query("select * from journal order by topic, partition, kafka_offset")

    async def until_indexed(self, amount: int, seconds: float = 30) -> list[dict[str, Any]]:
        """The journal as soon as it has `amount` rows; an AssertionError if it never has."""

        async def enough() -> bool:
            return len(await asyncio.to_thread(self.rows)) == amount

        await aeventually(enough, seconds, 0.1, why=f"{amount} rows in the journal")
        return self.rows()

    def process(self, *, name: str = "journal", **extra: str) -> Process:
        """`halyard journal`; use it as a context manager."""
        settings = self.settings
        limits = settings.worker.model_dump()
        return halyard(
            "journal",
            directory=self.directory,
            name=name,
            env={
                "HALYARD_DATA_DIR": str(self.directory),
                "HALYARD_SECURITY__SECRETS_FILE": str(self.directory / "secrets.toml"),
                "HALYARD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
                "HALYARD_KAFKA__NAMESPACE": settings.kafka.namespace,
                "HALYARD_KAFKA__REQUEST_TIMEOUT_SECONDS": "2",
                "HALYARD_DATABASE__URL": settings.database.url.get_secret_value(),
                **{f"HALYARD_WORKER__{key.upper()}": str(value) for key, value in limits.items()},
                **extra,
            },
        )

    @contextlib.asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        """A journal in this loop, stopped at the end; what ended it before is raised."""
        pool = make_pool(self.settings, name="journal", size=1)
        reader = Reader(self.settings)
        loop = Journal(self.settings, pool=pool, reader=reader, keys=KEYS, clock=system_clock)
        stopping = asyncio.Event()
        await pool.open(wait=False)
        task = asyncio.ensure_future(loop.run(stopping))
        try:
            yield loop
        finally:
            stopping.set()
            try:
                await asyncio.wait_for(task, 15)
            finally:
                await reader.close(5)
                await pool.close()
