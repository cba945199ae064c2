"""ETag and If-Match: nobody accepts another alert than the one that was read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from tests.support.alerts import alert, save
from tests.support.face import CLINIC, NORTH, Hub, bearer, hub, settings
from tests.support.services import Database

ALERT = f"/alerts/{uuid.UUID(int=1)}"
BODY = {"by": "Duty desk", "answer": "Known to us."}


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub without a broker: what is accepted waits in the outbox."""
    async with hub(settings(database_url=database.url), connect=False) as running:
        yield running


async def test_an_acceptance_of_what_was_read_before_is_refused(face: Hub) -> None:
    """412 with the version that stands there; with its tag it goes through."""
    await save(face.pool, alert(1))
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
        read = await http.get(ALERT)
        assert (read.status_code, read.headers["etag"]) == (200, 'W/"1"')
        await save(face.pool, replace(alert(1), version=2))
        late = await http.post(f"{ALERT}/accept", json=BODY, headers={"If-Match": 'W/"1"'})
        assert (late.status_code, late.json()["version"]) == (412, 2)
        assert late.headers["content-type"] == "application/problem+json"
        again = (await http.get(ALERT)).headers["etag"]
        done = await http.post(f"{ALERT}/accept", json=BODY, headers={"If-Match": again})
        assert (done.status_code, done.headers["etag"]) == (200, 'W/"3"')


async def test_one_alert_is_shown_as_in_the_list_and_to_nobody_else(face: Hub) -> None:
    """The same members; to another organisation, and for a restricted child, it is not there."""
    await save(face.pool, alert(1), alert(2, restricted=True))
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
        (listed,) = (await http.get("/alerts")).json()["alerts"]
        assert (await http.get(ALERT)).json() == listed
        assert (await http.get(f"/alerts/{uuid.UUID(int=2)}")).status_code == 404
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(CLINIC)) as http:
        assert (await http.get(ALERT)).status_code == 404
