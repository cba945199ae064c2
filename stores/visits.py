"""Visits: every asserted event of a visit, and what they fold to (correctness rules 5 and 12)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from halyard.postgres import Connection, load_queries
from schemas import codec
from schemas.events import AttendanceVerified, Moment

_SQL = load_queries("stores", "visits.sql")
_MOMENTS = ("arrived", "departed")  # each three columns: …_at, …_offset, …_repeated


@dataclass(frozen=True, slots=True)
class VisitEvent:
    """What identity says now of one reported event: the highest revision seen."""

    reported_event_id: uuid.UUID
    revision: int
    retracted: bool
    visit_id: uuid.UUID
    source_patient: str
    person: str
    received_at: datetime
    traceparent: str
    event: AttendanceVerified


@dataclass(frozen=True, slots=True)
class Visit:
    """A folded visit. `arrived` is None unless it is live; `department` is the hospital's code."""

    visit_id: uuid.UUID
    source_patient: str
    person: str | None
    hospital: str  # ODS code
    live: bool
    state: str  # present, departed, cancelled, none
    arrived: Moment | None
    received_at: datetime  # of the first arrival, else of the first event
    late: bool
    fresh: bool  # an arrival reached us within 24 h of being recorded
    provisional: bool
    restricted: bool
    department: str | None = None
    site_ods: str | None = None
    admission_method: str | None = None
    mode_of_arrival: str | None = None
    reason: str | None = field(default=None, repr=False)
    acuity: str | None = field(default=None, repr=False)
    departed: Moment | None = None  # only while the state is departed
    discharge_destination: str | None = None
    birth: bool = False  # of a baby: the person is the mother
    location_shielded: bool = False
    heard_until: datetime | None = None  # the last event before the first long silence
    also: str | None = None  # whom later provisional word names beside the verified `person`
    also_restricted: bool = False

    def about(self, person: str) -> Visit:
        """The visit as it concerns `person`: if they are named besides, provisionally theirs."""
        if person != self.also:
            return self
        return replace(self, person=person, provisional=True, restricted=self.also_restricted)


async def events_of_visits(
    connection: Connection, visit_ids: Iterable[uuid.UUID]
) -> list[VisitEvent]:
    """Every stored event of `visit_ids`; the caller holds the visits' locks."""
    cursor = await connection.execute(
        _SQL["events_of_visits"], {"visit_ids": sorted(set(visit_ids))}
    )
    return [
        VisitEvent(
            **{
                **row,
                "event": codec.decode_as(AttendanceVerified, bytes(row["event"])),
            }
        )
        for row in await cursor.fetchall()
    ]


async def save_events(connection: Connection, events: Sequence[VisitEvent]) -> None:
    """Store `events` (each reported event once); a higher stored revision stays."""
    if not events:
        return
    await connection.execute(
        _SQL["save_events"],
        {
            "reported_event_ids": [one.reported_event_id for one in events],
            "revisions": [one.revision for one in events],
            "retracted": [one.retracted for one in events],
            "visit_ids": [one.visit_id for one in events],
            "source_patients": [one.source_patient for one in events],
            "persons": [one.person for one in events],
            "received_at": [one.received_at for one in events],
            "traceparents": [one.traceparent for one in events],
            "events": [codec.encode(one.event) for one in events],
        },
    )


async def persons_of_visits(connection: Connection, visit_ids: Iterable[uuid.UUID]) -> set[str]:
    """Whom the stored folds and events of `visit_ids` name."""
    cursor = await connection.execute(
        _SQL["persons_of_visits"], {"visit_ids": sorted(set(visit_ids))}
    )
    return {row["person"] for row in await cursor.fetchall()}


async def put_hidden(connection: Connection, patients: Iterable[str], at: datetime) -> None:
    """Their hospital hides where these source patients are, in all their visits, from now on."""
    if wanted := sorted(set(patients)):
        await connection.execute(_SQL["put_hidden"], {"patients": wanted, "at": at})


async def hidden(connection: Connection, patients: Iterable[str]) -> set[str]:
    """Which of these source patients are hidden."""
    cursor = await connection.execute(_SQL["hidden"], {"patients": sorted(set(patients))})
    return {row["source_patient"] for row in await cursor.fetchall()}


async def persons_of_patients(connection: Connection, patients: Iterable[str]) -> set[str]:
    """Whom the stored folds of these source patients name."""
    cursor = await connection.execute(
        _SQL["persons_of_patients"], {"patients": sorted(set(patients))}
    )
    return {row["person"] for row in await cursor.fetchall()}


async def hide(connection: Connection, patients: Iterable[str], at: datetime) -> None:
    """Hide the place in every visit of these source patients; the caller holds their locks."""
    await connection.execute(_SQL["hide"], {"patients": sorted(set(patients)), "at": at})


async def save(connection: Connection, visits: Sequence[Visit], at: datetime) -> None:
    """Write the folded `visits` whole: all that are made of each visit number, each once."""
    if not visits:
        return
    values: dict[str, list[Any]] = {
        one.name: [getattr(visit, one.name) for visit in visits]
        for one in fields(Visit)
        if one.name not in _MOMENTS
    }
    for name in _MOMENTS:
        moments: list[Moment | None] = [getattr(visit, name) for visit in visits]
        values[f"{name}_at"] = [one.utc if one else None for one in moments]
        values[f"{name}_offset"] = [one.offset_minutes if one else 0 for one in moments]
        values[f"{name}_repeated"] = [one.repeated_hour if one else False for one in moments]
    values["changed_at"] = [at] * len(visits)
    await connection.execute(
        _SQL["drop_stale"], {name: values[name] for name in ("visit_id", "source_patient")}
    )
    await connection.execute(_SQL["save"], values)


async def of_persons(
    connection: Connection, persons: Iterable[str], visit_ids: Iterable[uuid.UUID]
) -> list[Visit]:
    """Visits that name one of `persons`, if only provisionally, and those of `visit_ids`."""
    cursor = await connection.execute(
        _SQL["of_persons"],
        {"persons": sorted(set(persons)), "visit_ids": sorted(set(visit_ids))},
    )
    return [_visit(row) for row in await cursor.fetchall()]


def _visit(row: dict[str, Any]) -> Visit:
    del row["changed_at"]
    for name in _MOMENTS:
        at, offset, repeated = (row.pop(f"{name}_{one}") for one in ("at", "offset", "repeated"))
        row[name] = None if at is None else Moment(at, offset, repeated)
    return Visit(**row)
