"""The sink: poll, read, write versions and offsets in one transaction, again.

Where the store stands is asked of the store, at the start and whenever somebody else has written.
A broker or database that is away is waited for, with back-off, for ``worker.transient_seconds``;
then the process ends non-zero and its supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from connectors.kafka_reader import KafkaReader, OffsetGone, Place, Taken
from connectors.ncmd.letters import DeadLetters
from connectors.ncmd.port import Batch, Dead, NotPermitted, Port, StoreMoved
from connectors.ncmd.position import Gap, Log, gap_of, refusal, refused
from connectors.ncmd.reading import read
from halyard import metrics, telemetry
from halyard.clock import Clock
from halyard.dead_letters import described
from halyard.errors import ContractError, PermanentError, TransientError
from halyard.settings import Settings
from schemas.topics import CASE_CHANGED
from stores.ncmd import Applied, Arrived

NAME: Final = "ncmd"
LOOK_SECONDS: Final = 5.0  # between two looks for new partitions and the ends of the log
ASK_SECONDS: Final = 1.0  # before what no policy permits is asked about again
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

T = TypeVar("T")

log = telemetry.get_logger()


class TooMuchPoison(PermanentError):
    """Too many records in a row cannot be taken; look at the dead-letter topic, upgrade or mend."""


class Sink:
    """The loop of the process, and what it tells the health server."""

    def __init__(
        self,
        settings: Settings,
        *,
        port: Port,
        reader: KafkaReader,
        letters: DeadLetters,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = settings.worker
        self._after_gap = settings.ncmd.after_gap
        self._port = port
        self._reader = reader
        self._letters = letters
        self._clock = clock
        self._monotonic = monotonic
        self._places: set[Place] = set()
        self._missing = True
        self._stands: dict[int, int] = {}  # where the store stood when it was last heard of
        self._waiting: str | None = None
        self._denied: dict[int, str] = {}  # partitions that no policy permits to be stored, and why
        self._behind_since: float | None = None
        self._poison_in_a_row = 0

    def waiting(self) -> str | None:
        """Why nothing is stored now (a readiness check)."""
        if self._waiting is None and self._missing:
            return f"the topic {CASE_CHANGED} is missing; run `halyard topics apply`"
        return self._waiting or next(iter(self._denied.values()), None)

    def stalled(self) -> str | None:
        """Why the process should be restarted, else None (a liveness check)."""
        if self._behind_since is None or self._denied:
            return None  # a restart permits nothing
        seconds = self._monotonic() - self._behind_since
        if seconds <= self._worker.verdict_seconds:
            return None
        return f"nothing stored for {seconds:.0f} s while the log grows"

    async def run(
        self, stopping: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """Store until `stopping`; `on_ready` is called when reading begins.

        Raises what outlasts ``worker.transient_seconds``, `LogGap` where the log does not follow
        on the store, `TooMuchPoison`.
        """
        await self._patiently(self._reader.open)
        looked_at = float("-inf")
        while not stopping.is_set():
            if self._monotonic() - looked_at >= LOOK_SECONDS:
                await self._patiently(self._look)
                looked_at = self._monotonic()
                if not self._missing:
                    on_ready()
            if self._missing:
                await _within(stopping, 0.5)
                looked_at = float("-inf")
                continue
            try:
                if batch := await self._patiently(self._reader.take):
                    await self._store(batch)
            except (StoreMoved, OffsetGone) as error:
                log.warning("ncmd_reads_again", reason=error.message)
                await self._patiently(partial(self._assign, self._places))
            except NotPermitted:
                await _within(stopping, ASK_SECONDS)
                await self._patiently(partial(self._assign, self._places))

    async def _look(self) -> None:
        """Take on partitions that are new; compare what is stored with the ends of the log."""
        places, missing = await self._reader.find()
        self._missing = bool(missing)
        if places != self._places:
            await self._assign(places)
            self._places = places
        if not places:
            return
        await self._reader.commit({(CASE_CHANGED, p): n for p, n in self._stands.items()})
        ends = await self._reader.ends(places)
        behind = sum(max(0, end - self._stands.get(p, 0)) for (_, p), end in ends.items())
        metrics.gauge("halyard_ncmd_behind", behind)
        if behind:
            self._behind_since = self._behind_since or self._monotonic()
        else:
            self._behind_since = None

    async def _assign(self, places: set[Place]) -> None:
        """Read on from where the store stands; `LogGap` if the log does not reach there."""
        incarnation = await self._reader.incarnation(CASE_CHANGED)
        stored = await self._port.begin([number for _, number in places], incarnation)
        starts = await self._reader.starts(places)
        ends = await self._reader.ends(places)
        if not (starts.keys() >= places and ends.keys() >= places):
            raise TransientError("The broker does not tell yet where the log begins and ends.")
        logs = {place[1]: Log(starts[place], ends[place], incarnation) for place in sorted(places)}
        gaps = [
            gap
            for number, here in logs.items()
            if (gap := gap_of(number, stored[number], here)) is not None
        ]
        if refused(gaps, self._after_gap):
            raise refusal(CASE_CHANGED, gaps)
        self._stands = {number: stored[number].next_offset for number in logs}
        for gap in gaps:
            await self._go_on(gap, incarnation)
        await self._reader.assign(places, {(CASE_CHANGED, p): n for p, n in self._stands.items()})
        log.info("ncmd_assigned", partitions=len(places))

    async def _go_on(self, gap: Gap, incarnation: str) -> None:
        """Read on behind a gap that a person gave leave for."""
        log.warning(
            "ncmd_log_gap",
            gap=gap.kind,
            partition=gap.partition,
            expected=gap.expected,
            found=gap.found,
        )
        metrics.count("halyard_ncmd_gaps_total", kind=gap.kind)
        await self._port.go_on(
            gap.partition, expected=gap.expected, found=gap.found, incarnation=incarnation
        )
        self._stands[gap.partition] = gap.found

    async def _store(self, batch: Sequence[Taken]) -> None:
        began = self._monotonic()
        # a client that was told to read elsewhere gives nothing from before; if it did, it is known
        batch = [one for one in batch if one.record.offset >= self._stands[one.record.partition]]
        if not batch:
            return
        told: set[int] = set()  # dead letters that are written, should the batch be taken apart
        try:
            await self._write(batch, told)
        except (ContractError, NotPermitted):
            # one of them cannot be kept, or not yet: alone, each shows itself
            await self._one_by_one(batch, told)
        self._behind_since = None
        now = self._clock().timestamp()
        metrics.gauge("halyard_last_event_timestamp_seconds", now, stage=NAME)
        metrics.observe("halyard_stage_batch_seconds", self._monotonic() - began, stage=NAME)

    async def _one_by_one(self, batch: Sequence[Taken], told: set[int]) -> None:
        """Write each record alone. What no policy permits holds up its own partition; raises
        `NotPermitted` at the end, if there was any.
        """
        waits: dict[int, NotPermitted] = {}
        for taken in batch:
            partition = taken.record.partition
            if partition in waits:
                continue
            try:
                await self._write([taken], told)
            except NotPermitted as error:
                waits[partition] = error
            except ContractError as refused:
                await self._write([taken], told, refused)
        for partition, waiting in waits.items():
            if partition not in self._denied:
                log.error("ncmd_not_permitted", partition=partition, reason=waiting.message)
            self._denied[partition] = waiting.message
        metrics.gauge("halyard_ncmd_denied", len(self._denied))
        if waits:
            raise next(iter(waits.values()))

    async def _write(
        self, batch: Sequence[Taken], told: set[int], refused: ContractError | None = None
    ) -> None:
        """Write `batch` in one transaction; with `refused` its records are dead."""
        arrived: list[Arrived] = []
        dead: list[tuple[Taken, ContractError]] = []
        in_a_row = self._poison_in_a_row
        for taken in batch:
            found = refused or _read(taken)
            if isinstance(found, Arrived):
                arrived.append(found)
                in_a_row = 0
                continue
            dead.append((taken, found))
            in_a_row += 1
            if in_a_row > self._worker.max_poison_in_a_row:
                raise TooMuchPoison(
                    f"More than {self._worker.max_poison_in_a_row} records in a row cannot be "
                    f"taken into the NCMD store ({found.message}). The last of them wait in the "
                    "log; upgrade this process or inspect their producer."
                )
        for taken, error in dead:
            if id(taken) not in told:
                await self._patiently(partial(self._letters.write, taken, error, self._clock()))
                told.add(id(taken))
        following = {taken.record.partition: taken.record.offset + 1 for taken in batch}
        applied = await self._patiently(
            partial(
                self._port.apply,
                Batch(
                    expected={number: self._stands[number] for number in following},
                    following=following,
                    arrived=arrived,
                    dead=[
                        Dead(taken.record.partition, taken.record.offset, described(error))
                        for taken, error in dead
                    ],
                ),
            )
        )
        self._poison_in_a_row = in_a_row
        self._stands.update(following)
        self._denied = {at: why for at, why in self._denied.items() if at not in following}
        metrics.gauge("halyard_ncmd_denied", len(self._denied))
        _count(applied, arrived)

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat `step` while its failure may pass, with back-off, within the limit."""
        give_up_at = self._monotonic() + self._worker.transient_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                result = await step()
            except (StoreMoved, NotPermitted):
                raise  # another place must be read first; no wait makes a policy
            except TransientError as error:
                if self._monotonic() >= give_up_at:
                    raise
                if pause == _FIRST_PAUSE:
                    log.warning("ncmd_waits", reason=telemetry.describe(error))
                self._waiting = error.message
            else:
                self._waiting = None
                return result
            await asyncio.sleep(min(pause, max(0.0, give_up_at - self._monotonic())))
            pause = min(2 * pause, _LONGEST_PAUSE)


def _read(taken: Taken) -> Arrived | ContractError:
    try:
        return read(taken.record)
    except ContractError as error:
        return error


def _count(applied: Applied, arrived: Sequence[Arrived]) -> None:
    unknown = sum(one.needs_person for one in arrived)
    for result, amount in (("fresh", applied.fresh), ("repeat", applied.repeated)):
        if amount:
            metrics.count("halyard_stage_events_total", amount, stage=NAME, result=result)
    if applied.gaps:
        metrics.count("halyard_ncmd_gaps_total", applied.gaps, kind="version")
        log.warning("ncmd_versions_missing", cases=applied.gaps)
    if unknown:
        metrics.count("halyard_ncmd_unknown_total", unknown)
        log.warning("ncmd_unknown_symbols", versions=unknown)


async def _within(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
