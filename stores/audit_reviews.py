"""Accesses that a person looks at: a row for each, with its rule, later reviewer and outcome."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import orjson

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "audit_reviews.sql")

Outcome = Literal["appropriate", "inappropriate", "needs-enquiry"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class Hour:
    """What an actor did in the hour up to an entry."""

    children: int = 0  # different ones looked at
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """One access under review; open until `outcome` stands."""

    review_id: uuid.UUID
    entry_id: uuid.UUID
    recorded_at: datetime  # of the access
    chain: str
    actor: str
    person: str | None
    rule: str
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None = None
    reviewer: str | None = None
    outcome: str | None = None
    note: str | None = field(default=None, repr=False)
    entry: dict[str, Any] | None = field(default=None, repr=False)  # the body, where asked for


async def recent(connection: Connection, until: Mapping[str, datetime]) -> dict[str, Hour]:
    """What each actor did in the hour up to a time."""
    if not until:
        return {}
    rows = await connection.execute(
        _SQL["recent"], {"actors": list(until), "untils": list(until.values())}
    )
    return {row["actor"]: Hour(row["children"], row["refusals"]) async for row in rows}


async def open_(connection: Connection, reviews: Sequence[Review], *, now: datetime) -> int:
    """Add those whose ids are not there; gives how many were added."""
    if not reviews:
        return 0
    done = await connection.execute(
        _SQL["open"],
        {
            "opened_at": now,
            "review_ids": [each.review_id for each in reviews],
            "entry_ids": [each.entry_id for each in reviews],
            "times": [each.recorded_at for each in reviews],
            "chains": [each.chain for each in reviews],
            "actors": [each.actor for each in reviews],
            "persons": [each.person for each in reviews],
            "rules": [each.rule for each in reviews],
            "dues": [each.due_at for each in reviews],
        },
    )
    return done.rowcount


async def page(
    connection: Connection,
    *,
    chain: str | None = None,
    closed_too: bool = False,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> list[Review]:
    """Reviews, the first due first, each with its access; `after` is (due, id) of the last seen."""
    rows = await connection.execute(
        _SQL["page"],
        {
            "chain": chain,
            "open": not closed_too,
            "after_due": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    )
    return [_review(row) async for row in rows]


async def lock(
    connection: Connection, review_id: uuid.UUID, *, chain: str | None = None
) -> Review | None:
    """The review, held until the transaction ends; None if there is none (in that chain)."""
    rows = await connection.execute(_SQL["lock"], {"review_id": review_id, "chain": chain})
    row = await rows.fetchone()
    return None if row is None else _review(row)


async def close(
    connection: Connection,
    review_id: uuid.UUID,
    *,
    reviewer: str,
    outcome: str,
    note: str | None,
    at: datetime,
) -> None:
    """Close an open review that `lock` holds."""
    await connection.execute(
        _SQL["close"],
        {"review_id": review_id, "reviewer": reviewer, "outcome": outcome, "note": note, "at": at},
    )


async def standing(connection: Connection) -> tuple[int, datetime | None]:
    """How many are open, and since when the oldest is."""
    row = one(await (await connection.execute(_SQL["standing"])).fetchone())
    return row["open"], row["oldest"]


def _review(row: Mapping[str, Any]) -> Review:
    body = row["body"]
    return Review(
        **{name: row[name] for name in _COLUMNS},
        entry=None if body is None else orjson.loads(body),
    )


_COLUMNS = tuple(name for name in Review.__dataclass_fields__ if name != "entry")
