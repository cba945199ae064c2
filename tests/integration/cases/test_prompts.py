"""Indicated deaths on PostgreSQL: asked once, answered by a notification, never a case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from halyard.ids import derive
from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import DeathIndication, DeathMessageKind, DeathVerified
from schemas.events import PersonClaim
from stores import cases, prompts
from stores.prompts import Prompt
from streams.cases import prompts as forget
from tests.integration.cases.test_notices import hold, visit
from tests.support.case_desk import (
    CHILD,
    HOSPITAL,
    NOW,
    NUMBER,
    SECOND_HOSPITAL,
    Desk,
    case_of,
    death,
    identity,
    indicated,
    text_of,
)
from tests.support.services import Database

LOCAL = PersonClaim(local_id="L-77", birth_date=CHILD["child.birth-date"])


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage on a database of its own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def listed(desk: Desk) -> list[Prompt]:
    """The prompts, of every state."""
    async with transaction(desk.pool) as connection:
        return await prompts.page(connection, all_states=True, limit=10)


def unverified(reference: str, kind: DeathMessageKind, **more: Any) -> DeathVerified:
    """Of a child whose number nobody has, known by the hospital's own id."""
    return death(reference, number=None, kind=kind, claim=LOCAL, **more)


async def test_a_hospital_is_asked_once_and_its_notification_answers(desk: Desk) -> None:
    """However often its record says so; no case is opened, and none is asked for afterwards."""
    hospital = DeathIndication.HOSPITAL
    await desk.take(*(indicated(hospital, f"I-{number}") for number in range(3)))
    (prompt,) = await listed(desk)
    assert (prompt.state, prompt.organisation, prompt.rule) == (
        "open",
        HOSPITAL,
        "hospital-record",
    )
    (letter,) = await desk.letters(HOSPITAL, "death-prompt")
    assert NUMBER not in text_of(letter)  # its own id is enough
    async with transaction(desk.pool) as connection:
        assert await cases.page(connection) == []
    notified = death("N-1", organisation=SECOND_HOSPITAL)
    await desk.take(notified)
    (prompt,) = await listed(desk)
    assert (prompt.state, prompt.case_id) == ("answered", case_of(notified))
    await desk.take(indicated(hospital, "I-9"))
    assert len(await desk.letters(HOSPITAL, "death-prompt")) == 1


async def test_a_patient_who_becomes_known_is_asked_for_once(desk: Desk) -> None:
    """The hospital's record says it again, with the number by now: no second letter, and another
    hospital's notification of that child is found."""
    unknown = indicated(DeathIndication.HOSPITAL, number=None)
    again = indicated(DeathIndication.HOSPITAL, "I-2")
    again = replace(
        again, notified=replace(again.notified, source_patient=unknown.notified.source_patient)
    )
    await desk.take(unknown, again)
    assert [one.state for one in await listed(desk)] == ["open"]
    assert len(await desk.letters(HOSPITAL, "death-prompt")) == 1
    await desk.take(death("N-1", organisation=SECOND_HOSPITAL))
    assert [one.state for one in await listed(desk)] == ["answered"]


async def test_a_death_notified_already_is_not_asked_for(desk: Desk) -> None:
    """By anybody; after a void of the notification it is."""
    await desk.take(death("N-1"), indicated(DeathIndication.HOSPITAL))
    assert await listed(desk) == []
    await desk.take(
        death("N-1", version=2, kind=DeathMessageKind.VOIDED),
        indicated(DeathIndication.HOSPITAL, "I-2"),
    )
    assert [one.state for one in await listed(desk)] == ["open"]


async def test_without_a_number_the_hospitals_own_id_and_birth_date_tell(desk: Desk) -> None:
    """Both together, of one hospital."""
    await desk.take(
        unverified(
            "I-1", DeathMessageKind.INDICATED, indication=DeathIndication.HOSPITAL, died_at="2026"
        )
    )
    other = unverified("N-1", DeathMessageKind.SUBMITTED, organisation=SECOND_HOSPITAL)
    await desk.take(other)
    assert [one.state for one in await listed(desk)] == ["open"]
    await desk.take(unverified("N-2", DeathMessageKind.SUBMITTED))
    assert [one.state for one in await listed(desk)] == ["answered"]


