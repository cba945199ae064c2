"""A flagged child's twin who comes with a number of her own is not taken for her; while a flagged
child whose number was mistyped is told of at once.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import IdentityStatus, PersonClaim
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

ONE = replace(CHILD, given=("Robin", "Grace"))
TWO = replace(CHILD, given=("Robin", "Rose"), nhs_number=make.number(77))
STRANGER = PersonClaim(
    nhs_number=make.number(78),
    family="Elsewhere",
    given=("Sam",),
    birth_date="1990-02-02",
    gender="male",
    postcode="ZZ9 9ZZ",
)
PERSON = make.known(ONE).person
TWIN = make.known(TWO).person
VERIFIED = IdentityStatus.VERIFIED


@pytest.mark.parametrize("given", [("Robin", "Rose"), ("Robin",), ("Robin", "Rose", "Ann")])
async def test_the_flagged_twins_sister_with_a_number_of_her_own_alerts_nobody(
    world: World, given: tuple[str, ...]
) -> None:
    """Her own visit, the same home: her names fit in part, her number says that she is another."""
    hub = BothStages(world)
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    await hub.take(make.flag(ONE))
    await hub.trace()
    two = make.attendance(replace(TWO, given=given), local_id="L2", visit="V2")
    await hub.take(two)
    assert await world.states(two) == [("waiting", "names-and-birth-date")]
    await hub.trace()
    assert world.holding().get(two.event_id) in (None, (TWIN, VERIFIED))
    assert not await hub.alerts()


async def test_a_plan_does_not_find_the_flagged_twins_sister(world: World) -> None:
    """The sister waits for PDS when the other is flagged: she is asked about, and nobody told."""
    hub = BothStages(world)
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    await hub.take(make.attendance(ONE, local_id="L1", visit="V1"))
    await hub.trace()
    two = make.attendance(TWO, local_id="L2", visit="V2")
    await hub.take(two)
    await hub.take(make.flag(ONE))
    assert await world.states(two) == [("waiting", "flag-backmatch-waits")]
    await hub.trace()
    assert world.holding()[two.event_id] == (TWIN, VERIFIED)
    assert {row.person for row in await hub.alerts()} <= {PERSON}


async def test_a_flagged_child_with_anothers_number_is_told_of_at_once(world: World) -> None:
    """Whole names, birth date and home are hers; the number was mistyped and is a stranger's."""
    hub = BothStages(world)
    world.knows(person_of(ONE), person_of(STRANGER))
    await hub.take(make.flag(ONE))
    await hub.trace()
    slip = make.attendance(replace(ONE, nhs_number=STRANGER.nhs_number), visit="V2")
    await hub.take(slip)
    assert await world.states(slip) == [("provisional", "partial-demographics")]
    (row,) = await hub.live()
    assert (row.person, row.provisional) == (PERSON, True)
