"""A bus and a database of a test's own for toy workers, and what stands on them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from kafka import KafkaAdminClient

from halyard import kafka_admin
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import make_pool
from halyard.service import Service
from halyard.settings import DatabaseSettings, KafkaSettings, Settings, WorkerSettings
from schemas.topics import CONTROL
from streams.channel import control_message
from streams.outbox_publisher import make_send
from streams.stage import run_stage
from tests.support import toy_stage
from tests.support.processes import Process
from tests.support.services import Database
from tests.support.toy_stage import DEAD_LETTERS, GROUP, SOURCE, TARGET, Toy
from tests.support.waiting import aeventually

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Settings of a toy system, and hands to look into it."""

    settings: Settings
    database: Database
    directory: Path

    @classmethod
    def make(
        cls,
        *,
        bootstrap: str,
        namespace: str,
        database: Database,
        directory: Path,
        partitions: int = 2,
        **worker: float,
    ) -> Plumbing:
        """Topics and tables for one toy system; `worker` overrides its limits."""
        limits: dict[str, Any] = {
            "max_batch": 100,
            "take_seconds": 3,
            "verdict_seconds": 8,
            "transient_seconds": 8,
            "stop_seconds": 8,
            "max_poison_in_a_row": 5,
        }
        settings = Settings(
            data_dir=directory,
            kafka=KafkaSettings(
                bootstrap_servers=bootstrap, namespace=namespace, session_timeout_seconds=6
            ),
            database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 3}),
            worker=WorkerSettings(**{**limits, **worker}),
        )
        names = ((SOURCE, partitions), (TARGET, 1), (DEAD_LETTERS, 1), (CONTROL, 1))
        kafka_admin.apply(
            bootstrap, [TopicSpec(qualified(settings, name), n, 1) for name, n in names]
        )
        toy_stage.create_tables(database.owner_url)
        return cls(settings, database, directory)

    def environment(self, **extra: str) -> dict[str, str]:
        """The variables of a worker process."""
        settings = self.settings
        limits = settings.worker.model_dump()
        return {
            "PYTHONPATH": str(ROOT),
            "HALYARD_DATA_DIR": str(self.directory),
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "HALYARD_KAFKA__NAMESPACE": settings.kafka.namespace,
            "HALYARD_KAFKA__SESSION_TIMEOUT_SECONDS": str(settings.kafka.session_timeout_seconds),
            "HALYARD_DATABASE__URL": self.database.url,
            **{f"HALYARD_WORKER__{name.upper()}": str(value) for name, value in limits.items()},
            **extra,
        }

    def worker(self, name: str = "toy", **extra: str) -> Process:
        """A worker process; use it as a context manager."""
        return Process(
            (sys.executable, "-m", "tests.support.toy_stage"),
            directory=self.directory,
            name=name,
            env=self.environment(**extra),
        )

    @contextlib.asynccontextmanager
    async def toy(self) -> AsyncIterator[Toy]:
        """The toy's process function with a pool and a producer of its own."""
        pool = make_pool(self.settings, name=GROUP)
        await pool.open()
        producer = make_producer(self.settings, client_id="test")
        await producer.start()
        try:
            yield Toy(pool, make_send(producer, self.settings))
        finally:
            await producer.stop()
            await pool.close()

    async def send(self, events: Sequence[Record]) -> None:
        """Put records on the bus, confirmed."""
        producer = make_producer(self.settings, client_id="test")
        await producer.start()
        try:
            for result in await produce(producer, self.settings, events):
                assert not isinstance(result, Exception)
        finally:
            await producer.stop()

    async def send_events(
        self, *numbers: int, poison: Sequence[int] = (), topic: str = SOURCE
    ) -> None:
        """Toy events with these numbers, keyed by number modulo 7."""
        await self.send(
            [
                Record(
                    topic,
                    f"key-{number % 7}",
                    toy_stage.event(number, poison=number in poison),
                    (("ce_id", str(toy_stage.event_id(number)).encode()), ("mark", b"kept")),
                )
                for number in numbers
            ]
        )

    async def nudge(self) -> None:
        """Tell the workers on the control topic to look at the pauses."""
        await self.send([Record(CONTROL, "", control_message(GROUP), ())])

    async def records(self, topic: str) -> list[ConsumerRecord]:
        """Everything that stands on `topic` now."""
        consumer = AIOKafkaConsumer(
            qualified(self.settings, topic),
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            partitions = sorted(consumer.assignment())
            assert partitions
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for some in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(some)
            return found
        finally:
            await consumer.stop()

    async def outputs(self) -> list[int]:
        """Numbers on the target topic, in its order, repeats included."""
        return [json.loads(record.value)["number"] for record in await self.records(TARGET)]

    def committed(self) -> int:
        """How many records of the source the group has committed."""
        return sum(
            part.committed or 0
            for part in kafka_admin.group_lag(
                self.settings.kafka.bootstrap_servers,
                qualified(self.settings, GROUP),
                [qualified(self.settings, SOURCE)],
            )
        )

    async def until_committed(self, amount: int, seconds: float = 30) -> None:
        """Wait until the group has committed `amount` records of the source."""

        async def reached() -> bool:
            return await asyncio.to_thread(self.committed) == amount

        await aeventually(reached, seconds, 0.1, why=f"{amount} committed")

    def group_state_is(self, state: str) -> Callable[[], Awaitable[bool]]:
        """A condition to wait for: the workers' group is in this state."""
        group = qualified(self.settings, GROUP)

        def ask() -> bool:
            client = KafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
            try:
                return bool(client.describe_groups([group])[group]["group_state"] == state)
            finally:
                client.close()

        return lambda: asyncio.to_thread(ask)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run SQL as the app role."""
        with psycopg.connect(
            self.database.url, autocommit=True, options="-c search_path=halyard"
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def done(self) -> list[int]:
        """Numbers of the events that took effect, in order of effect."""
        return [row[0] for row in self.query("select number from toy_done order by position")]

    def switch(self, name: str, *, on: bool = True) -> None:
        """Set or clear a row of `toy_switch`."""
        if on:
            self.query("insert into toy_switch (name) values (%s)", name)
        else:
            self.query("delete from toy_switch where name = %s", name)


@contextlib.asynccontextmanager
async def running(
    plumbing: Plumbing, toy: Toy, topics: tuple[str, ...] = (SOURCE,)
) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this loop; stopped cleanly at the end."""
    service = Service("toy", plumbing.settings)
    producer = make_producer(plumbing.settings, client_id="toy")
    await producer.start()
    task = asyncio.ensure_future(
        run_stage(
            service,
            plumbing.settings,
            replace(toy_stage.stage(toy), topics=topics),
            pool=toy.pool,
            producer=producer,
        )
    )
    try:
        yield task
    finally:
        service.stopping.set()
        with contextlib.suppress(Exception):
            await task
        await producer.stop()
        await service.cancel_parts()
