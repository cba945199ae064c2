"""What was told or asked on grounds that are gone is taken back, and told again if they return."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from halyard.ids import derive
from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import DeathIndication, DeathMessageKind, DeathVerified, RequestState
from schemas.events import NhsNumberStatus
from stores import known
from streams.cases import commands
from tests.integration.cases.test_notices import GP, SIBLING, hold, noted, plan, visit
from tests.integration.cases.test_prompts import listed
from tests.support.case_desk import (
    KEYS,
    NORTH,
    NOW,
    NUMBER,
    OFFICE,
    OTHER_NUMBER,
    SECOND_HOSPITAL,
    SECOND_OFFICE,
    SURGERY,
    Desk,
    case_of,
    death,
    identity,
    indicated,
    text_of,
)
from tests.support.services import Database

VOIDED, UPDATED = DeathMessageKind.VOIDED, DeathMessageKind.UPDATED
CANCELLED, REQUESTED = RequestState.CANCELLED, RequestState.REQUESTED


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


def restated(
    event: DeathVerified, number: str | None, revision: int = 2, *, restricted: bool = False
) -> DeathVerified:
    """What identity says of it later."""
    verified = None if number is None else identity(number, restricted=restricted)
    return replace(
        event,
        event_id=derive("death-verified", str(event.event_id), revision),
        revision=revision,
        identity=verified,
        indicator=NhsNumberStatus.VERIFIED if verified else NhsNumberStatus.NOT_PRESENT,
    )


async def states(desk: Desk, event: DeathVerified) -> dict[str, RequestState]:
    """Of the requests that its case says it has, by agency."""
    return {one.agency: one.state for one in (await desk.content(case_of(event))).requests}


async def kinds(desk: Desk, organisation: str) -> list[str]:
    """Of the letters that an organisation has."""
    return [one.kind for one in await desk.letters(organisation)]


async def known_of_the_child(desk: Desk) -> None:
    """A plan and an attendance."""
    seen = [visit(1, SECOND_HOSPITAL, NOW - timedelta(days=30))]
    await hold(desk, [plan(NORTH, date(2020, 1, 1))], seen)


async def test_those_asked_about_the_wrong_child_are_told_so(desk: Desk) -> None:
    """Identity says another child: its hospital and authority are not asked about this case any
    more, the check of the household is withdrawn, those named by the notifier get the right number.
    """
    await known_of_the_child(desk)
    one = death(rows=(GP, SIBLING))
    await desk.take(one)
    assert await states(desk, one) == {
        SURGERY: REQUESTED,
        SECOND_HOSPITAL: REQUESTED,
        NORTH: REQUESTED,
    }
    await desk.take(restated(one, OTHER_NUMBER))
    assert await states(desk, one) == {
        SURGERY: REQUESTED,
        SECOND_HOSPITAL: CANCELLED,
        NORTH: CANCELLED,
    }
    assert await kinds(desk, SECOND_HOSPITAL) == ["report-request", "report-request-cancelled"]
    first, second = await desk.letters(SURGERY, "report-request")
    assert NUMBER in text_of(first)
    assert OTHER_NUMBER in text_of(second)
    assert NUMBER not in text_of(second)
    checked, withdrawn, again = (
        one for one in await desk.letters(NORTH) if one.kind.startswith("household")
    )
    assert withdrawn.kind == "household-check-withdrawn"
    assert withdrawn.needs_acknowledgement
    assert str(checked.letter_id) in text_of(withdrawn)
    assert NUMBER not in text_of(withdrawn)
    assert OTHER_NUMBER in text_of(again)  # where the child lived, as the notifier says
    assert "CPP" not in text_of(again)


async def test_a_number_that_is_looked_up_again_takes_nothing_back(desk: Desk) -> None:
    """A new version is being traced for a moment: nobody hears of that."""
    await known_of_the_child(desk)
    await desk.take(death(rows=(GP, SIBLING)))
    again = death(version=2, kind=UPDATED, number=None, rows=(GP, SIBLING))
    await desk.take(again, restated(again, NUMBER))
    assert await kinds(desk, SECOND_HOSPITAL) == ["report-request"]
    assert await kinds(desk, NORTH) == ["report-request", "household-check"]
    assert await noted(desk) is not None


async def test_a_professional_whom_nobody_names_any_more_is_not_asked(desk: Desk) -> None:
    """A correction drops the surgery; named again, the same request is open again."""
    one = death(rows=(GP,))
    await desk.take(one, death(version=2, kind=UPDATED))
    assert await states(desk, one) == {SURGERY: CANCELLED}
    assert await kinds(desk, SURGERY) == ["report-request", "report-request-cancelled"]
    await desk.take(death(version=3, kind=UPDATED, rows=(GP,)))
    assert await states(desk, one) == {SURGERY: REQUESTED}


async def test_an_unmerge_gives_each_case_the_requests_that_it_has_reasons_for(desk: Desk) -> None:
    """Whom only the other's notifier named is not asked about this death."""
    one, two = death("A", number=None), death("B", organisation=SECOND_HOSPITAL)
    await desk.take(one, two)
    await commands.merge(desk.pool, case_of(two), case_of(one), desk.world, desk.decider())
    named = death("B", organisation=SECOND_HOSPITAL, version=2, kind=UPDATED, rows=(GP,))
    await desk.take(named)
    await commands.unmerge(desk.pool, case_of(two), desk.world, desk.decider())
    assert await states(desk, one) == {SURGERY: CANCELLED}
    assert await states(desk, two) == {SURGERY: REQUESTED}


