"""``POST /people/record``: who sees what of whom, the rest alike, and always on record."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flag_service import core_record
from flag_service.core_record import Opened, Opening
from halyard import postgres
from halyard.caller import Caller
from policies.purposes import Purpose
from policies.ruling import Decision, Flow
from schemas.events import Identifier
from stores import core_records, identities, person_identifiers, sibling_links
from stores.holdings import LOOK_BACK
from stores.person_identifiers import Stated
from stores.sibling_links import SiblingList
from tests.support import hidden
from tests.support.disclosing import DENY, changed
from tests.support.face import CLINIC, INFIRMARY, KEYS, NORTH, SOUTH, bearer, hub, settings
from tests.support.looks import (
    CHILD,
    CLINICIAN,
    NOW,
    NURSE,
    OTHER,
    SYSTEM,
    UNKNOWN,
    WORKER,
    World,
    plan,
    world,
)
from tests.support.services import Database

PERSON = KEYS.person(CHILD)
UPN = "B801200005001"


@pytest.fixture
async def here(database: Database) -> AsyncIterator[World]:
    """Record look-ups with the rights of the face."""
    async with world(database) as made:
        yield made


async def know(here: World, number: str = CHILD, *, restricted: bool = False) -> None:
    """Somebody in the index, with ids of a hospital here, another, and two authorities."""
    person, at = KEYS.person(number), NOW - timedelta(days=2)
    said = [
        (INFIRMARY, "hospital-number", "H-1", INFIRMARY),
        (CLINIC, "hospital-number", "H-2", CLINIC),
        (NORTH, "la-child-id", "C-1", NORTH),
        (SOUTH, "la-child-id", "S-1", SOUTH),
        (SOUTH, "unique-pupil-number", UPN, SOUTH),
    ]
    known = replace(hidden.known(number), restricted=restricted, postcode="ZZ9 9ZZ")
    async with postgres.transaction(here.pool) as connection:
        await identities.put(connection, [known])
        await person_identifiers.add(
            connection,
            [
                Stated(person, by, Identifier(scheme, value, assigner), uuid.uuid4(), at)
                for by, scheme, value, assigner in said
            ],
        )


async def family(here: World, *siblings: str, authority: str = NORTH) -> None:
    """The authority states the child's siblings; those that it has verified are linked."""
    async with postgres.transaction(here.pool) as connection:
        stated = SiblingList(authority, PERSON, uuid.uuid4(), 1, 1, NOW, siblings)
        await sibling_links.put(connection, [stated])
        await sibling_links.resolve_all(connection)


async def opened(
    here: World,
    caller: Caller = WORKER,
    number: str = CHILD,
    purpose: Purpose = Purpose.CHILD_PROTECTION,
) -> Opened:
    """One look, as the route does it."""
    person = KEYS.person(number)
    opening = Opening(number, caller, purpose, "visit planned", str(uuid.uuid4()))
    async with postgres.scoped(here.asking, caller.organisation, [person]) as connection:
        found = await core_records.record(connection, person, caller.organisation, here.now)
    return core_record.opened(
        opening, person, found, here.desk, now=here.now, access_id=uuid.uuid4()
    )


async def seen(here: World, *args: Any, **more: Any) -> dict[str, Any]:
    """What is shown, without when and under which policy."""
    members = (await opened(here, *args, **more)).members
    return {name: one for name, one in members.items() if name not in ("as_of", "policy")}


def values(members: dict[str, Any], tree: str) -> list[str]:
    """The values of identifiers."""
    return [one["value"] for one in members[tree]]


async def test_an_authority_with_a_plan_sees_the_person_its_own_id_and_the_pupil_number(
    here: World,
) -> None:
    """As PDS has them; other authorities' and hospitals' ids are not its business, nor where."""
    await know(here)
    await here.plans(plan())
    members = await seen(here)
    assert (members["answer"], members["relation"]) == ("record", "flag")
    person = hidden.known(CHILD)
    assert members["name"] == {"family": person.family, "given": list(person.given)}
    assert members["birth_date"] == person.birth_date
    assert members["number_status"]["indicator"] == "S01"
    assert members["restricted"] is False
    assert values(members, "identifiers") == ["C-1"]
    assert values(members, "other_identifiers") == [UPN]
    told = str(members)
    for secret in ("ZZ9 9ZZ", CHILD, PERSON, "H-1", "H-2", "S-1"):
        assert secret not in told


