"""Asks PDS, once a call: by number, or by search. Decides nothing and never tries again.

The caller stores the X-Request-ID before the call and keeps it for a retry, because PDS
de-duplicates by it; the ration and the pause after a failure are the caller's too. Nothing here,
and nothing in httpx or httpcore while a client exists, logs a path or a query: they carry numbers
and names (the API fixes them).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import httpx

from connectors.pds.outcomes import (
    Bug,
    GetOutcome,
    InvalidNumber,
    RateLimited,
    SearchOutcome,
    Unavailable,
)
from connectors.pds.record import read_retrieval, read_search
from halyard.errors import ConfigurationError
from halyard.nhs_number import NumberProfile, parse

# PDS records are a few kilobytes; more is not PDS
_LARGEST_ANSWER: Final = 1_000_000
_CHATTY_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search: parameters by the API's names, in order. `rule` names the query for "why"."""

    rule: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)


class PdsClient:
    """A connection pool to one PDS. Use as an async context manager, or call `aclose`.

    `end_user_organisation` is the ODS code for whom the hub asks. `timeout_seconds` bounds a whole
    call. `profile` says which numbers may be asked about. `today` decides which name is in use.
    Raises `ConfigurationError` for an address that is unusable, or not https in production.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None,
        end_user_organisation: str,
        profile: NumberProfile,
        timeout_seconds: float = 10.0,
        today: Callable[[], date] = date.today,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        schemes = ("https://",) if profile == "production" else ("https://", "http://")
        if not base_url.startswith(schemes):
            raise ConfigurationError(
                f"HALYARD_PDS__BASE_URL must begin with {' or '.join(schemes)}; correct it."
            )
        silence_http_logs()
        self._profile: NumberProfile = profile
        self._timeout = timeout_seconds
        self._today = today
        headers = {
            "Accept": "application/fhir+json",
            "NHSD-End-User-Organisation-ODS": end_user_organisation,
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._base_url = base_url.rstrip("/")
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=timeout_seconds,
            follow_redirects=False,
            transport=transport,
            trust_env=False,  # no proxy that the configuration does not name sees numbers
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
        answer = await self._ask(f"/Patient/{judged.number}", (), request_id)
        if not isinstance(answer, _Answer):
            return answer
        outcome = read_retrieval(
            answer.status, answer.body, requested=judged.number, today=self._today()
        )
        return answer.if_rationed if isinstance(outcome, RateLimited) else outcome

    async def search(self, query: SearchQuery, request_id: UUID) -> SearchOutcome:
        """Make one search. `Found` is no verification: compare it (`compare_search`)."""
        answer = await self._ask("/Patient", query.parameters, request_id)
        if not isinstance(answer, _Answer):
            return answer
        outcome = read_search(answer.status, answer.body, today=self._today())
        return answer.if_rationed if isinstance(outcome, RateLimited) else outcome

    async def _ask(
        self, path: str, parameters: tuple[tuple[str, str], ...], request_id: UUID
    ) -> _Answer | Unavailable | Bug:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(
                    "GET",
                    f"{self._base_url}{path}",
                    params=parameters or None,
                    headers={"X-Request-ID": str(request_id)},
                ) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > _LARGEST_ANSWER:
                        return Bug("pds.bug.answer_too_large", response.status_code)
        except (TimeoutError, httpx.TimeoutException):
            return Unavailable("pds.unavailable.timeout")
        except httpx.TransportError:
            return Unavailable("pds.unavailable.connection")
        except httpx.DecodingError:
            return Bug("pds.bug.unreadable_answer")
        mirrored = response.headers.get("X-Request-ID", str(request_id))
        if mirrored.casefold() != str(request_id):
            return Bug("pds.bug.answer_to_another_request", response.status_code)
        return _Answer(
            response.status_code,
            _decode(bytes(content)),
            RateLimited(_seconds(response.headers.get("Retry-After"))),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any = field(repr=False)
    if_rationed: RateLimited


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:  # its message quotes the body
        return None


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdecimal() else None


class _WarningsOnly(logging.Filter):
    """Drops what httpx and httpcore say below WARNING, whatever level somebody gives them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


_FILTER: Final = _WarningsOnly()


def silence_http_logs() -> None:
    """Keep URLs and headers out of every log: httpx writes them at INFO, httpcore at DEBUG.

    A level alone is undone by the next ``setLevel``; the filter stays. Idempotent.
    """
    for name in _CHATTY_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.addFilter(_FILTER)  # the same object is added once
