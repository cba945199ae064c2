"""Alerts that their authority has shared with agencies: who was told of which version.

Written by the transaction that shares, under the alert's row lock. Whoever was told hears of a
withdrawal.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "shares.sql")

State = Literal["shared", "held", "refused", "superseded", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Share:
    """One version of an alert, shared with one agency; `letter_id`: the letter that tells it."""

    alert_id: uuid.UUID
    recipient: str  # agency
    version: int  # of the alert's content
    letter_id: uuid.UUID
    authority: str
    shared_at: datetime
    shared_by: str
    state: str
    fields: tuple[str, ...]  # names of what the letter tells (would tell, once it is released)
    withheld: tuple[str, ...]  # of what it does not
    policy: str  # that said so
    policy_version: int
    shared_by_name: str | None = field(default=None, repr=False)  # as the issuer states it


async def get(
    connection: Connection, alert_id: uuid.UUID, recipient: str, version: int
) -> Share | None:
    """The share of this version, if there is one."""
    values = {"alert_id": alert_id, "recipient": recipient, "version": version}
    row = await (await connection.execute(_SQL["get"], values)).fetchone()
    return None if row is None else _share(row)


async def add(connection: Connection, share: Share) -> None:
    """Keep that it was shared; the caller holds the alert's lock and has asked `get`."""
    await connection.execute(
        _SQL["add"],
        {
            "alert_id": share.alert_id,
            "recipient": share.recipient,
            "version": share.version,
            "letter_id": share.letter_id,
            "authority": share.authority,
            "shared_at": share.shared_at,
            "shared_by": share.shared_by,
            "shared_by_name": share.shared_by_name,
            "state": share.state,
            "fields": sorted(share.fields),
            "withheld": sorted(share.withheld),
            "policy": share.policy,
            "policy_version": share.policy_version,
        },
    )


async def standing(connection: Connection, alert_ids: Collection[uuid.UUID]) -> list[Share]:
    """What of these alerts was shared, or waits for a person; by alert, recipient and version."""
    if not alert_ids:
        return []
    cursor = await connection.execute(_SQL["standing"], {"alert_ids": sorted(alert_ids)})
    return [_share(row) for row in await cursor.fetchall()]


async def of_letter(connection: Connection, letter_id: uuid.UUID) -> Share | None:
    """The share that this letter tells."""
    row = await (await connection.execute(_SQL["of_letter"], {"letter_id": letter_id})).fetchone()
    return None if row is None else _share(row)


async def settle(
    connection: Connection, letter_ids: Collection[uuid.UUID], state: State, at: datetime
) -> None:
    """These shares are in this state from now on."""
    if letter_ids:
        values = {"letter_ids": sorted(letter_ids), "state": state, "at": at}
        await connection.execute(_SQL["settle"], values)


def _share(row: dict[str, Any]) -> Share:
    return Share(**{**row, "fields": tuple(row["fields"]), "withheld": tuple(row["withheld"])})
