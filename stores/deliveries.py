"""What is to be sent to authorities and hospital contacts: claims, outcomes, paused destinations.

Rows are written by the transaction that decided them (`stores.delivery_rows`). Here a dispatcher
takes them under a lease and says what became of each attempt (correctness rules 15, 16, 19):

- only the oldest open row of (destination, alert) can be claimed;
- of `alert` and `match` rows, which are snapshots, a newer version supersedes an older one that
  is not delivered, also one whose attempt failed with its fate unknown: the receiver sees
  versions only growing. Receipts are facts: none is superseded;
- a row of an authority without an endpoint has the destination ``none:GSS`` or
  ``none-restricted:GSS``; it is given the endpoint as soon as one is registered;
- a destination that does not answer is paused as a whole, and tried again with one row at a time.

Time is PostgreSQL's: leases and due times of several dispatchers must be one clock's.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from halyard.postgres import Connection, Pool, load_queries, one, transaction

_SQL = load_queries("stores", "deliveries.sql")

# Destinations of authorities that have registered no endpoint (yet), before their GSS code
UNADDRESSED = "none:"
UNADDRESSED_RESTRICTED = "none-restricted:"
# The same of an organisation's Caldicott guardian, before its ODS or GSS code
UNADDRESSED_CALDICOTT = "none-caldicott:"


def is_unaddressed(destination: str) -> bool:
    """Whether a row with this `destination` waits for its receiver to register an endpoint."""
    return destination.startswith((UNADDRESSED, UNADDRESSED_RESTRICTED, UNADDRESSED_CALDICOTT))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed row: one attempt that must now be made, if policies still permit it."""

    delivery_id: uuid.UUID
    destination: str  # endpoint name of the directory
    alert_id: uuid.UUID
    version: int  # of the alert
    round: int  # of the alert, when it was written
    kind: str  # alert, match, receipt
    body: bytes = field(repr=False)
    attempts: int  # this one included
    event_id: uuid.UUID  # what caused it
    traceparent: str
    probe: bool  # tries a paused destination
    recipient: str | None = None  # organisation that is told
    person: str | None = None  # pseudonym
    restricted: bool = False  # composed as of a restricted person
    now_restricted: bool = False  # the alert's person is restricted by now
    released: bool = False  # by a person


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim gave: rows to send, and how many were superseded instead."""

    deliveries: tuple[Delivery, ...]
    superseded: int


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """A delivery as a timeline shows it."""

    delivery_id: uuid.UUID
    destination: str
    version: int
    kind: str
    state: str  # open, held, delivered, superseded, parked, refused
    attempts: int
    last_error: str | None
    created_at: datetime
    done_at: datetime | None


async def claim(
    pool: Pool,
    *,
    room: int,
    share: int,
    lease_seconds: float,
    held: Collection[uuid.UUID] = (),
    busy: Mapping[str, int] = MappingProxyType({}),
) -> Claim:
    """Take up to `room` due rows under a lease of `lease_seconds`, oldest first.

    `held` are this dispatcher's own unfinished deliveries, and `busy` tells how many it is
    sending by destination: of one no more than `share` at a time, so that a slow one leaves room.
    """
    taken: list[Delivery] = []
    superseded = 0
    async with transaction(pool) as connection:
        await connection.execute(_SQL["not_durable"])
        cursor = await connection.execute(_SQL["take_probes"], {"lease": lease_seconds})
        probes = {row["destination"]: row["failures"] for row in await cursor.fetchall()}
        while room > len(taken):
            rows = await _claim_once(
                connection, room - len(taken), share, lease_seconds, probes, held, busy, taken
            )
            stale = 0
            for row in sorted(rows, key=lambda row: row["position"]):
                if row["state"] == "superseded":
                    stale += 1
                else:
                    taken.append(_delivery(row, probe=row["destination"] in probes))
            superseded += stale
            if not stale:  # what was superseded makes way for its newer version
                break
            probes = _left(probes, taken)
        if unused := _left(probes, taken):
            await connection.execute(_SQL["drop_probes"], {"destinations": list(unused)})
    return Claim(tuple(taken), superseded)


async def _claim_once(
    connection: Connection,
    room: int,
    share: int,
    lease_seconds: float,
    probes: Mapping[str, int],
    held: Collection[uuid.UUID],
    busy: Mapping[str, int],
    taken: Collection[Delivery],
) -> list[dict[str, Any]]:
    under_way = Counter(busy)
    under_way.update(delivery.destination for delivery in taken)
    cursor = await connection.execute(
        _SQL["claim"],
        {
            "room": room,
            "share": share,
            "lease": lease_seconds,
            "probes": list(probes),
            "failures": list(probes.values()),
            "busy": list(under_way),
            "amounts": list(under_way.values()),
            "held": list(held),
        },
    )
    return await cursor.fetchall()


def _left(probes: Mapping[str, int], taken: Collection[Delivery]) -> dict[str, int]:
    used = {delivery.destination for delivery in taken}
    return {name: failures for name, failures in probes.items() if name not in used}


def _delivery(row: Mapping[str, Any], *, probe: bool) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        destination=row["destination"],
        alert_id=row["alert_id"],
        version=row["version"],
        round=row["round"],
        kind=row["kind"],
        body=bytes(row["body"]),
        attempts=row["attempts"],
        event_id=row["event_id"],
        traceparent=row["traceparent"],
        probe=probe,
        recipient=row["recipient"],
        person=row["person"],
        restricted=row["restricted"],
        now_restricted=row["now_restricted"],
        released=row["released"],
    )


@dataclass(frozen=True, slots=True)
class Done:
    """Whether the row was still open, and whether a later one of its alert waits behind it."""

    changed: bool
    more: bool


async def mark_delivered(connection: Connection, delivery_id: uuid.UUID) -> Done:
    """The receiver said yes. Gives ``changed=False`` for a row that is no longer open."""
    cursor = await connection.execute(_SQL["delivered"], {"id": delivery_id})
    return _done(await cursor.fetchone())


async def retry(
    connection: Connection, delivery: Delivery, *, reason: str, after_seconds: float
) -> None:
    """Give the row back, due in `after_seconds`; nothing if its lease has gone to another."""
    await connection.execute(
        _SQL["again"],
        {
            "id": delivery.delivery_id,
            "attempts": delivery.attempts,
            "reason": reason,
            "seconds": after_seconds,
        },
    )


async def park(connection: Connection, delivery: Delivery, *, reason: str) -> Done:
    """Set this one row aside: its receiver refuses it. Other rows go on."""
    cursor = await connection.execute(
        _SQL["park"],
        {"id": delivery.delivery_id, "attempts": delivery.attempts, "reason": reason},
    )
    return _done(await cursor.fetchone())


async def keep_back(
    connection: Connection,
    delivery: Delivery,
    *,
    state: Literal["held", "refused"],
    reason: str,
) -> Done:
    """A policy does not let this row leave (any more): a person decides (held), or a mended policy
    (refused); superseded, if a newer one has overtaken it.
    """
    values = {
        "id": delivery.delivery_id,
        "attempts": delivery.attempts,
        "state": state,
        "reason": reason,
    }
    return _done(await (await connection.execute(_SQL["keep_back"], values)).fetchone())


def _done(row: Mapping[str, Any] | None) -> Done:
    return Done(changed=row is not None, more=bool(row and row["more"]))


async def pause(connection: Connection, destination: str, *, seconds: float, failures: int) -> None:
    """Send nothing to `destination` for `seconds`: so many more attempts have failed."""
    await connection.execute(
        _SQL["pause"], {"destination": destination, "seconds": seconds, "failures": failures}
    )


async def resume(connection: Connection, destination: str) -> bool:
    """`destination` answers again. After an outage (more than one failure in a row) its rows are
    due at once, whatever their back-off. Gives whether it was paused.
    """
    cursor = await connection.execute(_SQL["resume"], {"destination": destination})
    row = await cursor.fetchone()
    if row is not None and row["failures"] > 1:
        await connection.execute(_SQL["bring_forward"], {"destination": destination})
    return row is not None


async def paused(pool: Pool) -> list[str]:
    """Destinations that are paused now, by name."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["paused"])
        return [row["destination"] for row in await cursor.fetchall()]


