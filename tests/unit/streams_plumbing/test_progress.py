"""A silent worker is a dead worker."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streams.progress import Progress

ONE = TopicPartition("t", 0)


class Log:
    """As much of a consumer as `Progress` asks: one partition, its end and a commit."""

    def __init__(self) -> None:
        self.end = 0
        self.at: int | None = None
        self.away = False

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({ONE})

    async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return {ONE: self.end}

    async def committed(self, _: object) -> int | None:
        return self.at

    async def beginning_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {ONE: 0}


class Time:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_liveness_fails_when_commits_stop_while_the_log_grows() -> None:
    """Behind without a commit for longer than the limit: dead; a commit makes it live again."""
    log, time = Log(), Time()
    progress = Progress(log, 60, monotonic=time)
    log.end = 5
    await progress.look(paused=False)
    assert progress.stalled() is None
    time.now += 61
    assert progress.stalled() is not None
    progress.committed({ONE: 5})
    await progress.look(paused=False)
    assert progress.stalled() is None


async def test_an_idle_worker_lives() -> None:
    """Nothing to commit is no silence, however long."""
    log, time = Log(), Time()
    log.at = log.end = 7
    progress = Progress(log, 60, monotonic=time)
    for _ in range(5):
        await progress.look(paused=False)
        time.now += 100
        assert progress.stalled() is None


async def test_a_paused_worker_lives() -> None:
    """A pause is an order, not a lock-up."""
    log, time = Log(), Time()
    log.end = 7
    progress = Progress(log, 60, monotonic=time)
    await progress.look(paused=True)
    time.now += 100
    await progress.look(paused=True)
    assert progress.stalled() is None


async def test_an_absent_broker_makes_it_unready_first_and_dead_only_later() -> None:
    """A restart mends no broker: readiness tells at once, liveness after twice the limit."""
    log, time = Log(), Time()
    log.away = True
    progress = Progress(log, 60, monotonic=time)
    await progress.look(paused=False)
    assert progress.blind() is not None
    time.now += 61
    await progress.look(paused=False)
    assert progress.stalled() is None
    time.now += 60
    assert progress.stalled() is not None
    log.away = False
    await progress.look(paused=False)
    assert (progress.blind(), progress.stalled()) == (None, None)
