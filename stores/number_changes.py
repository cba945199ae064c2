"""Numbers that PDS superseded or invalidated, and what the hub holds under them.

An old number and its successor stand in one row; an invalidated number stands alone, and nothing
ever stands beside it (docs/adr/0047). All functions run in the caller's transaction, which holds
the advisory locks of the numbers.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from halyard.postgres import Connection, load_queries, one
from schemas import codec
from schemas.deaths import DeathVerified, ReportVerified
from schemas.events import AttendanceVerified
from stores.claims import ClaimState

_SQL = load_queries("stores", "number_changes.sql")
_MOVED: Final = (
    "move_alerts",
    "move_deliveries",
    "move_notices",
    "move_held_letters",
    "move_taken_back",
)
_EMPTIED: Final = (
    "empty_visits",
    "empty_flag_events",
    "empty_alerts",
    "end_deliveries",
    "end_held_letters",
)


@dataclass(frozen=True, slots=True)
class Naming:
    """A claim that names a person; `readable`: its event is still there."""

    reported_event_id: uuid.UUID
    key: str
    visit_id: uuid.UUID | None
    event_kind: str
    state: ClaimState
    readable: bool


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A flagged person of whom PDS was not asked for long; `authority` has a plan of them."""

    person: str
    nhs_number: str = field(repr=False)
    authority: str | None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The upload of a flag record, and its authority's own id of the person."""

    upload_id: uuid.UUID
    local_id: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visit that goes on, or began within the window asked for."""

    hospital: str  # ODS code
    visit_id: uuid.UUID
    source_patient: str


async def successors(connection: Connection, persons: Iterable[str]) -> dict[str, str]:
    """Who stands now for those of `persons` whose number was superseded (pseudonyms)."""
    cursor = await connection.execute(_SQL["successors"], {"persons": sorted(set(persons))})
    return {row["person"]: row["successor"] for row in await cursor.fetchall()}


async def inactive(connection: Connection, persons: Iterable[str]) -> set[str]:
    """Those of `persons` whose number PDS invalidated."""
    cursor = await connection.execute(_SQL["inactive"], {"persons": sorted(set(persons))})
    return {row["person"] for row in await cursor.fetchall()}


async def changed_at(connection: Connection, person: str) -> datetime | None:
    """When the hub learned that the number of `person` does not stand; None while it does."""
    found = one(await (await connection.execute(_SQL["changed_at"], {"person": person})).fetchone())
    at: datetime | None = found["at"]
    return at


async def count_inactive(connection: Connection) -> int:
    """How many numbers are quarantined."""
    return int(one(await (await connection.execute(_SQL["count_inactive"])).fetchone())["amount"])


async def stand_again(connection: Connection, persons: Iterable[str]) -> None:
    """PDS has a record under these numbers: they are neither old nor inactive."""
    if wanted := sorted(set(persons)):
        await connection.execute(_SQL["stands_again"], {"persons": wanted})


async def supersede(connection: Connection, person: str, successor: str, at: datetime) -> None:
    """`person` is `successor` from now on, and so is whoever `person` stood for."""
    values = {"person": person, "successor": successor, "at": at}
    await stand_again(connection, [successor])
    await connection.execute(_SQL["shorten"], values)
    await connection.execute(_SQL["supersede"], values)


async def invalidate(connection: Connection, person: str, at: datetime) -> None:
    """Quarantine a number, and each that led to it by itself; nothing leads anywhere any more."""
    cursor = await connection.execute(_SQL["unlink"], {"person": person})
    persons = {person, *(row["person"] for row in await cursor.fetchall())}
    await connection.execute(_SQL["invalidate"], {"persons": sorted(persons), "at": at})


async def forget_person(connection: Connection, person: str) -> None:
    """Take a person out of the local index."""
    await connection.execute(_SQL["forget_person"], {"person": person})


async def move_alerts(connection: Connection, person: str, successor: str) -> None:
    """The alerts of `person`, and all that has not left of what is told of them, are `successor`'s;
    the caller holds both persons' locks.
    """
    values = {"person": person, "successor": successor}
    for name in _MOVED:
        await connection.execute(_SQL[name], values)


async def empty_visit_events(
    connection: Connection, events: Sequence[tuple[uuid.UUID, int, str, AttendanceVerified]]
) -> None:
    """Take back visit events for ever: (id, revision, a pseudonym of nobody, the event as of
    nobody); the caller holds their visits' locks.
    """
    rows = [
        {
            "reported_event_id": event_id,
            "revision": revision,
            "nobody": nobody,
            "event": codec.encode(event),
        }
        for event_id, revision, nobody, event in events
    ]
    if rows:
        async with connection.cursor() as cursor:
            await cursor.executemany(_SQL["empty_visit_event"], rows)


async def empty_person(
    connection: Connection, person: str, revisions: Mapping[uuid.UUID, int], at: datetime
) -> None:
    """Take from what matching holds of a quarantined number all that leads to another life: flag
    records and visits name nobody, alerts no visit and no patient, and what has not left but alerts
    and their answers ends. `revisions`: of flag records.
    """
    ids = sorted(revisions)
    values = {"person": person, "ids": ids, "revisions": [revisions[one] for one in ids], "at": at}
    for name in _EMPTIED:
        await connection.execute(_SQL[name], values)


async def settle_entries(
    connection: Connection,
    person: str,
    rules: Iterable[str],
    rule: str,
    at: datetime,
    *,
    but: Iterable[str] = (),
) -> None:
    """End the worklist entries of `rules` of the person's plans, save of the authorities `but`;
    what comes after is told anew, whoever ended it before.
    """
    values = {
        "person": person,
        "rules": list(rules),
        "rule": rule,
        "at": at,
        "but": list(but),
    }
    await connection.execute(_SQL["settle_entries"], values)


async def told_already(connection: Connection, letters: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these letters that were written, or wait for a person."""
    cursor = await connection.execute(_SQL["told_already"], {"ids": sorted(set(letters))})
    return {row["letter_id"] for row in await cursor.fetchall()}


