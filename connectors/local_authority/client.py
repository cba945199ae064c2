"""The hub's HTTP face from the other side: what an authority's system (or our CLI) calls.

Used by ``halyard flags upload``, ``halyard alerts follow`` and ``accept``, the demo and the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson

from connectors.hub_http import client_options
from connectors.local_authority.events import Versions, live_events
from connectors.local_authority.reading import Format
from halyard.errors import RejectedError, TransientError

CHUNK: Final = 64 * 1024
UPLOAD_SECONDS: Final = 900.0
_CONTENT_TYPES: Final[Mapping[Format, str]] = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


class HubUnavailable(TransientError):
    """The hub did not take the request now; check its address, wait a moment, send it again."""

    def __init__(
        self, message: str | None = None, *, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.problem = dict(problem or {})


class HubRefused(RejectedError):
    """The hub refused the request; correct what its message names."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        title = problem.get("title", f"The hub answered {status}")
        detail = problem.get("detail", "See the reference of the HTTP API.")
        places = [
            f"{one.get('place', '')}: {one.get('message', one.get('rule', ''))}"
            for one in problem.get("errors", ())
            if isinstance(one, Mapping)
        ]
        super().__init__(
            " ".join([f"{title}. {detail}", *places]),
            place=str(problem.get("place", "")),
            rule=str(problem.get("rule", "")),
        )
        self.status = status
        self.problem = dict(problem)


