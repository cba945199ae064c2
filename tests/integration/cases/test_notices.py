"""Who is told of a case, and the note at the flags, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import (
    CaseState,
    DeathIndication,
    DeathMessageKind,
    FlagHistory,
    ReportKind,
    RequestState,
)
from schemas.events import Moment, PlanType
from stores import flags, known, report_requests, visits
from stores.flags import Flag
from stores.visits import Visit
from streams.cases import commands
from tests.support.case_desk import (
    HOSPITAL,
    KEYS,
    NORTH,
    NOW,
    NUMBER,
    POLICE,
    SECOND_HOSPITAL,
    SOUTH,
    SURGERY,
    Desk,
    case_of,
    death,
    indicated,
    report,
    row,
    text_of,
)
from tests.support.services import Database

GP = row("professional", 1, role="general-practitioner", organisation_code=SURGERY)
OFFICERS = row("professional", 2, role="police", organisation_code=POLICE)
SIBLING = row("household-child", 1, given="Sam", age="4")
PERSON = KEYS.person(NUMBER)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


def plan(authority: str, start: date, end: date | None = None, **more: object) -> Flag:
    """A protection plan of the child."""
    return replace(
        Flag(
            authority=authority,
            person=PERSON,
            plan_type=PlanType.CPP,
            start=start,
            end=end,
            sequence=1,
            line=1,
            active_since=NOW,
            restricted=False,
            nhs_number=NUMBER,
        ),
        **more,  # type: ignore[arg-type]
    )


def visit(number: int, hospital: str, at: datetime, **more: object) -> Visit:
    """An attendance of the child."""
    from halyard.ids import derive

    return replace(
        Visit(
            visit_id=derive("visit", number),
            source_patient=f"p-{hospital}",
            person=PERSON,
            hospital=hospital,
            live=True,
            state="departed",
            arrived=Moment(at),
            received_at=at,
            late=False,
            fresh=True,
            provisional=False,
            restricted=False,
        ),
        **more,  # type: ignore[arg-type]
    )


async def hold(desk: Desk, plans: list[Flag], seen: list[Visit]) -> None:
    """What the hub knows before the death."""
    async with transaction(desk.pool) as connection:
        await flags.replace(connection, [PERSON], plans, NOW)
        await visits.save(connection, seen, NOW)


async def noted(desk: Desk) -> datetime | None:
    """Since when a death stands at the child's flags."""
    async with transaction(desk.pool) as connection:
        return await known.death_noted(connection, PERSON)


async def test_plans_and_attendances_as_of_the_day_of_death(desk: Desk) -> None:
    """Current, past, not begun; the year before, newest first, no hidden or unsure place."""
    plans = [
        plan(NORTH, date(2025, 1, 1)),
        plan(SOUTH, date(2020, 1, 1), date(2021, 1, 1)),
        plan(SOUTH, date(2026, 2, 28)),  # begun after the death
        plan("E06000003", date(2024, 1, 1), date(2026, 2, 27), plan_type=PlanType.LAC),
        plan("E06000003", date(2024, 1, 1), plan_type=PlanType.UCPP),
        plan("E06000004", date(2024, 1, 1), restricted=True),
    ]
    day = datetime(2026, 2, 27, 3, 0, tzinfo=NOW.tzinfo)
    seen = [
        visit(1, HOSPITAL, day),
        visit(2, SECOND_HOSPITAL, day - timedelta(days=300)),
        visit(3, HOSPITAL, day - timedelta(days=370)),
        visit(4, HOSPITAL, day + timedelta(days=1)),
        visit(5, HOSPITAL, day - timedelta(days=1), location_shielded=True),
        visit(6, HOSPITAL, day - timedelta(days=1), restricted=True),
        visit(7, HOSPITAL, day - timedelta(days=1), provisional=True),
        visit(8, HOSPITAL, day - timedelta(days=1), live=False),
    ]
    await hold(desk, plans, seen)
    async with transaction(desk.pool) as connection:
        found = await known.known(connection, PERSON, date(2026, 2, 27), NOW)
        nobody = await known.known(connection, KEYS.person("9990000026"), None, NOW)
    assert [(one.authority, one.plan_type, one.history) for one in found.flags] == [
        (NORTH, "CPP", FlagHistory.CURRENT),
        (SOUTH, "CPP", FlagHistory.PREVIOUSLY),
        ("E06000003", "LAC", FlagHistory.CURRENT),
        ("", "CPP", FlagHistory.CURRENT),
    ]
    assert [one.hospital for one in found.attendances] == [HOSPITAL, SECOND_HOSPITAL]
    assert found.as_at == NOW
    assert (nobody.flags, nobody.as_at) == ((), None)  # no authority has ever sent a file


