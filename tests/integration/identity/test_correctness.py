"""Correctness rules 6 to 11, deterministically: two transactions held at the right line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from halyard import faults
from halyard.errors import TransientError
from schemas.events import PersonClaim, VisitEventKind
from stores import outbox, trace_requests
from tests.support import identity as make
from tests.support.identity import CHILD, LONELY_AUTHORITY
from tests.support.identity_world import World, person_of
from tests.support.processes import Process
from tests.support.waiting import aeventually

UNNUMBERED = replace(CHILD, nhs_number=None)
STRANGER = PersonClaim(
    nhs_number=make.number(20), family="Else", given=("Sam",), birth_date="2015-05-05"
)
CANCEL, UPDATE = VisitEventKind.CANCEL, VisitEventKind.UPDATE
PERSON = make.known().person


async def flagged(world: World) -> None:
    """The child has a flag, verified."""
    await world.take(make.flag())
    await world.trace()


@pytest.mark.parametrize("first", ["release", "arrival"])
async def test_c06_parks_or_follows_and_is_never_stuck(world: World, first: str) -> None:
    """Release and next event meet at the key's lock; whoever is first, both are released."""
    arrival, cancel = make.attendance(UNNUMBERED), make.attendance(PersonClaim(), kind=CANCEL)
    await world.take(arrival)
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    release = partial(tracer.trace, request)
    take = partial(world.take, cancel)
    parts: list[Callable[[], Coroutine[Any, Any, None]]] = (
        [release, take] if first == "release" else [take, release]
    )
    async with world.locked(f"key:{arrival.source_patient}"):
        running = []
        for count, part in enumerate(parts, start=1):
            running.append(asyncio.create_task(part()))
            await world.blocked(count)
    await asyncio.gather(*running)
    assert [state for state, _ in await world.states(arrival, cancel)] == ["verified"] * 2
    assert [one.event for one in world.said()] == [arrival.event_id, cancel.event_id]
    assert await world.value("select count(*) from parked_keys") == 0


async def test_c07_a_number_in_an_update_releases_the_unresolved_arrival(world: World) -> None:
    """The A04 without number is on the worklist; the A08 with the number frees both, at once."""
    arrival = make.attendance(PersonClaim(family="Testchild"))
    update = make.attendance(kind=UPDATE)
    await world.take(arrival)
    assert await world.states(arrival) == [("unresolved", "child-without-evidence")]
    await world.take(update)
    await world.trace()
    assert [state for state, _ in await world.states(arrival, update)] == ["verified"] * 2
    assert await world.value("select closed_rule from worklist") == "key-evidence"


async def test_c07_the_best_evidence_replaces_the_trace_in_flight(world: World) -> None:
    """A number arrives while the search is leased: the search is orphaned, the GET decides."""
    arrival, update = make.attendance(UNNUMBERED), make.attendance(kind=UPDATE)
    await world.take(arrival)
    tracer = world.new_tracer()
    (search,) = await aeventually(tracer.lease)
    await world.take(update)
    await tracer.trace(search)  # its answer finds nobody waiting
    assert [state for state, _ in await world.states(arrival, update)] == ["waiting"] * 2
    await world.trace()
    assert [state for state, _ in await world.states(arrival, update)] == ["verified"] * 2
    assert await world.rows("select kind, state from trace_requests order by kind") == [
        {"kind": "get", "state": "done"},
        {"kind": "search", "state": "cancelled"},
    ]


async def test_c08_a_cancel_does_not_wait_out_an_outage(world: World) -> None:
    """PDS is down: arrival and cancel go on provisionally; both are confirmed when it is back."""
    await flagged(world)
    world.fault(down=True)
    arrival, cancel = make.attendance(UNNUMBERED), make.attendance(PersonClaim(), kind=CANCEL)
    await world.take(arrival)
    await world.trace()
    await world.take(cancel)
    assert world.holding()[cancel.event_id] == (PERSON, "PROVISIONAL")
    world.fault()
    await world.trace()
    assert world.holding()[arrival.event_id] == (PERSON, "VERIFIED")
    assert world.holding()[cancel.event_id] == (PERSON, "VERIFIED")
    assert [one.event for one in world.said()[-2:]] == [arrival.event_id, cancel.event_id]


