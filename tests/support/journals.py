"""What senders and receivers wrote down themselves, and what stands on the bus: read, compared."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from sandbox.receiver import Received
from tests.support.hub_files import AUTHORITIES, CONTACT
from tests.support.system import Hub


class SentJournal:
    """A sending hospital's own record: each message's attempts and the answer that counted.

    Written by the senders' thread and read by the test's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[bytes, int] = defaultdict(int)
        self._answers: dict[bytes, str] = {}
        self.refused: list[str] = []  # answers other than AA, by code
        self.lost = 0  # connections that ended before an answer

    def attempt(self, body: bytes) -> None:
        """`body` is put on the wire."""
        with self._lock:
            self._attempts[body] += 1

    def answer(self, body: bytes, code: str) -> None:
        """`body` was answered."""
        with self._lock:
            if code == "AA":
                self._answers[body] = code
            else:
                self.refused.append(code)

    def cut(self) -> None:
        """A connection ended with messages unanswered."""
        with self._lock:
            self.lost += 1

    @property
    def acked(self) -> frozenset[bytes]:
        """Bodies that got AA."""
        with self._lock:
            return frozenset(self._answers)

    @property
    def attempts(self) -> int:
        """Messages put on the wire, repeats included."""
        with self._lock:
            return sum(self._attempts.values())


@dataclass(frozen=True, slots=True)
class OnWire:
    """A record as it stands on the bus; `topic` without namespace."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes = field(repr=False)
    headers: dict[str, str]

    @property
    def event_id(self) -> str:
        """CloudEvents id."""
        return self.headers.get("ce_id", "")


def received(hub: Hub, name: str) -> list[Received]:
    """A receiver's journal, oldest first, as it stands in its file."""
    file = hub.journals / name / f"{'contact' if name == CONTACT else 'authority'}.jsonl"
    return read_journal(file)


def read_journal(file: Path) -> list[Received]:
    """Entries of a journal; a line that is being written is left out."""
    if not file.exists():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]
    return [Received(**json.loads(line)) for line in lines if line]


def all_alerts(hub: Hub) -> list[Received]:
    """Alerts received by all authorities."""
    return [
        one for name in AUTHORITIES.values() for one in received(hub, name) if one.kind == "alert"
    ]


def last_versions(entries: Iterable[Received]) -> dict[str, Received]:
    """The highest version that was taken of each alert id."""
    last: dict[str, Received] = {}
    for one in entries:
        if one.answer in {"ok", "slow", "close"} and (
            one.alert_id not in last or one.version >= last[one.alert_id].version
        ):
            last[one.alert_id] = one
    return last


def standing(entries: Iterable[Received]) -> dict[str, Received]:
    """Of `last_versions`, those that are not withdrawn."""
    return {
        alert_id: one
        for alert_id, one in last_versions(entries).items()
        if one.body["change"] != "withdrawn"
    }


def topics_of(hub: Hub) -> list[str]:
    """Names on the cluster of the hub's topics."""
    consumer = _consumer(hub)
    try:
        prefix = f"{hub.settings.kafka.namespace}."
        return sorted(name for name in consumer.topics() if name.startswith(prefix))
    finally:
        consumer.close()


def on_wire(hub: Hub, *topics: str, seconds: float = 30.0) -> list[OnWire]:
    """Everything that stands on `topics` (without namespace), by partition in offset order."""
    consumer = _consumer(hub)
    try:
        parts = [
            TopicPartition(name, number)
            for name in map(hub.topic, topics)
            for number in consumer.partitions_for_topic(name) or ()
        ]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends: dict[Any, int] = consumer.end_offsets(parts)
        found: list[OnWire] = []
        deadline = time.monotonic() + seconds
        while any(consumer.position(part) < ends[part] for part in parts):
            assert time.monotonic() < deadline, "the bus was not read in time"
            for records in consumer.poll(timeout_ms=300).values():
                found.extend(_on_wire(hub, record) for record in records)
        return found
    finally:
        consumer.close()


def _consumer(hub: Hub) -> Any:
    return KafkaConsumer(
        bootstrap_servers=hub.settings.kafka.bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


def _on_wire(hub: Hub, record: Any) -> OnWire:
    return OnWire(
        topic=record.topic.removeprefix(f"{hub.settings.kafka.namespace}."),
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value or b"",
        headers={name: (value or b"").decode("utf-8", "replace") for name, value in record.headers},
    )


def repeats(records: Sequence[OnWire]) -> int:
    """How many records repeat an event id; each repeat has key, partition, headers and bytes of
    the first (AssertionError else).
    """
    first: dict[tuple[str, str], OnWire] = {}
    count = 0
    for one in records:
        known = first.setdefault((one.topic, one.event_id), one)
        if known is one:
            continue
        count += 1
        assert (one.key, one.partition, one.headers, one.value) == (
            known.key,
            known.partition,
            known.headers,
            known.value,
        ), f"{one.topic}: {one.event_id} was repeated with other bytes"
    return count


def webhook_repeats(entries: Iterable[Received]) -> int:
    """How many webhooks repeat a delivery id; each repeat has the bytes of the first."""
    first: dict[str, Received] = {}
    count = 0
    for one in entries:
        known = first.setdefault(one.delivery_id, one)
        if known is one:
            continue
        count += 1
        assert (one.body_sha256, one.alert_id, one.version, one.kind, one.traceparent) == (
            known.body_sha256,
            known.alert_id,
            known.version,
            known.kind,
            known.traceparent,
        ), f"delivery {one.delivery_id} was repeated with other bytes"
    return count