async def test_a_child_found_to_be_restricted_takes_back_where_it_was_known(desk: Desk) -> None:
    """Requests that the hub made of its own accord end, and the case no longer says to whom."""
    await known_of_the_child(desk)
    one = death(rows=(GP,))
    await desk.take(one, restated(one, NUMBER, restricted=True))
    said = await desk.content(case_of(one))
    assert {(each.agency, each.role, each.state) for each in said.requests} == {
        (SURGERY, "general-practitioner", REQUESTED),
        ("", "hospital", CANCELLED),
        ("", "childrens-social-care", CANCELLED),
    }
    assert await kinds(desk, SECOND_HOSPITAL) == ["report-request", "report-request-cancelled"]


async def test_a_reinstated_case_is_told_to_all_who_were_told_to_drop_it(desk: Desk) -> None:
    """And the authority is asked anew to look after the other children; each time."""
    await known_of_the_child(desk)
    one = death(rows=(SIBLING,))
    await desk.take(one)
    for version in (2, 4):
        await desk.take(death(version=version, kind=VOIDED))
        await desk.take(death(version=version + 1, rows=(SIBLING,)))
    for organisation in (NORTH, OFFICE, SECOND_HOSPITAL):
        told = [one for one in await desk.letters(organisation) if one.kind.startswith("case-")]
        assert [one.kind for one in told] == ["case-voided", "case-reinstated"] * 2
        assert all(one.needs_acknowledgement for one in told)
        assert "Jessop" not in text_of(told[1])
    assert len(await desk.letters(NORTH, "household-check")) == 3
    await desk.take(death(version=6, kind=UPDATED, rows=(SIBLING,), told={"death.time": "05:00"}))
    assert len(await desk.letters(NORTH, "household-check")) == 3


async def test_a_case_that_leaves_a_void_one_stands_for_those_who_were_told(desk: Desk) -> None:
    """It was void with the case that it counted in, and is not any more."""
    one, two = death("A"), death("B", organisation=SECOND_HOSPITAL)
    await desk.take(one, two)
    await commands.merge(desk.pool, case_of(two), case_of(one), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    assert await kinds(desk, OFFICE) == ["case-voided"]
    await commands.unmerge(desk.pool, case_of(two), desk.world, desk.decider())
    voided, back = await desk.letters(OFFICE)
    assert (voided.case_id, back.case_id) == (case_of(one), case_of(two))
    assert back.kind == "case-reinstated"


async def test_a_void_reaches_the_panel_of_a_merged_case(desk: Desk) -> None:
    """The member's panel had it before the merge."""
    one = death("A", number=None)
    two = death("B", organisation=SECOND_HOSPITAL, number=None)
    await desk.take(one, two)
    await commands.assign(desk.pool, case_of(two), "south", desk.world, desk.decider())
    await commands.assign(desk.pool, case_of(two), "north", desk.world, desk.decider())
    await commands.merge(desk.pool, case_of(two), case_of(one), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    assert await kinds(desk, OFFICE) == ["case-voided"]
    assert await kinds(desk, SECOND_OFFICE) == ["case-voided"]


async def test_a_merge_of_two_numbers_keeps_both_notes(desk: Desk) -> None:
    """Whoever asks under either number learns of the death; the void ends both."""
    one = death("A")
    two = death("B", organisation=SECOND_HOSPITAL, number=OTHER_NUMBER)
    await desk.take(one, two)
    await commands.merge(
        desk.pool, case_of(two), case_of(one), desk.world, desk.decider(), two_numbers=True
    )

    async def both() -> list[bool]:
        async with transaction(desk.pool) as connection:
            return [
                await known.death_noted(connection, KEYS.person(number)) is not None
                for number in (NUMBER, OTHER_NUMBER)
            ]

    assert await both() == [True, True]
    await commands.unmerge(desk.pool, case_of(two), desk.world, desk.decider())
    assert await both() == [True, True]
    await commands.void(desk.pool, case_of(two), desk.world, desk.decider())
    assert await both() == [True, False]


async def test_a_prompt_that_a_void_leaves_without_answer_is_open_again(desk: Desk) -> None:
    """A sender's void as a person's; the undo, and another hospital's notification, answer it."""
    await desk.take(indicated(DeathIndication.HOSPITAL))
    one = death("N-1", organisation=SECOND_HOSPITAL)
    await desk.take(one)
    assert [(each.state, each.case_id) for each in await listed(desk)] == [
        ("answered", case_of(one))
    ]
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    assert [(each.state, each.case_id) for each in await listed(desk)] == [("open", None)]
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider(), undo=True)
    assert [each.state for each in await listed(desk)] == ["answered"]
    other = death("N-2")
    await desk.take(other, death("N-1", organisation=SECOND_HOSPITAL, version=2, kind=VOIDED))
    assert [(each.state, each.case_id) for each in await listed(desk)] == [
        ("answered", case_of(other))
    ]
    await desk.take(death("N-2", version=2, kind=VOIDED))
    assert [each.state for each in await listed(desk)] == ["open"]


async def test_a_death_that_a_person_voided_is_asked_for_again(desk: Desk) -> None:
    """Another record says so: the void case's notification answers it no more, until the undo."""
    one = death("N-1")
    await desk.take(one)
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    await desk.take(death("N-1", version=2, kind=UPDATED))  # void all the same
    await desk.take(indicated(DeathIndication.HOSPITAL, organisation=SECOND_HOSPITAL))
    assert [each.state for each in await listed(desk)] == ["open"]
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider(), undo=True)
    assert [each.state for each in await listed(desk)] == ["answered"]
