"""``GET /alerts`` and ``POST /alerts/{id}/accept``: what a duty social worker works with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from flag_service import cursors
from halyard import faults
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.http import HttpProblem, organisation
from halyard.kafka import Record
from halyard.postgres import Pool, transaction
from halyard.telemetry import get_logger
from schemas.events import Rung
from stores import alerts, delivery_rows, outbox
from stores.alerts import AlertRow
from stores.directory import Directory
from streams.matching.payload import alert_body
from streams.matching.receipts import receipt_entries

Caller = Annotated[str, Depends(organisation)]
# The person who accepts waits no longer for the bus: the sweeper publishes what is left
PUBLISH_SECONDS: Final = 5.0

State = Literal["raised", "accepted", "closed", "withdrawn"]

log = get_logger()


class Acceptance(BaseModel):
    """Who takes the alert on, and what they answer the hospital."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    by: str = Field(min_length=1, max_length=100)
    answer: str = Field(min_length=1, max_length=2_000, repr=False)
    # the round that was read: a new flag opens a new one, which wants an answer of its own
    round: int | None = Field(default=None, ge=1)


def make_router(pool: Pool, directory: Directory, send: outbox.Send, clock: Clock) -> APIRouter:
    """The routes of alerts."""
    router = APIRouter()

    @router.get("/alerts")
    async def list_alerts(
        caller: Caller,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        state: Annotated[list[State] | None, Query()] = None,
    ) -> dict[str, Any]:
        place = cursors.decode_change(after)
        async with transaction(pool) as connection:
            page = await alerts.page_for_organisation(
                connection, caller, after=place, limit=limit, states=state, withheld=True
            )
        return {
            "alerts": [view(row, directory, caller) for row in page.rows],
            "next": cursors.encode_change(page.next),
            "more": page.more,
        }

    @router.post("/alerts/{alert_id}/accept")
    async def accept(caller: Caller, alert_id: uuid.UUID, body: Acceptance) -> dict[str, Any]:
        at = clock()
        async with transaction(pool) as connection:
            held = await alerts.lock_alert(connection, alert_id)
            if held is None or held.authority != caller:
                raise HttpProblem(
                    404,
                    "No such alert",
                    "Check the id; an alert is accepted by the authority that it went to.",
                    rule="alert.not_known",
                )
            _check(held, body)
            row, changed = await alerts.accept(
                connection, alert_id, by=body.by, answer=body.answer, at=at
            )
            lanes: set[int] = set()
            if changed and row is not None:
                entry, delivery = receipt_entries(
                    row, Rung.ACCEPTED, at=at, source="serve", directory=directory
                )
                lanes = await outbox.add(connection, [entry])
                if delivery is not None:
                    await delivery_rows.add(connection, [delivery])
            faults.point("accept.before_commit")
        faults.point("accept.after_commit")
        if lanes:
            await _publish(pool, send, lanes)
        return _accepted(row or held, changed=changed)

    return router


def _check(row: AlertRow, body: Acceptance) -> None:
    if row.state in (alerts.WITHDRAWN, alerts.CLOSED):
        raise HttpProblem(
            409,
            f"The alert is {row.state}",
            "There is nothing to accept any more; read the alert again.",
            rule=f"alert.{row.state}",
            extras={"state": row.state, "version": row.version},
        )
    if body.round is not None and body.round != row.round:
        raise HttpProblem(
            409,
            "The alert has changed since it was read",
            "Another plan was added, or the visit revived; read it again, then accept this round.",
            rule="alert.other_round",
            extras={"state": row.state, "version": row.version, "round": row.round},
        )


async def _publish(pool: Pool, send: outbox.Send, lanes: set[int]) -> None:
    """Hand the receipt to the bus now; what fails here the sweeper does a moment later."""

    async def produced(records: Sequence[Record]) -> Sequence[bool | outbox.Never]:
        confirmed = await send(records)
        faults.point("accept.after_produce")  # before it is marked
        return confirmed

    try:
        async with asyncio.timeout(PUBLISH_SECONDS):
            await outbox.publish_lanes(pool, produced, lanes)
    except (HalyardError, TimeoutError) as error:
        log.warning("receipt_left_to_sweeper", exc_info=error)


def _accepted(row: AlertRow, *, changed: bool) -> dict[str, Any]:
    return {
        "alert_id": str(row.alert_id),
        "version": row.version,
        "round": row.round,
        "state": row.state,
        "accepted_at": _iso(row.accepted_at),
        "accepted_by": row.accepted_by,
        "answer": row.answer,
        "changed": changed,
    }


def view(row: AlertRow, directory: Directory, caller: str) -> dict[str, Any]:
    """An alert as a list shows it: without the number, and the authority's own id for itself. Of
    one whose person has become restricted only that it is withheld from lists since.
    """
    if row.restricted:
        return {
            "alert_id": str(row.alert_id),
            "version": row.version,
            "state": "withheld",
            "changed_at": _iso(row.withheld_at),
        }
    body: dict[str, Any] = orjson.loads(alert_body(row.content, directory))
    del body["person"]
    if caller != row.authority:
        for flag in body["flags"]:
            del flag["local_id"]
    return {
        **body,
        "version": row.version,
        "state": row.state,
        "round": row.round,
        "provisional": row.provisional,
        "raised_at": _iso(row.raised_at),
        "changed_at": _iso(row.changed_at),
        "delivered_at": _iso(row.delivered_at),
        "seen_at": _iso(row.seen_at),
        "accepted_at": _iso(row.accepted_at),
        "accepted_by": row.accepted_by,
        "answer": row.answer,
        "withdrawn_at": _iso(row.withdrawn_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
