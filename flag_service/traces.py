"""``POST /traces`` and ``GET /traces/{id}``: is this person who I think, and what is the number?

A trace asks PDS, so whoever guesses details would learn from it. It takes enough of them that a
guess is rare, tells nothing that was not sent but the number of whom the details prove, is counted
for each organisation, and is recorded, also where it is refused.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from connectors.trace_files.lines import Wanted, wanted
from flag_service.bodies import Body
from flag_service.tracing import (
    MAX_REASON,
    Tracing,
    denied,
    take_person,
    tell_person,
    too_little,
)
from halyard.caller import Caller
from halyard.http import HttpProblem, caller
from halyard.postgres import scoped
from halyard.problems import responses
from stores import trace_batches
from stores.trace_batches import NewBatch
from streams.tracer.batch_outcomes import text_of

POLL_SECONDS: Final = 0.1

Asking = Annotated[Caller, Depends(caller)]
Purposes = Literal["child-protection", "direct-care", "urgent-care"]


class PersonBody(Body):
    """What is known of the person: birth date and names, an NHS number if there is one."""

    nhs_number: str | None = Field(default=None, max_length=20, repr=False)
    family: str | None = Field(default=None, max_length=200, repr=False)
    given: str | None = Field(default=None, max_length=200, repr=False)
    birth_date: str | None = Field(default=None, max_length=10, repr=False)
    gender: str | None = Field(default=None, max_length=20, repr=False)
    postcode: str | None = Field(default=None, max_length=10, repr=False)


class TraceBody(Body):
    """The person's details stand in the body, never in a URL."""

    purpose: Purposes
    reason: str = Field(min_length=1, max_length=MAX_REASON, repr=False)
    person: PersonBody = Field(repr=False)


class Fields(BaseModel):
    """How what was sent stands to the record; told only where the asker knows the person."""

    nhs_number: str | None = None
    family: str | None = None
    given: str | None = None
    birth_date: str | None = None
    gender: str | None = None


class TraceAnswerView(BaseModel):
    """What PDS said. `nhs_number` is there only if the details prove whose it is; `number_rule` if
    what was sent as the number is none, so that the other details alone were looked for.
    """

    trace_id: uuid.UUID
    state: Literal["answered"]
    outcome: str | None
    text: str | None
    rule: str | None
    nhs_number: str | None
    fields: Fields | None
    number_rule: str | None = Field(
        description="Why what was sent as the NHS number is none (null: it can be one, or none was "
        "sent). The outcome is then of the other details, and of the number that is told."
    )


class TraceWaits(BaseModel):
    """PDS has not answered yet."""

    trace_id: uuid.UUID
    state: Literal["waiting"]


def make_router(mine: Tracing) -> APIRouter:
    """The routes of single traces."""
    router = APIRouter()

    @router.post(
        "/traces",
        tags=["tracing"],
        summary="Verify one person's NHS number, or find it by their details",
        responses={
            200: {"model": TraceAnswerView},
            202: {"model": TraceWaits},
            **responses(403, 422, 429),
        },
        response_class=Response,
    )
    async def trace(request: Request, body: TraceBody, asking: Asking) -> Response:
        person = person_of(body.person, mine)
        batch = NewBatch(
            mine.new_id(),
            asking.organisation,
            "person",
            body.purpose,
            body.reason,
            asking.subject,
            asking.name,
        )
        async with scoped(mine.pool, asking.organisation) as connection:
            refused = await take_person(
                connection,
                mine,
                asking,
                batch,
                person,
                request_id=request.state.request_id,
            )
        if refused is not None:
            raise refused
        return await _answered(
            request, mine, asking, batch.batch_id, mine.settings.person_wait_seconds
        )

    @router.get(
        "/traces/{trace_id}",
        tags=["tracing"],
        summary="The answer to a trace of your own, within 24 hours",
        responses={
            200: {"model": TraceAnswerView},
            202: {"model": TraceWaits},
            **responses(403, 404, 410, 422),
        },
        response_class=Response,
    )
    async def answer(
        request: Request, asking: Asking, trace_id: Annotated[uuid.UUID, Path()]
    ) -> Response:
        return await _answered(request, mine, asking, trace_id, 0.0)

    return router


async def _answered(
    request: Request, mine: Tracing, asking: Caller, trace_id: uuid.UUID, seconds: float
) -> Response:
    """The answer as soon as it is there, at most so many seconds from now; else 202."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        body = await told(mine, asking, trace_id, request_id=request.state.request_id)
        if body is not None:
            return Response(orjson.dumps(body), media_type="application/json")
        if loop.time() >= until:
            waits = {"trace_id": str(trace_id), "state": "waiting"}
            return Response(
                orjson.dumps(waits),
                202,
                {"Location": f"/traces/{trace_id}", "Retry-After": "5"},
                "application/json",
            )
        await asyncio.sleep(POLL_SECONDS)


async def told(
    mine: Tracing,
    asking: Caller,
    trace_id: uuid.UUID,
    *,
    request_id: str | None,
    reason: str | None = None,
) -> dict[str, Any] | None:
    """The answer as `asking` may see it; None while there is none. `reason`: of who comes back for
    it. Raises `HttpProblem`: 403, 404 if it is nobody's or somebody else's, 410 after a day.
    """
    async with scoped(mine.pool, asking.organisation) as connection:
        batch = await trace_batches.get(connection, trace_id)
        # somebody else's of the same organisation is nobody's business: each asks for a reason
        mine_own = batch is not None and (batch.organisation, batch.made_by) == (
            asking.organisation,
            asking.subject,
        )
        if batch is None or batch.kind != "person" or not mine_own:
            raise HttpProblem(
                404,
                "No such trace of yours is known",
                "Check the id; only who asked for a trace may see its answer.",
                rule="trace.not_known",
            )
        if batch.emptied_at is not None or batch.state == "cancelled":
            raise HttpProblem(
                410,
                "The answer is not kept any more",
                "Answers are kept for 24 hours; ask again.",
                rule="trace.gone",
            )
        if batch.state != "done":
            return None
        (one,) = await trace_batches.results(connection, trace_id, after=0, limit=1)
        asked, body = await tell_person(
            connection,
            mine,
            asking,
            trace_id,
            batch.purpose,
            one,
            request_id=request_id,
            reason=reason,
        )
    if not asked.permitted:
        raise denied(asked)
    text = text_of(body["outcome"], body["number_rule"])
    return {"trace_id": str(trace_id), "state": "answered", "text": text, **body}


def person_of(body: PersonBody, mine: Tracing) -> Wanted:
    """The person to be traced. Raises `HttpProblem` 422 for one of whom too little is said.

    What cannot be an NHS number is left out, as in a file: the answer says so.
    """
    unusable = mine.number_rule(body.nhs_number)
    today = mine.clock().date()
    found = wanted(body.model_dump(), today=today, local_id=False)
    if isinstance(found, Wanted):
        by_number = found.claim.nhs_number is not None and unusable is None
        if by_number or (found.claim.given and found.claim.family):
            return found
        if unusable is None:
            raise too_little()
        raise HttpProblem(
            422,
            "Not a usable NHS number",
            "Correct it, or give the family and the given name: then these are looked for.",
            rule=unusable,
            place="body.person.nhs_number",
        )
    first = found[0]
    if first.rule == "trace.too_little":
        raise too_little()
    raise HttpProblem(
        422,
        "A detail cannot be read",
        first.message,
        rule=first.rule,
        place=f"body.person.{first.field}",
    )
