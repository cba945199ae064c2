"""Alerts: one row per (episode, person, authority), and its ladder (correctness rules 13 and 17).

Rungs are facts with times. Every change locks the row, checks again, and raises the version, so
that a consumer who ignores lower versions ends with the last state. `content` is the last thing
that matching decided: a rung raises the row's `version` above ``content.version``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from halyard.postgres import Connection, load_queries
from schemas import codec
from schemas.events import AlertChanged

_SQL = load_queries("stores", "alerts.sql")

RAISED, ACCEPTED, CLOSED, WITHDRAWN = "raised", "accepted", "closed", "withdrawn"


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert as it stands; `round` grows when a new flag or a revival asks for a new answer."""

    alert_id: uuid.UUID
    person: str
    authority: str  # GSS code
    hospital: str  # ODS code
    source_patient: str
    visit_ids: tuple[uuid.UUID, ...]
    version: int
    state: str  # raised, accepted, closed, withdrawn
    provisional: bool
    late: bool
    restricted: bool
    rule: str
    content: AlertChanged
    content_digest: str
    round: int
    raised_at: datetime
    changed_at: datetime
    arrival_received_at: datetime
    traceparent: str
    delivered_at: datetime | None = None
    seen_at: datetime | None = None
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    answer: str | None = field(default=None, repr=False)
    closed_at: datetime | None = None
    withdrawn_at: datetime | None = None
    withheld_at: datetime | None = None  # became restricted after others had been told of it
    # the transaction that last wrote the row, by whatever statement: it orders the lists
    changed_xid: int = field(default=0, compare=False)


Place = tuple[int, uuid.UUID]
"""A row's place in the lists: the transaction that last wrote it, and its id."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: after `at`. `settled` is the last place before which nothing can appear
    any more; the two differ only from page to page of one reading.
    """

    settled: Place | None
    at: Place | None

    @classmethod
    def after(cls, row: AlertRow) -> Cursor:
        """Behind a row, whether or not anything may still come before it."""
        place = (row.changed_xid, row.alert_id)
        return cls(place, place)


@dataclass(frozen=True, slots=True)
class Page:
    """Alerts by change. Those after the first `settled` are shown early: another transaction may
    still put something before them, so they come again once the reading is at its end (rule 20).
    """

    rows: tuple[AlertRow, ...]
    settled: int
    next: Cursor
    more: bool


async def lock_alert(connection: Connection, alert_id: uuid.UUID) -> AlertRow | None:
    """The alert, locked until the transaction ends; None if there is none."""
    cursor = await connection.execute(_SQL["lock_alert"], {"alert_id": alert_id})
    row = await cursor.fetchone()
    return None if row is None else _alert(row)


async def lock_for_persons(connection: Connection, persons: Iterable[str]) -> list[AlertRow]:
    """Every alert of `persons`, locked; the caller holds the persons' advisory locks."""
    cursor = await connection.execute(_SQL["lock_for_persons"], {"persons": sorted(set(persons))})
    return [_alert(row) for row in await cursor.fetchall()]


async def mark_delivered(
    connection: Connection, alert_id: uuid.UUID, at: datetime, *, of_round: int
) -> AlertRow | None:
    """The alert, as of the round `of_round`, reached its authority first at `at`. None if that was
    known (or implied by an acceptance), or if a newer round wants a delivery of its own: then
    nothing changes and no receipt is due.
    """
    values = {"alert_id": alert_id, "at": at, "round": of_round}
    return await _rung(connection, "mark_delivered", values)


async def mark_seen(connection: Connection, alert_id: uuid.UUID, at: datetime) -> AlertRow | None:
    """Somebody saw the alert first at `at` (implies delivered). None if that was known."""
    return await _rung(connection, "mark_seen", {"alert_id": alert_id, "at": at})


