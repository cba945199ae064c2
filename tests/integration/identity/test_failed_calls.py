"""Calls to PDS that fail or say nothing: what waits is asked about again, and never for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.events import PersonClaim
from streams.tracer.tracer import UNREADABLE_AT_MOST
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.waiting import aeventually

UNNUMBERED = replace(CHILD, nhs_number=None)
STRANGER = PersonClaim(
    nhs_number=make.number(20), family="Else", given=("Sam",), birth_date="2015-05-05"
)
PERSON = make.known().person


async def flagged(world: World) -> None:
    """The child has a flag, verified."""
    await world.take(make.flag())
    await world.trace()


async def test_an_outage_opens_the_breaker_and_costs_no_ration(world: World) -> None:
    """After failures in a row nothing is leased; then one request goes to see, and all flow."""
    events = [
        make.attendance(
            replace(CHILD, nhs_number=make.number(20 + index)),
            local_id=f"L{index}",
            visit=f"V{index}",
        )
        for index in range(6)
    ]
    await world.take(*events)
    world.fault(down=True)
    tracer = world.new_tracer()
    for request in (await aeventually(tracer.lease))[:3]:
        await tracer.trace(request)
    await world.rows("update trace_requests set state = 'queued', due_at = now() - interval '1 s'")
    tokens = await world.value("select tokens from pds_ration")
    assert await tracer.lease() == []
    assert await world.value("select tokens from pds_ration") >= tokens
    world.fault()
    (probe,) = await aeventually(tracer.lease, why="the probe after the breaker")
    assert await tracer.lease() == []
    await tracer.trace(probe)
    await world.trace_all()
    assert {state for state, _ in await world.states(*events)} == {"unresolved"}


async def test_a_refused_token_is_asked_again_under_the_same_id(world: World) -> None:
    """An expired access token puts the request back; nothing is lost."""
    arrival = make.attendance()
    await world.take(arrival)
    world.fault(status=401, times=1)
    await world.trace(2)
    assert await world.states(arrival) == [("verified", "pds.get.number_birth_date_names")]
    calls = world.pds.pds.calls()
    assert (calls["calls"], calls["repeated"]) == (1, 1)


@pytest.mark.parametrize("fault", [{"garbage": True}, {"status": 403}])
async def test_an_answer_that_is_none_is_asked_again(world: World, fault: dict[str, Any]) -> None:
    """A proxy's page or a 403 decides nothing, opens the breaker, and is asked again later."""
    await flagged(world)
    arrival = make.attendance(UNNUMBERED)
    stranger = make.attendance(STRANGER, local_id="L2", visit="V2")
    await world.take(arrival, stranger)
    world.fault(**fault)
    await world.trace()
    assert await world.value("select failures from pds_ration") == 2
    assert [state for state, _ in await world.states(arrival, stranger)] == [
        "provisional",
        "waiting",
    ]
    assert world.holding()[arrival.event_id] == (PERSON, "PROVISIONAL")
    world.fault()
    await world.rows("update trace_requests set due_at = now() where state = 'queued'")
    await world.trace_all()
    assert world.holding()[arrival.event_id] == (PERSON, "VERIFIED")
    assert await world.value("select failures from pds_ration") == 0


async def test_after_too_many_such_answers_what_waits_ends(world: World) -> None:
    """The waiting arrival is unresolved, the provisional one stands and is asked about anew."""
    await flagged(world)
    arrival = make.attendance(UNNUMBERED)
    stranger = make.attendance(STRANGER, local_id="L2", visit="V2")
    await world.take(arrival, stranger)
    await world.rows(
        "update trace_requests set unreadable = %(seen)s where state = 'queued'",
        seen=UNREADABLE_AT_MOST - 1,
    )
    world.fault(garbage=True)
    await world.trace()
    assert [state for state, _ in await world.states(arrival, stranger)] == [
        "provisional",
        "unresolved",
    ]
    assert world.holding()[arrival.event_id] == (PERSON, "PROVISIONAL")
    assert await world.value("select failures from pds_ration") == 2
    (live,) = await world.rows("select kind, unreadable from trace_requests where state = 'queued'")
    assert live == {"kind": "search", "unreadable": 0}
