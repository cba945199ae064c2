"""A bus with the topic of cases, a database with the NCMD store, and sinks to run on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from psycopg.rows import dict_row

from connectors.ncmd.letters import DeadLetters
from connectors.ncmd.port import StorePort
from connectors.ncmd.process import make_reader
from connectors.ncmd.sink import NAME, Sink
from halyard import kafka_admin
from halyard.clock import system_clock
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import make_pool
from halyard.settings import (
    DatabaseSettings,
    KafkaSettings,
    NcmdSettings,
    Settings,
    WorkerSettings,
)
from policies.model import Policies
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED, dead_letter
from tests.support.ncmd_canonical import canonical
from tests.support.ncmd_cases import as_record
from tests.support.processes import Process, halyard
from tests.support.services import Database
from tests.support.waiting import aeventually

DEAD: str = dead_letter(CASE_CHANGED, NAME)


@dataclass(frozen=True, slots=True)
class Rig:
    """Hands on the bus and on the store's tables."""

    settings: Settings
    database: Database
    directory: Path

    @classmethod
    def make(
        cls, bootstrap: str, namespace: str, database: Database, directory: Path, **worker: float
    ) -> Rig:
        """`worker` overrides the limits of the sink."""
        limits: dict[str, Any] = {"max_batch": 20, "transient_seconds": 15.0, **worker}
        return cls(
            Settings(
                data_dir=directory,
                kafka=KafkaSettings(
                    bootstrap_servers=bootstrap, namespace=namespace, request_timeout_seconds=2.0
                ),
                database=DatabaseSettings.model_validate({"url": database.url}),
                worker=WorkerSettings(**limits),
                ncmd=NcmdSettings.model_validate({"database_url": database.ncmd_url}),
            ),
            database,
            directory,
        )

    def with_ncmd(self, **changes: Any) -> Rig:
        """The same with other settings of the store."""
        values = {**self.settings.ncmd.model_dump(), **changes}
        ncmd = NcmdSettings.model_validate(values)
        return replace(self, settings=self.settings.model_copy(update={"ncmd": ncmd}))

    def make_topics(self, partitions: int = 2) -> None:
        """Create the topic and its dead letters."""
        kafka_admin.apply(
            self.settings.kafka.bootstrap_servers,
            [
                TopicSpec(qualified(self.settings, CASE_CHANGED), partitions, 1),
                TopicSpec(qualified(self.settings, DEAD), 1, 1),
            ],
        )

    async def send(self, events: Iterable[CaseChanged | Record]) -> None:
        """Put versions on the bus, confirmed."""
        records = [one if isinstance(one, Record) else as_record(one) for one in events]
        producer = make_producer(self.settings, client_id="test")
        await producer.start()
        try:
            for result in await produce(producer, self.settings, records):
                assert not isinstance(result, Exception)
        finally:
            await producer.stop()

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL as the store's role."""
        with psycopg.connect(
            self.database.ncmd_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def canonical(self) -> dict[str, Any]:
        """The store without ids, times and version numbers."""
        with psycopg.connect(self.database.ncmd_url) as connection:
            return canonical(connection)

    def versions(self) -> int:
        """How many versions the history has."""
        return int(self.query("select count(*) as n from ncmd.history")[0]["n"])

    def stands(self) -> dict[int, int]:
        """The store's offsets."""
        rows = self.query("select partition, next_offset from ncmd.offsets")
        return {row["partition"]: row["next_offset"] for row in rows}

    async def until(self, amount: int, seconds: float = 30) -> None:
        """Wait until the history has `amount` versions."""

        async def enough() -> bool:
            return await asyncio.to_thread(self.versions) == amount

        await aeventually(enough, seconds, 0.05, why=f"{amount} versions in the store")

    def dead_letters(self, amount: int) -> list[Any]:
        """The first `amount` records of the dead-letter topic."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers, group_id=None
        )
        try:
            place = TopicPartition(qualified(self.settings, DEAD), 0)
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            found: list[Any] = []
            for _ in range(20):
                for records in consumer.poll(timeout_ms=500).values():
                    found += records
                if len(found) >= amount:
                    break
            return found
        finally:
            consumer.close(autocommit=False)

    def forget_before(self, offsets: Sequence[tuple[int, int]]) -> None:
        """Delete the records of partitions below an offset, as retention does."""
        client = KafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        try:
            topic = qualified(self.settings, CASE_CHANGED)
            client.delete_records(
                {TopicPartition(topic, number): offset for number, offset in offsets}
            )
        finally:
            client.close()

    def process(self, *, name: str = NAME, **extra: str) -> Process:
        """`halyard connector ncmd`; use it as a context manager."""
        settings = self.settings
        limits = settings.worker.model_dump()
        ncmd = settings.ncmd.model_dump(exclude={"database_url", "submit_token"})
        return halyard(
            "connector",
            "ncmd",
            directory=self.directory,
            name=name,
            env={
                **self.command_environment(),
                **{f"HALYARD_WORKER__{key.upper()}": str(value) for key, value in limits.items()},
                **{
                    f"HALYARD_NCMD__{key.upper()}": str(value)
                    for key, value in ncmd.items()
                    if value is not None
                },
                **extra,
            },
        )

    def command_environment(self) -> dict[str, str]:
        """What a command needs to find bus and store."""
        return {
            "HALYARD_DATA_DIR": str(self.directory),
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "HALYARD_KAFKA__NAMESPACE": self.settings.kafka.namespace,
            "HALYARD_KAFKA__REQUEST_TIMEOUT_SECONDS": "2",
            "HALYARD_NCMD__DATABASE_URL": self.database.ncmd_url,
        }

    @contextlib.asynccontextmanager
    async def sink(self, policies: Policies | None = None) -> AsyncIterator[Sink]:
        """A sink in this loop, stopped at the end; what ended it before is raised."""
        stopping = asyncio.Event()
        async with self._made(policies) as sink:
            task = asyncio.ensure_future(sink.run(stopping))
            try:
                yield sink
            finally:
                stopping.set()
                await asyncio.wait_for(task, 15)

    async def until_it_ends(self, seconds: float = 20) -> None:
        """Run a sink that must end by itself; raises what ended it."""
        async with self._made() as sink:
            await asyncio.wait_for(sink.run(asyncio.Event()), seconds)

    @contextlib.asynccontextmanager
    async def _made(self, policies: Policies | None = None) -> AsyncIterator[Sink]:
        pool = make_pool(self.settings, name=NAME, size=1, schema="ncmd")
        reader = make_reader(self.settings)
        letters = DeadLetters(self.settings, name=NAME)
        port = StorePort(pool, topic=CASE_CHANGED, clock=system_clock, policies=policies)
        await pool.open(wait=False)
        try:
            yield Sink(self.settings, port=port, reader=reader, letters=letters, clock=system_clock)
        finally:
            await letters.close(5)
            await reader.close(5)
            await pool.close()
