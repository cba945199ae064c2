"""What identity decided about each reported event, and the claim while it may be decided anew."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from halyard.postgres import Connection, load_queries
from schemas.events import NhsNumberStatus

_SQL = load_queries("stores", "claims.sql")

_MERGED = "merged"  # not a claim's state: see the query `scope`

LAST_OF_DEATHS: Final = 50
"""How many messages of one notification are looked at however they ended."""

_ON_THE_BUS: Final = timedelta(days=14)
"""Retention of the topics of verified events (schemas/topics.toml)."""

EventKind = Literal["attendance", "flag", "death", "report"]


class ClaimState(StrEnum):
    """Where a reported event stands; all but the first two are ends."""

    WAITING = "waiting"  # for a trace in flight
    PROVISIONAL = "provisional"  # asserted of a flagged candidate; a trace will tell
    VERIFIED = "verified"
    UNRESOLVED = "unresolved"  # on the worklist; what it was asserted of may stand
    NOT_TRACED = "not_traced"
    NOT_USED = "not_used"
    REJECTED = "rejected"  # a flag whose record breaks a rule; the upload's answer says which

    @property
    def open(self) -> bool:
        """True while a trace may still change it."""
        return self in (ClaimState.WAITING, ClaimState.PROVISIONAL)

    @property
    def asserted(self) -> bool:
        """True while a person is named on the bus."""
        return self in (ClaimState.VERIFIED, ClaimState.PROVISIONAL)


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One reported event. `key` is its source patient, `person` whom we assert (both pseudonyms;
    of an unresolved claim: provisionally, as PDS neither proved nor contradicted it).

    `priority` is that of the trace the claim asks for itself, None if it only waits behind others.
    `revision` counts what was said of it on the bus. `event` is the reported event in the wire
    format without the sender's bytes, None once retention has emptied it. `version`, `request_id`:
    of a message about a death, and of the request that a report answers.
    """

    reported_event_id: uuid.UUID
    key: str
    event_kind: EventKind
    visit_id: uuid.UUID | None
    state: ClaimState
    rule: str
    indicator: NhsNumberStatus
    received_at: datetime
    decided_at: datetime
    traceparent: str
    priority: int | None = None
    person: str | None = None
    restricted: bool = False
    revision: int = 0
    number_token: str | None = None
    demographic_token: str | None = None
    version: int | None = None
    request_id: uuid.UUID | None = None
    event: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """Where to look for claims: keys, visits, and tokens of newly flagged people (back-match).

    `since` bounds it, save for what is open, and for whom events of `visits` (and, where a birth
    is told, of `mothers`' keys) are asserted of. Of the keys `named` also everybody is found whom
    anything was ever verified of, one claim each.

    Of messages about deaths only those of `keys` are found that may yet be decided: open ones,
    unresolved ones, the highest version that is verified of each person, the highest void, and the
    last `LAST_OF_DEATHS` of each key. A sender who repeats one notification for ever costs no more.
    """

    keys: frozenset[str]
    visits: frozenset[uuid.UUID]
    numbers: frozenset[str]
    demographics: frozenset[str]
    since: datetime
    mothers: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    events: frozenset[uuid.UUID] = frozenset()  # these claims, however old


@dataclass(frozen=True, slots=True)
class Touched:
    """The lockable names of a claim in reach."""

    key: str
    visit_id: uuid.UUID | None
    person: str | None
    number_token: str | None
    demographic_token: str | None
    state: ClaimState


_COLUMNS = tuple(item.name for item in fields(ClaimRow))


async def scope(connection: Connection, reach: Reach) -> tuple[list[Touched], frozenset[str]]:
    """What `load` would give, as lockable names; and which keys in reach took part in a merge."""
    cursor = await connection.execute(_SQL["scope"], _parameters(reach))
    rows = await cursor.fetchall()
    touched = [
        Touched(**{**row, "state": ClaimState(row["state"])})
        for row in rows
        if row["state"] != _MERGED
    ]
    return touched, frozenset(row["key"] for row in rows if row["state"] == _MERGED)


async def of_event(connection: Connection, event_id: uuid.UUID) -> ClaimRow | None:
    """One claim, as it stands at this moment; None if it was forgotten."""
    cursor = await connection.execute(_SQL["of_event"], {"event_id": event_id})
    row = await cursor.fetchone()
    return None if row is None else _claim(row)


async def decided_with(connection: Connection, event_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Events of the same key that were decided in the same moment, and can be read yet."""
    cursor = await connection.execute(_SQL["decided_with"], {"event_id": event_id})
    return frozenset([row["reported_event_id"] for row in await cursor.fetchall()])


async def load(connection: Connection, reach: Reach) -> list[ClaimRow]:
    """Claims in reach and all of their keys and visits, in the order they were taken."""
    cursor = await connection.execute(_SQL["load"], _parameters(reach))
    return [_claim(row) for row in await cursor.fetchall()]


async def merge_words(
    connection: Connection, keys: Iterable[str], rules: Iterable[str], *, since: datetime
) -> list[bytes]:
    """The events of these keys' merges, received after `since`, whose claims ended by `rules`."""
    parameters = {"keys": sorted(keys), "rules": sorted(rules), "since": since}
    cursor = await connection.execute(_SQL["merge_words"], parameters)
    return [bytes(row["event"]) for row in await cursor.fetchall()]


async def put(connection: Connection, claims: Sequence[ClaimRow]) -> None:
    """Insert claims, or update what was decided; new ones keep the order given."""
    if claims:
        columns: dict[str, list[Any]] = {
            name: [getattr(claim, name) for claim in claims] for name in _COLUMNS
        }
        await connection.execute(_SQL["put"], columns)


async def retain(connection: Connection, *, before: datetime) -> tuple[int, int]:
    """Empty ended claims received before `before`, drop those not traced; gives both counts. What
    nobody has taken from the bus stays as long as the bus holds it.
    """
    forgotten = await connection.execute(_SQL["forget"], {"before": before})
    emptied = await connection.execute(
        _SQL["empty"], {"before": before, "untaken": before - _ON_THE_BUS}
    )
    return emptied.rowcount, forgotten.rowcount


def _parameters(reach: Reach) -> dict[str, Iterable[Any] | datetime | int]:
    return {
        "keys": sorted(reach.keys),
        "visits": sorted(reach.visits),
        "numbers": sorted(reach.numbers),
        "demographics": sorted(reach.demographics),
        "since": reach.since,
        "mothers": sorted(reach.mothers),
        "named": sorted(reach.named),
        "events": sorted(reach.events),
        "last": LAST_OF_DEATHS,
    }


def _claim(row: dict[str, Any]) -> ClaimRow:
    row["state"] = ClaimState(row["state"])
    row["indicator"] = NhsNumberStatus(row["indicator"])
    row["event"] = None if row["event"] is None else bytes(row["event"])
    return ClaimRow(**row)
