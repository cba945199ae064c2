"""Look-ups in batches: what waits while one runs goes together in the next, in one transaction.

For each look: what is held is read, the policies are asked, and the access, its audit entry and
its event are written; the answer leaves only after the commit. Every look does the same work
whatever is held, so that the time an answer takes tells nothing. A batch belongs to one
organisation: row-level security holds for it as for a single look.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from flag_service import looking, lookup
from flag_service.looking import Decided, Look, Seen
from flag_service.lookup import Covering
from halyard import metrics, postgres
from halyard.clock import Clock
from halyard.errors import HalyardError, TransientError
from halyard.postgres import Connection, Pool
from halyard.telemetry import get_logger
from policies.desk import Desk
from policies.ruling import Flow
from stores import accesses, audit, coverage, delivery_rows, holdings, outbox
from stores.accesses import is_loud
from stores.holdings import Ask

__all__ = ["Look", "Lookups", "Seen"]

MOST: Final = 64
"""Looks that go in one transaction."""

TURNS: Final = 4
"""Of the event loop, before a batch is closed: what has come in by then goes in it."""

SECONDS: Final = 3.0
"""A person waits for it."""

DISOWN_SECONDS: Final = 1.0
"""Others wait meanwhile."""

COVERING_SECONDS: Final = 1.0
"""So old the coverage may be that an answer states, with its own time."""

STORE_AWAY: Final = "the-store-did-not-answer"

log = get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    look: Look
    person: str
    access_id: uuid.UUID
    until: float  # on the loop's clock: who looks waits so long
    done: asyncio.Future[Seen]


@dataclass(slots=True)
class _Lane:
    """The looks of one organisation."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    running: asyncio.Task[None] | None = None


