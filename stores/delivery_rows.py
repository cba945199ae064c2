"""What is to be sent: rows written in the transaction that decides it (DESIGN, delivery).

The dispatcher claims them (`stores.deliveries`); this module only adds. The body is fixed here,
so that a repeat on the wire carries the same id and the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from halyard import ids
from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "delivery_rows.sql")


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One body for one destination; `kind` is "alert", "match", "receipt" or "access".

    `state`: open; held: a person decides whether it is sent; refused: a policy denies it, and
    `reason` says by which rule. What is not open has the whole body, and leaves only masked.
    """

    destination: str  # endpoint name of the directory, or none:<gss>, none-restricted:<gss>
    alert_id: uuid.UUID
    version: int
    round: int  # of the alert: whose answer it asks for
    kind: str
    body: bytes = field(repr=False)
    event_id: uuid.UUID  # what caused it
    traceparent: str
    due_at: datetime
    recipient: str | None = None  # organisation that is told
    reviewer: str | None = None  # organisation whose people decide, if it is held
    person: str | None = None  # pseudonym (store key), for the audit chain
    policy: str | None = None
    policy_version: int | None = None
    restricted: bool = False  # composed as of a restricted person
    state: str = "open"
    reason: str | None = None

    @property
    def delivery_id(self) -> uuid.UUID:
        """Stable over attempts: derived from destination, alert, version and kind; of a look, which
        several organisations may be told of at one destination, from the recipient too.
        """
        of_one = (self.recipient or "",) if self.kind == "access" else ()
        return ids.derive(
            "delivery", self.destination, str(self.alert_id), self.version, self.kind, *of_one
        )


async def add(connection: Connection, rows: Sequence[DeliveryRow]) -> None:
    """Write `rows` in order and hint the dispatcher at them (heard after the commit).

    An older snapshot of the same alert that nobody is sending now is superseded by an open one,
    which does not wait out its back-off; by one that is held or denied it is not, for somebody must
    hear (the older one makes way once the newer is released). One that is held or that a policy
    denied is superseded by any. Receipts are facts, and all stay.
    """
    if not rows:
        return
    snapshots = [row for row in rows if row.kind in ("alert", "match")]
    if snapshots:
        await connection.execute(
            _SQL["supersede"],
            {
                "destinations": [row.destination for row in snapshots],
                "alert_ids": [row.alert_id for row in snapshots],
                "kinds": [row.kind for row in snapshots],
                "open": [row.state == "open" for row in snapshots],
            },
        )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["add"], [{**asdict(row), "delivery_id": row.delivery_id} for row in rows]
        )
    await connection.execute(_SQL["hint"])


async def drop_unsent(connection: Connection, alert_ids: Sequence[uuid.UUID], at: datetime) -> None:
    """Supersede every row of `alert_ids` that was not sent, whatever stopped it: they became
    restricted, and what was still to be sent names places. Call it before `add`.
    """
    if alert_ids:
        await connection.execute(_SQL["drop_unsent"], {"alert_ids": list(alert_ids), "at": at})
