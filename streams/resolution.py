"""What becomes of a batch: done, tried again, or taken apart until its poison is found.

- *done*: every event is safe.
- *transient* (nothing is wrong with the events): the same batch again, with back-off, for at most
  ``worker.transient_seconds``; then `TransientTooLong` ends the worker with nothing committed.
- anything else is *poison*: the batch is split in halves, each in a call (so a transaction) of its
  own (correctness rule 4), until single events are found; those are given back as `Poison`. More
  than ``worker.max_poison_in_a_row`` without a good event between them: `TooMuchPoison`, before
  any of them is dead-lettered: it is the worker that is ill.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import psycopg
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from halyard import metrics, telemetry
from halyard.clock import Clock, system_clock
from halyard.errors import TransientError
from halyard.kafka import Incoming
from halyard.service import ProcessDied
from halyard.settings import WorkerSettings
from streams.channel import Verdict

_FIRST_RETRY_SECONDS = 0.1
_MAX_RETRY_SECONDS = 5.0

T = TypeVar("T")
HandOver = Callable[[Sequence[Incoming]], Awaitable[Verdict]]

log = telemetry.get_logger()


class TransientTooLong(ProcessDied):
    """A part the hub needs stayed away too long; the worker ends and must be started again."""


class TooMuchPoison(ProcessDied):
    """Too many events in a row fail; the worker is ill, not they: see its log and mend it."""


@dataclass(frozen=True, slots=True)
class Poison:
    """An event that fails alone, as often as it is tried."""

    record: Incoming
    error: Exception
    attempts: int
    first_failed_at: datetime


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighbouring events of a batch that are tried together."""

    events: Sequence[Incoming]
    attempts: int = 0
    first_failed_at: datetime | None = None


def is_transient(error: BaseException) -> bool:
    """True if `error` says nothing about the events: the broker, the database, the network."""
    if isinstance(error, KafkaError):
        # the broker's, whatever it is, unless a record cannot pass
        return not isinstance(error, RecordTooLargeError | MessageSizeTooLargeError)
    return isinstance(error, TransientError | OSError | psycopg.OperationalError)


class Resolver:
    """Resolves the batches of one worker, one after the other."""

    def __init__(
        self,
        stage: str,
        limits: WorkerSettings,
        hand_over: HandOver,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._stage = stage
        self._limits = limits
        self._hand_over = hand_over
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        self._failing_since: float | None = None
        self._failures = 0
        self._poison_in_a_row = 0
        self.backing_off = False  # nothing is in hand: a revocation need not wait

    async def resolve(self, batch: Sequence[Incoming]) -> list[Poison]:
        """Bring `batch` to an end, in order; gives its poison, which is not yet dead-lettered.

        Raises `TransientTooLong`, `TooMuchPoison`, and what `hand_over` raises.
        """
        poison: list[Poison] = []
        parts = [_Part(batch)]
        while parts:
            part, error = await self._settle(parts.pop())
            if error is None:
                self._poison_in_a_row = 0
                continue
            if len(part.events) > 1:
                middle = len(part.events) // 2
                parts.extend(
                    _Part(events, part.attempts, part.first_failed_at)
                    for events in (part.events[middle:], part.events[:middle])
                )
                continue
            first = part.first_failed_at or self._clock()
            poison.append(Poison(part.events[0], error, part.attempts, first))
            self._poison_in_a_row += 1
            if self._poison_in_a_row > self._limits.max_poison_in_a_row:
                raise TooMuchPoison(
                    f"More than {self._limits.max_poison_in_a_row} events in a row failed in "
                    f"{self._stage}, the last with {telemetry.describe(error)}; nothing of this "
                    "batch was committed. Mend the worker, then start it again."
                )
        return poison

    async def _settle(self, part: _Part) -> tuple[_Part, Exception | None]:
        """Try `part` until it is done or poison."""
        attempts, first = part.attempts, part.first_failed_at
        while True:
            verdict = await self._hand_over(part.events)
            attempts += 1
            error = verdict.error
            if error is None:
                self._succeeded()
                self._count("done")
                return part, None
            if isinstance(error, ProcessDied | MemoryError):
                raise error
            first = first or self._clock()
            if not is_transient(error):
                self._count("poison")
                log.warning(
                    "batch_failed",
                    stage=self._stage,
                    events=len(part.events),
                    error=telemetry.describe(error),
                    exc_info=error,
                )
                return _Part(part.events, attempts, first), error
            self._count("transient")
            await self._back_off(error)

    async def persist(self, step: Callable[[], Awaitable[T]]) -> T:
        """`step`'s answer, tried again under the same limit while it fails transiently."""
        while True:
            try:
                answer = await step()
            except Exception as error:
                if isinstance(error, ProcessDied) or not is_transient(error):
                    raise
                await self._back_off(error)
            else:
                self._succeeded()
                return answer

    def _succeeded(self) -> None:
        self._failing_since = None
        self._failures = 0

    async def _back_off(self, error: Exception) -> None:
        now = self._monotonic()
        if self._failing_since is None:
            self._failing_since = now
        lasted = now - self._failing_since
        left = self._limits.transient_seconds - lasted
        if left <= 0:
            raise TransientTooLong(
                f"{self._stage} could not go on for {lasted:.0f} s "
                f"({telemetry.describe(error)}); nothing was committed, and the worker ends."
            )
        delay = min(_FIRST_RETRY_SECONDS * 2**self._failures, _MAX_RETRY_SECONDS)
        delay = min(delay * (0.5 + self._jitter() / 2), left)
        self._failures = min(self._failures + 1, 16)
        log.warning(
            "batch_retried",
            stage=self._stage,
            error=telemetry.describe(error),
            after_seconds=round(delay, 3),
        )
        self.backing_off = True
        try:
            await self._sleep(delay)
        finally:
            self.backing_off = False

    def _count(self, verdict: str) -> None:
        metrics.count("halyard_stage_batches_total", stage=self._stage, verdict=verdict)
