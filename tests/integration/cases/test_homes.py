"""Where a report belongs, also when the case of its child is another now."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from halyard.errors import PermanentError
from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseState,
    DeathMessageKind,
    DeathVerified,
    ReportVerified,
)
from stores import case_messages, cases
from streams.cases import commands
from streams.cases.model import Report
from tests.support.case_desk import (
    NUMBER,
    OTHER_NUMBER,
    POLICE,
    SECOND_HOSPITAL,
    Desk,
    case_of,
    death,
    identity,
    report,
    row,
)
from tests.support.services import Database

VOIDED, UPDATED = DeathMessageKind.VOIDED, DeathMessageKind.UPDATED
ANOTHER = {"child.given": "Otto", "child.family": "Quist", "child.birth-date": "2018-01-01"}


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


def restated(event: ReportVerified, number: str | None, revision: int = 2) -> ReportVerified:
    """What identity says of the report later."""
    who = None if number is None else identity(number)
    return replace(event, event_id=uuid.uuid4(), revision=revision, identity=who)


async def reporters(desk: Desk, of: DeathVerified) -> list[str]:
    """Whose reports a case has."""
    return [one.organisation for one in (await desk.content(case_of(of))).reports]


async def waiting(desk: Desk) -> list[str]:
    """Whose reports have no case."""
    async with transaction(desk.pool) as connection:
        return [one.report.organisation for one in await case_messages.unattached(connection)]


def two() -> tuple[DeathVerified, DeathVerified]:
    """A notification without a number, and another hospital's with one."""
    return death("A", number=None), death("B", organisation=SECOND_HOSPITAL)


async def merge(desk: Desk, member: DeathVerified, into: DeathVerified) -> None:
    """A person merges."""
    await commands.merge(desk.pool, case_of(member), case_of(into), desk.world, desk.decider())


async def test_a_report_leaves_with_the_member_whose_child_it_is_of(desk: Desk) -> None:
    """It came while the member was merged; the other case must not keep it."""
    a, b = two()
    await desk.take(a, b)
    await merge(desk, b, a)
    await desk.take(report(POLICE))
    assert await reporters(desk, a) == [POLICE]
    await commands.unmerge(desk.pool, case_of(b), desk.world, desk.decider())
    assert (await reporters(desk, a), await reporters(desk, b)) == ([], [POLICE])


async def test_a_report_of_another_child_leaves_the_case(desk: Desk) -> None:
    """Identity says of another child, of whom there is a case, none yet, or of nobody."""
    a = death("A")
    b = death("B", organisation=SECOND_HOSPITAL, number=OTHER_NUMBER, told=ANOTHER)
    one = report(POLICE)
    await desk.take(a, b, one)
    assert await reporters(desk, a) == [POLICE]
    await desk.take(restated(one, OTHER_NUMBER))
    assert (await reporters(desk, a), await reporters(desk, b)) == ([], [POLICE])
    await desk.take(restated(one, None, 3))
    assert await reporters(desk, b) == []
    assert await waiting(desk) == [POLICE]
    await desk.take(restated(one, NUMBER, 4))
    assert (await reporters(desk, a), await waiting(desk)) == ([POLICE], [])


async def test_a_report_leaves_a_case_that_is_of_another_child_now(desk: Desk) -> None:
    """The notification's identity was wrong: the report waits for the case of its own child."""
    one = death("A")
    await desk.take(one, report(POLICE))
    await desk.take(
        replace(one, event_id=uuid.uuid4(), revision=2, identity=identity(OTHER_NUMBER))
    )
    assert (await reporters(desk, one), await waiting(desk)) == ([], [POLICE])


