"""People log in with a browser: code and PKCE over real HTTP, and everything that must not pass."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import psycopg
import pytest

from tests.integration.sessions.conftest import NOBODY, NURSE, STRANGER, WORKER, Rig, Start
from tests.support.face import NORTH, bearer, hub, settings
from tests.support.issuer import fields_of
from tests.support.services import Database


def changed(url: str, **parameters: str) -> str:
    """`url` with other parameters."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | parameters
    return parts._replace(query=urlencode(query)).geturl()


def rows(database: Database) -> list[str]:
    """Every session as text."""
    with psycopg.connect(database.admin_url) as connection:
        return [str(row) for row in connection.execute("select s::text from halyard.sessions s")]


async def test_whoever_logs_in_is_known_by_organisation_and_role(
    rig: Rig, database: Database
) -> None:
    """The whole walk. The cookie opens the API's routes; the row holds no cookie and no token."""
    browser = await rig.browser()
    done = await browser.log_in(WORKER)
    assert (done.status_code, done.headers["location"]) == (303, "/session")
    said = await browser.session()
    assert (said["organisation"], said["roles"]) == (WORKER.organisation, ["social-worker"])
    assert (said["name"], said["credential"]) == ("Sam Social", "session")
    me = (await browser.get("/me")).json()
    assert (me["person"], me["subject"]) == (True, "user:p-1")
    assert (await browser.get("/alerts")).status_code == 200
    assert (await browser.get("/uploads/00000000-0000-4000-8000-000000000000")).status_code == 404
    (row,) = rows(database)
    value = browser.cookies["halyard"]
    assert value not in row
    assert hashlib.sha256(value.encode()).hexdigest() in row
    assert "eyJ" not in row


async def test_a_role_opens_its_own_routes_alone(rig: Rig) -> None:
    """A hospital's nurse accepts no alert; nobody comes in without logging in."""
    browser = await rig.browser()
    assert (await browser.get("/session")).status_code == 401
    await browser.log_in(NURSE)
    refused = await browser.post(
        "/alerts/00000000-0000-4000-8000-000000000000/accept", **await browser.headers()
    )
    assert (refused.status_code, refused.json()["rule"]) == (403, "access.role_not_allowed")


@pytest.mark.parametrize("secure", [True, False])
async def test_cookies_are_the_hosts_own_where_there_is_tls(start: Start, secure: bool) -> None:
    """HttpOnly and Lax always; over TLS Secure and `__Host-`, so that no other host can set one."""
    rig = await start(**({"public_url": "https://hub.example"} if secure else {}))
    sent = await (await rig.browser()).begin()
    (cookie,) = sent.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert ("secure" in flags) is secure
    assert name == ("__Host-halyard-log-in" if secure else "halyard-log-in")
    assert not any(flag.startswith("domain") for flag in flags)


async def test_a_log_in_that_another_browser_began_is_refused(rig: Rig, database: Database) -> None:
    """Nobody can be logged in as somebody else by a link: the code is bound to a browser."""
    attacker, victim = await rig.browser(), await rig.browser()
    link = await attacker.choose(await attacker.begin(), WORKER)
    for one in (victim, attacker):
        if one is victim:
            answer = await one.http.get(link)
            assert (answer.status_code, answer.json()["rule"]) == (400, "session.not_begun")
            await one.begin()  # a log-in of its own under way helps nothing
        answer = await victim.http.get(link)
        assert (answer.status_code, answer.json()["rule"]) == (400, "session.not_begun")
    assert rows(database) == []


async def test_a_wrong_state_is_refused(rig: Rig) -> None:
    """Whatever stands there."""
    browser = await rig.browser()
    back = await browser.choose(await browser.begin(), WORKER)
    for state in ("", "x", "A" * 43, "é"):
        answer = await browser.http.get(changed(back, state=state))
        assert (answer.status_code, answer.json()["rule"]) == (400, "session.not_begun")


async def test_an_id_token_of_another_log_in_is_refused(rig: Rig, database: Database) -> None:
    """Its nonce is not this browser's."""
    browser = await rig.browser()
    sent = await browser.begin()
    page = await browser.http.get(changed(sent.headers["location"], nonce="another"))
    fields = {**parse_one(page), "person": WORKER.subject}
    back = await browser.http.post(f"{rig.issuer.url}/oauth2/authorize", data=fields)
    answer = await browser.http.get(back.headers["location"])
    assert (answer.status_code, answer.json()["rule"]) == (401, "session.refused")
    assert rows(database) == []


