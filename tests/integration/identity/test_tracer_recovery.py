"""What goes wrong at PDS, or here, is over when it is over: no outage keeps itself up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from connectors.pds.client import PdsClient
from sandbox.pds.server import PdsThread
from schemas.events import AttendanceReported
from stores import trace_requests
from streams.tracer import tracer as tracers
from streams.tracer.tracer import Tracer
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.services import Database
from tests.support.waiting import aeventually

Handler = Callable[[httpx.Request], httpx.Response]


def nobodies(count: int) -> list[AttendanceReported]:
    """Arrivals of children without a number, of whom PDS has no record."""
    return [
        make.attendance(
            replace(CHILD, nhs_number=None, family=f"Nobody{letter}"),
            local_id=f"L{letter}",
            visit=f"V{letter}",
        )
        for letter in "abcdefgh"[:count]
    ]


@asynccontextmanager
async def running(tracer: Tracer) -> AsyncIterator[None]:
    """A tracer that works."""
    stopping = asyncio.Event()
    task = asyncio.create_task(tracer.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


def answering(world: World, monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    """PDS answers as `handler` does, under the id that it was asked with."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = handler(request)
        said.headers["X-Request-ID"] = request.headers["X-Request-ID"]
        return said

    client = PdsClient(
        "http://pds.test/R4",
        token="practice-token",  # pragma: allowlist secret
        end_user_organisation="X26",
        profile="test",
        transport=httpx.MockTransport(answer),
    )
    monkeypatch.setattr(world, "_client", client)


def outcome(code: str) -> dict[str, Any]:
    """PDS's own word that a question is wrong."""
    details = {"coding": [{"code": code}]}
    issue = {"severity": "error", "code": "value", "details": details}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


async def ration(world: World) -> dict[str, Any]:
    """Failures in a row, and whether the breaker is open."""
    (row,) = await world.rows(
        "select failures, coalesce(breaker_until > clock_timestamp(), false) as open "
        "from pds_ration"
    )
    return row


async def test_searches_at_the_head_of_the_queue_do_not_keep_the_breaker_open(
    database: Database, pds: PdsThread
) -> None:
    """PDS is well again after an outage. The first to go and see are searches of several queries:
    their first answer closes the breaker, and all are done in a fraction of its period."""
    world = World(database, pds, calls_per_second=50, breaker_seconds=30)
    await world.open()
    try:
        await world.take(*nobodies(4))
        await world.rows("update pds_ration set failures = 3, breaker_until = clock_timestamp()")

        async def done() -> bool:
            live = "select count(*) from trace_requests where state in ('queued', 'leased')"
            return bool(await world.value(live) == 0)

        async with running(world.new_tracer()):
            await aeventually(done, 20, 0.05, why="all searches, within one breaker period")
        assert await ration(world) == {"failures": 0, "open": False}
    finally:
        await world.close()


async def test_a_refused_question_is_no_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PDS calls what it is asked wrong (400, with its code): each query of the cascade is asked all
    the same, the breaker stays closed, and nobody is said to have no record."""
    asked: list[httpx.URL] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(400, json=outcome("INVALID_SEARCH_DATA"))

    answering(world, monkeypatch, refuse)
    events = nobodies(3)
    await world.take(*events)
    for _ in events:
        await world.trace()
    assert len(asked) > 2 * len(events)
    assert await ration(world) == {"failures": 0, "open": False}
    assert {state for state, _ in await world.states(*events)} == {"waiting"}


async def test_one_refused_query_does_not_end_a_search(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first query is refused, the others find nobody: that is no "no match"."""
    first = True

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal first
        refused, first = first, False
        if refused:
            return httpx.Response(400, json=outcome("INVALID_SEARCH_DATA"))
        return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset", "total": 0})

    answering(world, monkeypatch, answer)
    (event,) = nobodies(1)
    await world.take(event)
    await world.trace()
    (row,) = await world.rows("select state, answered from trace_requests")
    assert row["state"] == "queued"  # asked again: it may be something that PDS mends
    assert len(row["answered"]) > 1
    assert [state for state, _ in await world.states(event)] == ["waiting"]


@pytest.mark.parametrize("content", [b"[" * 200_000, json.dumps([[]]).encode()])
async def test_an_answer_that_cannot_be_read_at_all_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """JSON nested too deeply for any reader is an unreadable answer like others."""
    answering(world, monkeypatch, lambda _: httpx.Response(200, content=content))
    await world.take(make.attendance())
    await world.trace()
    row = await world.rows("select state, unreadable from trace_requests")
    assert row == [{"state": "queued", "unreadable": 1}]


async def test_a_trace_that_fails_each_time_ends_before_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw (here one of Python's own) is counted, put off, and in the end
    the arrival is on the worklist as one that PDS was not asked about."""

    async def broken(*_: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr(world.client(), "get", broken)
    monkeypatch.setattr(tracers, "UNREADABLE_AT_MOST", 3)
    arrival = make.attendance()
    await world.take(arrival)

    async def failed(times: int) -> bool:
        return bool(await world.value("select unreadable from trace_requests") >= times)

    async with running(world.new_tracer()):
        for times in (1, 2, 3):
            await aeventually(partial(failed, times), 10, 0.05, why="one more failure")
            await world.pass_time(301)

        async def ended() -> bool:
            return await world.states(arrival) == [("unresolved", tracers.FAILED)]

        await aeventually(ended, 10, 0.05, why="the worklist")


async def test_a_search_lets_more_urgent_questions_go_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token comes for its next query: the search goes back to the queue with what was answered,
    and nothing is asked twice."""
    monkeypatch.setattr(tracers, "_WAITS_FOR_TOKEN_SECONDS", 0.05)
    original = trace_requests.take_token

    async def none(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(trace_requests, "take_token", none)
    await world.take(*nobodies(1))

    async def kept() -> bool:
        # taken again: it may stand in the queue for less time than it takes to look
        said = "select count(*) from trace_requests where attempts > 1 and answered <> '{}'"
        return bool(await world.value(said))

    async with running(world.new_tracer()):
        await aeventually(kept, 10, 0.01, why="the search in the queue")
        monkeypatch.setattr(trace_requests, "take_token", original)

        async def done() -> bool:
            return bool(await world.value("select count(*) from trace_requests where state='done'"))

        await aeventually(done, 10, 0.05, why="its end")
    calls = world.pds.pds.calls()
    assert (calls["repeated"], calls["reused"]) == (0, 0)