async def test_a_report_leaves_a_void_case_and_comes_back(desk: Desk) -> None:
    """The child's other case has it; without one it waits until the case is reinstated."""
    a, b = death("A"), death("B", organisation=SECOND_HOSPITAL)
    await desk.take(a, b, report(POLICE))
    assert await reporters(desk, a) == [POLICE]
    await desk.take(death("A", version=2, kind=VOIDED))
    assert (await reporters(desk, a), await reporters(desk, b)) == ([], [POLICE])
    await commands.void(desk.pool, case_of(b), desk.world, desk.decider())
    assert (await reporters(desk, b), await waiting(desk)) == ([], [POLICE])
    await commands.void(desk.pool, case_of(b), desk.world, desk.decider(), undo=True)
    assert (await reporters(desk, b), await waiting(desk)) == ([POLICE], [])
    await commands.void(desk.pool, case_of(b), desk.world, desk.decider())
    await desk.take(death("A", version=3))
    assert (await reporters(desk, a), await waiting(desk)) == ([POLICE], [])


async def test_a_void_of_a_merged_case_gives_its_reports_back(desk: Desk) -> None:
    """Also one that hangs on a member; the undo takes it in again."""
    a, b = two()
    await desk.take(a, b, report(POLICE))
    await merge(desk, b, a)
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider())
    assert await waiting(desk) == [POLICE]
    await commands.unmerge(desk.pool, case_of(b), desk.world, desk.decider())
    assert (await reporters(desk, b), await waiting(desk)) == ([POLICE], [])


async def test_a_person_attaches_a_report_and_that_stands(desk: Desk) -> None:
    """One without a number; versions of the notification, and its void, do not move it again."""
    a = death("A")
    await desk.take(a, report(POLICE, number=None))
    (held,) = await _unattached(desk)
    event = held.report.event_id
    done = await commands.attach(desk.pool, event, case_of(a), desk.world, desk.decider())
    assert set(done.versions) == {case_of(a)}
    assert await reporters(desk, a) == [POLICE]
    last = await _last(desk, case_of(a))
    assert (last.change, last.by, last.rule) == (CaseChange.REPORTED, "Designated doctor", "person")
    again = await commands.attach(desk.pool, event, case_of(a), desk.world, desk.decider())
    assert again.already
    await desk.take(
        death("A", version=2, kind=UPDATED, rows=[row("professional", 1, role="police")])
    )
    await desk.take(restated(report(POLICE, number=None), None))
    assert (await reporters(desk, a), await waiting(desk)) == ([POLICE], [])


async def test_an_attached_report_is_moved_by_a_person_or_by_another_verified_child(
    desk: Desk,
) -> None:
    """The next decision holds; a number that is verified of another case's child as well."""
    a = death("A")
    b = death("B", organisation=SECOND_HOSPITAL, number=OTHER_NUMBER, told=ANOTHER)
    one = report(POLICE, number=None)
    await desk.take(a, b, one)
    event = one.report.event_id
    await commands.attach(desk.pool, event, case_of(b), desk.world, desk.decider())
    await commands.attach(desk.pool, event, case_of(a), desk.world, desk.decider())
    assert (await reporters(desk, a), await reporters(desk, b)) == ([POLICE], [])
    await desk.take(restated(one, OTHER_NUMBER))
    assert (await reporters(desk, a), await reporters(desk, b)) == ([], [POLICE])


async def test_a_report_is_attached_to_a_standing_case_alone(desk: Desk) -> None:
    """No such report, no such case, a void case: each is refused and says so."""
    a = death("A", number=None)
    one = report(POLICE, number=None)
    await desk.take(a, one)
    event = one.report.event_id
    with pytest.raises(PermanentError, match="no report"):
        await commands.attach(desk.pool, uuid.uuid4(), case_of(a), desk.world, desk.decider())
    with pytest.raises(PermanentError, match="no case"):
        await commands.attach(desk.pool, event, uuid.uuid4(), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider())
    with pytest.raises(PermanentError, match="void"):
        await commands.attach(desk.pool, event, case_of(a), desk.world, desk.decider())
    assert (await desk.content(case_of(a))).state is CaseState.VOIDED


async def _unattached(desk: Desk) -> list[Report]:
    async with transaction(desk.pool) as connection:
        return await case_messages.unattached(connection)


async def _last(desk: Desk, case_id: uuid.UUID) -> CaseChanged:
    async with transaction(desk.pool) as connection:
        return (await cases.history(connection, case_id))[-1]
