"""``/worklist``: an organisation's records that match nobody yet, and what its people do then."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from flag_service import cursors, worklist_actions, worklist_views
from flag_service.actors import actor_of, disclosures_of
from flag_service.bodies import Body
from flag_service.shapes import WorklistDecided, WorklistItem, WorklistPage
from flag_service.worklist_actions import (
    FIELDS,
    QUESTIONS,
    REJECTIONS,
    Done,
    Wanted,
    not_known,
)
from halyard.actor import Actor
from halyard.caller import Caller as Who
from halyard.clock import Clock
from halyard.http import caller
from halyard.nhs_number import profile_for
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from halyard.settings import Settings
from policies.desk import Asked, Desk
from policies.refusing import refusal
from policies.ruling import Flow
from stores import audit, resolutions
from stores import worklist as store
from stores.audit import AuditEntry
from stores.worklist import WorklistEntry

Asking = Annotated[Who, Depends(caller)]
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        repr=False,
        description="Why; kept in the audit chain and shown with the entry. No personal data.",
    ),
]


class Claim(Body):
    """Take it in hand, or let it go."""

    let_go: bool = False


class Resolve(Body):
    """Whom the record is of. `despite`: the fields that were sent wrong, as you know."""

    nhs_number: str = Field(min_length=10, max_length=20, repr=False)
    reason: Reason
    despite: list[FIELDS] = Field(
        default=[], max_length=5, description="Never both `number` and `birth_date`."
    )

    def wanted(self) -> Wanted:
        """The decision."""
        despite = tuple(self.despite)
        return Wanted("resolve", self.reason, number=self.nhs_number, despite=despite)


class Reject(Body):
    """Nobody is to be found for it."""

    because: REJECTIONS
    reason: Reason

    def wanted(self) -> Wanted:
        """The decision."""
        return Wanted("reject", self.reason, code=self.because)


class Ask(Body):
    """What its sender is to say."""

    question: QUESTIONS
    reason: Reason

    def wanted(self) -> Wanted:
        """The decision."""
        return Wanted("ask", self.reason, code=self.question)


class Because(Body):
    """Why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Acting:
    """Who decides about which entry."""

    request: Request
    asking: Who
    entry_id: uuid.UUID


def acting(request: Request, asking: Asking, entry_id: uuid.UUID) -> Acting:
    """A dependency of the routes that decide."""
    return Acting(request, asking, entry_id)


By = Annotated[Acting, Depends(acting)]


