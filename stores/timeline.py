"""One message's way through the hub, from the journal, the decisions and the deliveries."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "timeline.sql")


@dataclass(frozen=True, slots=True)
class Hop:
    """Something that happened to a message: when, what, by whom, where it stands."""

    at: datetime
    event: str
    source: str
    place: str
    id: uuid.UUID

    def text(self) -> str:
        """One line for people."""
        at = self.at.strftime("%H:%M:%S.%f")[:-3]
        return f"{at} {self.event:28} {self.source:24} {self.place}  {self.id}"


async def trace_of(connection: Connection, some_id: uuid.UUID) -> str | None:
    """Trace id (32 hex digits) of an event, an alert or a delivery."""
    cursor = await connection.execute(_SQL["trace_of"], {"id": some_id})
    row = await cursor.fetchone()
    return None if row is None else str(row["trace_id"])


async def hops(connection: Connection, trace_id: str) -> list[Hop]:
    """Every hop of a trace in order of time."""
    cursor = await connection.execute(_SQL["hops"], {"trace_id": trace_id})
    return [
        Hop(row["at"], row["event"], row["source"], row["place"], row["id"])
        for row in await cursor.fetchall()
    ]


async def undecided(connection: Connection, expected: int) -> int:
    """How many of `expected` attendances have no final outcome yet."""
    cursor = await connection.execute(_SQL["undecided"], {"expected": expected})
    return max(0, int(one(await cursor.fetchone())["left"]))
