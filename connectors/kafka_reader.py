"""Reads topics with kafka-python, in threads of its own, for those who keep their own offsets.

The offsets stand in PostgreSQL beside the rows they belong to, so partitions are assigned by hand
and a new process goes on at once, without a rebalance. Two readers at a time read the same
records; what becomes of that is the matter of whoever stores them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from halyard.errors import BrokerUnavailable, ConfigurationError, PermanentError
from halyard.kafka import Incoming, qualified, unqualified
from halyard.service import ProcessDied
from halyard.settings import Settings

POLL_MS: Final = 500
METADATA_MS: Final = 30_000  # how soon new partitions are seen
# Off the hot path: a row a quarter of a second later costs the machine a fifth of what it would
# at once, when every few records would be a fetch and a transaction of their own
GATHER_MS: Final = 250
GATHER_BYTES: Final = 256 * 1024
_ANSWER_MS: Final = 5_000

T = TypeVar("T")

Place = tuple[str, int]
"""Topic, without namespace, and partition."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A record with the key as it came, for those who pass it on."""

    record: Incoming
    key: bytes | None = field(repr=False)


class OffsetGone(PermanentError):
    """The log does not hold the offset that is to be read next: retention took it, or it is
    another log; look which, then start the process again."""


class KafkaReader:
    """A consumer of `topics`, called `name`. One task uses it at a time.

    `reset`: what to do where an offset is not in the log: ``earliest`` reads on from the oldest
    record, ``none`` raises `OffsetGone`. `group` is the group to which `commit` tells offsets.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        topics: Sequence[str],
        reset: Literal["earliest", "none"] = "earliest",
        group: str | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._topics = topics
        self._reset = reset
        self._group = group
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
        """What has come, in order within a partition; empty after half a second without any.

        Raises `OffsetGone` (see `reset`).
        """
        return [taken.record for taken in await self.take()]

    async def take(self) -> list[Taken]:
        """As `poll`, with the keys."""
        return await self._call(self._poll)

    async def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset of the oldest record that the log still has. Raises `BrokerUnavailable`."""
        wanted = list(places)
        return await self._call(lambda: self._starts(wanted))

    async def incarnation(self, topic: str) -> str:
        """The id that the cluster gave the topic when it was made; empty if it tells none."""
        return await self._call(lambda: self._incarnation(topic))

    async def commit(self, following: Mapping[Place, int]) -> None:
        """Tell the group what is stored, for those who measure its lag. Not the truth: a failure
        to tell it is nothing."""
        told = dict(following)
        with suppress(BrokerUnavailable, ConfigurationError):
            await self._call(lambda: self._commit(told))

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
        except OffsetOutOfRangeError:
            raise OffsetGone from None
        except KafkaError as error:
            kind = type(error).__name__
            if error.retriable:
                raise BrokerUnavailable(
                    f"Kafka did not answer ({kind}); check HALYARD_KAFKA__BOOTSTRAP_SERVERS and "
                    f"that the broker runs. The {self._name} tries again."
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
                client_id=f"halyard-{self._name}",
                group_id=None if self._group is None else qualified(self._settings, self._group),
                enable_auto_commit=False,
                auto_offset_reset=self._reset,
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
            raise BrokerUnavailable(
                f"The {self._name} is not connected to Kafka yet; it tries again."
            )
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

    def _poll(self) -> list[Taken]:
        taken = []
        for partition, records in self._client.poll(timeout_ms=POLL_MS).items():
            topic = unqualified(self._settings, partition.topic)
            for one in records:
                stamp = -1 if one.timestamp is None else one.timestamp
                headers = tuple((name, value or b"") for name, value in one.headers)
                # the key is no text to be shown: it stays beside the record
                record = Incoming(
                    topic, one.partition, one.offset, "", one.value or b"", headers, stamp
                )
                taken.append(Taken(record, one.key))
        return taken

    def _starts(self, wanted: list[Place]) -> dict[Place, int]:
        partitions = {self._partition(place): place for place in wanted}
        if not partitions:
            return {}
        found = self._client.beginning_offsets(list(partitions), timeout_ms=_ANSWER_MS)
        return {
            place: found[one] for one, place in partitions.items() if found.get(one) is not None
        }

    def _incarnation(self, topic: str) -> str:
        # No public name for it in kafka-python 3: the metadata that the consumer holds
        known = self._client._cluster.topic_id(qualified(self._settings, topic))
        return "" if known is None else str(known)

    def _commit(self, following: Mapping[Place, int]) -> None:
        self._client.commit(
            {
                self._partition(place): OffsetAndMetadata(offset, "", -1)
                for place, offset in following.items()
            },
            timeout_ms=_ANSWER_MS,
        )

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

    threading.Thread(target=run, name="kafka-reader", daemon=True).start()
    return await done