async def oldest_seconds(pool: Pool) -> float:
    """Age of the oldest delivery that is not done, 0 if there is none."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["oldest"])
        return float(one(await cursor.fetchone())["seconds"])


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries nothing but a person can move on."""

    parked: int  # refused by their receivers
    unaddressed: int  # their authority has no endpoint


async def waiting_for_a_person(pool: Pool) -> Waiting:
    """How many rows are parked, and how many wait for an endpoint."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["waiting_for_a_person"])
        return Waiting(**one(await cursor.fetchone()))


async def readdress(pool: Pool, registered: Mapping[str, str]) -> int:
    """Give open rows of the destinations in `registered` (unaddressed → endpoint name) their
    endpoint, due now; they keep id, bytes and place in order. Gives how many.
    """
    if not registered:
        return 0
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            _SQL["readdress"],
            {"before": list(registered), "after": list(registered.values())},
        )
        return cursor.rowcount


@dataclass(frozen=True, slots=True)
class Unsent:
    """A delivery that is parked or still open, as an operator sees it; no body."""

    destination: str
    delivery_id: uuid.UUID
    alert_id: uuid.UUID
    version: int
    kind: str
    state: str  # open, parked
    attempts: int
    last_error: str | None
    created_at: datetime
    due_at: datetime
    paused: bool  # the destination as a whole


async def unsent(connection: Connection, *, destination: str | None, limit: int) -> list[Unsent]:
    """Up to `limit` parked and open rows by destination (None: of all), parked ones first."""
    cursor = await connection.execute(_SQL["unsent"], {"destination": destination, "limit": limit})
    return [Unsent(**row) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of parked rows: open again, or superseded because they are out of date."""

    opened: tuple[uuid.UUID, ...]
    superseded: tuple[uuid.UUID, ...]


async def redrive(
    connection: Connection,
    *,
    reason: str,
    delivery_id: uuid.UUID | None = None,
    destination: str | None = None,
) -> Redriven:
    """Open parked rows again, due now: the one with `delivery_id`, or all of `destination`.

    Never sent again is a snapshot that a later one has overtaken (versions only grow), nor what
    was parked before its alert became restricted: such rows become superseded. `reason` is kept
    with the row until its next outcome. Both None: nothing.
    """
    cursor = await connection.execute(
        _SQL["redrive"], {"id": delivery_id, "destination": destination, "reason": reason}
    )
    rows = await cursor.fetchall()
    if rows:
        await connection.execute(_SQL["hint"])
    return Redriven(
        opened=tuple(row["delivery_id"] for row in rows if row["state"] == "open"),
        superseded=tuple(row["delivery_id"] for row in rows if row["state"] == "superseded"),
    )


async def of_alert(pool: Pool, alert_id: uuid.UUID) -> list[DeliveryState]:
    """Every delivery of an alert in order, for a timeline; no bodies."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["of_alert"], {"alert_id": alert_id})
        return [DeliveryState(**row) for row in await cursor.fetchall()]
