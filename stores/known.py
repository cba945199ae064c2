"""What the hub itself knows of a verified child who died: plans and attendances before the death;
and the note that a death leaves at the person's flags.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from halyard.postgres import Connection, load_queries, one
from schemas.deaths import FlagAtDeath, FlagHistory, LastAttendance
from stores.case_model import Known
from stores.flags import UNKNOWN_START

_SQL = load_queries("stores", "known.sql")

ATTENDANCES: Final = 10  # at most so many, the most recent
LOOK_BACK: Final = timedelta(days=365)
_LONDON: Final = ZoneInfo("Europe/London")


async def known(connection: Connection, person: str, on: date | None, at: datetime) -> Known:
    """What is known of `person` (pseudonym, store key) as of the day of death `on`; if that is not
    known, as of `at`, which is when the hub looks.

    Plans that an authority has deleted as wrong are not there; those of the unborn are the
    mother's. A restricted plan is there without its authority. Attendances are those of the 12
    months up to the end of that day, without any whose place is restricted or hidden. `as_at` is
    None, and plans are not known, while no authority has ever sent a file: silence says nothing
    then.
    """
    day = on or at.astimezone(_LONDON).date()
    until = datetime.combine(day + timedelta(days=1), time(), _LONDON).astimezone(UTC)
    cursor = await connection.execute(_SQL["flags"], {"person": person})
    flags = tuple(
        found for row in await cursor.fetchall() if (found := _flag(row, day)) is not None
    )
    cursor = await connection.execute(
        _SQL["attendances"],
        {
            "person": person,
            "since": until - LOOK_BACK,
            "until": min(until, at),
            "limit": ATTENDANCES,
        },
    )
    attendances = tuple(
        LastAttendance(row["hospital"], row["arrived_at"], row["department"])
        for row in await cursor.fetchall()
    )
    sends = bool(one(await (await connection.execute(_SQL["anybody_sends"])).fetchone())["sends"])
    return Known(flags, attendances, at if sends or flags else None)


def _flag(row: dict[str, Any], day: date) -> FlagAtDeath | None:
    """The plan on that day; None if it had not begun. First and last day count as active."""
    start, end = row["start_date"], row["end_date"]
    if start > day:
        return None
    ended = end is not None and end < day
    return FlagAtDeath(
        authority="" if row["restricted"] else row["authority"],
        plan_type=row["plan_type"],
        history=FlagHistory.PREVIOUSLY if ended else FlagHistory.CURRENT,
        start=None if start == UNKNOWN_START else start.isoformat(),
        end=None if end is None else end.isoformat(),
    )


async def note_deaths(
    connection: Connection, case_id: uuid.UUID, persons: Iterable[str], at: datetime
) -> None:
    """The case says that these persons died, and of nobody else: look-ups of their flags show it
    from now on.
    """
    values = {"case_id": case_id, "persons": sorted(set(persons)), "at": at}
    await connection.execute(_SQL["withdraw"], values)
    if values["persons"]:
        await connection.execute(_SQL["note"], values)


async def death_noted(connection: Connection, person: str) -> datetime | None:
    """Since when a death is noted of this person; None if none is."""
    row = one(await (await connection.execute(_SQL["noted"], {"person": person})).fetchone())
    found: datetime | None = row["noted_at"]
    return found