async def test_a_code_of_another_challenge_is_refused(rig: Rig) -> None:
    """A code that was stolen from another log-in cannot be put into this one (PKCE)."""
    thief, owner = await rig.browser(), await rig.browser()
    stolen = await owner.choose(await owner.begin(), WORKER)
    own = await thief.choose(await thief.begin(), NURSE)
    code = parse_qs(urlsplit(stolen).query)["code"][0]
    answer = await thief.http.get(changed(own, code=code))
    assert (answer.status_code, answer.json()["rule"]) == (401, "session.refused")


async def test_a_callback_is_good_once(rig: Rig, database: Database) -> None:
    """Going back in the browser's history logs nobody in again."""
    browser = await rig.browser()
    back = await browser.choose(await browser.begin(), WORKER)
    cookies = browser.cookies
    assert (await browser.http.get(back)).status_code == 303
    assert "halyard-log-in" not in browser.cookies
    assert (await browser.http.get(back)).status_code == 400
    again = await rig.browser()
    again.http.cookies.set("halyard-log-in", cookies["halyard-log-in"])
    answer = await again.http.get(back)
    assert (answer.status_code, answer.json()["rule"]) == (401, "session.refused")
    assert len(rows(database)) == 1


async def test_a_redirect_uri_that_is_not_registered_gets_no_code(rig: Rig) -> None:
    """The issuer shows no page for it."""
    sent = await (await rig.browser()).begin()
    async with httpx.AsyncClient() as http:
        page = await http.get(
            changed(sent.headers["location"], redirect_uri="https://evil.example/callback")
        )
    assert page.status_code == 400
    assert "location" not in page.headers


async def test_nobody_is_sent_elsewhere_after_a_log_in(rig: Rig) -> None:
    """Only to a path of the hub's own (every shape: tests/unit/flag_service/test_log_in.py)."""
    browser = await rig.browser()
    for place in ("https://evil.example/", "//evil.example/", "/\\evil.example", "/a\r\nX: 1"):
        done = await browser.log_in(WORKER, place)
        assert (done.status_code, done.headers["location"]) == (303, "/session")


async def test_a_log_in_goes_back_to_where_it_was_asked_for(rig: Rig) -> None:
    """A path of ours is kept through the walk."""
    done = await (await rig.browser()).log_in(WORKER, "/console/alerts")
    assert done.headers["location"] == "/console/alerts"


async def test_the_place_to_go_to_is_bound_to_the_log_in(rig: Rig) -> None:
    """A cookie that was changed on the way does not fit the state."""
    browser = await rig.browser()
    back = await browser.choose(await browser.begin("/console/alerts"), WORKER)
    value = browser.cookies["halyard-log-in"].partition(".")[0]
    browser.http.cookies.clear()
    browser.http.cookies.set("halyard-log-in", f"{value}.L3Nlc3Npb24")  # /session
    assert (await browser.http.get(back)).status_code == 400


async def test_somebody_without_a_role_or_a_known_organisation_gets_no_session(
    rig: Rig, database: Database
) -> None:
    """The issuer's word alone is not enough: the directory maps it."""
    for person, status in ((NOBODY, 403), (STRANGER, 401)):
        answer = await (await rig.browser()).log_in(person)
        assert answer.status_code == status
        assert "set-cookie" not in answer.headers
    assert rows(database) == []


async def test_a_person_who_is_denied_is_not_logged_in(rig: Rig) -> None:
    """The issuer's error comes back with the state and no code."""
    browser = await rig.browser()
    back = await browser.choose(await browser.begin(), WORKER)
    answer = await browser.http.get(changed(back, error="access_denied"))
    assert (answer.status_code, answer.json()["rule"]) == (401, "session.declined")


async def test_while_the_issuer_is_away_it_says_so(start: Start) -> None:
    """503 with what to do; nothing is begun."""
    rig = await start()
    rig.issuer.url = "http://127.0.0.1:1"  # its discovery document is another issuer's now
    answer = await (await rig.browser()).begin()
    assert (answer.status_code, answer.json()["rule"]) == (503, "session.issuer_away")
    assert "set-cookie" not in answer.headers


async def test_a_hub_without_sessions_says_that_nobody_can_log_in(database: Database) -> None:
    """404 on the way in; tokens are not affected."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False) as face, httpx.AsyncClient() as http:
        answer = await http.get(f"{face.url}/session/login")
        assert (answer.status_code, answer.json()["rule"]) == (404, "session.not_configured")
        assert (await http.get(f"{face.url}/me", headers=bearer(NORTH))).status_code == 200


def parse_one(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of the log-in page."""
    return fields_of(page.text)
