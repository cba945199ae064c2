"""One ration for all tracers: never exceeded, slower after a 429, whole again; and the breaker."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest

from connectors.pds.client import PdsClient
from sandbox.pds.server import PdsThread
from stores import trace_requests
from stores.trace_requests import SLOWEST_PACE
from streams.tracer.tracer import Tracer, ration_of
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.services import Database
from tests.support.waiting import aeventually

PER_SECOND = 5


@pytest.fixture
async def slow(database: Database, pds: PdsThread) -> AsyncIterator[World]:
    """A world with the ration that PDS gives by default."""
    made = World(database, pds, calls_per_second=PER_SECOND, breaker_seconds=5)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def waiting(world: World, count: int) -> None:
    """So many children whom PDS does not know wait to be asked about, by number."""
    await world.take(
        *(
            make.attendance(
                replace(CHILD, nhs_number=make.number(100 + index)),
                local_id=f"L{index}",
                visit=f"V{index}",
            )
            for index in range(count)
        )
    )


async def state(world: World) -> dict[str, Any]:
    """The one row of the ration."""
    (row,) = await world.rows(
        "select pace, failures, breaker_until > clock_timestamp() as open, "
        "paused_until > clock_timestamp() as paused from pds_ration"
    )
    return row


async def asked(world: World, tracer: Tracer) -> int:
    """Lease and ask what is due now; gives how much it was."""
    leased = await tracer.lease()
    await asyncio.gather(*(tracer.trace(request) for request in leased))
    return len(leased)


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_tracers_together_never_exceed_the_ration(slow: World, seed: int) -> None:
    """Whenever they look, together or in turn, busy or after a rest: five calls in any second."""
    await waiting(slow, 60)
    chance = random.Random(seed)
    tracers = [slow.new_tracer(), slow.new_tracer()]
    calls: deque[tuple[float, float]] = deque()  # the earliest and latest that each can have been

    async def clock() -> float:
        real = await slow.value("select extract(epoch from clock_timestamp())::double precision")
        return float(real) + slow.now.timestamp()

    while len(calls) < 60:
        before = await clock()
        looking = tracers if chance.random() < 0.5 else [chance.choice(tracers)]
        found = await asyncio.gather(*(tracer.lease() for tracer in looking))
        after = await clock()
        calls += [(before, after)] * sum(map(len, found))
        rests = len(calls) == 30
        await slow.pass_time(3.0 if rests else chance.choice((0.01, 0.05, 0.2, 0.2, 0.4)))
    for index in range(len(calls) - PER_SECOND):
        assert calls[index + PER_SECOND][1] - calls[index][0] >= 1.0
    assert calls[-1][0] - calls[0][1] < 60 / PER_SECOND * 2 + 9  # and they do ask


async def test_a_429_slows_all_down_and_stops_nobody(slow: World) -> None:
    """Half the pace, a second's pause for every tracer, no breaker, and the same id again."""
    await waiting(slow, 2)
    one, two = slow.new_tracer(), slow.new_tracer()
    slow.fault(status=429, times=1)
    (request,) = await aeventually(one.lease)
    await one.trace(request)
    assert await state(slow) == {"pace": 0.5, "failures": 0, "open": None, "paused": True}
    assert await two.lease() == []
    await slow.pass_time(1.05)
    (again,) = await two.lease()
    await slow.pass_time(0.3)
    assert await one.lease() == []  # before, a call came every fifth of a second
    await two.trace(again)
    while await slow.value("select exists(select from trace_requests where state <> 'done')"):
        await asked(slow, one)
        await slow.pass_time(0.2)
    calls = slow.pds.pds.calls()
    assert (calls["calls"], calls["repeated"], calls["reused"]) == (2, 1, 0)


async def test_calls_that_are_refused_together_count_once(world: World) -> None:
    """Eight in flight, eight 429s of the same moment: half the pace, not a 256th."""
    await waiting(world, 8)
    world.fault(status=429)
    tracer = world.new_tracer()
    assert await asked(world, tracer) == 8
    assert (await state(world))["pace"] == 0.5
    await world.pass_time(1.1)
    await aeventually(lambda: asked(world, tracer))
    assert (await state(world))["pace"] == 0.25


