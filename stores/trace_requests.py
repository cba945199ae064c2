"""What PDS is to be asked, and the ration of calls: one budget for all tracers (rule 11).

A request is single-flight by its fingerprint, its X-Request-IDs are stored with it before any
call, and a tracer's claim on it is a lease that another takes over when it ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from halyard.postgres import Connection, Pool, load_queries, one, transaction
from schemas.events import PersonClaim

_SQL = load_queries("stores", "trace_requests.sql")

TraceKind = Literal["get", "search"]
TracePurpose = Literal["claims", "recheck", "resolution", "batch"]
"""For what PDS is asked: events that wait; a person known already, of whom PDS may know more; a
worklist entry that a person resolved; a record of somebody's batch."""

LEAST_URGENT: Final = 6
"""Priority of batches: what arrivals, deaths and flags leave of the ration."""
_CLAIM_FIELDS = ("nhs_number", "family", "birth_date", "gender", "postcode")


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One question to PDS. `priority`: 1 (agrees in part with a flagged person) to `LEAST_URGENT`.

    `token` names the lock that guards it: of the number (get) or family and birth date (search).
    `purpose` says who is told the answer (`streams.tracer.process`). `answered`: queries of a
    search that need not be made again, as `connectors.pds.search` writes them.
    """

    trace_id: uuid.UUID
    fingerprint: str
    token: str
    kind: TraceKind
    priority: int
    claim: PersonClaim = field(repr=False)
    organisation: str
    request_ids: tuple[uuid.UUID, ...]
    state: str = "queued"
    attempts: int = 0
    purpose: TracePurpose = "claims"
    answered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ration:
    """The budget: calls a second for all tracers, how many may come at once, and the breaker.

    After `failures` calls in a row without an answer nothing is asked for `breaker_seconds`; then
    one request goes to see.
    """

    per_second: float
    burst: float
    failures: int
    breaker_seconds: float


async def load(
    connection: Connection, *, ids: Iterable[uuid.UUID], fingerprints: Iterable[str]
) -> list[TraceRequest]:
    """Requests by id, and live ones by fingerprint. The caller holds the locks of their tokens."""
    cursor = await connection.execute(
        _SQL["load"], {"ids": sorted(set(ids)), "fingerprints": sorted(set(fingerprints))}
    )
    return [_request(row) for row in await cursor.fetchall()]


async def add(connection: Connection, requests: Sequence[TraceRequest]) -> None:
    """File requests."""
    if requests:
        async with connection.cursor() as cursor:
            await cursor.executemany(_SQL["add"], [_row(request) for request in requests])


async def raise_priorities(connection: Connection, priorities: dict[uuid.UUID, int]) -> None:
    """A request becomes as urgent as the most urgent that waits for it; never less."""
    if priorities:
        ids = sorted(priorities)
        await connection.execute(
            _SQL["raise"], {"ids": ids, "priorities": [priorities[one] for one in ids]}
        )


async def cancel_orphans(connection: Connection, ids: Iterable[uuid.UUID]) -> None:
    """Cancel those of `ids` for which no key waits any more."""
    if wanted := sorted(set(ids)):
        await connection.execute(_SQL["cancel_orphans"], {"ids": wanted})


async def lease(
    pool: Pool, ration: Ration, *, limit: int, lease_seconds: float
) -> list[TraceRequest]:
    """Take due requests, most urgent first, each with the token of its first call.

    Gives none while the ration is spent or the breaker open; one while PDS is being tried again.
    """
    async with transaction(pool) as connection:
        if not one(await (await connection.execute(_SQL["due"])).fetchone())["due"]:
            return []
        state = await _refilled(connection, ration)
        probing = state["failures"] >= ration.failures
        amount = min(limit, int(state["tokens"]), 1 if probing else limit)
        if state["open"] or amount < 1:
            return []
        cursor = await connection.execute(
            _SQL["lease"], {"limit": amount, "lease_seconds": lease_seconds}
        )
        leased = [_request(row) for row in await cursor.fetchall()]
        if leased:
            await connection.execute(_SQL["spend"], {"amount": len(leased)})
            if probing:
                await connection.execute(_SQL["probe"], {"seconds": ration.breaker_seconds})
        return sorted(leased, key=lambda request: request.priority)


async def take_token(pool: Pool, ration: Ration) -> bool:
    """Take the token of one more call, if there is one."""
    async with transaction(pool) as connection:
        state = await _refilled(connection, ration)
        if state["open"] or state["tokens"] < 1:
            return False
        await connection.execute(_SQL["spend"], {"amount": 1})
        return True


async def again(pool: Pool, trace_id: uuid.UUID, *, seconds: float) -> None:
    """Ask again after `seconds`, with the same request ids."""
    async with transaction(pool) as connection:
        await connection.execute(_SQL["again"], {"trace_id": trace_id, "seconds": seconds})


async def renew(pool: Pool, request: TraceRequest, *, lease_seconds: float) -> bool:
    """Hold a lease for longer; False if it is another's by now, or the request was cancelled."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            _SQL["renew"],
            {
                "trace_id": request.trace_id,
                "attempts": request.attempts,
                "lease_seconds": lease_seconds,
            },
        )
        return cursor.rowcount == 1


