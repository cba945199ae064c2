"""What people decided about cases and why; who got something of a case; its last event's bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "case_commands.sql")

FIRST = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Command:
    """A person's decision. `command_id` is the cause of the versions of cases that it made."""

    command_id: uuid.UUID
    kind: str  # merge, unmerge, reject, assign, void, reinstate
    case_id: uuid.UUID
    by: str
    reason: str = field(repr=False)
    decided_at: datetime
    other: uuid.UUID | None = None
    panel: str | None = None


async def add(connection: Connection, command: Command) -> None:
    """Keep a decision, in the transaction that carries it out."""
    await connection.execute(_SQL["add"], asdict(command))


async def of_case(connection: Connection, case_id: uuid.UUID) -> list[Command]:
    """The decisions about a case, the oldest first."""
    cursor = await connection.execute(_SQL["of_case"], {"case_id": case_id})
    return [Command(**row) for row in await cursor.fetchall()]


async def recipients(connection: Connection, case_ids: Iterable[uuid.UUID]) -> set[str]:
    """The organisations that have a letter about one of these cases, other than answers to what
    they sent themselves.
    """
    cursor = await connection.execute(_SQL["recipients"], {"case_ids": sorted(set(case_ids))})
    return {row["organisation"] for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Told:
    """What an organisation was told of a case, for the `round`th time, and until when it held."""

    case_id: uuid.UUID
    organisation: str
    kind: str
    round: int
    person: str | None  # pseudonym of the verified child that it was about
    told_at: datetime
    withdrawn_at: datetime | None = None


async def told(connection: Connection, case_ids: Iterable[uuid.UUID]) -> list[Told]:
    """What was told of these cases, also what holds no more. The caller holds their locks."""
    cursor = await connection.execute(_SQL["told"], {"case_ids": sorted(set(case_ids))})
    return [Told(**row) for row in await cursor.fetchall()]


async def save_told(connection: Connection, rows: Iterable[Told]) -> None:
    """What was told, as it stands from now on."""
    values = [asdict(one) for one in rows]
    if values:
        async with connection.cursor() as cursor:
            await cursor.executemany(_SQL["save_told"], values)


async def had(connection: Connection, case_ids: Iterable[uuid.UUID]) -> tuple[set[str], set[str]]:
    """Codes of the panels that any version of these cases went to, and of the agencies that were
    asked about them.
    """
    values = {"case_ids": sorted(set(case_ids))}
    panels = await connection.execute(_SQL["panels"], values)
    agencies = await connection.execute(_SQL["agencies"], values)
    return (
        {row["panel"] for row in await panels.fetchall()},
        {row["agency"] for row in await agencies.fetchall()},
    )


async def last_events(
    connection: Connection, case_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, bytes]:
    """The last `CaseChanged` of these cases as it is (or was) on the bus."""
    cursor = await connection.execute(_SQL["content"], {"case_ids": sorted(set(case_ids))})
    return {row["case_id"]: bytes(row["content"]) for row in await cursor.fetchall()}


async def all_ids(connection: Connection, *, after: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Ids of cases after `after` (`FIRST` at the start), in order."""
    cursor = await connection.execute(_SQL["ids"], {"after": after, "limit": limit})
    return [row["case_id"] for row in await cursor.fetchall()]
