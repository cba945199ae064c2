"""Both Kafka clients put a key on the same partition of a real topic."""

from __future__ import annotations

import asyncio

from kafka import KafkaConsumer, KafkaProducer

from halyard import kafka_admin
from halyard.kafka import Record, make_producer, produce, qualified
from halyard.kafka_admin import TopicSpec
from halyard.settings import KafkaSettings, Settings

TOPIC = "safeguarding.keys.v1"
KEYS = [f"{number:032x}" for number in range(200)]


async def test_a_key_lands_on_one_partition_by_either_client(
    kafka_bootstrap: str, namespace: str
) -> None:
    """aiokafka and kafka-python, each with its defaults, write the same keys: the broker shows
    each key on one partition, and the keys on all of them."""
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka_bootstrap, namespace=namespace))
    name = qualified(settings, TOPIC)
    kafka_admin.apply(kafka_bootstrap, [TopicSpec(name, 12, 1)])

    producer = make_producer(settings, client_id="test")
    await producer.start()
    try:
        sent = await produce(producer, settings, [Record(TOPIC, key, b"a", ()) for key in KEYS])
    finally:
        await producer.stop()
    assert not [one for one in sent if isinstance(one, Exception)]

    def write_and_read() -> dict[str, set[int]]:
        other = KafkaProducer(bootstrap_servers=kafka_bootstrap)
        try:
            for key in KEYS:
                other.send(name, b"b", key=key.encode())
            other.flush(timeout=20)
        finally:
            other.close(timeout=10)
        found: dict[str, set[int]] = {}
        consumer = KafkaConsumer(
            name,
            bootstrap_servers=kafka_bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            consumer_timeout_ms=20_000,
        )
        try:
            for read, record in enumerate(consumer, start=1):
                found.setdefault(record.key.decode(), set()).add(record.partition)
                if read == 2 * len(KEYS):
                    break
        finally:
            consumer.close()
        return found

    found = await asyncio.to_thread(write_and_read)
    assert found.keys() == set(KEYS)
    assert all(len(partitions) == 1 for partitions in found.values())
    assert len(set().union(*found.values())) == 12
