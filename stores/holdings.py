"""Everything that a look-up shows of somebody, for many at once in one round trip."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson

from halyard.postgres import Connection, load_queries
from schemas.events import PlanType
from stores.accesses import BREAK_GLASS, ONCE_IN, SHOWN, Access
from stores.flags import Flag

_SQL = load_queries("stores", "holdings.sql")

HERE_WITHIN: Final = timedelta(hours=48)
"""So recent a visit at the asker's hospital makes its staff part of the child's care."""

LOOK_BACK: Final = timedelta(days=365)
ATTENDANCES: Final = 25  # at most so many, the most recent

_UNTOUCHED: Final = datetime.min.replace(tzinfo=UTC)  # what a look-up does not need of a plan

_AS_IF: Final[list[list[Any]]] = [
    ["", "CPP", "2000-01-01", None, "2000-01-01", True, None, None, None]
]


@dataclass(frozen=True, slots=True)
class Ask:
    """Who is asked about, and by whom."""

    person: str  # pseudonym (store key)
    author: str


@dataclass(frozen=True, slots=True)
class Attendance:
    """A verified visit whose place nobody hides."""

    hospital: str  # ODS code
    department: str | None  # the hospital's own code
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one person. The plans come without number, id and age."""

    flags: tuple[Flag, ...]
    number_known: bool  # the hub has verified somebody under it
    restricted: bool  # PDS says so of the person, an authority of a plan, or a hospital of a visit
    death_noted: datetime | None
    # listed looks, with some to spare; of a restricted person for the authority of a plan alone
    accesses: tuple[Access, ...]
    # whether this author's listed looks of the 24 h before are of more than silent ones
    seen_before: bool | None
    # of 12 months, the newest first; not those `here`; none of a restricted person
    attendances: tuple[Attendance, ...]
    here: bool  # a visit at the asker's hospital in the last 48 h
    successor: str | None = None  # whom the number stands for, if PDS superseded it
    inactive: bool = False  # PDS invalidated the number


async def of_persons(
    connection: Connection, organisation: str, asks: Sequence[Ask], now: datetime
) -> list[Holding]:
    """What is held for each of `asks`, in order, as an organisation (ODS or GSS code) asks now."""
    cursor = await connection.execute(
        _SQL["held"],
        {
            "organisation": organisation,
            "persons": [one.person for one in asks],
            "authors": [one.author for one in asks],
            "now": now,
            "most": 2 * SHOWN,  # two looks at the same instant may both be listed
            "once_in": ONCE_IN,
            "break_glass": BREAK_GLASS,
            "look_back": LOOK_BACK,
            "here": HERE_WITHIN,
            "attendances": ATTENDANCES,
        },
    )
    return [_holding(row) for row in await cursor.fetchall()]


def _holding(row: dict[str, Any]) -> Holding:
    stated = orjson.loads(row["flags"])
    # where nothing is held a plan is read all the same: it must not take less time
    flags = tuple(_flag(row["person"], one) for one in stated or _AS_IF)
    return Holding(
        flags=flags if stated else (),
        number_known=row["number_known"],
        restricted=row["restricted"],
        death_noted=row["death_noted"],
        accesses=tuple(_access(one) for one in orjson.loads(row["accesses"])),
        seen_before=row["seen_before"],
        attendances=tuple(
            Attendance(hospital, department, datetime.fromisoformat(at))
            for hospital, department, at in orjson.loads(row["attendances"])
        ),
        here=row["here"],
        successor=row["successor"],
        inactive=row["inactive"],
    )


def _flag(person: str, values: list[Any]) -> Flag:
    authority, plan_type, start, end, birth_date, restricted, local_id, office, emergency = values
    return Flag(
        authority=authority,
        person=person,
        plan_type=PlanType(plan_type),
        start=date.fromisoformat(start),
        end=None if end is None else date.fromisoformat(end),
        sequence=0,
        line=0,
        active_since=_UNTOUCHED,
        restricted=restricted,
        nhs_number="",
        birth_date=birth_date,
        local_id=local_id,
        phone_office=office,
        phone_emergency=emergency,
    )


def _access(values: list[Any]) -> Access:
    access_id, at, organisation, author, name, is_person, job, roles, purpose, urgent, face = values
    return Access(
        access_id=uuid.UUID(access_id),
        looked_at=datetime.fromisoformat(at),
        organisation=organisation,
        author=author,
        author_name=name,
        author_person=is_person,
        job_role=job,
        roles=tuple(roles),
        purpose=purpose,
        unscheduled=urgent,
        interface=face,
    )
