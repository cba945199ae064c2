"""Takes messages in: read, map, produce, and only then answer 202.

A refused body is in ``message.rejected`` before its 4xx leaves; if the broker does not confirm in
time the answer is 503 and the sender keeps the message. Nothing here needs the database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.deaths import indicated
from connectors.fhir import outcomes, validation
from connectors.fhir.death_events import DeathEventCode
from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.fitting import fitted
from connectors.fhir.mapping import to_attendances
from connectors.fhir.messages import Limits, Parsed, Refusal, read_message
from connectors.fhir.outcomes import RULES, Issue
from halyard import metrics
from halyard.clock import Clock
from halyard.errors import BrokerUnavailable
from halyard.ids import derive
from halyard.kafka import Record, cloudevent_headers, produce
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger
from schemas.codec import encode
from schemas.deaths import DeathNotified, ReportSubmitted
from schemas.events import AttendanceReported, MessageRejected
from schemas.topics import (
    ATTENDANCE_REPORTED,
    DEATH_NOTIFIED,
    MESSAGE_REJECTED,
    REPORT_SUBMITTED,
)
from stores.directory import Directory, Feed

HEAD_BYTES: Final = 65_536
# Messages are read beside the event loop, so that no other sender waits; more at once gain nothing
_READERS: Final = 2
_RECORD_OVERHEAD: Final = 4_096  # key, headers and the batch around a value
_VERIFIED: Final = 16_384  # what identity adds to a death's event, which must fit the bus too

_log = get_logger()

Event = AttendanceReported | DeathNotified | ReportSubmitted


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender gets. `receipt` is the event's id."""

    status: int
    body: bytes = field(repr=False)
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A body as it came: who sent it, when, and how long it said it was."""

    organisation: str
    received_at: datetime
    traceparent: str
    body: bytes = field(repr=False)
    length: int = 0


class Intake:
    """The handler behind ``POST /fhir/R4/$process-message``."""

    def __init__(
        self, producer: Any, settings: Settings, keys: Keys, directory: Directory, clock: Clock
    ) -> None:
        self._producer = producer  # an AIOKafkaProducer or a Bus: the library has no types
        self._settings = settings
        self._keys = keys
        self._directory = directory
        self.clock = clock
        self.max_bytes = settings.fhir.max_message_bytes
        self._limits = Limits(settings.fhir.max_entries, settings.fhir.max_depth)
        self._readers = asyncio.Semaphore(_READERS)
        validation.warm()
        self._max_value = settings.kafka.max_record_bytes - _RECORD_OVERHEAD

    async def take(self, arrived: Arrived) -> Answer:
        """Take one message in; the answer says what became of it."""
        async with self._readers:
            message = await asyncio.to_thread(read_message, arrived.body, self._limits)
        feed = self._directory.fhir_feed(arrived.organisation, message.endpoint or None)
        if feed is None and not (isinstance(message, Refusal) and message.endpoint is None):
            issue = Issue("unknown-feed", "Bundle.entry[0].resource.source.endpoint")
            return await self.refuse(arrived, (issue,), None)
        if isinstance(message, Refusal):
            return await self.refuse(arrived, message.issues, feed)
        assert feed is not None
        if _is_pds(message) and not feed.relays_pds:
            issue = Issue("not-a-pds-relay", "Bundle.entry[0].resource.event")
            return await self.refuse(arrived, (issue,), feed)
        events = self._events(message, feed, arrived.received_at)
        if not events:
            issue = Issue("not-a-hospital", "Bundle.entry[0].resource.event")
            return await self.refuse(arrived, (issue,), feed)
        records = [self._record(_topic(one), one, arrived) for one in events]
        if any(len(one.value) > self._max_value for one in records):  # a limit set too low
            return await self.refuse(arrived, (Issue("oversize", "Bundle"),), feed)
        if not await self._store(records):
            return _away(feed.source)
        metrics.count("halyard_fhir_messages_total", feed=feed.source, answer="202")
        receipt = events[0].event_id
        return Answer(202, outcomes.accepted(receipt, events[0].marks), str(receipt))

    def _events(
        self, message: Parsed | DeathMessage, feed: Feed, received_at: datetime
    ) -> list[Event]:
        """What a message reports, the event that is its receipt first; nothing if its sender may
        not report it.
        """
        if isinstance(message, DeathMessage):
            event = to_death_event(message, feed=feed, keys=self._keys, received_at=received_at)
            return [fitted(event, self._max_value - _VERIFIED)]
        if feed.organisation not in self._directory.hospitals:
            return []
        attendances = to_attendances(
            message,
            feed=feed,
            rule=self._directory.arrival_rule(feed),
            keys=self._keys,
            received_at=received_at,
        )
        deaths = (indicated(one, self._keys) for one in attendances)
        return [*attendances, *(one for one in deaths if one is not None)]

    async def refuse(
        self, arrived: Arrived, issues: tuple[Issue, ...], feed: Feed | None = None
    ) -> Answer:
        """Keep the body, then refuse it; 503 if it cannot be kept."""
        rule, place = issues[0].rule, issues[0].place
        source = arrived.organisation if feed is None else feed.source
        head = arrived.body[:HEAD_BYTES]
        length = max(arrived.length, len(arrived.body))
        digest = self._keys.digest(head)
        event = MessageRejected(
            event_id=derive("rejected", source, rule, digest, length),
            source=source,
            transport="http",
            received_at=arrived.received_at,
            rule=rule,
            place=place,
            length=length,
            digest=digest,
            truncated=len(head) < length,
            head=head,
        )
        kept = await self._store([self._record(MESSAGE_REJECTED, event, arrived)])
        _log.warning("fhir_rejected", feed=source, rule=rule, length=length, kept=kept)
        if not kept:
            return _away(source)
        status = RULES[rule].status
        metrics.count("halyard_rejected_total", transport="http", rule=rule)
        metrics.count("halyard_fhir_messages_total", feed=source, answer=str(status))
        return Answer(status, outcomes.refused(issues))

    async def _store(self, records: list[Record]) -> bool:
        """True when every in-sync replica has them all; False when that is not known in time."""
        try:
            async with asyncio.timeout(self._settings.kafka.request_timeout_seconds):
                results = await produce(self._producer, self._settings, records)
        except TimeoutError:
            return False
        return not any(isinstance(one, BrokerUnavailable) for one in results)

    @staticmethod
    def _record(topic: str, event: Event | MessageRejected, arrived: Arrived) -> Record:
        return Record(
            topic=topic,
            key=event.source if isinstance(event, MessageRejected) else event.source_person,
            value=encode(event),
            headers=cloudevent_headers(
                event_id=event.event_id,
                event_type=type(event).__name__,
                source=event.source,
                time=arrived.received_at,
                traceparent=arrived.traceparent,
            ),
            timestamp_ms=int(arrived.received_at.timestamp() * 1000),
        )


def _is_pds(message: Parsed | DeathMessage) -> bool:
    return isinstance(message, DeathMessage) and message.event is DeathEventCode.PDS


def _topic(event: Event) -> str:
    if isinstance(event, DeathNotified):
        return DEATH_NOTIFIED
    return REPORT_SUBMITTED if isinstance(event, ReportSubmitted) else ATTENDANCE_REPORTED


def _away(source: str) -> Answer:
    metrics.count("halyard_fhir_messages_total", feed=source, answer="503")
    return Answer(503, outcomes.refused((Issue("broker-away", ""),)))