def make_router(pool: Pool, desk: Desk, clock: Clock, settings: Settings) -> APIRouter:
    """The list of open entries, one entry, and what is done with it."""
    router = APIRouter()
    identity, profile = settings.identity, profile_for(settings.profile)
    acted: dict[int | str, dict[str, Any]] = {
        202: {"model": WorklistDecided},
        **responses(403, 404, 409, 422),
    }

    @router.get(
        "/worklist",
        tags=["worklist"],
        summary="Records of your organisation that match nobody yet",
        responses={200: {"model": WorklistPage}, **responses(403, 422)},
    )
    async def worklist(
        request: Request,
        asking: Asking,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        given = cursors.decode(after)
        now, organisation = clock(), asking.organisation
        async with scoped(pool, organisation) as connection:
            entries = await store.entries(connection, organisation, after=given, limit=limit)
            body = {"entries": [worklist_views.row(one, identity, now) for one in entries]}
            asked, body = desk.masked(Flow.WORKLIST, organisation, body, at=now, roles=asking.roles)
            if entries:
                told = _told(desk, asked, _actor(asking, request), entries, "worklist", now)
                await audit.append(connection, told)
        if entries and not asked.permitted:
            raise refusal(asked)
        return {
            **body,
            "next": cursors.encode(entries[-1].opened_at, entries[-1].entry_id)
            if entries
            else after,
            "more": len(entries) == limit,
        }

    @router.get(
        "/worklist/{entry_id}",
        tags=["worklist"],
        summary="One entry: what was sent, what PDS's answer had to do with it, what was decided",
        responses={200: {"model": WorklistItem}, **responses(403, 404, 422)},
    )
    async def entry(request: Request, asking: Asking, entry_id: uuid.UUID) -> dict[str, Any]:
        now, organisation = clock(), asking.organisation
        async with scoped(pool, organisation) as connection:
            found = await store.entry(connection, entry_id, organisation=organisation)
            if found is None:
                raise not_known()
            decisions = await resolutions.of_entry(connection, entry_id)
            body = {"entries": [worklist_views.item(found, decisions, identity, now)]}
            asked, body = desk.masked(Flow.WORKLIST, organisation, body, at=now, roles=asking.roles)
            told = _told(desk, asked, _actor(asking, request), [found], _subject(entry_id), now)
            await audit.append(connection, told)
        if not asked.permitted:
            raise refusal(asked)
        shown: dict[str, Any] = body["entries"][0]
        return shown

    @router.post(
        "/worklist/{entry_id}/claim",
        tags=["worklist"],
        summary="Take an entry in hand, so that nobody else decides it meanwhile; or let it go; "
        "either shows it",
        responses={200: {"model": WorklistItem}, **responses(403, 404, 409, 422)},
    )
    async def claim(
        request: Request, asking: Asking, entry_id: uuid.UUID, body: Claim
    ) -> dict[str, Any]:
        now, actor = clock(), _actor(asking, request)
        shown: dict[str, Any] = {}

        async with scoped(pool, asking.organisation) as connection:

            async def look(found: WorklistEntry) -> Asked:
                decisions = await resolutions.of_entry(connection, entry_id)
                one = {"entries": [worklist_views.item(found, decisions, identity, now)]}
                asked, told = desk.masked(
                    Flow.WORKLIST, asking.organisation, one, at=now, roles=asking.roles
                )
                shown.update(told["entries"][0])
                return asked

            done = await worklist_actions.take_in_hand(
                connection,
                entry_id,
                actor,
                desk,
                now,
                minutes=identity.worklist_claim_minutes,
                let_go=body.let_go,
                look=look,
            )
            if done.seen is not None:  # on record as any look at it
                told = _told(desk, done.seen, actor, [done.entry], _subject(entry_id), now)
                await audit.append(connection, told)
        for asked in (done.asked, done.seen):
            if asked is not None and not asked.permitted:
                raise refusal(asked)
        return shown

    async def act(by: Acting, wanted: Wanted) -> dict[str, Any]:
        now, actor = clock(), _actor(by.asking, by.request)
        async with scoped(pool, by.asking.organisation) as connection:
            done = await worklist_actions.decide(
                connection, by.entry_id, wanted, actor, desk, now, profile=profile
            )
        return _said(done)

    decision = partial(router.post, tags=["worklist"], status_code=202, responses=acted)

    @decision(
        "/worklist/{entry_id}/resolve",
        summary="Say whose record it is; PDS is asked for the number",
    )
    async def resolve(by: By, body: Resolve) -> dict[str, Any]:
        return await act(by, body.wanted())

    @decision(
        "/worklist/{entry_id}/reject", summary="Close an entry of which nobody is to be found"
    )
    async def reject(by: By, body: Reject) -> dict[str, Any]:
        return await act(by, body.wanted())

    @decision("/worklist/{entry_id}/ask", summary="Ask whoever sent the record")
    async def ask(by: By, body: Ask) -> dict[str, Any]:
        return await act(by, body.wanted())

    @decision("/worklist/{entry_id}/retry", summary="Have PDS asked again now")
    async def retry(by: By, body: Because) -> dict[str, Any]:
        return await act(by, Wanted("retry", body.reason))

    @decision("/worklist/{entry_id}/undo", summary="Take back a resolution that was wrong")
    async def undo(by: By, body: Because) -> dict[str, Any]:
        return await act(by, Wanted("undo", body.reason))

    return router


def _actor(asking: Who, request: Request) -> Actor:
    return actor_of(asking, request.state.request_id)


def _subject(entry_id: uuid.UUID) -> str:
    return f"worklist:{entry_id}"


def _said(done: Done) -> dict[str, Any]:
    if not done.asked.permitted or done.decision is None:
        raise refusal(done.asked)
    return {
        "entry_id": str(done.entry.entry_id),
        "decision_id": str(done.decision.resolution_id),
        "action": done.decision.action,
        "state": done.decision.state,
        "changed": done.changed,
    }


def _told(
    desk: Desk,
    asked: Asked,
    actor: Actor,
    entries: list[WorklistEntry],
    subject: str,
    now: datetime,
) -> list[AuditEntry]:
    return disclosures_of(desk, asked, actor, (one.person for one in entries), subject, now)
