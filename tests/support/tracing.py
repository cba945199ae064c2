"""Batches on a real PostgreSQL and a practice PDS, without a face."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import LiteralString

from halyard.postgres import transaction
from halyard.settings_tracing import TracingSettings
from schemas.events import PersonClaim
from stores import trace_batches
from stores.trace_batches import Batch, Kind, NewBatch, NewItem, Question, Result
from streams.identity.changes import limits_of
from streams.tracer.batch_questions import question_of
from streams.tracer.batches import Batches
from streams.tracer.tracer import Tracer
from tests.support import identity as make
from tests.support.identity_world import World

NORTH, SOUTH = make.AUTHORITY, make.LONELY_AUTHORITY


def claim(index: int) -> PersonClaim:
    """An invented child with a number of the test range."""
    return PersonClaim(
        nhs_number=make.number(index),
        family=f"Traced{'abcdefghij'[index % 10]}",
        given=("Alex", f"N{index}"),
        birth_date=f"201{index % 10}-0{1 + index % 9}-1{index % 10}",
        gender="female",
        postcode="ZZ1 1AA",
    )


def without_number(said: PersonClaim) -> PersonClaim:
    """The same, to be searched for."""
    return replace(said, nhs_number=None)


def item(line: int, said: PersonClaim) -> NewItem:
    """A line that was taken."""
    question = question_of(make.KEYS, "test", said) or Question("too-little")
    return NewItem(line, said, question=question, local_id=f"C-{line}")


async def put(
    world: World,
    claims: Sequence[PersonClaim],
    *,
    organisation: str = NORTH,
    person: bool = False,
) -> uuid.UUID:
    """A batch of these people, started; gives its id. Its first line is the second of a file."""
    kind: Kind = "person" if person else "file"
    batch_id = uuid.uuid4()
    batch = NewBatch(batch_id, organisation, kind, "child-protection", "go-live", "user:clerk")
    items = [item(line, one) for line, one in enumerate(claims, start=2)]
    async with transaction(world.pool) as connection:
        await trace_batches.begin(connection, batch)
        await trace_batches.add(connection, batch_id, items)
        digest = None if person else batch_id.hex
        await trace_batches.start(connection, batch, digest, lines=len(items), refused=0)
        await connection.execute(
            "update trace_batches set made_at = %(at)s where batch_id = %(id)s",
            {"at": world.now, "id": batch_id},
        )
    return batch_id


def batches(
    world: World,
    *,
    live: int = TracingSettings().live_requests,
    persons: int = TracingSettings().live_persons,
) -> Batches:
    """A tracer's share of the batches."""
    limits = limits_of(world.settings, make.KEYS, make.directory())
    return Batches(world.pool, limits, world.clock, live=live, persons=persons)


def tracer(world: World, mine: Batches) -> Tracer:
    """A tracer that carries answers to `mine`."""
    return Tracer(world.pool, world.settings.pds, lambda _: world.client(), {"batch": mine.release})


async def work(world: World, mine: Batches) -> None:
    """Feed, ask and answer until nothing waits."""
    asking = tracer(world, mine)
    live: LiteralString = (
        "select exists(select from trace_requests where state in ('queued', 'leased')) or exists("
        "select from trace_items join trace_batches using (batch_id) "
        "where trace_items.state = 'waiting' and trace_batches.state = 'running')"
    )
    while await mine.feed() or await world.value(live):
        for request in await asking.lease():
            await asking.trace(request)


async def results(world: World, batch_id: uuid.UUID) -> list[Result]:
    """Its lines."""
    async with transaction(world.pool) as connection:
        return await trace_batches.results(connection, batch_id, after=0, limit=100_000)


async def outcomes(world: World, batch_id: uuid.UUID) -> list[str | None]:
    """What became of each line, in order."""
    return [one.outcome for one in await results(world, batch_id)]


async def standing(world: World, batch_id: uuid.UUID) -> Batch:
    """It as it stands."""
    async with transaction(world.pool) as connection:
        found = await trace_batches.get(connection, batch_id)
    assert found is not None
    return found