async def unreadable(pool: Pool, trace_id: uuid.UUID) -> int:
    """Count an answer that could not be read as one; gives how many there were."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["unreadable"], {"trace_id": trace_id})
        return int(one(await cursor.fetchone())["unreadable"])


async def failed(pool: Pool, ration: Ration, *, at_once: bool) -> None:
    """A call had no answer; `at_once` opens the breaker without waiting for more of them."""
    async with transaction(pool) as connection:
        await connection.execute(
            _SQL["failed"],
            {
                "weight": ration.failures if at_once else 1,
                "limit": ration.failures,
                "seconds": ration.breaker_seconds,
            },
        )


async def answered(connection: Connection) -> None:
    """PDS answered: the breaker closes."""
    await connection.execute(_SQL["answered"])


async def hold(connection: Connection, trace_id: uuid.UUID) -> TraceRequest | None:
    """A request that is still leased, locked; None if it was done or cancelled meanwhile."""
    row = await (await connection.execute(_SQL["hold"], {"trace_id": trace_id})).fetchone()
    return None if row is None else _request(row)


async def finish(connection: Connection, trace_id: uuid.UUID, outcome: str) -> None:
    """The request has its answer; what was asked is emptied."""
    await connection.execute(_SQL["finish"], {"trace_id": trace_id, "outcome": outcome})


async def waiting(connection: Connection) -> dict[int, int]:
    """How many requests wait, by priority."""
    cursor = await connection.execute(_SQL["waiting"])
    return {row["priority"]: row["amount"] for row in await cursor.fetchall()}


async def purge(connection: Connection, *, before: datetime) -> int:
    """Drop requests that ended before `before`."""
    return (await connection.execute(_SQL["purge"], {"before": before})).rowcount


async def _refilled(connection: Connection, ration: Ration) -> dict[str, Any]:
    cursor = await connection.execute(
        _SQL["refill"], {"burst": ration.burst, "rate": ration.per_second}
    )
    return one(await cursor.fetchone())


def _row(request: TraceRequest) -> dict[str, Any]:
    claim: dict[str, Any] = {name: getattr(request.claim, name) for name in _CLAIM_FIELDS}
    claim["given"] = list(request.claim.given)
    claim["other_numbers"] = list(request.claim.other_numbers)
    return {
        "trace_id": request.trace_id,
        "fingerprint": request.fingerprint,
        "token": request.token,
        "kind": request.kind,
        "priority": request.priority,
        "claim": Jsonb(claim),
        "organisation": request.organisation,
        "request_ids": list(request.request_ids),
        "purpose": request.purpose,
    }


def _request(row: dict[str, Any]) -> TraceRequest:
    claim = dict(row["claim"])
    given = tuple(claim.pop("given", ()))
    others = tuple(claim.pop("other_numbers", ()))
    return TraceRequest(
        **{
            **row,
            "claim": PersonClaim(**claim, given=given, other_numbers=others),
            "request_ids": tuple(row["request_ids"]),
            "answered": tuple(row["answered"]),
        }
    )
