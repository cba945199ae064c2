"""Asks PDS, once a call: by number, or by search. Decides nothing, and tries again in one case
alone: when the access token was refused, once, with a new one and the same X-Request-ID.

The caller stores the X-Request-ID before the call and keeps it for a retry, because PDS
de-duplicates by it; the ration and the pause after a failure are the caller's too. Nothing here,
and nothing in httpx or httpcore while a client exists, logs a path or a query: they carry numbers
and names (the API fixes them).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar
from uuid import UUID

import httpx

from connectors.pds.bodies import read_plain
from connectors.pds.outcomes import (
    Bug,
    GetOutcome,
    InvalidNumber,
    RateLimited,
    SearchOutcome,
    TokenRefused,
    Unavailable,
)
from connectors.pds.quiet import silence_http_logs as silence_http_logs
from connectors.pds.record import read_retrieval, read_search
from connectors.pds.tokens import Bearer, Tokens
from halyard import metrics
from halyard.errors import ConfigurationError
from halyard.nhs_number import NumberProfile, parse
from halyard.trust import web_authorities

# PDS records are a few kilobytes; more is not PDS
_LARGEST_ANSWER: Final = 1_000_000

# What such an answer means its status says alone, whoever gives it: a gateway's page under an id of
# its own, or packed, is no less an outage
_SAYS_NOTHING: Final = frozenset({401, 408, 429})

# What PDS says of a search without parameters
_REFUSES_NOTHING: Final = frozenset(
    f"pds.bug.{code}"
    for code in ("unsupported_service", "missing_value", "invalid_value", "invalid_search_data")
)
_Outcome = TypeVar("_Outcome", GetOutcome, SearchOutcome)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search: parameters by the API's names, in order. `rule` names the query for "why"."""

    rule: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)


