"""Identity worker and tracer as their processes wire them, on a real Kafka."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

from halyard import kafka_admin
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.service import Service
from halyard.settings import (
    DatabaseSettings,
    KafkaSettings,
    PdsSettings,
    SecuritySettings,
    Settings,
)
from sandbox.pds.server import PdsThread
from schemas import topics
from schemas.events import VisitEventKind
from streams.identity import process as identity_process
from streams.tracer import process as tracer_process
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import person_of
from tests.support.services import Database
from tests.support.waiting import aeventually

SIBLING = replace(CHILD, nhs_number=make.number(2), given=("Jamie",), birth_date="2018-08-08")

DIRECTORY = f"""
[[hospital]]
ods = "{make.HOSPITAL}"
name = "Hospital"
[[authority]]
gss = "{make.AUTHORITY}"
name = "Authority"
"""


def settings_for(
    bootstrap: str, namespace: str, database: Database, pds: PdsThread, folder: Path
) -> Settings:
    """Keys, directory and topics of a system of the test's own."""
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f'bus_key = "{make.KEYS.bus.hex()}"\nstore_key = "{make.KEYS.store.hex()}"\n'
    )
    secrets.chmod(0o600)
    directory = folder / "directory.toml"
    directory.write_text(DIRECTORY)
    values: dict[str, Any] = {
        "directory_file": directory,
        "kafka": KafkaSettings(bootstrap_servers=bootstrap, namespace=namespace),
        "database": DatabaseSettings.model_validate({"url": database.url, "pool_size": 3}),
        "security": SecuritySettings(secrets_file=secrets),
        "pds": PdsSettings.model_validate(
            {"base_url": pds.url, "token": "practice-token", "calls_per_second": 50}
        ),
    }
    settings = Settings(**values)
    names = [topic.name for topic in topics.registry()]
    wanted = [TopicSpec(qualified(settings, name), 1, 1) for name in names]
    kafka_admin.apply(bootstrap, wanted)
    return settings


async def test_flag_arrival_and_death_flow_through_both_processes(
    kafka_bootstrap: str, namespace: str, database: Database, pds: PdsThread, tmp_path: Path
) -> None:
    """A flag, a numberless arrival and its cancel come out verified, in order, once each; a death
    comes out at once, and once more with its number."""
    settings = settings_for(kafka_bootstrap, namespace, database, pds, tmp_path)
    pds.pds.register.put(person_of(SIBLING))
    submitted = make.flag()
    arrival = make.attendance(replace(CHILD, nhs_number=None))
    death = say.death(SIBLING)
    cancel = make.attendance(replace(CHILD, nhs_number=None), kind=VisitEventKind.CANCEL)
    identity, tracer = Service("identity", settings), Service("tracer", settings)
    running = [
        asyncio.create_task(identity_process.run(identity, settings)),
        asyncio.create_task(tracer_process.run(tracer, settings)),
    ]
    producer = make_producer(settings, client_id="test")
    await producer.start()
    consumer = AIOKafkaConsumer(
        qualified(settings, topics.ATTENDANCE_VERIFIED),
        qualified(settings, topics.DEATH_VERIFIED),
        bootstrap_servers=kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    values: list[bytes] = []

    async def verified() -> bool:
        for some in (await consumer.getmany(timeout_ms=200)).values():
            values.extend(record.value for record in some)
        held = make.holding(values)
        both = {one[1] for one in held.values() if one} == {"VERIFIED"} and len(held) == 2
        return both and len(say.told(values)) == 2

    try:
        records = [make.incoming(event) for event in (submitted, arrival, death, cancel)]
        sent = await produce(
            producer, settings, [Record(r.topic, r.key, r.value, r.headers) for r in records]
        )
        assert not [one for one in sent if isinstance(one, Exception)]
        await aeventually(verified, 40, why="both verified")
        last = [one.event for one in make.said(values) if one.status == "VERIFIED"]
        assert last == [arrival.event_id, cancel.event_id]
        told = sorted((one.revision, one.event, one.person) for one in say.told(values))
        assert told == [
            (1, death.event_id, None),
            (2, death.event_id, make.known(SIBLING).person),
        ]
    finally:
        await consumer.stop()
        await producer.stop()
        for service in (identity, tracer):
            service.stopping.set()
        await asyncio.wait_for(asyncio.gather(*running), 20)
