"""Those who told of a case that a person voided learn of it, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from halyard.postgres import make_pool
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import DeathMessageKind
from streams.cases import commands
from tests.support.case_desk import (
    HOSPITAL,
    POLICE,
    SECOND_HOSPITAL,
    SURGERY,
    Desk,
    case_of,
    death,
    report,
    text_of,
)
from tests.support.services import Database

VOIDED, UPDATED = DeathMessageKind.VOIDED, DeathMessageKind.UPDATED
WARNING = "case-voided-by-person"


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def told(desk: Desk, organisation: str) -> list[str]:
    """Kinds of the letters about voids that an organisation has; each must be acknowledged."""
    found = [one for one in await desk.letters(organisation) if one.kind.startswith("case-")]
    assert all(one.needs_acknowledgement for one in found)
    return [one.kind for one in found]


async def warned(desk: Desk) -> list[bool]:
    """Of each acknowledgement that the hospital has, whether it says that the case is void."""
    acknowledged = await desk.letters(HOSPITAL, "acknowledgement")
    return [WARNING in text_of(one) for one in acknowledged]


async def test_a_persons_void_and_its_end_reach_those_who_told_of_the_case(desk: Desk) -> None:
    """Notifiers, of a merged case too, under their own reference, and whose report was attached;
    not one who voided its notification itself.
    """
    one, two = death("A"), death("B", organisation=SECOND_HOSPITAL)
    three = death("C", organisation=SURGERY)
    await desk.take(one, two, three, report(POLICE))
    for member in (two, three):
        await commands.merge(desk.pool, case_of(member), case_of(one), desk.world, desk.decider())
    await desk.take(death("C", organisation=SURGERY, version=2, kind=VOIDED))
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    for organisation in (HOSPITAL, SECOND_HOSPITAL, POLICE):
        assert await told(desk, organisation) == ["case-voided"]
    (letter,) = await desk.letters(SECOND_HOSPITAL, "case-voided")
    assert '"value":"B"' in text_of(letter)
    assert '"value":"A"' not in text_of(letter)
    assert await told(desk, SURGERY) == []
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider(), undo=True)
    for organisation in (HOSPITAL, SECOND_HOSPITAL, POLICE):
        assert await told(desk, organisation) == ["case-voided", "case-reinstated"]


async def test_a_senders_own_void_is_not_told_to_it(desk: Desk) -> None:
    """Its acknowledgement says so."""
    await desk.take(death(), death(version=2, kind=VOIDED))
    assert await told(desk, HOSPITAL) == []
    assert await warned(desk) == [False, False]


async def test_an_update_of_a_case_that_a_person_voided_is_warned(desk: Desk) -> None:
    """Also where the notification counts in another case; not after the undo, nor its own void."""
    one, two = death("A", organisation=SECOND_HOSPITAL), death("B")
    await desk.take(one, two)
    await commands.merge(desk.pool, case_of(two), case_of(one), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    await desk.take(death("B", version=2, kind=UPDATED, told={"death.time": "05:00"}))
    assert await warned(desk) == [False, True]
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider(), undo=True)
    await desk.take(death("B", version=3, kind=UPDATED))
    assert await warned(desk) == [False, True, False]
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    await desk.take(death("B", version=4, kind=VOIDED))
    assert await warned(desk) == [False, True, False, False]