class PdsClient:
    """A connection pool to one PDS. Use as an async context manager, or call `aclose`.

    `tokens` gives access tokens and belongs to the caller; `token` is a fixed one, for practice.
    `end_user_organisation` is the ODS code for whom the hub asks. `timeout_seconds` bounds a call;
    twice that bounds it with its token and its repetition. `profile` says which numbers may be
    asked about. `today` decides which name is in use. `spend` is awaited before a call is repeated,
    because it costs the ration another one; False leaves it, and so does a wait that leaves the
    repetition no whole time-out. Raises `ConfigurationError` for an address that is unusable, for
    one that is not https or a fixed token in production.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        tokens: Tokens | None = None,
        end_user_organisation: str,
        profile: NumberProfile,
        timeout_seconds: float = 10.0,
        spend: Callable[[], Awaitable[bool]] | None = None,
        today: Callable[[], date] = date.today,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        schemes = ("https://",) if profile == "production" else ("https://", "http://")
        if not base_url.startswith(schemes):
            raise ConfigurationError(
                f"HALYARD_PDS__BASE_URL must begin with {' or '.join(schemes)}; correct it."
            )
        try:
            whole = bool(httpx.URL(base_url).host)
        except httpx.InvalidURL:
            whole = False
        if not whole:
            raise ConfigurationError(
                "HALYARD_PDS__BASE_URL is no usable address (scheme, host, path); correct it."
            )
        if token is not None and profile == "production":
            raise ConfigurationError(
                "HALYARD_PDS__TOKEN is for practice; in production set HALYARD_PDS__TOKEN_URL and "
                "what belongs to it."
            )
        silence_http_logs()
        self._profile: NumberProfile = profile
        self._tokens = tokens
        self._spend = spend
        self._timeout = timeout_seconds
        self._today = today
        headers = {
            "Accept": "application/fhir+json",
            "Accept-Encoding": "identity",  # a packed answer has no size before it is unpacked
            "NHSD-End-User-Organisation-ODS": end_user_organisation,
        }
        self._fixed = None if token is None else f"Bearer {token}"
        self._base_url = base_url.rstrip("/")
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=timeout_seconds,
            follow_redirects=False,
            transport=transport,
            trust_env=False,  # no proxy that the configuration does not name sees numbers
            verify=web_authorities(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, nhs_number: str, request_id: UUID) -> GetOutcome:
        """Ask for the record under a number. A number that cannot be one is not sent.

        The answer is no verification: compare it (`connectors.pds.comparison.compare`).
        """
        judged = parse(nhs_number, profile=self._profile)
        if judged.number is None:
            return InvalidNumber(judged.rule)
        number = judged.number

        def read(answer: _Answer) -> GetOutcome:
            return read_retrieval(answer.status, answer.body, requested=number, today=self._today())

        return await self._ask(_Question("get", f"/Patient/{number}", (), request_id, read))

    async def search(self, query: SearchQuery, request_id: UUID) -> SearchOutcome:
        """Make one search. `Found` is no verification: compare it (`compare_search`)."""

        def read(answer: _Answer) -> SearchOutcome:
            return read_search(answer.status, answer.body, today=self._today())

        return await self._ask(_Question("search", "/Patient", query.parameters, request_id, read))

    async def check(
        self, request_id: UUID
    ) -> Unavailable | RateLimited | TokenRefused | Bug | None:
        """Whether PDS answers and takes the token, without a question about anybody: a search for
        nothing, which it refuses for what is missing. None if it does. PDS counts it as a call;
        whether a token of the ration is taken for it is the caller's.
        """

        def read(answer: _Answer) -> SearchOutcome:
            return read_search(answer.status, answer.body, today=self._today())

        outcome = await self._ask(_Question("check", "/Patient", (), request_id, read))
        if isinstance(outcome, Unavailable | RateLimited | TokenRefused):
            return outcome
        if isinstance(outcome, Bug) and outcome.rule not in _REFUSES_NOTHING:
            return outcome
        return None

    async def _ask(
        self, question: _Question[_Outcome]
    ) -> _Outcome | Unavailable | RateLimited | TokenRefused | Bug:
        """One call; a second one if its token was refused and there is another. Ends in twice the
        time-out, so that a lease of three outlasts it.
        """
        ends = asyncio.get_running_loop().time() + 2 * self._timeout
        try:
            async with asyncio.timeout_at(ends):
                bearer = None if self._tokens is None else await self._tokens.bearer()
                if isinstance(bearer, Unavailable | TokenRefused):
                    return bearer
                outcome = await self._once(question, bearer)
                if bearer is None or self._tokens is None or not isinstance(outcome, TokenRefused):
                    return outcome
                another = await self._tokens.instead_of(bearer)
                if not isinstance(another, Bearer):
                    return another
                if not await self._spent(until=ends - self._timeout):
                    return Unavailable("pds.unavailable.token_was_refused", answered=True)
                return await self._once(question, another)
        except TimeoutError:
            return Unavailable("pds.unavailable.timeout")

    async def _spent(self, *, until: float) -> bool:
        """Whether the ration had a call for the repetition. What the wait for it takes is no time
        of PDS: the repetition has a whole time-out left, or is not made.
        """
        if self._spend is None:
            return True
        try:
            async with asyncio.timeout_at(until):
                return await self._spend()
        except TimeoutError:
            return False

    async def _once(
        self, question: _Question[_Outcome], bearer: Bearer | None
    ) -> _Outcome | Unavailable | RateLimited | TokenRefused | Bug:
        began = time.monotonic()
        authorization = self._fixed if bearer is None else f"Bearer {bearer.value}"
        answer = await self._sent(question, authorization)
        outcome: _Outcome | Unavailable | RateLimited | TokenRefused | Bug
        if isinstance(answer, _Answer):
            outcome = question.read(answer)
            if isinstance(outcome, RateLimited):
                outcome = answer.if_rationed
        else:
            outcome = answer
        metrics.observe("halyard_pds_call_seconds", time.monotonic() - began)
        metrics.count("halyard_pds_calls_total", operation=question.operation, outcome=outcome.rule)
        return outcome

    async def _sent(
        self, question: _Question[_Outcome], authorization: str | None
    ) -> _Answer | Unavailable | Bug:
        request_id = str(question.request_id)
        headers = {"X-Request-ID": request_id}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(
                    "GET",
                    f"{self._base_url}{question.path}",
                    params=question.parameters or None,
                    headers=headers,
                ) as response,
            ):
                content = await read_plain(response, at_most=_LARGEST_ANSWER)
        except (TimeoutError, httpx.TimeoutException):
            return Unavailable("pds.unavailable.timeout")
        except httpx.TransportError:
            return Unavailable("pds.unavailable.connection")
        status = response.status_code
        by_status = status >= 500 or status in _SAYS_NOTHING
        mirrored = response.headers.get("X-Request-ID", request_id)
        if mirrored.casefold() != request_id:
            if not by_status:
                return Bug("pds.bug.answer_to_another_request", status)
            content = b""  # another's words
        if content is None and not by_status:
            return Bug("pds.bug.answer_too_large", status)
        return _Answer(
            status,
            _decode(content or b""),
            RateLimited(_seconds(response.headers.get("Retry-After"))),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any = field(repr=False)
    if_rationed: RateLimited


@dataclass(frozen=True, slots=True)
class _Question(Generic[_Outcome]):
    operation: str
    path: str = field(repr=False)
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    request_id: UUID
    read: Callable[[_Answer], _Outcome]


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # its message quotes the body; nested too deeply
        return None


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdecimal() else None
