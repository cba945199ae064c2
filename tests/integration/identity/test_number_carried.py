"""What a superseded number carries along beside flags and visits: what has not left, what is not
proven, what its authorities read and are to look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from halyard.postgres import transaction
from schemas.events import AlertChange, PersonClaim
from stores.alerts import WITHDRAWN
from stores.coverage import coverage
from stores.trace_requests import TraceRequest
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide

OLD = CHILD.nhs_number or ""
NEW = make.number(50)
OLD_PERSON, NEW_PERSON = make.KEYS.person(OLD), make.KEYS.person(NEW)
DIFFERS = "number-superseded-differs"


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def supersede(world: World, **changes: Any) -> None:
    """PDS merges the child's record into another."""
    world.knows(
        person_of(replace(CHILD, nhs_number=NEW), **changes),
        person_of(replace(CHILD, nhs_number=OLD), superseded_by=NEW),
    )


async def flagged_child_in_hospital(stages: BothStages) -> None:
    """A plan, and an arrival that raised one alert."""
    await stages.take(make.flag())
    await stages.trace()
    await stages.take(make.attendance())
    await stages.trace()


async def entries(world: World) -> list[tuple[str, bool]]:
    """Rule of each entry, and whether it is open."""
    rows = await world.rows("select rule, closed_at is null as open from worklist")
    return [(row["rule"], row["open"]) for row in rows]


@pytest.mark.parametrize("state", ["open", "held", "parked", "refused"])
@pytest.mark.parametrize("kind", ["alert", "match", "access"])
async def test_what_has_not_left_is_held_up_by_the_successors_restriction(
    stages: BothStages, world: World, kind: str, state: str
) -> None:
    """Before matching has heard of it: the place of a restricted child leaves by no way."""
    await flagged_child_in_hospital(stages)
    await world.rows(
        "update deliveries set kind = %(kind)s, state = %(state)s, recipient = 'RX9', "
        "reviewer = 'RX1', alert_id = case when %(kind)s = 'access' then gen_random_uuid() "
        "else alert_id end",
        kind=kind,
        state=state,
    )
    supersede(world, restricted=True)
    await stages.take(make.changed(OLD))
    await world.trace_all()
    rows = await world.rows("select person, restricted_since(d) as hidden from deliveries d")
    assert rows == [{"person": NEW_PERSON, "hidden": True}]


async def test_notices_and_held_letters_are_of_the_successor(
    stages: BothStages, world: World
) -> None:
    """A notice is composed anew without the place when its person is restricted; a letter that a
    person may release is asked about by whom it is."""
    await flagged_child_in_hospital(stages)
    await world.rows(
        "insert into access_notices "
        "values (gen_random_uuid(), 'E08000001', %(p)s, 'RX1', 'a', now())",
        p=OLD_PERSON,
    )
    await world.rows(
        "insert into held_letters (letter_id, organisation, kind, body, created_at, "
        "needs_acknowledgement, traceparent, reviewer, flow, fields, told, person, restricted, "
        "policy, policy_version, rule) "
        "values (gen_random_uuid(), 'RX1', 'k', '', now(), false, 't', 'hub', "
        "'share', '{}', '{}', %(p)s, false, 'p', 1, 'r')",
        p=OLD_PERSON,
    )
    supersede(world, restricted=True)
    await stages.take(make.changed(OLD))
    await world.trace_all()
    assert await world.rows("select person from access_notices") == [{"person": NEW_PERSON}]
    assert await world.rows("select person from held_letters") == [{"person": NEW_PERSON}]


async def unproven(stages: BothStages, world: World, claim: PersonClaim) -> list[TraceRequest]:
    """An arrival that alerts provisionally; then the number turns out to be another's, who is
    restricted, and that is heard before the arrival's own answer: gives its question."""
    await stages.take(make.flag())
    await stages.trace()
    world.now += timedelta(hours=30)
    await stages.take(make.attendance(claim))
    (before,) = await stages.live()
    assert before.provisional
    await stages.take(make.changed(OLD))
    supersede(world, restricted=True)
    requests = await world.new_tracer().lease()
    for request in requests:
        if request.purpose == "recheck":
            await world.new_tracer().trace(request)
    return [one for one in requests if one.purpose == "claims"]


async def test_an_unproven_visit_is_nobodys_until_pds_answers_of_it(
    stages: BothStages, world: World
) -> None:
    """Its claim waits, as the successor is restricted: matching has it taken back too, and its
    alert is withdrawn; the answer then proves nothing."""
    (question,) = await unproven(stages, world, replace(CHILD, given=("Xavier",), birth_date=None))
    rows = await world.rows("select retracted, person from visit_events")
    assert rows == [{"retracted": True, "person": NEW_PERSON}]
    assert await world.value("select person from visits") is None
    await stages.hand_over()
    (alert,) = await stages.alerts()
    assert (alert.state, stages.told[-1].change) == (WITHDRAWN, AlertChange.WITHDRAWN)
    await world.new_tracer().trace(question)
    await stages.hand_over()
    assert await world.value("select person from visits") is None
    assert await stages.live() == []


