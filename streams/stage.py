"""A stage of the stream: records in, batches to its agent, offsets committed after the verdict.

    await run_stage(service, settings, Stage(name, group, topics, process), pool=…, producer=…)

An offset is committed only when every record before it is in the inbox (`process` returned) or
dead-lettered. Order within a partition is the order of the log. A revocation waits for the batch
in hand for a time that is shorter than the group's patience, then cancels it uncommitted (rule
22); the new owner, or we, take it again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from halyard import faults, metrics, telemetry
from halyard.errors import BrokerUnavailable, ConfigurationError, HalyardError
from halyard.kafka import Incoming, make_consumer, qualified, unqualified
from halyard.postgres import Pool, transaction
from halyard.service import ProcessDied, Service, cancel_all
from halyard.settings import Settings
from stores import pauses
from streams.channel import CANCEL_SECONDS, BatchChannel, Process
from streams.dead_letter import DeadLetters
from streams.outbox_publisher import make_send, sweep_forever
from streams.progress import Progress
from streams.resolution import Resolver

POLL_MS = 200  # how long `getmany` waits when there is nothing
PAUSE_POLL_SECONDS = 2.0

log = telemetry.get_logger()

_Records = dict[TopicPartition, list[ConsumerRecord]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What makes a worker: names, and the one function that brings a batch to safety.

    `group` and `topics` are without namespace; the first topic goes before the others, each of
    which has a small share of every batch (`worker.max_background`).
    `process` gets the records of one or more partitions, each partition's in the order of its log;
    it returns when all are safe, raises `TransientError` if it should be called again with the same
    batch, anything else for poison.
    `guard` is called before the first batch and before each: it raises what ends the worker.
    """

    name: str
    group: str
    topics: tuple[str, ...]
    process: Process
    guard: Callable[[], Awaitable[None]] | None = None


async def run_stage(
    service: Service, settings: Settings, stage: Stage, *, pool: Pool, producer: AIOKafkaProducer
) -> None:
    """Run `stage` until `service.stopping`; `pool` is open and `producer` started.

    Beside it the outbox is swept. Raises `ProcessDied` (and what ends a worker) if the stage must
    be started again.
    """
    worker = _Worker(service, settings, stage, pool, producer)
    send = make_send(producer, settings)
    await worker.start()
    parts = [
        asyncio.ensure_future(part)
        for part in (worker.feed(), *worker.watches(), sweep_forever(pool, send))
    ]
    stopping = asyncio.ensure_future(service.stopping.wait())
    try:
        done, _ = await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
        for part in done - {stopping}:
            part.result()
            raise ProcessDied(f"A part of {stage.name} ended by itself; start it again.")
    except Exception as error:
        service.ending(error)
        raise
    finally:
        stopping.cancel()
        await worker.finish_batch()
        await cancel_all(parts, settings.worker.stop_seconds / 4)
        await worker.stop()


