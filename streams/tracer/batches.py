"""Lines of batches become trace requests, a few of each organisation at a time; their answers end
the lines.

All state is in PostgreSQL. A line is filed and marked in one transaction, and answered in the one
that ends its request, so that a tracer that is killed anywhere loses no line; a call that was made
is made again under the same X-Request-ID. Every question takes its part of the one ration: files
after all else, a person who waits with the flags, after arrivals and deaths.

A number that an organisation sends with one person's details after another is asked about no more
(`DETAILS_AT_MOST`): who may guess often enough is told whose it is.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import psycopg

from connectors.pds.search import QUERIES_AT_MOST
from halyard import faults, metrics, telemetry
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.postgres import Connection, Pool, transaction
from schemas.events import PersonClaim
from stores import trace_requests, trace_work
from stores.trace_batches import Question
from stores.trace_requests import LEAST_URGENT, TraceKind, TraceRequest
from stores.trace_work import LineAnswer, NextLine
from streams.identity.answers import TraceAnswer, judge
from streams.identity.changes import Limits
from streams.identity.evidence import Evidence, evidence_of
from streams.tracer import following
from streams.tracer.batch_outcomes import (
    NOT_SEARCHABLE,
    ON_SEVERAL,
    SEVERAL_PEOPLE,
    Reading,
    answer_line,
)

POLL_SECONDS: Final = 0.25
TEND_SECONDS: Final = 1.0
PERSON_KEPT: Final = timedelta(hours=24)
"""So long after it was asked for, the result of a trace of one person can be fetched."""
DETAILS_AT_MOST: Final = 2
"""Different details (birth date and names) that an organisation has compared with one number's
record in `DETAILS_KEPT`: what was sent first, and its correction."""
DETAILS_KEPT: Final = timedelta(hours=24)
LOADING_KEPT: Final = timedelta(hours=1)
"""So long a file may take to come; what broke off goes then."""

_A_PERSON_WAITS: Final = 3  # as flags: arrivals (1) and deaths (2) may be somebody in danger now
_TOO_LITTLE: Final = "trace.not-searchable"

log = telemetry.get_logger()


class Batches:
    """One tracer process's share of the batches. `new_id` gives random ids."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        clock: Clock,
        *,
        live: int,
        persons: int,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        """`live`: questions of one organisation's files that are before PDS at a time; `persons`:
        traces of one person, of all organisations.
        """
        self._pool = pool
        self._limits = limits
        self._clock = clock
        self._live = live
        self._persons = persons
        self._new_id = new_id
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Feed and tend until cancelled; a failure is logged and tried again."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._feed_forever())
            both.create_task(self._tend_forever())

    async def _feed_forever(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.feed()
            except (HalyardError, psycopg.Error, OSError) as error:
                log.warning("batches_feed_failed", error=telemetry.describe(error))
                await asyncio.sleep(TEND_SECONDS)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass  # the usual case: nothing was answered

    async def _tend_forever(self) -> None:
        while True:
            try:
                await self.tend()
            except (HalyardError, psycopg.Error, OSError) as error:
                log.warning("batches_failed", error=telemetry.describe(error))
            await asyncio.sleep(TEND_SECONDS)

    async def feed(self) -> int:
        """File what is asked next; gives how many questions."""
        now = self._clock()
        requests = []
        async with transaction(self._pool) as connection:
            await trace_work.lock_feed(connection)
            lines = await trace_work.next_lines(connection, most=self._live, persons=self._persons)
            for line in lines:
                evidence = self._evidence(line.claim)
                if not evidence.traceable:
                    await self._end(connection, line, NOT_SEARCHABLE, _TOO_LITTLE)
                elif await self._may_ask(connection, line, evidence, now):
                    requests.append((line, self._request(line, evidence)))
            await trace_requests.add(connection, [request for _, request in requests])
            await trace_work.asked(
                connection, [(line, request.trace_id) for line, request in requests]
            )
        return len(requests)

    async def tend(self) -> int:
        """Empty and remove what must not stay, some lines a transaction; gives how many batches
        were emptied.
        """
        now = self._clock()
        async with transaction(self._pool) as connection:
            await trace_work.lock_feed(connection)
            await trace_work.end_batches(
                connection,
                persons_before=now - PERSON_KEPT,
                loading_before=now - LOADING_KEPT,
                now=now,
            )
        async with transaction(self._pool) as connection:
            await trace_work.forget_details(connection, before=now - DETAILS_KEPT)
            waiting = await trace_work.waiting(connection)
            emptying = await trace_work.to_clear(connection)
            removing = await trace_work.to_remove(connection)
        metrics.gauge("halyard_trace_batch_lines_waiting", waiting)
        for batch_id in emptying:
            after: int | None = 0
            while after is not None:
                async with transaction(self._pool) as connection:
                    after = await trace_work.clear_page(connection, batch_id, after=after)
        for batch_id in removing:
            after = 0
            while after is not None:
                async with transaction(self._pool) as connection:
                    after = await trace_work.remove_page(connection, batch_id, after=after)
        return len(emptying)

    async def release(self, trace: TraceRequest, said: TraceAnswer) -> bool:
        """Answer every line that waits for `trace`; False if it was done or cancelled meanwhile.

        Raises `TransientError`; the lease then ends by itself and the request is asked again.
        """
        batch_id = uuid.UUID(trace.fingerprint.split(":")[1])
        answers: list[LineAnswer] = []
        async with transaction(self._pool) as connection:
            batch = await trace_work.hold_batch(connection, batch_id)
            held = await trace_requests.hold(connection, trace)
            if held is None:
                return False
            await following.ask_about(
                connection, held, said, self._limits, self._clock(), self._new_id
            )
            await trace_requests.finish(connection, trace.trace_id, said.outcome.rule)
            if batch is not None and batch.state == "running":
                reading = Reading(self._limits.keys, batch.kind == "person")
                for line in await trace_work.asked_lines(connection, batch_id, trace.trace_id):
                    evidence = self._evidence(line.claim)
                    one = judge(said, evidence, self._limits.thresholds)
                    answers.append(answer_line(line, said, one, evidence, reading))
                await trace_work.answer(connection, batch, answers, now=self._clock())
        faults.point("tracer.after_commit")
        if batch is not None:
            _count(batch.kind, answers)
        self._wake.set()
        return True

    async def _may_ask(
        self, connection: Connection, line: NextLine, evidence: Evidence, now: datetime
    ) -> bool:
        """Whether PDS is asked this; else the lines that ask it are ended. With a number, the batch
        is held until the lines wait for the request: none comes unseen.
        """
        question = Question(line.question, evidence.number_token)
        if question.number_token is None:
            return True
        batch = await trace_work.hold_batch(connection, line.batch_id)
        if batch is None or batch.state != "running":
            return False
        if await trace_work.may_be_compared(
            connection, batch, question, most=DETAILS_AT_MOST, since=now - DETAILS_KEPT, now=now
        ):
            return True
        await self._end(connection, line, SEVERAL_PEOPLE, ON_SEVERAL)
        return False

    async def _end(self, connection: Connection, line: NextLine, outcome: str, rule: str) -> None:
        """End the lines that ask this, or a page of them: the rest comes with the next feed."""
        batch = await trace_work.hold_batch(connection, line.batch_id)
        if batch is None or batch.state != "running":
            return
        ended = await trace_work.end_question(
            connection, batch, line.question, outcome=outcome, rule=rule, now=self._clock()
        )
        metrics.count("halyard_trace_batch_lines_total", ended, kind=batch.kind, outcome=outcome)
        self._wake.set()

    def _evidence(self, claim: PersonClaim) -> Evidence:
        on = self._clock().date()
        return evidence_of(claim, keys=self._limits.keys, profile=self._limits.profile, on=on)

    def _request(self, line: NextLine, evidence: Evidence) -> TraceRequest:
        kind: TraceKind = "get" if evidence.number_token is not None else "search"
        return TraceRequest(
            trace_id=self._new_id(),
            fingerprint=f"batch:{line.batch_id}:{line.question}",
            token=evidence.number_token or evidence.demographic_token or "",
            kind=kind,
            priority=_A_PERSON_WAITS if line.person else LEAST_URGENT,
            claim=evidence.claim,
            organisation=line.organisation,
            request_ids=tuple(
                self._new_id() for _ in range(1 if kind == "get" else QUERIES_AT_MOST)
            ),
            purpose="batch",
        )


def _count(kind: str, answers: list[LineAnswer]) -> None:
    for outcome, amount in Counter(one.outcome for one in answers).items():
        metrics.count("halyard_trace_batch_lines_total", amount, kind=kind, outcome=outcome)
