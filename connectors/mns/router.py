"""``POST /mns/events``: word of changes at PDS, answered when it is stored for good."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from connectors.mns.intake import Arrived, Away, Intake
from connectors.mns.reading import Fault
from halyard.http import HttpProblem, organisation
from halyard.problems import responses

PATH: Final = "/mns/events"
CONTENT_TYPES: Final = frozenset(
    {"application/cloudevents+json", "application/fhir+json", "application/json"}
)

Caller = Annotated[str, Depends(organisation)]


class IgnoredEvent(BaseModel):
    """An event that was read and is of no use here."""

    id: str
    why: str


class Noted(BaseModel):
    """What was stored for good."""

    taken: int = Field(ge=0)
    ignored: list[IgnoredEvent]


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A CloudEvent 1.0, or a FHIR R4 Bundle of type history (a notification of "
        "a subscription): docs/reference/number-changes.md.",
        "content": {kind: {"schema": {"type": "object"}} for kind in sorted(CONTENT_TYPES)},
    }
}


def make_router(intake: Intake) -> APIRouter:
    """The routes of this connector."""
    router = APIRouter()

    @router.post(
        PATH,
        status_code=202,
        tags=["messages"],
        summary="Tell of changes at PDS",
        responses={202: {"model": Noted}, **responses(400, 413, 415, 422, 503)},
        openapi_extra=BODY,
    )
    async def events(request: Request, caller: Caller) -> dict[str, Any]:
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in CONTENT_TYPES:
            raise HttpProblem(
                415,
                "Neither a CloudEvent nor a FHIR Bundle",
                "Send application/cloudevents+json or application/fhir+json.",
                rule="mns.content_type",
            )
        arrived = Arrived(
            organisation=caller,
            received_at=intake.clock(),
            traceparent=request.state.traceparent,
            body=await request.body(),
        )
        try:
            found = await intake.take(arrived)
        except Away:
            raise HttpProblem(
                503,
                "The hub cannot store it now",
                "Keep the notification and send it again.",
                rule="mns.broker_away",
                headers={"Retry-After": "5"},
            ) from None
        if isinstance(found, Fault):
            raise HttpProblem(
                found.status,
                "The notification cannot be read",
                found.advice,
                rule=found.rule,
                place=found.place,
            )
        return {
            "taken": found.taken,
            "ignored": [{"id": one.message_id, "why": one.why} for one in found.ignored],
        }

    return router
