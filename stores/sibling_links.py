"""Siblings, only as an authority states them: by its own ids, of children whom it has plans of.

A link has a person on both sides once both are verified by records of that authority. It ends when
a later record states otherwise, when its record is taken back, and with either person's place in
the index. Nothing is inferred, and nobody's link passes on to a number that replaces an invalidated
one (ADR 0048).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "sibling_links.sql")

SCHEME: Final = "la-child-id"
"""Scheme of the ids by which an authority states siblings (`person_identifiers`)."""


@dataclass(frozen=True, slots=True)
class SiblingList:
    """Whom a record, verified of `person`, states to be the person's siblings; none: ``()``."""

    authority: str  # GSS code
    person: str  # pseudonym (store key)
    reported_event_id: uuid.UUID
    sequence: int
    line: int
    stated_at: datetime
    siblings: tuple[str, ...] = field(repr=False)  # the authority's own local ids


async def put(connection: Connection, lists: Sequence[SiblingList]) -> None:
    """Keep what the latest records state; the caller holds the persons' locks."""
    if not lists:
        return
    rows = _json(
        {
            "authority": one.authority,
            "person": one.person,
            "reported_event_id": one.reported_event_id,
            "sequence": one.sequence,
            "line": one.line,
            "stated_at": one.stated_at,
        }
        for one in lists
    )
    cursor = await connection.execute(_SQL["put_lists"], {"rows": rows})
    held = {
        (row["authority"], row["person"], row["reported_event_id"])
        for row in await cursor.fetchall()
    }
    now = _json(
        {"authority": one.authority, "person": one.person, "siblings": one.siblings}
        for one in lists
        if (one.authority, one.person, one.reported_event_id) in held
    )
    await connection.execute(_SQL["drop_links"], {"rows": now})
    await connection.execute(_SQL["put_links"], {"rows": now})


async def resolve(connection: Connection, ids: Iterable[tuple[str, str]]) -> None:
    """Name the siblings behind these (authority, local id), as far as they are verified by now."""
    wanted = sorted(set(ids))
    if wanted:
        rows = _json({"authority": authority, "local_id": one} for authority, one in wanted)
        await connection.execute(_SQL["resolve"], {"wanted": rows, "scheme": SCHEME})


async def forget(connection: Connection, ids: Iterable[tuple[str, str]]) -> None:
    """These (authority, local id) are of an invalidated number: what was stated by them ends, so
    that it never joins a family to who comes under the id afterwards (ADR 0048).
    """
    wanted = sorted(set(ids))
    if wanted:
        rows = _json({"authority": authority, "local_id": one} for authority, one in wanted)
        await connection.execute(_SQL["forget"], {"wanted": rows})


async def resolve_all(connection: Connection) -> int:
    """Name every sibling that can be named by now, also one that was verified while its list was
    being written; gives how many."""
    return (await connection.execute(_SQL["resolve_all"], {"scheme": SCHEME})).rowcount


async def take_back(connection: Connection, gone: Iterable[tuple[str, uuid.UUID]]) -> None:
    """These events are not verified of these people any more; `person_identifiers` first."""
    pairs = sorted(set(gone))
    if pairs:
        rows = _json({"person": person, "event_id": event_id} for person, event_id in pairs)
        await connection.execute(_SQL["take_back"], {"rows": rows})
        persons = sorted({person for person, _ in pairs})
        await connection.execute(_SQL["unname"], {"persons": persons, "scheme": SCHEME})


async def move(connection: Connection, person: str, to: str) -> None:
    """PDS superseded the number of `person` by that of `to`, who is in the index by now: links go
    along. Never for an invalidated number.
    """
    parameters = {"person": person, "to": to}
    for query in ("move_lists", "move_links", "drop_person", "move_siblings"):
        await connection.execute(_SQL[query], parameters)


async def of_person(
    connection: Connection, authority: str, person: str
) -> list[tuple[str, str | None]]:
    """What `authority` states: its own id of each sibling, and whom it names, if that is known."""
    cursor = await connection.execute(_SQL["of_person"], {"authority": authority, "person": person})
    return [(row["local_id"], row["sibling"]) for row in await cursor.fetchall()]


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return orjson.dumps(list(rows)).decode()
