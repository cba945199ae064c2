"""Flags: every record as its authority stated it, and the plans they fold to (rule 14)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from halyard.postgres import Connection, load_queries
from schemas.events import PlanType

_SQL = load_queries("stores", "flags.sql")

UNKNOWN_START = date.min
"""Start of a plan whose authority stated none."""


@dataclass(frozen=True, slots=True)
class FlagEvent:
    """What identity says now of one reported record: the highest revision seen."""

    reported_event_id: uuid.UUID
    revision: int
    retracted: bool
    authority: str  # GSS code
    person: str
    plan_type: PlanType
    start: date | None
    end: date | None
    delete: date | None
    sequence: int
    line: int
    received_at: datetime
    restricted: bool
    nhs_number: str = field(repr=False)
    birth_date: str | None = field(default=None, repr=False)
    local_id: str | None = field(default=None, repr=False)
    phone_office: str | None = None
    phone_emergency: str | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """One period of one plan of one person at one authority, active or ended."""

    authority: str  # GSS code
    person: str
    plan_type: PlanType
    start: date  # `UNKNOWN_START` if none was stated
    end: date | None
    sequence: int  # of the record that states it now
    line: int
    active_since: datetime  # receive time of the record that made it active
    restricted: bool
    nhs_number: str = field(repr=False)
    birth_date: str | None = field(default=None, repr=False)
    local_id: str | None = field(default=None, repr=False)
    phone_office: str | None = None
    phone_emergency: str | None = None


async def persons_of_events(
    connection: Connection, reported_event_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, tuple[str, int]]:
    """(person, revision) of each stored record among `reported_event_ids`."""
    cursor = await connection.execute(
        _SQL["persons_of_events"], {"reported_event_ids": sorted(set(reported_event_ids))}
    )
    return {
        row["reported_event_id"]: (row["person"], row["revision"])
        for row in await cursor.fetchall()
    }


async def events_of_persons(connection: Connection, persons: Iterable[str]) -> list[FlagEvent]:
    """Every stored record of `persons`; the caller holds their locks."""
    cursor = await connection.execute(_SQL["events_of_persons"], {"persons": sorted(set(persons))})
    return [FlagEvent(**_typed(row)) for row in await cursor.fetchall()]


async def save_events(connection: Connection, events: Sequence[FlagEvent]) -> None:
    """Store `events`; a higher stored revision stays."""
    if events:
        async with connection.cursor() as cursor:
            await cursor.executemany(_SQL["save_events"], [asdict(one) for one in events])


async def replace(
    connection: Connection, persons: Iterable[str], flags: Sequence[Flag], at: datetime
) -> None:
    """Make `flags` all that is held of `persons`."""
    await connection.execute(_SQL["remove"], {"persons": sorted(set(persons))})
    if flags:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                _SQL["save"], [{**asdict(flag), "changed_at": at} for flag in flags]
            )


async def of_persons(connection: Connection, persons: Iterable[str]) -> list[Flag]:
    """Every plan held of `persons`, active or ended, of all authorities."""
    cursor = await connection.execute(_SQL["of_persons"], {"persons": sorted(set(persons))})
    rows = [_typed(row) for row in await cursor.fetchall()]
    for row in rows:
        del row["changed_at"]
    return [Flag(**row) for row in rows]


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    values = dict(row)
    for name in ("start", "end", "delete"):
        if f"{name}_date" in values:
            values[name] = values.pop(f"{name}_date")
    values["plan_type"] = PlanType(values["plan_type"])
    return values
