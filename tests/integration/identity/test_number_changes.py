"""A number that PDS superseded: everything held of the person goes on under the successor."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from schemas.changes import PersonChangeKind
from schemas.events import AlertChange, PlanType
from stores.alerts import ACCEPTED, RAISED
from streams.tracer.housekeeping import retention
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

OLD = CHILD.nhs_number or ""
NEW = make.number(50)
OLD_PERSON, NEW_PERSON = make.KEYS.person(OLD), make.KEYS.person(NEW)


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def supersede(world: World, old: str = OLD, new: str = NEW, **changes: object) -> None:
    """PDS merges the child's record into another, which is of the same child."""
    world.knows(
        person_of(replace(CHILD, nhs_number=new), **changes),
        person_of(replace(CHILD, nhs_number=old), superseded_by=new),
    )


async def flagged_child_in_hospital(stages: BothStages) -> None:
    """A plan, and an arrival that raised one alert."""
    await stages.take(make.flag())
    await stages.trace()
    await stages.take(make.attendance())
    await stages.trace()
    assert len(await stages.live()) == 1


async def accepted(world: World) -> None:
    """A social worker accepts the alert."""
    await world.rows(
        "update alerts set state = 'accepted', accepted_at = now(), accepted_by = 'sw', "
        "answer = 'on our way', version = version + 1"
    )


async def test_an_alert_goes_on_under_the_successor(stages: BothStages, world: World) -> None:
    """One alert, the same id, updated once; never withdrawn, never doubled."""
    await flagged_child_in_hospital(stages)
    (before,) = await stages.live()
    supersede(world)
    stages.told.clear()
    await stages.take(make.changed(OLD))
    await stages.trace()
    (after,) = await stages.alerts()
    assert (after.alert_id, after.person, after.state) == (before.alert_id, NEW_PERSON, RAISED)
    assert after.content.content.nhs_number == NEW
    assert [(one.change, one.rule) for one in stages.told] == [
        (AlertChange.UPDATED, "number-superseded")
    ]
    assert (
        await world.value("select count(*) from identities where person = %(p)s", p=OLD_PERSON) == 0
    )
    assert await world.value("select flagged from identities where person = %(p)s", p=NEW_PERSON)


async def test_an_acceptance_is_kept(stages: BothStages, world: World) -> None:
    """The duty worker who accepted is not asked again because of a number."""
    await flagged_child_in_hospital(stages)
    await accepted(world)
    supersede(world)
    await stages.take(make.changed(OLD))
    await stages.trace()
    (after,) = await stages.alerts()
    assert (after.state, after.accepted_by, after.answer) == (ACCEPTED, "sw", "on our way")


@pytest.mark.parametrize("hours", [1, 72], ids=["claims still readable", "claims emptied"])
async def test_what_was_said_is_taken_back_and_said_of_the_successor(
    stages: BothStages, world: World, hours: int
) -> None:
    """Retraction and assertion of each event with growing revisions, whether or not retention
    has emptied what was reported."""
    await flagged_child_in_hospital(stages)
    world.now += timedelta(hours=hours)
    async with world.pool.connection() as connection:
        await retention(connection, world.now)
    supersede(world)
    world.sent.clear()
    stages.taken = 0
    await stages.take(make.changed(OLD))
    await stages.trace()
    said = world.said()
    by_event = {one.event: [s for s in said if s.event == one.event] for one in said}
    assert len(by_event) == 2
    for of_event in by_event.values():
        assert [(one.assertion, one.person, one.rule) for one in of_event] == [
            ("RETRACTED", OLD_PERSON, "number-superseded"),
            ("ASSERTED", NEW_PERSON, "number-superseded"),
        ]
        assert of_event[0].revision < of_event[1].revision
    (alert,) = await stages.alerts()
    assert (alert.person, alert.state) == (NEW_PERSON, RAISED)
    assert await world.value("select count(*) from flags where person = %(p)s", p=NEW_PERSON) == 1
    assert await world.value("select count(*) from flags where person = %(p)s", p=OLD_PERSON) == 0
    assert await world.value("select count(*) from claims where person = %(p)s", p=OLD_PERSON) == 0


async def test_a_later_arrival_under_either_number_alerts(stages: BothStages, world: World) -> None:
    """Who still has the old number is not told "nobody": PDS's word is remembered."""
    await stages.take(make.flag())
    await stages.trace()
    supersede(world)
    await stages.take(make.changed(OLD))
    await stages.trace()
    calls = world.pds.pds.calls()["calls"]
    await stages.take(make.attendance(local_id="L1", visit="V1"))
    assert len(await stages.live()) == 1  # at once, without PDS
    assert world.pds.pds.calls()["calls"] == calls
    await stages.take(make.attendance(replace(CHILD, nhs_number=NEW), local_id="L2", visit="V2"))
    assert len(await stages.live()) == 2


async def test_a_flag_under_the_old_number_is_answered_superseded(
    stages: BothStages, world: World
) -> None:
    """CPR05 from the local index too, so that the authority takes the new number over."""
    await stages.take(make.flag())
    await stages.trace()
    supersede(world)
    await stages.take(make.changed(OLD))
    await stages.trace()
    assert await world.answers() == {1: "CPR05"}
    await stages.take(make.flag(line=2, plan_type=PlanType.LAC))
    assert (await world.answers())[2] == "CPR05"


