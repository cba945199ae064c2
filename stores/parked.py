"""Keys whose events wait for a trace, or go on provisionally to one candidate (rules 6 to 8)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "parked.sql")


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A source patient with a trace in flight; `candidate` is the person of a provisional alert."""

    key: str
    trace_id: uuid.UUID
    candidate: str | None = None


async def load(
    connection: Connection, keys: Iterable[str]
) -> tuple[list[ParkedKey], frozenset[str]]:
    """Which of `keys` are parked, and which took part in a merge. The caller holds their locks."""
    cursor = await connection.execute(_SQL["load"], {"keys": sorted(set(keys))})
    rows = await cursor.fetchall()
    parked = [ParkedKey(**row) for row in rows if row["trace_id"] is not None]
    return parked, frozenset(row["key"] for row in rows if row["trace_id"] is None)


async def behind(connection: Connection, trace_id: uuid.UUID) -> list[str]:
    """Keys that wait for a trace."""
    cursor = await connection.execute(_SQL["behind"], {"trace_id": trace_id})
    return [row["key"] for row in await cursor.fetchall()]


async def put(connection: Connection, parked: Sequence[ParkedKey]) -> None:
    """Park keys, or change what they wait for."""
    if parked:
        await connection.execute(
            _SQL["put"],
            {
                "keys": [one.key for one in parked],
                "traces": [one.trace_id for one in parked],
                "candidates": [one.candidate for one in parked],
            },
        )


async def free(connection: Connection, keys: Iterable[str]) -> None:
    """These keys wait for nothing any more."""
    if wanted := sorted(set(keys)):
        await connection.execute(_SQL["free"], {"keys": wanted})
