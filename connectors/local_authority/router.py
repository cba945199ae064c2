"""``POST /uploads`` and ``GET /uploads/{id}``: a local authority's flag files and their answers."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from connectors.local_authority.answers import page_body
from connectors.local_authority.intake import Intake, Upload, identify
from halyard.clock import Clock
from halyard.http import HttpProblem, Limit, organisation
from halyard.postgres import Pool, transaction
from halyard.settings import Settings
from stores import uploads
from stores.directory import Authority, Directory

CONTENT_TYPES: Final = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/json-lines",
        "application/jsonlines",
        "application/jsonl",
        "application/x-jsonlines",
    }
)
UPLOAD_SECONDS: Final = 900.0
MAX_PAGE: Final = 1_000

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
        _check_type(request)
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
            Upload(authority.gss, upload_id, order, received_at, request.state.traceparent),
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


def _check_type(request: Request) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if given not in CONTENT_TYPES or encoding != "identity":
        raise HttpProblem(
            415,
            "Not a file of JSON lines",
            "Send one JSON object a line, uncompressed, as application/x-ndjson.",
            rule="upload.content_type",
        )


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