async def test_c09_the_provisional_alert_named_the_wrong_child(world: World) -> None:
    """The trace names another child: retraction and assertion, in one transaction, new ids."""
    await flagged(world)
    arrival = make.attendance(UNNUMBERED)
    await world.take(arrival)
    truth = replace(CHILD, nhs_number=make.number(5))
    world.knows(person_of(CHILD, family="Renamed"), person_of(truth))
    await world.trace()
    said = [one for one in world.said() if one.event == arrival.event_id]
    assert [(one.revision, one.assertion, one.status) for one in said] == [
        (1, "ASSERTED", "PROVISIONAL"),
        (2, "RETRACTED", "PROVISIONAL"),
        (3, "ASSERTED", "VERIFIED"),
    ]
    assert [one.person for one in said] == [PERSON, PERSON, make.known(truth).person]
    rows = await world.rows("select event_id, xmin::text as transaction from outbox order by id")
    assert len({row["event_id"] for row in rows}) == len(rows)


async def test_c09_the_same_rule_may_answer_twice(world: World) -> None:
    """Provisional, refuted, provisional again by the same rule: every assertion has its own id."""
    await flagged(world)
    arrival = make.attendance(UNNUMBERED)
    await world.take(arrival)
    world.knows(person_of(CHILD, family="Renamed"))
    await world.trace()
    assert world.holding()[arrival.event_id] is None
    again = make.attendance(UNNUMBERED, kind=UPDATE)
    await world.take(again)
    assert world.holding()[arrival.event_id] == (PERSON, "PROVISIONAL")
    said = [one for one in world.said() if one.event == arrival.event_id]
    assert [one.revision for one in said] == [1, 2, 4]  # 3 said that it is unresolved


@pytest.mark.parametrize("first", ["flag", "arrival"])
async def test_c10_flag_and_arrival_cross(world: World, first: str) -> None:
    """The flag's answer and the arrival meet at their tokens: whoever is second sees the other."""
    submitted, arrival = make.flag(), make.attendance(UNNUMBERED)
    await world.take(submitted)
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    release = partial(tracer.trace, request)
    take = partial(world.take, arrival)
    parts: list[Callable[[], Coroutine[Any, Any, None]]] = (
        [release, take] if first == "flag" else [take, release]
    )
    (token,) = make.known().demographic_tokens
    async with world.locked(f"tok:{token}"):
        running = []
        for count, part in enumerate(parts, start=1):
            running.append(asyncio.create_task(part()))
            await world.blocked(count)
    await asyncio.gather(*running)
    assert world.holding()[arrival.event_id] == (PERSON, "PROVISIONAL")
    assert await world.value("select priority from trace_requests where state = 'queued'") == 1


async def test_c10_a_late_flag_finds_the_untraced_mother(world: World) -> None:
    """She was not traced (no plan then): the flag makes her arrival provisional, priority 1."""
    mother = PersonClaim(
        nhs_number=make.number(3),
        family="Mother",
        given=("Mary",),
        birth_date="1990-01-01",
        gender="female",
        postcode="ZZ3 3CC",
    )
    world.knows(person_of(mother))
    arrival = make.attendance(replace(mother, nhs_number=None))
    await world.take(arrival)
    assert await world.states(arrival) == [("not_traced", "adult")]
    await world.take(make.flag(mother))
    await world.trace()
    person = make.known(mother).person
    assert world.holding()[arrival.event_id] == (person, "PROVISIONAL")
    await world.trace()
    assert world.holding()[arrival.event_id] == (person, "VERIFIED")


async def test_c10_an_old_claim_is_not_looked_at(world: World) -> None:
    """The back-match reaches 48 hours back, no further."""
    arrival = make.attendance(UNNUMBERED, kind=UPDATE, received_at=make.NOW - timedelta(hours=49))
    await world.take(arrival)
    await flagged(world)
    assert await world.states(arrival) == [("not_traced", "no-arrival")]


async def test_c10_a_restricted_child_is_never_provisional(world: World) -> None:
    """Flag first or arrival first: nothing is said until PDS has verified the restricted child."""
    world.knows(person_of(CHILD, restricted=True))
    before = make.attendance(UNNUMBERED, local_id="L1", visit="V1")
    after = make.attendance(UNNUMBERED, local_id="L2", visit="V2")
    await world.take(before)
    await world.take(make.flag())
    await world.trace()
    await world.take(after)
    await world.trace_all()
    assert "PROVISIONAL" not in {one.status for one in world.said()}
    assert [state for state, _ in await world.states(before, after)] == ["verified"] * 2
    assert await world.value("select postcode is null and restricted from identities")


async def test_c10_not_held_is_not_flagged(world: World) -> None:
    """A restricted child's flag without a registered contact makes nobody a candidate."""
    world.knows(person_of(CHILD, restricted=True))
    await world.take(make.flag(authority=LONELY_AUTHORITY))
    await world.trace()
    assert await world.answers() == {1: "CPR02"}
    assert await world.value("select count(*) from identities") == 0


