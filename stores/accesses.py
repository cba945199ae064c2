"""Access events: who looked at a child's flags, when, as what, and which authority was told.

A look is recorded whether or not anything is held: that an access row exists says nothing of a
child. With the flag are shown the looks at one, of each author the first in 24 h.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "accesses.sql")

BREAK_GLASS: Final = "break-glass"
"""The purpose (`policies.purposes`) of who goes against the ordinary rule."""

SHOWN: Final = 25
"""So many accesses are shown with a flag (CP-IS)."""

ONCE_IN: Final = timedelta(hours=24)
"""Of one author and child one access is shown, and one notice given, in this time."""


@dataclass(frozen=True, slots=True)
class Access:
    """One look. `organisation` and what names the author are None where they are withheld."""

    access_id: uuid.UUID
    looked_at: datetime
    organisation: str | None  # ODS or GSS code
    author: str | None  # stable id within the issuer: "user:…", "client:…", "token:…"
    author_name: str | None = field(repr=False)  # of a member of staff
    author_person: bool  # a human being, not a system
    job_role: str | None
    roles: tuple[str, ...]
    purpose: str  # code of `policies.purposes`
    unscheduled: bool
    interface: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A look as it is kept."""

    access: Access
    person: str  # pseudonym (store key)
    request_id: str
    flagged: bool  # a plan was shown
    listed: bool  # shown with the flag
    reason: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """An authority was told of a look."""

    access_id: uuid.UUID
    authority: str  # GSS code
    person: str
    organisation: str
    author: str
    looked_at: datetime


async def add(connection: Connection, looks: Sequence[Recorded]) -> None:
    """Keep `looks`, in one statement."""
    if not looks:
        return
    await connection.execute(_SQL["add"], {"looks": orjson.dumps(list(map(_row, looks))).decode()})


async def by_ids(
    connection: Connection, access_ids: Mapping[uuid.UUID, datetime]
) -> dict[uuid.UUID, Recorded]:
    """The looks with these ids (each with its time), as far as they are kept."""
    cursor = await connection.execute(
        _SQL["by_ids"],
        {"access_ids": list(access_ids), "times": list(access_ids.values())},
    )
    return {row["access_id"]: _recorded(row) for row in await cursor.fetchall()}


async def kept(connection: Connection, access_ids: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these looks stand."""
    cursor = await connection.execute(_SQL["kept"], {"access_ids": list(access_ids)})
    return [row["access_id"] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A notice that is not sent as it was composed."""

    look: Recorded
    authority: str
    traceparent: str
    nhs_number: str | None = field(repr=False)  # as it would have been told


async def take_back(
    connection: Connection, persons: Iterable[str], authorities: Iterable[str], now: datetime
) -> list[TakenBack]:
    """Take back what was not sent to `authorities` of looks at `persons`, who are restricted by
    now, be it parked, held or denied; the caller holds their locks, and composes it anew.
    """
    cursor = await connection.execute(
        _SQL["take_back"],
        {
            "persons": sorted(set(persons)),
            "authorities": sorted(set(authorities)),
            "now": now,
        },
    )
    taken = await cursor.fetchall()
    if not taken:
        return []
    cursor = await connection.execute(
        _SQL["by_id_alone"], {"access_ids": [row["access_id"] for row in taken]}
    )
    looks = {row["access_id"]: _recorded(row) for row in await cursor.fetchall()}
    return [
        TakenBack(looks[row["access_id"]], row["authority"], row["traceparent"], row["nhs_number"])
        for row in taken
        if row["access_id"] in looks
    ]


async def notices(connection: Connection, persons: Iterable[str], since: datetime) -> list[Notice]:
    """What authorities were told of looks at `persons` after `since`; the caller holds their
    locks.
    """
    cursor = await connection.execute(
        _SQL["notices"], {"persons": sorted(set(persons)), "since": since}
    )
    return [Notice(**row) for row in await cursor.fetchall()]


async def save_notices(connection: Connection, told: Sequence[Notice]) -> None:
    """Remember that authorities were told."""
    if not told:
        return
    await connection.execute(
        _SQL["save_notices"],
        {
            "access_ids": [one.access_id for one in told],
            "authorities": [one.authority for one in told],
            "persons": [one.person for one in told],
            "organisations": [one.organisation for one in told],
            "authors": [one.author for one in told],
            "times": [one.looked_at for one in told],
        },
    )


def is_loud(access: Access) -> bool:
    """Whether it was no silent look: unscheduled, or the glass was broken."""
    return access.unscheduled or access.purpose == BREAK_GLASS


def shown(listed: Iterable[Access]) -> tuple[Access, ...]:
    """Of `listed` accesses those that are shown: of each author the first in 24 h, but that an
    unscheduled one replaces a silent one, and broken glass is shown each time; at most 25, the
    newest first.
    """
    last: dict[tuple[str | None, str | None], Access] = {}
    found: dict[uuid.UUID, Access] = {}
    for one in sorted(
        listed, key=lambda one: (one.looked_at, one.purpose == BREAK_GLASS, one.access_id)
    ):
        author = (one.organisation, one.author)
        before = last.get(author)
        if before is not None and one.looked_at - before.looked_at < ONCE_IN:
            if not is_loud(before) and is_loud(one):
                del found[before.access_id]
            elif one.purpose != BREAK_GLASS:
                continue
        last[author] = one
        found[one.access_id] = one
    return tuple(reversed(list(found.values())[-SHOWN:]))


def _row(one: Recorded) -> dict[str, Any]:
    access = one.access
    return {
        "access_id": access.access_id,
        "person": one.person,
        "looked_at": access.looked_at,
        "organisation": access.organisation,
        "author": access.author,
        "author_name": access.author_name,
        "author_person": access.author_person,
        "job_role": access.job_role,
        "roles": access.roles,
        "purpose": access.purpose,
        "reason": one.reason,
        "unscheduled": access.unscheduled,
        "interface": access.interface,
        "request_id": one.request_id,
        "flagged": one.flagged,
        "listed": one.listed,
    }


def _recorded(row: Mapping[str, Any]) -> Recorded:
    return Recorded(
        access=Access(
            access_id=row["access_id"],
            looked_at=row["looked_at"],
            organisation=row["organisation"],
            author=row["author"],
            author_name=row["author_name"],
            author_person=row["author_person"],
            job_role=row["job_role"],
            roles=tuple(row["roles"]),
            purpose=row["purpose"],
            unscheduled=row["unscheduled"],
            interface=row["interface"],
        ),
        person=row["person"],
        request_id=row["request_id"],
        flagged=row["flagged"],
        listed=row["listed"],
        reason=row["reason"],
    )
