"""The hub as a client of the OpenID Connect issuer: people log in there, never here.

Authorization code with PKCE (S256). What the issuer answers is an ID token; nothing else of it is
used, and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc.jwk import Key

from halyard import tokens
from halyard.clock import Clock
from halyard.jwks import PublicKey
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings
from halyard.signing import ASSERTION_TYPE, sign_as_client
from halyard.telemetry import get_logger
from halyard.tokens import Rules
from halyard.trust import web_authorities

ASSERTION_SECONDS = 60
METADATA_SECONDS = 300.0
MAX_ANSWER_BYTES = 200_000
MAX_CALLS = 8  # to the issuer at a time: whoever comes can begin a log-in
_LONGEST_SUBJECT = 200

log = get_logger()


class IssuerKeys(Protocol):
    """The issuer's public keys, fetched and kept for a while."""

    async def keys_for(self, kid: str | None) -> tuple[PublicKey, ...]:
        """Its keys; asked again for a kid that is not among them. Raises `HttpProblem` (503)."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one log-in is bound by, all from one random value in the browser's cookie: whoever has
    seen `state`, `nonce` or the challenge knows none of the others.
    """

    value: str = field(repr=False)

    def of(self, name: str, *more: str) -> str:
        """43 characters of the alphabet of RFC 7636."""
        text = "\n".join((name, *more))
        return _base64(hmac.digest(self.value.encode(), text.encode(), "sha256"))

    def challenge(self) -> str:
        """The S256 challenge of the verifier."""
        return _base64(hashlib.sha256(self.of("verifier").encode()).digest())


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the issuer is asked."""

    authorization: str
    token: str


@dataclass(slots=True)
class LogIn:
    """Log-ins at one issuer, for one hub."""

    settings: Settings
    keys: IssuerKeys
    clock: Clock
    client_key: Key | None = field(default=None, repr=False)
    monotonic: Callable[[], float] = time.monotonic
    _endpoints: Endpoints | None = None
    _fetched: float = 0.0
    _calls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CALLS))

    @property
    def redirect_uri(self) -> str:
        """Where the issuer sends browsers back to; registered there letter by letter."""
        return f"{self.settings.sessions.public_url}/session/callback"

    async def authorization_url(self, secrets: Secrets, state: str) -> str:
        """Where the browser goes to log in. Raises `HttpProblem` (503) if the issuer is away."""
        endpoints = await self._known()
        asked = {
            "response_type": "code",
            "client_id": self.settings.sessions.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.settings.sessions.scope,
            "state": state,
            "nonce": secrets.of("nonce"),
            "code_challenge": secrets.challenge(),
            "code_challenge_method": "S256",
        }
        glue = "&" if urlsplit(endpoints.authorization).query else "?"
        return f"{endpoints.authorization}{glue}{urlencode(asked)}"

    async def redeem(self, code: str, secrets: Secrets) -> dict[str, Any]:
        """The claims of the ID token for `code`. Raises `HttpProblem`: 401 if the issuer does not
        take the code or its ID token is not what it must be, 503 if it is away.
        """
        endpoints = await self._known()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": str(self.settings.sessions.client_id),
            "code_verifier": secrets.of("verifier"),
        }
        if self.client_key is not None:
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = self._assertion(endpoints.token)
        answer = await self._ask(lambda http: http.post(endpoints.token, data=form))
        if answer.status_code >= 500:
            raise _away()
        token = _json(answer).get("id_token") if answer.status_code == 200 else None
        if not isinstance(token, str):
            raise refused("the issuer did not take the code")
        claims = await self._proven(token)
        if not hmac.compare_digest(str(claims.get("nonce")), secrets.of("nonce")):
            raise refused("the ID token is of another log-in")
        return claims

    async def _proven(self, token: str) -> dict[str, Any]:
        """The claims of an ID token that the issuer has signed for this hub, now (OpenID Connect
        Core 1.0, section 3.1.3.7); by the checks that access tokens go through.
        """
        access, client_id = self.settings.access, str(self.settings.sessions.client_id)
        rules = Rules(client_id, frozenset(access.algorithms), access.clock_skew_seconds)
        try:
            read = tokens.read(token)
            algorithm = tokens.allowed(read, rules)
            key = tokens.chosen(read, await self.keys.keys_for(read.kid), algorithm)
            tokens.check_signature(read, key, algorithm)
            tokens.check_audience(read, rules)
            tokens.check_times(read, rules, self.clock().timestamp())
            tokens.text_claim(read.claims, "sub", _LONGEST_SUBJECT)
        except HttpProblem as problem:
            if problem.status_code != 401:
                raise
            raise refused(f"the ID token is not good ({problem.rule})") from None
        claims = dict(read.claims)
        if read.issuer != access.issuer or claims.get("iat") is None:
            raise refused("the ID token is of another issuer, or does not say of when")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and "azp" not in claims:
            raise refused("the ID token is for several, and does not say who asked")
        if claims.get("azp", client_id) != client_id:
            raise refused("the ID token was asked for by somebody else")
        return claims

    def _assertion(self, audience: str) -> str:
        assert self.client_key is not None
        return sign_as_client(
            self.client_key,
            client_id=str(self.settings.sessions.client_id),
            audience=audience,
            now=int(self.clock().timestamp()),
            seconds=ASSERTION_SECONDS,
        )

    async def _known(self) -> Endpoints:
        """From the issuer's discovery document, asked again every few minutes."""
        if self._endpoints is None or self.monotonic() - self._fetched > METADATA_SECONDS:
            issuer = str(self.settings.access.issuer)
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            answer = await self._ask(lambda http: http.get(url))
            if answer.status_code != 200:
                raise _away()
            secure = self.settings.profile is Profile.PRODUCTION
            self._endpoints = _endpoints(_json(answer), issuer, secure=secure)
            self._fetched = self.monotonic()
        return self._endpoints

    async def _ask(
        self, call: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        seconds = self.settings.sessions.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._calls.acquire()
        except TimeoutError:
            log.warning("issuer_not_asked", reason="too many wait for it")
            raise _away() from None
        try:
            async with httpx.AsyncClient(
                timeout=seconds,
                follow_redirects=False,
                trust_env=False,
                verify=web_authorities(),
            ) as http:
                answer = await call(http)
        except httpx.HTTPError as error:
            log.warning("issuer_did_not_answer", reason=type(error).__name__)
            raise _away() from None
        finally:
            self._calls.release()
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise _away()
        return answer


def _endpoints(document: Mapping[str, Any], issuer: str, *, secure: bool) -> Endpoints:
    """What the discovery document names; `secure`: over https alone, as for an https issuer."""
    authorization, token = document.get("authorization_endpoint"), document.get("token_endpoint")
    secure = secure or issuer.startswith("https://")
    if (
        document.get("issuer") != issuer
        or not isinstance(authorization, str)
        or not isinstance(token, str)
        or (secure and not all(one.startswith("https://") for one in (authorization, token)))
    ):
        log.error("issuer_is_another", reason="its discovery document does not fit")
        raise _away()
    return Endpoints(authorization, token)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refused(why: str) -> HttpProblem:
    """Not logged in; `why` is for the log, the person is only told to try again."""
    log.warning("log_in_refused", reason=why)
    return HttpProblem(
        401,
        "Not logged in",
        "Start again at /session/login; if it stays so, tell the hub's operator the X-Request-ID.",
        rule="session.refused",
    )


def _away() -> HttpProblem:
    return HttpProblem(
        503,
        "The log-in service does not answer",
        "Try again in a moment; systems with tokens of their own are not affected.",
        rule="session.issuer_away",
        headers={"Retry-After": "5"},
    )
