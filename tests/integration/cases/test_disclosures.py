"""Letters about deaths under sharing policies: recorded, held, denied, and without a number."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from flag_service.releasing import decide
from halyard.actor import Actor
from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from policies.ruling import Flow
from schemas.deaths import DeathMessageKind
from stores import held
from streams.cases import commands
from tests.support.case_desk import (
    DIRECTORY,
    HOSPITAL,
    KEYS,
    NUMBER,
    OFFICE,
    POLICE,
    SURGERY,
    Desk,
    case_of,
    death,
    row,
    text_of,
)
from tests.support.disclosing import ENDED, REVIEW, changed, entries
from tests.support.services import Database

GP = row("professional", 1, role="general-practitioner", organisation_code=SURGERY)
OFFICERS = row("professional", 2, role="police", organisation_code=POLICE)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def queue(desk: Desk) -> list[held.Kept]:
    """What waits for anybody."""
    async with transaction(desk.pool) as connection:
        return await held.kept(connection, None)


async def release(desk: Desk, item: uuid.UUID) -> Any:
    """A person of the panel releases it."""
    actor = Actor("user:1", OFFICE)
    async with transaction(desk.pool) as connection:
        return await decide(
            connection, item, "release", actor, desk.world.desk, desk.now, reason="It must be asked"
        )


async def test_each_letter_is_recorded_in_the_chain_of_whom_it_tells(desk: Desk) -> None:
    """By the letter's id and the child's pseudonym; the practice's has a number, the police's not.
    The case is told to the NCMD once for each version, by the names of its facts.
    """
    await desk.take(death(rows=(GP, OFFICERS)))
    found = {(one["chain"], one["flow"]): one for one in await entries(desk.pool)}
    assert found[SURGERY, "report-request"]["fields"] == ["letter", "letter.number"]
    assert found[POLICE, "report-request"]["fields"] == ["letter"]
    assert found[HOSPITAL, "case-event"]["detail"]["kind"] == "acknowledgement"
    ncmd = [one for one in await entries(desk.pool) if one["flow"] == "ncmd-submission"]
    assert len(ncmd) == len(desk.changed())
    assert {"nhs_number", "child.family"} <= set(ncmd[-1]["fields"])
    assert found[SURGERY, "report-request"]["person"] == KEYS.person(NUMBER)
    assert all(NUMBER not in orjson.dumps(one).decode() for one in found.values())


async def test_no_letter_outside_health_and_care_holds_a_number_in_any_flow(desk: Desk) -> None:
    """Requests, their cancellation and the void of a case, over the real bodies."""
    notified = death(rows=(GP, OFFICERS), told={"child.given": f"Lily {NUMBER}"})
    await desk.take(notified)
    await desk.take(death(kind=DeathMessageKind.VOIDED, version=2))
    letters = await desk.letters(POLICE)
    assert {one.kind for one in letters} == {
        "report-request",
        "report-request-cancelled",
        "case-voided",
    }
    for one in letters:
        assert NUMBER not in text_of(one)
    assert any(NUMBER in text_of(one) for one in await desk.letters(SURGERY))


async def test_a_letter_that_a_policy_holds_is_the_panels_to_release(desk: Desk) -> None:
    """It is in nobody's mailbox until then; released twice, it is written once."""
    desk.policies = changed(Flow.REPORT_REQUEST, **REVIEW)
    await desk.take(death(rows=(OFFICERS,)))
    assert await desk.letters(POLICE) == []
    waiting = [one for one in await queue(desk) if one.recipient == POLICE]
    (one,) = waiting
    assert (one.kind, one.reviewer, one.rule) == ("report-request", OFFICE, "a-person-decides")
    assert (await release(desk, one.item_id)).changed
    assert not (await release(desk, one.item_id)).changed
    (letter,) = await desk.letters(POLICE, "report-request")
    assert letter.letter_id == one.item_id
    kinds = [
        (each["kind"], each["decision"])
        for each in await entries(desk.pool, "report-request")
        if each["chain"] == POLICE
    ]
    assert kinds == [("disclosure", "review"), ("review", "permit")]


