"""`halyard worker identity`: the identity stage as a process."""

from __future__ import annotations

from halyard.clock import system_clock
from halyard.kafka import make_producer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from schemas import topics
from stores import bus_key
from stores.directory import load_directory
from streams.identity.agent import STAGE, IdentityStage
from streams.outbox_publisher import make_send
from streams.stage import Stage, run_stage

TOPICS = (
    topics.ATTENDANCE_REPORTED,
    topics.DEATH_NOTIFIED,
    topics.REPORT_SUBMITTED,
    topics.FLAG_SUBMITTED,
    topics.PERSON_CHANGED,
)
"""Attendances go before the others, each of which has a share of its own in every batch."""


async def run(service: Service, settings: Settings) -> None:
    """Run until `service.stopping`. Raises `ConfigurationError` for missing keys or directory."""
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    pool = make_pool(settings, name=STAGE, check=False)
    await pool.open()
    producer = make_producer(settings, client_id=f"halyard-{STAGE}")
    try:
        await producer.start()
        send = make_send(producer, settings)
        guard = bus_key.guard(pool, keys.bus_id)
        stage = IdentityStage(pool, keys, settings, directory, send, system_clock)
        await run_stage(
            service,
            settings,
            Stage(name=STAGE, group=STAGE, topics=TOPICS, process=stage.process, guard=guard),
            pool=pool,
            producer=producer,
        )
    finally:
        await producer.stop()
        await pool.close()
