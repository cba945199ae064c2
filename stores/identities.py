"""Verified people the hub has a reason to know: the local index of the identity ladder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from halyard.postgres import Connection, load_queries, one

_SQL = load_queries("stores", "identities.sql")


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person as PDS gave them at `verified_at`; `postcode` is None when restricted.

    `person` is the pseudonym under the store key; `demographic_tokens` are keyed digests of each
    family name with the birth date. `flagged`: has or had a plan that is shown.
    """

    person: str
    nhs_number: str = field(repr=False)
    family: str | None = field(repr=False)
    given: tuple[str, ...] = field(repr=False)
    other_families: tuple[str, ...] = field(repr=False)
    other_given: tuple[tuple[str, ...], ...] = field(repr=False)
    birth_date: str | None = field(repr=False)
    gender: str | None = field(repr=False)
    postcode: str | None = field(repr=False)
    restricted: bool
    deceased: bool
    demographic_tokens: tuple[str, ...]
    verified_at: datetime
    keep_until: datetime
    flagged: bool = False
    flagged_at: datetime | None = None
    # pseudonyms of numbers that PDS superseded by this one: who still sends one means this person
    former: tuple[str, ...] = ()


async def known(
    connection: Connection, *, persons: Iterable[str], demographics: Iterable[str]
) -> list[KnownPerson]:
    """The people of these pseudonyms (also of a superseded number's), and flagged people with one
    of these tokens.
    """
    cursor = await connection.execute(
        _SQL["known"], {"persons": sorted(set(persons)), "demographics": sorted(set(demographics))}
    )
    return [_person(row) for row in await cursor.fetchall()]


async def tokens(
    connection: Connection, *, persons: Iterable[str], demographics: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Pseudonym to demographic tokens, of the same people as `known`: for locks, taken before."""
    cursor = await connection.execute(
        _SQL["tokens"], {"persons": sorted(set(persons)), "demographics": sorted(set(demographics))}
    )
    return {row["person"]: tuple(row["demographic_tokens"]) for row in await cursor.fetchall()}


async def heard_since(connection: Connection, person: str, at: datetime) -> datetime | None:
    """When the index took what it holds of `person`, if not before `at`; both by the database's
    clock.
    """
    values = {"person": person, "at": at}
    row = await (await connection.execute(_SQL["heard_since"], values)).fetchone()
    return None if row is None else row["heard_at"]


async def restricted(connection: Connection, persons: Iterable[str]) -> set[str]:
    """Those of `persons` who are restricted, by whatever is known of them."""
    cursor = await connection.execute(_SQL["restricted"], {"persons": sorted(set(persons))})
    return {row["person"] for row in await cursor.fetchall()}


async def put(connection: Connection, people: Sequence[KnownPerson]) -> None:
    """Insert or refresh people; a plan, once known, and the longest time to keep them stay."""
    if people:
        rows = orjson.dumps([_columns(one) for one in people]).decode()
        for query in ("put", "drop_tokens", "put_tokens"):
            await connection.execute(_SQL[query], {"rows": rows})


@dataclass(frozen=True, slots=True)
class Held:
    """How many people the index holds, and how many of them without a reason it may have."""

    people: int
    without_reason: int


async def held(connection: Connection, *, now: datetime) -> Held:
    """Counts who is known, and who is without a plan within its 365 days, a visit or death within
    48 hours (an hour more is given) or an open case.
    """
    return Held(**one(await (await connection.execute(_SQL["held"], {"now": now})).fetchone()))


async def purge(connection: Connection, *, now: datetime, plans: bool = True) -> int:
    """Forget who has no plan within its 365 days, no visit or death within 48 hours and no open
    case of a death; gives how many. `plans`: it is looked whose have ended; that reads them all.
    """
    if plans:
        await connection.execute(_SQL["unflag_ended"], {"now": now})
    cursor = await connection.execute(_SQL["purge"], {"now": now})
    return cursor.rowcount


def _columns(one: KnownPerson) -> dict[str, Any]:
    return {
        "person": one.person,
        "nhs_number": one.nhs_number,
        "names": {
            "family": one.family,
            "given": one.given,
            "other_families": one.other_families,
            "other_given": one.other_given,
        },
        "birth_date": one.birth_date,
        "gender": one.gender,
        "postcode": None if one.restricted else one.postcode,
        "restricted": one.restricted,
        "deceased": one.deceased,
        "demographic_tokens": one.demographic_tokens,
        "verified_at": one.verified_at,
        "flagged": one.flagged,
        "flagged_at": one.flagged_at,
        "keep_until": one.keep_until,
    }


def _person(row: dict[str, Any]) -> KnownPerson:
    names = row.pop("names")
    return KnownPerson(
        **{
            **row,
            "demographic_tokens": tuple(row["demographic_tokens"]),
            "former": tuple(row["former"]),
        },
        family=names["family"],
        given=tuple(names["given"]),
        other_families=tuple(names["other_families"]),
        other_given=tuple(tuple(given) for given in names["other_given"]),
    )
