"""What an authority shares of an alert with an agency; what follows when the alert is withdrawn.

The body is composed whole; the policy of the agency's sector says what of it is told. Of restricted
people nothing is shared.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from connectors.fhir import shares as letters
from halyard.caller import Caller
from halyard.ids import derive
from halyard.postgres import Connection
from policies import fields as field_names
from policies.desk import Desk, masked
from policies.ruling import Flow
from schemas.events import Moment
from stores import held, mailbox
from stores import shares as store
from stores.alerts import WITHDRAWN, AlertRow
from stores.mailbox import Letter
from stores.shares import Share
from streams.letters import Draft, write
from streams.matching.payload import alert_body, local_iso

SCHEMA: Final = "halyard.share.v1"


def letter_id_of(alert_id: uuid.UUID, recipient: str, version: int) -> uuid.UUID:
    """The letter that shares this version of an alert's content: the same however often."""
    return derive("letter", letters.ALERT_SHARED, str(alert_id), recipient, version)


def members(row: AlertRow, recipient: str, desk: Desk, at: datetime) -> dict[str, Any]:
    """Everything that could be told of `row` to the agency `recipient`."""
    event, directory = row.content, desk.directory
    authority = directory.authorities.get(row.authority)
    arrived = event.content.arrived_at
    local_ids = sorted({one.local_id for one in event.content.flags if one.local_id})
    return {
        **alert_body(event, directory),
        "schema": SCHEMA,
        "change": "shared",
        "authority": {
            "gss": row.authority,
            "name": directory.name_of(row.authority),
            "phone_office": authority.phone_office if authority else None,
            "phone_emergency": authority.phone_emergency if authority else None,
        },
        "share": {
            "local_id": local_ids or None,
            "attended_on": None if arrived is None else _day(arrived),
        },
        "shared_at": at.isoformat(),
    }


def draft(
    row: AlertRow,
    recipient: str,
    desk: Desk,
    *,
    at: datetime,
    asking: Caller,
    reason: str,
    request_id: str | None = None,
) -> Draft | None:
    """The letter that shares `row` with `recipient`, and what its policy says to it. A letter that
    a person must release is composed as it will leave. None: what may be told names no child.
    """
    whole = members(row, recipient, desk, at)
    ask = partial(
        desk.ask,
        Flow.SHARE,
        recipient,
        field_names.names(whole),
        at=at,
        restricted=row.restricted,
        roles=asking.roles,
    )
    asked = left = ask()
    if asked.held:
        left = ask(released=True, count=False)
    number = row.content.content.nhs_number
    letter_id = letter_id_of(row.alert_id, recipient, row.content.version)
    body, told = b"{}", frozenset[str]()
    if left.permitted:
        written = letters.alert_shared(
            letter_id=letter_id,
            at=at,
            recipient=recipient,
            authority=row.authority,
            told=masked(whole, left),
            numbers=[number] if number else [],
        )
        if not written.named:
            return None
        body, told = written.body, written.told
    letter = _letter(row, recipient, letter_id, letters.ALERT_SHARED, body, desk, at)
    return Draft(
        letter=letter,
        flow=Flow.SHARE,
        reviewer=row.authority,
        person=row.person,
        restricted=row.restricted,
        fields=asked.disclosure.fields,
        told=told,
        subject=f"alert:{row.alert_id}",
        asked=asked,
        by=asking,
        reason=reason,
        request_id=request_id,
    )


async def follow(
    connection: Connection, rows: Sequence[AlertRow], desk: Desk, *, now: datetime
) -> None:
    """Whoever `rows` were shared with hears of a withdrawal; a share that waits for a person is
    superseded by it, by a restriction and by whatever else the alert says now. When the child
    becomes restricted, letters that nobody has had are taken back. The caller has written and holds
    the alerts.
    """
    concerned = {one.alert_id: one for one in rows}
    standing = await store.standing(connection, concerned)
    waiting = [
        one.letter_id
        for one in standing
        if one.state == "held" and _ends(concerned[one.alert_id], one)
    ]
    await held.settle_letters(connection, waiting, "superseded", now)
    hidden = [
        one.letter_id
        for one in standing
        if one.state == "shared" and concerned[one.alert_id].restricted
    ]
    unread = await mailbox.take_back(connection, hidden)
    await store.settle(connection, [*waiting, *unread], "superseded", now)
    told: dict[tuple[uuid.UUID, str], Share] = {}
    withdrawn = [
        one
        for one in standing
        if one.state == "shared"
        and concerned[one.alert_id].state == WITHDRAWN
        and one.letter_id not in unread
    ]
    for one in withdrawn:
        told[one.alert_id, one.recipient] = one  # the newest version that was shared
    drafts = [_withdrawal(concerned[one.alert_id], one, desk, now) for one in told.values()]
    await write(connection, drafts, desk, now)
    await store.settle(connection, [one.letter_id for one in withdrawn], "withdrawn", now)


def _ends(row: AlertRow, share: Share) -> bool:
    """Whether a share that is held must not be released any more."""
    return row.state == WITHDRAWN or row.restricted or row.content.version != share.version


def _withdrawal(row: AlertRow, share: Share, desk: Desk, now: datetime) -> Draft:
    letter_id = derive("letter", letters.ALERT_SHARE_WITHDRAWN, str(share.letter_id))
    told = {
        "schema": SCHEMA,
        "alert_id": str(row.alert_id),
        "version": share.version,
        "change": "withdrawn",
    }
    body = letters.alert_share_withdrawn(
        letter_id=letter_id,
        at=now,
        recipient=share.recipient,
        authority=row.authority,
        told=told,
        withdraws=share.letter_id,
    )
    kind = letters.ALERT_SHARE_WITHDRAWN
    return Draft(
        letter=_letter(row, share.recipient, letter_id, kind, body, desk, now, asks=True),
        flow=Flow.SHARE,
        reviewer=row.authority,
        person=row.person,
        # it tells no fact of the child, who may be restricted by now
        restricted=False,
        fields=field_names.names(told),
        subject=f"alert:{row.alert_id}",
        correction=True,
    )


def _letter(
    row: AlertRow,
    recipient: str,
    letter_id: uuid.UUID,
    kind: str,
    body: bytes,
    desk: Desk,
    at: datetime,
    *,
    asks: bool = False,
) -> Letter:
    return Letter(
        letter_id=letter_id,
        organisation=recipient,
        kind=kind,
        body=body,
        created_at=at,
        endpoint=desk.directory.message_endpoint(recipient),
        needs_acknowledgement=asks,
        traceparent=row.traceparent,
    )


def _day(moment: Moment) -> str:
    return local_iso(moment)[:10]
