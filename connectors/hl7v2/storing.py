"""What the listener puts on the bus: events, and the bytes that it refuses.

True means that every in-sync replica has it. Nothing here needs the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from halyard import metrics
from halyard.clock import Clock
from halyard.errors import TransientError
from halyard.ids import derive
from halyard.kafka import Headers, cloudevent_headers, qualified
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger, new_traceparent
from schemas.codec import encode
from schemas.deaths import DeathNotified
from schemas.events import AttendanceReported, MessageRejected
from schemas.topics import ATTENDANCE_REPORTED, DEATH_NOTIFIED, MESSAGE_REJECTED
from stores.directory import Feed

_log = get_logger()

HEAD_BYTES: Final = 65_536
UNKNOWN_SOURCE: Final = "unknown"
_RECORD_OVERHEAD: Final = 4_096  # key, headers and the batch around a value


class Producer(Protocol):
    """What is used of aiokafka's producer."""

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[object]:
        """Queue a record; the future ends when the broker has it."""


class Bus:
    """A producer with a deadline and a memory of whether the broker answers."""

    def __init__(self, settings: Settings, *, keys: Keys, producer: Producer, clock: Clock) -> None:
        self._keys = keys
        self._producer = producer
        self._clock = clock
        self._deadline = settings.hl7v2.ack_timeout_seconds
        self._max_value = settings.kafka.max_record_bytes - _RECORD_OVERHEAD
        self._attendance_topic = qualified(settings, ATTENDANCE_REPORTED)
        self._death_topic = qualified(settings, DEATH_NOTIFIED)
        self._rejected_topic = qualified(settings, MESSAGE_REJECTED)
        self.failing_since: float | None = None
        """Since when (monotonic seconds) the broker has confirmed nothing; None: it does."""
        self._failed_at = 0.0

    @property
    def failing_seconds(self) -> float:
        """From the first to the last message in a row that the broker did not confirm."""
        return 0.0 if self.failing_since is None else self._failed_at - self.failing_since

    def too_large(self, values: list[bytes]) -> bool:
        """Whether a value is more than a record takes (a limit set too low)."""
        return max(map(len, values)) > self._max_value

    async def events(
        self,
        events: Sequence[AttendanceReported | DeathNotified],
        values: list[bytes],
        feed: Feed,
    ) -> bool:
        """Store every event of a message; sent again, they are the same."""
        sends = [
            self._store(
                self._death_topic if isinstance(event, DeathNotified) else self._attendance_topic,
                event.source_person,
                value,
                cloudevent_headers(
                    event_id=event.event_id,
                    event_type=type(event).__name__,
                    source=feed.source,
                    time=event.received_at,
                    traceparent=new_traceparent(),
                ),
                int(event.received_at.timestamp() * 1000),
            )
            for event, value in zip(events, values, strict=True)
        ]
        if len(sends) == 1:  # nearly always; a task of its own would cost
            return await sends[0]
        return all(await asyncio.gather(*sends))

    async def rejected(
        self, head: bytes, length: int, rule: str, place: str, feed: Feed | None
    ) -> bool:
        """Keep refused bytes: their first `HEAD_BYTES`, the length, a keyed digest."""
        received_at = self._clock()
        source = source_of(feed)
        digest = self._keys.digest(head)
        event = MessageRejected(
            event_id=derive("rejected", source, rule, digest, length),
            source=source,
            transport="mllp",
            received_at=received_at,
            rule=rule,
            place=place,
            length=length,
            digest=digest,
            truncated=len(head) < length,
            head=head,
        )
        stored = await self._store(
            self._rejected_topic,
            source,
            encode(event),
            cloudevent_headers(
                event_id=event.event_id,
                event_type="MessageRejected",
                source=source,
                time=received_at,
                traceparent=new_traceparent(),
            ),
            int(received_at.timestamp() * 1000),
        )
        metrics.count("halyard_rejected_total", transport="mllp", rule=rule)
        _log.warning("hl7v2_rejected", feed=source, rule=rule, length=length, kept=stored)
        return stored

    async def _store(
        self, topic: str, key: str, value: bytes, headers: Headers, timestamp_ms: int
    ) -> bool:
        """True when every in-sync replica has the record; False when that is not known in time.

        A record without confirmation may still arrive; it has the same event id when it is sent
        again.
        """
        try:
            async with asyncio.timeout(self._deadline):
                sent = await self._producer.send(
                    topic,
                    value,
                    key=key.encode(),
                    timestamp_ms=timestamp_ms,
                    headers=list(headers),
                )
                await sent
        except (KafkaError, TransientError, TimeoutError) as error:
            self._failed_at = time.monotonic()
            if self.failing_since is None:
                self.failing_since = self._failed_at
                _log.error("hl7v2_broker_away", error=type(error).__name__)
            return False
        if self.failing_since is not None:
            self.failing_since = None
            _log.info("hl7v2_broker_back")
        return True


def source_of(feed: Feed | None) -> str:
    """The source under which a message is counted and kept."""
    return UNKNOWN_SOURCE if feed is None else feed.source
