"""``GET /reviews/accesses`` and ``POST /reviews/accesses/{id}``: a person looks at accesses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from flag_service import cursors
from flag_service.actors import actor_of
from flag_service.audit import moment
from flag_service.bodies import Body
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.http import HttpProblem, caller
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from stores.audit_reviews import Review
from streams.audit.reading import Reader
from streams.audit.reviewing import ReviewRefused, close_review, read_reviews

Who = Annotated[Caller, Depends(caller)]


class ReviewView(BaseModel):
    """One access under review; `access` is its audit entry."""

    review_id: str
    rule: str
    opened_at: str
    due_at: str
    overdue: bool
    actor: str
    access: dict[str, Any] | None
    closed_at: str | None
    reviewer: str | None
    outcome: Literal["appropriate", "inappropriate", "needs-enquiry"] | None
    note: str | None


class ReviewPage(BaseModel):
    """Reviews, the first due first."""

    reviews: list[ReviewView]
    next: str | None
    more: bool


class Verdict(Body):
    """What the reviewer found; the note says why. No personal data of the child."""

    outcome: Literal["appropriate", "inappropriate", "needs-enquiry"]
    note: str = Field(min_length=1, max_length=1_000, repr=False)


def make_router(
    pool: Pool, clock: Clock, *, new_id: Callable[[], uuid.UUID] = uuid.uuid4
) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["audit"])

    @router.get(
        "/reviews/accesses",
        summary="Accesses of your organisation that a person must look at",
        responses={200: {"model": ReviewPage}, **responses(422)},
    )
    async def list_reviews(
        request: Request,
        who: Who,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        closed: bool = False,
    ) -> dict[str, Any]:
        place = cursors.decode(after)
        async with scoped(pool, who.organisation) as connection:
            now = clock()
            found = await read_reviews(
                connection,
                Reader(
                    subject=who.subject,
                    organisation=who.organisation,
                    chain=who.organisation,
                    name=who.name,
                    role=",".join(sorted(who.roles)) or None,
                    request_id=request.state.request_id,
                    token_id=who.token_id,
                ),
                now=now,
                entry_id=new_id(),
                chain=who.organisation,
                closed_too=closed,
                after=place,
                limit=limit,
            )
        return {
            "reviews": [view(one, overdue=one.due_at < now) for one in found],
            "next": cursors.encode(found[-1].due_at, found[-1].review_id) if found else after,
            "more": len(found) == limit,
        }

    @router.post(
        "/reviews/accesses/{review_id}",
        summary="Close a review with its outcome",
        responses={200: {"model": ReviewView}, **responses(404, 409, 422)},
    )
    async def close(
        request: Request, who: Who, review_id: uuid.UUID, body: Verdict
    ) -> dict[str, Any]:
        reviewer = replace(
            actor_of(who, request.state.request_id), role=",".join(sorted(who.roles)) or None
        )
        try:
            async with scoped(pool, who.organisation) as connection:
                found = await close_review(
                    connection,
                    review_id,
                    reviewer,
                    outcome=body.outcome,
                    note=body.note,
                    now=clock(),
                    entry_id=new_id(),
                    chain=who.organisation,
                )
        except ReviewRefused as refused:
            status = 403 if refused.rule == "review.own_access" else 409
            raise HttpProblem(
                status, "The review cannot be closed so", refused.message, rule=refused.rule
            ) from None
        if found is None:
            raise HttpProblem(
                404,
                "There is no such review",
                "Give the review_id of GET /reviews/accesses.",
                rule="review.unknown",
            )
        return view(found, overdue=False)

    return router


def view(review: Review, *, overdue: bool) -> dict[str, Any]:
    """A review as JSON."""
    return {
        "review_id": str(review.review_id),
        "rule": review.rule,
        "opened_at": moment(review.opened_at),
        "due_at": moment(review.due_at),
        "overdue": overdue and review.closed_at is None,
        "actor": review.actor,
        "access": review.entry,
        "closed_at": moment(review.closed_at),
        "reviewer": review.reviewer,
        "outcome": review.outcome,
        "note": review.note,
    }
