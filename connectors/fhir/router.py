"""``POST /fhir/R4/$process-message``: one FHIR message, answered when it is stored for good."""

from __future__ import annotations

import sys
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from connectors.fhir.documented import MESSAGE, answer, fhir_responses
from connectors.fhir.intake import Answer, Arrived, Intake
from connectors.fhir.outcomes import CONTENT_TYPE, PATH, RECEIPT, Issue
from halyard.http import HttpProblem, Limit, organisation

CONTENT_TYPES: Final = frozenset({"application/fhir+json", "application/json"})
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})
_SECONDS: Final = 30.0

Caller = Annotated[str, Depends(organisation)]


def message_limits() -> dict[tuple[str, str], Limit]:
    """What the edge allows: any size, because the route itself stops reading at its limit, keeps
    what it has, and answers as FHIR asks.
    """
    return {("POST", PATH): Limit(sys.maxsize, _SECONDS)}


def make_router(intake: Intake) -> APIRouter:
    """The routes of this connector."""
    router = APIRouter()

    @router.post(
        PATH,
        status_code=202,
        tags=["messages"],
        summary="Send one FHIR message",
        response_class=Response,
        responses={
            202: answer("OperationOutcome", "It is stored for good; the receipt is its id."),
            **fhir_responses(400, 403, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": MESSAGE},
    )
    async def process_message(request: Request, caller: Caller) -> Response:
        body, problem = await _body(request, intake.max_bytes)
        arrived = Arrived(
            organisation=caller,
            received_at=intake.clock(),
            traceparent=request.state.traceparent,
            body=body,
            length=_stated_length(request),
        )
        if problem is None and not _type_is_known(request):
            problem = "content-type"
        if problem is not None:
            return _response(await intake.refuse(arrived, (Issue(problem, ""),)))
        return _response(await intake.take(arrived))

    return router


async def _body(request: Request, limit: int) -> tuple[bytes, str | None]:
    """The body as far as it is read, and the rule that it breaks on its way, if any."""
    parts: list[bytes] = []
    length = 0
    try:
        async for chunk in request.stream():
            parts.append(chunk)
            length += len(chunk)
            if length > limit:
                return b"".join(parts), "oversize"
    except (HttpProblem, ClientDisconnect):  # it stalled, or the sender is gone
        return b"".join(parts), "broke-off"
    return b"".join(parts), None


def _stated_length(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 16 else 0


def _type_is_known(request: Request) -> bool:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = ""
    for one in parameters.split(";"):
        name, _, value = one.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    known = kind.strip().lower() in CONTENT_TYPES
    return known and charset in _CHARSETS and encoding == "identity"


def _response(answer: Answer) -> Response:
    headers = {RECEIPT: answer.receipt} if answer.receipt else {}
    if answer.status == 503:
        headers["Retry-After"] = "5"
    return Response(answer.body, answer.status, headers, CONTENT_TYPE)
