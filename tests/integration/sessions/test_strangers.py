"""Whoever comes may show a made-up cookie or begin a log-in: what that may cost the others."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import Any

import httpx
import psycopg
import pytest

from flag_service.log_in import LogIn, Secrets
from flag_service.sessions import _base64
from flag_service.strangers import MAX_LOOK_UPS, Strangers
from halyard import http_edge
from halyard.problems import HttpProblem
from stores import sessions as store
from tests.integration.sessions.conftest import WORKER, Rig, Start
from tests.support.face import NORTH, bearer
from tests.support.services import Database
from tests.support.waiting import aeventually


def yes() -> bool:
    """Its address has failed too often."""
    return True


def no() -> bool:
    """It has not."""
    return False


FEW = {"failures_per_second": 0.01, "failures_burst": 3}


def made_up() -> dict[str, str]:
    """The header of a cookie that nobody has given out."""
    return {"Cookie": f"halyard={secrets.token_urlsafe(32)}"}


async def test_an_address_that_failed_too_often_has_no_more_cookies_looked_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its made-up cookies cost the database nothing; a session that is known, and tokens, go on."""
    looked: Counter[str] = Counter()
    seen = store.seen

    async def counting(connection: Any, session_hash: str, **more: Any) -> Any:
        looked[session_hash] += 1
        return await seen(connection, session_hash, **more)

    monkeypatch.setattr(store, "seen", counting)
    rig: Rig = await start(access=FEW)
    browser = await rig.browser()
    assert (await browser.log_in(WORKER)).status_code == 303
    looked.clear()
    async with httpx.AsyncClient(base_url=rig.url) as http:
        got = await asyncio.gather(*(http.get("/session", headers=made_up()) for _ in range(30)))
        assert Counter(one.status_code for one in got) == {401: 3, 429: 27}
        assert (
            len(looked) <= 3 + MAX_LOOK_UPS
        )  # with those whose turn it was as the last one failed
        assert (await browser.get("/session")).status_code == 200
        assert (await http.get("/me", headers=bearer(NORTH))).status_code == 200


async def test_made_up_cookies_hold_neither_the_pool_nor_a_place(
    start: Start, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their table is locked: they wait, and end; a system's request is answered meanwhile."""
    monkeypatch.setattr(http_edge, "AUTHENTICATE_SECONDS", 1.5)
    rig: Rig = await start(access={"max_concurrent_requests": 1})
    async with httpx.AsyncClient(base_url=rig.url, timeout=20) as http:
        with psycopg.connect(database.admin_url) as lock:
            lock.execute("lock table halyard.sessions in access exclusive mode")
            strangers = [
                asyncio.create_task(http.get("/alerts", headers=made_up())) for _ in range(20)
            ]

            async def held() -> bool:
                row = lock.execute(
                    "select count(*) from pg_locks where relation = 'halyard.sessions'::regclass "
                    "and not granted"
                ).fetchone()
                return row == (MAX_LOOK_UPS,)

            await aeventually(held, 5)
            answer = await http.get("/alerts", headers=bearer(NORTH))
            assert answer.status_code == 200
            assert not any(one.done() for one in strangers)
            answers = await asyncio.gather(*strangers)
        assert {one.status_code for one in answers} == {503}


async def test_a_flood_of_callbacks_reaches_the_issuer_no_more_often_than_one_may_fail(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State and cookie can be made by anybody, and each one that fits is a call to the issuer."""
    redeemed = []
    redeem = LogIn.redeem

    async def counting(self: LogIn, code: str, bound: Any) -> Any:
        redeemed.append(code)
        return await redeem(self, code, bound)

    monkeypatch.setattr(LogIn, "redeem", counting)
    rig: Rig = await start(access=FEW)
    value = "A" * 43
    state = Secrets(value).of("state", "/session")
    cookie = {"Cookie": f"halyard-log-in={value}.{_base64('/session')}"}
    async with httpx.AsyncClient(base_url=rig.url) as http:
        asked = {"state": state, "code": "x"}
        got = [
            (await http.get("/session/callback", params=asked, headers=cookie)).status_code
            for _ in range(8)
        ]
        assert got == [401] * 3 + [429] * 5
        assert len(redeemed) == 3
        assert (await http.get("/session/login")).status_code == 429
        assert (await http.get("/livez")).status_code == 200


async def test_a_stranger_waits_and_who_is_known_does_not() -> None:
    """One turn at a time for all strangers; a digest that was good passes, until it is not."""
    strangers = Strangers(at_a_time=1, remembered=2)
    strangers.note("known", good=True)
    async with strangers.turn("a", suspect=no):
        async with strangers.turn("known", suspect=yes):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), strangers.turn("b", suspect=no):
                pass
    strangers.note("known", good=False)
    with pytest.raises(HttpProblem) as refused:
        async with strangers.turn("known", suspect=yes):
            pass
    assert (refused.value.status_code, refused.value.rule) == (429, "http.too_many")


async def test_only_so_many_are_remembered() -> None:
    """The one that was good longest ago is a stranger again."""
    strangers = Strangers(remembered=2)
    for digest in ("a", "b", "a", "c"):
        strangers.note(digest, good=True)
    async with strangers.turn("a", suspect=yes):
        pass
    with pytest.raises(HttpProblem):
        async with strangers.turn("b", suspect=yes):
            pass
