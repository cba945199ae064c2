"""Access tokens by a signed JWT: as the platform asks for it, once for all, and never shown."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr, ValidationError

from connectors.pds.outcomes import TokenRefused, Unavailable
from connectors.pds.tokens import (
    ASSERTION_SECONDS,
    Application,
    Bearer,
    Tokens,
    load_signing_key,
    read_answer,
)
from halyard.errors import ConfigurationError
from halyard.settings import PdsSettings, SecuritySettings, Settings
from tests.support.waiting import aeventually

URL = "https://pds.test/oauth2/token"
API_KEY = "canary-api-key"  # pragma: allowlist secret
KEY = RSAKey.generate_key(2_048, {"kid": "test-1", "alg": "RS512", "use": "sig"})
NO_KEY = b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"  # pragma: allowlist secret
NOW = 1_800_000_000.75
GOOD = {"access_token": "canary-token", "expires_in": "599", "token_type": "Bearer"}


class Server:
    """A token endpoint: `answers` in turn, the last for ever; what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.release: asyncio.Event | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        if self.release is not None:
            await self.release.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def tokens_of(server: Server, time: Callable[[], float] | None = None, **options: Any) -> Tokens:
    """The application's tokens, had from `server`."""
    return Tokens(
        Application(options.pop("url", URL), API_KEY, KEY),
        production=options.pop("production", True),
        clock=lambda: NOW,
        monotonic=time or Time(),
        transport=httpx.MockTransport(server),
        **options,
    )


def good(token: str = "one", seconds: Any = "599") -> httpx.Response:
    """A token, as the platform answers."""
    return httpx.Response(200, json={**GOOD, "access_token": token, "expires_in": seconds})


async def test_the_assertion_is_what_the_platform_asks_for() -> None:
    """RS512, kid, typ JWT; iss and sub the API key; aud the address; a new jti; exp an integer."""
    server = Server(good())
    time = Time()
    async with tokens_of(server, time) as tokens:
        first = await tokens.bearer()
        time.seconds += 600
        await tokens.bearer()
    assert isinstance(first, Bearer)
    assert first.value == "one"
    seen = []
    for request in server.seen:
        assert (request.method, str(request.url)) == ("POST", URL)
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = parse_qs(request.content.decode(), strict_parsing=True)
        assert form["grant_type"] == ["client_credentials"]
        assert form["client_assertion_type"] == [
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        ]
        (assertion,) = form["client_assertion"]
        read = jwt.decode(assertion, KEY, ["RS512"])
        assert read.header == {"alg": "RS512", "typ": "JWT", "kid": "test-1"}
        claims = json.loads(jws.extract_compact(assertion.encode()).payload)
        assert set(claims) == {"iss", "sub", "aud", "jti", "exp"}
        assert claims["iss"] == claims["sub"] == API_KEY
        assert claims["aud"] == URL
        assert type(claims["exp"]) is int
        assert 0 < claims["exp"] - NOW <= 300
        assert claims["exp"] == int(NOW) + ASSERTION_SECONDS
        seen.append(str(UUID(claims["jti"])))
    assert len(set(seen)) == 2


async def test_a_token_is_kept_and_renewed_before_it_ends() -> None:
    """Asked for once while it is good; in its last minute renewed beside, with nobody waiting."""
    server, time = Server(good("one"), good("two")), Time()
    async with tokens_of(server, time) as tokens:
        first = await tokens.bearer()
        time.seconds += 538
        assert await tokens.bearer() is first
        assert len(server.seen) == 1
        time.seconds += 3
        server.release = asyncio.Event()
        assert await tokens.bearer() is first  # the renewal is under way
        assert await tokens.bearer() is first
        server.release.set()
        await aeventually(lambda: tokens._bearer is not first, interval=0.001)
        second = await tokens.bearer()
    assert isinstance(second, Bearer)
    assert second.value == "two"
    assert len(server.seen) == 2


async def test_many_callers_ask_for_one_token() -> None:
    """Single-flight: forty callers without a token make one request; who gives up harms nobody."""
    server = Server(good())
    server.release = asyncio.Event()
    async with tokens_of(server) as tokens:
        callers = [asyncio.create_task(tokens.bearer()) for _ in range(40)]
        await aeventually(lambda: server.seen, interval=0.001)
        callers[0].cancel()
        server.release.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert len({id(one) for one in answers[1:]}) == 1
    assert isinstance(answers[1], Bearer)
    assert len(server.seen) == 1


