"""A search keeps what was answered: no query is made again that need not be (rule 11)."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halyard.errors import TransientError
from stores import trace_requests
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.processes import Process
from tests.support.waiting import aeventually

NOBODY = replace(CHILD, nhs_number=None, family="Nobodyatall")


async def test_what_was_answered_is_not_asked_again_after_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PDS goes away between two queries: the first is not repeated, the second keeps its id."""
    arrival = make.attendance(NOBODY)
    await world.take(arrival)
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    original = trace_requests.progress

    async def and_then_down(*args: Any) -> bool:
        kept = await original(*args)
        world.fault(down=True)
        return kept

    with monkeypatch.context() as patched:
        patched.setattr(trace_requests, "progress", and_then_down)
        await tracer.trace(request)
    (row,) = await world.rows("select state, answered from trace_requests")
    assert row["state"] == "queued"
    assert len(row["answered"]) == 1
    assert "nobody" in row["answered"][0]
    before = world.pds.pds.calls()
    assert (before["calls"], before["repeated"]) == (2, 0)
    world.fault()
    await world.pass_time(30)
    await world.trace_all()
    after = world.pds.pds.calls()
    assert (after["repeated"], after["reused"]) == (1, 0)
    assert [state for state, _ in await world.states(arrival)] == ["unresolved"]


async def test_c11_a_search_is_taken_over_where_it_was_broken_off(
    world: World, tmp_path: Path
) -> None:
    """SIGKILL between two queries: whoever takes over goes on with the next one."""
    arrival = make.attendance(NOBODY)
    await world.take(arrival)
    child = Process(
        [
            sys.executable,
            "-P",
            str(Path(__file__).parents[2] / "support" / "tracer_child.py"),
            "tracer.after_query:kill",
        ],
        directory=tmp_path,
        name="tracer",
        env={
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "TRACER_DATABASE": world.database.url,
            "TRACER_PDS": world.pds.url,
        },
    )
    assert child.wait(30) == -9
    assert world.pds.pds.calls()["calls"] == 1
    await world.pass_time(31)
    await world.trace()
    calls = world.pds.pds.calls()
    assert (calls["repeated"], calls["reused"]) == (0, 0)
    assert calls["calls"] > 1
    assert [state for state, _ in await world.states(arrival)] == ["unresolved"]


async def test_who_has_lost_the_lease_does_not_put_back(world: World) -> None:
    """A call without an answer comes back after another has taken over: the new lease stands."""
    await world.take(make.attendance())
    world.fault(down=True)
    one, two = world.new_tracer(), world.new_tracer()
    (request,) = await aeventually(one.lease)
    await world.pass_time(31)
    (again,) = await aeventually(two.lease)
    await one.trace(request)
    assert await world.rows("select state, attempts from trace_requests") == [
        {"state": "leased", "attempts": again.attempts}
    ]


async def test_who_has_lost_the_lease_keeps_nothing(world: World) -> None:
    """The lease is another's by now: no progress is written, and no further query is made."""
    await world.take(make.attendance(NOBODY))
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    await world.rows("update trace_requests set attempts = attempts + 1")
    with pytest.raises(TransientError):
        await tracer.trace(request)
    assert world.pds.pds.calls()["calls"] == 1
    assert await world.value("select answered from trace_requests") == []
