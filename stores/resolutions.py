"""What is to be done with worklist entries: written by face or schedule, done by the tracer.

A person's decision is a row before anything follows from it, so that it stands through crashes and
is done once. The number that a person names is emptied when the decision has ended.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from halyard import postgres
from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "resolutions.sql")

Action = Literal["resolve", "reject", "ask", "retry", "undo"]
State = Literal["waiting", "asked", "done", "refused"]

SCHEDULE: Final = "process:tracer"
"""Who orders what nobody did: to ask PDS again, to end what nobody ended."""

NOT_BORNE_OUT: Final = (
    "resolution.contradicted",
    "pds.not_found",
    "pds.invalidated",
    "pds.invalid_number",
)
"""Outcomes by which somebody who guesses would learn something of the number that was named."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A decision about an entry. `number`: whom it is of (resolve); `person`: its pseudonym.

    `code`: why it is rejected, or what is asked. `despite`: the fields that were sent wrong, as the
    person says. `state` waiting, asked (PDS), done, or refused: nothing was changed; `outcome` is
    the rule that ended it. `evidence`: field by field, of an answer that may be told.
    """

    resolution_id: uuid.UUID
    entry_id: uuid.UUID
    organisation: str
    action: Action
    made_by: str
    reason: str = field(repr=False)
    made_at: datetime
    reported_event_id: uuid.UUID | None = None  # the entry's, as it is read
    number: str | None = field(default=None, repr=False)
    person: str | None = None
    code: str | None = None
    despite: tuple[str, ...] = ()
    scheduled: bool = False
    made_by_name: str | None = field(default=None, repr=False)
    role: str | None = None
    state: State = "waiting"
    outcome: str | None = None
    evidence: dict[str, str] | None = None
    trace_id: uuid.UUID | None = None
    ended_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether it is still to be done."""
        return self.state in ("waiting", "asked")


@dataclass(frozen=True, slots=True)
class Tally:
    """What counts against another decision. `live`: one of a person that is still to be done;
    `failures`: resolutions of the entry that PDS did not bear out or that were taken back,
    `failures_of_person`: those of anything, by one person in a day.
    """

    live: uuid.UUID | None
    live_action: str | None
    asked: int
    retried_lately: bool
    failures: int
    failures_of_person: int


async def add(connection: Connection, one: Resolution) -> None:
    """Write a person's decision. The caller holds the entry."""
    await connection.execute(
        _SQL["add"],
        {
            "resolution_id": one.resolution_id,
            "entry_id": one.entry_id,
            "organisation": one.organisation,
            "action": one.action,
            "number": one.number,
            "person": one.person,
            "code": one.code,
            "despite": list(one.despite),
            "made_by": one.made_by,
            "made_by_name": one.made_by_name,
            "role": one.role,
            "reason": one.reason,
            "made_at": one.made_at,
        },
    )


async def schedule(connection: Connection, one: Resolution) -> None:
    """Write that PDS is to be asked again (retry), or that the entry ends and what stands of it is
    taken back (reject), as nobody decided.
    """
    await connection.execute(
        _SQL["schedule"],
        {
            "resolution_id": one.resolution_id,
            "entry_id": one.entry_id,
            "organisation": one.organisation,
            "action": one.action,
            "made_by": one.made_by,
            "reason": one.reason,
            "made_at": one.made_at,
        },
    )


async def tally(connection: Connection, entry_id: uuid.UUID, by: str, *, now: datetime) -> Tally:
    """What was decided about an entry, and how often `by` failed to resolve any in a day."""
    cursor = await connection.execute(
        _SQL["tally"],
        {
            "entry_id": entry_id,
            "by": by,
            "borne_out": list(NOT_BORNE_OUT),
            "day": now - timedelta(days=1),
            "hour": now - timedelta(hours=1),
        },
    )
    return Tally(**postgres.one(await cursor.fetchone()))


async def count_scheduled(connection: Connection) -> int:
    """How many that nobody ordered are still to be done."""
    row = await (await connection.execute(_SQL["count_scheduled"])).fetchone()
    return int(postgres.one(row)["amount"])


async def waiting(connection: Connection, *, limit: int) -> list[uuid.UUID]:
    """What nobody has begun to do, the oldest first."""
    cursor = await connection.execute(_SQL["waiting"], {"limit": limit})
    return [row["resolution_id"] for row in await cursor.fetchall()]


async def get(connection: Connection, resolution_id: uuid.UUID) -> Resolution | None:
    """One decision as it stands at this moment."""
    return await _one(connection, "get", resolution_id)


async def hold(connection: Connection, resolution_id: uuid.UUID) -> Resolution | None:
    """One that is still to be done, locked; None if it has ended. The caller holds its entry."""
    return await _one(connection, "hold", resolution_id)


async def of_entry(
    connection: Connection, entry_id: uuid.UUID, *, limit: int = 50
) -> list[Resolution]:
    """What was decided about an entry, the last first; never a number."""
    cursor = await connection.execute(_SQL["of_entry"], {"entry_id": entry_id, "limit": limit})
    return [_resolution(row) for row in await cursor.fetchall()]


async def filed(connection: Connection, resolution_id: uuid.UUID, trace_id: uuid.UUID) -> None:
    """PDS is asked for it."""
    values = {"resolution_id": resolution_id, "trace_id": trace_id}
    await connection.execute(_SQL["filed"], values)


async def end(
    connection: Connection,
    resolution_id: uuid.UUID,
    *,
    state: State,
    outcome: str,
    evidence: dict[str, str] | None,
    now: datetime,
) -> None:
    """It is done, or refused; the number is emptied."""
    await connection.execute(
        _SQL["end"],
        {
            "resolution_id": resolution_id,
            "state": state,
            "outcome": outcome,
            "evidence": None if evidence is None else Jsonb(evidence),
            "now": now,
        },
    )


async def _one(
    connection: Connection, query: Literal["get", "hold"], resolution_id: uuid.UUID
) -> Resolution | None:
    cursor = await connection.execute(_SQL[query], {"resolution_id": resolution_id})
    row = await cursor.fetchone()
    return None if row is None else _resolution(row)


def _resolution(row: dict[str, Any]) -> Resolution:
    return Resolution(**{**row, "despite": tuple(row["despite"])})
