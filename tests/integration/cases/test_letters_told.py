"""What is told in letters, once and to whom, also when letters are old, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest

from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas import topics
from schemas.deaths import DeathIndication, DeathMessageKind
from schemas.events import PersonClaim
from stores import mailbox
from streams.cases import commands
from tests.support.case_desk import (
    HOSPITAL,
    NORTH,
    NOW,
    NUMBER,
    POLICE,
    SURGERY,
    Desk,
    case_of,
    death,
    indicated,
    row,
    text_of,
)
from tests.support.services import Database

GP = row("professional", 1, role="general-practitioner", organisation_code=SURGERY)
OFFICERS = row("professional", 2, role="police", organisation_code=POLICE)
SIBLING = row("household-child", 1, given="Sam", age="4")


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def grow_old(desk: Desk) -> int:
    """Every letter is past its time and purged; gives how many went."""
    async with transaction(desk.pool) as connection:
        await connection.execute("update letters set created_at = created_at - interval '9 years'")
    return await mailbox.purge(desk.pool, keep_days=90)


async def test_a_household_check_is_not_asked_again_when_the_letter_is_gone(desk: Desk) -> None:
    """It was sent once, under one id; the letter's age changes nothing. And whoever had one hears
    that the case is void, though the letter is not there any more.
    """
    notified = death(rows=(GP, SIBLING))
    await desk.take(notified)
    assert len(await desk.letters(NORTH, "household-check")) == 1
    assert await grow_old(desk) > 0
    update = death(
        version=2,
        kind=DeathMessageKind.UPDATED,
        rows=(GP, SIBLING),
        told={"death.time": "05:00"},
    )
    await desk.take(update)
    assert await desk.letters(NORTH) == []
    await commands.void(desk.pool, case_of(notified), desk.world, desk.decider())
    assert len(await desk.letters(NORTH, "case-voided")) == 1


async def test_an_agency_outside_health_finds_no_number_that_was_ever_said(desk: Desk) -> None:
    """Verified or only claimed, in a name, in any grouping: the police get none of it; the practice
    reads what was written.
    """
    claimed = "9990000013"  # of no right check digit
    said = {"child.given": f"Lily 999,000,0018 or {claimed[:4]} and {claimed[4:]}"}
    claim = PersonClaim(nhs_number=claimed, family="Jessop", given=("Lily",))
    await desk.take(death(rows=(GP, OFFICERS), told=said, claim=claim))
    (police,) = await desk.letters(POLICE, "report-request")
    digits = "".join(one for one in _patient(text_of(police)) if one.isdigit())
    assert NUMBER not in digits
    assert claimed not in digits
    assert "withheld" in text_of(police)
    (practice,) = await desk.letters(SURGERY, "report-request")
    assert "999,000,0018" in text_of(practice)


def _patient(letter: str) -> str:
    entries = orjson.loads(letter)["entry"]
    (found,) = (one["resource"] for one in entries if one["resource"]["resourceType"] == "Patient")
    return orjson.dumps(found.get("name", [])).decode()


async def test_a_prompt_names_the_patient_by_an_id_that_is_a_number(desk: Desk) -> None:
    """A hospital whose own ids look like NHS numbers is told which patient is meant."""
    event = indicated(DeathIndication.HOSPITAL, reference=NUMBER, number=None)
    await desk.take(event)
    (letter,) = await desk.letters(HOSPITAL, "death-prompt")
    assert f"L-{NUMBER}" in text_of(letter)


async def test_a_case_of_very_much_text_leaves_as_one_record(desk: Desk) -> None:
    """1.6 MB of answers: the record is within the bound of the bus, every statement stands, and a
    person is told that the messages hold more.
    """
    much = {f"unlisted.{number}": "x" * 20_000 for number in range(80)}
    notified = death(told=much)
    await desk.take(notified)
    (record,) = (one for one in desk.sent if one.topic == topics.CASE_CHANGED)
    assert len(record.value) < desk.settings.kafka.max_record_bytes - 100_000
    content = await desk.content(case_of(notified))
    assert "text-cut" in content.needs
    assert len(content.facts) == len(notified.notified.facts)
    again = death(version=2, kind=DeathMessageKind.UPDATED, told=much, at=NOW + timedelta(hours=1))
    await desk.take(again)
    assert (await desk.content(case_of(notified))).facts[0].fact.value == "Jessop"
