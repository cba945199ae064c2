"""Deliveries denied because the directory did not know the authority, asked about again.

A code that the directory lacks has no sector, so no policy covers it. Once it is registered what
was to be told goes, as the policies say now; the denial and this answer both stand in its chain.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import orjson

from halyard.postgres import Connection, Pool, transaction
from policies import fields as field_names
from policies.decision import NO_POLICY
from policies.desk import Desk, masked
from stores import audit, held
from streams.matching.disclosing import DENIED, FLOWS
from streams.matching.payload import dump

REASON: Final = f"{DENIED}{NO_POLICY}"


async def reconsider(pool: Pool, desk: Desk, now: datetime) -> int:
    """Ask about them again; gives how many are not denied any more. Raises what
    `halyard.postgres.transaction` raises.
    """
    async with transaction(pool) as connection:
        found = await held.unknown_then(connection, desk.directory.authorities, REASON)
    count = 0
    for delivery_id in found:
        async with transaction(pool) as connection:
            count += await _one(connection, delivery_id, desk, now)
    return count


async def _one(connection: Connection, delivery_id: uuid.UUID, desk: Desk, now: datetime) -> bool:
    if not await held.lock(connection, delivery_id):
        return False
    row = await held.delivery(connection, delivery_id)
    if row is None or row.state != "refused" or row.reason != REASON:
        return False
    if row.overtaken:
        await held.settle_delivery(connection, delivery_id, "superseded", "overtaken")
        return False
    body = orjson.loads(row.body)
    asked = desk.ask(
        FLOWS[row.kind],
        row.recipient,
        field_names.names(body),
        at=now,
        restricted=row.restricted,
        count=False,
    )
    if not (asked.permitted or asked.held):
        return False
    left = dump(masked(body, asked)) if asked.permitted else row.body
    await held.reconsider(
        connection,
        delivery_id,
        state="open" if asked.permitted else "held",
        reason=None if asked.permitted else f"{DENIED}{asked.ruling.rule}",
        body=left,
        policy=asked.ruling.policy,
        policy_version=asked.ruling.version,
    )
    entry = desk.entry(
        asked,
        at=now,
        person=row.person,
        subject=f"alert:{row.alert_id}",
        message_id=str(delivery_id),
        payload=left if asked.permitted else None,
    )
    await audit.append(connection, [entry])
    return True
