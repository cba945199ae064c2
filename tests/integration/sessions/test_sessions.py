"""A session while it lasts: what a change needs, when it ends, and who cannot have it."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.integration.sessions.conftest import NURSE, WORKER, Browser, Rig, Start
from tests.support.face import NORTH, bearer
from tests.support.services import Database

LOGOUT = "/session/logout"


@pytest.fixture
async def browser(rig: Rig) -> Browser:
    """A social worker's browser, logged in."""
    made = await rig.browser()
    assert (await made.log_in(WORKER)).status_code == 303
    return made


def count(database: Database) -> int:
    """How many sessions there are."""
    with psycopg.connect(database.admin_url) as connection:
        (found,) = connection.execute("select count(*) from halyard.sessions").fetchone() or (0,)
        return int(found)


async def test_a_change_needs_the_sessions_token_and_the_hubs_origin(
    rig: Rig, browser: Browser
) -> None:
    """Missing, another session's, or from another site: refused, and the session goes on."""
    good = await browser.headers()
    other = await rig.browser()
    await other.log_in(NURSE)
    theirs = (await other.session())["csrf_token"]
    for wrong in (
        {},
        {"origin": good["origin"]},
        {"x_csrf_token": good["x_csrf_token"]},
        {**good, "x_csrf_token": ""},
        {**good, "x_csrf_token": theirs},
        {**good, "x_csrf_token": good["x_csrf_token"][:-1]},
        {**good, "origin": "https://evil.example"},
        {**good, "origin": good["origin"] + "0"},
        {**good, "origin": "null"},
        {**good, "origin": good["origin"].replace("http:", "https:")},
    ):
        answer = await browser.post(LOGOUT, **wrong)
        assert (answer.status_code, answer.json()["rule"]) == (403, "session.csrf")
    assert (await browser.post(LOGOUT, **good)).status_code == 204


async def test_a_bearer_token_needs_neither_and_goes_before_a_cookie(
    rig: Rig, browser: Browser
) -> None:
    """A system has no page; and a request that shows a token is that token's, whatever else."""
    answer = await browser.http.post(rig.url + "/flags/query", headers=bearer(NORTH), json={})
    assert answer.status_code == 422
    me = await browser.http.get(rig.url + "/me", headers=bearer(NORTH))
    assert me.json()["credential"] == "practice-token"
    wrong = await browser.http.get(rig.url + "/me", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401


async def test_logging_out_ends_the_session_everywhere(
    rig: Rig, browser: Browser, database: Database
) -> None:
    """The row is gone: a copy of the cookie opens nothing."""
    value = browser.cookies["halyard"]
    done = await browser.post(LOGOUT, **await browser.headers())
    assert "halyard" not in browser.cookies
    assert done.status_code == 204
    assert count(database) == 0
    copy = await rig.browser()
    copy.http.cookies.set("halyard", value)
    answer = await copy.get("/session")
    assert (answer.status_code, answer.json()["rule"]) == (401, "session.over")


async def test_a_session_that_is_not_used_ends(rig: Rig, browser: Browser) -> None:
    """After half an hour; what is used goes on."""
    for _ in range(3):
        rig.time.now += timedelta(minutes=29)
        assert (await browser.get("/session")).status_code == 200
    rig.time.now += timedelta(minutes=30)
    assert (await browser.get("/session")).status_code == 401


async def test_a_session_ends_after_a_shift_however_it_is_used(rig: Rig, browser: Browser) -> None:
    """Twelve hours after the log-in, and not before."""
    for _ in range(28):
        rig.time.now += timedelta(minutes=25)
        assert (await browser.get("/session")).status_code == 200
    rig.time.now += timedelta(minutes=20)  # twelve hours
    assert (await browser.get("/session")).status_code == 401


async def test_a_value_that_was_planted_becomes_nobodys_session(rig: Rig) -> None:
    """A log-in takes a new value, and ends what the browser had before (session fixation)."""
    attacker, victim = await rig.browser(), await rig.browser()
    await attacker.log_in(NURSE)
    planted = attacker.cookies["halyard"]
    victim.http.cookies.set("halyard", planted, domain="127.0.0.1")
    await victim.log_in(WORKER)
    assert victim.cookies["halyard"] != planted
    assert (await victim.session())["subject"] == "user:p-1"
    assert (await attacker.get("/session")).status_code == 401


async def test_a_cookie_that_means_nothing_opens_nothing(rig: Rig, browser: Browser) -> None:
    """Nor does one that stands twice: somebody else has put one there."""
    stranger, own = await rig.browser(), browser.cookies["halyard"]
    for shown in ("halyard=", "halyard=x", "other=1; halyard", f"halyard={own}; halyard={own}"):
        answer = await stranger.http.get(rig.url + "/session", headers={"Cookie": shown})
        assert answer.status_code == 401


async def test_somebody_has_only_so_many_sessions(start: Start, database: Database) -> None:
    """The oldest end: nobody fills the table."""
    rig: Rig = await start(most_per_person=2)
    browsers = [await rig.browser() for _ in range(3)]
    for one in browsers:
        rig.time.now += timedelta(seconds=1)
        await one.log_in(WORKER)
    assert [(await one.get("/session")).status_code for one in browsers] == [401, 200, 200]
    assert count(database) == 2


async def test_sessions_that_are_over_are_taken_away(
    rig: Rig, browser: Browser, database: Database
) -> None:
    """By the next log-in of the organisation."""
    rig.time.now += timedelta(hours=1)
    await (await rig.browser()).log_in(WORKER)
    assert count(database) == 1


async def test_while_the_database_is_away_nobody_is_let_in_by_a_cookie(start: Start) -> None:
    """503, which is not a refusal: the browser keeps its cookie and tries again."""
    rig: Rig = await start(database_url="postgresql://nobody@127.0.0.1:1/none")
    rig.pool.timeout = 0.2
    browser = await rig.browser()
    browser.http.cookies.set("halyard", "a" * 43)
    answer = await browser.get("/session")
    assert (answer.status_code, answer.json()["rule"]) == (503, "session.unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_the_face_sees_no_other_session(rig: Rig, browser: Browser) -> None:
    """Row-level security: without naming a session, or an organisation, there is none to see."""
    async with rig.pool.connection() as connection:
        found = await (await connection.execute("select count(*) as n from sessions")).fetchone()
    assert found == {"n": 0}
