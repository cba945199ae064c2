"""The versions of one notification on PostgreSQL: what is loaded, and what outlives retention."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard.postgres import transaction
from schemas.events import PersonClaim
from stores import claims, worklist
from stores.claims import LAST_OF_DEATHS, ClaimRow, Reach
from streams.identity.evidence import Death
from streams.tracer.housekeeping import retention
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.death_identity import UPDATED, VOIDED
from tests.support.identity import CHILD
from tests.support.identity_world import HOURS_49, World, person_of

NAMELESS = PersonClaim()
OTHER = replace(CHILD, nhs_number=make.number(3))  # the number that was meant
PERSON, CORRECTED = make.known().person, make.known(OTHER).person


def last(world: World, event: Death) -> str | None:
    """Whom the last word on a message names."""
    identity = say.identity_of(world.sent, event.event_id)
    return identity.person if identity else None


async def reached(world: World, key: str) -> tuple[list[ClaimRow], int]:
    """What a message of this key loads, and of how many claims it locks the names."""
    none: frozenset[str] = frozenset()
    since = world.now - timedelta(hours=48)
    reach = Reach(frozenset({key}), frozenset(), none, none, since)
    async with transaction(world.pool) as connection:
        rows = await claims.load(connection, reach)
        touched, _ = await claims.scope(connection, reach)
    return rows, len(touched)


async def settle_numbers(world: World, *events: Death) -> None:
    for event in events:
        await world.take(event)
        await world.trace_all()


async def keep_cases(world: World) -> None:
    """Cases of the children are open, so that identity keeps them (ADR 0025)."""
    for person in (PERSON, CORRECTED):
        await world.rows(
            "insert into cases (case_id, person, state, version, content, opened_at, changed_at,"
            " eligibility) values (%(id)s, %(person)s, 'OPEN', 1, '', now(), now(), 'IN_SCOPE')",
            id=uuid.uuid4(),
            person=person,
        )


async def weeks_later(world: World) -> None:
    world.now += timedelta(days=30)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)


@pytest.mark.parametrize("claim", [CHILD, NAMELESS])
async def test_a_message_loads_little_of_what_its_sender_repeats(
    world: World, claim: PersonClaim
) -> None:
    """Of 400 versions, verified or told to be of nobody any more, the last few."""
    await settle_numbers(world, say.death())
    many = [say.death(claim, version=one, kind=UPDATED) for one in range(2, 401)]
    await world.take(*many)
    rows, locked = await reached(world, many[0].source_patient)
    assert LAST_OF_DEATHS <= len(rows) <= 60
    assert locked == len(rows)
    assert {row.person for row in rows} == {PERSON}


async def test_what_is_undecided_is_loaded_however_much(world: World) -> None:
    """What waits and what a person is to find the number of is all there: a later message may
    decide it. A void's version is known for good."""
    lost = [say.death(NAMELESS, version=one, kind=UPDATED) for one in range(1, 71)]
    await world.take(*lost)
    rows, _ = await reached(world, lost[0].source_patient)
    assert len(rows) == 70
    await world.take(say.death(version=80, kind=UPDATED))
    await world.trace_all()
    assert {last(world, event) for event in lost} == {PERSON}
    void = say.death(NAMELESS, version=90, kind=VOIDED, reference="N2")
    await world.take(void)
    await weeks_later(world)
    rows, _ = await reached(world, void.source_patient)
    assert [row.version for row in rows] == [90]


async def test_a_version_older_than_its_void_is_nobodys_work_weeks_later(world: World) -> None:
    """The void came first; retention went over it; then the first version, which names nobody."""
    await world.take(say.death(NAMELESS, version=2, kind=VOIDED))
    await weeks_later(world)
    await world.take(say.death(NAMELESS))
    async with transaction(world.pool) as connection:
        assert not await worklist.entries(connection, make.HOSPITAL)


async def test_a_corrected_number_counts_weeks_later(world: World) -> None:
    """The number of version 1 was another's, version 2 corrected it: version 3 without one is of
    the corrected child, though nothing of the first two is left but of whom they were."""
    world.knows(person_of(OTHER))
    await settle_numbers(world, say.death(), say.death(OTHER, version=2, kind=UPDATED))
    await keep_cases(world)
    await weeks_later(world)
    third = say.death(NAMELESS, version=3, kind=UPDATED, received_at=world.now)
    await world.take(third)
    assert last(world, third) == CORRECTED


async def test_a_report_to_another_request_is_of_another_child_weeks_later(world: World) -> None:
    """The request that a report answers is known when its text is not any more."""
    one, other = uuid.uuid4(), uuid.uuid4()
    await settle_numbers(world, say.report(request_id=one))
    await keep_cases(world)
    await weeks_later(world)
    same = say.report(NAMELESS, request_id=one, version=2)
    strange = say.report(NAMELESS, request_id=other, version=3)
    await world.take(same, strange)
    assert [last(world, event) for event in (same, strange)] == [PERSON, None]


async def test_an_old_message_closes_no_newer_entry(world: World) -> None:
    """Version 3 is unresolved for 49 hours; then version 1 comes late, with a number that is not
    version 3's: its entry stays open. Version 4 with the number of its own closes it."""
    third = say.death(replace(CHILD, family="Another", nhs_number=None, birth_date=None), version=3)
    await world.take(third)
    world.now += HOURS_49
    await settle_numbers(world, say.death(received_at=world.now))

    async def still_open() -> list[uuid.UUID]:
        async with transaction(world.pool) as connection:
            found = await worklist.entries(connection, make.HOSPITAL)
        return [one.reported_event_id for one in found]

    assert await still_open() == [third.event_id]
    await settle_numbers(world, say.death(version=4, kind=UPDATED, received_at=world.now))
    assert await still_open() == []


async def test_a_patient_who_becomes_known_is_told_again(world: World) -> None:
    """A hospital's record says of an unknown patient that it has died, later with its number: both
    are of the child then."""
    unknown = say.indicated(NAMELESS)
    known = say.indicated(message_id="I2")
    await world.take(unknown)
    assert last(world, unknown) is None
    await settle_numbers(world, known)
    assert [last(world, event) for event in (unknown, known)] == [PERSON, PERSON]