@dataclass(frozen=True, slots=True)
class RefusedField:
    """A place in the file that breaks a rule; `field` is empty for a line as a whole."""

    line: int
    field: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The hub has `accepted` records for good; `refused` names at most the first thousand."""

    upload_id: uuid.UUID
    accepted: int
    refused_count: int
    refused: tuple[RefusedField, ...]


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """Answer to one line: a CP-IS code (CPR01 to CPR07) and its words."""

    line: int
    local_id: str | None = field(repr=False)
    code: str
    text: str
    detail: str | None
    answered_at: str


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What became of the file: a CP-IS code (CPF01 to CPF05), None while it is not known.

    `final` is False for CPF05 (PDS does not answer). `counts`: answers by code; `refused`:
    records that were refused at once. `repeat_of`: an earlier upload of the same bytes;
    `sequence_note`: what is odd about the file's number.
    """

    code: str | None
    text: str | None
    final: bool
    refused: int
    counts: Mapping[str, int]
    sequence_note: str | None
    repeat_of: str | None


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """Answers as far as they are known."""

    expected: int | None
    answered: int
    complete: bool
    file: FileAnswer
    records: tuple[RecordAnswer, ...]
    next_after: int | None
    first_open: int | None  # the first line of this page without an answer


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts by time of change; `next` goes on after the last."""

    alerts: tuple[dict[str, Any], ...] = field(repr=False)
    next: str | None
    more: bool


class HubClient:
    """Calls the hub with one organisation's token. An async context manager."""

    def __init__(self, base_url: str, token: str, *, timeout: float = 10.0) -> None:
        self._http = httpx.AsyncClient(**client_options(base_url, token, timeout=timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload(
        self,
        source: Path | bytes | AsyncIterator[bytes],
        *,
        sequence: int | None = None,
        file_format: Format = "jsonl",
        traceparent: str | None = None,
    ) -> Receipt:
        """Send a flag file. Sending it again is harmless; with the same `sequence` it is the same
        upload. Raises `HubUnavailable` or `HubRefused`.
        """
        headers = {"Content-Type": _CONTENT_TYPES[file_format]}
        if traceparent:
            headers["traceparent"] = traceparent
        body = await self._call(
            "POST",
            "/uploads",
            params={} if sequence is None else {"sequence": sequence},
            content=_chunks(source) if isinstance(source, Path) else source,
            headers=headers,
            timeout=httpx.Timeout(UPLOAD_SECONDS, connect=10.0),
        )
        return Receipt(
            upload_id=uuid.UUID(body["upload_id"]),
            accepted=body["accepted"],
            refused_count=body["refused_count"],
            refused=tuple(RefusedField(**one) for one in body["refused"]),
        )

    async def answers(
        self, upload_id: uuid.UUID, *, after: int = 0, limit: int = 1000
    ) -> AnswerPage | None:
        """One page of answers after line `after`; None while the hub has not read the upload."""
        try:
            body = await self._call(
                "GET", f"/uploads/{upload_id}", params={"after": after, "limit": limit}
            )
        except HubRefused as refused:
            if refused.status == 404:
                return None
            raise
        return AnswerPage(
            expected=body["expected"],
            answered=body["answered"],
            complete=body["complete"],
            file=FileAnswer(
                code=body["file_code"],
                text=body["file_text"],
                final=body["final"],
                refused=body["refused"],
                counts=body["counts"],
                sequence_note=body["sequence_note"],
                repeat_of=body["repeat_of"],
            ),
            records=tuple(RecordAnswer(**one) for one in body["records"] if one["code"]),
            next_after=body["next_after"],
            first_open=next((one["line"] for one in body["records"] if not one["code"]), None),
        )

    async def follow_answers(
        self,
        upload_id: uuid.UUID,
        *,
        seconds: float = 60.0,
        interval: float = 0.2,
    ) -> AsyncIterator[RecordAnswer]:
        """Each line's answer once, as it becomes known, until all are.

        Raises `HubUnavailable` if they are not complete after `seconds` without a new one.
        """
        told: set[int] = set()
        done = 0  # the lines to here that were known are told
        deadline = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            head = await self.answers(upload_id, limit=1)
            if head is not None and head.answered > len(told):
                first_open: int | None = None
                if head.complete:
                    done = 0  # a line may have come to be known after lines behind it
                async for page in self.answer_pages(upload_id, after=done):
                    for one in page.records:
                        if one.line not in told:
                            told.add(one.line)
                            yield one
                    if first_open is None:
                        first_open = page.first_open
                        done = page.records[-1].line if page.records else done
                    if first_open is not None:
                        done = min(done, first_open - 1)
                deadline = time.monotonic() + seconds
            if head is not None and head.complete and len(told) >= head.answered:
                return
            if time.monotonic() > deadline:
                raise HubUnavailable(
                    "Not every answer is known yet; ask again later with the upload's id, and see "
                    "that the identity worker and the tracer run."
                )
            # a long file is read again as often as its reading takes
            await asyncio.sleep(max(interval, time.monotonic() - began))

    async def answer_pages(
        self, upload_id: uuid.UUID, *, after: int = 0
    ) -> AsyncIterator[AnswerPage]:
        """Every page of the answers behind line `after`; none if the upload is not known yet."""
        place: int | None = after
        while place is not None:
            page = await self.answers(upload_id, after=place)
            if page is None:
                return
            yield page
            place = page.next_after

    async def alerts(
        self,
        *,
        after: str | None = None,
        states: Sequence[str] = (),
        limit: int = 100,
    ) -> AlertPage:
        """The organisation's alerts by time of change, after a cursor."""
        params: dict[str, Any] = {"limit": limit}
        if after:
            params["after"] = after
        if states:
            params["state"] = list(states)
        body = await self._call("GET", "/alerts", params=params)
        return AlertPage(alerts=tuple(body["alerts"]), next=body["next"], more=body["more"])

    async def follow_alerts(
        self,
        *,
        after: str | None = None,
        states: Sequence[str] = (),
        interval: float = 0.5,
        stopping: asyncio.Event | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Alerts as they change, each version once, until `stopping`; outages are waited out.

        Reads the live list, and goes on where it was when that ends or falls silent.
        """
        stopping = stopping or asyncio.Event()
        told = Versions()
        while not stopping.is_set():
            try:
                async with contextlib.aclosing(
                    live_events(
                        self._http, after, states, stopping, refusal=_refusal, no_answer=_no_answer
                    )
                ) as events:
                    async for event in events:
                        after = event.last_id or after
                        if event.kind != "alert":
                            continue
                        alert: dict[str, Any] = orjson.loads(event.data)
                        if told.is_new(alert["alert_id"], alert["version"]):
                            yield alert
            except HubUnavailable:
                pass  # it comes back, and the list goes on after the last event
            if not stopping.is_set():
                await asyncio.sleep(interval)

    async def accept(
        self, alert_id: uuid.UUID | str, *, by: str, answer: str, round_: int | None = None
    ) -> dict[str, Any]:
        """Accept an alert with an answer text; a repeat gives the first acceptance."""
        body: dict[str, Any] = {"by": by, "answer": answer}
        if round_ is not None:
            body["round"] = round_
        return await self._call("POST", f"/alerts/{uuid.UUID(str(alert_id))}/accept", json=body)

    async def query_flags(
        self,
        nhs_number: str,
        *,
        purpose: str = "urgent-care",
        reason: str | None = None,
        unscheduled: bool = True,
    ) -> dict[str, Any]:
        """What is held of a child: ``answer`` is flagged, none-held or could-not-be-checked.

        `purpose` is urgent-care, direct-care, child-protection or break-glass, which needs a
        `reason`. Of an unscheduled look at a flag the authority is told.
        """
        body: dict[str, Any] = {
            "nhs_number": nhs_number,
            "purpose": purpose,
            "unscheduled": unscheduled,
        }
        if reason is not None:
            body["reason"] = reason
        try:
            return await self._call("POST", "/flags/query", json=body)
        except HubUnavailable as away:
            if away.problem.get("answer") == "could-not-be-checked":
                return away.problem
            raise

    async def worklist(self, *, after: str | None = None) -> dict[str, Any]:
        """The organisation's records that match nobody yet, oldest first."""
        return await self._call("GET", "/worklist", params={"after": after} if after else {})

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise _no_answer(error) from None
        if response.status_code >= 300:
            raise _refusal(response)
        return _json(response)


def _no_answer(error: httpx.HTTPError) -> HubUnavailable:
    # its text would hold the URL
    return HubUnavailable(
        f"The hub does not answer ({type(error).__name__}); check its address and that "
        "`halyard serve` runs, then send it again."
    )


def _refusal(response: httpx.Response) -> HubUnavailable | HubRefused:
    body = _json(response)
    if response.status_code >= 500:
        detail = body.get("detail", "Send it again in a moment.")
        title = body.get("title", f"The hub answered {response.status_code}")
        return HubUnavailable(f"{title}. {detail}", problem=body)
    return HubRefused(response.status_code, body)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
