"""Letters: FHIR messages to organisations, written by the transaction that decided them.

Reading is not taking: a letter is there, with the same bytes, until it is purged. The first reading
is noted: what nobody has read can be taken back. The organisation says that it has one by
acknowledging it. Lists go on by the transaction that added a letter, and
show none before its place is settled, so a cursor skips nothing (correctness rule 20).

A letter to an organisation with an endpoint is pushed as well: its oldest pending one at a time,
under a lease, by the letter's id at every attempt. What the receiver refuses is parked and can
still be fetched. Time of leases is PostgreSQL's.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from halyard.postgres import Connection, Pool, load_queries, one, transaction

_SQL = load_queries("stores", "mailbox.sql")

PAGE_BYTES: Final = 8_000_000
MAX_ANSWERS: Final = 20
MAX_ATTEMPTS: Final = 48
"""After so many (about four hours) a letter that may itself be the fault is stepped past."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to be written. `letter_id` is its MessageHeader.id; `endpoint` is the name of the
    organisation's endpoint in the directory, if it has one (`Directory.message_endpoint`).
    """

    letter_id: uuid.UUID
    organisation: str  # ODS or GSS code
    kind: str  # code of the message event, as in `connectors.fhir.letters`
    body: bytes = field(repr=False)  # FHIR JSON
    created_at: datetime
    endpoint: str | None = None
    about: uuid.UUID | None = None  # the reported event: the receipt of what it answers
    message_id: str | None = None  # of the message that it answers
    case_id: uuid.UUID | None = None
    needs_acknowledgement: bool = False
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter as its organisation reads it."""

    letter_id: uuid.UUID
    organisation: str
    kind: str
    body: bytes = field(repr=False)
    created_at: datetime
    about: uuid.UUID | None
    message_id: str | None
    case_id: uuid.UUID | None
    needs_acknowledgement: bool
    acknowledged_at: datetime | None


Cursor = tuple[int, int]
"""A letter's place in the lists: the transaction that added it, and its position."""


@dataclass(frozen=True, slots=True)
class Page:
    """Letters in the order of the list. `next`: where to go on, now (if `more`) or later."""

    letters: tuple[StoredLetter, ...]
    next: Cursor | None
    more: bool


@dataclass(frozen=True, slots=True)
class Push:
    """A claimed letter: one attempt that must now be made."""

    letter_id: uuid.UUID
    organisation: str
    kind: str
    endpoint: str
    body: bytes = field(repr=False)
    attempts: int  # this one included
    traceparent: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the mailbox waits for."""

    parked: int  # refused by their receivers
    oldest_seconds: float  # of what is to be pushed
    awaited: int  # acknowledgements


async def add(connection: Connection, letters: Sequence[Letter]) -> None:
    """Write `letters`, in this order; one whose id is there already, or was, changes nothing."""
    if not letters:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["add"],
            [
                {
                    "letter_id": letter.letter_id,
                    "organisation": letter.organisation,
                    "kind": letter.kind,
                    "about": letter.about,
                    "message_id": letter.message_id,
                    "case_id": letter.case_id,
                    "body": letter.body,
                    "needs_acknowledgement": letter.needs_acknowledgement,
                    "created_at": letter.created_at,
                    "endpoint": letter.endpoint,
                    "traceparent": letter.traceparent,
                }
                for letter in letters
            ],
        )
    if any(letter.endpoint is not None for letter in letters):
        await connection.execute(_SQL["hint"])


async def page(
    connection: Connection,
    organisation: str,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    unacknowledged: bool = False,
    max_bytes: int = PAGE_BYTES,
) -> Page:
    """The organisation's letters after `after`, the oldest first: at most `limit`, and `max_bytes`
    of bodies (but at least one letter). `unacknowledged`: only those it has not acknowledged.
    Whatever commits later stands after `next`. A letter is shown when its place is settled, which
    it is at once unless another transaction still runs.
    """
    cursor = await connection.execute(
        _SQL["page"],
        {
            "organisation": organisation,
            "after_xid": str(after[0]) if after else None,
            "after_position": after[1] if after else None,
            "limit": limit,
            "unacknowledged": unacknowledged,
            "bytes": max_bytes,
        },
    )
    rows = await cursor.fetchall()
    if not rows:
        return Page((), after, more=False)
    last = rows[-1]
    return Page(
        await _read(connection, organisation, rows),
        (int(last["added_xid"]), last["position"]),
        more=last["found"] > len(rows),
    )


async def get(
    connection: Connection, organisation: str, letter_id: uuid.UUID
) -> StoredLetter | None:
    """The organisation's letter; None for others' as for none."""
    values = {"organisation": organisation, "letter_id": letter_id}
    rows = await (await connection.execute(_SQL["get"], values)).fetchall()
    return next(iter(await _read(connection, organisation, rows)), None)


async def answer_to(
    connection: Connection, organisation: str, answered: str
) -> tuple[StoredLetter, ...]:
    """The letters that answer the organisation's message of this id or receipt, newest first."""
    try:
        receipt = uuid.UUID(answered)
    except ValueError:
        receipt = None
    cursor = await connection.execute(
        _SQL["answers_to"],
        {
            "organisation": organisation,
            "answered": answered,
            "receipt": receipt,
            "limit": MAX_ANSWERS,
        },
    )
    return await _read(connection, organisation, await cursor.fetchall())