async def test_an_unproven_visit_whose_details_prove_the_successor_goes_on(
    stages: BothStages, world: World
) -> None:
    """One alert, the same id, of the successor, proven and without the place."""
    await unproven(stages, world, replace(CHILD, postcode=None))
    await stages.hand_over()
    await stages.trace()
    (alert,) = await stages.live()
    assert (alert.person, alert.provisional, alert.restricted) == (NEW_PERSON, False, True)
    assert alert.content.content.hospital == ""
    assert await world.value("select person from visits") == NEW_PERSON


@pytest.mark.parametrize("superseded", [True, False], ids=["superseded", "the same number"])
async def test_a_plan_that_nobody_can_be_told_of_says_so(
    stages: BothStages, world: World, superseded: bool
) -> None:
    """Its authority has no contact for restricted children: it reads so, has it on its worklist
    until the child is restricted no more, and the plan stays for an alert that waits in sight."""
    await stages.take(make.flag(authority=make.LONELY_AUTHORITY))
    await stages.trace()
    if superseded:
        supersede(world, restricted=True)
    else:
        world.knows(person_of(CHILD, restricted=True))
    await stages.take(make.changed(OLD))
    await stages.trace()
    (answer,) = await world.rows("select code, detail from upload_answers")
    assert answer["code"] == "CPR02"
    assert answer["detail"].startswith("held, but nobody can be told")
    assert await entries(world) == [("flag-restricted-without-contact", True)]
    assert await world.value("select count(*) from flags") == 1
    number = NEW if superseded else OLD
    world.knows(person_of(replace(CHILD, nhs_number=number)))
    await stages.take(make.changed(number))
    await stages.trace()
    assert (await world.rows("select code from upload_answers"))[0]["code"] != "CPR02"
    assert await entries(world) == [("flag-restricted-without-contact", False)]


async def test_a_contradiction_is_told_once_and_ends(stages: BothStages, world: World) -> None:
    """However often PDS is asked: one letter, and what a person has ended stays ended; another
    successor is another matter; it ends by itself when PDS's record is well."""
    flag = make.flag()
    await stages.take(flag)
    await stages.trace()
    other = {"family": "Somebody", "given": ("Else",), "birth_date": "2011-01-01"}

    async def asked() -> int:
        world.now += timedelta(days=7)
        await stages.take(make.changed(OLD))
        await stages.trace()
        return int(str(await world.value("select count(*) from letters")))

    supersede(world, **other)
    assert [await asked(), await asked()] == [1, 1]
    assert await entries(world) == [(DIFFERS, True)]
    done = await decide(world, flag, "reject", code="nobody")
    assert (done.state, done.outcome) == ("done", "rejected-by-person")
    assert await world.value("select count(*) from flags") == 1  # the plan goes on being held
    assert await world.answers() == {1: "CPR06"}
    assert await asked() == 1
    assert await entries(world) == [(DIFFERS, False)]
    third = make.number(51)
    world.knows(
        person_of(replace(CHILD, nhs_number=third), **other),
        person_of(replace(CHILD, nhs_number=OLD), superseded_by=third),
    )
    assert await asked() == 2
    assert await entries(world) == [(DIFFERS, True)]
    world.knows(person_of(CHILD))
    assert await asked() == 2
    assert await entries(world) == [(DIFFERS, False)]


async def test_a_hospital_where_the_child_is_takes_over_the_number(
    stages: BothStages, world: World
) -> None:
    """By its own message id; not a hospital of which nothing was heard for a month, whose visit was
    never ended."""
    world.writes_to_the_hospital()
    await flagged_child_in_hospital(stages)
    supersede(world)
    await stages.take(make.changed(OLD))
    await stages.trace()
    query = (
        "select kind, convert_from(body, 'UTF8') as body from letters where organisation = 'RX1'"
    )
    (letter,) = await world.rows(query)
    assert letter["kind"] == "number-superseded"
    assert NEW in letter["body"]
    assert OLD not in letter["body"]
    world.now += timedelta(days=31)
    third = make.number(52)
    world.knows(
        person_of(replace(CHILD, nhs_number=third)),
        person_of(replace(CHILD, nhs_number=NEW), superseded_by=third),
    )
    await stages.take(make.changed(NEW))
    await stages.trace()
    assert len(await world.rows(query)) == 1


async def test_what_nobody_looked_at_ends_and_the_plan_goes_on(
    stages: BothStages, world: World
) -> None:
    """The answer does not turn into "not held" after thirty days, and what ended so is not opened
    again for the same."""
    await stages.take(make.flag())
    await stages.trace()
    before = await world.rows("select code, detail from upload_answers")
    supersede(world, family="Somebody", given=("Else",), birth_date="2011-01-01")
    await stages.take(make.changed(OLD))
    await stages.trace()
    world.now += timedelta(days=31)
    await world.new_resolver().keep()
    assert await world.rows("select closed_rule from worklist") == [{"closed_rule": "expired-held"}]
    assert await world.rows("select code, detail from upload_answers") == before
    assert await world.value("select count(*) from flags") == 1
    async with transaction(world.pool) as connection:
        assert (await coverage(connection))[make.AUTHORITY].unmatched_records == 0
    await stages.take(make.changed(OLD))
    await stages.trace()
    assert await entries(world) == [(DIFFERS, False)]
