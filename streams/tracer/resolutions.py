"""Does what was decided about worklist entries: files the question, and carries out the answer.

A decision is a row of `resolutions`. One that PDS must answer becomes a trace request of purpose
"resolution"; one that needs no answer is done at once. Each ends in one transaction with the claim,
the entry, the request and the audit entry, under the locks that every other decision about the
claim takes first (correctness rules 6, 7, 9): what was decided meanwhile is never overruled.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from halyard import faults, metrics, telemetry
from halyard.clock import Clock
from halyard.errors import ContractError, TransientError
from halyard.lock_sets import growing
from halyard.postgres import Connection, Pool, transaction
from halyard.settings import IdentitySettings
from policies.desk import Desk
from policies.ruling import Flow
from stores import audit, claims, outbox, resolutions, trace_requests, worklist
from stores.claims import ClaimRow
from stores.resolutions import Resolution
from stores.trace_requests import TraceRequest
from streams import letters
from streams.identity import doubts
from streams.identity import resolutions as decisions
from streams.identity.answers import TraceAnswer, person_answered
from streams.identity.apply import Seeds, open_ledger, write
from streams.identity.changes import Limits
from streams.identity.ledger import Ledger
from streams.identity.resolutions import Ended
from streams.outbox_publisher import with_point
from streams.tracer import following, question_letters, standing, worklist_upkeep
from streams.tracer.following import Follower
from streams.tracer.resolution_questions import GONE, hindrance, is_last, question
from streams.tracer.worklist_upkeep import guarded

POLL_SECONDS: Final = 0.5
KEEP_SECONDS: Final = 15.0
AT_ONCE: Final = 50
NOT_TOLD: Final = "asked.no_letter"

log = telemetry.get_logger()


class Resolver:
    """See the module. `send` publishes; `new_id` gives random ids."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        settings: IdentitySettings,
        send: outbox.Send,
        clock: Clock,
        desk: Desk,
        *,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._settings = settings
        self._send = with_point(send, "tracer.after_produce")
        self._clock = clock
        self._desk = desk
        self._new_id = new_id
        self._follower = Follower(limits, desk, clock, new_id)

    async def run(self) -> None:
        """Work until cancelled; a database that is away is waited for, and what fails in one part
        keeps no other from its work.
        """
        kept = -KEEP_SECONDS
        while True:
            await guarded(self.work)
            if time.monotonic() - kept >= KEEP_SECONDS:
                kept = time.monotonic()
                await guarded(self._schedule)
                await guarded(self._expire)
            await asyncio.sleep(POLL_SECONDS)

    async def work(self) -> int:
        """One round of what was decided. Gives how many decisions were begun or done."""
        async with transaction(self._pool) as connection:
            waiting = await resolutions.waiting(connection, limit=AT_ONCE)
        done = 0
        for one in waiting:
            try:
                done += await self._begin(one)
            except (TransientError, OSError) as error:  # the next round takes it up again
                log.warning("resolution_interrupted", error=telemetry.describe(error))
            except Exception as error:  # noqa: BLE001 - one decision must not stop all others
                done += await self._fail(one, None, error)
        return done

    async def keep(self) -> None:
        """What is due by schedule, and what ends by age."""
        await self._schedule()
        await self._expire()

    async def release(self, trace: TraceRequest, answer: TraceAnswer) -> bool:
        """Carry PDS's answer to the decision that asked; as `streams.tracer.tracer.Release`."""
        resolution_id = uuid.UUID(trace.fingerprint.split(":")[1])
        try:
            return await self._settle(resolution_id, trace, answer)
        except (TransientError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - it would be asked again for ever
            return await self._fail(resolution_id, trace, error)

    async def _schedule(self) -> None:
        await worklist_upkeep.schedule(self._pool, self._settings, self._clock(), self._new_id)

    async def _expire(self) -> None:
        window = self._limits.backmatch
        await worklist_upkeep.expire(
            self._pool, self._settings, self._clock(), self._new_id, window=window
        )

    async def _fail(
        self, resolution_id: uuid.UUID, trace: TraceRequest | None, error: Exception
    ) -> bool:
        """End what fails in the same way each time, with nothing changed: a person sees it."""
        log.error(
            "resolution_failed", resolution_id=str(resolution_id), error=telemetry.describe(error)
        )
        async with transaction(self._pool) as connection:
            if trace is not None:
                if await trace_requests.hold(connection, trace) is None:
                    return False
                await trace_requests.finish(connection, trace.trace_id, decisions.FAILED)
            order = await resolutions.get(connection, resolution_id)
            if order is not None:
                await worklist.hold(connection, order.entry_id)
                order = await resolutions.hold(connection, resolution_id)
            if order is not None:
                await self._end(connection, order, Ended("refused", decisions.FAILED))
        return True

    # -- what is begun

    async def _begin(self, resolution_id: uuid.UUID) -> bool:
        async with transaction(self._pool) as connection:
            order = await resolutions.get(connection, resolution_id)
        if order is None or order.state != "waiting":
            return False
        if order.action not in ("resolve", "retry"):
            return await self._settle(resolution_id, None, None)
        return await growing(
            self._pool, lambda connection, locks: self._ask_pds(connection, resolution_id, locks)
        )

    async def _ask_pds(
        self, connection: Connection, resolution_id: uuid.UUID, locks: frozenset[str]
    ) -> bool:
        """File the first question of a decision, or end it where there is none to ask."""
        order = await resolutions.get(connection, resolution_id)
        row = await self._claim(connection, order) if order is not None else None
        ledger = None
        if row is not None and row.event is not None:
            ledger = await open_ledger(
                connection,
                self._limits,
                self._seeds(row, None, None),
                now=self._clock(),
                new_id=self._new_id,
                more_locks=locks,
            )
            row = ledger.claim(row.reported_event_id)
        if order is not None:
            await worklist.hold(connection, order.entry_id)
            order = await resolutions.hold(connection, resolution_id)
        if order is None or order.state != "waiting":
            return False
        entry = await worklist.entry(connection, order.entry_id)
        rule = hindrance(entry, row)
        asked = None
        if rule is None and row is not None and ledger is not None:
            asked = question(order, row, self._limits, self._new_id)
            if asked is not None and asked.kind == "search" and ledger.unsearchable(row):
                rule, asked = decisions.OLD_LIFE, None
        if asked is None:
            await self._end(connection, order, Ended("refused", rule or decisions.NOT_TRACEABLE))
        else:
            await trace_requests.add(connection, [asked])
            await resolutions.filed(connection, resolution_id, asked.trace_id)
        return True

    # -- what is done

    async def _settle(
        self, resolution_id: uuid.UUID, trace: TraceRequest | None, answer: TraceAnswer | None
    ) -> bool:
        """End a decision, in one transaction; False if it, or its request, ended meanwhile."""
        lanes = await growing(
            self._pool,
            lambda connection, locks: self._decide(connection, resolution_id, trace, answer, locks),
        )
        faults.point("tracer.after_commit")
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)
        return lanes is not None

    async def _decide(
        self,
        connection: Connection,
        resolution_id: uuid.UUID,
        trace: TraceRequest | None,
        answer: TraceAnswer | None,
        locks: frozenset[str],
    ) -> set[int] | None:
        order = await resolutions.get(connection, resolution_id)
        row = await self._claim(connection, order) if order is not None else None
        ledger, look, came, held = None, None, None, None
        if row is not None:
            seeds = self._seeds(row, trace, answer)
            if order is not None and order.action == "undo":  # what went along goes back with it
                along = await claims.decided_with(connection, row.reported_event_id)
                seeds = replace(seeds, events=seeds.events | along)
            if trace is not None and answer is not None:
                look = await self._follower.look_if_changed(connection, trace, answer, locks)
            ledger = await open_ledger(
                connection,
                self._limits,
                seeds if look is None else seeds.also(look.seeds),
                now=self._clock(),
                new_id=self._new_id,
                more_locks=locks,
            )
        if look is not None:
            await self._follower.lock(connection, look, locks)
        if trace is not None and answer is not None:
            if (held := await trace_requests.hold(connection, trace)) is None:
                return None
            if await standing.outdated(connection, held, answer, self._limits.keys, ledger):
                return None
            if ledger is not None:  # the answer is of a number, whatever becomes of the decision
                came = await self._follower.follow(connection, ledger, look, held, answer, locks)
        lanes: set[int] = set()
        if order is not None:
            await worklist.hold(connection, order.entry_id)
            order = await resolutions.hold(connection, resolution_id)
        if order is None:  # taken away with its entry, or done
            lanes = await write(connection, ledger) if ledger is not None else set()
        elif ledger is None or row is None:
            await self._end(connection, order, Ended("refused", GONE))
        else:
            lanes = await self._carry_out(connection, order, ledger, row, trace, answer)
        if trace is not None and answer is not None:
            if ledger is not None and held is not None:
                await self._follower.end(connection, ledger, look, came)
                await standing.stand(connection, ledger, answer, self._limits.keys)
                await self._follower.heed_word(connection, ledger, held, answer)
            await trace_requests.finish(connection, trace.trace_id, answer.outcome.rule)
            following.report(trace, came)
        return lanes

    async def _carry_out(
        self,
        connection: Connection,
        order: Resolution,
        ledger: Ledger,
        seen: ClaimRow,
        trace: TraceRequest | None,
        answer: TraceAnswer | None,
    ) -> set[int]:
        entry = await worklist.entry(connection, order.entry_id)
        row = ledger.claim(seen.reported_event_id)
        undoing = order.action == "undo"
        if entry is None or (entry.closed_at is not None) is not undoing:
            # ended meanwhile: by a later event, by age, by somebody else
            ended = Ended("refused", decisions.OVERTAKEN)
            lanes = await write(connection, ledger)
        else:
            hindered = None
            # PDS's word of a number that was sent, where the person named another
            if trace is not None and answer is not None and not is_last(order, trace):
                hindered = decisions.sent_number(ledger, row, trace.token, answer)
                if hindered is None:
                    await self._ask_next(connection, order, seen, trace, answer)
                    return await write(connection, ledger)
            ended = hindered or decisions.decide(ledger, row, order, answer)
            lanes = await write(connection, ledger)
            if order.action == "ask":
                letter = question_letters.draft(self._desk, order, entry, row, self._clock())
                ended = await self._ask(connection, letter)
        await self._end(connection, order, ended)
        closed = entry is not None and ended.state == "done"
        if closed and order.action in ("resolve", "reject") and not order.scheduled:
            await worklist.ended(
                connection,
                order.entry_id,
                by=order.made_by,
                name=order.made_by_name,
                reason=order.reason,
            )
        if entry is not None and order.action == "retry":
            tries = entry.tries + order.scheduled
            again = doubts.next_try(
                ended.outcome,
                tries,
                self._clock(),
                self._limits.worklist_retries,
                of=entry.reported_event_id,
            )
            if again is not None and not order.scheduled:  # its own time stands
                again = entry.next_try_at or again
            await worklist.tried(
                connection, order.entry_id, next_try_at=again, by_schedule=order.scheduled
            )
        return lanes

    async def _ask_next(
        self,
        connection: Connection,
        order: Resolution,
        row: ClaimRow,
        trace: TraceRequest,
        answer: TraceAnswer,
    ) -> None:
        following_on = question(order, row, self._limits, self._new_id, after=trace.token)
        if following_on is None:
            raise ContractError("A resolution that waits for PDS names no number.")
        await trace_requests.finish(connection, trace.trace_id, answer.outcome.rule)
        await trace_requests.add(connection, [following_on])
        await resolutions.filed(connection, order.resolution_id, following_on.trace_id)

    async def _ask(self, connection: Connection, letter: letters.Draft) -> Ended:
        """Where no policy lets the letter go the question stands with the entry alone."""
        [said] = await letters.write(connection, [letter], self._desk, self._clock())
        return Ended("done", "asked" if said.permitted else NOT_TOLD)

    async def _end(self, connection: Connection, order: Resolution, ended: Ended) -> None:
        """Write how it ended, for who decided it and in the audit chain."""
        now = self._clock()
        await resolutions.end(
            connection,
            order.resolution_id,
            state=ended.state,
            outcome=ended.outcome,
            evidence=ended.evidence,
            now=now,
        )
        metrics.count(
            "halyard_worklist_decisions_total",
            action="schedule" if order.scheduled else order.action,
            state=ended.state,
        )
        if order.scheduled:
            return
        asked = self._desk.ask(
            Flow.WORKLIST,
            order.organisation,
            frozenset({f"worklist.{order.action}"}),
            at=now,
            count=False,
        )
        entry = self._desk.entry(
            asked,
            at=now,
            kind="review",
            person=order.person,
            chain=order.organisation,
            subject=f"worklist:{order.entry_id}",
            detail=(
                ("act", order.action),
                ("decision", str(order.resolution_id)),
                ("state", ended.state),
                ("outcome", ended.outcome),
            ),
        )
        await audit.append(connection, [entry])

    def _seeds(
        self, row: ClaimRow, trace: TraceRequest | None, answer: TraceAnswer | None
    ) -> Seeds:
        """The claim with all of its key and visit, what guards the question, and whom PDS named."""
        found = None
        if answer is not None:
            found = person_answered(answer, self._limits.keys, self._clock())
        numbers = {one for one in (row.person, row.number_token) if one is not None}
        if trace is not None:
            numbers.add(trace.token)
        return Seeds(
            keys=frozenset({row.key}),
            visits=frozenset({row.visit_id} if row.visit_id is not None else ()),
            numbers=frozenset(numbers),
            events=frozenset({row.reported_event_id}),
        ).naming(found)

    async def _claim(self, connection: Connection, order: Resolution) -> ClaimRow | None:
        event_id = order.reported_event_id
        return None if event_id is None else await claims.of_event(connection, event_id)
