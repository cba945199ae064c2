"""The NCMD store: where it stands in the log, and every version of every case (schema ``ncmd``).

Only its own role writes and reads here. A version is written once, into the history; the newest of
a case also becomes its current row, facts, links and perhaps a tombstone.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from halyard.errors import ContractError
from halyard.postgres import Connection, load_queries, lock, one
from schemas.codec import decode_as
from schemas.deaths import CaseChanged, CaseState
from stores.ncmd_rows import case_row, fact_rows, link_rows, void_reason

QUERIES: Final = load_queries("stores", "ncmd.sql")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A version as it came: `content` is the event's bytes, kept as they are.

    `needs_person`: it names something that this version of Halyard does not know. `digest`: SHA-256
    of the bytes on the bus, where a policy withheld part of them and `content` is what was left.
    """

    event: CaseChanged
    content: bytes = field(repr=False)
    needs_person: bool = False
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch: versions that were new (`late` ones below the current version among
    them), versions that the store had, and the newest versions that are current now.
    """

    fresh: int = 0
    late: int = 0
    repeated: int = 0
    gaps: int = 0
    current: tuple[CaseChanged, ...] = ()


@dataclass(frozen=True, slots=True)
class Offset:
    """Where the store stands in one partition; `incarnation` is the topic's id on its cluster."""

    next_offset: int
    incarnation: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of the store, without anything about a child."""

    cases: dict[str, int]
    open_by_eligibility: dict[str, int]
    needs_person: int
    versions: int
    facts: int
    tombstones: int
    version_gaps: int
    log_gaps: int
    dead_letters: int
    last_applied_at: datetime | None
    submissions: dict[str, int]


async def begin_offsets(
    connection: Connection, topic: str, partitions: Iterable[int], incarnation: str
) -> None:
    """Stand at 0 in each of `partitions` that is new to the store.

    Of a log of which nothing was read, or whose id was not told, `incarnation` becomes the id.
    """
    await connection.execute(
        QUERIES["begin_offsets"],
        {"topic": topic, "partitions": list(partitions), "incarnation": incarnation},
    )


async def offsets(connection: Connection, topic: str) -> dict[int, Offset]:
    """Where the store stands, by partition."""
    cursor = await connection.execute(QUERIES["offsets"], {"topic": topic})
    return _offsets(await cursor.fetchall())


async def lock_offsets(
    connection: Connection, topic: str, partitions: Iterable[int]
) -> dict[int, Offset]:
    """As `offsets`, and nobody else moves them until the transaction ends."""
    cursor = await connection.execute(
        QUERIES["lock_offsets"], {"topic": topic, "partitions": list(partitions)}
    )
    return _offsets(await cursor.fetchall())


def _offsets(rows: Sequence[Mapping[str, Any]]) -> dict[int, Offset]:
    return {
        row["partition"]: Offset(row["next_offset"], row["incarnation"], row["applied_at"])
        for row in rows
    }


async def save_offsets(connection: Connection, topic: str, following: Mapping[int, int]) -> None:
    """Set the next offset of partitions that were locked."""
    await connection.execute(
        QUERIES["save_offsets"],
        {"topic": topic, "partitions": list(following), "offsets": list(following.values())},
    )


async def go_on_after_gap(
    connection: Connection,
    topic: str,
    partition: int,
    *,
    expected: int,
    found: int,
    incarnation: str,
) -> None:
    """Stand at `found` although `expected` was due, and keep that this was so."""
    place = {"topic": topic, "partition": partition, "incarnation": incarnation, "found": found}
    await connection.execute(QUERIES["add_log_gap"], {**place, "expected": expected})
    await connection.execute(QUERIES["move_offset"], place)


async def apply(connection: Connection, arrived: Sequence[Arrived]) -> Applied:
    """Write versions of cases, in the order of their cases' versions.

    A version that the store has is left as it is, but for one of which a policy withheld part and
    now withholds less; one below the current version fills the history and changes nothing else.
    Raises `ContractError` for a version that is there with another
    content: one of the two is wrong, and a person must say which.
    """
    newest = {(one.event.case_id, one.event.version): one for one in reversed(arrived)}
    if not newest:
        return Applied()
    await lock(connection, (f"ncmd:{case_id}" for case_id, _ in newest))
    known = await _known(connection, newest)
    for one_arrived in arrived:
        _must_agree(one_arrived, newest, known)
    await _widen(connection, [newest[key] for key in sorted(newest) if key in known], known)
    fresh = [newest[key] for key in sorted(newest) if key not in known]
    if not fresh:
        return Applied(repeated=len(arrived))
    current = await _current(connection, {one.event.case_id for one in fresh})
    await _add_history(connection, fresh)
    above = [one for one in fresh if one.event.version > current.get(one.event.case_id, _NEW)[0]]
    gaps = await _note_gaps(connection, above, current)
    changed = {one.event.case_id: one for one in above}  # in order: the newest of each case stays
    await _put_current(connection, list(changed.values()))
    await _bury_and_lift(connection, fresh, current)
    return Applied(
        fresh=len(fresh),
        late=len(fresh) - len(above),
        repeated=len(arrived) - len(fresh),
        gaps=gaps,
        current=tuple(one.event for one in changed.values()),
    )


_NEW: Final = (0, "")  # version and state of a case that the store does not have
_Key = tuple[uuid.UUID, int]
_Current = dict[uuid.UUID, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class _Kept:
    content: bytes
    digest: bytes | None


async def _known(connection: Connection, keys: Iterable[_Key]) -> dict[_Key, _Kept]:
    case_ids, versions = zip(*keys, strict=True)
    cursor = await connection.execute(
        QUERIES["known_versions"], {"case_ids": list(case_ids), "versions": list(versions)}
    )
    return {
        (row["case_id"], row["version"]): _Kept(row["content"], row["digest"])
        for row in await cursor.fetchall()
    }


def _came(one: Arrived | _Kept) -> bytes:
    """Digest of the bytes on the bus: the same version under another policy is the same."""
    return one.digest or hashlib.sha256(one.content).digest()


def _must_agree(
    arrived: Arrived, others: Mapping[_Key, Arrived], known: Mapping[_Key, _Kept]
) -> None:
    key = (arrived.event.case_id, arrived.event.version)
    there = known.get(key, others[key])
    if there.content == arrived.content or _came(there) == _came(arrived):
        return
    # Other bytes may say the same: under a newer schema
    if decode_as(CaseChanged, there.content) != arrived.event:
        raise ContractError(
            "A version of a case came a second time with another content; find out which of the "
            "two is right (was the hub restored from a backup?) before it is redriven."
        )


async def _widen(
    connection: Connection, again: Sequence[Arrived], known: Mapping[_Key, _Kept]
) -> None:
    """Keep what a wider policy permits by now of versions that came again. Of one event the longer
    bytes tell more: what is withheld is left out of them."""
    wider = []
    for one_arrived in again:
        there = known[one_arrived.event.case_id, one_arrived.event.version]
        is_longer = len(one_arrived.content) > len(there.content)
        if is_longer and there.digest is not None and there.digest == _came(one_arrived):
            wider.append(one_arrived)
    if not wider:
        return
    for one_arrived in wider:
        await connection.execute(
            QUERIES["widen"],
            {
                "case_id": one_arrived.event.case_id,
                "version": one_arrived.event.version,
                "digest": _came(one_arrived),
                "content": one_arrived.content,
            },
        )
    current = await _current(connection, {each.event.case_id for each in wider})
    await _put_current(
        connection,
        [each for each in wider if current[each.event.case_id][0] == each.event.version],
    )


async def _current(connection: Connection, case_ids: Iterable[uuid.UUID]) -> _Current:
    cursor = await connection.execute(QUERIES["current"], {"case_ids": list(case_ids)})
    return {row["case_id"]: (row["version"], row["state"]) for row in await cursor.fetchall()}


async def _add_history(connection: Connection, fresh: Sequence[Arrived]) -> None:
    events = [one.event for one in fresh]
    await connection.execute(
        QUERIES["add_history"],
        {
            "case_ids": [event.case_id for event in events],
            "versions": [event.version for event in events],
            "event_ids": [event.event_id for event in events],
            "changes": [event.change.value for event in events],
            "rules": [event.rule for event in events],
            "states": [event.content.state.value for event in events],
            "changed_at": [event.changed_at for event in events],
            "causes": [event.cause for event in events],
            "decided_by": [event.by for event in events],
            "needs_person": [one.needs_person for one in fresh],
            "contents": [one.content for one in fresh],
            "digests": [one.digest for one in fresh],
        },
    )


async def _note_gaps(connection: Connection, above: Sequence[Arrived], current: _Current) -> int:
    """Keep which versions are missing below those that came; how many holes there are."""
    reached = {case_id: version for case_id, (version, _) in current.items()}
    gaps = []
    for arrived in above:
        event = arrived.event
        before = reached.get(event.case_id, 0)
        if event.version > before + 1:
            gaps.append({"case_id": event.case_id, "after": before, "before": event.version})
        reached[event.case_id] = event.version
    await _many(connection, "add_version_gap", gaps)
    return len(gaps)


async def _bury_and_lift(
    connection: Connection, fresh: Sequence[Arrived], current: _Current
) -> None:
    """A tombstone where a case became void, an end of it where it came back: from the history, as
    a version that comes late may lie between others."""
    touched = set()
    for arrived in fresh:
        event = arrived.event
        version, state = current.get(event.case_id, _NEW)
        void = CaseState.VOIDED in (event.content.state, state)
        if void or event.version < version:
            touched.add(event.case_id)
    if not touched:
        return
    case_ids = {"case_ids": sorted(touched)}
    cursor = await connection.execute(QUERIES["turns"], case_ids)
    rows: list[dict[str, Any]] = []
    for turn in await cursor.fetchall():
        if turn["state"] != CaseState.VOIDED:  # never the first turn of a case
            rows[-1].update(lifted_version=turn["version"], lifted_at=turn["changed_at"])
            continue
        reason = void_reason(decode_as(CaseChanged, turn["content"]))
        place = {name: turn[name] for name in ("case_id", "version")}
        ends = {"lifted_version": None, "lifted_at": None}
        rows.append({**place, "reason": reason, "voided_at": turn["changed_at"], **ends})
    await connection.execute(QUERIES["remove_tombstones"], case_ids)
    await _many(connection, "add_tombstone", rows)


async def _put_current(connection: Connection, changed: Sequence[Arrived]) -> None:
    if not changed:
        return
    case_ids = [one.event.case_id for one in changed]
    await _many(
        connection, "put_case", [case_row(each.event, each.needs_person) for each in changed]
    )
    facts = [row for each in changed for row in fact_rows(each.event)]
    links = [row for each in changed for row in link_rows(each.event)]
    for remove, add, rows in (
        ("remove_facts", "add_facts", facts),
        ("remove_links", "add_links", links),
    ):
        await connection.execute(QUERIES[remove], {"case_ids": case_ids})
        if rows:
            await connection.execute(QUERIES[add], {"rows": orjson.dumps(rows).decode()})


async def _many(connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        async with connection.cursor() as cursor:
            await cursor.executemany(QUERIES[name], rows)


async def add_dead_letter(
    connection: Connection, topic: str, partition: int, offset: int, reason: str
) -> None:
    """Keep that a record is in the dead-letter topic, and why; `reason` holds no value."""
    await connection.execute(
        QUERIES["add_dead_letter"],
        {"topic": topic, "partition": partition, "offset": offset, "reason": reason},
    )


async def as_of(
    connection: Connection, case_id: uuid.UUID, at: datetime
) -> tuple[CaseChanged, bool] | None:
    """The case as it stood at `at`, and whether that version needs a person; None if there was
    none yet. Raises `ContractError` if its schema is not known any more.
    """
    cursor = await connection.execute(QUERIES["as_of"], {"case_id": case_id, "at": at})
    row = await cursor.fetchone()
    if row is None:
        return None
    return decode_as(CaseChanged, row["content"]), row["needs_person"]


async def versions(connection: Connection, case_id: uuid.UUID) -> list[dict[str, Any]]:
    """What happened to the case: version, change, rule, time, by whom; no content."""
    cursor = await connection.execute(QUERIES["versions"], {"case_id": case_id})
    return await cursor.fetchall()


async def status(connection: Connection) -> Status:
    """Counts of the store."""
    cursor = await connection.execute(QUERIES["counts"])
    return Status(**one(await cursor.fetchone()))
