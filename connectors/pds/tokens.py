"""Access tokens for PDS by a signed JWT (OAuth 2.0, RFC 7523), as the NHS England API platform
gives them to applications without a user ("application-restricted").

One `Tokens` for all clients of a process: a token lives for ten minutes and is asked for once.
Nothing here logs or shows a key, a JWT, a token, or what the server said beside its known codes.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import RSAKey

from connectors.pds.bodies import read_plain
from connectors.pds.outcomes import TokenRefused, Unavailable
from connectors.pds.quiet import silence_http_logs
from halyard import metrics
from halyard.errors import ConfigurationError
from halyard.privacy import read_private
from halyard.settings import PdsSettings
from halyard.signing import ASSERTION_TYPE
from halyard.telemetry import get_logger
from halyard.trust import web_authorities

ALGORITHM: Final = "RS512"  # the platform takes no other
RSA_BITS: Final = 2_048
ASSERTION_SECONDS: Final = 150
"""Half of the five minutes that are allowed, so that either clock may be off by two."""

_LARGEST_ANSWER: Final = 100_000
_RETRY_SECONDS: Final = 1.0  # a failure answers for whoever asks within this
_LIFETIME: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]{1,16384}", re.ASCII)
# Of what the server says only these words are kept: what is wrong with the JWT, or the error's code
_CLAIM: Final = re.compile(r"'(alg|aud|exp|iss|jti|kid|sub|typ)'")
# A JWT whose key is known and whose signature is not that key's
_UNVERIFIED: Final = "public_key error"
_ERRORS: Final = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"}
    | {"unsupported_grant_type", "invalid_scope"}
)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Bearer:
    """One access token, and when it ends (seconds of the monotonic clock)."""

    value: str = field(repr=False)
    ends_at: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Application:
    """What onboarding gives: where tokens are had, who asks, and the key that signs."""

    token_url: str
    api_key: str = field(repr=False)
    key: RSAKey = field(repr=False)  # its kid is what the public half is registered under


TokenFailure = Unavailable | TokenRefused
"""No token: the server does not answer, or it refuses the application."""


class Tokens:
    """The application's access token: kept, renewed early, asked for by one at a time.

    `clock` is Unix time in seconds (for the JWT), `monotonic` for what is kept. Use as an async
    context manager, or call `aclose`. Raises `ConfigurationError` for an address that is unusable,
    or not https in production.
    """

    def __init__(
        self,
        application: Application,
        *,
        production: bool,
        timeout_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        schemes = ("https://",) if production else ("https://", "http://")
        if not application.token_url.startswith(schemes):
            raise ConfigurationError(
                f"HALYARD_PDS__TOKEN_URL must begin with {' or '.join(schemes)}; correct it."
            )
        try:
            httpx.URL(application.token_url)
        except httpx.InvalidURL:
            raise ConfigurationError(
                "HALYARD_PDS__TOKEN_URL is not an address; correct it."
            ) from None
        silence_http_logs()
        self._application = application
        self._timeout = timeout_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._http = httpx.AsyncClient(
            timeout=timeout_seconds,
            follow_redirects=False,
            transport=transport,
            trust_env=False,  # no proxy that the configuration does not name sees the JWT
            verify=web_authorities(),
        )
        self._bearer: Bearer | None = None
        self._failure: TokenFailure | None = None
        self._failed_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: PdsSettings, *, production: bool) -> Self | None:
        """As the settings say; None if they name no token URL.

        Raises `ConfigurationError` if the key file cannot be used.
        """
        path, api_key, key_id = settings.private_key_file, settings.api_key, settings.key_id
        if settings.token_url is None or path is None or api_key is None or key_id is None:
            return None
        application = Application(
            settings.token_url, api_key.get_secret_value(), load_signing_key(path, key_id)
        )
        return cls(application, production=production, timeout_seconds=settings.timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def key_bits(self) -> int:
        """How long the key is that signs."""
        return self._application.key.raw_value.key_size

    async def aclose(self) -> None:
        """Close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._http.aclose()

    async def bearer(self) -> Bearer | TokenFailure:
        """The token to ask with. One that ends soon is renewed beside, before it has to be."""
        kept = self._bearer
        if kept is not None:
            left = kept.ends_at - self._monotonic()
            if left > min(60.0, kept.lifetime / 4):
                return kept
            if left > min(5.0, kept.lifetime / 10):
                self._start()
                return kept
        return await self._renewed()

    async def instead_of(self, refused: Bearer) -> Bearer | TokenFailure:
        """Another token than one that PDS has refused: the one had meanwhile, else a new one."""
        if self._bearer is not None and self._bearer is refused:
            self._bearer = None
        return await self.bearer()

    async def _renewed(self) -> Bearer | TokenFailure:
        before = self._bearer
        self._start()
        if self._fetching is not None:
            # Shielded: who gives up waiting takes nobody else's token away
            await asyncio.shield(self._fetching)
        if self._bearer is not None and self._bearer is not before:
            return self._bearer
        return self._failure or Unavailable("pds.token.unavailable.connection")

    def _start(self) -> None:
        if self._fetching is not None and not self._fetching.done():
            return
        self._fetching = None
        lately = self._failure is not None and self._monotonic() - self._failed_at < _RETRY_SECONDS
        if not lately:
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        found = await self._ask()
        if isinstance(found, Bearer):
            self._bearer, self._failure = found, None
            metrics.count("halyard_pds_token_requests_total", result="had")
            log.info("pds_token_had", seconds=int(found.lifetime))
            return
        self._failure, self._failed_at = found, self._monotonic()
        metrics.count("halyard_pds_token_requests_total", result=found.rule)
        log.error("pds_token_not_had", rule=found.rule)

    async def _ask(self) -> Bearer | TokenFailure:
        asked_at = self._monotonic()
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(),
        }
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(
                    "POST",
                    self._application.token_url,
                    data=form,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                ) as response,
            ):
                content = await read_plain(response, at_most=_LARGEST_ANSWER)
        except (TimeoutError, httpx.TimeoutException):
            return Unavailable("pds.token.unavailable.timeout")
        except httpx.TransportError:
            return Unavailable("pds.token.unavailable.connection")
        return read_answer(response.status_code, _decode(content or b""), asked_at=asked_at)

    def _assertion(self) -> str:
        """The JWT: good once, for one address, for `ASSERTION_SECONDS`."""
        application = self._application
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": application.key.kid}
        claims = {
            "iss": application.api_key,
            "sub": application.api_key,
            "aud": application.token_url,
            "jti": str(uuid.uuid4()),
            "exp": int(self._clock()) + ASSERTION_SECONDS,
        }
        return jwt.encode(header, claims, application.key, [ALGORITHM])


