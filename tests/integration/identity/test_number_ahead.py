"""PDS's word of a change comes before matching has taken what was said: nobody goes untold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from halyard.postgres import transaction
from schemas.events import AlertChange, PlanType, VisitEventKind
from streams.tracer.housekeeping import retention
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

OLD = CHILD.nhs_number or ""
NEW = make.number(50)


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database; matching takes only what it is handed."""
    return BothStages(world)


async def ask_again(world: World) -> None:
    """Word of a change comes, and PDS is asked; matching stands still."""
    await world.take(make.changed(OLD))
    await world.trace_all()


async def letters(world: World) -> list[tuple[str, str]]:
    """Who was written to, of what."""
    rows = await world.rows("select organisation, kind from letters order by organisation, kind")
    return [(row["organisation"], row["kind"]) for row in rows]


def supersede(world: World, **changes: object) -> None:
    """PDS merges the child's record into another."""
    world.knows(
        person_of(replace(CHILD, nhs_number=NEW), **changes),
        person_of(CHILD, superseded_by=NEW),
    )


async def test_an_authority_is_told_of_a_superseded_number(
    stages: BothStages, world: World
) -> None:
    """By the letter, with its own upload, line and id, and by its upload's answer."""
    await world.take(make.flag())
    await world.trace_all()
    supersede(world)
    await ask_again(world)
    assert await letters(world) == [(make.AUTHORITY, "number-superseded")]
    (row,) = await world.rows("select body from letters")
    said = orjson.loads(bytes(row["body"]))["entry"][1]["resource"]["parameter"]
    parts = {one["name"]: one for one in {p["name"]: p for p in said}["record"]["part"]}
    assert parts["local-id"]["valueIdentifier"]["value"] == "C1"
    assert parts["line"]["valuePositiveInt"] == 1
    assert await world.answers() == {1: "CPR05"}
    await stages.hand_over()
    assert await world.value(
        "select count(*) from flags where person = %(p)s", p=make.KEYS.person(NEW)
    )
    assert await letters(world) == [(make.AUTHORITY, "number-superseded")]


async def test_a_hospital_is_told_of_an_arrival_that_is_on_its_way(
    stages: BothStages, world: World
) -> None:
    """The visit is not there yet; its hospital is written to all the same."""
    world.writes_to_the_hospital()
    await stages.take(make.flag())
    await stages.trace()
    await world.take(make.attendance())
    await world.trace_all()
    supersede(world)
    await ask_again(world)
    assert await letters(world) == sorted(
        [(make.AUTHORITY, "number-superseded"), (make.HOSPITAL, "number-superseded")]
    )
    await stages.hand_over()
    (alert,) = await stages.live()
    assert alert.person == make.KEYS.person(NEW)


async def test_an_authority_is_told_of_an_invalidated_number(
    stages: BothStages, world: World
) -> None:
    """Letter, answer and worklist; and matching, which takes it all later, holds no plan."""
    await world.take(make.flag())
    await world.trace_all()
    world.knows(person_of(CHILD, invalidated=True))
    await ask_again(world)
    assert await letters(world) == [(make.AUTHORITY, "number-invalidated")]
    assert await world.answers() == {1: "CPR07"}
    rows = await world.rows(
        "select organisation, rule, local_id, line from worklist where closed_at is null"
    )
    assert [tuple(row.values()) for row in rows] == [
        (make.AUTHORITY, "number-invalidated", "C1", 1)
    ]
    await stages.hand_over()
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from flag_events where nhs_number <> ''") == 0


async def test_an_authority_is_told_of_a_child_who_became_restricted(
    stages: BothStages, world: World
) -> None:
    """Its upload's answer says so, and its plan is held on the restricted path."""
    await world.take(make.flag())
    await world.trace_all()
    world.knows(person_of(CHILD, restricted=True))
    await ask_again(world)
    assert await world.answers() == {1: "CPR02"}
    await stages.hand_over()
    assert await world.value("select count(*) from flags where restricted") == 1


async def test_an_authority_is_told_of_a_successor_who_differs(
    stages: BothStages, world: World
) -> None:
    """The plan stays, and is on its worklist."""
    await world.take(make.flag())
    await world.trace_all()
    supersede(world, family="Somebody", given=("Else",), birth_date="2011-01-01")
    await ask_again(world)
    assert await letters(world) == [(make.AUTHORITY, "number-superseded-differs")]
    rows = await world.rows("select organisation, rule from worklist where closed_at is null")
    assert [tuple(row.values()) for row in rows] == [(make.AUTHORITY, "number-superseded-differs")]
    await stages.hand_over()
    assert await world.value(
        "select count(*) from flags where person = %(p)s", p=make.KEYS.person(OLD)
    )


async def test_an_authority_whose_deletion_is_on_its_way_is_not_written_to(
    stages: BothStages, world: World
) -> None:
    """Matching holds the plan still; its authority has taken it away."""
    await stages.take(make.flag())
    await stages.trace()
    await world.take(make.flag(upload="U2", line=2, plan_type=PlanType.CPP, delete="2026-01-01"))
    await world.trace_all()
    supersede(world)
    await ask_again(world)
    assert await letters(world) == []


async def test_an_entry_about_a_plan_on_its_way_ends_when_pds_has_its_record_again(
    world: World,
) -> None:
    """It was listed for the plan that matching has not taken, and is ended for that plan too."""
    await world.take(make.flag())
    await world.trace_all()
    supersede(world, family="Somebody", given=("Else",), birth_date="2011-01-01")
    await ask_again(world)
    world.knows(person_of(CHILD))
    await ask_again(world)
    rows = await world.rows("select rule, closed_at is null as open from worklist")
    assert [tuple(row.values()) for row in rows] == [("number-superseded-differs", False)]


