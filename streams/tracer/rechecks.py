"""Asks PDS again about a person whom the hub knows already, and carries what it says.

One transaction: the index, what is said on the bus, what matching holds, the letters and the end
of the request (docs/adr/0047); `streams.tracer.following` knows how.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

from connectors.pds.outcomes import Found, Invalidated, Superseded
from halyard import faults, metrics
from halyard.clock import Clock
from halyard.lock_sets import growing
from halyard.postgres import Connection, Pool
from policies.desk import Desk
from stores import outbox, trace_requests
from stores.trace_requests import TraceRequest
from streams.identity.answers import TraceAnswer
from streams.identity.apply import open_ledger, write
from streams.identity.changes import Limits
from streams.outbox_publisher import with_point
from streams.tracer import following, standing
from streams.tracer.followed import Followed
from streams.tracer.following import Follower

ASKED_AGAIN_AT_MOST: Final = 3
"""How often PDS is asked about somebody it has no record of, before a person looks."""
_AGAIN_SECONDS: Final = 600.0
_IN_FLIGHT_SECONDS: Final = 2.0


class Rechecker:
    """Ends requests of purpose "recheck". `send` publishes; `new_id` gives random ids."""

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
        """Apply `answer` to all that is held of the person; False if the request was done or
        cancelled meanwhile, or is to be asked again later.

        Raises `TransientError`; the lease then ends by itself and the request is asked again.
        """
        if not isinstance(answer.outcome, Found | Superseded | Invalidated):
            said = answer.outcome.rule
            seen = trace.answered.count(said) + 1
            if seen < ASKED_AGAIN_AT_MOST:
                await self._again(trace, said, _AGAIN_SECONDS * seen)
                return False
        done = await growing(
            self._pool,
            lambda connection, locks: self._apply(connection, trace, answer, locks),
        )
        faults.point("tracer.after_commit")
        if done is None:
            return False
        followed, lanes = done
        following.report(trace, followed or Followed("not_known"))
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)
        return True

    async def _again(self, trace: TraceRequest, said: str, seconds: float) -> None:
        """Keep that PDS had no record, and ask later. Of no call that had no answer at all is kept
        anything: an outage is no word about somebody.
        """
        if await trace_requests.progress(self._pool, trace, said):
            metrics.count("halyard_number_rechecks_total", outcome="asked_again")
            await trace_requests.again(
                self._pool, trace.trace_id, seconds=seconds, attempts=trace.attempts
            )

    async def _apply(
        self,
        connection: Connection,
        trace: TraceRequest,
        answer: TraceAnswer,
        locks: frozenset[str],
    ) -> tuple[Followed | None, set[int]] | None:
        look = await self._follower.look(connection, trace.token, answer)
        ledger = await open_ledger(
            connection,
            self._limits,
            look.seeds,
            now=self._clock(),
            new_id=self._new_id,
            more_locks=locks,
        )
        await self._follower.lock(connection, look, locks)
        held = await trace_requests.hold(connection, trace)
        if held is None:
            return None
        if await standing.outdated(connection, held, answer, self._limits.keys, ledger):
            return None
        known = ledger.person(look.person)
        if known is None and await trace_requests.asking(connection, [look.person]):
            # who is being asked about for an event may be known in a moment, by an older answer
            await trace_requests.put_back(connection, held, seconds=_IN_FLIGHT_SECONDS)
            return None
        ledger.finish(trace, answer.outcome.rule)
        followed = await self._follower.decide(connection, ledger, held, look, locks)
        lanes = await write(connection, ledger)
        await self._follower.end(connection, ledger, look, followed)
        return followed, lanes
