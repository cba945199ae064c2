"""``GET /worklist``: an organisation's records that match nobody yet, and how long already."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from flag_service import cursors
from flag_service.shapes import WorklistPage
from halyard.caller import Caller as Who
from halyard.clock import Clock
from halyard.http import caller
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from policies.desk import Desk, of_each
from policies.refusing import refusal
from policies.ruling import Flow
from stores import audit
from stores import worklist as store
from stores.worklist import WorklistEntry

Asking = Annotated[Who, Depends(caller)]


def make_router(pool: Pool, desk: Desk, clock: Clock) -> APIRouter:
    """The list of open entries."""
    router = APIRouter()

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
            body = {"entries": [_view(one, now) for one in entries]}
            asked, body = desk.masked(Flow.WORKLIST, organisation, body, at=now, roles=asking.roles)
            if entries:
                told = [
                    desk.entry(
                        asked,
                        at=now,
                        actor=asking.subject,
                        organisation=organisation,
                        actor_name=asking.name,
                        role=asking.job_role,
                        token_id=asking.token_id,
                        request_id=request.state.request_id,
                        person=person,
                        subject="worklist",
                        detail=(("count", str(count)),),
                    )
                    for person, count in of_each(one.person for one in entries).items()
                ]
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

    return router


def _view(entry: WorklistEntry, now: datetime) -> dict[str, Any]:
    return {
        "entry_id": str(entry.entry_id),
        "kind": entry.event_kind,
        "rule": entry.rule,
        "indicator": entry.indicator,
        "local_id": entry.local_id,
        "upload_id": str(entry.upload_id) if entry.upload_id else None,
        "line": entry.line,
        "opened_at": entry.opened_at.isoformat(),
        "age_seconds": max(int((now - entry.opened_at).total_seconds()), 0),
    }
