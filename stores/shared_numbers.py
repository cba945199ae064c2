"""One NHS number on more than one record of an organisation (ISB 0149, requirement 12), and how
many of its records have none that is verified (requirement 13).

Made of what identity keeps: own local ids of people in the index, and worklist entries that are
open. Records that the organisation merged are one. No number: the organisation finds it in its own
records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import orjson

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "shared_numbers.sql")


@dataclass(frozen=True, slots=True)
class NumberRecord:
    """A record that has the number. `rule`: why it is not verified (``unverified`` alone)."""

    local_id: str = field(repr=False)
    standing: str  # "verified", "unverified"
    rule: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class SharedNumber:
    """The records of one organisation that have one number."""

    organisation: str
    person: str  # pseudonym (store key) of the number; for the audit, never shown
    records: tuple[NumberRecord, ...]


@dataclass(frozen=True, slots=True)
class WithoutNumber:
    """How many open records of an organisation have no verified number."""

    organisation: str
    kind: str  # "attendance", "flag", "death", "report"
    records: int


async def shared(
    connection: Connection, organisation: str | None, *, limit: int
) -> list[SharedNumber]:
    """Of one organisation, or of all (None), newest first."""
    parameters = {"organisation": organisation, "limit": limit}
    return await _read(connection, "shared", parameters)


async def own_shared(connection: Connection, *, limit: int) -> list[SharedNumber]:
    """Of the organisation of the transaction (`halyard.postgres.scoped`)."""
    return await _read(connection, "own_shared", {"limit": limit})


async def without(connection: Connection, organisation: str | None) -> list[WithoutNumber]:
    """Open worklist entries by organisation and kind."""
    cursor = await connection.execute(_SQL["without"], {"organisation": organisation})
    return [
        WithoutNumber(row["organisation"], row["event_kind"], row["records"])
        for row in await cursor.fetchall()
    ]


async def _read(
    connection: Connection, query: str, parameters: dict[str, str | int | None]
) -> list[SharedNumber]:
    cursor = await connection.execute(_SQL[query], parameters)
    return [
        SharedNumber(row["organisation"], row["person"], _records(row["records"]))
        for row in await cursor.fetchall()
    ]


def _records(text: str) -> tuple[NumberRecord, ...]:
    found = [
        NumberRecord(
            one["local_id"], one["standing"], one["rule"], datetime.fromisoformat(one["since"])
        )
        for one in orjson.loads(text)
    ]
    return tuple(sorted(found, key=lambda one: (one.since, one.local_id)))
