"""What is to be on the bus: written with the decision, published after the commit.

Order is kept by lane (topic and hash of the key): `publish_lanes` is the one function that
publishes, in line after a commit and as the sweeper (correctness rule 3). It locks a lane, sends
its unmarked rows in id order, stops the lane at the first error, and never skips a locked row.
A row that can never be sent is parked and its lane goes on: versions are whole, and consumers
ignore a lower one than they have (docs/adr/0031).
"""

from __future__ import annotations

import uuid
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from halyard import metrics, telemetry
from halyard.kafka import Headers, Record
from halyard.postgres import Connection, Pool, load_queries, one, transaction

LANES_PER_TOPIC = 64
PAGE = 500  # rows of one publishing transaction

log = telemetry.get_logger()

_SQL = load_queries("stores", "outbox.sql")


@dataclass(frozen=True, slots=True)
class Never:
    """A record that cannot be sent, however often it is tried; `reason` is a stable identifier."""

    reason: str


Send = Callable[[Sequence[Record]], Awaitable[Sequence[bool | Never]]]
"""Sends records in order; tells for each whether the broker confirmed it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and the id of the event in it."""

    record: Record
    event_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Parked:
    """A row that could never be sent; without its content."""

    id: int
    topic: str
    key: str
    event_id: uuid.UUID
    size: int  # bytes of the value
    reason: str
    created_at: datetime
    parked_at: datetime


def lane_of(topic: str, key: str) -> int:
    """Lane of a topic and key: rows of one key are always in one lane."""
    return (zlib.crc32(topic.encode()) % 30_000) * LANES_PER_TOPIC + zlib.crc32(
        key.encode()
    ) % LANES_PER_TOPIC


async def add(connection: Connection, entries: Sequence[Entry]) -> set[int]:
    """Write `entries` in the caller's transaction, in order; gives their lanes.

    The caller holds the lock of each key (person, visit, alert or source person), so that ids of
    one key follow the order of its decisions.
    """
    if not entries:
        return set()
    lanes = [lane_of(entry.record.topic, entry.record.key) for entry in entries]
    await connection.execute(
        _SQL["add"],
        {
            "lanes": lanes,
            "topics": [entry.record.topic for entry in entries],
            "keys": [entry.record.key for entry in entries],
            # one JSON text: psycopg would escape every quote of every header in an array
            "headers": orjson.dumps(
                [[(k, v.decode()) for k, v in entry.record.headers] for entry in entries]
            ).decode(),
            "values": [entry.record.value for entry in entries],
            "event_ids": [entry.event_id for entry in entries],
        },
    )
    return set(lanes)


async def publish_lanes(pool: Pool, send: Send, lanes: Iterable[int]) -> int:
    """Publish every unmarked row of `lanes`; gives how many the broker confirmed. Rows that can
    never be sent are parked.

    Raises nothing for a broker that is away: the rows stay, the sweeper comes back to them.
    """
    published = 0
    wanted = sorted(set(lanes))
    while wanted:
        async with transaction(pool) as connection:
            await connection.execute(_SQL["lock_lanes"], {"lanes": wanted})
            cursor = await connection.execute(_SQL["waiting"], {"lanes": wanted, "page": PAGE})
            rows = await cursor.fetchall()
            if not rows:
                return published
            records = [
                Record(row["topic"], row["key"], bytes(row["value"]), _headers(row["headers"]))
                for row in rows
            ]
            confirmed = await send(records)
            stopped: set[int] = set()
            done: list[int] = []
            never: dict[int, str] = {}
            topics: dict[str, int] = defaultdict(int)
            for row, sent in zip(rows, confirmed, strict=True):
                if isinstance(sent, Never):
                    never[row["id"]] = sent.reason
                    log.error(
                        "outbox_record_parked",
                        topic=row["topic"],
                        event_id=str(row["event_id"]),
                        reason=sent.reason,
                        bytes=len(row["value"]),
                    )
                elif not sent:
                    stopped.add(row["lane"])
                elif row["lane"] not in stopped:
                    done.append(row["id"])
                    topics[row["topic"]] += 1
            await connection.execute(_SQL["mark"], {"ids": done})
            if never:
                await connection.execute(
                    _SQL["park"], {"ids": list(never), "reasons": list(never.values())}
                )
        for topic, amount in topics.items():
            metrics.count("halyard_outbox_published_total", amount, topic=topic)
        published += len(done)
        wanted = [lane for lane in wanted if lane not in stopped] if len(rows) == PAGE else []
    return published


async def sweep(pool: Pool, send: Send, *, older_than_seconds: float = 1.0) -> int:
    """Publish what a killed or cut-off worker left behind; gives how many rows."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["stale_lanes"], {"seconds": older_than_seconds})
        lanes = [row["lane"] for row in await cursor.fetchall()]
    return await publish_lanes(pool, send, lanes) if lanes else 0


async def oldest_seconds(pool: Pool) -> float:
    """Age of the oldest unpublished row, 0 if there is none."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["oldest"])
        return float(one(await cursor.fetchone())["seconds"])


async def parked(pool: Pool, *, limit: int = 100) -> list[Parked]:
    """Rows that could never be sent and wait for a person, the oldest first."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["parked"], {"limit": limit})
        return [Parked(**row) for row in await cursor.fetchall()]


async def count_parked(pool: Pool) -> int:
    """How many those are."""
    async with transaction(pool) as connection:
        return int(one(await (await connection.execute(_SQL["count_parked"])).fetchone())["n"])


async def redrive(pool: Pool) -> int:
    """Give every parked row back to the sweeper; gives how many."""
    async with transaction(pool) as connection:
        return (await connection.execute(_SQL["redrive"])).rowcount


async def purge(pool: Pool, *, published_before_hours: float = 24.0) -> int:
    """Drop published rows that are old enough; gives how many."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(_SQL["purge"], {"hours": published_before_hours})
        return cursor.rowcount


def _headers(stored: list[list[str]]) -> Headers:
    return tuple((key, value.encode()) for key, value in stored)