class Lookups:
    """The look-ups of a process, whatever the interface they came by."""

    def __init__(
        self,
        pool: Pool,
        desk: Desk,
        clock: Clock,
        *,
        most: int = MOST,
        seconds: float = SECONDS,
        at_once: int = 4,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        """`at_once`: so many batches (of as many organisations) run side by side."""
        self._pool, self._desk, self._clock = pool, desk, clock
        self._most, self._seconds, self._new_id = most, seconds, new_id
        self._lanes: dict[str, _Lane] = {}
        self._room = asyncio.Semaphore(at_once)
        self._covering: tuple[float, Covering] | None = None

    async def look(self, look: Look) -> Seen:
        """Answer `look`, once it is on record. A store that does not answer in time gives
        could-not-be-checked.

        Raises `HttpProblem` for a look that says too little.
        """
        looking.check(look)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            look,
            self._desk.keys.person(look.number),
            self._new_id(),
            loop.time() + self._seconds,
            loop.create_future(),
        )
        organisation = look.caller.organisation
        lane = self._lanes.setdefault(organisation, _Lane())
        lane.waiting.append(waiting)
        if lane.running is None:
            lane.running = loop.create_task(self._run(organisation, lane), name="look-ups")
        timer = loop.call_at(waiting.until, self._too_late, waiting)
        try:
            return await waiting.done
        finally:
            timer.cancel()

    def _too_late(self, waiting: _Waiting) -> None:
        if not waiting.done.done():
            log.error("lookup_failed", reason="timeout")
            waiting.done.set_result(looking.not_checked(self._clock(), STORE_AWAY))

    async def _run(self, organisation: str, lane: _Lane) -> None:
        """Batch after batch, until nothing waits."""
        try:
            while lane.waiting:
                async with self._room:
                    for _ in range(TURNS):
                        await asyncio.sleep(0)
                    batch: list[_Waiting] = []
                    while lane.waiting and len(batch) < self._most:
                        one = lane.waiting.popleft()
                        if not one.done.done():  # who waited for it has given up
                            batch.append(one)
                    await self._settle(organisation, batch)
        finally:
            lane.running = None
            if not lane.waiting:
                self._lanes.pop(organisation, None)

    async def _settle(self, organisation: str, batch: Sequence[_Waiting]) -> None:
        """Answer everything in `batch`; if one cannot be answered, its neighbours without it."""
        if not batch:
            return
        try:
            # who waited longest gives up then, and must not be on record as having been shown it
            async with asyncio.timeout_at(min(one.until for one in batch)):
                seen = await self._answered(organisation, batch)
        except (TransientError, TimeoutError) as error:
            log.error("lookup_failed", looks=len(batch), exc_info=error)
            self._give_up(batch)
            await self._disown(organisation, batch)
        except Exception as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._settle(organisation, batch[:half])
                await self._settle(organisation, batch[half:])
                return
            log.error("lookup_failed", looks=1, exc_info=error)
            if isinstance(error, HalyardError):
                self._give_up(batch)
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)
        else:
            gone = [one for one in batch if one.done.done()]
            for one, answer in zip(batch, seen, strict=True):
                if not one.done.done():
                    one.done.set_result(answer)
            if gone:  # they gave up while it was committed
                await self._disown(organisation, gone)

    def _give_up(self, batch: Sequence[_Waiting]) -> None:
        for one in batch:
            if not one.done.done():
                one.done.set_result(looking.not_checked(self._clock(), STORE_AWAY))

    async def _disown(self, organisation: str, batch: Sequence[_Waiting]) -> None:
        """If the commit stands though nobody was answered, say so in the chain."""
        looks = {one.access_id: one for one in batch}
        persons = sorted({one.person for one in batch})
        try:
            async with (
                asyncio.timeout(DISOWN_SECONDS),
                postgres.scoped(self._pool, organisation, persons) as connection,
            ):
                now = self._clock()
                entries = [
                    looking.not_shown(looks[one].look, looks[one].person, one, now)
                    for one in await accesses.kept(connection, looks)
                ]
                await audit.append(connection, entries)
        except (HalyardError, TimeoutError) as error:
            log.error("lookup_record_unclear", looks=len(batch), exc_info=error)

    async def _answered(self, organisation: str, batch: Sequence[_Waiting]) -> list[Seen]:
        now = self._clock()
        asks = [Ask(one.person, one.look.caller.subject) for one in batch]
        persons = sorted({one.person for one in batch})
        async with postgres.scoped(self._pool, organisation, persons, pipelined=True) as connection:
            known = await self._known(connection)
            held = await holdings.of_persons(connection, organisation, asks, now)
            whom = [one.successor or ask.person for one, ask in zip(held, asks, strict=True)]
            if any(one.successor for one in held):  # what is held stands under the new number
                await postgres.scope(connection, sorted({*persons, *whom}))
                asks = [replace(ask, person=one) for ask, one in zip(asks, whom, strict=True)]
                held = await holdings.of_persons(connection, organisation, asks, now)
            listed: dict[tuple[str, str], bool] = {}
            made: list[Decided] = []
            for waiting, person, holding in zip(batch, whom, held, strict=True):
                author = (person, waiting.look.caller.subject)
                decided = looking.decided(
                    waiting.look,
                    person,
                    holding,
                    known,
                    self._desk,
                    now=now,
                    access_id=waiting.access_id,
                    before=listed.get(author, holding.seen_before),
                )
                if decided.recorded.listed:
                    listed[author] = is_loud(decided.recorded.access)
                made.append(decided)
            await audit.append(connection, [entry for one in made for entry in one.audit])
            await accesses.add(connection, [one.recorded for one in made])
            await outbox.add(connection, [one.event for one in made if one.event is not None])
            notices = [one.notice.row for one in made if one.notice is not None]
            await delivery_rows.add(connection, notices)
        _count(made)
        return [one.seen for one in made]

    async def _known(self, connection: Connection) -> Covering:
        if self._covering is not None:
            read, known = self._covering
            if time.monotonic() - read < COVERING_SECONDS:
                return known
        found = await coverage.coverage(connection)
        known = lookup.covering(found, self._desk.directory, self._clock())
        self._covering = (time.monotonic(), known)
        return known


def _count(made: Sequence[Decided]) -> None:
    answers = Counter(
        (one.seen.answer if one.seen.permitted else "refused", one.seen.ruling.decision)
        for one in made
    )
    for (answer, decision), amount in answers.items():
        metrics.count("halyard_lookups_total", amount, answer=answer)
        metrics.count(
            "halyard_disclosures_total",
            amount,
            flow=Flow.FLAG_LOOKUP.value,
            decision=decision.value,
        )
