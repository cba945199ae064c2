"""``POST /uploads`` and ``GET /uploads/{id}``: a local authority's flag files and their answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from connectors.local_authority.answers import FILE_TEXTS, FileCode, page_body
from connectors.local_authority.intake import Intake, Upload, identify
from connectors.local_authority.reading import CONTENT_TYPES, Format
from halyard.clock import Clock
from halyard.http import HttpProblem, Limit, organisation
from halyard.postgres import Pool, transaction
from halyard.settings import Settings
from stores import uploads
from stores.directory import Authority, Directory

UPLOAD_SECONDS: Final = 900.0
MAX_PAGE: Final = 1_000
CLIENT_VERSION: Final = "Halyard-Client-Version"

_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}", re.ASCII)

Caller = Annotated[str, Depends(organisation)]


def upload_limits(settings: Settings) -> dict[tuple[str, str], Limit]:
    """What the edge allows to uploads: larger than any other body, and longer."""
    limit = Limit(
        settings.http.max_upload_bytes, UPLOAD_SECONDS, too_large="Send the file in several parts."
    )
    return {("POST", "/uploads"): limit}


def make_router(intake: Intake, directory: Directory, pool: Pool, clock: Clock) -> APIRouter:
    """The routes of this connector."""
    router = APIRouter()

    @router.post("/uploads", status_code=202)
    async def upload(
        request: Request,
        caller: Caller,
        sequence: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    ) -> dict[str, Any]:
        authority = _authority(directory, caller)
        format_ = _format(request)
        _check_version(request, intake.oldest_client)
        if sequence is None and authority.file_sequence == "sender":
            raise HttpProblem(
                422,
                "The file's sequence number is missing",
                "Your files are ordered by your own number: add ?sequence=N, growing with each.",
                rule="upload.sequence_required",
                place="query.sequence",
            )
        received_at = clock()
        upload_id, order = identify(
            gss=authority.gss,
            given=sequence,
            sender_orders=authority.file_sequence == "sender",
            received_at=received_at,
            request_id=request.state.request_id,
        )
        taken = await intake.take(
            Upload(
                authority.gss, upload_id, order, received_at, request.state.traceparent, format_
            ),
            _body(request),
        )
        return taken.answer()

    @router.get("/uploads/{upload_id}")
    async def answers(
        caller: Caller,
        upload_id: Annotated[uuid.UUID, Path()],
        after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    ) -> dict[str, Any]:
        async with transaction(pool) as connection:
            found = await uploads.get(connection, upload_id)
            if found is None or found.authority != caller:
                raise HttpProblem(
                    404,
                    "No such upload is known yet",
                    "If it was answered 202 a moment ago, ask again: answers appear once the hub "
                    "has read it. Else check the id.",
                    rule="upload.not_known",
                    headers={"Retry-After": "2"},
                )
            page = await uploads.answers(connection, upload_id, after=after, limit=limit)
        return page_body(found, page, limit=limit)

    return router


def _authority(directory: Directory, caller: str) -> Authority:
    authority = directory.authorities.get(caller)
    if authority is None:
        raise HttpProblem(
            403,
            "Only a local authority may upload flags",
            "Use an authority's token.",
            rule="upload.not_an_authority",
        )
    return authority


def _format(request: Request) -> Format:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if given not in CONTENT_TYPES or encoding != "identity":
        raise HttpProblem(
            415,
            "Neither JSON lines nor CSV",
            "Send one JSON object a line as application/x-ndjson, or text/csv; uncompressed.",
            rule="upload.content_type",
        )
    return CONTENT_TYPES[given]


def _check_version(request: Request, oldest: str | None) -> None:
    stated = request.headers.get(CLIENT_VERSION)
    if stated is None or oldest is None or version(stated) >= version(oldest):
        return
    raise HttpProblem(
        422,
        "The client's version is no longer supported",
        f"Nothing of the file was read; send it with version {oldest} of the client or a later "
        "one.",
        rule="upload.client_version",
        place=f"header.{CLIENT_VERSION}",
        extras={"file_code": FileCode.CLIENT, "file_text": FILE_TEXTS[FileCode.CLIENT]},
    )


def version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, without zeros at their end; () if it begins with none."""
    match = _VERSION.match(text.strip())
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
