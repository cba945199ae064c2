"""Rule 21: nothing that happens to Faust's own topic, or to the broker, loses a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from halyard.embedded.kafka import EmbeddedKafka
from halyard.kafka import Incoming
from streams.channel import BatchChannel, ChannelBroken
from tests.support.plumbing import Plumbing
from tests.support.processes import Process
from tests.support.services import Database
from tests.support.toy_stage import GROUP, SOURCE
from tests.support.waiting import aeventually


def batch(*numbers: int) -> list[Incoming]:
    """Records that stand for themselves."""
    return [Incoming(SOURCE, 0, number, "key", b"{}") for number in numbers]


async def test_c21_a_rebalance_of_the_control_topic_clears_no_batch(plumbing: Plumbing) -> None:
    """Faust suspends and clears every queue under its flow control at a rebalance of its own
    topic; a batch that waits in our channel then is still taken and gets its verdict."""
    seen: list[int] = []
    reached, go = asyncio.Event(), asyncio.Event()

    async def process(records: Sequence[Incoming]) -> None:
        reached.set()
        await go.wait()
        seen.extend(record.offset for record in records)

    channel = BatchChannel(
        plumbing.settings, name=GROUP, group=GROUP, process=process, nudge=lambda _: None
    )
    await channel.start()
    try:
        ordinary = channel.app.channel().clone(is_iterator=True)
        first = asyncio.ensure_future(channel.hand_over(batch(1)))
        await asyncio.wait_for(reached.wait(), 10)
        second = asyncio.ensure_future(channel.hand_over(batch(2)))
        await asyncio.sleep(0)  # the second batch stands in the queue
        ordinary.queue.put_nowait(object())
        channel.app.flow_control.suspend()
        channel.app.flow_control.clear()
        channel.app.flow_control.resume()
        assert ordinary.empty(), "an ordinary Faust channel loses what stands in it"
        go.set()
        assert (await first).done
        assert (await second).done
    finally:
        await channel.stop()
    assert seen == [1, 2]


async def test_c21_a_batch_that_nobody_takes_is_reported(plumbing: Plumbing) -> None:
    """Without a reader the hand-over fails in take_seconds instead of waiting for ever."""
    settings = plumbing.settings.model_copy(
        update={"worker": plumbing.settings.worker.model_copy(update={"take_seconds": 0.2})}
    )

    async def process(_: Sequence[Incoming]) -> None:
        raise AssertionError("not reached")

    channel = BatchChannel(settings, name=GROUP, group=GROUP, process=process, nudge=lambda _: None)
    with pytest.raises(ChannelBroken, match="did not take"):
        await channel.hand_over(batch(1))


async def test_a_failing_verdict_leaves_the_agent_alive(plumbing: Plumbing) -> None:
    """The agent answers with the error and takes the next batch at once: it never raises."""

    async def process(records: Sequence[Incoming]) -> None:
        if records[0].offset < 3:
            raise ValueError("no")

    channel = BatchChannel(
        plumbing.settings, name=GROUP, group=GROUP, process=process, nudge=lambda _: None
    )
    await channel.start()
    try:
        async with asyncio.timeout(3):  # Faust would take 5 s to restart a raising agent twice
            for number in range(3):
                assert isinstance((await channel.hand_over(batch(number))).error, ValueError)
            assert (await channel.hand_over(batch(3))).done
    finally:
        await channel.stop()


async def test_c21_a_broker_restart_under_load_loses_nothing(
    database: Database, namespace: str, tmp_path: Path
) -> None:
    """The broker is killed and started while batches flow; every event has one effect, whether
    the worker lived through it or was started again."""
    everything = list(range(3_000))
    broker = EmbeddedKafka(tmp_path / "broker", heap_mb=256)
    broker.start()  # from the main thread: it is tied to it
    try:
        plumbing = Plumbing.make(
            bootstrap=broker.bootstrap_servers,
            namespace=namespace,
            database=database,
            directory=tmp_path,
            max_batch=20,
            transient_seconds=30,
        )
        await plumbing.send_events(*everything[:1500])
        supervisor = asyncio.ensure_future(_supervise(plumbing))
        try:
            await aeventually(lambda: 40 < len(plumbing.done()) < 1500, 60, 0.02)
            broker.kill()
            broker.start()
            await plumbing.send_events(*everything[1500:])
            await plumbing.until_committed(len(everything), 90)
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
        assert sorted(plumbing.done()) == everything
        assert sorted(set(await plumbing.outputs())) == everything
    finally:
        broker.stop()


async def _supervise(plumbing: Plumbing) -> None:
    """Start the worker again whenever it ends, as `halyard up` does."""
    worker: Process | None = None
    turn = 0
    try:
        while True:
            if worker is None or worker.exit_code is not None:
                turn += 1
                worker = plumbing.worker(f"toy-{turn}")
            await asyncio.sleep(0.1)
    finally:
        if worker is not None:
            worker.terminate()
