"""A resolution goes for the one child that a person named, and joins no old life to a new one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from halyard.postgres import transaction
from schemas.events import PlanType
from stores import identities
from streams.tracer.housekeeping import retention
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide, entry_of

NUMBER = CHILD.nhs_number or ""
SLIP = replace(CHILD, birth_date="2016-03-14")
BABY = replace(CHILD, nhs_number=None, given=("Baby",))
RENAMED = replace(CHILD, nhs_number=None, family="Elsewise")


@pytest.mark.parametrize(
    ("claim", "own"),
    [
        (RENAMED, {"local_id": "UNKNOWN"}),  # an id that many share
        (BABY, {}),  # the twins of one family's file
        (replace(BABY, given=()), {}),
        (SLIP, {"plan_type": PlanType.LAC}),  # another plan, with a mistake of its own perhaps
        (SLIP, {"start": "2026-02-01"}),
    ],
)
async def test_a_resolution_is_of_one_childs_plan(
    world: World, claim: Any, own: dict[str, Any]
) -> None:
    """Words that may be another child's, or another plan's, take nothing along."""
    local_id = own.get("local_id", "C1")
    one = make.flag(claim, local_id=local_id)
    two = make.flag(claim, line=2, **own)
    await world.take(one, two)
    await world.trace_all()
    despite = ("birth_date",) if claim.nhs_number else ("family", "given")
    done = await decide(world, one, "resolve", number=NUMBER, despite=despite)
    assert done.state == "done", done.outcome
    assert [state for state, _ in await world.states(one, two)] == ["verified", "unresolved"]


@pytest.mark.parametrize(
    "claim",
    [
        replace(CHILD, nhs_number=None, birth_date="2011-01-01"),
        replace(CHILD, nhs_number=None, birth_date=None),
        replace(CHILD, nhs_number=None, family="Here", given=("Nobody",)),
        replace(CHILD, birth_date="2011-01-01", family="Here", given=("Nobody",)),
    ],
)
async def test_a_record_of_nobody_is_made_nobodys(world: World, claim: Any) -> None:
    """Whatever is confirmed as wrong: number or birth date, and one thing more, must be the
    record's; else a person could join any number to it, and then read who that is.
    """
    flag = make.flag(claim)
    await world.take(flag)
    await world.trace_all()
    wrong = ("birth_date", "family", "given", "gender")
    done = await decide(world, flag, "resolve", number=NUMBER, despite=wrong)
    assert (done.state, done.outcome) == ("refused", "resolution.contradicted")
    assert world.said() == []


async def test_the_very_same_plan_of_one_child_goes_along(world: World) -> None:
    """Sent twice: one word ends both."""
    one, two = make.flag(SLIP), make.flag(SLIP, line=2)
    await world.take(one, two)
    await world.trace_all()
    await decide(world, one, "resolve", number=NUMBER, despite=("birth_date",))
    assert [state for state, _ in await world.states(one, two)] == ["verified"] * 2


async def test_an_old_life_is_not_joined_to_a_new_one(world: World) -> None:
    """The number that was sent was invalidated since: PDS is asked for it too, nothing is linked,
    and the upload is told.
    """
    old, new = make.number(7), make.number(8)
    world.knows(person_of(replace(CHILD, nhs_number=old), birth_date="2011-01-01"))
    world.knows(person_of(replace(CHILD, nhs_number=new, family="Newname")))
    flag = make.flag(replace(CHILD, nhs_number=old))
    await world.take(flag)
    await world.trace_all()
    world.knows(person_of(replace(CHILD, nhs_number=old), invalidated=True))
    done = await decide(world, flag, "resolve", number=new, despite=("number", "family"))
    assert (done.state, done.outcome) == ("refused", "resolution.number_invalidated")
    assert await world.states(flag) == [("unresolved", "pds.invalidated")]
    assert await world.answers() == {1: "CPR07"}
    assert world.said() == []
    again = await decide(world, flag, "resolve", number=new, despite=("number", "family"))
    assert again.outcome == "resolution.number_invalidated"


async def test_both_numbers_are_asked_under_ids_of_their_own(world: World) -> None:
    """First the one that was sent, then the one that was named; what stands is resolved."""
    other = make.number(3)
    world.knows(person_of(CHILD, nhs_number=other))
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    done = await decide(world, flag, "resolve", number=other, despite=("number", "family"))
    assert (done.state, done.outcome) == ("refused", "resolution.contradicted")
    asked = await world.rows(
        "select request_ids[1] as id, claim from trace_requests where purpose = 'resolution'"
    )
    assert len({row["id"] for row in asked}) == 2
    assert all(row["claim"] == {} for row in asked)


@pytest.mark.parametrize("action", ["retry", "resolve"])
async def test_a_line_that_was_taken_is_not_revived(world: World, action: Any) -> None:
    """Another body under the same upload and line: what was sent first stays the line's, and the
    person is told to send it under a new sequence.
    """
    other = replace(CHILD, nhs_number=make.number(6), family="Second", given=("Lee",))
    world.knows(person_of(other))
    first, second = make.flag(), make.flag(other, body="other", local_id="C9")
    await world.take(first)
    await world.trace_all()
    await world.take(second)
    answers = await world.rows("select line, code, detail from upload_answers")
    number = make.number(6) if action == "resolve" else None
    done = await decide(world, second, action, number=number)
    assert (done.state, done.outcome) == ("refused", "resolution.line_reused")
    await decide(world, second, "reject", code="nobody")
    assert await world.rows("select line, code, detail from upload_answers") == answers
    assert len(world.said()) == 1


async def test_an_arrival_is_taken_back_within_48_hours_of_the_decision(world: World) -> None:
    """Resolved in the fortieth hour, undone in the sixtieth, with what went along; it then has its
    48 hours again, and the index keeps whom it named as long, with a reason.
    """
    one = make.attendance(SLIP, message_id="a")
    two = make.attendance(SLIP, message_id="b")
    await world.take(one, two)
    await world.trace_all()
    world.now = make.NOW + timedelta(hours=40)
    done = await decide(world, one, "resolve", number=NUMBER, despite=("birth_date",))
    assert done.state == "done"
    world.now = make.NOW + timedelta(hours=60)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
        assert await identities.held(connection, now=world.now) == identities.Held(1, 0)
    undone = await decide(world, one, "undo")
    assert (undone.state, undone.outcome) == ("done", "resolution-withdrawn")
    assert [world.holding()[each.event_id] for each in (one, two)] == [None, None]
    for hours in (61, 107):
        world.now = make.NOW + timedelta(hours=hours)
        async with transaction(world.pool) as connection:
            await retention(connection, world.now)
        await world.new_resolver().keep()
        assert (await entry_of(world, one)).closed_at is None
    again = await decide(world, one, "resolve", number=NUMBER, despite=("birth_date",))
    assert again.state == "done"
    await decide(world, one, "undo")
    world.now += timedelta(hours=49)
    await world.new_resolver().keep()
    assert (await entry_of(world, one)).closed_rule == "expired"