async def test_authorities_are_asked_once_about_the_other_children(desk: Desk) -> None:
    """Those with a plan; where other children are named, that of the home too. A restricted
    child's authorities get no letter: a person asks.
    """
    await hold(desk, [plan(SOUTH, date(2025, 1, 1))], [visit(1, HOSPITAL, NOW - timedelta(days=9))])
    notified = death(rows=(GP, SIBLING))
    await desk.take(notified)
    (south,) = await desk.letters(SOUTH, "household-check")
    (north,) = await desk.letters(NORTH, "household-check")
    assert "Sam" in text_of(south)
    assert "CPP" in text_of(south)
    assert "CPP" not in text_of(north)  # another authority's plan is not theirs to know
    await desk.take(
        death(
            version=2,
            kind=DeathMessageKind.UPDATED,
            rows=(GP, SIBLING),
            told={"death.time": "05:00"},
        )
    )
    assert len(await desk.letters(SOUTH, "household-check")) == 1
    said = await desk.content(case_of(notified))
    assert said.flag_history is FlagHistory.CURRENT
    rules = {(one.agency, one.role) for one in said.requests}
    assert rules == {
        (SURGERY, "general-practitioner"),
        (HOSPITAL, "hospital"),
        (SOUTH, "childrens-social-care"),
    }
    await commands.void(desk.pool, case_of(notified), desk.world, desk.decider())
    assert len(await desk.letters(SOUTH, "case-voided")) == 1
    assert len(await desk.letters(NORTH, "case-voided")) == 1


async def test_a_restricted_childs_home_is_written_to_by_nobody(desk: Desk) -> None:
    """No household check, no request, no panel, until a person decides."""
    await hold(desk, [plan(SOUTH, date(2025, 1, 1))], [])
    notified = death(rows=(GP, SIBLING), restricted=True)
    await desk.take(notified)
    for organisation in (NORTH, SOUTH, SURGERY):
        assert await desk.letters(organisation) == []
    said = await desk.content(case_of(notified))
    assert (said.panel, said.requests) == (None, ())
    assert said.needs == ("panel",)


async def test_requests_leave_with_a_number_only_for_health_and_care(desk: Desk) -> None:
    """Once each, with what is known; a report answers, and a nothing-known is a full answer."""
    notified = death(rows=(GP, OFFICERS))
    await desk.take(notified)
    (practice,) = await desk.letters(SURGERY, "report-request")
    (police,) = await desk.letters(POLICE, "report-request")
    assert NUMBER in text_of(practice)
    assert NUMBER not in text_of(police)
    assert "ZZ4 1AB" not in text_of(police)
    made = {one.agency: one for one in desk.requested()}
    await desk.take(
        report(SURGERY, request_id=made[SURGERY].request_id),
        report(POLICE, ReportKind.NOTHING_KNOWN, request_id=made[POLICE].request_id),
    )
    said = await desk.content(case_of(notified))
    assert {one.agency: one.state for one in said.requests} == {
        SURGERY: RequestState.SUBMITTED,
        POLICE: RequestState.NOTHING_KNOWN,
    }
    async with transaction(desk.pool) as connection:
        stored = await report_requests.load(connection, [case_of(notified)])
        one = await report_requests.get(connection, made[POLICE].request_id)
        await report_requests.save(connection, [replace(stored[0], version=1)], NOW)
        again = await report_requests.load(connection, [case_of(notified)])
    assert {each.version for each in stored} == {2}
    assert again == stored  # a lower version replaces nothing
    assert one in stored
    assert len(await desk.letters(SURGERY, "report-request")) == 1


async def test_a_death_is_noted_at_the_flags_until_it_is_taken_back(desk: Desk) -> None:
    """By a void of the last case that says so, or by PDS."""
    one = death("N-1")
    two = death("N-2", organisation=SECOND_HOSPITAL)
    assert await noted(desk) is None
    await desk.take(one, two)
    assert await noted(desk) is not None
    await desk.take(death("N-1", version=2, kind=DeathMessageKind.VOIDED))
    assert await noted(desk) is not None  # the other hospital still says so
    removed = indicated(
        DeathIndication.PDS_REMOVED, organisation="pds", effective_at=NOW + timedelta(days=1)
    )
    await desk.take(removed)
    said = await desk.content(case_of(two))
    assert said.state is CaseState.OPEN
    assert said.needs[0] == "death-questioned"
    assert await noted(desk) is None
    formal = indicated(
        DeathIndication.PDS_FORMAL, "I-2", organisation="pds", effective_at=NOW + timedelta(days=2)
    )
    await desk.take(formal)
    assert "death-questioned" not in (await desk.content(case_of(two))).needs
    assert await noted(desk) is not None


async def test_a_merge_keeps_one_note_at_the_flags(desk: Desk) -> None:
    """The case that it counts in has it; the void of that one ends it."""
    one, two = death("N-1"), death("N-2", organisation=SECOND_HOSPITAL)
    await desk.take(one, two)
    await commands.merge(desk.pool, case_of(two), case_of(one), desk.world, desk.decider())
    assert await noted(desk) is not None
    await commands.void(desk.pool, case_of(one), desk.world, desk.decider())
    assert await noted(desk) is None
