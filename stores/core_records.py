"""The core demographic record of one person: what the index has of them, from PDS, with what
agencies call them, and how the asking organisation has to do with them. Never a call of PDS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from halyard.postgres import Connection, load_queries, one
from stores.holdings import HERE_WITHIN, LOOK_BACK
from stores.sibling_links import SCHEME

_SQL = load_queries("stores", "core_records.sql")

IDENTIFIERS: Final = 50


@dataclass(frozen=True, slots=True)
class StatedIdentifier:
    """An identifier and who states it."""

    scheme: str
    value: str = field(repr=False)
    assigner: str
    organisation: str
    stated_at: datetime
    # the person attended there within a year, and no attendance there is hidden
    attended: bool = False


@dataclass(frozen=True, slots=True)
class CoreRecord:
    """What is known of a person and may be asked for; neither number nor postcode.

    `relation`: why the organisation has to do with them, "flag", "visit", "case"; None: nothing.
    """

    known: bool
    restricted: bool
    relation: str | None
    here: bool  # a visit at the asking hospital in the last 48 h
    family: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    birth_date: str | None = field(default=None, repr=False)
    gender: str | None = field(default=None, repr=False)
    deceased: bool = False
    verified_at: datetime | None = None
    identifiers: tuple[StatedIdentifier, ...] = field(default=(), repr=False)
    siblings: tuple[str, ...] = field(default=(), repr=False)  # the organisation's own local ids


async def record(
    connection: Connection, person: str, organisation: str, now: datetime
) -> CoreRecord:
    """The record of `person` (pseudonym, store key) as `organisation` (ODS or GSS code) asks; one
    that is not `known` has nothing in it.
    """
    cursor = await connection.execute(
        _SQL["record"],
        {
            "person": person,
            "organisation": organisation,
            "now": now,
            "look_back": LOOK_BACK,
            "here": HERE_WITHIN,
            "scheme": SCHEME,
            "most": IDENTIFIERS,
        },
    )
    return _record(one(await cursor.fetchone()))


def _record(row: dict[str, Any]) -> CoreRecord:
    names = row["names"] or {"family": None, "given": []}
    return CoreRecord(
        known=row["known"],
        restricted=row["restricted"],
        relation=next(
            (name for name, column in _RELATIONS.items() if row[column]),
            None,
        ),
        here=row["here"],
        family=names["family"],
        given=tuple(names["given"]),
        birth_date=row["birth_date"],
        gender=row["gender"],
        deceased=row["deceased"],
        verified_at=row["verified_at"],
        identifiers=tuple(
            StatedIdentifier(scheme, value, assigner, by, datetime.fromisoformat(at), attended)
            for scheme, value, assigner, by, at, attended in orjson.loads(row["identifiers"])
        ),
        siblings=tuple(orjson.loads(row["siblings"])),
    )


_RELATIONS: Final = {"flag": "flag", "visit": "visit", "case": "open_case"}
