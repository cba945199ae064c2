"""Records of one upload onto the bus, in order, with a bounded number of them in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from aiokafka.errors import KafkaError

from halyard.errors import BrokerUnavailable
from halyard.kafka import Record, qualified
from halyard.settings import Settings

IN_FLIGHT: Final = 1_000  # records not yet confirmed


class Pipeline:
    """Sends in order with a bounded number of records in flight."""

    def __init__(self, producer: Any, settings: Settings) -> None:
        self._producer = producer
        self._settings = settings
        self._seconds = settings.kafka.request_timeout_seconds
        self._waiting: deque[tuple[asyncio.Future[Any], bool]] = deque()
        self.confirmed_lines = 0

    async def put(self, record: Record, *, counts: bool = False) -> None:
        """Send; raises `BrokerUnavailable` if this or an earlier record was not confirmed."""
        while self._waiting and (len(self._waiting) >= IN_FLIGHT or self._waiting[0][0].done()):
            await self._confirm_oldest()
        try:
            async with asyncio.timeout(self._seconds):
                sent = await self._producer.send(
                    qualified(self._settings, record.topic),
                    record.value,
                    key=record.key.encode(),
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp_ms,
                )
        except (KafkaError, TimeoutError):
            raise BrokerUnavailable from None
        self._waiting.append((sent, counts))

    async def confirm_all(self) -> None:
        """Wait for everything in flight."""
        while self._waiting:
            await self._confirm_oldest()

    async def abandon(self) -> int:
        """Stop after a failure: how many lines the broker has confirmed (more may still come)."""
        await asyncio.sleep(0)
        for sent, counts in self._waiting:
            if sent.done() and not sent.cancelled() and sent.exception() is None:
                self.confirmed_lines += counts
            sent.add_done_callback(_seen)
        self._waiting.clear()
        return self.confirmed_lines

    async def _confirm_oldest(self) -> None:
        sent, counts = self._waiting[0]
        try:
            if not sent.done():
                async with asyncio.timeout(self._seconds):
                    await asyncio.shield(sent)
            sent.result()
        except (KafkaError, TimeoutError):
            raise BrokerUnavailable from None
        self._waiting.popleft()
        self.confirmed_lines += counts


def _seen(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()  # retrieved, so that the loop does not report it
