"""The bus: names, records, producers and consumers (aiokafka), and CloudEvents headers.

aiokafka (idempotent, acks=all) is the client of every asyncio process; kafka-python serves
administration and the journal. Both use murmur2, so a key lands on the same partition.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from halyard.errors import BrokerUnavailable, RecordTooLarge
from halyard.settings import Settings

Headers = tuple[tuple[str, bytes], ...]

TRACEPARENT = "traceparent"

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
# What says nothing of records of other topics
_OF_THE_TOPIC = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, InvalidTopicError)
_CLOSED_AT_MOST = 3

Produced: TypeAlias = RecordMetadata | BrokerUnavailable | RecordTooLarge
"""What became of a record."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record to produce; `topic` is without namespace, `key` a pseudonym or an id."""

    topic: str
    key: str
    value: bytes = field(repr=False)
    headers: Headers
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record as a stage takes it; `topic` is without namespace."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes = field(repr=False)
    headers: Headers = ()
    timestamp_ms: int = 0


def qualified(settings: Settings, name: str) -> str:
    """`name` of a topic or consumer group as it stands on the cluster."""
    namespace = settings.kafka.namespace
    return f"{namespace}.{name}" if namespace else name


def unqualified(settings: Settings, name: str) -> str:
    """The registry's name of a topic on the cluster."""
    namespace = settings.kafka.namespace
    return name.removeprefix(f"{namespace}.") if namespace else name


def cloudevent_headers(
    *, event_id: uuid.UUID, event_type: str, source: str, time: datetime, traceparent: str
) -> Headers:
    """CloudEvents 1.0 binary-mode headers and the trace context.

    `event_type` is the event class; `source` a feed, authority or stage of ours: never a person.
    """
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_type", f"uk.halyard.{event_type}".encode()),
        ("ce_source", f"/halyard/{source}".encode()),
        ("ce_time", time.isoformat().encode()),
        ("content-type", b"application/vnd.confluent.avro"),
        (TRACEPARENT, traceparent.encode()),
    )


def header(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """Text of the first header called `name`."""
    for key, value in headers:
        if key == name and value is not None:
            return value.decode("utf-8", "replace")
    return None


def make_producer(settings: Settings, *, client_id: str, linger_ms: int = 0) -> AIOKafkaProducer:
    """An idempotent producer (not started)."""
    timeout_ms = int(settings.kafka.request_timeout_seconds * 1000)
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        request_timeout_ms=timeout_ms,
        max_request_size=settings.kafka.max_record_bytes,
        retry_backoff_ms=50,
    )


def make_consumer(
    settings: Settings, *, group: str, client_id: str, max_poll_records: int
) -> AIOKafkaConsumer:
    """A group consumer (not started, not subscribed); offsets are committed by the caller only."""
    session_ms = int(settings.kafka.session_timeout_seconds * 1000)
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        client_id=client_id,
        group_id=qualified(settings, group),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=max(session_ms // 5, 300),
        # a batch in hand may take as long as its verdict allows
        rebalance_timeout_ms=int(
            (settings.worker.verdict_seconds + settings.worker.take_seconds) * 1000
        ),
        max_poll_interval_ms=int(
            (settings.worker.verdict_seconds + settings.worker.transient_seconds) * 2000
        ),
        max_poll_records=max_poll_records,
        metadata_max_age_ms=30_000,
    )


async def produce(
    producer: AIOKafkaProducer, settings: Settings, records: Sequence[Record]
) -> list[Produced]:
    """Send `records` in order and wait for all; one result for each, in the same order.

    A record that the broker did not confirm gives a `BrokerUnavailable`; it may still arrive. One
    that is too large gives a `RecordTooLarge`: it never will, and the others go on. So do those of
    other topics if a topic is missing or closed to us.
    """
    results: list[Produced] = [BrokerUnavailable() for _ in records]
    waiting = []
    closed: set[str] = set()
    for place, record in enumerate(records):
        if record.topic in closed:
            continue
        try:
            sent = await producer.send(
                qualified(settings, record.topic),
                record.value,
                key=record.key.encode(),
                headers=list(record.headers),
                timestamp_ms=record.timestamp_ms,
            )
        except _TOO_LARGE:
            results[place] = RecordTooLarge()
        except _OF_THE_TOPIC:
            closed.add(record.topic)  # a missing one is waited for, so not many
            if len(closed) > _CLOSED_AT_MOST:
                break
        except KafkaError:
            break
        else:
            waiting.append((place, sent))
    for place, sent in waiting:
        try:
            results[place] = await sent
        except _TOO_LARGE:
            results[place] = RecordTooLarge()
        except KafkaError:
            results[place] = BrokerUnavailable()
    return results
