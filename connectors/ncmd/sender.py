"""Sends submissions that are due, and asks for answers that are owed.

One row of a case at a time, the oldest first; retries after growing pauses, under the same message
id and with the same bytes. While the receiver does not answer at all, nothing is sent: its breaker
is open.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from connectors.ncmd.client import Again, Outcome, Taken
from connectors.ncmd.disclosing import may_submit
from connectors.ncmd.message import Answer
from halyard import faults, metrics, telemetry
from halyard.clock import Clock
from halyard.errors import TransientError
from halyard.postgres import Pool, transaction
from halyard.settings import NcmdSettings
from policies.desk import packaged
from policies.model import Policies
from stores import ncmd_submissions
from stores.ncmd_submissions import Build, Claimed, Settled

AT_ONCE: Final = 8  # messages under way, each of another case
_IDLE_SECONDS: Final = 1.0
_OPEN_STATES: Final = ("pending", "sent", "rejected", "failed")

log = telemetry.get_logger()

__all__ = ["Receiver", "Sender", "decide"]


class Receiver(Protocol):
    """The other side."""

    async def post(self, message_id: uuid.UUID, body: bytes) -> Outcome:
        """Send a message once."""

    async def ask(self, message_id: uuid.UUID) -> Outcome:
        """Ask for the answer to a message that was taken."""


def decide(
    row: Claimed, outcome: Outcome, now: datetime, settings: NcmdSettings, jitter: float
) -> Settled:
    """What becomes of `row` after an attempt; `jitter` lies between 0 and 1. Pure."""
    asked = row.sent_at is not None
    match outcome:
        case Answer(accepted=True, reason=reason):
            return Settled("acknowledged", reason, tried=not asked)
        case Answer(reason=reason):
            return Settled("rejected", reason, tried=not asked)
        case Taken():
            taken_at = row.sent_at or now
            poll = timedelta(seconds=settings.submit_poll_seconds)
            if now - taken_at < timedelta(seconds=settings.submit_answer_seconds):
                return Settled("sent", "taken", not asked, now + poll, taken_at)
            return _again(row, Again("unanswered", down=False), now, settings, jitter)
        case Again(reason="not-known") as again if asked:
            if row.attempts >= settings.submit_max_attempts:
                return _again(row, again, now, settings, jitter)
            return Settled("pending", again.reason, tried=False, due_at=now)
        case Again() as again:
            # the question failed, not the message; but an answer is not asked for for ever
            if row.sent_at is not None and now - row.sent_at < timedelta(
                seconds=settings.submit_answer_seconds
            ):
                pause = timedelta(seconds=_pause(row, again, settings, jitter))
                return Settled("sent", again.reason, False, now + pause, row.sent_at)
            return _again(row, again, now, settings, jitter)


def _again(
    row: Claimed, again: Again, now: datetime, settings: NcmdSettings, jitter: float
) -> Settled:
    tried = row.sent_at is None
    if row.attempts + tried >= settings.submit_max_attempts:
        return Settled("failed", again.reason, tried)
    pause = timedelta(seconds=_pause(row, again, settings, jitter))
    return Settled("pending", again.reason, tried, now + pause)


def _pause(row: Claimed, again: Again, settings: NcmdSettings, jitter: float) -> float:
    grown: float = settings.submit_first_retry_seconds * 2 ** min(row.attempts, 20)
    pause = min(grown, settings.submit_max_retry_seconds)
    return max(pause * (0.5 + jitter / 2), again.after_seconds or 0.0)


class Sender:
    """The loop that sends."""

    def __init__(
        self,
        settings: NcmdSettings,
        *,
        pool: Pool,
        receiver: Receiver,
        build: Build,
        clock: Clock,
        transient_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        policies: Policies | None = None,
    ) -> None:
        """Without `policies`, the package's own hold. Raises `ConfigurationError`."""
        self._settings = settings
        self._pool = pool
        self._receiver = receiver
        self._build = build
        self._clock = clock
        self._transient_seconds = transient_seconds
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._closed_at: float | None = None  # when an open breaker closes
        self._policies = packaged() if policies is None else policies
        self._denied = False

    def wake(self) -> None:
        """Something was filed."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping`. Raises `DatabaseUnavailable` that outlasts
        ``worker.transient_seconds``."""
        failing_since: float | None = None
        while not stopping.is_set():
            self._wake.clear()
            try:
                worked = await self.once()
                failing_since = None
            except TransientError as error:
                failing_since = failing_since or self._monotonic()
                if self._monotonic() - failing_since >= self._transient_seconds:
                    raise
                log.warning("ncmd_sender_waits", reason=telemetry.describe(error))
                worked = 0
            if not worked:
                await self._rest()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._wake.wait()

    async def once(self) -> int:
        """Send and settle what is due; how many rows."""
        if self._closed_at is not None and self._monotonic() < self._closed_at:
            return 0
        if not self._may_submit():
            return 0
        lease = timedelta(seconds=3 * self._settings.submit_timeout_seconds)
        async with transaction(self._pool) as connection:
            # after an outage one message alone finds out whether it is over
            limit = AT_ONCE if self._closed_at is None else 1
            rows = await ncmd_submissions.claim(
                connection, self._clock(), lease=lease, limit=limit, build=self._build
            )
            counts = await ncmd_submissions.open_counts(connection)
        for state in _OPEN_STATES:
            metrics.gauge("halyard_ncmd_submissions_open", counts.get(state, 0), state=state)
        await asyncio.gather(*(self._handle(row) for row in rows))
        return len(rows)

    def _may_submit(self) -> bool:
        """Whether a policy is in force now: what was filed under one that has ended waits."""
        said = may_submit(self._policies, self._clock())
        if not said.permitted and not self._denied:
            metrics.count(
                "halyard_disclosures_total",
                flow=said.disclosure.flow.value,
                decision=said.ruling.decision.value,
            )
            log.error("ncmd_submission_denied", policy=said.ruling.policy, rule=said.ruling.rule)
        self._denied = not said.permitted
        return said.permitted

    async def _handle(self, row: Claimed) -> None:
        if row.sent_at is None:
            outcome = await self._receiver.post(row.message_id, row.body)
        else:
            outcome = await self._receiver.ask(row.message_id)
        faults.point("ncmd.after_send")
        self._breaker(outcome)
        now = self._clock()
        result = decide(row, outcome, now, self._settings, random.random())
        async with transaction(self._pool) as connection:
            await ncmd_submissions.settle(connection, row, result, now)
        told = "retry" if result.state == "pending" else result.state
        metrics.count("halyard_ncmd_submissions_total", result="taken" if told == "sent" else told)
        if result.state in ("rejected", "failed"):
            log.warning(
                "ncmd_submission_stopped",
                case_id=str(row.case_id),
                version=row.version,
                state=result.state,
                reason=result.reason,
            )

    def _breaker(self, outcome: Outcome) -> None:
        down = isinstance(outcome, Again) and outcome.down
        if down:
            if self._closed_at is None:
                log.warning("ncmd_breaker_opened")
            self._closed_at = self._monotonic() + self._settings.submit_breaker_seconds
        elif self._closed_at is not None:
            self._closed_at = None
            log.info("ncmd_breaker_closed")
        metrics.gauge("halyard_ncmd_breaker_open", int(down))
