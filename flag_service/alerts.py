"""``GET /alerts`` and ``POST /alerts/{id}/accept``: what a duty social worker works with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from flag_service import alert_views, cursors, etags
from flag_service.alert_views import iso
from flag_service.bodies import Body
from flag_service.shapes import Accepted, AlertPage, AlertView
from halyard import faults
from halyard.caller import Caller as Who
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.http import HttpProblem, caller
from halyard.kafka import Record
from halyard.postgres import Pool, scoped
from halyard.problems import responses
from halyard.telemetry import get_logger
from policies.desk import Desk
from schemas.events import Rung
from stores import alerts, audit, delivery_rows, outbox
from stores.alerts import AlertRow
from streams.matching.receipts import receipt_entries

Asking = Annotated[Who, Depends(caller)]
# The person who accepts waits no longer for the bus: the sweeper publishes what is left
PUBLISH_SECONDS: Final = 5.0

State = Literal["raised", "accepted", "closed", "withdrawn"]

log = get_logger()


class Acceptance(Body):
    """Who takes the alert on, and what they answer the hospital."""

    by: str = Field(min_length=1, max_length=100)
    answer: str = Field(min_length=1, max_length=2_000, repr=False)
    # the round that was read: a new flag opens a new one, which wants an answer of its own
    round: int | None = Field(default=None, ge=1)


def make_router(
    pool: Pool,
    desk: Desk,
    send: outbox.Send,
    clock: Clock,
    *,
    publisher: Pool | None = None,
) -> APIRouter:
    """The routes of alerts; `publisher` (else `pool`) is the pool that may publish the outbox."""
    router = APIRouter()

    @router.get(
        "/alerts",
        tags=["alerts"],
        summary="Alerts of your organisation, by change",
        responses={200: {"model": AlertPage}, **responses(422)},
    )
    async def list_alerts(
        request: Request,
        asking: Asking,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        state: Annotated[list[State] | None, Query()] = None,
    ) -> dict[str, Any]:
        place = cursors.decode_change(after)
        organisation = asking.organisation
        async with scoped(pool, organisation) as connection:
            page = await alerts.page_for_organisation(
                connection, organisation, after=place, limit=limit, states=state, withheld=True
            )
            shown = alert_views.show(
                page.rows,
                asking,
                desk,
                clock(),
                released=await alert_views.releases(connection, organisation, page.rows, desk),
                interface="list",
                request_id=request.state.request_id,
            )
            await audit.append(connection, shown.entries)
        return {
            "alerts": list(shown.views),
            "next": cursors.encode_change(page.next),
            "more": page.more,
        }

    @router.get(
        "/alerts/{alert_id}",
        tags=["alerts"],
        summary="One alert, with its version as ETag",
        responses={
            200: {"model": AlertView, "headers": etags.HEADER},
            **responses(404, 422),
        },
    )
    async def show_alert(
        request: Request, asking: Asking, alert_id: uuid.UUID, answer: Response
    ) -> dict[str, Any]:
        organisation = asking.organisation
        async with scoped(pool, organisation) as connection:
            row = await alerts.one_for_organisation(connection, organisation, alert_id)
            if row is None:
                raise _not_known()
            shown = alert_views.show(
                [row],
                asking,
                desk,
                clock(),
                released=await alert_views.releases(connection, organisation, [row], desk),
                interface="alert",
                request_id=request.state.request_id,
            )
            await audit.append(connection, shown.entries)
        answer.headers["ETag"] = etags.etag(row.version)
        return shown.views[0]

    @router.post(
        "/alerts/{alert_id}/accept",
        tags=["alerts"],
        summary="Accept an alert and answer the hospital",
        responses={
            200: {"model": Accepted, "headers": etags.HEADER},
            **responses(404, 409, 412, 422),
        },
    )
    async def accept(
        asking: Asking,
        alert_id: uuid.UUID,
        body: Acceptance,
        response: Response,
        if_match: etags.IfMatch = None,
    ) -> dict[str, Any]:
        at, caller = clock(), asking.organisation
        async with scoped(pool, caller) as connection:
            held = await alerts.lock_alert(connection, alert_id)
            if held is None or held.authority != caller:
                raise _not_known()
            _check(held, body)
            etags.check(if_match, held.version)
            row, changed = await alerts.accept(
                connection, alert_id, by=body.by, answer=body.answer, at=at
            )
            lanes: set[int] = set()
            if changed and row is not None:
                entry, delivery = receipt_entries(
                    row, Rung.ACCEPTED, at=at, source="serve", desk=desk, actor=asking.subject
                )
                lanes = await outbox.add(connection, [entry])
                if delivery is not None:
                    await delivery_rows.add(connection, [delivery.row])
                    await audit.append(connection, [delivery.entry])
            faults.point("accept.before_commit")
        faults.point("accept.after_commit")
        if lanes:
            await _publish(publisher or pool, send, lanes)
        response.headers["ETag"] = etags.etag((row or held).version)
        return _accepted(row or held, changed=changed)

    return router


def _not_known() -> HttpProblem:
    return HttpProblem(
        404,
        "No such alert",
        "Check the id; an alert is accepted by the authority that it went to.",
        rule="alert.not_known",
    )


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
        "accepted_at": iso(row.accepted_at),
        "accepted_by": row.accepted_by,
        "answer": row.answer,
        "changed": changed,
    }
