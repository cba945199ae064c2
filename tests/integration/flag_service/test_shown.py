"""Lists under sharing policies: masked as they are read, and recorded once a page."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import orjson

from policies.model import Policies
from policies.ruling import Flow
from tests.support.alerts import NUMBER, alert, save
from tests.support.disclosing import DENY, changed, entries
from tests.support.face import INFIRMARY, NORTH, Hub, bearer, hub, settings
from tests.support.services import Database

NEEDED = [
    "schema",
    "alert_id",
    "version",
    "change",
    "restricted",
    "provisional",
    "state",
    "changed_at",
]


async def seen(face: Hub, path: str = "/alerts", organisation: str = NORTH) -> httpx.Response:
    """What somebody reads."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(organisation)) as http:
        return await http.get(path)


def face_of(database: Database, policies: Policies | None = None) -> Any:
    """A face with a database; no list needs the bus."""
    return hub(settings(database_url=database.url), connect=False, policies=policies)


async def test_a_page_is_one_entry_with_the_ids_of_what_it_showed(database: Database) -> None:
    """Not one for each alert; an empty page tells nothing, and is none."""
    async with face_of(database) as face:
        await seen(face)
        assert await entries(face.pool) == []
        await save(face.pool, alert(1), alert(2))
        assert len((await seen(face)).json()["alerts"]) == 2
        (entry,) = await entries(face.pool)
        assert (entry["chain"], entry["flow"], entry["decision"]) == (NORTH, "alert", "permit")
        assert entry["detail"]["alerts"].split() == [str(uuid.UUID(int=one)) for one in (1, 2)]
        assert "visit.reason" in entry["fields"]
        assert NUMBER not in orjson.dumps(entry).decode()
        await seen(face, f"/alerts/{uuid.UUID(int=1)}", INFIRMARY)
        one = (await entries(face.pool))[-1]
        assert (one["chain"], one["subject"]) == (INFIRMARY, f"alert:{uuid.UUID(int=1)}")


async def test_a_list_shows_what_the_policy_in_force_permits(database: Database) -> None:
    """Of the same alert, each reader sees the fields of its own sector."""
    narrow = {
        "recipients": [
            {"sector": "social-care", "fields": [*NEEDED, "visit.reason"]},
            {"sector": "health", "fields": NEEDED},
        ]
    }
    async with face_of(database, changed(Flow.ALERT, **narrow)) as face:
        await save(face.pool, alert(1))
        (own,) = (await seen(face)).json()["alerts"]
        (theirs,) = (await seen(face, organisation=INFIRMARY)).json()["alerts"]
        assert (own["visit"]["reason"], own["visit"]["department"]) == ("Fall", None)
        assert (theirs["visit"]["reason"], theirs["state"]) == (None, "raised")


async def test_a_denied_alert_stays_in_the_list_as_withheld(database: Database) -> None:
    """Nobody takes its absence for a child who is safe; what was denied is recorded."""
    async with face_of(database, changed(Flow.ALERT, **DENY)) as face:
        await save(face.pool, alert(1))
        (shown,) = (await seen(face)).json()["alerts"]
        assert (shown["state"], shown["withheld_by"]) == ("withheld", "policy")
        assert "visit" not in shown
        (entry,) = await entries(face.pool)
        assert (entry["decision"], entry["rule"]) == ("deny", "not-now")


async def test_the_live_list_is_masked_and_recorded_as_the_other(database: Database) -> None:
    """An event tells what the list would, and a page of events is one entry."""
    narrow = {"recipients": [{"sector": "social-care", "fields": NEEDED}]}
    async with face_of(database, changed(Flow.ALERT, **narrow)) as face:
        await save(face.pool, alert(1), alert(2))
        async with (
            asyncio.timeout(10),
            httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH), timeout=10) as http,
            http.stream("GET", "/alerts/stream") as response,
        ):
            found: list[dict[str, Any]] = []
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    found.append(orjson.loads(line[6:]))
                if len(found) == 2:
                    break
        assert [one["visit"]["reason"] for one in found] == [None, None]
        (entry,) = await entries(face.pool)
        assert entry["detail"]["interface"] == "stream"
        assert entry["detail"]["count"] == "2"
