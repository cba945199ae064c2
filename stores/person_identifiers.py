"""What agencies call a person, beside the NHS number: who says so since when, by which event.

Of people in the index alone, and gone with them. An identifier stands while one of the events that
state it is verified of the person; of these the first `EVENTS` are remembered.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson

from halyard.postgres import Connection, load_queries
from schemas.events import Identifier

_SQL = load_queries("stores", "person_identifiers.sql")

EVENTS: Final = 5
MOST: Final = 50
"""Identifiers of one person by one organisation that are kept: those stated last."""


@dataclass(frozen=True, slots=True)
class Stated:
    """An event that is verified of `person` (pseudonym, store key) and states an identifier."""

    person: str
    organisation: str  # ODS or GSS code
    identifier: Identifier = field(repr=False)
    event_id: uuid.UUID
    stated_at: datetime  # when the event was received


@dataclass(frozen=True, slots=True)
class Kept:
    """An identifier as it is kept."""

    identifier: Identifier = field(repr=False)
    organisation: str
    stated_at: datetime
    events: tuple[uuid.UUID, ...]


async def add(connection: Connection, stated: Sequence[Stated]) -> None:
    """Keep what is stated of people in the index; the caller holds their locks."""
    if stated:
        rows = orjson.dumps(
            [
                {
                    "person": one.person,
                    "organisation": one.organisation,
                    "scheme": one.identifier.scheme,
                    "value": one.identifier.value,
                    "assigner": one.identifier.assigner,
                    "stated_at": one.stated_at,
                    "event_id": one.event_id,
                }
                for one in stated
            ]
        ).decode()
        await connection.execute(_SQL["add"], {"rows": rows, "events": EVENTS})
        await connection.execute(_SQL["trim"], {"rows": rows, "most": MOST})


async def take_back(connection: Connection, gone: Iterable[tuple[str, uuid.UUID]]) -> None:
    """These events are not verified of these people any more: what they alone state goes."""
    pairs = sorted(set(gone))
    if pairs:
        rows = orjson.dumps(
            [{"person": person, "event_id": event_id} for person, event_id in pairs]
        ).decode()
        await connection.execute(_SQL["take_back"], {"rows": rows})
        persons = sorted({person for person, _ in pairs})
        await connection.execute(_SQL["drop_unstated"], {"persons": persons})


async def move(connection: Connection, person: str, to: str) -> None:
    """PDS superseded the number of `person` by that of `to`: what is stated of one is stated of the
    other, who must be in the index by now. Never for an invalidated number.
    """
    parameters = {"person": person, "to": to, "events": EVENTS}
    await connection.execute(_SQL["move"], parameters)
    await connection.execute(_SQL["drop"], parameters)


async def of_person(connection: Connection, person: str) -> list[Kept]:
    """All that is stated of `person`."""
    cursor = await connection.execute(_SQL["of_person"], {"person": person})
    return [
        Kept(
            identifier=Identifier(row["scheme"], row["value"], row["assigner"]),
            organisation=row["organisation"],
            stated_at=row["stated_at"],
            events=tuple(row["events"]),
        )
        for row in await cursor.fetchall()
    ]