async def test_a_hospital_sees_its_own_number_and_its_clinicians_others(here: World) -> None:
    """Of hospitals whose attendances they may see, while the person is there."""
    await know(here)
    await here.visited(CLINIC, NOW - timedelta(days=40))
    await here.visited(INFIRMARY, NOW - timedelta(days=30))
    for caller in (SYSTEM, NURSE, CLINICIAN):  # not there now
        members = await seen(here, caller, purpose=Purpose.DIRECT_CARE)
        assert (members["relation"], values(members, "identifiers")) == ("visit", ["H-1"])
        assert members["other_identifiers"] == []
    await here.visited(INFIRMARY, NOW - timedelta(hours=3))
    others = [
        values(await seen(here, caller, purpose=Purpose.DIRECT_CARE), "other_identifiers")
        for caller in (SYSTEM, NURSE, CLINICIAN)
    ]
    assert others == [[], ["H-2"], ["H-2"]]


@pytest.mark.parametrize(
    "visit",
    [{"location_shielded": True}, {"provisional": True}, {"birth": True}, {"live": False}],
    ids=lambda one: next(iter(one)),
)
async def test_a_hospital_whose_attendance_is_not_told_is_not_told_by_its_number(
    here: World, visit: dict[str, Any]
) -> None:
    """A number of its patients says that one was there, as the attendance does."""
    await know(here)
    await here.visited(INFIRMARY, NOW - timedelta(hours=3))
    await here.visited(CLINIC, NOW - timedelta(days=3), **visit)
    assert (await seen(here, NURSE))["other_identifiers"] == []
    if "location_shielded" in visit:  # nor beside an attendance there that nobody hides
        await here.visited(CLINIC, NOW - timedelta(days=9))
        assert (await seen(here, NURSE))["other_identifiers"] == []


async def test_who_has_nothing_to_do_with_somebody_learns_nothing(here: World) -> None:
    """Known, restricted, unknown: the same members, whatever is held."""
    await know(here)
    await know(here, OTHER, restricted=True)
    for caller in (WORKER, SYSTEM, NURSE):
        found = [await seen(here, caller, one) for one in (CHILD, OTHER, UNKNOWN)]
        assert found[0] == found[1] == found[2]
        assert found[0] == {"answer": "nothing-held", "purpose": "child-protection"}
    old = NOW - LOOK_BACK - timedelta(days=1)
    await here.visited(INFIRMARY, old)
    await here.visited(INFIRMARY, NOW - timedelta(hours=1), provisional=True)
    assert (await seen(here, SYSTEM))["answer"] == "nothing-held"


async def test_of_a_restricted_person_nothing_tells_a_place(here: World) -> None:
    """To whom they are known: who they are, one's own ids and statements; nobody else's."""
    await know(here, restricted=True)
    await here.plans(plan())
    await here.visited(INFIRMARY, NOW - timedelta(hours=3), restricted=True)
    await here.visited(CLINIC, NOW - timedelta(days=3))
    worker, nurse = await seen(here), await seen(here, NURSE)
    assert worker["restricted"] is nurse["restricted"] is True
    assert (values(worker, "identifiers"), values(nurse, "identifiers")) == (["C-1"], ["H-1"])
    assert not worker["other_identifiers"]
    assert not nurse["other_identifiers"]
    stranger = replace(NURSE, organisation=CLINIC)
    assert (await seen(here, stranger))["relation"] == "visit"


async def test_broken_glass_opens_a_record_but_never_a_restricted_one(here: World) -> None:
    """A clinician in an emergency; their guardian is told at once, and the bus that it was so."""
    await know(here)
    await know(here, OTHER, restricted=True)
    made = await opened(here, CLINICIAN, purpose=Purpose.BREAK_GLASS)
    assert (made.members["answer"], made.members["relation"]) == ("record", "break-glass")
    assert made.notice is not None
    assert made.event is not None
    hidden_one = await seen(here, CLINICIAN, OTHER, Purpose.BREAK_GLASS)
    assert hidden_one == await seen(here, CLINICIAN, UNKNOWN, Purpose.BREAK_GLASS)
    for caller in (WORKER, replace(CLINICIAN, person=False)):
        refused = await opened(here, caller, purpose=Purpose.BREAK_GLASS)
        assert refused.asked.ruling.decision is Decision.DENY
        assert (refused.notice, refused.event) == (None, None)


