"""`halyard worker cases` as its process wires it, on a real Kafka; ends of holds beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from halyard import kafka_admin, postgres
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import Pool
from halyard.service import Service
from halyard.settings import (
    CasesSettings,
    DatabaseSettings,
    KafkaSettings,
    SecuritySettings,
    Settings,
)
from schemas import codec, topics
from schemas.deaths import DeathMessageKind, DeathVerified
from stores import mailbox
from streams.cases import process
from tests.support.cases import HOSPITAL, KEYS, death
from tests.support.services import Database
from tests.support.waiting import aeventually


async def answered(pool: Pool, event: DeathVerified) -> bool:
    """Whether the sender has its answer."""
    async with postgres.transaction(pool) as connection:
        return bool(await mailbox.answer_to(connection, HOSPITAL, str(event.reported_event_id)))


async def unpublished(pool: Pool) -> int:
    """Case events that are not on the bus yet."""
    async with postgres.transaction(pool) as connection:
        cursor = await connection.execute(
            "select count(*) as n from outbox where published_at is null and topic = %s",
            (topics.CASE_CHANGED,),
        )
        return int(postgres.one(await cursor.fetchone())["n"])


async def test_the_worker_takes_answers_publishes_and_ends_holds(
    kafka_bootstrap: str, namespace: str, database: Database, tmp_path: Path
) -> None:
    """A submission is answered; an update without one is, when its (here very short) hold ends."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
    secrets.chmod(0o600)
    directory = tmp_path / "directory.toml"
    directory.write_text(f'[[hospital]]\nods = "{HOSPITAL}"\nname = "Northtown General"\n')
    settings = Settings(
        directory_file=directory,
        kafka=KafkaSettings(bootstrap_servers=kafka_bootstrap, namespace=namespace),
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 3}),
        security=SecuritySettings(secrets_file=secrets),
        cases=CasesSettings(hold_hours=0.0001, sweep_seconds=0.1),
    )
    names = [one.name for one in topics.registry()]
    kafka_admin.apply(
        kafka_bootstrap, [TopicSpec(qualified(settings, name), 1, 1) for name in names]
    )
    said = [death(), death(DeathMessageKind.UPDATED, 2, reference="N-2")]
    records = [
        Record(topics.DEATH_VERIFIED, one.notified.source_person, codec.encode(one), ())
        for one in said
    ]
    service = Service("cases", settings)
    producer = make_producer(settings, client_id="test")
    await producer.start()
    running = asyncio.create_task(process.run(service, settings))
    pool = postgres.make_pool(settings, name="test", size=1)
    await pool.open()
    try:
        await produce(producer, settings, records)

        async def done() -> bool:
            if running.done():
                running.result()
            return all([await answered(pool, one) for one in said]) and not await unpublished(pool)

        await aeventually(done, 30, 0.1, why="both are answered and their cases on the bus")
    finally:
        service.stopping.set()
        await asyncio.wait_for(running, 15)
        await producer.stop()
        await pool.close()