async def test_at_the_slowest_pace_a_429_is_no_answer(slow: World) -> None:
    """PDS refuses everything: the pace falls to its floor, then the breaker opens; a probe that is
    answered closes it, and the pace grows back with the answers, to the whole."""
    await waiting(slow, 80)
    tracer = slow.new_tracer()
    slow.fault(status=429)
    paces = []
    while not (await state(slow))["open"]:
        if await asked(slow, tracer):
            paces.append((await state(slow))["pace"])
        await slow.pass_time(1.0)
    assert paces == [0.5, 0.25, 0.125, SLOWEST_PACE, *[SLOWEST_PACE] * 3]
    slow.fault()
    await slow.pass_time(5.0)
    assert await aeventually(lambda: asked(slow, tracer)) == 1
    assert (await state(slow))["failures"] == 0
    assert (await state(slow))["pace"] > SLOWEST_PACE
    await slow.rows("update pds_ration set pace = 0.5")
    seconds = 0.0
    while (await state(slow))["pace"] < 1:
        await asked(slow, tracer)
        await slow.pass_time(0.2)
        seconds += 0.2
    assert 8 < seconds < 30  # as long as 50 answers take at half the pace and more


async def test_the_pace_settles_near_what_pds_allows(slow: World) -> None:
    """PDS allows two a second, the settings say five: most calls are answered, few are refused,
    no breaker opens, and every question is asked under one id."""
    await waiting(slow, 40)
    slow.pds.pds.settings = replace(slow.pds.pds.settings, calls_per_second=2)
    slow.pds.pds._monotonic = lambda: slow.now.timestamp()
    tracer = slow.new_tracer()
    seconds = 0.0
    while await slow.value("select exists(select from trace_requests where state <> 'done')"):
        await asked(slow, tracer)
        await slow.pass_time(0.1)
        seconds += 0.1
        assert not (await state(slow))["open"]
    refused = slow.pds.pds.calls()["outcome"]["TOO_MANY_REQUESTS"]
    assert seconds < 40  # half of what PDS allows, or better
    assert refused < 10
    assert slow.pds.pds.calls()["calls"] == 40
    assert slow.pds.pds.calls()["reused"] == 0


@pytest.mark.parametrize(("said", "pause"), [(None, 1), ("30", 30), ("86400", 300), ("soon", 1)])
async def test_a_retry_after_is_obeyed_within_reason(
    world: World, said: str | None, pause: float
) -> None:
    """Nobody asks until then, and for no longer than five minutes; without it, a second."""
    await waiting(world, 1)
    headers = {} if said is None else {"Retry-After": said}
    transport = httpx.MockTransport(lambda _: httpx.Response(429, headers=headers))
    async with PdsClient(
        "http://pds.test", end_user_organisation="X26", profile="test", transport=transport
    ) as client:
        tracer = Tracer(world.pool, world.settings.pds, lambda _: client, {})
        (request,) = await aeventually(tracer.lease)
        await tracer.trace(request)
    left = await world.value(
        "select extract(epoch from paused_until - clock_timestamp())::double precision "
        "from pds_ration"
    )
    assert pause - 1 < left <= pause


async def test_the_budget_of_a_second_is_never_more_than_what_is_set(world: World) -> None:
    """What may come at once and what is refilled within a second are at most the ration."""
    for calls in (0.2, 1.0, 5.0, 20.0, 500.0):
        settings = world.settings.pds.model_copy(update={"calls_per_second": calls})
        ration = ration_of(settings)
        assert ration.burst >= 1
        assert ration.burst + ration.per_second <= calls + 1
    rates = [trace_requests.Ration.of(n, failures=3, breaker_seconds=5).per_second for n in (1, 5)]
    assert rates == [1, 5]
    assert all(a < b for a, b in pairwise(rates))
