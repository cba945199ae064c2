"""Carries PDS's answer to what waits for it: one transaction, with the ladder and the writer of
identity; then publishes."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from halyard import faults
from halyard.clock import Clock
from halyard.lock_sets import LockSetGrew, growing
from halyard.postgres import Connection, Pool
from policies.desk import Desk
from stores import outbox, parked, trace_requests
from stores.trace_requests import TraceRequest
from streams.identity import answering, rechecks
from streams.identity.answers import TraceAnswer, person_answered
from streams.identity.apply import Seeds, open_ledger, write
from streams.identity.changes import Limits
from streams.outbox_publisher import with_point
from streams.tracer import following, standing
from streams.tracer.followed import Followed
from streams.tracer.following import Follower


class Releaser:
    """Ends trace requests. `send` publishes; `new_id` gives random ids."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        desk: Desk,
        send: outbox.Send,
        clock: Clock,
        *,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._send = with_point(send, "tracer.after_produce")
        self._clock = clock
        self._new_id = new_id
        self._follower = Follower(limits, desk, clock, new_id)

    async def release(self, trace: TraceRequest, answer: TraceAnswer) -> bool:
        """Decide anew all that waits for `trace`; False if it was done or cancelled meanwhile, or
        is to be asked again, because the answer is older than what is known by now.

        If PDS says of somebody known that the number stands no more, or anything else that is
        otherwise, that is followed first, in the same transaction: what is then judged finds plan,
        visit and alert where and as they belong.

        Raises `TransientError`; the lease then ends by itself and the request is asked again.
        """
        done = await growing(
            self._pool,
            lambda connection, locks: self._decide(connection, trace, answer, locks),
        )
        faults.point("tracer.after_commit")
        if done is None:
            return False
        followed, lanes = done
        following.report(trace, followed)
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)
        return True

    async def _decide(
        self,
        connection: Connection,
        trace: TraceRequest,
        answer: TraceAnswer,
        locks: frozenset[str],
    ) -> tuple[Followed | None, set[int]] | None:
        keys = await parked.behind(connection, trace.trace_id)
        look = await self._follower.look_if_changed(connection, trace, answer, locks)
        found = person_answered(answer, self._limits.keys, self._clock())
        seeds = Seeds(keys=frozenset(keys), numbers=frozenset({trace.token})).naming(found)
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
        held = await trace_requests.hold(connection, trace)
        if held is None:
            return None
        if await standing.outdated(connection, held, answer, self._limits.keys, ledger):
            return None
        if await parked.behind(connection, trace.trace_id) != keys:
            raise LockSetGrew(locks)
        followed = await self._follower.follow(connection, ledger, look, held, answer, locks)
        contradicts = followed is not None and followed.rule == rechecks.DIFFERS
        doubted = trace.token if contradicts else None
        answering.answer(ledger, held, keys, answer, doubted=doubted)
        lanes = await write(connection, ledger)
        await self._follower.end(connection, ledger, look, followed)
        await standing.stand(connection, ledger, answer, self._limits.keys)
        await self._follower.heed_word(connection, ledger, held, answer)
        return followed, lanes
