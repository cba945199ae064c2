"""``GET /worklist``: an organisation's records that match nobody yet, and how long already."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from flag_service import cursors
from halyard.clock import Clock
from halyard.http import organisation
from halyard.postgres import Pool, transaction
from stores import worklist as store
from stores.worklist import WorklistEntry

Caller = Annotated[str, Depends(organisation)]


def make_router(pool: Pool, clock: Clock) -> APIRouter:
    """The list of open entries."""
    router = APIRouter()

    @router.get("/worklist")
    async def worklist(
        caller: Caller,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        given = cursors.decode(after)
        async with transaction(pool) as connection:
            entries = await store.entries(connection, caller, after=given, limit=limit)
        now = clock()
        return {
            "entries": [_view(one, now) for one in entries],
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
