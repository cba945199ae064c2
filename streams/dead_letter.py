"""Dead letters: an event that fails alone goes to ``<topic>.<group>.dlq``, byte for byte.

Key, value and headers stay as they were; Kafka Connect's ``__connect.errors.*`` headers
(ConnectorConfig, KIP-298) and two of our own tell where it came from and why it is here. A message
is written only for our own errors, which carry no value; for any other the class alone.
"""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from halyard import dead_letters, metrics, telemetry
from halyard.dead_letters import ATTEMPTS, FIRST_FAILED_AT, PREFIX
from halyard.errors import BrokerUnavailable
from halyard.kafka import Headers, qualified
from halyard.settings import Settings
from schemas.topics import dead_letter
from streams.resolution import Poison

__all__ = ["ATTEMPTS", "FIRST_FAILED_AT", "PREFIX", "DeadLetters", "error_headers"]

log = telemetry.get_logger()


def error_headers(poison: Poison, *, topic: str, stage: str) -> Headers:
    """What a dead letter says of its origin and its end; all values are text.

    `topic` is the source's name on the cluster.
    """
    return dead_letters.error_headers(
        poison.error,
        topic=topic,
        partition=poison.record.partition,
        offset=poison.record.offset,
        stage=stage,
        taken_by=f"streams.{stage}",
        attempts=poison.attempts,
        first_failed_at=poison.first_failed_at,
    )


class DeadLetters:
    """Writes the dead letters of one stage."""

    def __init__(
        self, producer: AIOKafkaProducer, settings: Settings, *, stage: str, group: str
    ) -> None:
        self._producer = producer
        self._settings = settings
        self._stage = stage
        self._group = group

    async def write(self, poison: Poison, raw: ConsumerRecord) -> None:
        """Put `raw` into the dead-letter topic; returns when the broker has it.

        An event that comes from its dead-letter topic again (redriven) gets new error headers.
        Raises `BrokerUnavailable`.
        """
        record = poison.record
        target = dead_letter(record.topic, self._group)
        kept = dead_letters.kept_headers(raw.headers)
        value = b"" if raw.value is None and raw.key is None else raw.value
        try:
            await self._producer.send_and_wait(
                qualified(self._settings, target),
                value,
                key=raw.key,
                headers=[*kept, *error_headers(poison, topic=raw.topic, stage=self._stage)],
                timestamp_ms=raw.timestamp if raw.timestamp > 0 else None,
            )
        except KafkaError as error:
            raise BrokerUnavailable(
                f"A dead letter of {self._stage} was not confirmed ({type(error).__name__}); "
                "check the broker and that `halyard topics apply` was run."
            ) from None
        metrics.count("halyard_stage_events_total", stage=self._stage, result="dead_letter")
        log.warning(
            "dead_letter_written",
            stage=self._stage,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=poison.attempts,
            error=telemetry.describe(poison.error),
        )
