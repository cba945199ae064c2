"""Twins under one visit number, each with a local id: neither is ever taken for the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import IdentityStatus, PersonClaim, VisitEventKind
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

ONE = replace(CHILD, given=("Robin", "Grace"))
TWO = replace(CHILD, given=("Robin", "Rose"), nhs_number=make.number(77))
UNNUMBERED = replace(TWO, nhs_number=None, multiple_birth=True, birth_order=2)
PERSON = make.known(ONE).person
TWIN = make.known(TWO).person
VERIFIED, PROVISIONAL = IdentityStatus.VERIFIED, IdentityStatus.PROVISIONAL


@pytest.mark.parametrize("given", [("Twin 2",), ("Robin", "Rose"), ("Robin",)])
@pytest.mark.parametrize("later", [False, True], ids=["twin-first", "twin-last"])
async def test_a_twin_without_a_number_asks_for_herself(
    world: World, given: tuple[str, ...], later: bool
) -> None:
    """Family name, birth date, gender and home are her sister's too: none of it is hers alone."""
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    one = make.attendance(ONE, local_id="L1", visit="V9")
    claim = replace(TWO, nhs_number=None, given=given)
    two = make.attendance(claim, local_id="L2", visit="V9")
    for event in (one, two) if later else (two, one):
        await world.take(event)
        await world.trace_all()
    held = world.holding()
    assert held[one.event_id] == (PERSON, VERIFIED)
    assert held.get(two.event_id) in (None, (TWIN, VERIFIED))
    ((_, rule),) = await world.states(two)
    assert rule.startswith("pds.search") or rule == "pds.too_many_matches"


@pytest.mark.parametrize("numbered", [False, True])
async def test_the_flagged_twin_gets_her_own_alert(world: World, numbered: bool) -> None:
    """Her sister, verified under the same visit number, does not stand in her alert's way."""
    hub = BothStages(world)
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    await hub.take(make.flag(TWO))
    await hub.trace()
    earlier = make.NOW - timedelta(minutes=5)
    await hub.take(make.attendance(ONE, local_id="L1", visit="V9", received_at=earlier))
    await hub.trace()
    two = make.attendance(TWO if numbered else UNNUMBERED, local_id="L2", visit="V9")
    await hub.take(two)
    (row,) = await hub.live()
    assert (row.person, row.provisional) == (TWIN, not numbered)
    await hub.trace()
    assert world.holding()[two.event_id] in (None, (TWIN, VERIFIED), (TWIN, PROVISIONAL))


async def test_what_names_neither_follows_its_own_local_id(world: World) -> None:
    """Both are verified in one visit; a bare discharge is of whom its local id is."""
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    arrivals = [
        make.attendance(claim, local_id=local_id, visit="V9")
        for claim, local_id in ((ONE, "L1"), (TWO, "L2"))
    ]
    await world.take(*arrivals)
    await world.trace_all()
    left = [
        make.attendance(PersonClaim(), local_id=local_id, visit="V9", kind=VisitEventKind.DISCHARGE)
        for local_id in ("L1", "L2")
    ]
    await world.take(*left)
    assert await world.states(*left) == [("verified", "same-visit")] * 2
    held = world.holding()
    assert [held[one.event_id] for one in left] == [(PERSON, VERIFIED), (TWIN, VERIFIED)]