@pytest.mark.parametrize("point", ["tracer.after_claim", "tracer.after_call"])
async def test_c11_a_killed_tracer_is_taken_over_with_the_same_request_id(
    world: World, tmp_path: Path, point: str
) -> None:
    """SIGKILL after the lease or after the call: another asks under the id that was stored."""
    arrival = make.attendance()
    await world.take(arrival)
    script = Path(__file__).parents[2] / "support" / "tracer_child.py"
    root = str(Path(__file__).parents[3])
    child = Process(
        [sys.executable, "-P", str(script), f"{point}:kill"],
        directory=tmp_path,
        name="tracer",
        env={
            "PYTHONPATH": root,
            "TRACER_DATABASE": world.database.url,
            "TRACER_PDS": world.pds.url,
        },
    )
    assert child.wait(30) == -9
    (leased,) = await world.rows("select state, attempts, request_ids from trace_requests")
    assert (leased["state"], leased["attempts"]) == ("leased", 1)
    assert await world.new_tracer().lease() == []
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    await world.trace()
    assert await world.states(arrival) == [("verified", "pds.get.number_birth_date_names")]
    calls = world.pds.pds.calls()
    assert (calls["calls"], calls["repeated"], calls["reused"]) == (
        1,
        1 if point == "tracer.after_call" else 0,
        0,
    )
    assert len(world.said()) == 1


async def test_c11_two_tracers_release_once(world: World) -> None:
    """The lease ended while its holder still asked: both bring the answer, one releases."""
    arrival = make.attendance()
    await world.take(arrival)
    one, two = world.new_tracer(), world.new_tracer()
    (request,) = await aeventually(one.lease)
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    (again,) = await aeventually(two.lease)
    assert again.request_ids == request.request_ids
    await asyncio.gather(one.trace(request), two.trace(again))
    assert len(world.said()) == 1


async def test_a_tracer_cut_off_after_its_commit_loses_nothing(world: World) -> None:
    """The release is committed and not published: the sweeper publishes it."""
    await world.take(make.attendance())
    faults.arm("tracer.after_commit:raise")
    try:
        with pytest.raises(TransientError):
            await world.trace()
    finally:
        faults.arm(None)
    assert not world.sent
    await outbox.sweep(world.pool, world.send, older_than_seconds=0)
    assert len(world.said()) == 1


async def test_the_ration_is_one_for_all_and_goes_by_priority(world: World) -> None:
    """Two tokens at once at two calls a second: the flagged child's search comes first."""
    await flagged(world)
    others = [
        make.attendance(
            replace(CHILD, nhs_number=make.number(20 + index)),
            local_id=f"L{index}",
            visit=f"V{index}",
        )
        for index in range(4)
    ]
    await world.take(*others)
    await world.take(make.attendance(UNNUMBERED, local_id="L9", visit="V9"))
    ration = trace_requests.Ration(per_second=0.5, burst=2, failures=3, breaker_seconds=1)
    await world.rows("update pds_ration set tokens = 2, refilled_at = clock_timestamp()")
    leased = await trace_requests.lease(world.pool, ration, limit=10, lease_seconds=30)
    assert [request.priority for request in leased] == [1, 1]
    assert await trace_requests.lease(world.pool, ration, limit=10, lease_seconds=30) == []


async def test_a_search_that_waits_for_the_ration_keeps_its_lease(world: World) -> None:
    """The lease is renewed before each further question; who has lost it asks no more."""
    await world.take(make.attendance(replace(UNNUMBERED, family="Nobody")))
    one = world.new_tracer()
    (request,) = await aeventually(one.lease)
    await world.rows("update trace_requests set lease_until = now() + interval '1 second'")
    renewed = await trace_requests.renew(world.pool, request, lease_seconds=30)
    assert renewed
    assert await world.value("select lease_until > now() + interval '20 s' from trace_requests")
    await world.rows("update trace_requests set lease_until = now() + interval '1 second'")
    await world.rows("update pds_ration set tokens = -250, refilled_at = clock_timestamp()")
    running = asyncio.create_task(one.trace(request))
    await aeventually(lambda: world.pds.pds.calls()["calls"] == 1)
    renewed_by_itself = "select lease_until > now() + interval '20 s' from trace_requests"
    await aeventually(partial(world.value, renewed_by_itself))
    await world.rows("update trace_requests set attempts = attempts + 1")
    with pytest.raises(TransientError):
        await running
    assert world.pds.pds.calls()["calls"] == 1


async def test_a_tracer_runs_until_it_is_told_to_stop(world: World) -> None:
    """The loop leases, asks and releases by itself; a stop finishes what is in flight."""
    stopping = asyncio.Event()
    running = asyncio.create_task(world.new_tracer().run(stopping))
    await world.take(make.flag(), make.attendance())
    await aeventually(lambda: len(world.said()) == 2)
    stopping.set()
    await asyncio.wait_for(running, 5)
