"""The cases stage: verified deaths and reports in, cases and answers out, one transaction a batch.

The anatomy of every stage: take what is new, lock, load what is known, decide, write, hand over.
Messages are applied one by one, so that the history of a case does not depend on how they were
batched. The ends of holds are decided by the same functions, a thread a transaction (`sweep`).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from halyard import faults, metrics, postgres
from halyard.clock import Clock
from halyard.errors import ContractError, PermanentError
from halyard.kafka import TRACEPARENT, Incoming, header
from halyard.lock_sets import growing
from halyard.postgres import Connection, Pool
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import describe, get_logger, new_traceparent
from policies.model import Policies
from schemas import codec
from schemas.deaths import DeathVerified, ReportVerified
from stores import case_messages, inbox, outbox
from stores.case_messages import Thread
from stores.directory import Directory
from streams.cases import prompts
from streams.cases.holdings import world_of
from streams.cases.taking import Taken, Taking, open_taking
from streams.outbox_publisher import with_point

STAGE: Final = "cases"
SWEEP_PAGE: Final = 200
CHUNK: Final = 50
"""Events of one transaction: each takes twenty advisory locks or more, and the room that PostgreSQL
has for locks (64 a connection, by default) is shared by all workers."""

log = get_logger()


class CasesStage:
    """Processes batches of verified deaths and reports; holds no state between them."""

    def __init__(
        self,
        pool: Pool,
        keys: Keys,
        settings: Settings,
        directory: Directory,
        send: outbox.Send,
        clock: Clock,
        policies: Policies | None = None,
    ) -> None:
        """Without `policies`, those that the settings name hold."""
        self._pool, self._clock = pool, clock
        self._world = world_of(settings, keys, directory, policies)
        self._hold = timedelta(hours=settings.cases.hold_hours)
        self._send = with_point(send, "cases.after_produce")

    async def process(self, batch: Sequence[Incoming]) -> None:
        """Bring `batch` to safety, `CHUNK` events a transaction; a batch that is taken again finds
        those of earlier transactions in the inbox.

        Raises `TransientError` for what passes by itself, `ContractError` for a record that is
        not a verified death or report.
        """
        taken: dict[uuid.UUID, Taken] = {}
        for record in batch:
            event = _decoded(record)
            trace = header(record.headers, TRACEPARENT) or new_traceparent()
            taken.setdefault(event.event_id, Taken(event, trace))
        events = list(taken.items())
        for start in range(0, len(events), CHUNK):
            await self._take(dict(events[start : start + CHUNK]))

    async def _take(self, taken: Mapping[uuid.UUID, Taken]) -> None:
        async def fresh(connection: Connection) -> list[Taken]:
            new = await inbox.take(connection, STAGE, taken)
            return [one for event_id, one in taken.items() if event_id in new]

        async def work(taking: Taking, new: Sequence[Taken]) -> None:
            for one in new:
                await taking.take(one)

        await self._run(fresh, (), work)

    async def sweep(self) -> int:
        """Decide what was held and is due; gives how many notifications that were.

        Safe beside other sweepers and the stage: each locks the notification, looks again, and
        finds nothing due if another was there.
        """
        swept = 0
        last: case_messages.Due | None = None
        while True:
            async with postgres.transaction(self._pool) as connection:
                due = await case_messages.held_due(
                    connection, self._clock(), after=last, limit=SWEEP_PAGE
                )
                metrics.gauge("halyard_case_messages_held", await case_messages.held(connection))
            for last in due:
                try:
                    await self._expire(last.thread, last.stream)
                    swept += 1
                except PermanentError as error:  # one that cannot be decided holds up no other
                    log.error("case_hold_stuck", stage=STAGE, error=describe(error))
            if len(due) < SWEEP_PAGE:
                return swept

    async def purge(self) -> int:
        """Forget prompts that were closed long ago; gives how many."""
        return await prompts.purge(self._pool, self._clock())

    async def _expire(self, thread: Thread, stream: str) -> None:
        async def nothing(connection: Connection) -> list[Taken]:
            return []

        async def work(taking: Taking, new: Sequence[Taken]) -> None:
            await taking.expire(thread, stream)

        await self._run(nothing, {thread}, work)

    async def _run(
        self,
        fresh: Callable[[Connection], Awaitable[Sequence[Taken]]],
        threads: Collection[Thread],
        work: Callable[[Taking, Sequence[Taken]], Awaitable[None]],
    ) -> None:
        """One transaction, begun again with more locks where that is needed; then publish."""

        async def decide(
            connection: Connection, locks: frozenset[str]
        ) -> tuple[Taking | None, set[int]]:
            new = await fresh(connection)
            taking, lanes = None, set[int]()
            if new or threads:
                taking = await open_taking(
                    connection,
                    self._world,
                    new,
                    threads,
                    hold=self._hold,
                    now=self._clock(),
                    locks=locks,
                )
                await work(taking, new)
                lanes = await taking.write()
            faults.point("cases.before_commit")
            return taking, lanes

        taking, lanes = await growing(self._pool, decide)
        faults.point("cases.after_commit")
        if taking is not None:
            taking.tell()
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)


def _decoded(incoming: Incoming) -> DeathVerified | ReportVerified:
    event = codec.decode(incoming.value)
    if not isinstance(event, DeathVerified | ReportVerified):
        raise ContractError(
            f"{incoming.topic} holds {type(event).__name__}, which cases does not take."
        )
    return event
