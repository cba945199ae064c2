"""Searching the audit chain: the newest entries first, page by page."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg import sql

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "audit_search.sql")

Cursor = tuple[datetime, uuid.UUID]
"""(recorded at, entry id) of the last entry seen."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is searched for; None: whatever it is. `persons` are pseudonyms (store key)."""

    chain: str | None = None
    actor: str | None = None
    persons: tuple[str, ...] | None = field(default=None, repr=False)
    subject: str | None = None
    case_id: uuid.UUID | None = None
    kind: str | None = None
    flow: str | None = None
    decision: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    entry_id: uuid.UUID | None = None
    restricted: bool | None = None  # True: those made while the child was restricted


_CONDITIONS: Final = (
    "chain",
    "actor",
    "persons",
    "subject",
    "case_id",
    "kind",
    "flow",
    "decision",
    "since",
    "until",
    "entry_id",
)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, and its place in its chain once it is sealed."""

    entry_id: uuid.UUID
    recorded_at: datetime
    chain: str
    body: dict[str, Any] = field(repr=False)
    seq: int | None
    hash: bytes | None

    @property
    def cursor(self) -> Cursor:
        """Where a list goes on after it."""
        return self.recorded_at, self.entry_id


async def page(
    connection: Connection, wanted: Filter, *, after: Cursor | None = None, limit: int = 100
) -> list[Found]:
    """Entries that fit, the newest first."""
    given: dict[str, Any] = {name: getattr(wanted, name) for name in _CONDITIONS}
    if wanted.case_id is not None:
        given["case_id"] = str(wanted.case_id)
    if wanted.persons is not None:
        given["persons"] = list(wanted.persons)
    conditions = [_SQL[name] for name in _CONDITIONS if given[name] is not None]
    if wanted.restricted:
        conditions.append(_SQL["restricted"])
    if after is not None:
        conditions.append(_SQL["after"])
        given["after_at"], given["after_id"] = after
    query = sql.SQL(" ").join(
        [
            sql.SQL(_SQL["select"]),
            *(sql.SQL("and {}").format(sql.SQL(one)) for one in conditions),
            sql.SQL(_SQL["order"]),
        ]
    )
    rows = await connection.execute(query, {**given, "limit": limit})
    return [
        Found(
            row["entry_id"],
            row["recorded_at"],
            row["chain"],
            orjson.loads(row["body"]),
            row["seq"],
            None if row["hash"] is None else bytes(row["hash"]),
        )
        async for row in rows
    ]


async def chains(connection: Connection) -> list[str]:
    """Chains that have entries, or have had some; in order."""
    rows = await connection.execute(_SQL["chains"])
    return [row["chain"] async for row in rows]
