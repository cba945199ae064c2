"""Rebalances and pauses (correctness rules 22 and 23), with workers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from halyard.kafka import Incoming
from halyard.postgres import transaction
from stores import pauses
from tests.support.plumbing import Plumbing, running
from tests.support.toy_stage import DEAD_LETTERS, GROUP, Toy
from tests.support.waiting import aeventually


async def test_c22_a_revocation_waits_for_the_batch_in_hand(plumbing: Plumbing) -> None:
    """A batch that ends within the wait is committed by its old owner and taken by no other."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(_: Sequence[Incoming]) -> None:
        reached.set()
        await go.wait()

    await plumbing.send_events(*range(20))
    async with plumbing.toy() as old, plumbing.toy() as new:
        old.before = hold
        async with running(plumbing, old):
            await asyncio.wait_for(reached.wait(), 20)
            async with running(plumbing, new):
                # the joining worker has asked for its share when the group prepares a rebalance
                await aeventually(plumbing.group_state_is("PreparingRebalance"), 20)
                go.set()
                await plumbing.until_committed(20)
                assert sum(old.calls) + sum(new.calls) == 20, "a batch was taken twice"
    assert sorted(plumbing.done()) == list(range(20))


async def test_c22_a_batch_that_outlasts_the_revocation_is_cancelled_uncommitted(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """The old owner's transaction is cancelled before the group loses patience; the events take
    effect once, under whoever owns them then."""
    plumbing = make_plumbing(stop_seconds=1, verdict_seconds=60)
    reached, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(_: Sequence[Incoming]) -> None:
        if cancelled.is_set():
            return
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert await asyncio.to_thread(plumbing.committed) == 0
            cancelled.set()
            raise

    await plumbing.send_events(*range(20))
    async with plumbing.toy() as old, plumbing.toy() as new:
        old.inside = stuck  # its inbox rows and effects stand uncommitted in the transaction
        async with running(plumbing, old):
            await asyncio.wait_for(reached.wait(), 60)
            async with running(plumbing, new):
                await asyncio.wait_for(cancelled.wait(), 60)
                await plumbing.until_committed(20)
                await aeventually(lambda: bool(new.calls), 20)
    assert sorted(plumbing.done()) == list(range(20))
    assert sorted(await plumbing.outputs()) == list(range(20))
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_c23_a_worker_started_after_the_pause_stands_still(
    plumbing: Plumbing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause is in the database: a worker that never heard of it takes nothing, yet stays in
    its group and polls; when the pause is lifted, a nudge lets it go on."""
    polls = _count(monkeypatch, "getmany")
    await plumbing.send_events(*range(10))
    async with plumbing.toy() as toy:
        await _pause(toy, on=True)
        async with running(plumbing, toy):
            await aeventually(plumbing.group_state_is("Stable"), 20)
            polled = len(polls)
            await aeventually(lambda: len(polls) >= polled + 5, 20)
            assert toy.calls == []
            assert plumbing.committed() == 0
            await _pause(toy, on=False)
            await plumbing.nudge()
            await plumbing.until_committed(10)


async def test_c23_a_running_worker_is_paused_and_goes_on(
    plumbing: Plumbing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause reaches a running worker through table and nudge; what comes then waits in the log
    until the table, which is polled, says otherwise."""
    paused = _count(monkeypatch, "pause")
    polls = _count(monkeypatch, "getmany")
    await plumbing.send_events(*range(5))
    async with plumbing.toy() as toy, running(plumbing, toy):
        await plumbing.until_committed(5)
        await _pause(toy, on=True)
        await plumbing.nudge()
        await aeventually(lambda: bool(paused), 20)
        await plumbing.send_events(*range(5, 10))
        polled = len(polls)
        await aeventually(lambda: len(polls) >= polled + 5, 20)
        assert sorted(plumbing.done()) == list(range(5))
        await _pause(toy, on=False)
        await plumbing.until_committed(10)


def _count(monkeypatch: pytest.MonkeyPatch, method: str) -> list[None]:
    """A list that grows with each call of this method of any consumer."""
    calls: list[None] = []
    real = getattr(AIOKafkaConsumer, method)

    def counted(self: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaConsumer, method, counted)
    return calls


async def _pause(toy: Toy, *, on: bool) -> None:
    async with transaction(toy.pool) as connection:
        if on:
            await pauses.put(connection, GROUP, reason="a test", by="operator")
        else:
            await pauses.drop(connection, GROUP)
