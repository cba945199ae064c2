"""Alerts as lists show them, as far as the caller's sharing policy permits when they are read.

What a policy leaves to a person is withheld until a person has released it to the caller. Then it
is shown as far as the policy permits under which it was released, and today's.

What a reader is shown is recorded for each page and child, so that each child's own report lists
it: one audit entry for what was permitted and one for each reason why something was not, with the
ids of the alerts.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from halyard.caller import Caller
from halyard.postgres import Connection
from policies import fields as field_names
from policies.decision import as_released
from policies.desk import Asked, Desk, masked
from policies.ruling import Flow
from stores import held
from stores.alerts import AlertRow
from stores.audit import AuditEntry
from stores.directory import Directory
from stores.held import Given
from streams.matching.payload import alert_body

WITHHELD: Final = "withheld"
"""State of an alert of which nothing may be shown."""


@dataclass(frozen=True, slots=True)
class Page:
    """The views of rows, in their order, and the entries to write in the same transaction."""

    views: tuple[dict[str, Any], ...]
    entries: tuple[AuditEntry, ...]


async def releases(
    connection: Connection, organisation: str, rows: Sequence[AlertRow], desk: Desk
) -> Mapping[uuid.UUID, Given]:
    """What of `rows`, as they stand, was released to `organisation`, by alert. Nothing is read
    where no policy leaves an alert to a person.
    """
    versions = {row.alert_id: row.content.version for row in rows if not row.restricted}
    if not versions or not any(one.review for one in desk.policies.by_flow[Flow.ALERT]):
        return {}
    found = await held.given(connection, organisation, versions)
    return {one.alert_id: one for one in found if one.version == versions[one.alert_id]}


def show(
    rows: Sequence[AlertRow],
    caller: Caller,
    desk: Desk,
    at: datetime,
    *,
    released: Mapping[uuid.UUID, Given],
    interface: str,
    request_id: str | None = None,
) -> Page:
    """`rows`, all of which the caller's organisation may know of, as it may see them at `at`."""
    views: list[dict[str, Any]] = []
    shown: dict[tuple[str, str, int, str], list[tuple[Asked, AlertRow]]] = defaultdict(list)
    for row in rows:
        if row.restricted:
            views.append(_withheld(row, row.withheld_at, "restricted"))
            continue
        whole = view(row, desk.directory, caller.organisation)
        asked = desk.ask(
            Flow.ALERT,
            caller.organisation,
            field_names.names(whole),
            at=at,
            roles=caller.roles,
        )
        given = released.get(row.alert_id)
        if asked.held and given is not None:
            asked = _released(asked, given, desk)
        left = masked(whole, asked)
        views.append(left if asked.permitted else _withheld(row, row.changed_at, "policy"))
        ruling = asked.ruling
        shown[row.person, ruling.policy, ruling.version, ruling.rule].append((asked, row))
    return Page(
        tuple(views),
        tuple(_entry(found, caller, desk, at, interface, request_id) for found in shown.values()),
    )


def _released(asked: Asked, given: Given, desk: Desk) -> Asked:
    """What may be shown of what was released: no more than then, and no more than by now. Of a
    policy that is not loaded any more nobody knows what it permitted: it is held still.
    """
    policy = desk.policies.named(given.policy, given.policy_version)
    if policy is None:
        return asked
    was = asked.disclosure
    by_now = desk.ask(
        was.flow,
        was.recipient,
        was.fields,
        at=was.at,
        roles=was.roles,
        released=True,
        count=False,
    )
    then = as_released(policy, was)
    fields = by_now.ruling.fields & then.fields
    if not (by_now.permitted and fields):
        return asked
    ruling = replace(by_now.ruling, fields=fields, withheld=was.fields - fields)
    return replace(by_now, ruling=ruling)


def view(row: AlertRow, directory: Directory, organisation: str) -> dict[str, Any]:
    """An alert without the number, and with the authority's own id of the child for itself."""
    body = alert_body(row.content, directory)
    del body["person"]
    if organisation != row.authority:
        for flag in body["flags"]:
            del flag["local_id"]
    return {
        **body,
        "version": row.version,
        "state": row.state,
        "round": row.round,
        "provisional": row.provisional,
        "raised_at": iso(row.raised_at),
        "changed_at": iso(row.changed_at),
        "delivered_at": iso(row.delivered_at),
        "seen_at": iso(row.seen_at),
        "accepted_at": iso(row.accepted_at),
        "accepted_by": row.accepted_by,
        "answer": row.answer,
        "withdrawn_at": iso(row.withdrawn_at),
    }


def iso(at: datetime | None) -> str | None:
    """A time as JSON has it."""
    return at.isoformat() if at else None


def _withheld(row: AlertRow, at: datetime | None, why: str) -> dict[str, Any]:
    """Of an alert that the caller's list may have shown before only that it is withheld since."""
    view: dict[str, Any] = {
        "alert_id": str(row.alert_id),
        "version": row.version,
        "state": WITHHELD,
        "changed_at": iso(at),
    }
    return view if why == "restricted" else {**view, "withheld_by": why}


def _entry(
    found: Sequence[tuple[Asked, AlertRow]],
    caller: Caller,
    desk: Desk,
    at: datetime,
    interface: str,
    request_id: str | None,
) -> AuditEntry:
    first = found[0][0]
    asked = replace(
        first,
        disclosure=replace(
            first.disclosure,
            fields=frozenset().union(*(one.disclosure.fields for one, _ in found)),
        ),
        ruling=replace(
            first.ruling,
            fields=frozenset().union(*(one.ruling.fields for one, _ in found)),
            withheld=frozenset().union(*(one.ruling.withheld for one, _ in found)),
        ),
    )
    ids = [str(row.alert_id) for _, row in found]
    return desk.entry(
        asked,
        at=at,
        actor=caller.subject,
        organisation=caller.organisation,
        actor_name=caller.name,
        role=caller.job_role,
        token_id=caller.token_id,
        request_id=request_id,
        person=found[0][1].person,
        subject=f"alert:{ids[0]}" if len(ids) == 1 else "alerts",
        detail=(("interface", interface), ("alerts", " ".join(ids)), ("count", str(len(ids)))),
    )
