"""Dead letters of the NCMD store: a record that cannot be read or kept, byte for byte."""

from __future__ import annotations

import asyncio
from datetime import datetime

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.kafka_reader import Taken
from halyard import dead_letters, metrics, telemetry
from halyard.errors import BrokerUnavailable
from halyard.kafka import make_producer, qualified
from halyard.settings import Settings
from schemas.topics import dead_letter

log = telemetry.get_logger()


class DeadLetters:
    """Writes dead letters; connects when the first one comes."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = name
        self._producer: AIOKafkaProducer | None = None

    async def write(self, taken: Taken, error: Exception, now: datetime) -> None:
        """Put the record into the dead-letter topic; returns when the broker has it.

        Raises `BrokerUnavailable`.
        """
        record = taken.record
        source = qualified(self._settings, record.topic)
        headers = [
            *dead_letters.kept_headers(record.headers),
            *dead_letters.error_headers(
                error,
                topic=source,
                partition=record.partition,
                offset=record.offset,
                stage=self._name,
                taken_by="connectors.ncmd",
                attempts=1,
                first_failed_at=now,
            ),
        ]
        try:
            producer = await self._connected()
            await producer.send_and_wait(
                qualified(self._settings, dead_letter(record.topic, self._name)),
                record.value,
                key=taken.key,
                headers=headers,
                timestamp_ms=record.timestamp_ms if record.timestamp_ms > 0 else None,
            )
        except KafkaError as failure:
            raise BrokerUnavailable(
                f"A dead letter of {self._name} was not confirmed ({type(failure).__name__}); "
                "check the broker and that `halyard topics apply` was run."
            ) from None
        metrics.count("halyard_stage_events_total", stage=self._name, result="dead_letter")
        log.warning(
            "dead_letter_written",
            stage=self._name,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error=telemetry.describe(error),
        )

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = make_producer(self._settings, client_id=f"halyard-{self._name}-dead")
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def close(self, seconds: float) -> None:
        """Disconnect, for at most `seconds`."""
        if self._producer is not None:
            await asyncio.wait({asyncio.ensure_future(self._producer.stop())}, timeout=seconds)
