"""Browsers' sessions: a row for each log-in, found by the digest of the cookie's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "sessions.sql")

WRITE_EVERY = timedelta(minutes=1)
"""How exact `seen_at` is: a session that is used is written at most so often."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who has logged in, for which organisation, in which roles. Times are UTC."""

    session_hash: str  # SHA-256 (hex) of the cookie's value
    organisation: str
    subject: str
    name: str | None = field(repr=False)
    job_role: str | None
    roles: frozenset[str]
    created_at: datetime
    ends_at: datetime  # at the latest


async def start(
    connection: Connection, session: Session, *, idle: timedelta, most: int, replaces: str | None
) -> None:
    """Add `session`, which ends the one that it `replaces` (its digest), the subject's oldest
    beyond `most`, and some of those that are over.
    """
    now = session.created_at
    if replaces is not None:
        await end(connection, replaces)
    await _about(connection, session.session_hash, session.organisation)
    await connection.execute(
        _SQL["sweep"],
        {"organisation": session.organisation, "now": now, "idle_since": now - idle},
    )
    await connection.execute(
        _SQL["start"],
        {
            "session_hash": session.session_hash,
            "organisation": session.organisation,
            "subject": session.subject,
            "name": session.name,
            "job_role": session.job_role,
            "roles": sorted(session.roles),
            "now": now,
            "ends_at": session.ends_at,
        },
    )
    await connection.execute(
        _SQL["crowd_out"],
        {"organisation": session.organisation, "subject": session.subject, "most": most},
    )


async def seen(
    connection: Connection, session_hash: str, *, now: datetime, idle: timedelta
) -> Session | None:
    """The session with this digest, which is used now; None if there is none or it is over."""
    await _about(connection, session_hash)
    cursor = await connection.execute(
        _SQL["seen"],
        {
            "session_hash": session_hash,
            "now": now,
            "idle_since": now - idle,
            "write_before": now - min(WRITE_EVERY, idle / 4),
        },
    )
    row = await cursor.fetchone()
    return None if row is None else _session(row)


async def end(connection: Connection, session_hash: str) -> Session | None:
    """End the session with this digest; the session, if there was one."""
    await _about(connection, session_hash)
    cursor = await connection.execute(_SQL["end"], {"session_hash": session_hash})
    row = await cursor.fetchone()
    return None if row is None else _session(row)


async def standing(
    connection: Connection,
    *,
    organisation: str | None,
    subject: str | None,
    now: datetime,
    idle: timedelta,
    limit: int,
) -> list[Session]:
    """Sessions that are not over, of an organisation and of a subject, if these are given."""
    values = {"organisation": organisation, "subject": subject, "limit": limit}
    cursor = await connection.execute(
        _SQL["standing"], {**values, "now": now, "idle_since": now - idle}
    )
    return [_session(row) for row in await cursor.fetchall()]


async def end_of(
    connection: Connection, *, organisation: str | None, subject: str | None
) -> list[Session]:
    """End those of an organisation and of a subject, whichever is given; gives those ended."""
    if organisation is None and subject is None:
        raise ValueError("an organisation or a subject")
    values = {"organisation": organisation, "subject": subject}
    cursor = await connection.execute(_SQL["end_of"], values)
    return [_session(row) for row in await cursor.fetchall()]


def _session(row: Mapping[str, Any]) -> Session:
    return Session(**{**row, "roles": frozenset(row["roles"])})


async def _about(connection: Connection, session_hash: str, organisation: str = "") -> None:
    await connection.execute(
        _SQL["about"], {"session_hash": session_hash, "organisation": organisation}
    )
