"""Which stages are to stand still (correctness rule 23).

The table is the truth; ``halyard.control.v1`` only says that it changed. A worker reads it before
its first record, when it is nudged, and every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "pauses.sql")


@dataclass(frozen=True, slots=True)
class Pause:
    """A stage that stands still: why, by whose order (an operator's work name), since when."""

    stage: str
    reason: str
    by: str
    since: datetime


async def get(connection: Connection, stage: str) -> Pause | None:
    """The pause of `stage`, if it has one."""
    cursor = await connection.execute(_SQL["get"], {"stage": stage})
    row = await cursor.fetchone()
    return None if row is None else Pause(stage, row["reason"], row["by"], row["since"])


async def every(connection: Connection) -> list[Pause]:
    """All pauses, by name of the stage."""
    cursor = await connection.execute(_SQL["all"])
    return [Pause(**row) for row in await cursor.fetchall()]


async def put(connection: Connection, stage: str, *, reason: str, by: str) -> bool:
    """Pause `stage`; False if it was paused already (the first reason stays)."""
    cursor = await connection.execute(_SQL["put"], {"stage": stage, "reason": reason, "by": by})
    return cursor.rowcount == 1


async def drop(connection: Connection, stage: str) -> bool:
    """Let `stage` go on; False if it was not paused."""
    cursor = await connection.execute(_SQL["drop"], {"stage": stage})
    return cursor.rowcount == 1
