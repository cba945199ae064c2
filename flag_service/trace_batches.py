"""``/trace-batches``: an authority's file of children, traced with what is left of the ration."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from connectors.trace_files import results
from connectors.trace_files.results import GO_LIVE, match_rate
from flag_service import cursors
from flag_service.trace_loading import Loaded, load
from flag_service.tracing import (
    ASKED_OF_LINES,
    MAX_REASON,
    Tracing,
    ask,
    entry,
    refused_lines,
    tell_lines,
)
from halyard.caller import Caller
from halyard.errors import PermanentError
from halyard.http import HttpProblem, Limit, caller
from halyard.postgres import scoped
from halyard.problems import responses
from halyard.settings import Settings
from halyard.wording import says_something
from stores import audit, trace_batches
from stores.directory import Directory
from stores.trace_batches import Batch

LOAD_SECONDS: Final = 900.0
RESULT_SECONDS: Final = 600.0
PAGE: Final = 1_000

Asking = Annotated[Caller, Depends(caller)]
BatchId = Annotated[uuid.UUID, Path()]
Purposes = Literal["child-protection", "direct-care"]

FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "Children to be traced: CSV with a first line that names its columns.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


RESULT: Final = {
    "type": "string",
    "description": "line,local_id,outcome,rule,nhs_number,column,number_rule: a row for each line "
    "of the file. number_rule: why what was sent as the NHS number is none; then the other details "
    "alone were looked for.",
}


class RefusedLineView(BaseModel):
    """A line that was not taken."""

    line: int
    column: str | None
    rule: str
    message: str


class BatchTaken(BaseModel):
    """What was taken in; `repeat_of`: the same file is there already, and this is its batch."""

    batch_id: uuid.UUID
    repeat_of: uuid.UUID | None
    lines: int = Field(ge=0)
    refused_count: int = Field(ge=0)
    refused: list[RefusedLineView]


class BatchView(BaseModel):
    """A batch as it stands."""

    batch_id: uuid.UUID
    state: Literal["loading", "running", "done", "cancelled"]
    purpose: str
    made_at: datetime
    made_by: str = Field(description="The account.")
    made_by_name: str | None = Field(description="The person, as stated.")
    lines: int
    refused: int
    answered: int
    counts: dict[str, int] = Field(description="Lines by outcome, refused ones too.")
    match_rate: float | None = Field(description="Share of all lines whose number is known.")
    go_live: bool | None = Field(description="Whether that is 95 % or more.")
    seconds_left: int | None = Field(description="At least, if nothing else is asked of PDS.")
    done_at: datetime | None
    emptied_at: datetime | None


class ReasonView(BaseModel):
    """Lines that had this outcome by this rule."""

    outcome: str
    rule: str | None
    lines: int


class BatchDetail(BatchView):
    """A batch with its reasons, the most frequent first."""

    reasons: list[ReasonView]
    unusable_numbers: dict[str, int] = Field(description="Lines whose number is none, by its rule.")


class BatchPage(BaseModel):
    """Batches, the newest first."""

    batches: list[BatchView]
    next: str | None
    more: bool


def trace_limits(settings: Settings) -> dict[tuple[str, str], Limit]:
    """What the edge allows to files: larger than any other body, and longer."""
    limit = Limit(
        settings.http.max_upload_bytes, LOAD_SECONDS, too_large="Send the file in several parts."
    )
    # a long result takes longer than other answers: each of its pages is put on record first
    result = Limit(settings.http.max_body_bytes, RESULT_SECONDS)
    return {("POST", "/trace-batches"): limit, ("GET", "/trace-batches/{id}/result"): result}


def make_router(mine: Tracing, directory: Directory, *, max_line_bytes: int) -> APIRouter:
    """The routes of batches."""
    router = APIRouter()

    @router.post(
        "/trace-batches",
        status_code=202,
        tags=["tracing"],
        summary="Send a file of children to be traced",
        responses={202: {"model": BatchTaken}, **responses(403, 408, 409, 413, 415, 422)},
        openapi_extra=FILE,
    )
    async def start(
        request: Request,
        asking: Asking,
        purpose: Annotated[Purposes, Query()],
        reason: Annotated[str, Header(alias="Halyard-Reason", min_length=1, max_length=MAX_REASON)],
    ) -> dict[str, Any]:
        if asking.organisation not in directory.authorities:
            raise HttpProblem(
                403,
                "Only a local authority may send a file to be traced",
                "Use an authority's token; others trace one person at a time (POST /traces).",
                rule="trace.not_an_authority",
            )
        _check_head(request, reason)
        loaded = await load(
            mine,
            asking,
            purpose=purpose,
            reason=reason.strip(),
            chunks=_body(request),
            request_id=request.state.request_id,
            max_line_bytes=max_line_bytes,
        )
        return _taken(loaded)

    @router.get(
        "/trace-batches",
        tags=["tracing"],
        summary="Files that your organisation has had traced",
        responses={200: {"model": BatchPage}, **responses(403, 422)},
    )
    async def page(
        asking: Asking,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> dict[str, Any]:
        given = cursors.decode(after)
        async with scoped(mine.pool, asking.organisation) as connection:
            found = await trace_batches.page(
                connection, asking.organisation, before=given, limit=limit
            )
        last = found[-1] if found else None
        return {
            "batches": [view(one, mine) for one in found],
            "next": cursors.encode(last.made_at, last.batch_id) if last else after,
            "more": len(found) == limit,
        }

    @router.get(
        "/trace-batches/{batch_id}",
        tags=["tracing"],
        summary="How far a file is, and why lines have no number",
        responses={200: {"model": BatchDetail}, **responses(403, 404, 422)},
    )
    async def one(asking: Asking, batch_id: BatchId) -> dict[str, Any]:
        async with scoped(mine.pool, asking.organisation) as connection:
            batch = known(await trace_batches.get(connection, batch_id), asking)
            why = await trace_batches.reasons(connection, batch_id)
            unusable = await trace_batches.unusable_numbers(connection, batch_id)
        reasons = [
            {"outcome": each.outcome, "rule": each.rule, "lines": each.amount} for each in why
        ]
        return {**view(batch, mine), "reasons": reasons, "unusable_numbers": unusable}

    @router.get(
        "/trace-batches/{batch_id}/result",
        tags=["tracing"],
        summary="What became of each line, as CSV",
        responses={
            200: {"content": {"text/csv": {"schema": RESULT}}},
            **responses(403, 404, 410, 422),
        },
        response_class=Response,
    )
    async def result(
        request: Request,
        asking: Asking,
        batch_id: BatchId,
        after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    ) -> Response:
        async with scoped(mine.pool, asking.organisation) as connection:
            batch = known(await trace_batches.get(connection, batch_id), asking)
        if (refused := refused_lines(mine, asking, batch.purpose)) is not None:
            raise refused
        if batch.state == "cancelled" or batch.emptied_at is not None:
            raise HttpProblem(
                410,
                "The result is not kept any more",
                "Send the file again to have it traced anew.",
                rule="trace.gone",
            )
        lines = stream(mine, asking, batch, after=after, request_id=request.state.request_id)
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8")

    @router.delete(
        "/trace-batches/{batch_id}",
        status_code=204,
        tags=["tracing"],
        summary="Ask nothing more for a file, and forget its result",
        responses=responses(403, 404, 422),
        response_class=Response,
    )
    async def end(request: Request, asking: Asking, batch_id: BatchId) -> Response:
        async with scoped(mine.pool, asking.organisation) as connection:
            batch = known(await trace_batches.get(connection, batch_id), asking)
        await cancel(mine, asking, batch, request_id=request.state.request_id)
        return Response(status_code=204)

    return router


async def cancel(
    mine: Tracing,
    asking: Caller,
    batch: Batch,
    *,
    request_id: str | None,
    reason: str | None = None,
) -> bool:
    """End a batch and have its result forgotten, which is recorded; False if it was before."""
    asked = ask(mine, asking, ASKED_OF_LINES, batch.purpose)
    async with scoped(mine.pool, asking.organisation) as connection:
        cancelled = await trace_batches.cancel(connection, batch.batch_id)
        if cancelled:
            about = entry(
                mine,
                asked,
                asking,
                kind="administration",
                subject=f"trace-batch:{batch.batch_id}",
                request_id=request_id,
                reason=reason,
                detail=(("act", "cancelled"), ("was", batch.state)),
            )
            await audit.append(connection, [about])
    return cancelled


async def stream(
    mine: Tracing,
    asking: Caller,
    batch: Batch,
    *,
    after: int,
    request_id: str | None,
    reason: str | None = None,
) -> AsyncIterator[bytes]:
    """The result, a page at a time; each page is on record before it leaves. A result that cannot
    be told to its end breaks off, so that nobody takes a part for the whole.
    """
    yield results.header()
    while True:
        async with scoped(mine.pool, asking.organisation) as connection:
            page = await trace_batches.results(connection, batch.batch_id, after=after, limit=PAGE)
            told = (
                await tell_lines(
                    connection,
                    mine,
                    asking,
                    batch.batch_id,
                    batch.purpose,
                    page,
                    request_id=request_id,
                    reason=reason,
                )
                if page
                else []
            )
        if told is None:
            raise ResultBrokeOff
        if not page:
            return
        yield results.rows(told)
        after = page[-1].line


class ResultBrokeOff(PermanentError):
    """A policy changed while the result was told; fetch it again from its last line."""


def view(batch: Batch, mine: Tracing) -> dict[str, Any]:
    """A batch as it is shown to its organisation."""
    rate = match_rate(batch.counts) if batch.state == "done" else None
    left = batch.lines - batch.answered if batch.state == "running" else None
    return {
        "batch_id": str(batch.batch_id),
        "state": batch.state,
        "purpose": batch.purpose,
        "made_at": batch.made_at.isoformat(),
        "made_by": batch.made_by,
        "made_by_name": batch.made_by_name,
        "lines": batch.lines,
        "refused": batch.refused,
        "answered": batch.answered,
        "counts": batch.counts,
        "match_rate": None if rate is None else round(rate, 4),
        "go_live": None if rate is None else rate >= GO_LIVE,
        "seconds_left": None if left is None else round(left / mine.calls_per_second),
        "done_at": batch.done_at.isoformat() if batch.done_at else None,
        "emptied_at": batch.emptied_at.isoformat() if batch.emptied_at else None,
    }


def known(batch: Batch | None, asking: Caller) -> Batch:
    """The batch. Raises `HttpProblem` 404 where there is none of the caller's organisation."""
    if batch is None or batch.kind != "file" or batch.organisation != asking.organisation:
        raise HttpProblem(
            404,
            "No such batch is known",
            "Check the id; GET /trace-batches lists your organisation's.",
            rule="trace.not_known",
        )
    return batch


def _taken(loaded: Loaded) -> dict[str, Any]:
    return {
        "batch_id": str(loaded.batch_id),
        "repeat_of": str(loaded.repeat_of) if loaded.repeat_of else None,
        "lines": loaded.lines,
        "refused_count": loaded.refused_count,
        "refused": loaded.refused,
    }


def _check_head(request: Request, reason: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if given not in ("text/csv", "application/csv") or encoding != "identity":
        raise HttpProblem(
            415,
            "Not CSV",
            "Send the file as text/csv, uncompressed.",
            rule="trace.content_type",
        )
    if not (reason.isprintable() and says_something(reason)):
        raise HttpProblem(
            422,
            "The reason says nothing",
            "Say in Halyard-Reason, in plain text, why these children are traced; name nobody.",
            rule="trace.reason",
            place="header.Halyard-Reason",
        )


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