async def test_a_refused_token_is_replaced_once_for_all_who_had_it() -> None:
    """Ten calls whose token PDS refused lead to one new token, not to ten."""
    server = Server(good("one"), good("two"), good("three"))
    async with tokens_of(server) as tokens:
        refused = await tokens.bearer()
        assert isinstance(refused, Bearer)
        others = await asyncio.gather(*(tokens.instead_of(refused) for _ in range(10)))
        late = await tokens.instead_of(refused)
    assert {one.value for one in others if isinstance(one, Bearer)} == {"two"}
    assert late is others[0]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, {}, Unavailable("pds.token.unavailable.http_500")),
        (503, None, Unavailable("pds.token.unavailable.http_503")),
        (429, {}, Unavailable("pds.token.unavailable.http_429")),
        (408, {}, Unavailable("pds.token.unavailable.http_408")),
        (400, {"error": "invalid_request", "error_description": "grant_type is missing"},
         TokenRefused(rule="pds.token.refused.invalid_request")),
        (400, {"error": "unsupported_grant_type", "error_description": "grant_type is invalid"},
         TokenRefused(rule="pds.token.refused.unsupported_grant_type")),
        (401, {"error": "invalid_request", "error_description":
         "Invalid 'kid' header in client_assertion JWT - no matching public key"},
         TokenRefused(rule="pds.token.refused.kid")),
        (400, {"error": "invalid_request", "error_description":
         "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT"},
         TokenRefused(rule="pds.token.refused.iss")),
        (400, {"error": "invalid_request", "error_description":
         "Non-unique 'jti' claim in client_assertion JWT"},
         TokenRefused(rule="pds.token.refused.jti")),
        (400, {"error": "canary", "error_description": "canary"},
         TokenRefused(rule="pds.token.refused.http_400")),
        (401, {"error": "public_key error",
               "error_description": "JWT signature verification failed"},
         TokenRefused(rule="pds.token.refused.signature")),
        (403, "<html>", TokenRefused(rule="pds.token.refused.http_403")),
        (302, None, TokenRefused(rule="pds.token.refused.http_302")),
        (404, [], TokenRefused(rule="pds.token.refused.http_404")),
        (200, None, Unavailable("pds.token.unreadable_answer")),
        (200, {}, Unavailable("pds.token.unreadable_answer")),
        (200, {**GOOD, "access_token": "two\r\nlines"}, Unavailable("pds.token.unreadable_answer")),
        (200, {**GOOD, "token_type": "mac"}, Unavailable("pds.token.unreadable_answer")),
        (200, {**GOOD, "expires_in": "soon"}, Unavailable("pds.token.unreadable_answer")),
        (200, {**GOOD, "expires_in": True}, Unavailable("pds.token.unreadable_answer")),
        (200, {**GOOD, "expires_in": "0"}, Unavailable("pds.token.unreadable_answer")),
    ],
)  # fmt: skip
def test_what_the_endpoint_says_has_an_outcome(status: int, body: Any, expected: Any) -> None:
    """A refusal names the claim or the error's code, of a fixed list; an outage is one."""
    assert read_answer(status, body, asked_at=0.0) == expected
    assert "canary" not in repr(expected)


@pytest.mark.parametrize("seconds", ["599", 599])
def test_expires_in_is_a_text_there_and_a_number_elsewhere(seconds: Any) -> None:
    """The platform says "599"; RFC 6749 has a number."""
    found = read_answer(200, {**GOOD, "expires_in": seconds}, asked_at=1_000.0)
    assert isinstance(found, Bearer)
    assert (found.ends_at, found.lifetime) == (1_599.0, 599.0)


@pytest.mark.parametrize(
    ("failure", "rule"),
    [
        (httpx.ReadTimeout("canary"), "pds.token.unavailable.timeout"),
        (httpx.ConnectError("canary"), "pds.token.unavailable.connection"),
    ],
)
async def test_an_endpoint_that_is_away_is_not_hammered(failure: Exception, rule: str) -> None:
    """One failure answers for all who ask within a second; then it is tried again."""
    server, time = Server(failure, good()), Time()
    async with tokens_of(server, time) as tokens:
        for _ in range(5):
            assert await tokens.bearer() == Unavailable(rule)
        assert len(server.seen) == 1
        time.seconds += 1.5
        assert isinstance(await tokens.bearer(), Bearer)


