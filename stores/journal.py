"""Where every record of every topic stands: ids, place, times, a digest; never a body.

Written by `connectors.journal`, off the hot path; `stores.timeline` reads it for `halyard trace`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "journal.sql")

Place = tuple[str, int]
"""A topic (without namespace) and a partition of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record on the bus.

    `topic` is without namespace; `recorded_at` the record's own timestamp; `caused_by` what its
    event names as its cause; `value_digest` is keyed: repeats of an event must have the same.
    """

    topic: str
    partition: int
    offset: int
    event_id: uuid.UUID
    event_type: str
    source: str
    trace_id: str
    caused_by: uuid.UUID | None
    event_time: datetime
    recorded_at: datetime
    value_bytes: int
    value_digest: str


async def record(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write `entries`; one whose place is taken already is written anew."""
    # a place twice in one statement is an error; the last one holds
    unique = list({(one.topic, one.partition, one.offset): one for one in entries}.values())
    if not unique:
        return
    await connection.execute(
        _SQL["record"],
        {
            "topics": [one.topic for one in unique],
            "partitions": [one.partition for one in unique],
            "offsets": [one.offset for one in unique],
            "event_ids": [one.event_id for one in unique],
            "event_types": [one.event_type for one in unique],
            "sources": [one.source for one in unique],
            "trace_ids": [one.trace_id for one in unique],
            "caused_by": [one.caused_by for one in unique],
            "event_times": [one.event_time for one in unique],
            "recorded_at": [one.recorded_at for one in unique],
            "value_bytes": [one.value_bytes for one in unique],
            "value_digests": [one.value_digest for one in unique],
        },
    )


async def offsets(connection: Connection) -> dict[Place, int]:
    """Where reading goes on, by place."""
    cursor = await connection.execute(_SQL["offsets"])
    return {(row["topic"], row["partition"]): row["next_offset"] for row in await cursor.fetchall()}


async def save_offsets(connection: Connection, following: Mapping[Place, int]) -> None:
    """Next offsets by place, in the transaction of the entries before them."""
    places = list(following)
    if not places:
        return
    await connection.execute(
        _SQL["save_offsets"],
        {
            "topics": [topic for topic, _ in places],
            "partitions": [partition for _, partition in places],
            "offsets": [following[place] for place in places],
        },
    )
