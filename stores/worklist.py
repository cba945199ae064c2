"""Events whose person could not be established, until somebody decides; they age in view."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "worklist.sql")
Notice = tuple[str, uuid.UUID | None]
"""A notification or report: its key, and the request that a report answers."""

_START = (datetime(1970, 1, 1, tzinfo=UTC), uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One entry. `organisation` (ODS or GSS code) sees it; `rule` says why it is here.

    `local_id` is the sender's own id of the person; `upload_id` and `line` are a flag's. `claim`:
    of whom it is, as sent (nhs_number, family, given, birth_date, gender). `candidates`: for each
    record that PDS named without proof {rule, found_by, fields: {field: agreement}}, nothing of the
    person. `shown_rule` stands for `rule` where that would say something of a record. Who has it in
    hand has it until `claimed_until`. Lists have neither `claim` nor `candidates`. `key` and
    `plan_type`: which child's plan a flag is of, as its sender has them; written, never read.
    """

    entry_id: uuid.UUID
    reported_event_id: uuid.UUID
    event_kind: str
    organisation: str
    source: str
    rule: str
    indicator: str
    opened_at: datetime
    local_id: str | None = field(default=None, repr=False)
    upload_id: uuid.UUID | None = None
    line: int | None = None
    person: str | None = field(default=None, repr=False)  # whom it named before, as it is read
    decided_at: datetime | None = None  # its claim's, as it is read
    key: str | None = field(default=None, repr=False)
    plan_type: str | None = None
    claim: dict[str, Any] | None = field(default=None, repr=False)
    candidates: Sequence[dict[str, Any]] = ()
    shown_rule: str | None = None
    claimed_by: str | None = None
    claimed_name: str | None = field(default=None, repr=False)
    claimed_until: datetime | None = None
    question: str | None = None
    asked_at: datetime | None = None
    next_try_at: datetime | None = None
    tries: int = 0
    closed_at: datetime | None = None
    closed_rule: str | None = None
    ended_by: str | None = None
    ended_name: str | None = field(default=None, repr=False)
    ended_reason: str | None = field(default=None, repr=False)
    cause: str | None = None  # digest: what a person ended is not opened again for the same

    def claimed(self, now: datetime) -> str | None:
        """Who has it in hand now."""
        held = self.claimed_until is not None and self.claimed_until > now
        return self.claimed_by if held else None


@dataclass(frozen=True, slots=True)
class Due:
    """An entry of which PDS is to be asked again, or which is to end."""

    entry_id: uuid.UUID
    reported_event_id: uuid.UUID
    organisation: str


@dataclass(frozen=True, slots=True)
class Expired:
    """An entry that nobody resolved in time; `rule` says why it was there, `closed_rule` whether
    the plan that it is about is held all the same (``expired-held``).
    """

    reported_event_id: uuid.UUID
    event_kind: str
    rule: str
    closed_rule: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Open entries of a kind and rule: how many, how many in somebody's hand, since when."""

    event_kind: str
    rule: str
    amount: int
    oldest: datetime
    claimed: int


async def add(connection: Connection, entries: Sequence[WorklistEntry]) -> None:
    """Open entries; one that was closed for the same event is open again, with its first age."""
    if entries:
        async with connection.cursor() as cursor:
            rows = sorted(map(_row, entries), key=lambda row: str(row["entry_id"]))
            await cursor.executemany(_SQL["open"], rows)


async def close(connection: Connection, closed: dict[uuid.UUID, str], *, now: datetime) -> None:
    """Close the entries of these reported events, each with the rule that resolved it."""
    if closed:
        ids = sorted(closed)
        parameters: dict[str, Any] = {"ids": ids, "rules": [closed[one] for one in ids], "now": now}
        await connection.execute(_SQL["close"], parameters)


async def close_earlier(
    connection: Connection,
    settled: Mapping[Notice, tuple[int, str]],
    *,
    before: datetime,
    now: datetime,
) -> None:
    """Close what messages of these notifications received before `before` have open, if their
    version is lower than the one given, each with the rule that made them moot.
    """
    if settled:
        given = list(settled.items())
        parameters: dict[str, Any] = {
            "keys": [key for (key, _), _ in given],
            "requests": [request for (_, request), _ in given],
            "versions": [version for _, (version, _) in given],
            "rules": [rule for _, (_, rule) in given],
            "before": before,
            "now": now,
        }
        await connection.execute(_SQL["close_earlier"], parameters)


async def close_resent(
    connection: Connection, resent: Mapping[tuple[str, str], datetime], *, now: datetime
) -> None:
    """Close the entries of flags of which a later record is held: of the same authority's child
    (key) and the same kind of plan, received before. What ended as matching nobody does so no more.
    """
    if resent:
        given = sorted(resent.items())
        parameters: dict[str, Any] = {
            "keys": [key for (key, _), _ in given],
            "plans": [plan for (_, plan), _ in given],
            "received": [received for _, received in given],
            "now": now,
        }
        await connection.execute(_SQL["close_resent"], parameters)


