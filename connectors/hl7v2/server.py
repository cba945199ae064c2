"""Takes frames in: map, encode, produce, and only then acknowledge.

Order is the guarantee: an AA leaves when every in-sync replica has the event; a NACK leaves when
the refused bytes are in ``message.rejected``. If the broker does not confirm in time there is no
answer at all and the connection closes, so that the sender keeps the message and sends it again
(an AE would make many engines skip it); a feed may ask for AR instead. Nothing here needs the
database.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from connectors.hl7v2.ack import PROBLEMS, AckCode, acknowledge, answer
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import BrokenKind
from connectors.hl7v2.mapping import to_attendance
from connectors.hl7v2.mllp import Peer
from halyard import faults, metrics
from halyard.clock import Clock
from halyard.errors import TransientError
from halyard.ids import derive
from halyard.kafka import Headers, cloudevent_headers, qualified
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger, new_traceparent
from schemas.codec import encode
from schemas.events import MessageRejected
from schemas.topics import ATTENDANCE_REPORTED, MESSAGE_REJECTED
from stores.directory import Directory, Feed

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


class Intake:
    """The handler behind an MLLP listener (`connectors.hl7v2.mllp.Handler`)."""

    def __init__(
        self,
        settings: Settings,
        *,
        directory: Directory,
        keys: Keys,
        producer: Producer,
        clock: Clock,
    ) -> None:
        self._keys = keys
        self._producer = producer
        self._clock = clock
        self._deadline = settings.hl7v2.ack_timeout_seconds
        self._max_value = settings.kafka.max_record_bytes - _RECORD_OVERHEAD
        self._attendance_topic = qualified(settings, ATTENDANCE_REPORTED)
        self._rejected_topic = qualified(settings, MESSAGE_REJECTED)
        # names and addresses are the sender's: bounded
        self._feed_for = lru_cache(maxsize=1024)(directory.feed_for)
        self.failing_since: float | None = None
        """Since when (monotonic seconds) the broker has confirmed nothing; None: it does."""
        self._failed_at = 0.0

    @property
    def failing_seconds(self) -> float:
        """From the first to the last message in a row that the broker did not confirm."""
        return 0.0 if self.failing_since is None else self._failed_at - self.failing_since

    async def on_frame(self, frame: bytes, peer: Peer) -> bytes | None:
        """Take one message in; its answer, or None when it could not be stored in time."""
        started = time.perf_counter()
        feed: Feed | None = None
        message: Message | None = None
        try:
            message = Message.parse(frame)
            header = message.segment("MSH")
            feed = self._feed_for(header.text(3, 1), header.text(4, 1), peer.host)
            if feed is None:
                return await self._refuse(frame, message, "unknown-feed", None)
            received_at = self._clock()
            event = to_attendance(message, feed=feed, keys=self._keys, received_at=received_at)
        except Er7Error as refusal:
            return await self._refuse(frame, message, refusal.rule, feed)
        value = encode(event)
        if len(value) > self._max_value:  # a limit set too low; never a reason to wait for ever
            return await self._refuse(frame, message, "oversize", feed)
        faults.point("hl7v2.before_produce")
        stored = await self._store(
            self._attendance_topic,
            event.source_person,
            value,
            cloudevent_headers(
                event_id=event.event_id,
                event_type="AttendanceReported",
                source=feed.source,
                time=received_at,
                traceparent=new_traceparent(),
            ),
            int(received_at.timestamp() * 1000),
        )
        if not stored:
            return self._away(frame, message, feed)
        faults.point("hl7v2.after_produce")
        metrics.count("halyard_hl7v2_messages_total", feed=feed.source, answer="AA")
        metrics.observe("halyard_hl7v2_ack_seconds", time.perf_counter() - started)
        return answer(message, frame, AckCode.ACCEPT)

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> bytes | None:
        """Keep what could not be framed; only an oversize message is answered (AR)."""
        feed: Feed | None = None
        try:
            header = Message.parse(head).segment("MSH")
            feed = self._feed_for(header.text(3, 1), header.text(4, 1), peer.host)
        except Er7Error:
            pass  # noise has no header; it is kept under the unknown source
        kept = await self._keep(head, length, kind, "MSH" if kind == "oversize" else "frame", feed)
        if not kept or kind != "oversize":
            _count(feed, "none")
            return None
        _count(feed, AckCode.REJECT)
        return acknowledge(head, "oversize")

    async def _refuse(
        self, frame: bytes, message: Message | None, rule: str, feed: Feed | None
    ) -> bytes | None:
        code, problem = PROBLEMS[rule]
        place = f"{problem.segment}-{problem.field}" if problem.field else problem.segment
        if not await self._keep(frame[:HEAD_BYTES], len(frame), rule, place, feed):
            _count(feed, "none")
            return None
        _count(feed, code)
        return answer(message, frame, code, problem)

    async def _keep(
        self, head: bytes, length: int, rule: str, place: str, feed: Feed | None
    ) -> bool:
        """Put refused bytes on the bus; True when the broker has them."""
        received_at = self._clock()
        source = UNKNOWN_SOURCE if feed is None else feed.source
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

    def _away(self, frame: bytes, message: Message, feed: Feed) -> bytes | None:
        if feed.broker_away == "close":
            _count(feed, "none")
            return None
        code, problem = PROBLEMS["broker-away"]
        _count(feed, code)
        return answer(message, frame, code, problem)


def _count(feed: Feed | None, given: str) -> None:
    source = UNKNOWN_SOURCE if feed is None else feed.source
    metrics.count("halyard_hl7v2_messages_total", feed=source, answer=given)