class _Worker(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """The feeder of one stage: consumer, channel, commits."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        stage: Stage,
        pool: Pool,
        producer: AIOKafkaProducer,
    ) -> None:
        self._service = service
        self._settings = settings
        self._limits = settings.worker
        self._stage = stage
        self._pool = pool
        self._channel = BatchChannel(
            settings,
            name=stage.name,
            group=stage.group,
            process=stage.process,
            nudge=self._nudged,
        )
        self._resolver = Resolver(stage.name, self._limits, self._channel.hand_over)
        self._dead_letters = DeadLetters(producer, settings, stage=stage.name, group=stage.group)
        self._consumer: AIOKafkaConsumer = make_consumer(
            settings,
            group=stage.group,
            client_id=f"halyard-{stage.name}",
            max_poll_records=self._limits.max_batch,
        )
        limit = max(self._limits.verdict_seconds, self._limits.transient_seconds)
        self._progress = Progress(self._consumer, limit + self._limits.take_seconds)
        self._work: asyncio.Task[None] | None = None
        self._paused: pauses.Pause | None = None
        self._nudge = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Read the pause, start the channel and the consumer; raises after ``transient_seconds``
        without database or broker, and `ConfigurationError` for a missing topic."""
        await self._resolver.persist(self._read_pause)
        try:
            await self._guarded()
        except BaseException:
            await self._consumer.stop()
            raise
        await self._resolver.persist(self._start_consumer)
        await self._channel.start()
        self._service.add_liveness(f"{self._stage.name}-commits", self._progress.stalled)
        self._service.add_readiness(f"{self._stage.name}-kafka", self._progress.blind)
        topics = [qualified(self._settings, topic) for topic in self._stage.topics]
        self._consumer.subscribe(topics, listener=self)

    async def _start_consumer(self) -> None:
        try:
            await self._consumer.start()
            there = await self._consumer.topics()
        except KafkaError as error:
            raise BrokerUnavailable(
                f"Kafka does not answer ({type(error).__name__}); check that it runs."
            ) from None
        for topic in self._stage.topics:
            if qualified(self._settings, topic) not in there:
                raise ConfigurationError(
                    f"The topic {qualified(self._settings, topic)} is missing; run "
                    "`halyard topics apply`."
                )

    async def stop(self) -> None:
        """Leave the group and stop the app; each has its share of the stop's time."""
        for what, part in (("consumer", self._consumer.stop()), ("channel", self._channel.stop())):
            task = asyncio.ensure_future(part)
            # not wait_for: a part that swallows its cancellation would hold us
            _, late = await asyncio.wait({task}, timeout=self._limits.stop_seconds / 4)
            if late:
                task.cancel()
                log.warning("stage_stop_incomplete", stage=self._stage.name, part=what)
            elif error := task.exception():
                reason = telemetry.describe(error)
                log.warning("stage_stop_incomplete", stage=self._stage.name, error=reason)

    # --- batches -----------------------------------------------------------------------------

    async def feed(self) -> None:
        """Take what is there, see it through, commit; until cancelled or `finish_batch`."""
        while not self._closing:
            # Between the end of `getmany` and `_work` nothing else runs: no revocation can fall
            # between taking a batch and knowing that one is in hand
            records = await self._take()
            if not records or self._closing:
                continue
            work = self._work = asyncio.ensure_future(self._see_through(records))
            await asyncio.wait({work})
            self._work = None
            if not work.cancelled():
                work.result()

    async def _take(self) -> _Records:
        """The next batch: what is there of the first topic, and a little of each other beside it,
        so that a heap of flags delays no arrival and no death, and is delayed by none.
        """
        if len(self._stage.topics) == 1:
            return await self._getmany(POLL_MS, self._limits.max_batch)
        ours = self._consumer.assignment()
        few = min(self._limits.max_batch, self._limits.max_background)
        # Without a time to wait no call lets anything else run, once the first has begun to take;
        # and a failure of a later one is logged there, so that what is taken is not lost
        records: _Records = {}
        for place, topic in enumerate(self._stage.topics):
            name = qualified(self._settings, topic)
            of_topic = [tp for tp in ours if tp.topic == name]
            if of_topic:
                at_most = few if place else self._limits.max_batch
                records |= await self._getmany(0, at_most, of_topic)
        return records or await self._getmany(POLL_MS, few)

    async def _getmany(
        self, wait_ms: int, at_most: int, of: Sequence[TopicPartition] = ()
    ) -> _Records:
        try:
            records: _Records = await self._consumer.getmany(
                *of, timeout_ms=wait_ms, max_records=at_most
            )
        except KafkaError as error:
            if not error.retriable:
                raise ProcessDied(
                    f"{self._stage.name} cannot read ({type(error).__name__}); "
                    "see `halyard doctor`."
                ) from None
            log.warning("poll_failed", stage=self._stage.name, error=telemetry.describe(error))
            if wait_ms:
                await asyncio.sleep(wait_ms / 1000)
            return {}
        return records

    async def _see_through(self, records: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        """One batch, from taking to commit."""
        started = time.monotonic()
        raw = {
            (record.topic, record.partition, record.offset): record
            for record in itertools.chain.from_iterable(records.values())
        }
        batch = tuple(self._incoming(record) for record in raw.values())
        metrics.gauge("halyard_last_event_timestamp_seconds", time.time(), stage=self._stage.name)
        await self._guarded()
        for poison in await self._resolver.resolve(batch):
            at = poison.record
            record = raw[qualified(self._settings, at.topic), at.partition, at.offset]
            await self._resolver.persist(partial(self._dead_letters.write, poison, record))
        await self._commit({tp: some[-1].offset + 1 for tp, some in records.items()})
        metrics.observe(
            "halyard_stage_batch_seconds", time.monotonic() - started, stage=self._stage.name
        )

    async def _guarded(self) -> None:
        if self._stage.guard is not None:
            await self._resolver.persist(self._stage.guard)

    def _incoming(self, record: ConsumerRecord) -> Incoming:
        return Incoming(
            topic=unqualified(self._settings, record.topic),
            partition=record.partition,
            offset=record.offset,
            key=(record.key or b"").decode("utf-8", "replace"),
            value=record.value or b"",
            headers=tuple((name, value or b"") for name, value in record.headers),
            timestamp_ms=record.timestamp,
        )

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        faults.point("channel.before_commit_offsets")
        try:
            # aiokafka tries again for ever; we do not
            async with asyncio.timeout(self._limits.transient_seconds):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            # The group went on without us: the new owner finds every event in the inbox
            log.info("commit_after_revocation", stage=self._stage.name, error=type(error).__name__)
        except TimeoutError:
            self._die("Kafka took no commit", self._limits.transient_seconds)
        else:
            self._progress.committed(offsets)

    def _die(self, what: str, seconds: float) -> NoReturn:
        raise ProcessDied(f"{self._stage.name}: {what} for {seconds:g} s; the worker ends.")

    async def finish_batch(self) -> None:
        """Let the batch in hand end, for half of the stop's time; then cancel it uncommitted."""
        self._closing = True
        await self._finish(self._limits.stop_seconds / 2)

    async def _finish(self, seconds: float) -> None:
        work = self._work
        deadline = time.monotonic() + seconds
        while work and not work.done() and not self._resolver.backing_off:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.wait({work}, timeout=min(left, 0.05))
        if work and not work.done():
            log.warning("batch_dropped", stage=self._stage.name)
            work.cancel()  # once: it then sees the agent's transaction end
            await asyncio.wait({work}, timeout=CANCEL_SECONDS + 1)

    # --- the group ---------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Rule 22: wait for the batch in hand less than the group waits for us, then cancel it."""
        patience = self._limits.verdict_seconds + self._limits.take_seconds
        await self._finish(min(self._limits.stop_seconds, patience / 2))
        self._progress.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called before anything is fetched from the new partitions."""
        partitions = list(assigned)
        log.info("partitions_assigned", stage=self._stage.name, count=len(partitions))
        if self._paused:
            self._consumer.pause(*partitions)
        self._service.ready = True

    # --- watches -----------------------------------------------------------------------------

    def watches(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the feed."""
        return [self._watch_pause(), self._watch_app(), self._progress.watch(lambda: self._paused)]

    def _nudged(self, action: str) -> None:
        log.info("control_received", stage=self._stage.name, requested=action)
        self._nudge.set()

    async def _watch_pause(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PAUSE_POLL_SECONDS):
                    await self._nudge.wait()
            except TimeoutError:
                pass  # polled: a nudge may be lost
            self._nudge.clear()
            try:
                await self._read_pause()
            except HalyardError as error:
                log.warning(
                    "pause_unknown", stage=self._stage.name, error=telemetry.describe(error)
                )

    async def _read_pause(self) -> None:
        async with transaction(self._pool) as connection:
            now = await pauses.get(connection, self._stage.name)
        before, self._paused = self._paused, now
        if (now is None) == (before is None):
            return
        partitions = self._consumer.assignment()
        if now is not None:
            log.warning("stage_paused", stage=self._stage.name, since=now.since.isoformat())
            self._consumer.pause(*partitions)
        else:
            log.info("stage_resumed", stage=self._stage.name)
            self._consumer.resume(*partitions)

    async def _watch_app(self) -> None:
        while True:
            if reason := self._channel.broken:
                raise ProcessDied(f"{self._stage.name} ends: {reason}; start it again.")
            await asyncio.sleep(0.5)
