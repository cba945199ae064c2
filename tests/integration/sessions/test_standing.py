"""What a session's standing means elsewhere: live lists, the directory, links, the audit chain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from flag_service.door import make_door
from flag_service.sessions import make_sessions
from halyard.caller import Attempt
from halyard.issuer import make_issuer
from halyard.problems import HttpProblem
from stores.credentials import RoleMap
from stores.directory import Directory
from tests.integration.sessions.conftest import NURSE, WORKER, Browser, Rig
from tests.support.face import INFIRMARY, NORTH, directory
from tests.support.services import Database

LOOK_UPS = (
    ("/cpis/FHIR/R4/CareTeam", "patient:identifier"),
    ("/cpis/FHIR/R4/AuditEvent", "patient:identifier"),
    ("/patient-flags/FHIR/R4/PatientFlag", "patient"),
)


async def logged_in(rig: Rig, person: Any = WORKER) -> Browser:
    """Somebody's browser."""
    browser = await rig.browser()
    assert (await browser.log_in(person)).status_code == 303
    return browser


@contextlib.asynccontextmanager
async def watching(rig: Rig, browser: Browser) -> AsyncIterator[AsyncIterator[bytes]]:
    """A live list that is open."""
    async with browser.http.stream("GET", f"{rig.url}/alerts/stream") as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_bytes()
        await anext(pieces)
        yield pieces


async def ended(pieces: AsyncIterator[bytes]) -> None:
    """Until the hub ends it; fails if it goes on."""
    async with asyncio.timeout(5):
        async for _ in pieces:
            pass


async def heard(pieces: AsyncIterator[bytes]) -> None:
    """Until the hub says twice that there is nothing new: it has looked again since."""
    async with asyncio.timeout(5):
        for _ in range(2):
            await anext(pieces)


def rows(database: Database, query: str) -> list[Any]:
    """What stands in the database."""
    with psycopg.connect(database.admin_url) as connection:
        return list(connection.execute(query).fetchall())


async def test_a_live_list_ends_with_its_session(rig: Rig) -> None:
    """Within the minute after a log-out, wherever that was; and it cannot be opened again."""
    browser = await logged_in(rig)
    async with watching(rig, browser) as pieces:
        await heard(pieces)
        gone = dict(browser.cookies)
        assert (await browser.post("/session/logout", **await browser.headers())).status_code == 204
        await ended(pieces)
    again = await browser.http.get(
        f"{rig.url}/alerts/stream", headers={"Cookie": f"halyard={gone['halyard']}"}
    )
    assert again.status_code == 401


async def test_a_live_list_ends_after_a_shift(rig: Rig) -> None:
    """Twelve hours after the log-in, with the session."""
    browser = await logged_in(rig)
    async with watching(rig, browser) as pieces:
        rig.time.now += timedelta(hours=12)
        await ended(pieces)


async def test_an_open_list_is_use_of_its_session(rig: Rig) -> None:
    """Who only watches is not logged out in the middle of a shift, and can still accept."""
    browser = await logged_in(rig)
    async with watching(rig, browser) as pieces:
        for _ in range(3):
            rig.time.now += timedelta(minutes=29)
            await heard(pieces)
    assert (await browser.get("/session")).status_code == 200


async def elsewhere(rig: Rig, known: Directory, browser: Browser) -> Any:
    """Who the browser is at a hub of the same database with another directory."""
    issuer = make_issuer(rig.settings)
    sessions = make_sessions(rig.settings, known, rig.pool, rig.time, issuer)
    assert sessions is not None
    door = make_door(
        rig.settings, known, rig.pool, rig.time, sessions=sessions.authenticate, issuer=issuer
    )
    return await door(Attempt("GET", "/me", cookie=f"halyard={browser.cookies['halyard']}"))


async def test_a_session_has_what_the_directory_still_gives(rig: Rig) -> None:
    """A role that is not mapped any more, or an organisation that is gone, opens nothing."""
    browser = await logged_in(rig)
    mapped = (RoleMap(claim="social-worker", role="social-worker"),)
    known = replace(directory(), role_maps=mapped)
    assert (await elsewhere(rig, known, browser)).roles == {"social-worker"}
    others = (
        replace(known, role_maps=()),
        replace(known, role_maps=(replace_role(mapped[0], role="auditor"),)),
        replace(known, role_maps=(replace_role(mapped[0], organisations=(INFIRMARY,)),)),
        replace(known, authorities={}),
    )
    for other in others:
        with pytest.raises(HttpProblem) as over:
            await elsewhere(rig, other, browser)
        assert (over.value.status_code, over.value.rule) == (401, "session.over")


def replace_role(one: RoleMap, **changed: Any) -> RoleMap:
    """A role map, changed."""
    return one.model_copy(update=changed)


@pytest.mark.parametrize(("path", "name"), LOOK_UPS)
async def test_a_link_of_another_site_looks_nobody_up(
    rig: Rig, database: Database, path: str, name: str
) -> None:
    """A nurse who follows it has looked at no child, and no authority is told that she did."""
    browser = await logged_in(rig, NURSE)
    answer = await browser.http.get(
        rig.url + path,
        params={name: "https://fhir.nhs.uk/Id/nhs-number|9990000018", "code": "x"},
        headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    )
    assert answer.status_code == 403
    assert "9990000018" not in answer.text
    assert rows(database, "select from halyard.accesses") == []
    assert rows(database, "select from halyard.outbox") == []
    posted = await browser.http.post(
        f"{rig.url}{path}/_search", data={name: "x"}, headers={"Origin": "https://evil.example"}
    )
    assert posted.status_code == 403
    assert rows(database, "select from halyard.accesses") == []


async def test_log_ins_and_log_outs_stand_in_the_chain(rig: Rig, database: Database) -> None:
    """Of the person's organisation: who, in which roles; a log-out of nobody is nothing."""
    browser = await logged_in(rig)
    await browser.post("/session/logout", **await browser.headers())
    found = rows(
        database,
        "select body from halyard.audit_entries where body->>'kind' = 'administration' "
        "order by recorded_at, body->>'rule' desc",
    )
    assert [body["rule"] for (body,) in found] == ["session.started", "session.ended"]
    for (body,) in found:
        said = body["chain"], body["actor"], body["actor_name"], body["role"]
        assert said == (NORTH, "user:p-1", "Sam Social", "social-worker")
        assert len(body["token_id"]) == 32
        assert body["request_id"]
    async with httpx.AsyncClient() as nobody:
        answer = await nobody.post(f"{rig.url}/session/logout")
        assert answer.status_code == 401
