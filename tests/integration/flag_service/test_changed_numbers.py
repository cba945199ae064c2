"""Look-ups under a number that PDS superseded or invalidated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from halyard.postgres import transaction
from stores import identities, number_changes
from tests.integration.flag_service.test_flags import (
    NOW,
    NUMBER,
    OTHER,
    asked,
    file_came,
    plan_is_held,
)
from tests.support import hidden
from tests.support.face import INFIRMARY, KEYS, NORTH, SOUTH, Hub, bearer, hub, settings
from tests.support.services import Database

OLD = "9990000034"


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database at a fixed time; no broker is needed to answer."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False, clock=lambda: NOW) as running:
        yield running


async def look(face: Hub, number: str) -> httpx.Response:
    """A hospital asks."""
    async with httpx.AsyncClient(base_url=face.url) as client:
        return await client.post("/flags/query", json=asked(number), headers=bearer(INFIRMARY))


async def test_a_superseded_number_is_answered_with_the_successors_flags(face: Hub) -> None:
    """Never "none held" because a hospital has the old number; the access is on the child's
    record, and the new number is not told."""
    await file_came(face)
    await plan_is_held(face)
    async with transaction(face.pool) as connection:
        await number_changes.supersede(connection, KEYS.person(OLD), KEYS.person(NUMBER), NOW)
    answer = await look(face, OLD)
    assert answer.status_code == 200
    assert answer.json()["answer"] == "flagged"
    assert NUMBER not in answer.text
    async with transaction(face.pool) as connection:
        row = await (await connection.execute("select person from accesses")).fetchone()
    assert row is not None
    assert row["person"] == KEYS.person(NUMBER)
    assert (await look(face, OTHER)).json()["answer"] == "none-held"


async def test_an_invalidated_number_could_not_be_checked(face: Hub) -> None:
    """It is never said that nothing is held of whoever it was."""
    await file_came(face)
    async with transaction(face.pool) as connection:
        await number_changes.invalidate(connection, KEYS.person(OLD), NOW)
    answer = await look(face, OLD)
    assert answer.status_code == 503
    assert answer.json()["answer"] == "could-not-be-checked"
    assert answer.json()["reason"] == "number-not-current"
    assert "asking again does not help" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers


async def test_a_record_is_opened_under_the_superseded_number_as_under_the_new(face: Hub) -> None:
    """The same answer but for its time, on the child's own record; of somebody unknown, and of who
    asks about a stranger, the answer is the one of nobody.
    """
    known = replace(hidden.known(NUMBER), verified_at=NOW)
    async with transaction(face.pool) as connection:
        await identities.put(connection, [known])
        await number_changes.supersede(connection, KEYS.person(OLD), KEYS.person(NUMBER), NOW)
    await plan_is_held(face)

    async def opened(number: str, who: str = NORTH) -> httpx.Response:
        body = {"nhs_number": number, "purpose": "child-protection", "reason": "visit planned"}
        async with httpx.AsyncClient(base_url=face.url) as client:
            return await client.post("/people/record", json=body, headers=bearer(who))

    old, new = await opened(OLD), await opened(NUMBER)
    assert old.status_code == 200
    assert old.json() == new.json()
    assert (old.json()["answer"], old.json()["relation"]) == ("record", "flag")
    assert NUMBER not in old.text
    async with transaction(face.pool) as connection:
        rows = await (await connection.execute("select person from accesses")).fetchall()
    assert [row["person"] for row in rows] == [KEYS.person(NUMBER)] * 2
    nobody = (await opened(OTHER)).json()
    assert nobody["answer"] == "nothing-held"
    assert (await opened(OLD, SOUTH)).json() == nobody