async def test_a_token_that_is_still_good_outlives_an_endpoint_that_is_away() -> None:
    """In its last minute the endpoint fails: the old token serves to its end."""
    server, time = Server(good(), httpx.Response(503)), Time()
    async with tokens_of(server, time) as tokens:
        first = await tokens.bearer()
        time.seconds += 560
        assert await tokens.bearer() is first
        time.seconds += 36
        assert isinstance(await tokens.bearer(), Unavailable)


async def test_nothing_secret_is_shown_or_logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Neither key, API key, JWT, token nor what the server said is in a repr or a log."""
    caplog.set_level(logging.DEBUG)
    refusal = httpx.Response(400, json={"error": "x", "error_description": "canary-said"})
    server, time = Server(good("canary-token"), refusal), Time()
    tokens = tokens_of(server, time)
    async with tokens:
        found = await tokens.bearer()
        time.seconds += 600
        failed = await tokens.bearer()
    shown = f"{found!r}{failed!r}{tokens!r}{tokens._application!r}{caplog.text}"
    shown += "".join(capsys.readouterr())
    (assertion,) = parse_qs(server.seen[0].content.decode())["client_assertion"]
    for secret in ("canary", assertion.rpartition(".")[2], KEY.as_dict(private=True)["d"]):
        assert str(secret) not in shown


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The private key as onboarding makes it: PEM, for its owner alone."""
    path = tmp_path / "pds.pem"
    path.write_bytes(KEY.as_pem(private=True))
    path.chmod(0o600)
    return path


def test_the_key_is_read_from_pem_or_jwk_for_its_owner_alone(key_file: Path) -> None:
    """A key that others can read is refused, as every secret file here is."""
    assert load_signing_key(key_file, "new-id").kid == "new-id"
    jwk = key_file.with_suffix(".json")
    jwk.write_text(json.dumps(KEY.as_dict(private=True)))
    jwk.chmod(0o600)
    assert load_signing_key(jwk, "new-id").kid == "new-id"
    key_file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_signing_key(key_file, "id")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_signing_key(key_file.with_name("none"), "id")


@pytest.mark.parametrize(
    "content",
    [
        b"canary",
        b"{}",
        b'{"keys": []}',
        KEY.as_pem(private=False),
        NO_KEY,
        json.dumps(KEY.as_dict(private=False)).encode(),
    ],
)
def test_what_is_no_private_key_is_refused_without_a_quote(key_file: Path, content: bytes) -> None:
    """Nonsense, an empty set, a public half: refused at start, and none of it is repeated."""
    key_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="PRIVATE_KEY_FILE") as refused:
        load_signing_key(key_file, "id")
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_short_key_is_refused(key_file: Path) -> None:
    """The platform asks for 4096 bits; under 2048 nothing starts."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    key_file.write_bytes(
        short.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ConfigurationError, match="2048"):
        load_signing_key(key_file, "id")


def test_production_asks_over_tls_and_has_no_fixed_token(key_file: Path) -> None:
    """http and a fixed token are for practice; half a registration is refused everywhere."""
    with pytest.raises(ConfigurationError, match="https://"):
        tokens_of(Server(good()), url="http://pds.test/oauth2/token")
    practice = tokens_of(Server(good()), url="http://pds.test/oauth2/token", production=False)
    assert isinstance(practice, Tokens)
    whole = {
        "token_url": URL, "api_key": SecretStr("a"), "private_key_file": key_file, "key_id": "k"
    }  # fmt: skip
    security = SecuritySettings(secrets_file=key_file)
    for pds in (PdsSettings(token="x"), PdsSettings(**{**whole, "token_url": "http://pds.test"})):
        with pytest.raises(ValidationError, match="PDS__TOKEN"):
            Settings(profile="production", security=security, pds=pds)
    assert Settings(profile="production", security=security, pds=PdsSettings(**whole)).pds.signs
    for name in whole:
        with pytest.raises(ValidationError, match="belong together"):
            PdsSettings(**{key: value for key, value in whole.items() if key != name})
    assert Tokens.of(PdsSettings(), production=True) is None
