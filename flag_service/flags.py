"""``POST /flags/query``: is this child (or mother) protected, by whom, whom to ring?"""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from connectors.fhir.flag_projection import NONE_HELD_ADVICE
from flag_service import lookup
from flag_service.bodies import Body, usable_number
from flag_service.looking import MAX_REASON
from flag_service.lookups import Look, Lookups, Seen
from halyard import nhs_number
from halyard.http import HttpProblem, caller, problem
from halyard.problems import responses
from halyard.settings import Settings
from policies.purposes import Purpose

RETRY: Final = "5"  # seconds


class FlagsQuery(Body):
    """The number stands in the body, never in a URL."""

    nhs_number: str = Field(min_length=1, max_length=20, repr=False)
    purpose: Literal["urgent-care", "direct-care", "child-protection", "break-glass"]
    # in the asker's own words; needed to break the glass
    reason: str | None = Field(default=None, max_length=MAX_REASON, repr=False)
    # whether the person attends without an appointment: then the authority is told of the look
    unscheduled: bool = True


class FlagsAnswer(BaseModel):
    """One of three answers (docs/reference/http-api.md)."""

    model_config = ConfigDict(extra="allow")

    answer: Literal["flagged", "none-held"]
    as_of: str
    purpose: str
    policy: dict[str, Any]
    death_noted: str | None
    coverage_as_of: str
    coverage: list[dict[str, Any]]
    not_covered: list[dict[str, Any]]
    earlier_attendances: list[dict[str, Any]] | None
    earlier_attendances_rule: (
        Literal["shown", "not-your-role", "no-visit-here", "none-or-withheld", "withheld"] | None
    )
    flags: list[dict[str, Any]] = []
    accesses: list[dict[str, Any]] | None = []
    accesses_rule: Literal["shown", "withheld"] | None = None
    number: str | None = None
    advice: str | None = None


def make_router(settings: Settings, lookups: Lookups) -> APIRouter:
    """The look-up of flags."""
    router = APIRouter()
    profile = nhs_number.profile_for(settings.profile)

    @router.post(
        "/flags/query",
        tags=["look-ups"],
        summary="Is this child, or mother, protected: by whom, and whom to ring",
        responses={200: {"model": FlagsAnswer}, **responses(422)},
        response_class=Response,
    )
    async def query(request: Request, body: FlagsQuery) -> Response:
        seen = await lookups.look(
            Look(
                number=usable_number(body.nhs_number, profile),
                # no dependency: FastAPI takes 50 µs for one
                caller=await caller(request),
                purpose=Purpose(body.purpose),
                reason=body.reason,
                unscheduled=body.unscheduled,
                request_id=str(request.state.request_id),
                interface="flags-query",
                traceparent=request.state.traceparent,
            )
        )
        if not seen.permitted:
            raise not_permitted(seen)
        if seen.answer == lookup.NOT_CHECKED:
            return _not_checked(seen.members)
        members = seen.members
        if seen.answer == lookup.NONE_HELD:
            members = {**members, "advice": NONE_HELD_ADVICE}
        return Response(orjson.dumps(members), media_type="application/json")

    return router


def not_permitted(seen: Seen) -> HttpProblem:
    """No policy lets the asker be shown anything."""
    return HttpProblem(
        403,
        "No sharing policy permits this look",
        "Check the purpose that you state and the role that you ask in with whoever keeps the "
        "hub's sharing policies.",
        rule=f"policy.{seen.ruling.rule}",
        extras={"policy": {"id": seen.ruling.policy, "version": seen.ruling.version}},
    )


def _not_checked(members: dict[str, Any]) -> Response:
    """503, so that a client that looks only at the status cannot take it for an answer."""
    advice = "Ask again; until then follow your local procedure as if the system were down."
    if lasting := members.get("reason") == lookup.NOT_CURRENT:
        advice = (
            "PDS no longer has this number, and asking again does not help: look the person up in "
            "PDS and ask under the number that stands there. Until then follow your local "
            "procedure as if the system were down."
        )
    return problem(
        503,
        "Could not be checked",
        f"This says nothing about the child. {advice}",
        rule="flags.could_not_be_checked",
        headers=None if lasting else {"Retry-After": RETRY},
        extras={**members, "answer": lookup.NOT_CHECKED},
    )