async def long_pause(world: World) -> None:
    """Matching and the cases stand for longer than claims are held; retention runs."""
    world.now += timedelta(hours=49)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)


async def test_a_plan_on_its_way_for_days_goes_on_under_the_successor(
    stages: BothStages, world: World
) -> None:
    """The authority is told, and an arrival under the new number alerts."""
    await world.take(make.flag())
    await world.trace_all()
    await long_pause(world)
    supersede(world)
    await ask_again(world)
    assert await letters(world) == [(make.AUTHORITY, "number-superseded")]
    assert await world.answers() == {1: "CPR05"}
    await stages.hand_over()
    later = make.attendance(replace(CHILD, nhs_number=NEW), received_at=world.now)
    await stages.take(later)
    await stages.trace()
    (alert,) = await stages.live()
    assert alert.person == make.KEYS.person(NEW)


async def test_a_plan_on_its_way_for_days_under_an_invalidated_number_is_held_nowhere(
    stages: BothStages, world: World
) -> None:
    """Nor does its number stand anywhere in clear; its authority has letter, answer and entry."""
    await world.take(make.flag())
    await world.trace_all()
    await long_pause(world)
    world.knows(person_of(CHILD, invalidated=True))
    await ask_again(world)
    await stages.hand_over()
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from flag_events where nhs_number <> ''") == 0
    assert await letters(world) == [(make.AUTHORITY, "number-invalidated")]
    assert await world.answers() == {1: "CPR07"}
    assert await world.value("select count(*) from worklist where closed_at is null") == 1


async def test_an_arrival_on_its_way_for_days_is_the_successors(
    stages: BothStages, world: World
) -> None:
    """Its claim is emptied, and nothing says it again: matching itself carries it over."""
    await stages.take(make.flag())
    await stages.trace()
    await world.take(make.attendance())
    await world.trace_all()
    await long_pause(world)
    supersede(world)
    await ask_again(world)
    await stages.hand_over()
    (alert,) = await stages.live()
    assert alert.person == make.KEYS.person(NEW)


async def one_by_one(stages: BothStages, world: World) -> None:
    """Matching takes each record in a batch of its own, as from different partitions."""
    said = list(world.sent)
    for end in range(1, len(said) + 1):
        world.sent[:] = said[:end]
        await stages.hand_over()


async def test_a_plan_and_an_arrival_on_their_way_raise_one_alert(
    stages: BothStages, world: World
) -> None:
    """Not one of the old number beside one of the new."""
    await world.take(make.flag())
    await world.trace_all()
    await world.take(make.attendance())
    await world.trace_all()
    supersede(world)
    await ask_again(world)
    await one_by_one(stages, world)
    assert [one.change for one in stages.told] == [AlertChange.RAISED]
    (alert,) = await stages.live()
    assert alert.person == make.KEYS.person(NEW)


async def test_a_late_event_of_the_old_number_takes_no_alert_back(
    stages: BothStages, world: World
) -> None:
    """The alert moved to the successor; the admission of before comes after it."""
    await stages.take(make.flag())
    await stages.trace()
    await stages.take(make.attendance())
    await stages.trace()
    await world.take(make.attendance(kind=VisitEventKind.ADMIT, message_id="late"))
    await world.trace_all()
    stages.told.clear()
    supersede(world)
    await ask_again(world)
    said = list(world.sent)
    for end in range(stages.taken + 1, len(said) + 1):
        world.sent[:] = said[:end]
        await stages.hand_over()
        (alert,) = await stages.live()
        assert alert.person == make.KEYS.person(NEW)
    assert AlertChange.WITHDRAWN not in {one.change for one in stages.told}


async def test_a_new_plan_on_its_way_keeps_its_child_in_the_index(
    stages: BothStages, world: World
) -> None:
    """Beside an older plan that has ended, and has been taken."""
    await stages.take(make.flag(end="2024-01-01"))
    await stages.trace()
    await world.take(make.flag(upload="U2", line=2))
    await world.trace_all()
    await long_pause(world)
    assert await world.value("select flagged from identities") is True
    await stages.hand_over()
    supersede(world)
    await stages.take(make.changed(OLD))
    await stages.trace()
    assert await letters(world) == [(make.AUTHORITY, "number-superseded")]


async def test_a_case_that_is_not_carried_over_yet_keeps_its_child_in_the_index(
    world: World,
) -> None:
    """The cases are behind: the open case stands under the number of before for a while."""
    await world.take(say.death(CHILD))
    await world.trace_all()
    await world.rows(
        "insert into cases (case_id, person, state, version, content, opened_at, changed_at,"
        " eligibility) values (%(id)s, %(person)s, 'OPEN', 1, '', now(), now(), 'IN_SCOPE')",
        id=make.new_ids()(),
        person=make.KEYS.person(OLD),
    )
    supersede(world)
    await ask_again(world)
    await world.rows("update cases set person = %(p)s", p=make.KEYS.person(OLD))
    world.now += timedelta(days=20)
    await long_pause(world)
    assert await world.rows("select person from identities") == [{"person": make.KEYS.person(NEW)}]
    assert await world.value("select count(*) from number_successors") == 1


async def test_an_indicated_death_is_kept_no_longer_than_a_visit(world: World) -> None:
    """The cases keep no message of it, so that nothing is waited for."""
    await world.take(say.death(CHILD, kind=say.INDICATED, version=0))
    await world.trace_all()
    await long_pause(world)
    assert await world.value("select count(*) from claims where event is not null") == 0
    assert await world.value("select count(*) from identities") == 0
