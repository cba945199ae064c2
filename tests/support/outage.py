"""A queue of people to be asked about while PDS is away, and ten minutes that pass at once.

Every kind of what waits is in it: flagged children's arrivals that agree in part (priority 1),
deaths (2), new flags (3), children without a number (4), with one (5), a batch (6); keys with more
events behind the first, and two local ids with one number.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from halyard import ids
from halyard.postgres import transaction
from schemas import codec
from schemas.deaths import DeathVerified
from schemas.events import (
    Assertion,
    AttendanceVerified,
    FlagVerified,
    PersonClaim,
    VisitEventKind,
)
from stores import trace_requests
from stores.trace_requests import TraceRequest
from streams.identity.answers import TraceAnswer
from streams.identity.evidence import Reported
from streams.tracer.release import Releaser
from streams.tracer.tracer import Tracer
from tests.support import death_identity, identity
from tests.support.identity_world import World, person_of

OUTAGE_SECONDS: Final = 600
_PROBE_SECONDS: Final = 5.0
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_GONE: Final = {"family": "Elsewhere", "given": ("Zoltan",), "birth_date": "1950-01-01"}


@dataclass(slots=True)
class Queue:
    """What waits. `partial`: each flagged child's partial arrival, and whether PDS confirms it."""

    events: list[Reported] = field(default_factory=list)
    partial: dict[uuid.UUID, bool] = field(default_factory=dict)
    batch: list[TraceRequest] = field(default_factory=list)
    flags: list[Reported] = field(default_factory=list)  # of the children flagged before


@dataclass(slots=True)
class Drill:
    """One outage, counted. `leases`: priority and attempt of each call after it, in order."""

    failed_calls: int = 0
    provisional: set[uuid.UUID] = field(default_factory=set)  # on the bus when PDS came back
    verified_meanwhile: int = 0
    leases: list[tuple[int, int]] = field(default_factory=list)


