"""``POST /uploads`` and ``GET /uploads/{id}``: a local authority's flag files and their answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from connectors.local_authority.answers import FILE_TEXTS, FileCode, page_body
from connectors.local_authority.intake import Intake, Upload, identify
from connectors.local_authority.reading import CONTENT_TYPES, Format
from connectors.local_authority.shapes import FILE, Receipt, UploadAnswers
from halyard.caller import Caller as Who
from halyard.clock import Clock
from halyard.http import HttpProblem, Limit, organisation
from halyard.http import caller as who_asks
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from halyard.settings import Settings
from policies.desk import Asked, Desk, of_each
from policies.refusing import refusal
from policies.ruling import Flow
from stores import audit, uploads
from stores.audit import AuditEntry
from stores.directory import Authority, Directory
from stores.uploads import AnswerRow, UploadRow

UPLOAD_SECONDS: Final = 900.0
MAX_PAGE: Final = 1_000
CLIENT_VERSION: Final = "Halyard-Client-Version"

_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}", re.ASCII)

Caller = Annotated[str, Depends(organisation)]
Asking = Annotated[Who, Depends(who_asks)]

ANSWERS: Final = "answers"
LOCAL_ID: Final = "answers.local_id"
"""How sharing policies name what a page tells."""


def upload_limits(settings: Settings) -> dict[tuple[str, str], Limit]:
    """What the edge allows to uploads: larger than any other body, and longer."""
    limit = Limit(
        settings.http.max_upload_bytes, UPLOAD_SECONDS, too_large="Send the file in several parts."
    )
    return {("POST", "/uploads"): limit}


def make_router(
    intake: Intake, directory: Directory, pool: Pool, clock: Clock, desk: Desk
) -> APIRouter:
    """The routes of this connector."""
    router = APIRouter()

    @router.post(
        "/uploads",
        status_code=202,
        tags=["flags"],
        summary="Send a flag file",
        responses={202: {"model": Receipt}, **responses(408, 413, 415, 422)},
        openapi_extra=FILE,
    )
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

    @router.get(
        "/uploads/{upload_id}",
        tags=["flags"],
        summary="Answers to a flag file, record by record",
        responses={200: {"model": UploadAnswers}, **responses(403, 404, 422)},
    )
    async def answers(
        request: Request,
        asking: Asking,
        upload_id: Annotated[uuid.UUID, Path()],
        after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    ) -> dict[str, Any]:
        caller = asking.organisation
        async with scoped(pool, caller) as connection:
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
            body = page_body(found, page, limit=limit)
            asked = _asked(desk, asking, page, clock())
            await audit.append(connection, _entries(desk, asked, asking, request, found, page))
        if not asked.permitted:
            raise refusal(asked)
        if LOCAL_ID in asked.ruling.withheld:
            body["records"] = [{**one, "local_id": None} for one in body["records"]]
        return body

    return router


def _asked(desk: Desk, asking: Who, page: Sequence[AnswerRow], at: datetime) -> Asked:
    fields = {ANSWERS}  # the counts of the file are answers too
    if any(one.local_id for one in page):
        fields.add(LOCAL_ID)
    return desk.ask(
        Flow.UPLOAD_ANSWER,
        asking.organisation,
        frozenset(fields),
        at=at,
        roles=asking.roles,
    )


def _entries(
    desk: Desk,
    asked: Asked,
    asking: Who,
    request: Request,
    upload: UploadRow,
    page: Sequence[AnswerRow],
) -> list[AuditEntry]:
    lines = f"{page[0].line}-{page[-1].line}" if page else "none"
    return [
        desk.entry(
            asked,
            at=asked.disclosure.at,
            actor=asking.subject,
            organisation=asking.organisation,
            actor_name=asking.name,
            role=asking.job_role,
            token_id=asking.token_id,
            request_id=request.state.request_id,
            person=person,
            subject=f"upload:{upload.upload_id}",
            detail=(("count", str(count)), ("lines", lines)),
        )
        for person, count in of_each(one.person for one in page).items()
    ]


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
