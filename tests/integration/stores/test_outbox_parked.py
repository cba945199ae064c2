"""A record that can never be sent is set aside; it holds up nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from halyard import kafka_admin, metrics
from halyard.errors import RecordTooLarge
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import Pool, transaction
from halyard.settings import KafkaSettings, Settings
from stores import outbox
from stores.outbox import Entry, Never
from streams.outbox_publisher import make_send, show

LARGE = "safeguarding.large.v1"
ALERTS = "safeguarding.alerts.v1"
MISSING = "safeguarding.missing.v1"


def _settings(bootstrap: str, namespace: str) -> Settings:
    """A hub whose records may have 20,000 bytes."""
    settings = Settings(
        kafka=KafkaSettings(
            bootstrap_servers=bootstrap,
            namespace=namespace,
            max_record_bytes=20_000,
            request_timeout_seconds=2,
        )
    )
    specs = [TopicSpec(qualified(settings, topic), 1, 1) for topic in (LARGE, ALERTS)]
    kafka_admin.apply(bootstrap, specs)
    return settings


def _record(topic: str, size: int = 10, key: str = "key") -> Record:
    return Record(topic, key, b"x" * size, ())


async def _add(pool: Pool, *records: Record) -> set[int]:
    async with transaction(pool) as connection:
        return await outbox.add(connection, [Entry(one, uuid.uuid4()) for one in records])


async def test_a_record_too_large_fails_alone(kafka_bootstrap: str, namespace: str) -> None:
    """Those before and behind it, of its topic and of others, are confirmed."""
    settings = _settings(kafka_bootstrap, namespace)
    producer = make_producer(settings, client_id="test")
    await producer.start()
    try:
        sent = await produce(
            producer,
            settings,
            [_record(LARGE), _record(LARGE, 30_000), _record(LARGE), _record(ALERTS)],
        )
    finally:
        await producer.stop()
    assert [isinstance(one, Exception) for one in sent] == [False, True, False, False]
    assert isinstance(sent[1], RecordTooLarge)


async def test_a_topic_that_is_not_there_fails_alone(kafka_bootstrap: str, namespace: str) -> None:
    """Records of another topic go on, in order; one that is missing costs one wait."""
    settings = _settings(kafka_bootstrap, namespace)
    producer = make_producer(settings, client_id="test")
    await producer.start()
    started = time.monotonic()
    try:
        sent = await produce(
            producer, settings, [_record(MISSING), _record(ALERTS), _record(MISSING)]
        )
    finally:
        await producer.stop()
    assert [isinstance(one, Exception) for one in sent] == [True, False, True]
    assert time.monotonic() - started < 15


async def test_a_record_too_large_is_parked_and_its_lane_goes_on(
    pool: Pool, kafka_bootstrap: str, namespace: str
) -> None:
    """An alert behind it is on the bus at the next sweep, and so is the next version under its own
    key; what is parked is counted, is never dropped, and can be given back.
    """
    settings = _settings(kafka_bootstrap, namespace)
    producer = make_producer(settings, client_id="test")
    await producer.start()
    try:
        send = make_send(producer, settings)
        await _add(pool, _record(LARGE, 30_000), _record(LARGE), _record(ALERTS))
        assert await outbox.sweep(pool, send, older_than_seconds=0) == 2
        assert await outbox.sweep(pool, send, older_than_seconds=0) == 0
        assert await outbox.oldest_seconds(pool) == 0
        await outbox.purge(pool, published_before_hours=0)
        (found,) = await outbox.parked(pool)
        assert (found.topic, found.key, found.reason) == (LARGE, "key", "record-too-large")
        assert found.size == 30_000
        await show(pool)
        assert metrics.registry.get_sample_value("halyard_outbox_parked") == 1
        assert await outbox.redrive(pool) == 1
        assert await outbox.sweep(pool, send, older_than_seconds=0) == 0
        assert len(await outbox.parked(pool)) == 1
    finally:
        await producer.stop()


async def test_what_is_behind_an_error_is_not_parked_in_its_place(pool: Pool) -> None:
    """A lane that the broker stopped stays whole: only what can never be sent leaves it."""

    async def send(records: Sequence[Record]) -> Sequence[bool | Never]:
        return [
            Never("record-too-large") if len(one.value) > 100 else one.topic != LARGE
            for one in records
        ]

    await _add(pool, _record(LARGE), _record(LARGE, 200), _record(LARGE), _record(ALERTS))
    assert await outbox.sweep(pool, send, older_than_seconds=0) == 1
    assert len(await outbox.parked(pool)) == 1

    async def well(records: Sequence[Record]) -> Sequence[bool | Never]:
        return [True for _ in records]

    assert await outbox.sweep(pool, well, older_than_seconds=0) == 2