async def test_pds_makes_the_hub_ask_where_the_child_was_seen_last(desk: Desk) -> None:
    """If nobody has seen the child, the prompt is listed, and a hospital that knows is asked."""
    pds = indicated(DeathIndication.PDS_INFORMAL, organisation="pds", effective_at=NOW)
    await desk.take(pds)
    (prompt,) = await listed(desk)
    assert (prompt.organisation, prompt.rule) == (None, "nobody-known")
    await hold(desk, [], [visit(1, SECOND_HOSPITAL, NOW - timedelta(days=30))])
    formal = indicated(
        DeathIndication.PDS_FORMAL, "I-2", organisation="pds", effective_at=NOW + timedelta(hours=1)
    )
    await desk.take(formal)
    (prompt,) = await listed(desk)
    assert (prompt.organisation, prompt.rule) == (SECOND_HOSPITAL, "last-attendance")
    (letter,) = await desk.letters(SECOND_HOSPITAL, "death-prompt")
    assert NUMBER in text_of(letter)  # the hospital has no other name for the child from us
    assert b"Jessop" not in letter.body


async def test_pds_takes_a_death_back_and_the_prompt_is_cancelled(desk: Desk) -> None:
    """An older indication that comes later does not open it again; a newer one does."""
    at = NOW + timedelta(hours=5)
    await desk.take(indicated(DeathIndication.HOSPITAL))
    await desk.take(
        indicated(DeathIndication.PDS_REMOVED, "I-2", organisation="pds", effective_at=at)
    )
    assert [one.state for one in await listed(desk)] == ["cancelled"]
    older, newer = at - timedelta(hours=1), at + timedelta(hours=1)
    await desk.take(
        indicated(DeathIndication.PDS_FORMAL, "I-3", organisation="pds", effective_at=older)
    )
    assert [one.state for one in await listed(desk)] == ["cancelled"]
    await desk.take(
        indicated(DeathIndication.PDS_FORMAL, "I-4", organisation="pds", effective_at=newer)
    )
    assert [one.state for one in await listed(desk)] == ["open"]


async def test_closed_prompts_are_forgotten_after_a_time_and_open_ones_are_not(desk: Desk) -> None:
    """400 days after they were closed, with their tokens."""
    await desk.take(indicated(DeathIndication.HOSPITAL), death("N-1"))
    await desk.take(
        unverified(
            "I-2",
            DeathMessageKind.INDICATED,
            organisation=SECOND_HOSPITAL,
            indication=DeathIndication.HOSPITAL,
            died_at="2026",
        )
    )
    assert sorted(one.state for one in await listed(desk)) == ["answered", "open"]
    assert await forget.purge(desk.pool, NOW + timedelta(days=399)) == 0
    assert await forget.purge(desk.pool, NOW + timedelta(days=401)) == 1
    assert [one.state for one in await listed(desk)] == ["open"]


async def test_a_number_that_is_verified_later_joins_the_prompt(desk: Desk) -> None:
    """The same indication again, with a person: asked once, and answered."""
    unknown = indicated(DeathIndication.HOSPITAL, number=None)
    unknown = replace(unknown, notified=replace(unknown.notified, claim=LOCAL))
    await desk.take(unknown)
    verified = replace(
        unknown,
        event_id=derive("again", str(unknown.event_id)),
        revision=2,
        identity=identity(NUMBER),
    )
    await desk.take(verified)
    assert len(await desk.letters(HOSPITAL, "death-prompt")) == 1
    (prompt,) = await listed(desk)
    assert prompt.person == verified.identity.person  # type: ignore[union-attr]
    await desk.take(death("N-1", organisation=SECOND_HOSPITAL))
    assert [one.state for one in await listed(desk)] == ["answered"]
