"""The tracer: leases what is due, asks PDS, and releases what waits for the answer.

The ration is one for all tracers, in PostgreSQL. A request's X-Request-IDs were stored when it was
filed, so a tracer that takes over from a killed one repeats the same call (correctness rule 11).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import psycopg

from connectors.pds.client import PdsClient
from connectors.pds.comparison import thresholds_of
from connectors.pds.outcomes import Bug, RateLimited, TokenRefused, Unavailable
from connectors.pds.search import search
from halyard import faults, metrics, telemetry
from halyard.errors import HalyardError, TransientError
from halyard.postgres import Pool, transaction
from halyard.settings import PdsSettings
from stores import trace_requests
from stores.trace_requests import Ration, TracePurpose, TraceRequest
from streams.identity.answers import TraceAnswer, answer_of

POLL_SECONDS: Final = 0.1
_FAILURES: Final = 3
_LONGEST_BACKOFF_SECONDS: Final = 300.0
_QUOTA_SECONDS: Final = 1.0  # PDS counts calls by the second
_WAITS_FOR_TOKEN_SECONDS: Final = 2.0
FAILED: Final = "pds.bug.trace_failed"
"""The rule of a request that failed here each time, whatever PDS said."""
UNREADABLE_AT_MOST: Final = 20
"""Answers that are none (a proxy's page, a 403) after which a request ends: about an hour."""

log = telemetry.get_logger()

ClientFor = Callable[[str], PdsClient]
"""Gives the client that asks for an organisation (NHSD-End-User-Organisation-ODS)."""

Release = Callable[[TraceRequest, TraceAnswer], Awaitable[bool]]
"""Carries an answer to who wants it, in one transaction that also ends the request; False if it was
done or cancelled meanwhile. May raise `TransientError`: the lease then ends by itself."""


def ration_of(settings: PdsSettings) -> Ration:
    """The budget in `settings`."""
    return Ration.of(
        settings.calls_per_second, failures=_FAILURES, breaker_seconds=settings.breaker_seconds
    )


def concurrency_of(settings: PdsSettings) -> int:
    """Calls in flight: enough to spend the ration at a second a call, at most 32."""
    return max(4, min(32, int(settings.calls_per_second)))


class Tracer:
    """One tracer process's work, without the process."""

    def __init__(
        self,
        pool: Pool,
        settings: PdsSettings,
        client_for: ClientFor,
        releases: Mapping[TracePurpose, Release],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._ration = ration_of(settings)
        self._thresholds = thresholds_of(settings)
        self._client_for = client_for
        self._releases = releases
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Trace until `stopping`; calls in flight are then finished.

        A database that is away is waited for: leases end by themselves.
        """
        waits = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                leased = await self.lease()
                for request in leased:
                    task = asyncio.create_task(self._guarded(request))
                    self._in_flight.add(task)
                    task.add_done_callback(self._in_flight.discard)
                if not leased:
                    await asyncio.wait(
                        {waits, *self._in_flight},
                        timeout=POLL_SECONDS,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
        finally:
            waits.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def lease(self) -> list[TraceRequest]:
        """What this tracer is to ask now; none while the database is away."""
        room = concurrency_of(self._settings) - len(self._in_flight)
        if room < 1:
            return []
        try:
            leased = await trace_requests.lease(
                self._pool, self._ration, limit=room, lease_seconds=self._settings.lease_seconds
            )
        except TransientError as error:
            log.warning("tracer_waits_for_database", error=telemetry.describe(error))
            await asyncio.sleep(1.0)
            return []
        if leased:
            faults.point("tracer.after_claim")
        return leased

    async def _guarded(self, request: TraceRequest) -> None:
        try:
            await self.trace(request)
        except (TransientError, psycopg.Error, OSError) as error:
            # the lease ends by itself; the request is then asked again under the same id
            log.warning(
                "trace_interrupted",
                trace_id=str(request.trace_id),
                error=telemetry.describe(error),
            )
        except _LetOthers:
            await self._let_others(request)
        except Exception as error:  # noqa: BLE001 - a request must not end in silence
            log.error(
                "trace_failed", trace_id=str(request.trace_id), error=telemetry.describe(error)
            )
            await self._later(request)

    async def _later(self, request: TraceRequest) -> None:
        """What fails in the same way each time must not burn the ration; and after many times it
        ends as what was not asked, so that a person sees it.
        """
        try:
            seen = await trace_requests.unreadable(self._pool, request.trace_id)
            if seen >= UNREADABLE_AT_MOST:
                await self._releases[request.purpose](request, TraceAnswer(Bug(FAILED)))
                return
            await trace_requests.again(
                self._pool,
                request.trace_id,
                seconds=_LONGEST_BACKOFF_SECONDS,
                attempts=request.attempts,
            )
        except Exception as error:  # noqa: BLE001 - the lease ends by itself
            log.warning(
                "trace_not_ended", trace_id=str(request.trace_id), error=telemetry.describe(error)
            )

    async def _let_others(self, request: TraceRequest) -> None:
        """No token came for a further query: more urgent questions go first. The queries that were
        answered are kept, so that this costs nothing."""
        try:
            await trace_requests.again(
                self._pool, request.trace_id, seconds=0.0, attempts=request.attempts
            )
        except HalyardError as error:
            log.warning("tracer_waits_for_database", error=telemetry.describe(error))

    async def trace(self, request: TraceRequest) -> None:
        """Ask PDS and release what waits; or put the request back for later, with its ids."""
        client = self._client_for(request.organisation)
        calls = 1
        if request.kind == "get":
            number = request.claim.nhs_number or ""
            said = answer_of(await client.get(number, request.request_ids[0]))
        else:
            rationed = _Rationed(self._pool, self._ration, request, self._settings.lease_seconds)
            searched = await search(
                client,
                request.claim,
                request.request_ids,
                thresholds=self._thresholds,
                answered=request.answered,
                before_call=rationed.before_call,
                after_call=rationed.after_call,
            )
            # each further question has said that the one before was answered
            calls, said = min(1, searched.calls), answer_of(searched)
        faults.point("tracer.after_call")
        rule = said.outcome.rule if isinstance(said, TraceAnswer) else said.rule
        if isinstance(said, TraceAnswer) or (isinstance(said, Bug) and said.refused):
            async with transaction(self._pool) as connection:
                await trace_requests.answered(connection, self._ration, calls=calls)
        if isinstance(said, Bug):
            said = await self._unreadable(request, said)
        if isinstance(said, TraceAnswer):
            released = await self._releases[request.purpose](request, said)
            log.info(
                "trace_answered",
                trace_id=str(request.trace_id),
                rule=rule,
                priority=request.priority,
                released=released,
            )
            return
        await self._put_back(request, said, rule)

    async def _unreadable(self, request: TraceRequest, said: Bug) -> TraceAnswer | Bug:
        """An answer that is none: to be asked again, until there were too many of them."""
        seen = await trace_requests.unreadable(self._pool, request.trace_id)
        log.error(
            "trace_answer_unreadable",
            trace_id=str(request.trace_id),
            rule=said.rule,
            status=said.status,
            seen=seen,
        )
        if seen < UNREADABLE_AT_MOST:
            return said
        if not said.refused:
            await trace_requests.failed(self._pool, self._ration, at_once=False)
        return TraceAnswer(said)

    async def _put_back(
        self, request: TraceRequest, said: Unavailable | RateLimited | TokenRefused | Bug, rule: str
    ) -> None:
        if isinstance(said, RateLimited):
            seconds = await self._slow_down(said)
        else:
            # A refused application stops all at once; a question that PDS alone misreads, or one
            # time-out, must not: it counts as one failure
            at_once = isinstance(said, TokenRefused)
            if not _answered(said):
                await trace_requests.failed(self._pool, self._ration, at_once=at_once)
            seconds = min(_LONGEST_BACKOFF_SECONDS, 0.5 * 2 ** min(request.attempts, 10))
            if not isinstance(said, Bug):
                # An outage ends for all at once: nothing waits much longer than the breaker
                seconds = min(seconds, max(2 * self._settings.breaker_seconds, 1.0))
        await trace_requests.again(
            self._pool, request.trace_id, seconds=seconds, attempts=request.attempts
        )
        log.warning(
            "trace_put_back",
            trace_id=str(request.trace_id),
            rule=rule,
            attempts=request.attempts,
            seconds=seconds,
        )

    async def _slow_down(self, said: RateLimited) -> float:
        """All ask less; the refused question comes again when its turn does, not later."""
        asked = said.retry_after_seconds or _QUOTA_SECONDS
        pause = min(_LONGEST_BACKOFF_SECONDS, max(_QUOTA_SECONDS, asked))
        pace = await trace_requests.slower(self._pool, self._ration, pause_seconds=pause)
        metrics.gauge("halyard_pds_pace", pace)
        log.warning("pds_slower", pace=pace, seconds=pause)
        return pause


def _answered(said: Unavailable | TokenRefused | Bug) -> bool:
    """Whether PDS is there, though this question has no answer yet."""
    if isinstance(said, Unavailable):
        return said.answered
    return isinstance(said, Bug) and said.refused


class _LeaseLost(TransientError):
    """The request is another tracer's by now, or cancelled; nothing is to be done."""


class _LetOthers(Exception):
    """A search found no token for its next query in time, and has kept what was answered."""


class _Rationed:
    """The first call's token came with the lease; each further call takes its own."""

    def __init__(
        self, pool: Pool, ration: Ration, request: TraceRequest, lease_seconds: float
    ) -> None:
        self._pool = pool
        self._ration = ration
        self._request = request
        self._lease_seconds = lease_seconds
        self._first = True
        self._kept = False  # all that was answered under this lease is in the row

    async def after_call(self, answered: str) -> None:
        """Keep that a query was answered: who takes over goes on after it."""
        if not await trace_requests.progress(self._pool, self._request, answered):
            raise _LeaseLost
        self._kept = True
        faults.point("tracer.after_query")

    async def before_call(self) -> None:
        """Wait for a token of the ration. Whoever asks again had an answer: PDS is well.

        Raises `_LetOthers` where none comes for a while and nothing would be asked twice.
        """
        if self._first:
            self._first = False
            return
        kept, self._kept = self._kept, False
        async with transaction(self._pool) as connection:
            await trace_requests.answered(connection, self._ration)
        since = time.monotonic()
        while True:
            # The wait may be longer than the lease: nobody takes over from who is alive
            if not await trace_requests.renew(
                self._pool, self._request, lease_seconds=self._lease_seconds
            ):
                raise _LeaseLost
            if await trace_requests.take_token(self._pool, self._ration):
                return
            if kept and time.monotonic() - since > _WAITS_FOR_TOKEN_SECONDS:
                raise _LetOthers
            await asyncio.sleep(min(1.0, 1 / self._ration.per_second))
