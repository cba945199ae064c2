"""The producer of a face that serves also while the broker is away."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from halyard import kafka
from halyard.settings import Settings
from halyard.telemetry import get_logger

RETRY_SECONDS: Final = 1.0

log = get_logger()


class Bus:
    """An AIOKafkaProducer that connects when it can; `send` fails at once before that."""

    def __init__(self, settings: Settings, *, client_id: str = "halyard-serve") -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    async def send(self, topic: str, value: bytes, **options: Any) -> asyncio.Future[Any]:
        """As AIOKafkaProducer.send: a future that is done when the broker has confirmed."""
        if self._producer is None:
            raise KafkaConnectionError
        sent: asyncio.Future[Any] = await self._producer.send(topic, value, **options)
        return sent

    async def connect(self, stopping: asyncio.Event) -> None:
        """Try until it is connected or `stopping`."""
        waited = False
        while not stopping.is_set():
            producer = kafka.make_producer(self._settings, client_id=self._client_id, linger_ms=2)
            try:
                await producer.start()
            except KafkaError as error:
                await producer.stop()
                if not waited:
                    log.warning("broker_awaited", exc_info=error)
                waited = True
                await pause(stopping, RETRY_SECONDS)
            except BaseException:
                await producer.stop()
                raise
            else:
                self._producer = producer
                log.info("broker_connected")
                return

    async def wrong(self) -> str | None:
        """Why the broker cannot be used now, or None."""
        if self._producer is None:
            return "the broker was not reached yet"
        try:
            async with asyncio.timeout(2):
                known = await self._producer.client.force_metadata_update()
        except (KafkaError, TimeoutError):
            known = False
        return None if known else "the broker does not answer"

    async def stop(self) -> None:
        """Close, without waiting for a broker that is away."""
        if self._producer is not None:
            try:
                async with asyncio.timeout(2):
                    await self._producer.stop()
            except TimeoutError:
                log.warning("broker_not_closed")


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, or less if `stopping` comes first."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass  # the usual case: nobody stopped us