async def entries(
    connection: Connection,
    organisation: str,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> list[WorklistEntry]:
    """An organisation's open entries, oldest first; `after` is the last (opened_at, entry_id)."""
    after_at, after_id = after or _START
    cursor = await connection.execute(
        _SQL["entries"],
        {
            "organisation": organisation,
            "after_at": after_at,
            "after_id": after_id,
            "limit": limit,
        },
    )
    return [WorklistEntry(**row) for row in await cursor.fetchall()]


async def entry(
    connection: Connection, entry_id: uuid.UUID, *, organisation: str | None = None
) -> WorklistEntry | None:
    """An entry, open or not; None for another organisation's as for none (`organisation` None: of
    any)."""
    values = {"entry_id": entry_id, "organisation": organisation}
    row = await (await connection.execute(_SQL["entry"], values)).fetchone()
    return None if row is None else WorklistEntry(**row)


async def hold(connection: Connection, entry_id: uuid.UUID) -> bool:
    """Lock the row: whoever decides about an entry does so first. False if there is none."""
    cursor = await connection.execute(_SQL["hold"], {"entry_id": entry_id})
    return await cursor.fetchone() is not None


async def claim(
    connection: Connection,
    entry_id: uuid.UUID,
    *,
    by: str | None,
    name: str | None,
    until: datetime | None,
) -> None:
    """Somebody has it in hand until then, or nobody. The caller holds it."""
    values = {"entry_id": entry_id, "by": by, "name": name, "until": until}
    await connection.execute(_SQL["claim"], values)


async def ask(connection: Connection, entry_id: uuid.UUID, question: str, *, now: datetime) -> None:
    """Its sender is asked this. The caller holds it."""
    values = {"entry_id": entry_id, "question": question, "now": now}
    await connection.execute(_SQL["ask"], values)


async def ended(
    connection: Connection, entry_id: uuid.UUID, *, by: str, name: str | None, reason: str
) -> None:
    """A person ended it, for this reason."""
    values = {"entry_id": entry_id, "by": by, "name": name, "reason": reason}
    await connection.execute(_SQL["ended"], values)


async def tried(
    connection: Connection,
    entry_id: uuid.UUID,
    *,
    next_try_at: datetime | None,
    by_schedule: bool = True,
) -> None:
    """PDS was asked again; when next, if the entry is still open. What a person had asked is none
    of its tries.
    """
    values = {"entry_id": entry_id, "next_try_at": next_try_at, "tries": int(by_schedule)}
    await connection.execute(_SQL["tried"], values)


async def take_due(connection: Connection, *, now: datetime, limit: int) -> list[Due]:
    """Entries of which PDS is to be asked again now, each once; the longest due first."""
    cursor = await connection.execute(_SQL["take_due"], {"now": now, "limit": limit})
    return [Due(**row) for row in await cursor.fetchall()]


async def expire(
    connection: Connection, *, now: datetime, arrivals: datetime, others: datetime, limit: int
) -> list[Expired]:
    """End what came in before: of visits of which no alert stands before `arrivals`, of flags,
    deaths and merges before `others`; nothing of which a decision is in hand.
    """
    values = {"arrivals": arrivals, "others": others, "limit": limit}
    aged = await (await connection.execute(_SQL["aged"], values)).fetchall()
    if not aged:
        return []
    ids = [row["entry_id"] for row in aged]
    cursor = await connection.execute(_SQL["expire"], {"ids": ids, "now": now})
    return [Expired(**row) for row in await cursor.fetchall()]


async def standing_aged(
    connection: Connection, *, now: datetime, before: datetime, limit: int
) -> list[Due]:
    """Visits' entries opened before `before` of which an alert stands, and nothing is in hand."""
    values = {"now": now, "before": before, "limit": limit}
    cursor = await connection.execute(_SQL["standing_aged"], values)
    return [Due(**row) for row in await cursor.fetchall()]


async def standing(connection: Connection, *, now: datetime) -> list[Standing]:
    """What is open, by kind and rule."""
    cursor = await connection.execute(_SQL["standing"], {"now": now})
    return [Standing(**row) for row in await cursor.fetchall()]


async def oldest_seconds(connection: Connection) -> float:
    """Age of the oldest open entry, 0 if there is none."""
    cursor = await connection.execute(_SQL["oldest"])
    return float(one(await cursor.fetchone())["seconds"])


def _row(entry: WorklistEntry) -> dict[str, Any]:
    row = asdict(entry)
    claim = row["claim"]
    row["claim"] = None if claim is None else Jsonb(claim)
    row["candidates"] = Jsonb(list(row["candidates"]))
    return row