def child(index: int) -> PersonClaim:
    """An invented child whom no other resembles."""
    spelt = "".join(_LETTERS[index // 26**place % 26] for place in range(3))
    born = date(2012, 1, 2) + timedelta(days=index % 3_000)
    if (born.month, born.day) == (1, 1):  # stands for an unknown day, and proves nobody
        born += timedelta(days=1)
    return PersonClaim(
        nhs_number=identity.number(1_000 + index),
        family=f"Queue{spelt}",
        given=(f"{spelt[::-1]}in".title(),),
        birth_date=born.isoformat(),
        gender="female",
        postcode="ZZ1 1AA",
    )


def queue_of(world: World, count: int) -> Queue:
    """A queue of `count` requests; PDS knows whom it should."""
    made = Queue()
    for index in range(count):
        claim, kind = child(index), index % 20
        if kind in (0, 1):
            _partial(world, made, index, claim)
            continue
        if kind != 9:  # of those that PDS does not know
            world.knows(person_of(claim))
        if kind == 2:
            made.events.append(death_identity.death(claim, reference=f"N{index}"))
        elif kind < 7:
            made.events.append(identity.flag(claim, line=index + 1, local_id=f"C{index}"))
        elif kind < 10:
            made.events += _visit(replace(claim, nhs_number=None), index, more=index % 4)
        elif kind < 19:
            made.events += _visit(claim, index, more=index % 4)
            if kind == 18:  # the same number under another local id: the same question
                made.events += _visit(claim, index, more=0, suffix="-again")
        else:
            made.batch.append(_batch(index, claim))
    return made


def _partial(world: World, made: Queue, index: int, claim: PersonClaim) -> None:
    """A flagged child's arrival; since then PDS may have learnt that it is somebody else."""
    world.knows(person_of(claim))
    made.flags.append(identity.flag(claim, line=index + 1, upload="before", local_id=f"C{index}"))
    by_number = index % 20 == 1
    said = replace(claim, given=(), postcode=None) if by_number else replace(claim, nhs_number=None)
    visit = _visit(said, index, more=index % 3)
    made.events += visit
    made.partial[visit[0].event_id] = by_number or index % 3 != 0


def _visit(claim: PersonClaim, index: int, *, more: int, suffix: str = "") -> list[Reported]:
    """An arrival and so many messages more about it, in order."""
    kinds = [VisitEventKind.REGISTER, *([VisitEventKind.UPDATE] * more)]
    return [
        identity.attendance(
            claim,
            local_id=f"L{index}{suffix}",
            visit=f"V{index}{suffix}",
            kind=kind,
            message_id=f"M{index}{suffix}-{place}",
        )
        for place, kind in enumerate(kinds)
    ]


def _batch(index: int, claim: PersonClaim) -> TraceRequest:
    return TraceRequest(
        trace_id=ids.derive("batch", index),
        fingerprint=f"batch:{index}",
        token=identity.KEYS.token("batch", str(index)),
        kind="get",
        priority=trace_requests.LEAST_URGENT,
        claim=claim,
        organisation=identity.HOSPITAL,
        request_ids=(ids.derive("batch-call", index),),
        purpose="batch",
    )


def changed_meanwhile(world: World, made: Queue, count: int) -> None:
    """What PDS has learnt of the children whose arrivals it does not confirm: half of them have
    nobody's details any more, half have another's number."""
    refuted = [index for index in range(0, count, 20) if index % 3 == 0]
    for place, index in enumerate(refuted):
        claim = child(index)
        world.knows(person_of(claim, **_GONE))
        if place % 2:
            world.knows(person_of(replace(claim, nhs_number=identity.number(20_000 + index))))


def tracer_of(world: World) -> Tracer:
    """A tracer whose batches are only ended."""

    async def end(request: TraceRequest, answer: TraceAnswer) -> bool:
        async with transaction(world.pool) as connection:
            held = await trace_requests.hold(connection, request)
            if held is not None:
                await trace_requests.finish(connection, request.trace_id, answer.outcome.rule)
        return held is not None

    tracer = world.new_tracer()
    releaser = Releaser(world.pool, world.limits, world.desk, world.send, world.clock)
    return Tracer(
        world.pool,
        world.settings.pds,
        tracer._client_for,
        {"claims": releaser.release, "batch": end},
    )


async def run(world: World, made: Queue) -> Drill:
    """PDS goes, what waits comes in, ten minutes pass, PDS returns, two tracers work it off."""
    drill = Drill()
    tracers = [tracer_of(world), tracer_of(world)]
    world.pds.pds.reset()
    world.fault(down=True)
    said_before = len(world.sent)
    for start in range(0, len(made.events), 200):
        await world.take(*made.events[start : start + 200])
    async with transaction(world.pool) as connection:
        await trace_requests.add(connection, made.batch)
    for _ in range(int(OUTAGE_SECONDS / _PROBE_SECONDS)):
        await asyncio.gather(*(_ask(tracer) for tracer in tracers))
        await world.pass_time(_PROBE_SECONDS)
    drill.failed_calls = world.pds.pds.calls()["received"]
    for one in identity.said([record.value for record in world.sent[said_before:]]):
        if one.status == "PROVISIONAL" and one.assertion == Assertion.ASSERTED:
            drill.provisional.add(one.event)
        drill.verified_meanwhile += one.status == "VERIFIED"
    world.fault()
    step = max(0.1, 1 / world.settings.pds.calls_per_second)
    while await world.value(
        "select exists(select from trace_requests where state in ('queued', 'leased'))"
    ):
        for leased in await asyncio.gather(*(_ask(tracer) for tracer in tracers)):
            drill.leases += [(request.priority, request.attempts) for request in leased]
        await world.pass_time(step)
    return drill


async def _ask(tracer: Tracer) -> Sequence[TraceRequest]:
    leased = await tracer.lease()
    await asyncio.gather(*(tracer.trace(request) for request in leased))
    return leased


async def released(world: World) -> dict[str, list[uuid.UUID]]:
    """By the key of who waited, the events in the order in which they were told for good."""
    keys = {
        row["reported_event_id"]: row["key"]
        for row in await world.rows("select reported_event_id, key from claims")
    }
    told: dict[str, list[uuid.UUID]] = defaultdict(list)
    for event in _finally(
        [row["value"] for row in await world.rows("select value from outbox order by id")]
    ):
        told[keys[event]].append(event)
    return told


def _finally(values: Sequence[bytes]) -> Iterator[uuid.UUID]:
    for value in values:
        event = codec.decode(value)
        if isinstance(event, DeathVerified) and event.identity is not None:
            yield event.reported_event_id
        if isinstance(event, AttendanceVerified | FlagVerified):
            held = event.assertion is Assertion.ASSERTED
            if held and event.identity.status == "VERIFIED":
                yield event.reported_event_id
