"""Several topics on one worker: the first goes before the others, and each of those has a share of
its own (correctness rules 21 and 22)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from halyard import kafka_admin
from halyard.kafka import Incoming, make_consumer, qualified
from halyard.kafka_admin import TopicSpec
from streams import stage
from tests.support.plumbing import Plumbing, running
from tests.support.toy_stage import GROUP, SOURCE
from tests.support.waiting import aeventually

BULK = "toy.bulk.v1"
SMALL = "toy.small.v1"
AT_MOST = 10  # of the others in a batch


class _Watched:
    """A worker that reads all topics; its first batch, of the bulk, is held until `go`."""

    def __init__(self, plumbing: Plumbing) -> None:
        self.plumbing = plumbing
        self.batches: list[Sequence[Incoming]] = []
        self.consumer: AIOKafkaConsumer = None
        self.held, self.go = asyncio.Event(), asyncio.Event()

    async def before(self, batch: Sequence[Incoming]) -> None:
        self.batches.append(batch)
        self.held.set()
        await self.go.wait()

    async def let_arrive(self, *numbers: int, on: str = SOURCE) -> None:
        """Put arrivals on the log, and wait until the worker's consumer has them in its buffer."""
        await self.plumbing.send_events(*numbers, topic=on)
        topic = qualified(self.plumbing.settings, on)
        here = [TopicPartition(topic, number) for number in range(2)]
        await aeventually(
            lambda: sum(self.consumer.highwater(tp) or 0 for tp in here) == len(numbers), 20
        )

    async def until_all_committed(self, amount: int) -> None:
        def committed() -> bool:
            settings = self.plumbing.settings
            parts = kafka_admin.group_lag(
                settings.kafka.bootstrap_servers,
                qualified(settings, GROUP),
                [qualified(settings, one) for one in (SOURCE, BULK, SMALL)],
            )
            return sum(part.committed or 0 for part in parts) == amount

        await aeventually(lambda: asyncio.to_thread(committed), 30)

    def counts(self, *topics: str) -> list[tuple[int, ...]]:
        """Arrivals and others in each batch."""
        wanted = topics or (SOURCE, BULK)
        return [
            tuple(sum(r.topic == topic for r in batch) for topic in wanted)
            for batch in self.batches
        ]


@asynccontextmanager
async def _watched(
    make_plumbing: Callable[..., Plumbing], monkeypatch: pytest.MonkeyPatch, bulk: int
) -> AsyncIterator[_Watched]:
    plumbing = make_plumbing(max_background=AT_MOST)
    settings = plumbing.settings
    kafka_admin.apply(
        settings.kafka.bootstrap_servers,
        [TopicSpec(qualified(settings, topic), 2, 1) for topic in (BULK, SMALL)],
    )
    await plumbing.send_events(*range(bulk), topic=BULK)
    watched = _Watched(plumbing)

    def made(*args: Any, **kwargs: Any) -> AIOKafkaConsumer:
        watched.consumer = make_consumer(*args, **kwargs)
        return watched.consumer

    monkeypatch.setattr(stage, "make_consumer", made)
    async with plumbing.toy() as toy:
        toy.before = watched.before
        async with running(plumbing, toy, (SOURCE, BULK, SMALL)):
            await asyncio.wait_for(watched.held.wait(), 20)
            yield watched


async def test_what_came_later_on_the_first_topic_goes_before_a_heap_on_the_other(
    make_plumbing: Callable[..., Plumbing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrivals are in the next batch whole, beside few of the others; each partition keeps the
    order of its log, and every record is committed and takes effect once."""
    async with _watched(make_plumbing, monkeypatch, 60) as watched:
        await watched.let_arrive(*range(100, 130))
        watched.go.set()
        await watched.until_all_committed(90)
    assert watched.counts()[1] == (30, AT_MOST), watched.counts()
    assert max(bulk for _, bulk in watched.counts()) == AT_MOST
    assert sorted(watched.plumbing.done()) == [*range(60), *range(100, 130)]
    seen: dict[tuple[str, int], list[int]] = {}
    for record in (record for batch in watched.batches for record in batch):
        seen.setdefault((record.topic, record.partition), []).append(record.offset)
    for offsets in seen.values():
        assert all(after == before + 1 for before, after in pairwise(offsets))


async def test_a_heap_on_one_topic_delays_no_other(
    make_plumbing: Callable[..., Plumbing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further topic has a share of its own: a death that comes behind a heap of flags is in
    the next batch, wherever its topic stands in the list."""
    async with _watched(make_plumbing, monkeypatch, 60) as watched:
        await watched.let_arrive(*range(100, 105), on=SMALL)
        watched.go.set()
        await watched.until_all_committed(65)
    assert watched.counts(BULK, SMALL)[1] == (AT_MOST, 5), watched.counts(BULK, SMALL)
    assert sorted(watched.plumbing.done()) == [*range(60), *range(100, 105)]


async def test_c21_records_in_hand_outlive_a_failure_to_read_the_others(
    make_plumbing: Callable[..., Plumbing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken of the first topic is seen through when the look at the others fails: its
    position has moved on, so it would never be read again."""
    real, failed = AIOKafkaConsumer.getmany, asyncio.Event()

    async def getmany(self: AIOKafkaConsumer, *partitions: TopicPartition, **kwargs: Any) -> Any:
        of_others = bool(partitions) and all(tp.topic.endswith(BULK) for tp in partitions)
        if of_others and watched.go.is_set() and not failed.is_set():
            failed.set()
            raise KafkaConnectionError
        return await real(self, *partitions, **kwargs)

    async with _watched(make_plumbing, monkeypatch, 30) as watched:
        monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
        await watched.let_arrive(*range(100, 120))
        watched.go.set()
        await watched.until_all_committed(50)
    assert failed.is_set()
    assert watched.counts()[1] == (20, 0)
    assert sorted(watched.plumbing.done()) == [*range(30), *range(100, 120)]