async def accept(
    connection: Connection, alert_id: uuid.UUID, *, by: str, answer: str | None, at: datetime
) -> tuple[AlertRow | None, bool]:
    """Accept a raised alert; implies delivered and seen. Gives the row and whether it changed.

    Idempotent: a second acceptance changes nothing, nor does one of a withdrawn or closed alert
    (the row says which). None if there is no such alert.
    """
    row = await lock_alert(connection, alert_id)
    if row is None or row.state != RAISED:
        return row, False
    changed = await _rung(
        connection, "accept", {"alert_id": alert_id, "by": by, "answer": answer, "at": at}
    )
    return (row, False) if changed is None else (changed, True)


async def page_for_organisation(
    connection: Connection,
    organisation: str,
    *,
    after: Cursor | None = None,
    limit: int = 100,
    states: Sequence[str] | None = None,
    restricted: bool = False,
    withheld: bool = False,
) -> Page:
    """Alerts that `organisation` may see, oldest change first: an authority its own, a hospital
    those of its visits. `states` None means all. Restricted people's are left out; `restricted`
    adds an authority's own, which no ordinary list may show; `withheld` those that lists showed
    before (`withheld_at`), of whatever state, of which nothing may be shown but that.

    Whatever commits later stands after `next.settled`, however long its transaction has run.
    """
    after = after or Cursor(None, None)
    cursor = await connection.execute(
        _SQL["list_for_organisation"],
        {
            "organisation": organisation,
            "after_xid": str(after.at[0]) if after.at else None,
            "after_id": after.at[1] if after.at else None,
            "limit": limit,
            "states": None if states is None else list(states),
            "restricted": restricted,
            "withheld": withheld,
        },
    )
    found = await cursor.fetchall()
    flags = [row.pop("settled") for row in found]
    rows = tuple(_alert(row) for row in found)
    # behind an early row nothing counts as settled: something may still come before that one
    settled = sum(flags) if after.at == after.settled else 0
    place = Cursor.after(rows[settled - 1]).settled if settled else after.settled
    more = len(rows) == limit
    last = Cursor.after(rows[-1]).at if more else place
    return Page(rows=rows, settled=settled, next=Cursor(place, last), more=more)


async def list_for_organisation(
    connection: Connection,
    organisation: str,
    *,
    after: Cursor | None = None,
    limit: int = 100,
    states: Sequence[str] | None = None,
    restricted: bool = False,
) -> list[AlertRow]:
    """The rows alone of `page_for_organisation`."""
    page = await page_for_organisation(
        connection, organisation, after=after, limit=limit, states=states, restricted=restricted
    )
    return list(page.rows)


async def one_for_organisation(
    connection: Connection, organisation: str, alert_id: uuid.UUID
) -> AlertRow | None:
    """The alert, if the lists of `organisation` show it, or that it is withheld; else None."""
    cursor = await connection.execute(
        _SQL["one_for_organisation"], {"organisation": organisation, "alert_id": alert_id}
    )
    row = await cursor.fetchone()
    return None if row is None else _alert(row)


async def save(connection: Connection, rows: Sequence[AlertRow]) -> None:
    """Write `rows` whole; the caller holds their locks."""
    if not rows:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(_SQL["save"], [_parameters(row) for row in rows])


async def _rung(connection: Connection, query: str, values: dict[str, Any]) -> AlertRow | None:
    cursor = await connection.execute(_SQL[query], values)
    row = await cursor.fetchone()
    return None if row is None else _alert(row)


def _parameters(row: AlertRow) -> dict[str, Any]:
    values: dict[str, Any] = {one.name: getattr(row, one.name) for one in fields(row)}
    values["visit_ids"] = list(row.visit_ids)
    values["content"] = codec.encode(row.content)
    return values


def _alert(row: dict[str, Any]) -> AlertRow:
    return AlertRow(
        **{
            **row,
            "changed_xid": int(row["changed_xid"]),
            "visit_ids": tuple(row["visit_ids"]),
            "content": codec.decode_as(AlertChanged, bytes(row["content"])),
        }
    )
