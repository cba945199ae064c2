"""A person's decision and whatever else decides the same entry: one of them, wholly, and told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard import faults
from halyard.errors import TransientError
from schemas.events import VisitEventKind
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, both, person_of
from tests.support.worklist import ended, entry_of, order

NUMBER = CHILD.nhs_number or ""
KNOWN = make.KEYS.person(NUMBER)
SLIP = replace(CHILD, birth_date="2011-03-14")
BARE = replace(CHILD, nhs_number=None, given=("Sam",))


async def test_c07_a_later_event_verifies_while_pds_is_asked_for_a_person(world: World) -> None:
    """The A08 with the right details comes first: it holds, the person is told that it was
    overtaken, and nothing is said twice.
    """
    arrival = make.attendance(SLIP)
    await world.take(arrival)
    await world.trace_all()
    decision = await order(world, arrival, "resolve", number=make.number(6))
    await world.new_resolver().work()
    world.knows(person_of(SLIP, nhs_number=make.number(6)))
    tracer = world.new_tracer()
    leased = await tracer.lease()
    async with world.locked(f"key:{arrival.source_patient}"):
        task = asyncio.create_task(tracer.trace(leased[0]))
        await world.blocked(1)
        await world.rows(
            "update claims set state = 'verified', rule = 'visit-corrected', person = %(who)s "
            "where reported_event_id = %(event)s",
            who=KNOWN,
            event=arrival.event_id,
        )
    await task
    done = await ended(world, decision)
    assert (done.state, done.outcome, done.number) == ("refused", "resolution.overtaken", None)
    assert await world.states(arrival) == [("verified", "visit-corrected")]
    assert await world.value("select count(*) from trace_requests where state = 'leased'") == 0


async def test_c07_a_decision_and_the_correcting_event_at_once(world: World) -> None:
    """Both run side by side, many times over: the event is the child's, once, however they meet."""
    for turn in range(4):
        arrival = make.attendance(SLIP, local_id=f"L{turn}", visit=f"V{turn}")
        await world.take(arrival)
        await world.trace_all()
        await order(world, arrival, "resolve", number=NUMBER, despite=("birth_date",))
        await world.new_resolver().work()
        corrected = make.attendance(
            local_id=f"L{turn}", visit=f"V{turn}", message_id=f"right-{turn}"
        )
        await both(world.trace_all(), world.take(corrected))
        await world.trace_all()
        states = await world.states(arrival, corrected)
        assert [state for state, _ in states] == ["verified", "verified"], states
        held = world.holding()
        assert held[arrival.event_id] == held[corrected.event_id]
    assert await world.value("select count(*) from worklist where closed_at is null") == 0
    assert await world.value("select count(*) from parked_keys") == 0


async def test_c07_a_decision_holds_up_no_later_event(world: World) -> None:
    """PDS is away while a person waits for it: what the visit tells meanwhile goes on."""
    arrival = make.attendance(BARE)
    await world.take(arrival)
    await world.trace_all()
    await order(world, arrival, "resolve", number=NUMBER, despite=("given",))
    await world.new_resolver().work()
    later = make.attendance(BARE, message_id="later", kind=VisitEventKind.UPDATE)
    await world.take(later)
    assert [state for state, _ in await world.states(later)] != ["waiting"]
    await world.trace_all()
    assert (await world.states(arrival))[0] == ("verified", "resolved-by-person")


async def test_c09_two_tracers_carry_out_a_decision_once(world: World) -> None:
    """A tracer whose lease ended and the one that took over answer both: one assertion."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    decision = await order(world, flag, "resolve", number=NUMBER, despite=("birth_date",))
    await both(world.new_resolver().work(), world.new_resolver().work())
    assert await world.value("select count(*) from trace_requests where state = 'queued'") == 1
    tracer = world.new_tracer()
    [leased] = await tracer.lease()
    await both(tracer.trace(leased), world.new_tracer().trace(leased))
    assert (await ended(world, decision)).state == "done"
    assert len(world.said()) == 1


async def test_c09_two_workers_reject_at_once(world: World) -> None:
    """What needs no answer of PDS is done once too."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    decision = await order(world, flag, "reject", code="nobody")
    await both(*(world.new_resolver().work() for _ in range(3)))
    assert (await ended(world, decision)).state == "done"
    kept = "select count(*) from audit_entries where body->>'kind' = 'review'"
    assert await world.value(kept) == 1


async def test_c07_an_entry_in_hand_does_not_expire(world: World) -> None:
    """It ends with the decision; a decision about what has expired is told so."""
    arrival = make.attendance(BARE)
    await world.take(arrival)
    await world.trace_all()
    decision = await order(world, arrival, "resolve", number=NUMBER, despite=("given",))
    world.now = make.NOW + timedelta(hours=49)
    await world.new_resolver().keep()
    assert (await entry_of(world, arrival)).closed_at is None
    await world.new_resolver().work()
    await world.trace_all()
    assert (await ended(world, decision)).state == "done"
    late = make.attendance(BARE, local_id="L9", visit="V9", received_at=make.NOW)
    await world.take(late)
    await world.trace_all()
    await world.new_resolver().keep()
    missed = await order(world, late, "resolve", number=NUMBER)
    await world.new_resolver().work()
    await world.trace_all()
    assert (await ended(world, missed)).outcome == "resolution.overtaken"


@pytest.mark.parametrize("point", ["tracer.after_call", "tracer.after_commit"])
async def test_c11_a_killed_tracer_ends_no_decision_twice(
    world: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off between the answer and the word on the bus: the same call again, one assertion."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    decision = await order(world, flag, "resolve", number=NUMBER, despite=("birth_date",))
    await world.new_resolver().work()
    cut = {point}

    def cutting(name: str) -> None:
        if name in cut:
            cut.clear()
            raise TransientError

    tracer = world.new_tracer()
    [leased] = await tracer.lease()
    monkeypatch.setattr(faults, "point", cutting)
    with pytest.raises(TransientError):
        await tracer.trace(leased)
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    await world.trace_all()
    assert (await ended(world, decision)).state == "done"
    assert world.pds.pds.calls()["reused"] == 0
    found = await world.value("select count(*) from outbox where topic like '%%flag.verified%%'")
    assert found == 1