async def test_what_is_held_ends_when_its_case_is_void(desk: Desk) -> None:
    """Nobody can release a question about a death that is none."""
    desk.policies = changed(Flow.REPORT_REQUEST, **REVIEW)
    notified = death(rows=(OFFICERS,))
    await desk.take(notified)
    (one,) = [each for each in await queue(desk) if each.recipient == POLICE]
    await commands.void(desk.pool, case_of(notified), desk.world, desk.decider())
    outcome = await release(desk, one.item_id)
    assert (outcome.state, outcome.changed) == ("superseded", False)
    assert await desk.letters(POLICE, "report-request") == []


async def test_a_denied_letter_is_written_nowhere_but_in_the_chain(desk: Desk) -> None:
    """No row of it waits; the case goes on as it would."""
    police = {"code": "not-the-police", "reason": "a test", "organisations": [POLICE]}
    desk.policies = changed(Flow.REPORT_REQUEST, deny=[police])
    await desk.take(death(rows=(OFFICERS,)))
    assert await desk.letters(POLICE) == []
    assert await queue(desk) == []
    assert {one["decision"] for one in await entries(desk.pool, "report-request")} == {"deny"}
    assert await desk.letters(HOSPITAL, "acknowledgement")


async def test_a_policy_that_withholds_the_number_makes_the_letter_without_it(
    desk: Desk,
) -> None:
    """The practice may hold one; its policy does not grant it: the request leaves, without."""
    fields = [{"sector": "health", "fields": ["letter"]}]
    desk.policies = changed(Flow.REPORT_REQUEST, recipients=fields)
    desk.directory = replace(DIRECTORY)
    await desk.take(death(rows=(GP,)))
    (letter,) = await desk.letters(SURGERY, "report-request")
    assert NUMBER not in text_of(letter)


async def test_a_void_waits_for_nobody_where_the_case_was_told(desk: Desk) -> None:
    """Under a policy that leaves every letter to a person, and one that has ended: whoever got
    something of the case must not act on it any more. It is recorded as what it is.
    """
    await desk.take(death(rows=(OFFICERS,)))
    desk.policies = changed(Flow.CASE_EVENT, **REVIEW)
    await desk.take(death(kind=DeathMessageKind.VOIDED, version=2))
    (void,) = await desk.letters(POLICE, "case-voided")
    assert void.needs_acknowledgement
    said = [one for one in await entries(desk.pool, "case-event") if one["chain"] == POLICE]
    assert [(one["decision"], one["rule"]) for one in said] == [("permit", "correction")]
    desk.policies = changed(Flow.CASE_EVENT, **ENDED)
    await desk.take(death(version=3, rows=(OFFICERS,)))
    assert await desk.letters(POLICE, "case-reinstated")


async def test_who_was_told_nothing_is_not_told_of_a_void_that_was_held(desk: Desk) -> None:
    """The request to the police was denied, so the void asks a person; it ends with the case's
    reinstatement, which then has nothing to take back.
    """
    police = {"code": "not-the-police", "reason": "a test", "organisations": [POLICE]}
    desk.policies = changed(Flow.REPORT_REQUEST, deny=[police])
    await desk.take(death(rows=(OFFICERS,)))
    desk.policies = changed(Flow.CASE_EVENT, **REVIEW)
    await desk.take(death(kind=DeathMessageKind.VOIDED, version=2))
    assert await corrections(desk) == [(POLICE, "case-voided")]
    await desk.take(death(version=3, rows=(OFFICERS,)))
    assert await corrections(desk) == []
    assert await desk.letters(POLICE) == []


async def corrections(desk: Desk) -> list[tuple[str, str]]:
    """Voids and reinstatements that wait for a person."""
    found = [(one.recipient, one.kind) for one in await queue(desk)]
    return [one for one in found if one[1] in ("case-voided", "case-reinstated")]
