"""What somebody indicated about the death of a child of whom there is a case."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from halyard.postgres import Connection, load_queries
from schemas.deaths import DeathIndication
from stores.case_model import Indication

_SQL = load_queries("stores", "case_indications.sql")


async def of_event(connection: Connection, event_id: uuid.UUID) -> tuple[int, str | None] | None:
    """Revision of the identity, and of whom it is by that; None if it is not known."""
    cursor = await connection.execute(_SQL["of_event"], {"event_id": event_id})
    row = await cursor.fetchone()
    return None if row is None else (row["revision"], row["person"])


async def add(
    connection: Connection,
    event_id: uuid.UUID,
    revision: int,
    person: str | None,
    indication: Indication,
) -> None:
    """Write it, once for an event; of another person than before, or of nobody who has a case, if
    a higher revision of the identity says so.
    """
    await connection.execute(
        _SQL["add"],
        {
            "event_id": event_id,
            "revision": revision,
            "person": person,
            "indication": indication.indication.value,
            "organisation": indication.organisation,
            "at": indication.at,
            "died_at": None if person is None else indication.died_at,
        },
    )


async def of_persons(
    connection: Connection, persons: Iterable[str]
) -> dict[str, tuple[Indication, ...]]:
    """By person, newest last."""
    wanted = sorted(set(persons))
    found: dict[str, tuple[Indication, ...]] = {}
    if not wanted:
        return found
    cursor = await connection.execute(_SQL["of_persons"], {"persons": wanted})
    for row in await cursor.fetchall():
        one = Indication(
            indication=DeathIndication(row["indication"]),
            organisation=row["organisation"],
            at=row["indicated_at"],
            died_at=row["died_at"],
        )
        found[row["person"]] = (*found.get(row["person"], ()), one)
    return found
