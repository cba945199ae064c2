"""Seals and checkpoints of the audit chain, as the sealer writes them.

Both tables are insert-only, for the sealer's role alone. Whoever writes holds `try_lock`'s lock, so
that there is one sealer at a time whatever runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from halyard.audit_chain import Checkpoint, Place, digest
from halyard.postgres import Connection, load_queries, lock_id, one

_SQL = load_queries("stores", "audit_seals.sql")
_LOCK = lock_id("audit-sealer")


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An entry without a place."""

    entry_id: uuid.UUID
    recorded_at: datetime
    chain: str
    xid: int
    body: dict[str, Any]
    settled: int = 0  # below this transaction number nothing can appear any more


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """A link: where an entry stands, and the hash that holds it there."""

    entry: Unsealed
    place: Place
    hash: bytes


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A chain that has links above its last checkpoint (or none, where all were asked for)."""

    chain: str
    head: Head
    covered: int  # seq of the last checkpoint; 0: none
    previous: str | None  # digest of the last checkpoint
    oldest: datetime | None  # when the first entry above it was recorded


@dataclass(frozen=True, slots=True)
class Pending:
    """Entries that wait for a seal."""

    entries: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Droppable:
    """What of a chain would go: `dropped` entries below `first_kept`."""

    chain: str
    first_kept: int
    dropped: int


async def try_lock(connection: Connection) -> bool:
    """Be the one sealer until the transaction ends; False if another is."""
    row = one(await (await connection.execute(_SQL["try_lock"], {"lock": _LOCK})).fetchone())
    return bool(row["got"])


async def lock(connection: Connection) -> None:
    """As `try_lock`, but waits for its turn."""
    await connection.execute(_SQL["lock"], {"lock": _LOCK})


async def unsealed(connection: Connection, *, limit: int) -> list[Unsealed]:
    """Entries that no running transaction can come before any more, in the order of sealing:
    by transaction, then chain, time and id.
    """
    rows = await connection.execute(_SQL["unsealed"], {"limit": limit})
    return [
        Unsealed(
            row["entry_id"],
            row["recorded_at"],
            row["chain"],
            int(row["xid"]),
            orjson.loads(row["body"]),
            int(row["settled"]),
        )
        async for row in rows
    ]


async def reached(connection: Connection, entries: Sequence[Unsealed], *, limit: int) -> None:
    """`entries`, as `unsealed` gave them with `limit`, have their places: so far it has come."""
    last = entries[-1]
    # a full batch may have left out some of its last transaction; one that goes on past what is
    # settled has left out nothing before
    whole = len(entries) < limit or last.xid >= last.settled
    await connection.execute(_SQL["reached"], {"xid": str(last.settled if whole else last.xid)})


async def heads(connection: Connection, chains: Iterable[str]) -> dict[str, Head]:
    """The last link of each chain that has one."""
    rows = await connection.execute(_SQL["heads"], {"chains": sorted(set(chains))})
    return {row["chain"]: Head(row["seq"], bytes(row["hash"])) async for row in rows}


async def add(connection: Connection, seals: Sequence[Seal], *, sealed_at: datetime) -> None:
    """Write links, all sealed at one time."""
    if not seals:
        return
    await connection.execute(
        _SQL["add"],
        {
            "sealed_at": sealed_at,
            "chains": [each.place.chain for each in seals],
            "seqs": [each.place.seq for each in seals],
            "entry_ids": [each.entry.entry_id for each in seals],
            "times": [each.entry.recorded_at for each in seals],
            "xids": [str(each.place.xid) for each in seals],
            "prevs": [each.place.prev_hash for each in seals],
            "hashes": [each.hash for each in seals],
        },
    )


async def uncovered(connection: Connection, *, every: bool = False) -> list[Uncovered]:
    """Chains with links above their last checkpoint, by name; with `every`, all chains."""
    rows = await connection.execute(_SQL["uncovered"], {"all": every})
    return [
        Uncovered(
            chain=row["chain"],
            head=Head(row["seq"], bytes(row["hash"])),
            covered=row["covered"],
            previous=None if row["last_line"] is None else digest(row["last_line"]),
            oldest=row["oldest"],
        )
        async for row in rows
    ]


async def last_number(connection: Connection) -> int:
    """The number of the last checkpoint; 0 before the first."""
    row = one(await (await connection.execute(_SQL["last_number"])).fetchone())
    return int(row["number"])


async def last_of(connection: Connection, chain: str) -> str | None:
    """Digest of a chain's last checkpoint; None before its first."""
    row = await (await connection.execute(_SQL["last_of"], {"chain": chain})).fetchone()
    return None if row is None else digest(row["line"])


async def last_signed(connection: Connection) -> datetime | None:
    """When the last checkpoint was signed; None before the first."""
    row = await (await connection.execute(_SQL["last_signed"])).fetchone()
    return None if row is None else row["at"]


async def add_checkpoints(connection: Connection, checkpoints: Sequence[Checkpoint]) -> None:
    """Write signed checkpoints."""
    if not checkpoints:
        return
    await connection.execute(
        _SQL["add_checkpoints"],
        {
            "numbers": [each.number for each in checkpoints],
            "chains": [each.chain for each in checkpoints],
            "kinds": [each.kind for each in checkpoints],
            "seqs": [each.seq for each in checkpoints],
            "times": [each.at for each in checkpoints],
            "lines": [each.line() for each in checkpoints],
        },
    )


async def checkpoint_lines(
    connection: Connection, *, after: int, limit: int, chain: str | None = None
) -> list[tuple[int, str]]:
    """(number, line) of the checkpoints above `after`, in order."""
    name = "checkpoints_after" if chain is None else "checkpoints_of"
    rows = await connection.execute(_SQL[name], {"after": after, "limit": limit, "chain": chain})
    return [(row["number"], row["line"]) async for row in rows]


async def pending(connection: Connection, *, chain: str | None = None) -> Pending:
    """How many entries wait for a seal, and since when."""
    row = one(
        await (await connection.execute(_SQL["unsealed_window"], {"chain": chain})).fetchone()
    )
    return Pending(row["entries"], row["oldest"])


async def unsealed_before(connection: Connection, *, before: datetime) -> bool:
    """Whether an entry recorded before a time has no place yet. Reads all of those."""
    rows = await connection.execute(_SQL["unsealed_before"], {"before": before})
    return bool(one(await rows.fetchone())["there"])


async def droppable(connection: Connection, *, before: datetime) -> list[Droppable]:
    """What each chain would lose with the entries recorded before a time. Reads all seals."""
    rows = await connection.execute(_SQL["droppable"], {"before": before})
    return [Droppable(row["chain"], row["first_kept"], row["dropped"]) async for row in rows]
