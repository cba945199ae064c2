"""The FHIR side of the hub as a hospital's system calls it: for `halyard send --fhir` and tests."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from connectors.fhir.outcomes import CONTENT_TYPE, PATH, RECEIPT
from connectors.fhir.view import codings, obj, objs, text, texts
from connectors.hub_http import client_options
from halyard.errors import TransientError


class FhirUnavailable(TransientError):
    """The hub gave no answer; keep the message, check the address, and send it again."""


@dataclass(frozen=True, slots=True)
class FhirAnswer:
    """What the hub said. `issues` are rules, each with the elements it names, and of an error what
    to do.
    """

    status: int
    receipt: str | None
    issues: tuple[str, ...]

    @property
    def taken(self) -> bool:
        """Whether the hub has the message for good."""
        return self.status == httpx.codes.ACCEPTED


class FhirClient:
    """Posts messages with one organisation's token. An async context manager."""

    def __init__(self, base_url: str, token: str, *, timeout: float = 30.0) -> None:
        headers = {"Content-Type": CONTENT_TYPE}
        self._http = httpx.AsyncClient(
            **client_options(base_url, token, timeout=timeout, headers=headers)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def send(self, message: bytes) -> FhirAnswer:
        """Post one message. Raises `FhirUnavailable`: it may or may not have been taken."""
        try:
            response = await self._http.post(PATH, content=message)
        except httpx.HTTPError as error:
            # its text would hold the URL
            raise FhirUnavailable(
                f"The hub gave no answer ({type(error).__name__}); check its address and that "
                "`halyard serve` runs, then send the message again."
            ) from None
        return FhirAnswer(
            response.status_code, response.headers.get(RECEIPT), tuple(_issues(response))
        )


def _issues(response: httpx.Response) -> list[str]:
    try:
        outcome = response.json()
    except ValueError:
        return []
    if detail := text(outcome, "detail"):  # a problem: refused before it was read
        return [detail]
    return [_words(one) for one in objs(outcome, "issue")]


def _words(issue: dict[str, Any]) -> str:
    details = obj(issue, "details")
    said = " ".join([*(coding.code for coding in codings(details)), *texts(issue, "expression")])
    advice = text(details, "text") if text(issue, "severity") in ("error", "fatal") else ""
    return ": ".join(part for part in (said, advice) if part)
