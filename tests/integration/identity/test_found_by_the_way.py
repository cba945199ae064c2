"""What PDS's record of somebody known says otherwise than before, learned from an answer that was
asked for something else; and an answer that is older than what is known by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas import codec, topics
from schemas.deaths import DeathIndication, DeathNotified
from schemas.events import AlertChange
from stores.alerts import RAISED
from tests.integration.identity.test_changes_by_the_way import (
    NEW,
    NEW_PERSON,
    OLD,
    OLD_PERSON,
    answered,
    flagged,
    leased,
    provisional_alert,
    supersede,
)
from tests.support import identity as make
from tests.support import tracing
from tests.support import worklist as desk
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def indicated(world: World) -> list[DeathIndication | None]:
    """What was said of deaths by PDS's word."""
    return [
        codec.decode_as(DeathNotified, one.value).indication
        for one in world.sent
        if one.topic == topics.DEATH_NOTIFIED
    ]


async def restricted(world: World) -> list[bool]:
    """Whether index, plan and visit have the child restricted."""
    rows = await world.rows(
        "select restricted from identities union all select restricted from flags"
        " union all select restricted from visits"
    )
    return [row["restricted"] for row in rows]


@pytest.mark.parametrize("single", [False, True], ids=["in a batch", "one by one"])
@pytest.mark.parametrize("backwards", [False, True], ids=["as said", "backwards"])
async def test_an_arrivals_answer_restricts_all_that_is_held(
    stages: BothStages, world: World, single: bool, backwards: bool
) -> None:
    """No word of the change is needed: the plan, its answer, an earlier visit of it and the alert
    are restricted; the alert that this answer confirms is not withdrawn between, in whatever order
    matching takes plan and visit."""
    before = await provisional_alert(stages)
    so_far = len(world.said())
    world.knows(person_of(CHILD, restricted=True))
    await world.trace_all()
    await stages.hand_over(single=single, backwards=backwards)
    assert await restricted(world) == [True, True, True]
    assert await world.answers() == {1: "CPR02"}
    (after,) = await stages.alerts()
    assert (after.alert_id, after.state, after.restricted, after.provisional) == (
        before.alert_id,
        RAISED,
        True,
        False,
    )
    assert AlertChange.WITHDRAWN not in [one.change for one in stages.told]
    assert {one.assertion for one in world.said()[so_far:]} == {"ASSERTED"}


async def test_a_restriction_without_a_contact_is_before_the_authority(
    stages: BothStages, world: World
) -> None:
    """A plan whose authority has no contact for restricted children is on its worklist."""
    lonely = make.flag(authority=make.LONELY_AUTHORITY)
    await stages.take(lonely)
    await stages.trace()
    world.now += timedelta(hours=30)
    await stages.take(make.attendance())
    world.knows(person_of(CHILD, restricted=True))
    await stages.trace()
    rows = await world.rows("select rule, organisation from worklist where closed_at is null")
    assert [tuple(row.values()) for row in rows] == [
        ("flag-restricted-without-contact", make.LONELY_AUTHORITY)
    ]


async def test_an_arrivals_answer_lifts_a_restriction(stages: BothStages, world: World) -> None:
    """Plan, its answer and alert are as open as those of any child again."""
    world.knows(person_of(CHILD, restricted=True))
    await flagged(stages)
    assert await world.answers() == {1: "CPR02"}
    world.now += timedelta(days=40)
    world.knows(person_of(CHILD))
    await stages.take(make.attendance())
    await stages.trace()
    assert await restricted(world) == [False, False, False]
    assert await world.answers() == {1: "CPR06"}
    assert [one.restricted for one in await stages.live()] == [False]


@pytest.mark.parametrize("also_told", [False, True], ids=["by the way", "with PDS's word"])
async def test_an_arrivals_answer_tells_a_death_once(
    stages: BothStages, world: World, also_told: bool
) -> None:
    """The cases hear of it, and once; of what is no death after all too."""
    await provisional_alert(stages)
    world.knows(person_of(CHILD, deceased=True))
    if also_told:
        await stages.take(make.changed(OLD))
    await stages.trace()
    assert indicated(world) == [DeathIndication.PDS_FORMAL]
    world.now += timedelta(days=40)
    world.knows(person_of(CHILD))
    await stages.take(make.attendance(local_id="L2", visit="V2"))
    await stages.trace()
    assert indicated(world) == [DeathIndication.PDS_FORMAL, DeathIndication.PDS_REMOVED]