def read_answer(status: int, body: Any, *, asked_at: float) -> Bearer | TokenFailure:
    """The token endpoint's answer. `body`: decoded JSON, None if it was none. The token's time runs
    from when it was asked for; ``expires_in`` is a text there ("599"), a number elsewhere.
    """
    if status == 200:
        return _read_token(body, asked_at) or Unavailable("pds.token.unreadable_answer")
    if status >= 500 or status in (408, 429):
        return Unavailable(f"pds.token.unavailable.http_{status}")
    said = body if isinstance(body, dict) else {}
    description, error = said.get("error_description"), said.get("error")
    if isinstance(description, str) and (claim := _CLAIM.search(description)):
        return TokenRefused(rule=f"pds.token.refused.{claim[1]}")
    if error == _UNVERIFIED and isinstance(description, str) and "signature" in description:
        return TokenRefused(rule="pds.token.refused.signature")
    known = isinstance(error, str) and error in _ERRORS
    return TokenRefused(rule=f"pds.token.refused.{error if known else f'http_{status}'}")


def _read_token(body: Any, asked_at: float) -> Bearer | None:
    if not isinstance(body, dict):
        return None
    value, seconds = body.get("access_token"), body.get("expires_in")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        return None
    if str(body.get("token_type", "Bearer")).casefold() != "bearer":
        return None
    if isinstance(seconds, bool) or not _LIFETIME.fullmatch(str(seconds)):
        return None
    lifetime = float(str(seconds))
    return Bearer(value, asked_at + lifetime, lifetime) if lifetime else None


def load_signing_key(path: Path, key_id: str) -> RSAKey:
    """The RSA private key of a PEM or JWK file, under the id it is registered by.

    Raises `ConfigurationError` if the file is missing, readable by others, or no such key.
    """
    text = read_private(path.expanduser())
    parameters: Any = {"kid": key_id, "alg": ALGORITHM, "use": "sig"}
    try:
        material: Any = text
        if text.lstrip().startswith("{"):
            document = json.loads(text)
            whole = document["keys"][0] if "keys" in document else document
            # its own id and purpose are not what counts here
            material = {
                name: value
                for name, value in whole.items()
                if name not in ("kid", "alg", "use", "key_ops")
            }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # a short one is refused below
            key = RSAKey.import_key(material, parameters)
        bits = key.private_key.key_size if key.is_private and key.private_key else 0
    except (JoseError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        # without the cause: a parser's message may quote the key
        raise ConfigurationError(
            f"HALYARD_PDS__PRIVATE_KEY_FILE {path} is no RSA private key (PEM, without password); "
            "make one as docs/howto/connect-to-pds.md says."
        ) from None
    if bits < RSA_BITS:
        raise ConfigurationError(
            f"HALYARD_PDS__PRIVATE_KEY_FILE {path} is no private key of {RSA_BITS} bits or more; "
            "make one as docs/howto/connect-to-pds.md says."
        )
    return key


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # its message quotes the body
        return None
