"""The keys of the OpenID Connect issuer: fetched, kept for a while, never trusted for longer.

They come from a file, from a URL, or from where the issuer's own discovery document says (OpenID
Connect Discovery 1.0). Fetching is single-flight and in the background; a token with an unknown kid
may ask for it once in a while. While the issuer is away the last good keys hold for a bounded
grace; then nobody comes in by them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from halyard import metrics
from halyard.errors import ConfigurationError
from halyard.jwks import PublicKey, read_keys
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings
from halyard.settings_access import AccessSettings
from halyard.telemetry import get_logger
from halyard.trust import web_authorities

MAX_DOCUMENT: Final = 256_000  # bytes
_FETCH_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 2.0  # of a request: an issuer that hangs must not hold the hub's places
_RETRY_SECONDS: Final = 2.0  # between attempts while there are no good keys
_DISCOVERY: Final = "/.well-known/openid-configuration"

log = get_logger()


class _NotFetched(Exception):
    """Why the keys could not be had: a fixed text."""


class Issuer:
    """One issuer's keys. Times are of `monotonic`, in seconds.

    Raises `ConfigurationError` if it cannot be asked safely: https alone in production. `logs_in`:
    people log in there, so that it is asked for more than its keys.
    """

    def __init__(
        self,
        settings: AccessSettings,
        *,
        production: bool,
        logs_in: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if settings.issuer is None:
            raise ConfigurationError("There is no issuer; set HALYARD_ACCESS__ISSUER.")
        self.name = settings.issuer
        self._settings = settings
        self._monotonic = monotonic
        self._transport = transport
        self._schemes = ("https",) if production else ("https", "http")
        if settings.issuer_keys_file is None or logs_in:
            for setting, url in (
                ("ISSUER", settings.issuer),
                ("ISSUER_KEYS_URL", settings.issuer_keys_url),
            ):
                if url is not None and not self._may_ask(url):
                    raise ConfigurationError(
                        f"HALYARD_ACCESS__{setting} must begin with "
                        f"{' or '.join(f'{one}://' for one in self._schemes)}; correct it."
                    )
        self.generation = 0  # grows when the keys change
        self._keys: tuple[PublicKey, ...] = ()
        self._digest: str | None = None
        self._fetched = 0.0  # last success
        self._tried: float | None = None
        self._asked_unknown: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def keys(self) -> tuple[PublicKey, ...]:
        """The keys, at most as old as their lifetime and grace. Raises `HttpProblem` 503."""
        age = self._age()
        if age is None or age > self._settings.keys_seconds + self._settings.keys_grace_seconds:
            await self._attempt()
            age = self._age()
        elif age > self._settings.keys_seconds:
            self._start()
        if age is None or age > self._settings.keys_seconds + self._settings.keys_grace_seconds:
            raise _unavailable()
        return self._keys

    async def keys_for(self, kid: str | None) -> tuple[PublicKey, ...]:
        """As `keys`; asks the issuer again for a kid that is not among them, once in a while."""
        found = await self.keys()
        if kid is None or any(key.kid == kid for key in found):
            return found
        now = self._monotonic()
        last = self._asked_unknown
        if self._fetching is not None:
            await self._attempt()
        elif last is None or now - last >= self._settings.unknown_key_seconds:
            self._asked_unknown = now
            await self._attempt(at_once=True)
        return await self.keys()

    async def watch(self, stopping: asyncio.Event) -> None:
        """Keep the keys fresh until `stopping`."""
        while not stopping.is_set():
            await self._attempt()
            age = self._age()
            fresh = age is not None and age < self._settings.keys_seconds
            pause = self._settings.keys_seconds if fresh else 2 * _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await stopping.wait()
            except TimeoutError:
                pass  # time to fetch again

    def _age(self) -> float | None:
        return self._monotonic() - self._fetched if self._keys else None

    async def _attempt(self, *, at_once: bool = False) -> None:
        """One fetch for all who wait, and who do not wait for long; none, if the last was a moment
        ago.
        """
        task = self._start(at_once=at_once)
        if task is not None:
            await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)

    def _start(self, *, at_once: bool = False) -> asyncio.Task[None] | None:
        if self._fetching is None:
            now = self._monotonic()
            if not at_once and self._tried is not None and now - self._tried < _RETRY_SECONDS:
                return None
            self._tried = now
            self._fetching = asyncio.create_task(self._fetch(), name="issuer-keys")
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                document = await self._document()
            keys = read_keys(document)
        except Exception as error:  # noqa: BLE001 - whatever an issuer says, the hub goes on
            reason = str(error) if isinstance(error, _NotFetched) else type(error).__name__
            metrics.count("halyard_issuer_fetches_total", result="failed")
            log.warning("issuer_keys_not_fetched", reason=reason)
            return
        finally:
            self._fetching = None
        metrics.count("halyard_issuer_fetches_total", result="fetched")
        metrics.gauge("halyard_issuer_keys_timestamp_seconds", time.time())
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        if digest != self._digest:
            self.generation += 1
            log.info("issuer_keys_changed", keys=len(keys))
        self._keys, self._digest, self._fetched = keys, digest, self._monotonic()

    async def _document(self) -> Any:
        if self._settings.issuer_keys_file is not None:
            raw = await asyncio.to_thread(self._settings.issuer_keys_file.expanduser().read_bytes)
            return json.loads(raw[:MAX_DOCUMENT])
        async with httpx.AsyncClient(
            timeout=_FETCH_SECONDS / 2,
            follow_redirects=False,
            transport=self._transport,
            trust_env=False,
            verify=web_authorities(),
        ) as client:
            url = self._settings.issuer_keys_url
            if url is None:
                url = await self._discovered(client)
            return await self._got(client, url)

    async def _discovered(self, client: httpx.AsyncClient) -> str:
        found = await self._got(client, self.name.rstrip("/") + _DISCOVERY)
        if not isinstance(found, dict) or found.get("issuer") != self.name:
            raise _NotFetched("the discovery document is another issuer's")
        url = found.get("jwks_uri")
        if not isinstance(url, str) or not self._may_ask(url):
            raise _NotFetched("the discovery document names no usable jwks_uri")
        return url

    @staticmethod
    async def _got(client: httpx.AsyncClient, url: str) -> Any:
        async with client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
            if answer.status_code != 200:
                raise _NotFetched(f"status {answer.status_code}")
            raw = bytearray()
            async for piece in answer.aiter_bytes():
                raw += piece
                if len(raw) > MAX_DOCUMENT:
                    raise _NotFetched("the answer is too large")
        return json.loads(raw)

    def _may_ask(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts.scheme in self._schemes and bool(parts.hostname) and parts.username is None


def make_issuer(settings: Settings) -> Issuer | None:
    """The issuer of the settings, for access tokens and log-ins alike; None if none is set.

    Raises `ConfigurationError` if it cannot be asked safely.
    """
    if settings.access.issuer is None:
        return None
    return Issuer(
        settings.access,
        production=settings.profile is Profile.PRODUCTION,
        logs_in=settings.sessions.client_id is not None,
    )


def _unavailable() -> HttpProblem:
    return HttpProblem(
        503,
        "Tokens cannot be checked now",
        "The issuer's keys are not there. Try again; if it stays so, tell the hub's operator.",
        rule="token.keys_unavailable",
        headers={"Retry-After": "5"},
    )
