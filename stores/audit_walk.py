"""Reading the whole audit chain, in one snapshot and in pieces, to verify it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import psycopg
from psycopg_pool import PoolTimeout

from halyard.audit_chain import Place
from halyard.postgres import Connection, Pool, load_queries, translated

_SQL = load_queries("stores", "audit_walk.sql")
_FETCH: Final = 2_000  # rows


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as it stands: the body, and what its row says beside it."""

    chain: str
    xid: int
    person: str | None
    actor: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link as it stands, and the entry that it names; None if that is not there."""

    place: Place
    entry_id: uuid.UUID
    recorded_at: datetime
    hash: bytes
    entry: EntryRow | None


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A stored checkpoint: its line, and what its row says beside it."""

    number: int
    chain: str
    kind: str
    seq: int
    at: datetime
    line: str


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """One view of everything, in which nothing changes however long it is read. As
    `halyard.postgres.transaction`, without its time-out of statements.
    """
    try:
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read, read only")
            await connection.execute("set local statement_timeout = 0")
            yield connection
    except (psycopg.Error, PoolTimeout) as error:
        raise translated(error) from None


async def links(connection: Connection, *, chain: str | None) -> AsyncIterator[LinkRow]:
    """Every link, by chain and place."""
    async with connection.cursor(name="audit_links") as cursor:
        cursor.itersize = _FETCH
        await cursor.execute(_SQL["links"], {"chain": chain})
        async for row in cursor:
            entry = None
            if row["body"] is not None:
                entry = EntryRow(
                    row["entry_chain"],
                    int(row["entry_xid"]),
                    row["entry_person"],
                    row["entry_actor"],
                    orjson.loads(row["body"]),
                )
            yield LinkRow(
                Place(
                    row["chain"],
                    row["seq"],
                    row["sealed_at"],
                    int(row["xid"]),
                    bytes(row["prev_hash"]),
                ),
                row["entry_id"],
                row["recorded_at"],
                bytes(row["hash"]),
                entry,
            )


async def link_hashes(
    connection: Connection, places: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], bytes]:
    """The hash of the link at each (chain, seq) that there is."""
    wanted = sorted(set(places))
    rows = await connection.execute(
        _SQL["link_hashes"],
        {"chains": [chain for chain, _ in wanted], "seqs": [seq for _, seq in wanted]},
    )
    return {(row["chain"], row["seq"]): bytes(row["hash"]) async for row in rows}


async def checkpoints(connection: Connection, *, after: int, limit: int) -> list[CheckpointRow]:
    """Stored checkpoints above a number, in order."""
    rows = await connection.execute(_SQL["checkpoints"], {"after": after, "limit": limit})
    return [CheckpointRow(**row) async for row in rows]


async def stored_lines(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """The lines of the stored checkpoints with these numbers."""
    rows = await connection.execute(_SQL["stored_lines"], {"numbers": list(numbers)})
    return {row["number"]: row["line"] async for row in rows}


async def strays(
    connection: Connection, *, chain: str | None, limit: int
) -> list[tuple[str, uuid.UUID]]:
    """(chain, entry id) of entries that stand before what was sealed and have no seal."""
    rows = await connection.execute(_SQL["strays"], {"chain": chain, "limit": limit})
    return [(row["chain"], row["entry_id"]) async for row in rows]


async def twice(
    connection: Connection, *, chain: str | None, limit: int
) -> list[tuple[str, int, int]]:
    """(chain, first, last place) of entries that have more than one place."""
    rows = await connection.execute(_SQL["twice"], {"chain": chain, "limit": limit})
    return [(row["chain"], row["first"], row["last"]) async for row in rows]


async def outcomes_amiss(
    connection: Connection, *, chain: str | None, limit: int
) -> list[tuple[str, int | None, bool]]:
    """(chain, place, whether the review is gone) of outcomes in the chain that their reviews do not
    bear out.
    """
    rows = await connection.execute(_SQL["outcomes_amiss"], {"chain": chain, "limit": limit})
    return [(row["chain"], row["seq"], row["lost"]) async for row in rows]


async def outcomes_unrecorded(
    connection: Connection, *, chain: str | None, limit: int
) -> list[tuple[str, datetime]]:
    """(chain, when) of reviews that were closed without an entry; it may have gone by retention."""
    rows = await connection.execute(_SQL["outcomes_unrecorded"], {"chain": chain, "limit": limit})
    return [(row["chain"], row["closed_at"]) async for row in rows]


async def reviews_missing(
    connection: Connection, *, chain: str | None, limit: int
) -> list[tuple[str, int, str]]:
    """(chain, place, rule) of sealed entries that are always reviewed and have no review."""
    rows = await connection.execute(_SQL["reviews_missing"], {"chain": chain, "limit": limit})
    return [(row["chain"], row["seq"], row["rule"]) async for row in rows]
