"""A silent worker is a dead worker: liveness fails when commits stop while the log grows.

The end of the log is asked for on its own, not read off the fetcher: a fetcher that has locked up
would report no lag at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

_ANSWER_SECONDS = 5.0


class Progress:
    """Compares what is committed with the end of the log, every few seconds.

    `limit_seconds`: for how long a worker may be behind without a commit.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        limit_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._limit = limit_seconds
        self._interval = min(5.0, limit_seconds / 4)
        self._monotonic = monotonic
        self._committed: dict[TopicPartition, int] = {}
        self._behind_since: float | None = None
        self._blind_since: float | None = None

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Offsets were committed: the worker lives."""
        self._committed.update(offsets)
        self._behind_since = None

    def revoked(self) -> None:
        """Partitions may have moved: forget what we knew of them."""
        self._committed.clear()
        self._behind_since = None

    def stalled(self) -> str | None:
        """Why the worker should be restarted, else None (a liveness check)."""
        now = self._monotonic()
        if self._behind_since is not None and now - self._behind_since > self._limit:
            return f"no offset committed for {now - self._behind_since:.0f} s while the log grows"
        if self._blind_since is not None and now - self._blind_since > 2 * self._limit:
            return f"no answer from Kafka for {now - self._blind_since:.0f} s"
        return None

    def blind(self) -> str | None:
        """Kafka does not tell where the log ends (a readiness check)."""
        return None if self._blind_since is None else "Kafka does not answer"

    async def watch(self, paused: Callable[[], object]) -> None:
        """Look every few seconds until cancelled; a paused stage is never behind."""
        while True:
            await asyncio.sleep(self._interval)
            await self.look(paused=bool(paused()))

    async def look(self, *, paused: bool) -> None:
        """Ask once how far behind the worker is."""
        partitions = self._consumer.assignment()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                behind = await self._lag(partitions) if partitions else 0
        except (TimeoutError, KafkaError):
            self._blind_since = self._blind_since or self._monotonic()
            self._behind_since = None
            return
        self._blind_since = None
        if behind <= 0 or paused:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._monotonic()

    async def _lag(self, partitions: frozenset[TopicPartition]) -> int:
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        for partition in partitions - self._committed.keys():
            # None: nothing was ever committed, and the worker began at the oldest record
            at = await self._consumer.committed(partition)
            if at is None:
                at = (await self._consumer.beginning_offsets([partition]))[partition]
            self._committed.setdefault(partition, at)
        return sum(max(0, end - self._committed.get(tp, end)) for tp, end in ends.items())
