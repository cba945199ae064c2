"""Reads every topic of the registry with kafka-python, in threads of its own.

No consumer group: the offsets stand in PostgreSQL beside the rows they belong to, so partitions
are assigned by hand and a new process goes on at once, without a rebalance. Two journals at a
time do the same work twice and write the same rows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from halyard.errors import BrokerUnavailable, ConfigurationError
from halyard.kafka import Incoming, qualified, unqualified
from halyard.service import ProcessDied
from halyard.settings import Settings
from schemas.topics import CONTROL, registry
from stores.journal import Place

POLL_MS: Final = 500
METADATA_MS: Final = 30_000  # how soon new partitions are seen
# Off the hot path: a row a quarter of a second later costs the machine a fifth of what it would
# at once, when every few records would be a fetch and a transaction of their own
GATHER_MS: Final = 250
GATHER_BYTES: Final = 256 * 1024
_ANSWER_MS: Final = 5_000

T = TypeVar("T")


class Reader:
    """A consumer of every topic but the control topic. One task uses it at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [topic.name for topic in registry() if topic.name != CONTROL]
        self._lock = threading.Lock()  # the client belongs to one thread at a time
        self._consumer: KafkaConsumer | None = None

    async def open(self) -> None:
        """Connect. Raises `BrokerUnavailable`; may be called again then."""
        if self._consumer is None:
            self._consumer = await self._call(self._connect)

    async def find(self) -> tuple[set[Place], set[str]]:
        """The partitions that are there now, and the topics that are not there yet."""
        return await self._call(self._find)

    async def assign(self, places: Iterable[Place], following: Mapping[Place, int]) -> None:
        """Read `places`, each from its offset in `following`, else from its oldest record."""
        wanted = sorted(places)
        await self._call(lambda: self._assign(wanted, following))

    async def poll(self) -> list[Incoming]:
        """What has come, in order within a partition; empty after half a second without any."""
        return await self._call(self._poll)

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset after the newest record of `places`. Raises `BrokerUnavailable`."""
        wanted = list(places)
        return await self._call(lambda: self._ends(wanted))

    async def positions(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset that is read next, where it is known."""
        wanted = list(places)
        return await self._call(lambda: self._positions(wanted))

    async def close(self, seconds: float) -> None:
        """Disconnect; a client that does not end within `seconds` is left to its daemon threads."""
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(seconds):
                await _in_thread(self._close)

    async def _call(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread; kafka-python's errors become ours.

        A client that never comes back ends the process: it can be neither used nor repaired.
        """
        limit = self._settings.worker.verdict_seconds
        try:
            async with asyncio.timeout(limit):
                return await _in_thread(lambda: self._alone(work))
        except TimeoutError:
            raise ProcessDied(
                f"The Kafka client has not come back for {limit:g} s; the process is restarted."
            ) from None
        except KafkaError as error:
            kind = type(error).__name__
            if error.retriable:
                raise BrokerUnavailable(
                    f"Kafka did not answer ({kind}); check HALYARD_KAFKA__BOOTSTRAP_SERVERS and "
                    "that the broker runs. The journal tries again."
                ) from None
            raise ConfigurationError(
                f"Kafka refused ({kind}); check the rights of this client and its topics."
            ) from None

    def _alone(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()

    def _connect(self) -> KafkaConsumer:
        kafka = self._settings.kafka
        timeout_ms = int(kafka.request_timeout_seconds * 1000)
        clients: list[KafkaNetClient] = []

        def make_client(**options: Any) -> KafkaNetClient:
            clients.append(KafkaNetClient(**options))
            return clients[-1]

        try:
            return KafkaConsumer(
                bootstrap_servers=kafka.bootstrap_servers.split(","),
                client_id="halyard-journal",
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=self._settings.worker.max_batch,
                max_partition_fetch_bytes=kafka.max_record_bytes,
                fetch_min_bytes=GATHER_BYTES,
                fetch_max_wait_ms=GATHER_MS,
                request_timeout_ms=max(timeout_ms, 2 * POLL_MS),
                bootstrap_timeout_ms=timeout_ms,
                reconnect_backoff_max_ms=1_000,
                metadata_max_age_ms=METADATA_MS,
                metrics_enabled=False,
                kafka_client=make_client,
            )
        except KafkaError:
            for client in clients:  # else its thread would go on trying
                client.close()
            raise

    @property
    def _client(self) -> KafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("The journal is not connected to Kafka yet; it tries again.")
        return self._consumer

    def _find(self) -> tuple[set[Place], set[str]]:
        places: set[Place] = set()
        missing: set[str] = set()
        for topic in self._topics:
            partitions = self._client.partitions_for_topic(qualified(self._settings, topic))
            places.update((topic, partition) for partition in partitions)
            if not partitions:
                missing.add(topic)
        return places, missing

    def _assign(self, wanted: list[Place], following: Mapping[Place, int]) -> None:
        self._client.assign([self._partition(place) for place in wanted])
        for place in wanted:
            if place in following:
                self._client.seek(self._partition(place), following[place])
            else:
                self._client.seek_to_beginning(self._partition(place))

    def _poll(self) -> list[Incoming]:
        taken = []
        for partition, records in self._client.poll(timeout_ms=POLL_MS).items():
            topic = unqualified(self._settings, partition.topic)
            for one in records:
                stamp = -1 if one.timestamp is None else one.timestamp
                headers = tuple((name, value or b"") for name, value in one.headers)
                # the key is not of interest, and stays behind
                taken.append(
                    Incoming(topic, one.partition, one.offset, "", one.value or b"", headers, stamp)
                )
        return taken

    def _ends(self, wanted: list[Place]) -> dict[Place, int]:
        partitions = {self._partition(place): place for place in wanted}
        if not partitions:
            return {}
        ends = self._client.end_offsets(list(partitions), timeout_ms=_ANSWER_MS)
        return {place: ends[one] for one, place in partitions.items() if ends.get(one) is not None}

    def _positions(self, wanted: list[Place]) -> dict[Place, int]:
        found = {
            place: self._client.position(self._partition(place), timeout_ms=_ANSWER_MS)
            for place in wanted
        }
        return {place: offset for place, offset in found.items() if offset is not None}

    def _close(self) -> None:
        if self._lock.acquire(timeout=4 * POLL_MS / 1000):  # a poll in hand ends first
            try:
                if self._consumer is not None:
                    self._consumer.close(autocommit=False, timeout_ms=1_000)
            finally:
                self._lock.release()

    def _partition(self, place: Place) -> TopicPartition:
        topic, partition = place
        return TopicPartition(qualified(self._settings, topic), partition)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a daemon thread: asyncio's own would be waited for at the exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # T may be None

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - handed to the caller
            error = caught
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="journal-kafka", daemon=True).start()
    return await done