async def test_a_chain_and_its_loop_end_at_the_number_that_stands(
    stages: BothStages, world: World
) -> None:
    """111 → 222 → 333, and then 333 → 111: old numbers lead to the last, none to itself."""
    third = make.number(51)
    await flagged_child_in_hospital(stages)
    for old, new in ((OLD, NEW), (NEW, third)):
        supersede(world, old, new)
        await stages.take(make.changed(old))
        await stages.trace()
    rows = await world.rows("select person, successor from number_successors order by person")
    last = make.KEYS.person(third)
    assert {row["person"]: row["successor"] for row in rows} == {
        OLD_PERSON: last,
        NEW_PERSON: last,
    }
    world.knows(person_of(CHILD), person_of(replace(CHILD, nhs_number=third), superseded_by=OLD))
    await stages.take(make.changed(third))
    await stages.trace()
    rows = await world.rows("select person, successor from number_successors")
    assert {row["successor"] for row in rows} == {OLD_PERSON}
    assert OLD_PERSON not in {row["person"] for row in rows}
    (alert,) = await stages.alerts()
    assert (alert.person, alert.state) == (OLD_PERSON, RAISED)


async def test_a_successor_who_contradicts_moves_nothing(stages: BothStages, world: World) -> None:
    """Another child's record behind the number: the plan stays, and a person is asked."""
    await flagged_child_in_hospital(stages)
    supersede(world, family="Somebody", given=("Else",), birth_date="2011-01-01")
    await stages.take(make.changed(OLD))
    await stages.trace()
    (alert,) = await stages.alerts()
    assert (alert.person, alert.state, alert.version) == (OLD_PERSON, RAISED, 1)
    rows = await world.rows("select organisation, rule from worklist where closed_at is null")
    assert [(row["organisation"], row["rule"]) for row in rows] == [
        (make.AUTHORITY, "number-superseded-differs")
    ]
    letters = await world.rows("select kind, body from letters")
    assert [row["kind"] for row in letters] == ["number-superseded-differs"]
    assert NEW.encode() not in bytes(letters[0]["body"])


async def test_the_authority_is_told_by_its_own_ids(stages: BothStages, world: World) -> None:
    """A letter names its upload, line and local id, and the number that stands; once."""
    await flagged_child_in_hospital(stages)
    supersede(world)
    await stages.take(make.changed(OLD), make.changed(OLD))
    await stages.trace()
    letters = await world.rows("select organisation, body from letters order by organisation")
    assert [row["organisation"] for row in letters] == [make.AUTHORITY]
    body = orjson.loads(bytes(letters[0]["body"]))
    said = body["entry"][1]["resource"]["parameter"]
    by_name = {one["name"]: one for one in said}
    assert by_name["successor"]["valueIdentifier"]["value"] == NEW
    parts = {one["name"]: one for one in by_name["record"]["part"]}
    assert parts["local-id"]["valueIdentifier"]["value"] == "C1"
    assert parts["line"]["valuePositiveInt"] == 1
    assert OLD.encode() not in bytes(letters[0]["body"])


async def test_of_somebody_who_is_not_known_nothing_is_kept(world: World) -> None:
    """Word about a stranger leaves the id in the inbox, and nothing else anywhere."""
    stranger = make.number(77)
    world.knows(person_of(replace(CHILD, nhs_number=stranger)))
    tables = [
        row["name"]
        for row in await world.rows(
            "select table_name as name from information_schema.tables "
            "where table_schema = 'halyard' and table_type = 'BASE TABLE'"
        )
    ]

    async def counts() -> dict[str, int]:
        found = {}
        for table in tables:
            found[table] = await world.value(f'select count(*) from halyard."{table}"')
        return found

    before = await counts()
    await world.take(make.changed(stranger))
    after = await counts()
    assert {name for name in tables if before[name] != after[name]} <= {
        "inbox",
        *(one for one in tables if one.startswith("inbox")),
    }
    assert world.sent == []
    assert world.pds.pds.calls()["calls"] == 0


async def test_a_word_that_comes_while_pds_is_asked_is_asked_after(world: World) -> None:
    """The answer under way may be older than the change; two more words share one request."""
    await world.take(make.flag())
    await world.trace_all()
    await world.take(make.changed(OLD))
    (leased,) = await world.new_tracer().lease()
    await world.take(make.changed(OLD), make.changed(OLD, PersonChangeKind.RECORD))
    prints = await world.rows(
        "select fingerprint, priority from trace_requests where state = 'queued'"
    )
    assert [row["fingerprint"] for row in prints] == [f"recheck:{OLD_PERSON}:{leased.trace_id}"]
    assert [row["priority"] for row in prints] == [2]


async def test_a_death_is_told_of_the_successor(world: World) -> None:
    """The cases hear of the same message again, of the number that stands."""
    await world.take(make.flag())
    await world.trace_all()
    died = say.death(CHILD)
    await world.take(died)
    await world.trace_all()
    before = say.identity_of(world.sent, died.event_id)
    supersede(world)
    await world.take(make.changed(OLD))
    await world.trace_all()
    after = say.identity_of(world.sent, died.event_id)
    assert before is not None
    assert after is not None
    assert (before.person, after.person, after.rule) == (
        OLD_PERSON,
        NEW_PERSON,
        "number-superseded",
    )
