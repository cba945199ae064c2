"""Takes notifications in: read, produce, and only then answer 202. Nothing here needs the database.

A body that is refused is in ``message.rejected`` before its 4xx leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.mns.reading import Fault, Ignored, Signal, read
from halyard import metrics
from halyard.clock import Clock
from halyard.errors import BrokerUnavailable
from halyard.ids import derive
from halyard.kafka import Record, cloudevent_headers, produce
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger
from schemas.changes import PersonChanged
from schemas.codec import encode
from schemas.events import MessageRejected
from schemas.topics import MESSAGE_REJECTED, PERSON_CHANGED

SOURCE: Final = "mns"
HEAD_BYTES: Final = 65_536

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """How many events were stored for good, and which were read and ignored."""

    taken: int
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A body as it came."""

    organisation: str
    received_at: datetime
    traceparent: str
    body: bytes = field(repr=False)


class Away(Exception):
    """The broker did not confirm in time: the sender keeps the message."""


class Intake:
    """The handler behind ``POST /mns/events``."""

    def __init__(self, producer: Any, settings: Settings, keys: Keys, clock: Clock) -> None:
        self._producer = producer  # an AIOKafkaProducer or a Bus: the library has no types
        self._settings = settings
        self._keys = keys
        self.clock = clock

    async def take(self, arrived: Arrived) -> Taken | Fault:
        """Take one body in. Raises `Away`."""
        found = read(arrived.body)
        if isinstance(found, Fault):
            return await self._refuse(arrived, found)
        signals = [one for one in found if isinstance(one, Signal)]
        ignored = tuple(one for one in found if isinstance(one, Ignored))
        events = {
            event.event_id: (event, one) for one in signals for event in [self._event(one, arrived)]
        }
        await self._store([self._record(event, arrived) for event, _ in events.values()])
        metrics.count("halyard_mns_events_total", len(signals), answer="taken")
        if ignored:
            metrics.count("halyard_mns_events_total", len(ignored), answer="ignored")
        return Taken(len(signals), ignored)

    def _event(self, signal: Signal, arrived: Arrived) -> PersonChanged:
        """The same notification is the same event; another under its id is another."""
        said = f"{signal.kind}|{signal.nhs_number}|{signal.occurred_at}"
        digest = self._keys.digest(said.encode())
        return PersonChanged(
            event_id=derive("person-changed", SOURCE, signal.message_id, digest),
            source=SOURCE,
            organisation=arrived.organisation,
            message_id=signal.message_id,
            received_at=arrived.received_at,
            kind=signal.kind,
            nhs_number=signal.nhs_number,
            occurred_at=signal.occurred_at,
        )

    async def _refuse(self, arrived: Arrived, fault: Fault) -> Fault:
        head = arrived.body[:HEAD_BYTES]
        digest = self._keys.digest(head)
        length = len(arrived.body)
        event = MessageRejected(
            event_id=derive("rejected", SOURCE, fault.rule, digest, length),
            source=SOURCE,
            transport="http",
            received_at=arrived.received_at,
            rule=fault.rule,
            place=fault.place,
            length=length,
            digest=digest,
            truncated=len(head) < length,
            head=head,
        )
        await self._store([self._record(event, arrived)])
        metrics.count("halyard_rejected_total", transport="http", rule=fault.rule)
        metrics.count("halyard_mns_events_total", answer=fault.rule)
        _log.warning("mns_rejected", rule=fault.rule, length=length)
        return fault

    async def _store(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            async with asyncio.timeout(self._settings.kafka.request_timeout_seconds):
                results = await produce(self._producer, self._settings, records)
        except TimeoutError:
            raise Away from None
        if any(isinstance(one, BrokerUnavailable) for one in results):
            raise Away

    def _record(self, event: PersonChanged | MessageRejected, arrived: Arrived) -> Record:
        rejected = isinstance(event, MessageRejected)
        return Record(
            topic=MESSAGE_REJECTED if rejected else PERSON_CHANGED,
            key=SOURCE
            if isinstance(event, MessageRejected)
            else self._keys.bus_person(event.nhs_number),
            value=encode(event),
            headers=cloudevent_headers(
                event_id=event.event_id,
                event_type=type(event).__name__,
                source=SOURCE,
                time=arrived.received_at,
                traceparent=arrived.traceparent,
            ),
            timestamp_ms=int(arrived.received_at.timestamp() * 1000),
        )
