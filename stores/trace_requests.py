"""What PDS is to be asked, and the ration of calls: one budget for all tracers (rule 11).

A request is single-flight by its fingerprint, its X-Request-IDs are stored with it before any
call, and a tracer's claim on it is a lease that another takes over when it ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, Self

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
    search that need not be made again, as `connectors.pds.search` writes them, and marks of others.
    `leased_at`: when it was taken to be asked, by the database's clock; who leased it knows.
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
    leased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ration:
    """The budget: calls a second for all tracers, how many may come at once, and the breaker.

    `per_second` and `burst` are such that no second has more calls than the budget (`of`). After
    `failures` calls in a row without an answer nothing is asked for `breaker_seconds`; then one
    request goes to see.
    """

    per_second: float
    burst: float
    failures: int
    breaker_seconds: float

    @classmethod
    def of(cls, calls_per_second: float, *, failures: int, breaker_seconds: float) -> Self:
        """A tenth of a second's calls at once (at least one), and the rest as time goes by: in no
        second more than `calls_per_second`.
        """
        burst = max(1.0, calls_per_second / 10)
        return cls(calls_per_second + 1 - burst, burst, failures, breaker_seconds)


SLOWEST_PACE: Final = 1 / 16
"""The share of the ration below which a 429 slows nobody further: then it counts as no answer."""

_RECOVERY_A_SECOND: Final = 0.05
"""How much of the pace comes back in a second in which the whole ration is answered."""


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


async def take_token(pool: Pool, ration: Ration, *, let_through: bool = False) -> bool:
    """Take the token of one more call, if there is one. `let_through`: PDS has just answered who
    asks, whom the breaker let through; it holds the others until that call is done.
    """
    async with transaction(pool) as connection:
        state = await _refilled(connection, ration)
        if state["paused" if let_through else "open"] or state["tokens"] < 1:
            return False
        await connection.execute(_SQL["spend"], {"amount": 1})
        return True


async def again(
    pool: Pool, trace_id: uuid.UUID, *, seconds: float, attempts: int | None = None
) -> None:
    """Ask again after `seconds`, with the same request ids; if `attempts` are stated, only if the
    lease is still that one.
    """
    async with transaction(pool) as connection:
        await connection.execute(
            _SQL["again"], {"trace_id": trace_id, "seconds": seconds, "attempts": attempts}
        )


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


async def slower(pool: Pool, ration: Ration, *, pause_seconds: float) -> float:
    """PDS said 429: nobody asks for `pause_seconds`, then all half as often; gives the pace.

    At `SLOWEST_PACE` it counts as a call without an answer.
    """
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            _SQL["slower"],
            {
                "floor": SLOWEST_PACE,
                "limit": ration.failures,
                "seconds": ration.breaker_seconds,
                "pause": pause_seconds,
            },
        )
        return float(one(await cursor.fetchone())["pace"])


async def answered(connection: Connection, ration: Ration, *, calls: int = 1) -> None:
    """PDS answered so many calls: the breaker closes, the pace grows."""
    step = calls * _RECOVERY_A_SECOND / ration.per_second
    await connection.execute(_SQL["answered"], {"step": step})


async def progress(pool: Pool, request: TraceRequest, text: str) -> bool:
    """A query of a search need not be made again; False if the lease is another's by now."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            _SQL["progress"],
            {"trace_id": request.trace_id, "attempts": request.attempts, "text": text},
        )
        return cursor.rowcount == 1


async def pace(connection: Connection) -> tuple[float, bool]:
    """The share of the ration that is spent now, and whether the breaker is open."""
    row = one(await (await connection.execute(_SQL["ration"])).fetchone())
    return float(row["pace"]), bool(row["open"])


async def hold(connection: Connection, request: TraceRequest) -> TraceRequest | None:
    """A request whose lease is still that of `request`, locked; None if it was done or cancelled
    meanwhile, or is another's: its answer is newer.
    """
    values = {"trace_id": request.trace_id, "attempts": request.attempts}
    row = await (await connection.execute(_SQL["hold"], values)).fetchone()
    return None if row is None else replace(_request(row), leased_at=request.leased_at)


async def word(connection: Connection, tokens: Iterable[str]) -> None:
    """Keep with each search that is being asked now for an event that PDS has sent word of people
    of these pseudonyms, whom it may be about to name: `came_word` then says so.
    """
    if marks := [_word(one) for one in sorted(set(tokens))]:
        await connection.execute(_SQL["word"], {"marks": marks})


def came_word(request: TraceRequest, token: str) -> bool:
    """Whether PDS sent word of this person while `request` was being asked."""
    return _word(token) in request.answered


async def put_back(
    connection: Connection, request: TraceRequest, *, mark: str | None = None, seconds: float = 0
) -> None:
    """Ask again, in a transaction that holds the request; `mark` is kept in `answered`."""
    values = {"trace_id": request.trace_id, "mark": mark, "seconds": seconds}
    await connection.execute(_SQL["put_back"], values)


async def asking(connection: Connection, tokens: Iterable[str]) -> set[str]:
    """Those of `tokens` about whose number PDS is being asked right now for an event: who they are
    may become known by an answer that is on its way.
    """
    cursor = await connection.execute(_SQL["asking"], {"tokens": sorted(set(tokens))})
    return {row["token"] for row in await cursor.fetchall()}


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


def _word(token: str) -> str:
    return f"word {token}"


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
