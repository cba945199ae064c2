"""A search's record of PDS has no old or maiden names: what is known of a child's stays known."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.pds.outcomes import Found, PdsRecord
from halyard.postgres import transaction
from sandbox.pds.people import FormerName, Person
from schemas.events import PersonClaim
from stores.trace_requests import TraceRequest
from streams.identity.answers import TraceAnswer
from streams.tracer import following
from tests.integration.identity.test_changes_by_the_way import leased
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

BEFORE = "Oldname"
UNNUMBERED = replace(CHILD, nhs_number=None)
POTENTIAL = replace(UNNUMBERED, gender=None, postcode=None, given=("Robina",))
LATE = make.attendance(replace(UNNUMBERED, family=BEFORE), local_id="L8", visit="V8")
KNOWN = "select demographic_tokens, names from identities"


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def named(*families: str, **changes: object) -> Person:
    """The child with the names of before that PDS has."""
    names = [
        FormerName(use="old", family=one, given=("Robin",), end="2024-01-01") for one in families
    ]
    return person_of(CHILD, former_names=tuple(names), **changes)


async def flagged(stages: BothStages, world: World) -> None:
    """A plan of the child, whose former name PDS tells; more than a day ago."""
    world.knows(named(BEFORE))
    await stages.take(make.flag())
    await stages.trace()
    world.now += timedelta(hours=30)


@pytest.mark.parametrize(("claim", "state"), [(UNNUMBERED, "verified"), (POTENTIAL, "unresolved")])
async def test_a_search_that_finds_a_child_leaves_the_former_names(
    stages: BothStages, world: World, claim: PersonClaim, state: str
) -> None:
    """Verified or not: the index is as before, and who comes under the former name is alerted
    before PDS answers."""
    await flagged(stages, world)
    before = await world.rows(KNOWN)
    stranger = make.attendance(claim, local_id="L7", visit="V7")
    await stages.take(stranger)
    await stages.trace()
    assert [one for one, _ in await world.states(stranger)] == [state]
    assert await world.rows(KNOWN) == before
    so_far = len(await stages.live())
    await stages.take(LATE)
    assert [one for one, _ in await world.states(LATE)] == ["provisional"]
    assert len(await stages.live()) == so_far + 1


async def test_a_name_in_use_that_a_search_tells_makes_the_one_before_a_former_one(
    stages: BothStages, world: World
) -> None:
    """The new name counts at once, both that were known lead to the child still, and the whole
    record is asked for."""
    await flagged(stages, world)
    world.knows(named(BEFORE, str(CHILD.family), family="Newname"))
    await stages.take(make.attendance(replace(UNNUMBERED, family="Newname")))
    await world.trace()
    (known,) = await world.rows(KNOWN)
    assert known["names"]["family"] == "Newname"
    assert sorted(known["names"]["other_families"]) == [BEFORE, CHILD.family]
    assert len(known["demographic_tokens"]) == 3
    await stages.take(LATE)
    assert [one for one, _ in await world.states(LATE)] == ["provisional"]
    purposes = await world.rows("select purpose from trace_requests where kind = 'get'")
    assert [one["purpose"] for one in purposes].count("recheck") == 1
    await stages.trace()
    assert [one for one, _ in await world.states(LATE)] == ["verified"]


async def test_a_retrieval_takes_away_what_pds_has_no_more(
    stages: BothStages, world: World
) -> None:
    """What a number's whole record leaves out is no name of the child."""
    await flagged(stages, world)
    world.knows(named())
    await stages.take(make.attendance())
    await stages.trace()
    (known,) = await world.rows(KNOWN)
    assert (known["names"]["other_families"], len(known["demographic_tokens"])) == ([], 1)


async def test_a_search_is_not_put_back_for_the_names_it_cannot_have(
    stages: BothStages, world: World
) -> None:
    """PDS's word that came while it was asked says the same: there is nothing to ask anew."""
    await flagged(stages, world)
    await stages.take(make.attendance(UNNUMBERED), make.changed(str(CHILD.nhs_number)))
    asked = await leased(world)
    tracer = world.new_tracer()
    world.now += timedelta(seconds=5)
    await tracer.trace(asked["recheck"])
    assert asked["claims"].kind == "search"
    found = TraceAnswer(Found(make.record(), 1.0), "names")
    assert await tracer._releases["claims"](asked["claims"], found)


@pytest.mark.parametrize(
    ("record", "filed"),
    [(make.record(), 0), (make.record(restricted=True, postcode=None), 1)],
    ids=["the same", "restricted"],
)
async def test_a_batchs_search_asks_again_only_where_something_is_otherwise(
    stages: BothStages, world: World, record: PdsRecord, filed: int
) -> None:
    """A line that finds a known child files no question for the names that it cannot tell."""
    await flagged(stages, world)
    line = TraceRequest(
        trace_id=uuid.uuid4(),
        fingerprint="batch:x",
        token="token",
        kind="search",
        priority=9,
        claim=UNNUMBERED,
        organisation=make.HOSPITAL,
        request_ids=(uuid.uuid4(),),
        purpose="batch",
    )
    said = TraceAnswer(Found(record, 1.0), "names")
    async with transaction(world.pool) as connection:
        await following.ask_about(connection, line, said, world.limits, world.now, uuid.uuid4)
    rechecks = "select count(*) from trace_requests where purpose = 'recheck'"
    assert await world.value(rechecks) == filed
