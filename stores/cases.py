"""Cases: their last version, their history, and what people decided about them.

``case_events`` (case, version) is unique: of two writers of one version one fails, and is tried
again with what the other wrote. The bytes of an event are those that go on the bus.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from halyard.errors import TransientError
from halyard.postgres import Connection, load_queries
from schemas import codec
from schemas.deaths import CaseChanged
from stores.case_model import Assignment, CaseRow

_SQL = load_queries("stores", "cases.sql")


class CaseWritten(TransientError):
    """Another transaction wrote this version of the case; it is decided anew on top of it."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What people decided about a case: it counts in another, is void, belongs to a panel."""

    case_id: uuid.UUID
    merged_into: uuid.UUID | None = None
    voided: bool = False
    assignment: Assignment | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A case in a list; no personal data."""

    case_id: uuid.UUID
    version: int
    state: str
    eligibility: str
    panel: str | None
    needs: tuple[str, ...]
    opened_at: datetime
    changed_at: datetime
    merged_into: uuid.UUID | None


async def case(connection: Connection, case_id: uuid.UUID) -> CaseRow | None:
    """The case, if there is one."""
    return (await rows(connection, [case_id])).get(case_id)


async def rows(connection: Connection, case_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, CaseRow]:
    """The cases that there are, by id."""
    wanted = sorted(set(case_ids))
    if not wanted:
        return {}
    cursor = await connection.execute(_SQL["rows"], {"case_ids": wanted})
    return {row["case_id"]: _row(row) for row in await cursor.fetchall()}


async def trees(connection: Connection, case_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Decided]:
    """Every case that is in a tree with one of `case_ids`, up to its root and down again.

    The caller holds the ``case:`` locks of all that it gives, or asks again when it does.
    """
    wanted = sorted(set(case_ids))
    if not wanted:
        return {}
    cursor = await connection.execute(_SQL["trees"], {"case_ids": wanted})
    return {row["case_id"]: _decided(row) for row in await cursor.fetchall()}


async def cases_of_person(connection: Connection, person: str) -> list[CaseRow]:
    """The cases of a verified child, open ones that count for themselves first, oldest first."""
    cursor = await connection.execute(_SQL["of_person"], {"person": person})
    return [_row(row) for row in await cursor.fetchall()]


async def case_ids_of_persons(
    connection: Connection, persons: Iterable[str]
) -> dict[str, list[uuid.UUID]]:
    """The cases of verified children, by person, in the order of `cases_of_person`."""
    wanted = sorted(set(persons))
    found: dict[str, list[uuid.UUID]] = {}
    if not wanted:
        return found
    cursor = await connection.execute(_SQL["ids_of_persons"], {"persons": wanted})
    for row in await cursor.fetchall():
        found.setdefault(row["person"], []).append(row["case_id"])
    return found


async def page(
    connection: Connection,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 50,
    states: Sequence[str] | None = None,
    needs: str | None = None,
    panel: str | None = None,
) -> list[Listed]:
    """Cases in the order in which they were opened, after (`opened_at`, `case_id`)."""
    cursor = await connection.execute(
        _SQL["page"],
        {
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
            "states": None if states is None else list(states),
            "needs": needs,
            "panel": panel,
        },
    )
    return [Listed(**{**row, "needs": tuple(row["needs"])}) for row in await cursor.fetchall()]


async def count(
    connection: Connection,
    *,
    states: Sequence[str] | None = None,
    needs: str | None = None,
    panel: str | None = None,
) -> int:
    """How many cases all the pages have."""
    wanted = {
        "states": None if states is None else list(states),
        "needs": needs,
        "panel": panel,
    }
    row = await (await connection.execute(_SQL["count"], wanted)).fetchone()
    return int(row["amount"]) if row else 0


async def history(connection: Connection, case_id: uuid.UUID) -> list[CaseChanged]:
    """Every version of the case, the oldest first."""
    cursor = await connection.execute(_SQL["history"], {"case_id": case_id})
    return [codec.decode_as(CaseChanged, bytes(row["content"])) for row in await cursor.fetchall()]


async def append(
    connection: Connection,
    changed: Sequence[CaseChanged],
    *,
    persons: Mapping[uuid.UUID, str | None],
) -> list[bytes]:
    """Write new versions, in order: the history, and the case as its last. Gives their bytes.

    `persons`: the verified child of each case. Raises `CaseWritten` if one is there already.
    """
    values = [codec.encode(one) for one in changed]
    if not changed:
        return values
    events = [_event(one, value) for one, value in zip(changed, values, strict=True)]
    last = {one.case_id: (one, value) for one, value in zip(changed, values, strict=True)}
    try:
        async with connection.cursor() as cursor:
            await cursor.executemany(_SQL["append"], events)
            await cursor.executemany(
                _SQL["save"],
                [_current(one, value, persons.get(key)) for key, (one, value) in last.items()],
            )
    except psycopg.errors.UniqueViolation:
        raise CaseWritten from None
    return values


async def set_persons(connection: Connection, persons: Mapping[uuid.UUID, str | None]) -> None:
    """The verified child of each case, where it differs from what is stored."""
    if not persons:
        return
    case_ids = sorted(persons)
    await connection.execute(
        _SQL["set_persons"],
        {"case_ids": case_ids, "persons": [persons[one] for one in case_ids]},
    )


async def decide(connection: Connection, decided: Sequence[Decided]) -> None:
    """Write what people decided; the cases are there, and the caller holds their locks."""
    if not decided:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["decide"],
            [
                {
                    "case_id": one.case_id,
                    "merged_into": one.merged_into,
                    "voided": one.voided,
                    "panel": one.assignment.panel if one.assignment else None,
                    "reason": one.assignment.reason if one.assignment else None,
                    "by": one.assignment.by if one.assignment else None,
                    "at": one.assignment.at if one.assignment else None,
                }
                for one in decided
            ],
        )


def _event(changed: CaseChanged, value: bytes) -> dict[str, Any]:
    return {
        "case_id": changed.case_id,
        "version": changed.version,
        "event_id": changed.event_id,
        "change": changed.change.value,
        "rule": changed.rule,
        "cause": changed.cause,
        "by": changed.by,
        "changed_at": changed.changed_at,
        "content": value,
        "panel": changed.content.panel,
        "informed": list(changed.content.panels_informed),
    }


def _current(changed: CaseChanged, value: bytes, person: str | None) -> dict[str, Any]:
    content = changed.content
    return {
        "case_id": changed.case_id,
        "person": person,
        "state": content.state.value,
        "version": changed.version,
        "content": value,
        "changed_at": changed.changed_at,
        "panel": content.panel,
        "eligibility": content.eligibility.value,
        "needs": list(content.needs),
    }


def _row(row: dict[str, Any]) -> CaseRow:
    changed = codec.decode_as(CaseChanged, bytes(row["content"]))
    return CaseRow(
        case_id=row["case_id"],
        version=row["version"],
        content=changed.content,
        opened_at=row["opened_at"],
        changed_at=row["changed_at"],
        person=row["person"],
        merged_into=row["merged_into"],
    )


def _decided(row: dict[str, Any]) -> Decided:
    assignment = None
    if row["assigned_at"] is not None:
        assignment = Assignment(
            panel=row["assigned_panel"],
            reason=row["assigned_reason"],
            by=row["assigned_by"],
            at=row["assigned_at"],
        )
    return Decided(
        case_id=row["case_id"],
        merged_into=row["merged_into"],
        voided=row["voided_by_person"],
        assignment=assignment,
    )
