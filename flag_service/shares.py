"""``POST /alerts/{alert_id}/share``: an authority passes an alert on to an agency."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from flag_service import etags
from flag_service.bodies import Body
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.http import HttpProblem, caller
from halyard.postgres import Connection, Pool, scoped
from halyard.problems import responses
from policies.desk import Asked, Desk
from policies.refusing import refusal
from stores import alerts, shares
from stores.alerts import AlertRow
from stores.entry import OrganisationCode
from stores.shares import Share
from streams.letters import write
from streams.matching import shares as sharing

OVER: Final = (alerts.WITHDRAWN, alerts.CLOSED)

Asking = Annotated[Caller, Depends(caller)]


class Sharing(Body):
    """With whom, and why: the reason is kept in the audit chain and told to nobody else."""

    recipient: OrganisationCode  # an agency of the directory
    reason: str = Field(min_length=1, max_length=500, repr=False)


class Shared(BaseModel):
    """What became of it."""

    share_id: uuid.UUID = Field(description="Id of the letter that tells the agency.")
    alert_id: uuid.UUID
    version: int = Field(ge=1, description="Of the alert's content that was shared.")
    recipient: str
    state: str = Field(description="shared; held: a person releases it first; or how that ended.")
    fields: list[str] = Field(
        description="Names of the facts that the agency is told; held: once it is released."
    )
    withheld: list[str] = Field(description="Names of those that it is not.")
    policy: str = Field(description="That decided when it was shared.")
    policy_version: int
    changed: bool = Field(description="False: this version was shared with the agency before.")


@dataclass(frozen=True, slots=True)
class _Done:
    share: Share
    asked: Asked | None  # None: it was shared before


def make_router(pool: Pool, desk: Desk, clock: Clock) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post(
        "/alerts/{alert_id}/share",
        tags=["alerts"],
        summary="Share an alert with an agency, as far as its sharing policy permits",
        status_code=201,
        responses={
            201: {"model": Shared},
            200: {"model": Shared, "description": "It was shared before."},
            **responses(403, 404, 409, 412, 422),
        },
    )
    async def share(
        request: Request,
        asking: Asking,
        alert_id: uuid.UUID,
        body: Sharing,
        response: Response,
        if_match: etags.IfMatch = None,
    ) -> dict[str, Any]:
        if body.recipient not in desk.directory.agencies:
            raise HttpProblem(
                422,
                "No agency of this code",
                "Give the code of an agency that the hub's directory has.",
                rule="share.not_an_agency",
                place="body.recipient",
            )
        async with scoped(pool, asking.organisation) as connection:
            done = await _share(
                connection,
                asking,
                alert_id,
                body,
                desk,
                clock(),
                request.state.request_id,
                if_match,
            )
        # what was denied is recorded: the transaction stands
        if done.asked is not None and not (done.asked.permitted or done.asked.held):
            raise refusal(done.asked)
        if done.asked is None:
            response.status_code = 200
        return _told(done)

    return router


async def _share(
    connection: Connection,
    asking: Caller,
    alert_id: uuid.UUID,
    body: Sharing,
    desk: Desk,
    at: datetime,
    request_id: str,
    if_match: str | None,
) -> _Done:
    row = await alerts.lock_alert(connection, alert_id)
    if row is None or row.authority != asking.organisation:
        raise HttpProblem(
            404,
            "No such alert",
            "Check the id; an alert is shared by the authority that it went to.",
            rule="alert.not_known",
        )
    etags.check(if_match, row.version)
    before = await shares.get(connection, alert_id, body.recipient, row.content.version)
    if before is not None:
        return _Done(before, None)
    _check(row)
    draft = sharing.draft(
        row,
        body.recipient,
        desk,
        at=at,
        asking=asking,
        reason=body.reason,
        request_id=request_id,
    )
    if draft is None:
        raise HttpProblem(
            422,
            "Nothing says which child",
            "The agency may have no number, and the plan has no local id that is none: upload the "
            "plan with a local id that the agency knows, then share.",
            rule="share.nobody_named",
        )
    asked = draft.asked
    assert asked is not None
    told = frozenset() if draft.told is None else draft.told
    made = Share(
        alert_id=alert_id,
        recipient=body.recipient,
        version=row.content.version,
        letter_id=draft.letter.letter_id,
        authority=row.authority,
        shared_at=at,
        shared_by=asking.subject,
        shared_by_name=asking.name,
        state="shared" if asked.permitted else "held",
        fields=tuple(sorted(told)),
        withheld=tuple(sorted(asked.disclosure.fields - told)),
        policy=asked.ruling.policy,
        policy_version=asked.ruling.version,
    )
    if asked.permitted or asked.held:
        await shares.add(connection, made)
    (said,) = await write(connection, [draft], desk, at)
    return _Done(made, said)


def _check(row: AlertRow) -> None:
    if row.state in OVER:
        raise HttpProblem(
            409,
            f"The alert is {row.state}",
            "There is nothing to share any more; read the alert again.",
            rule=f"alert.{row.state}",
            extras={"state": row.state, "version": row.version},
        )


def _told(done: _Done) -> dict[str, Any]:
    share = done.share
    return {
        "share_id": str(share.letter_id),
        "alert_id": str(share.alert_id),
        "version": share.version,
        "recipient": share.recipient,
        "state": share.state,
        "fields": list(share.fields),
        "withheld": list(share.withheld),
        "policy": share.policy,
        "policy_version": share.policy_version,
        "changed": done.asked is not None,
    }
