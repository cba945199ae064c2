"""Releases of extracts, and what the audit chain says of disclosures as a whole.

A release is written before its files are handed over; a file of it has one line each.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from halyard.errors import PermanentError
from halyard.postgres import Connection, load_queries
from schemas import codec
from schemas.deaths import CaseChanged, CaseContent

_SQL = load_queries("stores", "releases.sql")

State = Literal["held", "released", "refused", "handed"]


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file that was handed over."""

    name: str
    rows: int
    bytes: int
    sha256: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it stands. `five_safes`: people, project, setting, data, outputs."""

    release_id: uuid.UUID
    reference: str
    state: State
    organisation: str
    sector: str
    title: str
    policy: str
    policy_version: int
    purpose: str
    legal_basis: str
    rule: str
    fields: tuple[str, ...]
    five_safes: Mapping[str, Mapping[str, Any]]
    requested_at: datetime
    requested_by: str
    decided_at: datetime | None = None
    decided_by: str | None = None
    decided_reason: str | None = None
    handed_at: datetime | None = None
    rows: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    opt_outs_value: str | None = None
    opt_outs_reason: str | None = None
    opt_outs_as_at: datetime | None = None
    files: tuple[ReleaseFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A case that an extract may hold; `person` is a pseudonym (store key), if one is verified."""

    case_id: uuid.UUID
    person: str | None
    content: CaseContent


async def add(connection: Connection, release: Release) -> None:
    """Write a new release."""
    await connection.execute(
        _SQL["add"],
        {
            "release_id": release.release_id,
            "reference": release.reference,
            "state": release.state,
            "organisation": release.organisation,
            "sector": release.sector,
            "title": release.title,
            "policy": release.policy,
            "policy_version": release.policy_version,
            "purpose": release.purpose,
            "legal_basis": release.legal_basis,
            "rule": release.rule,
            "fields": sorted(release.fields),
            "five_safes": Jsonb(dict(release.five_safes)),
            "requested_at": release.requested_at,
            "requested_by": release.requested_by,
        },
    )


async def locked(connection: Connection, release_id: uuid.UUID) -> Release | None:
    """The release, locked until the transaction ends."""
    await connection.execute(_SQL["lock"], {"release_id": release_id})
    return next(iter(await every(connection, release_id)), None)


async def decide(
    connection: Connection,
    release_id: uuid.UUID,
    state: Literal["released", "refused"],
    *,
    at: datetime,
    by: str,
    reason: str,
) -> None:
    """A person has decided a release that was held. Raises `PermanentError` if it is not held."""
    done = await connection.execute(
        _SQL["decide"],
        {"release_id": release_id, "state": state, "at": at, "by": by, "reason": reason},
    )
    if done.rowcount != 1:
        raise PermanentError("The release is not held; `halyard register releases` shows it.")


async def hand(connection: Connection, release: Release) -> None:
    """Note what is handed over, with its files. Raises `PermanentError` if it is not released."""
    done = await connection.execute(
        _SQL["hand"],
        {
            "release_id": release.release_id,
            "at": release.handed_at,
            "rows": release.rows,
            "left_out": Jsonb(dict(release.left_out)),
            "fields": sorted(release.fields),
            "policy_version": release.policy_version,
            "rule": release.rule,
            "five_safes": Jsonb(dict(release.five_safes)),
            "opt_outs_value": release.opt_outs_value,
            "opt_outs_reason": release.opt_outs_reason,
            "opt_outs_as_at": release.opt_outs_as_at,
        },
    )
    if done.rowcount != 1:
        raise PermanentError("The release is not released; `halyard register releases` shows it.")
    for one in release.files:
        await connection.execute(
            _SQL["add_file"],
            {
                "release_id": release.release_id,
                "name": one.name,
                "rows": one.rows,
                "bytes": one.bytes,
                "sha256": one.sha256,
                "released_at": one.released_at,
            },
        )


async def every(connection: Connection, release_id: uuid.UUID | None = None) -> list[Release]:
    """All releases, the oldest first, with their files; or one."""
    files: dict[uuid.UUID, list[ReleaseFile]] = {}
    for row in await (await connection.execute(_SQL["files"])).fetchall():
        files.setdefault(row.pop("release_id"), []).append(ReleaseFile(**row))
    cursor = await connection.execute(_SQL["list"], {"release_id": release_id})
    return [
        Release(
            **{
                **row,
                "fields": tuple(row["fields"]),
                "files": tuple(files.get(row["release_id"], ())),
            }
        )
        for row in await cursor.fetchall()
    ]


async def candidates(connection: Connection) -> list[Candidate]:
    """Every case that an extract may hold, by id."""
    cursor = await connection.execute(_SQL["extractable"])
    return [
        Candidate(
            row["case_id"],
            row["person"],
            codec.decode_as(CaseChanged, bytes(row["content"])).content,
        )
        for row in await cursor.fetchall()
    ]


async def recorded(
    connection: Connection, *, since: datetime, until: datetime
) -> AsyncIterator[dict[str, Any]]:
    """What was asked and decided between two times, each question of a day once, with how often.

    Read with a cursor on the server: the chain is long.
    """
    async with connection.cursor("recorded") as cursor:
        await cursor.execute(_SQL["recorded"], {"since": since, "until": until})
        async for row in cursor:
            yield row


async def flow_totals(connection: Connection) -> Sequence[dict[str, Any]]:
    """For policy, version, flow, recipient and decision: how often, first and last."""
    return await (await connection.execute(_SQL["flow_totals"])).fetchall()
