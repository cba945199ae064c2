"""What each stage has already taken (correctness rules 2 and 4)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "inbox.sql")


async def take(
    connection: Connection, stage: str, event_ids: Iterable[uuid.UUID]
) -> set[uuid.UUID]:
    """Insert `event_ids` (sorted) and give those that are new to `stage`.

    Must be the first statement of the stage's transaction: a second owner of the partition waits
    here until the first commits, and then finds nothing new.
    """
    ids = sorted(set(event_ids))
    if not ids:
        return set()
    cursor = await connection.execute(_SQL["take"], {"stage": stage, "ids": ids})
    return {row["event_id"] for row in await cursor.fetchall()}