async def close_alerts(connection: Connection, *, before: datetime, at: datetime) -> int:
    """Close, without a word, what nobody accepted of alerts of invalidated numbers whose arrival
    came before `before`; gives how many."""
    return (await connection.execute(_SQL["close_alerts"], {"before": before, "at": at})).rowcount


async def move_deaths(connection: Connection, person: str, successor: str) -> None:
    """What was indicated of the death of `person`, and who was asked to notify it, is of
    `successor`; the caller holds the cases' locks of both persons.
    """
    values = {"person": person, "successor": successor}
    for name in ("move_indications", "move_prompts", "find_prompts", "find_notified"):
        await connection.execute(_SQL[name], values)


async def visits_naming(connection: Connection, person: str) -> set[tuple[uuid.UUID, str]]:
    """Visit and source patient, of visits that name `person` or that an alert of them is about."""
    cursor = await connection.execute(_SQL["visits_naming"], {"person": person})
    return {(row["visit_id"], row["source_patient"]) for row in await cursor.fetchall()}


async def visit_events_naming(
    connection: Connection, person: str, visit_ids: Iterable[uuid.UUID]
) -> set[uuid.UUID]:
    """Reported events of these visits that are asserted of `person`."""
    values = {"person": person, "visits": sorted(set(visit_ids))}
    cursor = await connection.execute(_SQL["visit_events_naming"], values)
    return {row["reported_event_id"] for row in await cursor.fetchall()}


async def uploads_of(
    connection: Connection, reported_event_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, Uploaded]:
    """In which upload each of these flag records came, and under which id of its authority."""
    cursor = await connection.execute(_SQL["uploads_of"], {"ids": sorted(set(reported_event_ids))})
    return {
        row["reported_event_id"]: Uploaded(row["upload_id"], row["local_id"])
        for row in await cursor.fetchall()
    }


async def claims_naming(connection: Connection, person: str) -> list[Naming]:
    """Claims that name `person`: of the last 48 hours, and flags and deaths of any age."""
    cursor = await connection.execute(_SQL["claims_naming"], {"person": person})
    return [Naming(**{**row, "state": ClaimState(row["state"])}) for row in await cursor.fetchall()]


async def death_messages(
    connection: Connection, reported_event_ids: Iterable[uuid.UUID]
) -> list[DeathVerified | ReportVerified]:
    """What was told to the cases of these reported events, as it stands there."""
    cursor = await connection.execute(
        _SQL["death_messages"], {"ids": sorted(set(reported_event_ids))}
    )
    found = [codec.decode(bytes(row["event"])) for row in await cursor.fetchall()]
    return [one for one in found if isinstance(one, DeathVerified | ReportVerified)]


async def open_cases(connection: Connection, person: str) -> dict[uuid.UUID, str | None]:
    """Open cases of `person`, each with the code of its panel."""
    cursor = await connection.execute(_SQL["open_cases"], {"person": person})
    return {row["case_id"]: row["panel"] for row in await cursor.fetchall()}


async def open_visits(
    connection: Connection, person: str, since: datetime, *, heard: datetime
) -> list[OpenVisit]:
    """Visits of `person` that go on, and were heard of after `heard`, or began after `since`."""
    values = {"person": person, "since": since, "heard": heard}
    cursor = await connection.execute(_SQL["open_visits"], values)
    return [OpenVisit(**row) for row in await cursor.fetchall()]


async def lapsed(connection: Connection, before: datetime, *, limit: int) -> list[Lapsed]:
    """Flagged people of whom PDS was asked last before `before`, the longest ago first."""
    cursor = await connection.execute(_SQL["lapsed"], {"before": before, "limit": limit})
    return [Lapsed(**row) for row in await cursor.fetchall()]


async def asked(connection: Connection, persons: Iterable[str], at: datetime) -> None:
    """PDS is being asked about these people again."""
    if wanted := sorted(set(persons)):
        await connection.execute(_SQL["asked"], {"persons": wanted, "at": at})


async def count_flagged(connection: Connection) -> int:
    """How many people of the index have, or had, a plan that is shown."""
    return int(one(await (await connection.execute(_SQL["flagged"])).fetchone())["amount"])


async def purge_successors(connection: Connection) -> None:
    """Forget old numbers of people whom the hub no longer knows; it reads them all."""
    await connection.execute(_SQL["purge_successors"])


async def purge_inactive(connection: Connection, *, before: datetime) -> None:
    """Forget numbers that were invalidated before `before`."""
    await connection.execute(_SQL["purge_inactive"], {"before": before})
