"""The hub as the practice authority's own system uses it: uploads and acceptances."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.local_authority.client import HubClient, HubRefused, HubUnavailable
from connectors.local_authority.reading import CONTENT_TYPES, Format
from halyard import telemetry
from halyard.clock import Clock, system_clock
from sandbox.local_authority.files import filled_in, format_of

MAX_FILE_BYTES: Final = 20_000_000
_RETRY_SECONDS: Final = 0.5

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Sent:
    """An upload that the hub has taken."""

    upload_id: uuid.UUID
    accepted: int
    refused_count: int


@dataclass(slots=True)
class Hub:
    """The hub's API as the authority sees it. `file`: the authority's own flag file."""

    url: str
    token: str = field(repr=False)
    file: Path | None = None
    clock: Clock = system_clock
    retry_seconds: float = _RETRY_SECONDS
    sent: list[Sent] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list, repr=False)

    async def accept(self, request: Request) -> Response:
        """``POST /sandbox/accept``."""
        try:
            asked = json.loads(await request.body())
            alert_id = uuid.UUID(asked["alert_id"])
            by, answer = str(asked["by"]), str(asked["answer"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"title": "send alert_id, by and answer"}, 422)
        try:
            async with HubClient(self.url, self.token) as client:
                return JSONResponse(await client.accept(alert_id, by=by, answer=answer))
        except HubRefused as error:
            return JSONResponse(error.problem, error.status)
        except HubUnavailable as error:
            return JSONResponse({"title": error.message}, 502)

    async def accept_until_answered(self, alert_id: str, *, by: str, answer: str) -> None:
        """Accept, waiting out a hub that is away; what it says is in `accepted`."""
        while True:
            try:
                async with HubClient(self.url, self.token) as client:
                    done = await client.accept(alert_id, by=by, answer=answer)
            except HubUnavailable:
                await asyncio.sleep(self.retry_seconds)
                continue
            except HubRefused as error:
                done = {"state": "refused", "status": error.status}
            self.accepted.append(
                {"alert_id": alert_id, "state": done.get("state"), "changed": done.get("changed")}
            )
            return

    async def upload_own(self, *, sequence: int | None = None) -> Sent:
        """Upload the authority's own file. Raises `HubRefused` or `HubUnavailable`."""
        if self.file is None:
            raise ValueError("the practice authority has no file of its own")
        content = filled_in(self.file, self.clock())
        return await self._upload(content, format_of(self.file), sequence)

    async def upload_at_start(self) -> None:
        """Upload the own file as soon as the hub answers."""
        while True:
            try:
                sent = await self.upload_own()
            except HubUnavailable:
                await asyncio.sleep(self.retry_seconds)
                continue
            except HubRefused as error:
                log.warning("practice_upload_refused", rule=error.rule, status=error.status)
                return
            log.info("practice_upload_sent", upload_id=str(sent.upload_id), accepted=sent.accepted)
            return

    async def upload(self, request: Request, *, twice: bool) -> Response:
        """``POST /sandbox/upload``: the body, or without one the own file; `twice` if told."""
        body = await _body(request)
        if body is None:
            return JSONResponse({"title": "a practice file has at most 20 MB"}, 413)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        format_: Format = CONTENT_TYPES.get(kind, "jsonl")
        asked = request.query_params.get("sequence")
        if not body and self.file is None:
            return JSONResponse({"title": "send a flag file, or start me with one"}, 422)
        if asked is not None and not asked.isdecimal():
            return JSONResponse({"title": "sequence is a number"}, 422)
        sequence = None if asked is None else int(asked)
        sent = []
        try:
            for _ in range(2 if twice else 1):
                one = (
                    await self._upload(body, format_, sequence)
                    if body
                    else await self.upload_own(sequence=sequence)
                )
                sent.append(_told(one))
        except HubRefused as error:
            return JSONResponse(error.problem, error.status)
        except HubUnavailable as error:
            return JSONResponse({"title": error.message}, 502)
        return JSONResponse({"uploads": sent})

    async def uploads(self, _request: Request) -> Response:
        """``GET /sandbox/uploads``: what was sent, with the hub's answer to each file."""
        told = []
        try:
            async with HubClient(self.url, self.token) as client:
                for one in self.sent:
                    page = await client.answers(one.upload_id, limit=1)
                    told.append({**_told(one), "file": None if page is None else asdict(page.file)})
        except (HubRefused, HubUnavailable) as error:
            return JSONResponse({"title": error.message}, 502)
        return JSONResponse({"uploads": told})

    async def list_accepted(self, _request: Request) -> Response:
        """``GET /sandbox/accepted``: what the duty desk has accepted by itself."""
        return JSONResponse({"accepted": self.accepted})

    async def _upload(
        self, content: bytes | AsyncIterator[bytes], format_: Format, sequence: int | None
    ) -> Sent:
        async with HubClient(self.url, self.token) as client:
            receipt = await client.upload(content, sequence=sequence, file_format=format_)
        sent = Sent(receipt.upload_id, receipt.accepted, receipt.refused_count)
        self.sent.append(sent)
        return sent


async def _body(request: Request) -> bytes | None:
    """The body, None if it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FILE_BYTES:
            return None
    return bytes(body)


def _told(sent: Sent) -> dict[str, Any]:
    return {**asdict(sent), "upload_id": str(sent.upload_id)}