async def test_siblings_are_shown_to_the_authority_that_states_them_alone(here: World) -> None:
    """Once both are verified by its own records; an id that two people have names neither."""
    await know(here)
    await know(here, OTHER)  # the same ids, of another person: C-1, too
    await here.plans(plan(), plan(OTHER), plan(authority=SOUTH))
    await family(here, "C-9")
    assert (await seen(here))["siblings"] == []
    async with postgres.transaction(here.pool) as connection:
        nine = Identifier("la-child-id", "C-9", NORTH)
        stated = Stated(KEYS.person(OTHER), NORTH, nine, uuid.uuid4(), NOW)
        await person_identifiers.add(connection, [stated])
        await sibling_links.resolve_all(connection)
    assert (await seen(here))["siblings"] == [{"local_id": "C-9"}]
    south = replace(WORKER, organisation=SOUTH)
    assert (await seen(here, south))["siblings"] == []
    await here.visited(INFIRMARY, NOW - timedelta(hours=3))
    assert (await seen(here, NURSE))["siblings"] == []
    async with postgres.transaction(here.pool) as connection:
        await person_identifiers.add(connection, [replace(stated, person=PERSON)])
    assert (await seen(here))["siblings"] == []


async def test_the_face_reads_neither_numbers_nor_postcodes_nor_others_links(here: World) -> None:
    """The second fence: rights of columns, and rows of whom is asked about."""
    await know(here)
    await family(here, "C-9")
    async with postgres.scoped(here.asking, SOUTH, []) as connection:
        for table in ("identities", "person_identifiers", "sibling_links", "own_open_cases"):
            query = f"select person from {table} where person = %(person)s"
            cursor = await connection.execute(query, {"person": PERSON})
            rows = await cursor.fetchall()
            assert len(rows) == (2 if table == "person_identifiers" else 0)  # its own two
    for column in ("nhs_number", "postcode"):
        with pytest.raises(Exception, match="InsufficientPrivilege"):
            async with postgres.scoped(here.asking, SOUTH, [PERSON]) as connection:
                await connection.execute(f"select {column} from identities")


async def test_every_opening_is_on_record_before_it_is_answered(database: Database) -> None:
    """An entry of the audit chain and an access, of what is held as of what is not; by HTTP."""
    async with world(database) as here:
        await know(here)
        await here.plans(plan())
    made = settings(database_url=database.url)
    async with (
        hub(made, connect=False, clock=lambda: NOW) as face,
        httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http,
    ):
        question = {"nhs_number": CHILD, "purpose": "child-protection", "reason": "strategy"}
        found = (await http.post("/people/record", json=question)).json()
        none = (await http.post("/people/record", json={**question, "nhs_number": UNKNOWN})).json()
        assert (found["answer"], none["answer"]) == ("record", "nothing-held")
        assert set(none) == {"answer", "as_of", "purpose", "policy"}
        assert (await http.post("/people/record", json={**question, "reason": ""})).is_client_error
        bad = await http.post("/people/record", json={**question, "nhs_number": "9990000019"})
        assert (bad.status_code, "9990000019" in bad.text) == (422, False)
        async with postgres.transaction(face.pool) as connection:
            cursor = await connection.execute("select person, interface, flagged from accesses")
            looks = {row["person"]: row for row in await cursor.fetchall()}
            cursor = await connection.execute("select body from audit_entries")
            entries = [row["body"] for row in await cursor.fetchall()]
    assert set(looks) == {PERSON, KEYS.person(UNKNOWN)}
    assert {one["flow"] for one in entries} == {"person-record"}
    assert [one["reason"] for one in entries] == ["strategy"] * 2
    assert not [one for one in entries if CHILD in str(one)]


async def test_a_policy_that_denies_is_a_refusal_whoever_it_is(database: Database) -> None:
    """Known or not: 403, on record, with nothing of anybody."""
    policies = changed(Flow.PERSON_RECORD, **DENY)
    async with world(database, policies) as here:
        await know(here)
        await here.plans(plan())
        for number in (CHILD, UNKNOWN):
            made = await opened(here, number=number)
            assert not made.asked.permitted
            assert set(made.members) == {"purpose", "policy"}
            assert made.audit[0].kind == "refusal"
