"""Submissions to the HTTP interface: a row for each version of a case (schema ``ncmd``).

Written in the transaction of the version itself. Of what was never claimed the newest alone goes;
what was claimed may have left, and is settled before anything newer of its case.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from halyard.ids import derive
from halyard.postgres import Connection, load_queries
from schemas.codec import decode_as
from schemas.deaths import CaseChanged, CaseState

QUERIES: Final = load_queries("stores", "ncmd_submissions.sql")


class Kind(StrEnum):
    """What a message does at the receiver."""

    SUBMISSION = "submission"
    UPDATE = "update"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process may send until its lease ends; `sent_at`: taken without an answer."""

    case_id: uuid.UUID
    version: int
    message_id: uuid.UUID
    kind: Kind
    attempts: int
    body: bytes = field(repr=False)
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt: `state` of the table, `tried` whether it counts as one."""

    state: str
    reason: str
    tried: bool = True
    due_at: datetime | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Redriven:
    """Versions to be sent again, and those that a newer one has overtaken."""

    opened: tuple[tuple[uuid.UUID, int], ...]
    superseded: tuple[tuple[uuid.UUID, int], ...]


Build = Callable[[CaseChanged, Kind, uuid.UUID], bytes]


async def file(connection: Connection, events: Sequence[CaseChanged], now: datetime) -> None:
    """File the newest versions of cases; older ones that nobody claimed are superseded."""
    if not events:
        return
    case_ids = [event.case_id for event in events]
    await connection.execute(QUERIES["supersede"], {"case_ids": case_ids})
    await connection.execute(
        QUERIES["file"],
        {
            "case_ids": case_ids,
            "versions": [event.version for event in events],
            "voided": [event.content.state is CaseState.VOIDED for event in events],
            "now": now,
        },
    )


async def claim(
    connection: Connection, now: datetime, *, lease: timedelta, limit: int, build: Build
) -> list[Claimed]:
    """Rows that are due, at most one of each case, with their messages.

    `build` makes a message when it is first sent; from then on it stays, with its id.
    """
    cursor = await connection.execute(
        QUERIES["claim"], {"now": now, "until": now + lease, "limit": limit}
    )
    return [await _claimed(connection, row, build) for row in await cursor.fetchall()]


async def _claimed(connection: Connection, row: dict[str, Any], build: Build) -> Claimed:
    message_id, kind, body = row["message_id"], row["kind"], row["body"]
    if body is None:
        kind = _kind(row["voided"], row["before"])
        message_id = derive(
            "ncmd-message", str(row["case_id"]), row["version"], kind.value, row["round"]
        )
        body = build(decode_as(CaseChanged, row["content"]), kind, message_id)
        await connection.execute(
            QUERIES["keep_message"],
            {
                "case_id": row["case_id"],
                "version": row["version"],
                "message_id": message_id,
                "kind": kind.value,
                "body": body,
            },
        )
    return Claimed(
        case_id=row["case_id"],
        version=row["version"],
        message_id=message_id,
        kind=Kind(kind),
        attempts=row["attempts"],
        body=body,
        sent_at=row["sent_at"] if row["state"] == "sent" else None,
    )


def _kind(voided: bool, before: str | None) -> Kind:
    """By what the receiver has acknowledged last of the case."""
    if voided:
        return Kind.VOID
    return Kind.SUBMISSION if before in (None, Kind.VOID) else Kind.UPDATE


async def settle(connection: Connection, row: Claimed, result: Settled, now: datetime) -> None:
    """Write what became of `row`; nothing if somebody else has settled it."""
    await connection.execute(
        QUERIES["settle"],
        {
            "case_id": row.case_id,
            "version": row.version,
            "state": result.state,
            "tried": int(result.tried),
            "due_at": result.due_at,
            "reason": result.reason,
            "sent_at": result.sent_at,
            "now": now,
        },
    )


async def redrive(
    connection: Connection, *, case_id: uuid.UUID | None, reason: str, now: datetime
) -> Redriven:
    """Open what failed or was refused again; what a newer version has overtaken is superseded."""
    values = {"case_id": case_id, "reason": reason, "now": now}
    found = []
    for name in ("overtake", "reopen"):
        cursor = await connection.execute(QUERIES[name], values)
        rows = await cursor.fetchall()
        found.append(tuple((row["case_id"], row["version"]) for row in rows))
    return Redriven(superseded=found[0], opened=found[1])


async def unsettled(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Rows that were sent without success so far; no content."""
    cursor = await connection.execute(QUERIES["unsettled"], {"limit": limit})
    return await cursor.fetchall()


async def open_counts(connection: Connection) -> dict[str, int]:
    """Rows that are not done, by state."""
    cursor = await connection.execute(QUERIES["open_counts"])
    return {row["state"]: row["n"] for row in await cursor.fetchall()}
