"""`halyard journal`: poll, index, store rows and offsets in one transaction; no body is kept.

A broker or database that is away is waited for, with back-off, for ``worker.transient_seconds``;
then the process ends non-zero and its supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from connectors.journal.index import entry_of
from connectors.journal.reader import Reader
from halyard import faults, metrics, telemetry
from halyard.clock import Clock, system_clock
from halyard.errors import TransientError
from halyard.kafka import Incoming
from halyard.postgres import Pool, make_pool, transaction
from halyard.privacy import Keys, load_keys
from halyard.service import Service, cancel_all
from halyard.settings import Settings
from stores import bus_key, journal
from stores.journal import Place

NAME: Final = "journal"
LOOK_SECONDS: Final = 5.0  # between two looks for new partitions and the ends of the log
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

T = TypeVar("T")

log = telemetry.get_logger()


class Journal:
    """The loop of the process, and what it tells the health server."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool: Pool,
        reader: Reader,
        keys: Keys,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = settings.worker
        self._pool = pool
        self._reader = reader
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._places: set[Place] = set()
        self._missing: set[str] = set()
        self._following: dict[Place, int] = {}  # what is stored: the next offset of each place
        self._waiting: str | None = None
        self._behind_since: float | None = None

    def waiting(self) -> str | None:
        """Why nothing, or not everything, is indexed now (a readiness check)."""
        if self._waiting is None and self._missing:
            return f"{len(self._missing)} topics are missing; run `halyard topics apply`"
        return self._waiting

    def stalled(self) -> str | None:
        """Why the process should be restarted, else None (a liveness check)."""
        if self._behind_since is None:
            return None
        seconds = self._monotonic() - self._behind_since
        if seconds <= self._worker.verdict_seconds:
            return None
        return f"nothing indexed for {seconds:.0f} s while the log grows"

    async def run(
        self, stopping: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """Index until `stopping`; `on_ready` is called when reading begins.

        Raises what outlasts ``worker.transient_seconds``.
        """
        await self._patiently(self._reader.open)
        self._following = await self._patiently(self._load)
        looked_at = float("-inf")
        while not stopping.is_set():
            if self._monotonic() - looked_at >= LOOK_SECONDS:
                await self._patiently(self._look)
                looked_at = self._monotonic()
                on_ready()
            # a failed write leaves the position behind it: the batch is kept until it stands
            if batch := await self._patiently(self._reader.poll):
                await self._patiently(partial(self._store, batch))

    async def _load(self) -> dict[Place, int]:
        async with transaction(self._pool) as connection:
            return await journal.offsets(connection)

    async def _look(self) -> None:
        """Take on partitions that are new; compare what is indexed with the ends of the log."""
        places, missing = await self._reader.find()
        if missing != self._missing:
            self._missing = missing
            if missing:
                log.warning("journal_topics_missing", topics=sorted(missing))
        if places != self._places:
            await self._reader.assign(places, self._following)
            self._places = places
            log.info("journal_assigned", partitions=len(places))
        ends = await self._reader.ends(places)
        behind = [place for place, end in ends.items() if self._following.get(place, 0) < end]
        # A log whose records are all gone has an end, but nothing before it to read
        positions = await self._reader.positions(behind)
        if any(positions.get(place, 0) < ends[place] for place in behind):
            self._behind_since = self._behind_since or self._monotonic()
        else:
            self._behind_since = None

    async def _store(self, batch: Sequence[Incoming]) -> None:
        now = self._clock()
        entries = [entry_of(record, self._keys, now) for record in batch]
        following = {(entry.topic, entry.partition): entry.offset + 1 for entry in entries}
        async with transaction(self._pool) as connection:
            await journal.record(connection, entries)
            await journal.save_offsets(connection, following)
            faults.point("journal.before_commit")
        faults.point("journal.after_commit")
        self._tell_gaps(batch)
        self._following.update(following)
        self._behind_since = None
        metrics.gauge("halyard_last_event_timestamp_seconds", now.timestamp(), stage=NAME)

    def _tell_gaps(self, batch: Sequence[Incoming]) -> None:
        """Records that retention took before they were indexed: said, for nobody can mend it."""
        first: dict[Place, int] = {}
        for record in batch:
            first.setdefault((record.topic, record.partition), record.offset)
        for (topic, number), offset in first.items():
            known = self._following.get((topic, number))
            if known is not None and offset != known:
                log.warning(
                    "journal_gap", topic=topic, partition=number, expected=known, found=offset
                )

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat `step` while its failure may pass, with back-off, within the limit."""
        give_up_at = self._monotonic() + self._worker.transient_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                result = await step()
            except TransientError as error:
                if self._monotonic() >= give_up_at:
                    raise
                if pause == _FIRST_PAUSE:
                    log.warning("journal_waits", reason=telemetry.describe(error))
                self._waiting = error.message
            else:
                self._waiting = None
                return result
            await asyncio.sleep(min(pause, max(0.0, give_up_at - self._monotonic())))
            pause = min(2 * pause, _LONGEST_PAUSE)


async def run(service: Service, settings: Settings, *, clock: Clock = system_clock) -> None:
    """Run until `service.stopping`.

    Raises `ConfigurationError` for missing keys, and `BrokerUnavailable` or `DatabaseUnavailable`
    when Kafka or PostgreSQL stays away for ``worker.transient_seconds``.
    """
    keys = load_keys(settings.security)
    pool = make_pool(settings, name=NAME, size=1)
    reader = Reader(settings)
    loop = Journal(settings, pool=pool, reader=reader, keys=keys, clock=clock)
    service.add_readiness(NAME, loop.waiting)
    service.add_liveness(NAME, loop.stalled)

    def reading() -> None:
        service.ready = True

    share = settings.worker.stop_seconds / 4  # what each part of the end may take
    try:
        await pool.open(wait=False)
        service.spawn(bus_key.watch(bus_key.guard(pool, keys.bus_id)), name="bus-key")
        work = asyncio.ensure_future(loop.run(service.stopping, on_ready=reading))
        stop = asyncio.ensure_future(service.stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            # the batch in hand may end; a database that hangs may not hold the stop
            await asyncio.wait({work}, timeout=share)
            if work.done():
                await work
        finally:
            await cancel_all([work, stop], share)
    finally:
        await reader.close(share)
        await pool.close(share)
