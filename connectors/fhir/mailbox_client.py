"""The mailbox as an organisation's system reads it: for `halyard messages`, the demo and tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from connectors.fhir.client import FhirUnavailable
from connectors.fhir.mailbox import LATER, MAX_LIMIT, MESSAGES
from connectors.fhir.outcomes import CONTENT_TYPE
from connectors.fhir.view import codings, obj, objs, text
from halyard.errors import RejectedError
from halyard.trust import web_authorities


class MailboxRefused(RejectedError):
    """The hub refused the request; `rule` says why (docs/reference/messages-out.md)."""


@dataclass(frozen=True, slots=True)
class ReceivedLetter:
    """A letter as the list shows it; `bundle` is the message."""

    letter_id: uuid.UUID
    kind: str
    at: str  # Bundle.timestamp
    answers: str | None  # id of the message that it answers
    needs_acknowledgement: bool
    acknowledged_at: str | None
    bundle: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailboxPage:
    """A page. `next`: the cursor of the next page, if there is one; `later`: where to go on."""

    letters: tuple[ReceivedLetter, ...]
    next: str | None
    later: str | None


class MailboxClient:
    """Reads and acknowledges with one organisation's token. An async context manager."""

    def __init__(self, base_url: str, token: str, *, timeout: float = 30.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Accept": CONTENT_TYPE},
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            verify=web_authorities(),
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

    async def page(
        self, *, after: str | None = None, limit: int = MAX_LIMIT, unacknowledged: bool = False
    ) -> MailboxPage:
        """One page. Raises `MailboxRefused` and `FhirUnavailable`, as every call here."""
        asked = {"limit": str(limit), "unacknowledged": str(unacknowledged).lower()}
        if after is not None:
            asked["after"] = after
        return _page((await self._ask("GET", MESSAGES, asked)).json())

    async def letters(self, *, unacknowledged: bool = False) -> AsyncIterator[ReceivedLetter]:
        """Every letter that is there, the oldest first."""
        after: str | None = None
        while True:
            page = await self.page(after=after, unacknowledged=unacknowledged)
            for letter in page.letters:
                yield letter
            if page.next is None:
                return
            after = page.next

    async def answers(self, message_id: str) -> tuple[ReceivedLetter, ...]:
        """What answers a message (its id, or the receipt of its 202), the newest first."""
        answer = await self._ask("GET", MESSAGES, {"response-to": message_id})
        return _page(answer.json()).letters

    async def show(self, letter_id: uuid.UUID) -> dict[str, Any]:
        """One letter: the message Bundle."""
        found: dict[str, Any] = (await self._ask("GET", f"{MESSAGES}/{letter_id}")).json()
        return found

    async def acknowledge(self, letter_id: uuid.UUID) -> None:
        """Tell the hub that the letter is in safe hands; as often as you like."""
        await self._ask("POST", f"{MESSAGES}/{letter_id}/$acknowledge")

    async def _ask(
        self, method: str, path: str, asked: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, path, params=asked)
        except httpx.HTTPError as error:
            raise FhirUnavailable(
                f"The hub gave no answer ({type(error).__name__}); check its address and that "
                "`halyard serve` runs, then try again."
            ) from None
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise FhirUnavailable(
                f"The hub cannot read its mailbox now ({response.status_code}); try again."
            )
        if not response.is_success:
            raise _refused(response)
        return response


def _refused(response: httpx.Response) -> MailboxRefused:
    try:
        body = response.json()
    except ValueError:
        body = {}
    for issue in objs(body, "issue"):
        for coding in codings(obj(issue, "details")):
            return MailboxRefused(text(issue, "details", "text"), rule=coding.code)
    return MailboxRefused(
        f"The hub refused the request ({response.status_code}); check the token.",
        rule=text(body, "rule") or "http",
    )


def _page(bundle: dict[str, Any]) -> MailboxPage:
    links = {text(one, "relation"): text(one, "url") for one in objs(bundle, "link")}
    return MailboxPage(
        tuple(_letter(one) for one in objs(bundle, "entry")),
        _cursor(links.get("next")),
        _cursor(links.get(LATER)),
    )


def _cursor(url: str | None) -> str | None:
    return parse_qs(urlsplit(url).query)["after"][0] if url else None


def _letter(entry: dict[str, Any]) -> ReceivedLetter:
    bundle = obj(entry, "resource")
    header = next((obj(one, "resource") for one in objs(bundle, "entry")), {})
    marks = {text(one, "url").rpartition(":")[2]: one for one in objs(entry, "search", "extension")}
    return ReceivedLetter(
        letter_id=uuid.UUID(text(bundle, "id")),
        kind=text(header, "eventCoding", "code"),
        at=text(bundle, "timestamp"),
        answers=text(header, "response", "identifier") or None,
        needs_acknowledgement=marks.get("needs-acknowledgement", {}).get("valueBoolean") is True,
        acknowledged_at=text(marks.get("acknowledged-at"), "valueDateTime") or None,
        bundle=bundle,
    )
