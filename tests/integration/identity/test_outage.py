"""PDS is down for ten minutes, and thousands wait: the proof of the tracer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest

from sandbox.pds.server import PdsThread
from streams.tracer.tracer import ration_of
from tests.support import identity as make
from tests.support import outage
from tests.support.identity_world import World
from tests.support.services import Database

FAILURES = 3  # before the breaker opens


@pytest.fixture
async def rationed(database: Database, pds: PdsThread, per_second: float) -> AsyncIterator[World]:
    """A world with a ration, and the breaker of the product."""
    made = World(database, pds, calls_per_second=per_second, breaker_seconds=5)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def flagged(world: World, made: outage.Queue) -> None:
    """The children of the partial arrivals have plans, verified before the outage."""
    quick = World(world.database, world.pds)
    await quick.open()
    try:
        for start in range(0, len(made.flags), 200):
            await quick.take(*made.flags[start : start + 200])
        await quick.trace_all()
    finally:
        await quick.close()


@pytest.mark.parametrize(
    ("count", "per_second"),
    [
        pytest.param(160, 40, id="160"),
        # PDS's own ration
        pytest.param(5_000, 5, id="5000", marks=[pytest.mark.slow, pytest.mark.timeout(3_600)]),
    ],
)
async def test_ten_minutes_without_pds_lose_delay_and_repeat_nothing(
    rationed: World, count: int, per_second: float, record_property: Callable[[str, object], None]
) -> None:
    """All are released, in order per key, by priority; no call is made again that need not be; no
    provisional alert is missing or left open."""
    world = rationed
    made = outage.queue_of(world, count)
    await flagged(world, made)
    outage.changed_meanwhile(world, made, count)
    said_before = len(world.sent)
    since = await world.value("select clock_timestamp()")
    began = time.monotonic()
    drill = await outage.run(world, made)
    took = time.monotonic() - began
    calls = world.pds.pds.calls()

    # During the outage: a probe each time the breaker ends, nothing verified, every alert out
    at_once = ration_of(world.settings.pds).burst
    assert drill.failed_calls <= FAILURES + at_once + outage.OUTAGE_SECONDS / 5
    assert drill.verified_meanwhile == 0
    assert set(made.partial) <= drill.provisional

    # All released
    states = Counter(
        {
            row["state"]: row["amount"]
            for row in await world.rows("select state, count(*) as amount from claims group by 1")
        }
    )
    assert set(states) <= {"verified", "unresolved", "not_traced"}
    assert states.total() == len(made.events) + len(made.flags)
    assert await world.value("select count(*) from parked_keys") == 0
    assert await world.value("select count(*) from trace_requests where state <> 'done'") == 0

    # No call again but those without an answer; as many as the questions need
    assert calls["outcome"]["FAULT"] == drill.failed_calls
    assert (calls["repeated"], calls["reused"]) == (drill.failed_calls, 0)
    (asked,) = await world.rows(
        "select count(*) as requests, count(distinct fingerprint) as questions, "
        "sum(1 + cardinality(answered)) as calls from trace_requests where created_at > %(since)s",
        since=since,
    )
    assert asked["requests"] == asked["questions"] == count
    assert calls["calls"] == asked["calls"]

    # By priority: who was not tried in vain meanwhile is asked in order, the others with the first
    fresh = [priority for priority, attempts in drill.leases if attempts == 1]
    assert all(one <= two for one, two in pairwise(fresh))
    assert set(fresh) == {1, 2, 3, 4, 5, 6}

    # In order per key
    told = await outage.released(world)
    order = {event.event_id: place for place, event in enumerate(made.flags + made.events)}
    for events in told.values():
        places = [order[event] for event in events]
        assert places == sorted(set(places))
    assert sum(map(len, told.values())) == states["verified"]
    assert await world.value("select count(*) from outbox where published_at is null") == 0

    # No provisional alert missing or left open
    # By revision: a retraction and what follows it are of two people, in two lanes of the outbox
    said = make.said([record.value for record in world.sent[said_before:]])
    said.sort(key=lambda one: one.revision)
    for event, confirmed in made.partial.items():
        mine = [(one.assertion, one.status) for one in said if one.event == event]
        assert mine[0] == ("ASSERTED", "PROVISIONAL")
        assert [status for _, status in mine].count("PROVISIONAL") == (1 if confirmed else 2)
        if confirmed:
            assert mine[1:] == [("ASSERTED", "VERIFIED")]
        else:
            assert mine[1] == ("RETRACTED", "PROVISIONAL")
            assert mine[2:] in ([], [("ASSERTED", "VERIFIED")])
    assert not [one for one in world.holding().values() if one and one[1] == "PROVISIONAL"]

    figures = {
        "waiting": count,
        "calls": calls["calls"],
        "calls in vain": drill.failed_calls,
        "seconds it took": round(took, 1),
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
