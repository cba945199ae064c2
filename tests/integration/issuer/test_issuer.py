"""The practice issuer over HTTP: people by code and PKCE, machines by signed assertion."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from sandbox.issuer.keys import SigningKeys
from sandbox.issuer.model import Client, Issuer
from tests.support.issuer import (
    AUDIENCE,
    CHALLENGE,
    VERIFIER,
    assertion_form,
    choose,
    client,
    practice_issuer,
)

CALLBACK = "http://127.0.0.1:4999/callback"
CLIENTS = {
    "cli": Client("cli", redirect_uris=("http://127.0.0.1:1/callback",)),
    "pas": client("pas", organisation="RZ9", roles=("hospital-system",)),
}
NURSE = "p-1002"


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    """The issuer's clock."""
    return Time()


@pytest.fixture
async def issuer(time: Time) -> AsyncIterator[Issuer]:
    """The issuer, answering."""
    async with practice_issuer(CLIENTS, clock=time) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """Something that speaks HTTP and follows nothing by itself."""
    async with httpx.AsyncClient(timeout=5) as http:
        yield http


def asking(**changed: str | None) -> dict[str, str]:
    """A good authorization request; None drops a parameter."""
    good = {
        "response_type": "code",
        "client_id": "cli",
        "redirect_uri": CALLBACK,
        "scope": "openid profile",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


async def code(browser: httpx.AsyncClient, issuer: Issuer, subject: str = NURSE) -> str:
    """A code for somebody."""
    page = await browser.get(f"{issuer.url}/oauth2/authorize", params=asking())
    assert page.status_code == 200
    back = await choose(browser, page, subject)
    assert back.status_code == 302
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert query["state"] == ["s-1"]
    return query["code"][0]


async def redeem(
    browser: httpx.AsyncClient, issuer: Issuer, code: str, **changed: str
) -> httpx.Response:
    """Ask for the tokens of a code."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": "cli",
        "code_verifier": VERIFIER,
        **changed,
    }
    return await browser.post(f"{issuer.url}/oauth2/token", data=form)


async def opened(browser: httpx.AsyncClient, issuer: Issuer, token: str) -> jwt.Token:
    """A token, proven by the published keys."""
    keys = KeySet.import_key_set((await browser.get(f"{issuer.url}/jwks")).json())
    return jwt.decode(token, keys, ["RS512"])


async def test_a_person_gets_tokens_that_say_who_and_where(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """The whole walk: an ID token for the client, an access token for the hub."""
    answer = (await redeem(browser, issuer, await code(browser, issuer))).json()
    proof = await opened(browser, issuer, answer["id_token"])
    assert proof.header["alg"] == "RS512"
    assert (proof.claims["iss"], proof.claims["aud"]) == (issuer.url, "cli")
    assert (proof.claims["nonce"], proof.claims["sub"]) == ("n-1", NURSE)
    access = await opened(browser, issuer, answer["access_token"])
    assert access.header["typ"] == "at+jwt"
    claims = access.claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (issuer.url, AUDIENCE, NURSE)
    assert (claims["organisation"], claims["roles"]) == ("RZ9", ["safeguarding-nurse"])
    assert claims["name"] == "Noor Nurse"
    assert 0 < claims["exp"] - claims["iat"] <= 900
    assert claims["jti"]
    assert answer["expires_in"] == 900


async def test_discovery_says_what_runs(browser: httpx.AsyncClient, issuer: Issuer) -> None:
    """Each endpoint that it names answers; S256 and RS512 are all there is."""
    said = (await browser.get(f"{issuer.url}/.well-known/openid-configuration")).json()
    assert said["issuer"] == issuer.url
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["RS512"]
    assert (await browser.get(said["jwks_uri"])).json()["keys"]
    assert (await browser.get(said["authorization_endpoint"])).status_code == 400
    assert (await browser.post(said["token_endpoint"])).status_code == 400


async def test_the_log_in_page_lists_people_and_runs_no_script(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """Of several organisations; what was asked is shown as text, never as markup."""
    page = await browser.get(
        f"{issuer.url}/oauth2/authorize", params=asking(state='"><script>x</script>')
    )
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for person in issuer.people:
        assert person.name in page.text
    assert len({person.organisation for person in issuer.people}) >= 4


@pytest.mark.parametrize("verifier", ["w" * 43, "", "short"])
async def test_a_wrong_verifier_redeems_nothing_and_spends_the_code(
    browser: httpx.AsyncClient, issuer: Issuer, verifier: str
) -> None:
    """Whoever has stolen a code has one guess at the verifier, and then nobody has the code."""
    stolen = await code(browser, issuer)
    assert (await redeem(browser, issuer, stolen, code_verifier=verifier)).status_code == 400
    again = await redeem(browser, issuer, stolen)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_code_is_good_once_and_for_a_minute(
    browser: httpx.AsyncClient, issuer: Issuer, time: Time
) -> None:
    """A second use, and a late one, get nothing."""
    used = await code(browser, issuer)
    assert (await redeem(browser, issuer, used)).status_code == 200
    assert (await redeem(browser, issuer, used)).json()["error"] == "invalid_grant"
    late = await code(browser, issuer)
    time.now += timedelta(seconds=60)
    assert (await redeem(browser, issuer, late)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "http://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1:4999/callback/../x"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"client_id": None},
    ],
)
async def test_nobody_is_sent_where_no_client_is_registered(
    browser: httpx.AsyncClient, issuer: Issuer, changed: dict[str, str | None]
) -> None:
    """An unknown client or redirect URI is answered here, never by a redirect."""
    page = await browser.get(f"{issuer.url}/oauth2/authorize", params=asking(**changed))
    assert page.status_code in (400, 401)
    assert "location" not in page.headers


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"response_type": "token"},
    ],
)
async def test_without_pkce_by_s256_there_is_no_log_in(
    browser: httpx.AsyncClient, issuer: Issuer, changed: dict[str, str | None]
) -> None:
    """The client is told by redirect, and no page is shown."""
    answer = await browser.get(f"{issuer.url}/oauth2/authorize", params=asking(**changed))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(CALLBACK)
    assert "error=" in answer.headers["location"]
    assert "code=" not in answer.headers["location"].replace("response_code=", "")


async def test_a_code_is_redeemed_by_its_client_at_its_address(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """Another redirect URI, or another client, gets nothing."""
    first = await redeem(browser, issuer, await code(browser, issuer), redirect_uri=CALLBACK + "/x")
    other = await redeem(browser, issuer, await code(browser, issuer), client_id="pas")
    assert (first.status_code, other.status_code) == (400, 400)
    assert "access_token" not in first.text + other.text


async def test_a_person_who_is_not_listed_is_denied(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """The client hears access_denied, with its state."""
    page = await browser.get(f"{issuer.url}/oauth2/authorize", params=asking())
    back = await choose(browser, page, "p-nobody")
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert (query["error"], query["state"]) == (["access_denied"], ["s-1"])


async def test_a_machine_gets_a_token_of_its_organisation(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """Shapes are the platform's: `expires_in` and `issued_at` are texts."""
    answer = await browser.post(f"{issuer.url}/oauth2/token", data=assertion_form(issuer, "pas"))
    said: dict[str, Any] = answer.json()
    assert (said["expires_in"], said["token_type"]) == ("599", "Bearer")
    assert int(said["issued_at"]) == issuer.now() * 1000
    claims = (await opened(browser, issuer, said["access_token"])).claims
    assert (claims["sub"], claims["organisation"]) == ("pas", "RZ9")
    assert claims["roles"] == ["hospital-system"]
    assert "cnf" not in claims


async def test_a_machines_assertion_is_good_once(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """The second time it is a replay, and said to be one."""
    form = assertion_form(issuer, "pas")
    assert (await browser.post(f"{issuer.url}/oauth2/token", data=form)).status_code == 200
    again = await browser.post(f"{issuer.url}/oauth2/token", data=form)
    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_request",
        "error_description": "Non-unique 'jti' claim in client_assertion JWT",
    }


@pytest.mark.parametrize(
    ("changed", "status", "description"),
    [
        ({"seconds": 400}, 400, "more than 5 minutes in future"),
        ({"audience": "https://elsewhere.example"}, 401, "Missing or invalid 'aud' claim"),
    ],
)
async def test_a_wrong_assertion_is_refused_with_its_description(
    browser: httpx.AsyncClient,
    issuer: Issuer,
    changed: dict[str, Any],
    status: int,
    description: str,
) -> None:
    """Over HTTP too (every description: tests/unit/issuer)."""
    form = assertion_form(issuer, "pas", **changed)
    answer = await browser.post(f"{issuer.url}/oauth2/token", data=form)
    assert answer.status_code == status
    assert description in answer.json()["error_description"]


async def test_a_machine_without_an_assertion_gets_nothing(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """Its name alone opens nothing, and a client of people gets no token of its own."""
    for form in (
        {"grant_type": "client_credentials", "client_id": "pas"},
        {"grant_type": "client_credentials", "client_id": "cli"},
        {"grant_type": "password", "client_id": "cli"},
        {"client_id": "cli"},
        {**assertion_form(issuer, "pas"), "client_assertion_type": "jwt"},
    ):
        answer = await browser.post(f"{issuer.url}/oauth2/token", data=form)
        assert answer.status_code == 400
        assert "access_token" not in answer.text


async def test_a_token_is_bound_to_the_certificate_that_was_shown(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    """RFC 8705: `cnf` holds its SHA-256."""
    answer = await browser.post(
        f"{issuer.url}/oauth2/token",
        data=assertion_form(issuer, "pas"),
        headers={"X-Client-Certificate-Sha256": "ab" * 32},
    )
    claims = (await opened(browser, issuer, answer.json()["access_token"])).claims
    expected = base64.urlsafe_b64encode(b"\xab" * 32).decode().rstrip("=")
    assert claims["cnf"] == {"x5t#S256": expected}


async def test_tokens_of_the_key_before_a_rotation_are_still_proven(
    browser: httpx.AsyncClient,
) -> None:
    """Two keys are published; the new one signs."""
    async with practice_issuer(CLIENTS, keys=SigningKeys()) as issuer:
        url = f"{issuer.url}/oauth2/token"
        before = (await browser.post(url, data=assertion_form(issuer, "pas"))).json()
        rotated = (await browser.post(f"{issuer.url}/sandbox/keys")).json()
        after = (await browser.post(url, data=assertion_form(issuer, "pas"))).json()
        first = await opened(browser, issuer, before["access_token"])
        second = await opened(browser, issuer, after["access_token"])
    assert second.header["kid"] == rotated["signs"] != first.header["kid"]
    assert rotated["published"] == [second.header["kid"], first.header["kid"]]
