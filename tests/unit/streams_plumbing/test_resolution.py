"""What becomes of a batch, with the agent played by a function and time by a counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import psycopg
import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    NotLeaderForPartitionError,
    RecordTooLargeError,
)
from hypothesis import given
from hypothesis import strategies as st

from halyard.errors import BrokerUnavailable, ContractError, DatabaseUnavailable, TransientError
from halyard.kafka import Incoming
from halyard.settings import WorkerSettings
from streams.channel import ChannelBroken, Verdict
from streams.resolution import Resolver, TooMuchPoison, TransientTooLong, is_transient

AT = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """An agent whose answers are a function, and a clock that only sleeping moves."""

    def __init__(
        self, answer: Callable[[Sequence[int]], Exception | None], **limits: float
    ) -> None:
        self.answer = answer
        self.calls: list[list[int]] = []
        self.time = 0.0
        self.slept: list[float] = []
        settings = WorkerSettings.model_validate(
            {"transient_seconds": 60, "max_poison_in_a_row": 1_000, **limits}
        )
        self.resolver = Resolver(
            "toy",
            settings,
            self._hand_over,
            clock=lambda: AT,
            sleep=self._sleep,
            monotonic=lambda: self.time,
            jitter=lambda: 1.0,
        )

    async def _hand_over(self, batch: Sequence[Incoming]) -> Verdict:
        offsets = [record.offset for record in batch]
        self.calls.append(offsets)
        return Verdict(self.answer(offsets))

    async def _sleep(self, seconds: float) -> None:
        assert self.resolver.backing_off
        self.slept.append(seconds)
        self.time += seconds

    async def resolve(self, count: int) -> list[int]:
        """Offsets of the poison of a batch of `count`."""
        batch = [Incoming("t", 0, offset, "k", b"") for offset in range(count)]
        return [poison.record.offset for poison in await self.resolver.resolve(batch)]


@given(count=st.integers(1, 60), poison=st.sets(st.integers(0, 59)))
async def test_exactly_the_poison_is_found_and_everything_else_succeeds_in_order(
    count: int, poison: set[int]
) -> None:
    """For any batch and any poison: the poison comes back in order, each other event succeeds
    once, in order, and no call holds both."""
    done: list[int] = []

    def answer(offsets: Sequence[int]) -> Exception | None:
        if poison & set(offsets):
            return ContractError()
        done.extend(offsets)
        return None

    found = await World(answer).resolve(count)
    assert found == sorted(poison & set(range(count)))
    assert done == [offset for offset in range(count) if offset not in poison]


async def test_one_poison_costs_calls_by_the_logarithm() -> None:
    """A batch of 512 with one poison needs 19 calls, not 512."""
    world = World(lambda offsets: ContractError() if 300 in offsets else None)
    assert await world.resolve(512) == [300]
    assert len(world.calls) == 19


async def test_a_transient_failure_repeats_the_same_events() -> None:
    """No splitting and no poison while a part of the hub is away."""
    world = World(lambda _: TransientError() if len(world.calls) < 4 else None)
    assert await world.resolve(5) == []
    assert world.calls == [[0, 1, 2, 3, 4]] * 4
    assert world.slept == sorted(world.slept)


async def test_the_limit_of_transient_failures_counts_from_the_first_in_a_row() -> None:
    """60 s without a success end the worker; a success in between starts the count anew."""
    world = World(lambda _: DatabaseUnavailable(), transient_seconds=60)
    with pytest.raises(TransientTooLong):
        await world.resolve(1)
    assert world.time == pytest.approx(60)

    def every_other(_: Sequence[int]) -> Exception | None:
        return TransientError() if len(patient.calls) % 8 else None

    patient = World(every_other, transient_seconds=20)
    for _ in range(40):
        await patient.resolve(1)
    assert patient.time > 20


async def test_too_much_poison_in_a_row_stops() -> None:
    """A good event between poison starts the count anew; without one the worker stops."""
    alternating = World(
        lambda offsets: ContractError() if any(o % 2 for o in offsets) else None,
        max_poison_in_a_row=2,
    )
    assert await alternating.resolve(40) == list(range(1, 40, 2))
    ill = World(lambda _: ContractError(), max_poison_in_a_row=2)
    with pytest.raises(TooMuchPoison):
        await ill.resolve(40)


async def test_poison_in_a_row_counts_over_batches() -> None:
    """Batches of one event are no way round the limit."""
    world = World(lambda _: ContractError(), max_poison_in_a_row=3)
    for _ in range(3):
        assert await world.resolve(1) == [0]
    with pytest.raises(TooMuchPoison):
        await world.resolve(1)


async def test_a_broken_channel_ends_the_worker_at_once() -> None:
    """It is neither poison nor retried."""
    world = World(lambda _: ChannelBroken())
    with pytest.raises(ChannelBroken):
        await world.resolve(4)
    assert len(world.calls) == 1


async def test_attempts_of_a_poison_are_counted() -> None:
    """Each call that held the event counts, transient ones included."""
    world = World(lambda o: TransientError() if len(world.calls) == 1 else ContractError())
    batch = [Incoming("t", 0, offset, "k", b"") for offset in range(2)]
    first, second = await world.resolver.resolve(batch)
    assert (first.attempts, second.attempts) == (3, 3)
    assert first.first_failed_at == AT


async def test_a_step_is_persisted_with_under_the_same_limit() -> None:
    """`persist` repeats what fails transiently and raises what does not."""
    world = World(lambda _: None, transient_seconds=5)
    failures = [BrokerUnavailable(), OSError()]

    async def step() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert await world.resolver.persist(step) == "done"

    async def wrong() -> None:
        raise ContractError

    with pytest.raises(ContractError):
        await world.resolver.persist(wrong)

    async def away() -> None:
        raise BrokerUnavailable

    with pytest.raises(TransientTooLong):
        await world.resolver.persist(away)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (TransientError(), True),
        (DatabaseUnavailable(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (psycopg.OperationalError(), True),
        (NotLeaderForPartitionError(), True),
        (KafkaTimeoutError(), True),
        (RecordTooLargeError(), False),
        (ContractError(), False),
        (ValueError(), False),
        (psycopg.DataError(), False),
    ],
)
def test_what_says_nothing_about_the_events_is_transient(error: Exception, transient: bool) -> None:
    """Broker, database and network; everything else is poison."""
    assert is_transient(error) is transient
