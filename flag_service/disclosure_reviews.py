"""``/reviews/disclosures``: what a sharing policy leaves to a person, and what the person says."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from flag_service import cursors
from flag_service.actors import actor_of
from flag_service.bodies import Body
from flag_service.releasing import Outcome, decide
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.http import HttpProblem, caller
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from policies.desk import Desk
from policies.refusing import refusal
from stores import held
from stores.held import Kept

Asking = Annotated[Caller, Depends(caller)]


class Verdict(Body):
    """What the person says, and why; the reason is kept in the audit chain."""

    decision: Literal["release", "refuse"]
    reason: str = Field(min_length=1, max_length=500, repr=False)


class HeldView(BaseModel):
    """A disclosure that waits; no fact of the child."""

    item_id: uuid.UUID
    what: Literal["delivery", "letter"]
    kind: str = Field(description="alert, match, receipt, access; of a letter its message event.")
    recipient: str
    subject: uuid.UUID | None = Field(description="The alert or the case.")
    version: int | None
    policy: str | None
    policy_version: int | None
    rule: str
    denied: bool = Field(
        description="The policy denied it: it can be released once the policy permits it."
    )
    held_at: datetime
    age_seconds: int = Field(ge=0)


class HeldPage(BaseModel):
    """The queue, the oldest first."""

    disclosures: list[HeldView]
    next: str | None
    more: bool


class Decided(BaseModel):
    """What became of it."""

    item_id: uuid.UUID
    state: Literal["released", "refused", "superseded"]
    changed: bool = Field(description="False: it was decided before.")


def make_router(pool: Pool, desk: Desk, clock: Clock) -> APIRouter:
    """The queue and the decisions."""
    router = APIRouter()

    @router.get(
        "/reviews/disclosures",
        tags=["reviews"],
        summary="Disclosures that wait for a person of your organisation",
        responses={200: {"model": HeldPage}, **responses(422)},
    )
    async def list_held(
        asking: Asking,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        place = cursors.decode(after)
        async with scoped(pool, asking.organisation) as connection:
            rows = await held.kept(connection, asking.organisation, after=place, limit=limit)
        now = clock()
        return {
            "disclosures": [_view(one, now) for one in rows],
            "next": cursors.encode(rows[-1].created_at, rows[-1].item_id) if rows else after,
            "more": len(rows) == limit,
        }

    @router.post(
        "/reviews/disclosures/{item_id}",
        tags=["reviews"],
        summary="Release or refuse a disclosure",
        responses={200: {"model": Decided}, **responses(403, 404, 409, 422)},
    )
    async def review(
        request: Request, asking: Asking, item_id: uuid.UUID, body: Verdict
    ) -> dict[str, Any]:
        actor = actor_of(asking, request.state.request_id)
        async with scoped(pool, asking.organisation) as connection:
            outcome = await decide(
                connection, item_id, body.decision, actor, desk, clock(), reason=body.reason
            )
        return _said(item_id, body.decision, outcome)

    return router


def _said(item_id: uuid.UUID, word: str, outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        raise HttpProblem(
            404,
            "No such disclosure waits",
            "Check the id; `GET /reviews/disclosures` lists what waits for your organisation. What "
            "is sent already is not listed any more.",
            rule="review.not_known",
        )
    if outcome.state == "denied" and outcome.asked is not None:
        raise refusal(outcome.asked)
    if outcome.state == "own":
        raise HttpProblem(
            403,
            "You shared this yourself",
            "Another person of your organisation must look at it and release it.",
            rule="review.own",
        )
    if not outcome.changed and outcome.state != f"{word}d":
        raise HttpProblem(
            409,
            f"The disclosure was {outcome.state}",
            "There is nothing to decide any more.",
            rule="review.decided",
            extras={"state": outcome.state},
        )
    return {"item_id": str(item_id), "state": outcome.state, "changed": outcome.changed}


def _view(one: Kept, now: datetime) -> dict[str, Any]:
    return {
        "item_id": str(one.item_id),
        "what": one.what,
        "kind": one.kind,
        "recipient": one.recipient,
        "subject": str(one.subject) if one.subject else None,
        "version": one.version,
        "policy": one.policy,
        "policy_version": one.policy_version,
        "rule": one.rule,
        "denied": one.denied,
        "held_at": one.created_at.isoformat(),
        "age_seconds": max(int((now - one.created_at).total_seconds()), 0),
    }