async def test_another_plans_answer_restricts_the_first(stages: BothStages, world: World) -> None:
    """A second authority's plan learns it: the first one's is restricted with it."""
    await flagged(stages)
    world.now += timedelta(days=40)
    world.knows(person_of(CHILD, restricted=True))
    second = make.flag(line=2, local_id="C2", authority=make.LONELY_AUTHORITY, upload="U9")
    await stages.take(second)
    await stages.trace()
    assert await restricted(world) == [True, True]
    assert await world.answers() == {1: "CPR02", 2: "CPR02"}


async def test_a_search_restricts_all_that_is_held(stages: BothStages, world: World) -> None:
    """Whom a search names counts, not the names that were searched for."""
    await flagged(stages)
    world.now += timedelta(days=40)
    world.knows(person_of(CHILD, restricted=True))
    await stages.take(make.attendance(replace(CHILD, nhs_number=None)))
    assert [one.kind for one in (await leased(world)).values()] == ["search"]
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    await stages.trace()
    assert await restricted(world) == [True, True, True]
    assert await world.answers() == {1: "CPR02"}


async def test_a_persons_resolution_restricts_all_that_is_held(
    stages: BothStages, world: World
) -> None:
    """PDS's word of the number that a person named counts for the plan, whatever is decided."""
    await flagged(stages)
    unnamed = make.attendance(replace(CHILD, nhs_number=None, family="Unlike"))
    await stages.take(unnamed)
    await stages.trace()
    world.knows(person_of(CHILD, restricted=True))
    decided = await desk.decide(world, unnamed, "resolve", number=OLD)
    await stages.hand_over()
    assert decided.state == "refused"  # the family name differs, and nobody said that it may
    assert all(await restricted(world))
    assert await world.answers() == {1: "CPR02"}


async def test_a_merge_into_somebody_known_restricts_them_too(
    stages: BothStages, world: World
) -> None:
    """The old number leads to a child with a plan, who is restricted by now."""
    await stages.take(make.flag())
    world.knows(person_of(replace(CHILD, nhs_number=NEW)))
    theirs = make.flag(replace(CHILD, nhs_number=NEW), line=2, local_id="C2", upload="U2")
    await stages.take(theirs)
    await stages.trace()
    world.now += timedelta(hours=30)
    supersede(world, restricted=True)
    await stages.take(make.attendance())
    await stages.trace()
    rows = await world.rows("select person, restricted from flags")
    assert {tuple(row.values()) for row in rows} == {(NEW_PERSON, True)}
    assert await world.rows("select person, restricted from identities") == [
        {"person": NEW_PERSON, "restricted": True}
    ]
    assert await world.answers() == {1: "CPR02", 2: "CPR02"}


async def test_a_merge_into_a_record_of_a_death_tells_it(stages: BothStages, world: World) -> None:
    """The successor is dead: nobody need say so a second time."""
    await provisional_alert(stages)
    supersede(world, deceased=True)
    await stages.trace()
    assert indicated(world) == [DeathIndication.PDS_FORMAL]
    assert await world.rows("select person, deceased from identities") == [
        {"person": NEW_PERSON, "deceased": True}
    ]


async def test_a_line_of_a_batch_has_who_is_restricted_asked_about(world: World) -> None:
    """A file's question learns it of a flagged child: a recheck follows. Else none does."""
    await world.take(make.flag())
    await world.trace_all()
    mine = tracing.batches(world)
    rechecks = "select token from trace_requests where purpose = 'recheck' and state = 'queued'"
    for record in (person_of(CHILD), person_of(CHILD, restricted=True)):
        assert await world.rows(rechecks) == []
        world.knows(record)
        await tracing.put(world, [CHILD])
        assert await mine.feed() == 1
        [asked] = await world.new_tracer().lease()
        await tracing.tracer(world, mine).trace(asked)
    assert await world.rows(rechecks) == [{"token": OLD_PERSON}]


