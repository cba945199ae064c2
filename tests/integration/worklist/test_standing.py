"""An entry of which a provisional alert stands: clearing the list silences nothing."""

from __future__ import annotations

from dataclasses import replace

from schemas.events import AttendanceReported, PersonClaim
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide, entry_of

PARTIAL = replace(CHILD, birth_date="2017", given=())
KNOWN = make.KEYS.person(CHILD.nhs_number or "")


async def provisional(world: World, claim: PersonClaim = PARTIAL) -> AttendanceReported:
    """A flagged child's arrival that PDS neither proved nor contradicted."""
    await world.take(make.flag())
    await world.trace_all()
    arrival = make.attendance(claim)
    await world.take(arrival)
    await world.trace_all()
    assert world.said()[-1].status == "PROVISIONAL"
    assert (await entry_of(world, arrival)).closed_at is None
    return arrival


async def test_rejecting_takes_no_provisional_alert_back(world: World) -> None:
    """The entry ends; what was asserted stands until better evidence comes."""
    arrival = await provisional(world)
    said = len(world.said())
    done = await decide(world, arrival, "reject", code="nobody")
    assert done.state == "done"
    assert (await entry_of(world, arrival)).closed_rule == "rejected-by-person.nobody"
    assert len(world.said()) == said
    assert world.holding()[arrival.event_id] is not None


async def test_resolving_as_somebody_else_withdraws_it(world: World) -> None:
    """Retraction of the one and assertion of the other, in one transaction."""
    arrival = await provisional(world, replace(CHILD, given=("Robyn",)))
    other = replace(CHILD, nhs_number=make.number(3), given=("Kim",))
    world.knows(person_of(other))
    despite = ("number", "given")
    done = await decide(world, arrival, "resolve", number=make.number(3), despite=despite)
    assert done.state == "done", done.outcome
    last = [(one.assertion, one.person == KNOWN) for one in world.said()[-2:]]
    assert last == [("RETRACTED", True), ("ASSERTED", False)]
