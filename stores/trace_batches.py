"""What organisations have traced: files of thousands of lines, and one person (a batch of one).

The face and the command line write batches and read results here; `stores.trace_work` is the
tracer's side of the same tables. No function decides who may see what.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from halyard.postgres import Connection, load_queries, lock, one
from schemas.events import PersonClaim

_SQL = load_queries("stores", "trace_batches.sql")

Kind = Literal["file", "person"]
State = Literal["loading", "running", "done", "cancelled"]

REFUSED: Final = "refused"
"""Outcome of a line that was not taken."""

_CLAIM: Final = ("nhs_number", "family", "birth_date", "gender", "postcode")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as it begins; `organisation` (ODS or GSS code) is on whose behalf PDS is asked.
    `made_by` is an account, `made_by_name` the person, as they said or as their issuer states it.
    """

    batch_id: uuid.UUID
    organisation: str
    kind: Kind
    purpose: str
    reason: str | None = field(repr=False)
    made_by: str
    made_by_name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What a line asks, keyed: lines of a batch with the same `key` ask the same. With a number:
    its pseudonym, and the `details` (birth date, names) that were sent beside it.
    """

    key: str
    number_token: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class NewItem:
    """A line: a person with the question that they ask, or the rule that refuses it (and the column
    that it is about). `number_rule`: why the number that was sent is none; the question is of the
    other details then.
    """

    line: int
    claim: PersonClaim | None = field(repr=False)
    question: Question | None = None
    local_id: str | None = field(default=None, repr=False)
    rule: str | None = None
    place: str | None = None
    number_rule: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands. `counts`: lines by outcome."""

    batch_id: uuid.UUID
    organisation: str
    kind: Kind
    state: State
    purpose: str
    reason: str | None = field(repr=False)
    made_by: str
    made_by_name: str | None = field(repr=False)
    made_at: datetime
    lines: int
    refused: int
    answered: int
    counts: dict[str, int]
    done_at: datetime | None
    emptied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line; without an outcome it is not answered yet. `number_token`: pseudonym
    of the number that was sent, `person` of the one that was verified; `number_rule` says why what
    was sent is no number.
    """

    line: int
    state: str
    local_id: str | None = field(repr=False)
    outcome: str | None
    rule: str | None
    place: str | None
    nhs_number: str | None = field(repr=False)
    person: str | None
    number_token: str | None
    number_rule: str | None
    restricted: bool
    fields: dict[str, str] | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reason:
    """So many lines had this outcome by this rule."""

    outcome: str
    rule: str | None
    amount: int


async def begin(connection: Connection, batch: NewBatch) -> None:
    """Add a batch; its lines follow (`add`), then it starts (`start`)."""
    await connection.execute(
        _SQL["begin"],
        {name: getattr(batch, name) for name in NewBatch.__slots__},
    )


async def lock_organisation(connection: Connection, organisation: str) -> None:
    """Nobody else begins a batch of this organisation until the transaction ends."""
    await lock(connection, [f"trace-batches:{organisation}"])


async def open_batches(connection: Connection, organisation: str, state: State) -> int:
    """How many of its files are in this state."""
    given = {"organisation": organisation, "state": state}
    cursor = await connection.execute(_SQL["open_batches"], given)
    return int(one(await cursor.fetchone())["amount"])


async def persons_since(
    connection: Connection, organisation: str, since: datetime
) -> tuple[int, datetime | None]:
    """How many traces of one person it has asked for since then, and when the first of them."""
    cursor = await connection.execute(
        _SQL["persons_since"], {"organisation": organisation, "since": since}
    )
    row = one(await cursor.fetchone())
    return int(row["amount"]), row["oldest"]


async def add(connection: Connection, batch_id: uuid.UUID, items: Sequence[NewItem]) -> None:
    """Add lines to a batch that has not started."""
    if items:
        rows = [_row(item) for item in items]
        await connection.execute(_SQL["add"], {"batch_id": batch_id, "items": Jsonb(rows)})


async def same_file(connection: Connection, batch: NewBatch, digest: str) -> uuid.UUID | None:
    """The organisation's other batch of the same file, if there is one. The caller holds the
    organisation's lock.
    """
    given = {"organisation": batch.organisation, "digest": digest, "batch_id": batch.batch_id}
    row = await (await connection.execute(_SQL["same_file"], given)).fetchone()
    return None if row is None else uuid.UUID(str(row["batch_id"]))


async def start(
    connection: Connection, batch: NewBatch, digest: str | None, *, lines: int, refused: int
) -> None:
    """All lines are there: trace them. A file has a `digest`, which no other has (`same_file`)."""
    parameters: dict[str, Any] = {"digest": digest, "lines": lines, "refused": refused}
    await connection.execute(_SQL["start"], {"batch_id": batch.batch_id, **parameters})


async def drop(connection: Connection, batch_id: uuid.UUID) -> None:
    """A file that broke off, or cannot be read: nothing of it stays."""
    await connection.execute(_SQL["drop"], {"batch_id": batch_id})


async def get(connection: Connection, batch_id: uuid.UUID) -> Batch | None:
    """A batch, if it is there (and, for the face, the organisation's own)."""
    row = await (await connection.execute(_SQL["get"], {"batch_id": batch_id})).fetchone()
    return None if row is None else Batch(**row)


async def page(
    connection: Connection,
    organisation: str | None,
    *,
    before: tuple[datetime, uuid.UUID] | None,
    limit: int,
) -> list[Batch]:
    """Files, the newest first; of every organisation, if None."""
    at, batch_id = before or ("infinity", uuid.UUID(int=0))
    cursor = await connection.execute(
        _SQL["page"],
        {
            "organisation": organisation,
            "at": at,
            "id": batch_id,
            "limit": limit,
        },
    )
    return [Batch(**row) for row in await cursor.fetchall()]


async def reasons(connection: Connection, batch_id: uuid.UUID) -> list[Reason]:
    """Outcomes with their rules, the most frequent first."""
    cursor = await connection.execute(_SQL["reasons"], {"batch_id": batch_id})
    return [Reason(**row) for row in await cursor.fetchall()]


async def unusable_numbers(connection: Connection, batch_id: uuid.UUID) -> dict[str, int]:
    """Lines whose number can be nobody's, by the rule that says so, the most frequent first."""
    cursor = await connection.execute(_SQL["unusable_numbers"], {"batch_id": batch_id})
    return {row["number_rule"]: row["amount"] for row in await cursor.fetchall()}


async def results(
    connection: Connection, batch_id: uuid.UUID, *, after: int, limit: int
) -> list[Result]:
    """Lines after this one, in their order."""
    cursor = await connection.execute(
        _SQL["results"], {"batch_id": batch_id, "after": after, "limit": limit}
    )
    return [Result(**row) for row in await cursor.fetchall()]


async def cancel(connection: Connection, batch_id: uuid.UUID) -> bool:
    """Ask nothing more for a batch, and forget what it was told; False if it was cancelled."""
    cursor = await connection.execute(_SQL["cancel"], {"batch_id": batch_id})
    return cursor.rowcount == 1


async def untraced(
    connection: Connection, batch_id: uuid.UUID, *, after: int, limit: int
) -> list[tuple[int, PersonClaim]]:
    """Lines that PDS gave no number for, with what was sent: no invalidated number is among them,
    because whoever has one must not be searched for.
    """
    cursor = await connection.execute(
        _SQL["untraced"], {"batch_id": batch_id, "after": after, "limit": limit}
    )
    return [(row["line"], claim_of(row["claim"])) for row in await cursor.fetchall()]


async def lines_for_update(
    connection: Connection, batch_id: uuid.UUID, lines: Iterable[int]
) -> dict[int, dict[str, Any]]:
    """Lines as they stand, locked."""
    cursor = await connection.execute(
        _SQL["lines_for_update"], {"batch_id": batch_id, "lines": sorted(set(lines))}
    )
    return {
        row["line"]: {**row, "claim": claim_of(row["claim"])} for row in await cursor.fetchall()
    }


def claim_of(stored: dict[str, Any]) -> PersonClaim:
    """A claim as it is stored."""
    members: dict[str, Any] = {name: stored.get(name) for name in _CLAIM}
    return PersonClaim(**members, given=tuple(stored.get("given", ())))


def stored(claim: PersonClaim) -> dict[str, Any]:
    """A claim as `claim_of` reads it."""
    members: dict[str, Any] = {name: getattr(claim, name) for name in _CLAIM}
    return {**members, "given": list(claim.given)}


def asked_by(question: Question | None) -> dict[str, str | None]:
    """The columns of a question."""
    one = question or Question("")
    return {"question": one.key or None, "number_token": one.number_token, "details": one.details}


def _row(item: NewItem) -> dict[str, Any]:
    taken = item.claim is not None
    return {
        "line": item.line,
        "state": "waiting" if taken else REFUSED,
        **asked_by(item.question),
        "local_id": item.local_id,
        "claim": stored(item.claim) if item.claim is not None else {},
        "outcome": None if taken else REFUSED,
        "rule": item.rule,
        "place": item.place,
        "number_rule": item.number_rule,
    }
