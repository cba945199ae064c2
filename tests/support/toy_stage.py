"""A stage that does nothing but what every stage does: inbox, lock, state, outbox, publish.

Its events are JSON (`event`). As a process (``python -m tests.support.toy_stage``) it is steered by
rows of the table `toy_switch`:

- ``transient``  every batch fails as if a part of the hub were away;
- ``hang``       no batch ever gets a verdict;
- ``harmless``   events marked poison are none any more.

``TOY_DEAF=1`` makes its agent take no batch at all.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import psycopg

from halyard import faults
from halyard.errors import ContractError, TransientError
from halyard.kafka import Headers, Incoming, Record, make_producer
from halyard.postgres import Pool, lock, make_pool, transaction
from halyard.service import Service, run
from halyard.settings import Settings, load_settings
from stores import inbox, outbox
from streams.channel import BatchChannel
from streams.outbox_publisher import make_send
from streams.stage import Stage, run_stage

SOURCE = "toy.in.v1"
TARGET = "toy.out.v1"
GROUP = "toy"
DEAD_LETTERS = f"{SOURCE}.{GROUP}.dlq"

TABLES = """
create table halyard.toy_done (
    position bigint generated always as identity, event_id uuid, key text, number integer
);
create table halyard.toy_switch (name text primary key);
grant all on halyard.toy_done, halyard.toy_switch to halyard_app;
"""

Hook = Callable[[Sequence[Incoming]], Awaitable[None]]


def event(number: int, *, poison: bool = False) -> bytes:
    """Value of a toy event; its id follows from its number."""
    return orjson.dumps({"id": str(event_id(number)), "number": number, "poison": poison})


def event_id(number: int) -> uuid.UUID:
    """Id of the toy event with this number."""
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def output(number: int, key: str) -> Record:
    """What the stage puts on the bus for the event with this number."""
    derived = uuid.uuid5(event_id(number), "output")
    headers: Headers = (("ce_id", str(derived).encode()),)
    return Record(TARGET, key, orjson.dumps({"id": str(derived), "number": number}), headers)


def create_tables(owner_url: str) -> None:
    """The toy's own tables, beside the hub's."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(TABLES)


class Toy:
    """The process function; `before` is awaited outside, `inside` within the transaction."""

    def __init__(self, pool: Pool, send: outbox.Send) -> None:
        self.pool = pool
        self.send = send
        self.calls: list[int] = []
        self.before: Hook | None = None
        self.inside: Hook | None = None

    async def process(self, batch: Sequence[Incoming]) -> None:
        """One batch, by the anatomy of a stage."""
        self.calls.append(len(batch))
        if self.before is not None:
            await self.before(batch)
        async with transaction(self.pool) as connection:
            events: list[tuple[str, dict[str, Any]]] = [
                (record.key, orjson.loads(record.value)) for record in batch
            ]
            fresh = await inbox.take(connection, GROUP, (uuid.UUID(e["id"]) for _, e in events))
            await lock(connection, (f"key:{key}" for key, _ in events))
            cursor = await connection.execute("select name from toy_switch")
            switches = {row["name"] for row in await cursor.fetchall()}
            if "transient" in switches:
                raise TransientError
            if "hang" in switches:
                await asyncio.Event().wait()
            entries = []
            for key, one in events:
                identity = uuid.UUID(one["id"])
                if identity not in fresh:
                    continue
                fresh.discard(identity)
                if one["poison"] and "harmless" not in switches:
                    raise ContractError("A toy event is poison.")
                await connection.execute(
                    "insert into toy_done (event_id, key, number) values (%s, %s, %s)",
                    (identity, key, one["number"]),
                )
                record = output(one["number"], key)
                entries.append(outbox.Entry(record, uuid.uuid5(identity, "output")))
            lanes = await outbox.add(connection, entries)
            if self.inside is not None:
                await self.inside(batch)
            faults.point("identity.before_commit")
        faults.point("identity.after_commit")
        await outbox.publish_lanes(self.pool, self.send, lanes)
        faults.point("identity.after_produce")


def stage(toy: Toy) -> Stage:
    """The toy as a stage."""
    return Stage(name=GROUP, group=GROUP, topics=(SOURCE,), process=toy.process)


async def main(service: Service) -> None:
    """The worker process."""
    settings: Settings = service.settings
    pool = make_pool(settings, name=GROUP)
    await pool.open()
    producer = make_producer(settings, client_id=GROUP)
    await producer.start()
    try:
        toy = Toy(pool, make_send(producer, settings))
        await run_stage(service, settings, stage(toy), pool=pool, producer=producer)
    finally:
        await producer.stop()
        await pool.close()


async def _deaf(_self: BatchChannel, _stream: object) -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    if os.environ.get("TOY_DEAF"):
        BatchChannel._batches = _deaf  # type: ignore[assignment,method-assign]
    sys.exit(run(GROUP, load_settings(), main))
