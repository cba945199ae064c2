"""Which of a hospital's patients it has merged into which (A34, A40): pseudonyms, kept for good."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "merges.sql")


@dataclass(frozen=True, slots=True)
class Merge:
    """A retired patient and the one that stays, each as source person (bus key) and source patient
    (store key). `event_id` is the reported merge's.
    """

    retired_key: str
    retired_patient: str
    surviving_key: str
    surviving_patient: str
    recorded_at: datetime
    message_at: datetime
    event_id: uuid.UUID

    @property
    def order(self) -> tuple[datetime, datetime, uuid.UUID]:
        """Of two merges of one retired patient the later holds."""
        return self.recorded_at, self.message_at, self.event_id


async def family(connection: Connection, keys: Iterable[str]) -> list[Merge]:
    """Every merge that is linked with one of `keys`, however far."""
    cursor = await connection.execute(_SQL["family"], {"keys": sorted(set(keys))})
    return [Merge(**row) for row in await cursor.fetchall()]


async def put(connection: Connection, merges: Sequence[Merge]) -> None:
    """Store `merges`; the caller holds the locks of their keys."""
    if merges:
        async with connection.cursor() as cursor:
            rows = [asdict(one) for one in sorted(merges, key=lambda one: one.retired_key)]
            await cursor.executemany(_SQL["put"], rows)
