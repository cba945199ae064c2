"""Events whose person could not be established, until somebody decides; they age in view."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "worklist.sql")
Notice = tuple[str, uuid.UUID | None]
"""A notification or report: its key, and the request that a report answers."""

_START = (datetime(1970, 1, 1, tzinfo=UTC), uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One open entry. `organisation` (ODS or GSS code) sees it; `rule` says why it is here.

    `local_id` is the sender's own id of the person; `upload_id` and `line` are a flag's.
    """

    entry_id: uuid.UUID
    reported_event_id: uuid.UUID
    event_kind: str
    organisation: str
    source: str
    rule: str
    indicator: str
    opened_at: datetime
    local_id: str | None = field(default=None, repr=False)
    upload_id: uuid.UUID | None = None
    line: int | None = None
    person: str | None = field(default=None, repr=False)  # whom it named before, as it is read


async def add(connection: Connection, entries: Sequence[WorklistEntry]) -> None:
    """Open entries; one that was closed for the same event is open again, with its first age."""
    if entries:
        async with connection.cursor() as cursor:
            rows = sorted(
                (asdict(entry) for entry in entries), key=lambda row: str(row["entry_id"])
            )
            await cursor.executemany(_SQL["open"], rows)


async def close(connection: Connection, closed: dict[uuid.UUID, str], *, now: datetime) -> None:
    """Close the entries of these reported events, each with the rule that resolved it."""
    if closed:
        ids = sorted(closed)
        parameters: dict[str, Any] = {"ids": ids, "rules": [closed[one] for one in ids], "now": now}
        await connection.execute(_SQL["close"], parameters)


async def close_earlier(
    connection: Connection,
    settled: Mapping[Notice, tuple[int, str]],
    *,
    before: datetime,
    now: datetime,
) -> None:
    """Close what messages of these notifications received before `before` have open, if their
    version is lower than the one given, each with the rule that made them moot.
    """
    if settled:
        given = list(settled.items())
        parameters: dict[str, Any] = {
            "keys": [key for (key, _), _ in given],
            "requests": [request for (_, request), _ in given],
            "versions": [version for _, (version, _) in given],
            "rules": [rule for _, (_, rule) in given],
            "before": before,
            "now": now,
        }
        await connection.execute(_SQL["close_earlier"], parameters)


async def entries(
    connection: Connection,
    organisation: str,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> list[WorklistEntry]:
    """An organisation's open entries, oldest first; `after` is the last (opened_at, entry_id)."""
    after_at, after_id = after or _START
    cursor = await connection.execute(
        _SQL["entries"],
        {
            "organisation": organisation,
            "after_at": after_at,
            "after_id": after_id,
            "limit": limit,
        },
    )
    return [WorklistEntry(**row) for row in await cursor.fetchall()]


async def oldest_seconds(connection: Connection) -> float:
    """Age of the oldest open entry, 0 if there is none."""
    cursor = await connection.execute(_SQL["oldest"])
    return float(one(await cursor.fetchone())["seconds"])