async def take_back(
    connection: Connection, letter_ids: Collection[uuid.UUID]
) -> frozenset[uuid.UUID]:
    """Delete those of these letters that nobody has read, acknowledged or been pushed; they are
    never written again. Gives those that their organisations surely never had.
    """
    if not letter_ids:
        return frozenset()
    cursor = await connection.execute(_SQL["take_back"], {"ids": sorted(letter_ids)})
    return frozenset(row["letter_id"] for row in await cursor.fetchall())


async def _read(
    connection: Connection, organisation: str, rows: Sequence[dict[str, Any]]
) -> tuple[StoredLetter, ...]:
    """Those that are there still; it is noted that they were read."""
    unread = {row["letter_id"] for row in rows if row["fetched_at"] is None}
    if unread:
        values = {"organisation": organisation, "ids": sorted(unread)}
        cursor = await connection.execute(_SQL["fetched"], values)
        unread -= {row["letter_id"] for row in await cursor.fetchall()}
    return tuple(_letter(row) for row in rows if row["letter_id"] not in unread)


async def acknowledge(
    connection: Connection, organisation: str, letter_id: uuid.UUID, now: datetime
) -> bool:
    """The organisation has the letter; the first time counts. False if it has no such letter."""
    values = {"organisation": organisation, "letter_id": letter_id, "at": now}
    cursor = await connection.execute(_SQL["acknowledge"], values)
    return await cursor.fetchone() is not None


async def unacknowledged(connection: Connection, case_id: uuid.UUID) -> list[tuple[str, str]]:
    """(organisation, kind) of the case's letters that must be acknowledged and are not yet."""
    cursor = await connection.execute(_SQL["unacknowledged"], {"case_id": case_id})
    return [(row["organisation"], row["kind"]) for row in await cursor.fetchall()]


async def claim(
    pool: Pool, *, room: int, lease_seconds: float, held: Collection[uuid.UUID] = ()
) -> list[Push]:
    """Take up to `room` due letters under a lease: of each (endpoint, organisation) its oldest
    pending one, past those that `MAX_ATTEMPTS` did not get through. `held`: this process's own
    unfinished ones.
    """
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            _SQL["claim"],
            {
                "room": room,
                "lease": lease_seconds,
                "held": list(held),
                "stuck": MAX_ATTEMPTS,
            },
        )
        return [Push(**{**row, "body": bytes(row["body"])}) for row in await cursor.fetchall()]


async def mark_pushed(connection: Connection, push: Push) -> None:
    """The receiver said yes. It may still have to acknowledge. Letters that were stepped past are
    due again.
    """
    values = {"letter_id": push.letter_id, "stuck": MAX_ATTEMPTS}
    await connection.execute(_SQL["pushed"], values)
    await connection.execute(_SQL["recall"], values)


async def overtaken(connection: Connection, push: Push) -> bool:
    """Whether a letter behind it went through to the same destination."""
    cursor = await connection.execute(_SQL["overtaken"], {"letter_id": push.letter_id})
    return bool(one(await cursor.fetchone())["overtaken"])


async def retry(connection: Connection, push: Push, *, reason: str, after_seconds: float) -> None:
    """Give the letter back, due in `after_seconds`; nothing if its lease has gone to another."""
    await connection.execute(
        _SQL["again"],
        {
            "letter_id": push.letter_id,
            "attempts": push.attempts,
            "reason": reason,
            "seconds": after_seconds,
        },
    )


async def park(connection: Connection, push: Push, *, reason: str) -> None:
    """Push this letter no more: its receiver refuses it. It can be fetched."""
    values = {"letter_id": push.letter_id, "attempts": push.attempts, "reason": reason}
    await connection.execute(_SQL["park"], values)


async def waiting(pool: Pool) -> Waiting:
    """What waits now."""
    async with transaction(pool) as connection:
        row = one(await (await connection.execute(_SQL["waiting"])).fetchone())
    return Waiting(row["parked"], float(row["oldest_seconds"]), row["awaited"])


async def purge(pool: Pool, *, keep_days: int, limit: int = 1_000) -> int:
    """Delete up to `limit` letters older than `keep_days`, but none that must still be acknowledged
    or pushed. Gives how many. Their ids, and about which case each was, stay.
    """
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["purge"], {"days": keep_days, "limit": limit})
        return cursor.rowcount


def _letter(row: dict[str, Any]) -> StoredLetter:
    return StoredLetter(
        letter_id=row["letter_id"],
        organisation=row["organisation"],
        kind=row["kind"],
        body=bytes(row["body"]),
        created_at=row["created_at"],
        about=row["about"],
        message_id=row["message_id"],
        case_id=row["case_id"],
        needs_acknowledgement=row["needs_acknowledgement"],
        acknowledged_at=row["acknowledged_at"],
    )