async def test_an_older_answer_lifts_no_restriction(stages: BothStages, world: World) -> None:
    """ "Not restricted", from before, comes after it: PDS is asked again, and what it says then
    counts; no place is told between."""
    before = await provisional_alert(stages)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    older = await answered(world, asked["claims"])
    world.knows(person_of(CHILD, restricted=True))
    tracer = world.new_tracer()
    world.now += timedelta(seconds=5)
    await tracer.trace(asked["recheck"])
    await stages.hand_over()
    stages.told.clear()
    world.now += timedelta(seconds=5)
    assert not await tracer._releases["claims"](asked["claims"], older)
    await stages.hand_over()
    assert all(await restricted(world))
    assert await world.value("select postcode from identities") is None
    assert stages.told == []
    await stages.trace()
    assert all(await restricted(world))
    (after,) = await stages.live()
    assert (after.alert_id, after.restricted, after.content.hospital) == (before.alert_id, True, "")


async def test_a_rechecks_older_answer_lifts_no_restriction(
    stages: BothStages, world: World
) -> None:
    """The same, the other way round: the arrival's answer is the newer one."""
    await provisional_alert(stages)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    older = await answered(world, asked["recheck"])
    world.knows(person_of(CHILD, restricted=True))
    tracer = world.new_tracer()
    await tracer.trace(asked["claims"])
    world.now += timedelta(seconds=5)
    assert not await tracer._releases["recheck"](asked["recheck"], older)
    await stages.hand_over()
    assert all(await restricted(world))
    await stages.trace()
    assert all(await restricted(world))


async def test_a_clock_that_is_behind_loses_no_restriction(
    stages: BothStages, world: World
) -> None:
    """Whose answer came last counts, not whose clock says so: the tracer that hears of the
    restriction has a clock 20 seconds behind that of the one before; the time kept goes on."""
    await stages.take(make.flag())
    await stages.trace()
    verified = await world.value("select verified_at from identities")
    world.now -= timedelta(seconds=20)
    world.knows(person_of(CHILD, restricted=True))
    await stages.take(make.changed(OLD))
    await stages.trace()
    assert await restricted(world) == [True, True]
    assert await world.answers() == {1: "CPR02"}
    assert await world.value("select verified_at from identities") == verified


async def test_an_answer_that_says_the_same_is_asked_once(stages: BothStages, world: World) -> None:
    """Two answers at one moment that agree: neither is asked for again."""
    await provisional_alert(stages)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    older = await answered(world, asked["claims"])
    tracer = world.new_tracer()
    world.now += timedelta(seconds=5)
    await tracer.trace(asked["recheck"])
    assert await tracer._releases["claims"](asked["claims"], older)
    assert await world.value("select count(*) from trace_requests where state = 'queued'") == 0


async def test_an_older_merge_moves_nobody_whom_pds_has_by_now(
    stages: BothStages, world: World
) -> None:
    """PDS takes a merge back: who is verified since under the number stays there."""
    await provisional_alert(stages)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    supersede(world)
    older = await answered(world, asked["claims"])
    world.knows(person_of(CHILD))
    tracer = world.new_tracer()
    world.now += timedelta(seconds=5)
    await tracer.trace(asked["recheck"])
    assert not await tracer._releases["claims"](asked["claims"], older)
    await stages.trace()
    assert await world.rows("select person from flags") == [{"person": OLD_PERSON}]


async def test_a_word_about_whom_a_search_just_finds_is_kept(
    stages: BothStages, world: World
) -> None:
    """The answer under way may be older than the word: once the child is known, PDS is asked
    again. Of people whom no search finds nothing is asked, and nothing stays."""
    await stages.take(make.flag(replace(CHILD, nhs_number=None)))
    asked = await leased(world)
    await stages.take(make.changed(OLD), make.changed(make.number(77)))
    tracer = world.new_tracer()
    await tracer.trace(asked["claims"])  # as PDS had it
    rows = await world.rows(
        "select token, priority from trace_requests where purpose = 'recheck' and state = 'queued'"
    )
    assert [tuple(row.values()) for row in rows] == [(OLD_PERSON, 2)]
    world.knows(person_of(CHILD, restricted=True))
    await stages.trace()
    assert await restricted(world) == [True, True]
    said = await world.rows("select answered from trace_requests where state = 'done'")
    assert "word" not in str(said)
    assert await world.value("select count(*) from trace_requests") == 2
