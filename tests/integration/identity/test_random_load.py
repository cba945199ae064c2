"""The same promises under concurrent workers and tracers, with batches cut at random."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import replace

from halyard.errors import TransientError
from schemas.events import PersonClaim, VisitEventKind
from stores import outbox
from streams.identity.evidence import Reported
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.waiting import aeventually

KINDS = (
    VisitEventKind.REGISTER,
    VisitEventKind.ADMIT,
    VisitEventKind.UPDATE,
    VisitEventKind.CANCEL,
)


def crowd() -> list[PersonClaim]:
    """Some people, twins among them; the last two are unknown to PDS."""
    people = []
    for index in range(8):
        family = ("Ashford", "Birchley", "Claydale", "Dunham")[index // 2]
        given = ("Robin", "Jamie")[index % 2]
        people.append(
            replace(
                CHILD,
                nhs_number=make.number(30 + index),
                family=family,
                given=(given,),
                birth_date=f"2015-0{index // 2 + 1}-11",
            )
        )
    return people


def history(choose: random.Random, people: list[PersonClaim]) -> list[Reported]:
    """Events about them, some without number or name, some flags, some merges (also wrong ones),
    some deaths.
    """
    events: list[Reported] = []
    for index in range(160):
        who = choose.randrange(len(people))
        claim = people[who]
        if choose.random() < 0.5:
            claim = replace(claim, nhs_number=None)
        if choose.random() < 0.2:
            claim = replace(claim, given=("Baby",), postcode=None)
        if choose.random() < 0.05:
            one, other = (f"L{choose.choice((who, 0))}{choose.randrange(2)}" for _ in range(2))
            events.append(make.merge(one, other, minutes=index))
            continue
        if choose.random() < 0.1:
            events.append(
                say.death(
                    PersonClaim() if choose.random() < 0.3 else claim,
                    reference=f"N{who}",
                    version=index,
                    kind=choose.choice((say.SUBMITTED, say.UPDATED, say.VOIDED)),
                )
            )
            continue
        if choose.random() < 0.1:
            events.append(make.flag(people[who], line=index + 1, local_id=f"C{who}"))
            continue
        events.append(
            make.attendance(
                PersonClaim() if choose.random() < 0.2 else claim,
                local_id=f"L{who}{choose.randrange(2)}",
                visit=f"V{who}{choose.randrange(3)}",
                kind=choose.choice(KINDS),
                message_id=f"m{index}",
            )
        )
    return events


async def test_workers_and_tracers_agree_in_the_end(world: World) -> None:
    """Three workers, two tracers, every batch taken twice: each event has one end, which the bus
    confirms, and nothing stays parked; each death was told at once."""
    choose = random.Random(7)
    people = crowd()
    world.knows(*(person_of(one, restricted=index == 4) for index, one in enumerate(people[:6])))
    events = history(choose, people)
    batches = [events[at : at + 8] for at in range(0, len(events), 8)]
    todo = [*batches, *batches]
    choose.shuffle(todo)

    async def work() -> None:
        stage = world.new_stage()
        while todo:
            batch = [make.incoming(event) for event in todo.pop()]
            while True:
                try:
                    await stage.process(batch)
                    break
                except TransientError:
                    continue

    stopping = asyncio.Event()
    tracers = [asyncio.create_task(world.new_tracer().run(stopping)) for _ in range(2)]
    await asyncio.gather(*(work() for _ in range(3)))

    async def quiet() -> bool:
        return not await world.value(
            "select exists(select from trace_requests where state in ('queued', 'leased'))"
        )

    await aeventually(quiet, 40, why="every trace answered")
    stopping.set()
    await asyncio.gather(*tracers)
    await outbox.sweep(world.pool, world.send, older_than_seconds=0)

    rows = await world.rows("select reported_event_id, event_kind, state, person, rule from claims")
    assert {row["reported_event_id"] for row in rows} == {event.event_id for event in events}
    assert not {row["state"] for row in rows} & {"waiting", "provisional"}
    assert await world.value("select count(*) from parked_keys") == 0
    holding = {event: one for event, one in world.holding().items() if one is not None}
    assert holding == {
        row["reported_event_id"]: (row["person"], "VERIFIED")
        for row in rows
        if row["state"] == "verified" and row["event_kind"] != "death"
    }
    told: dict[uuid.UUID, list[say.Told]] = {}
    for one in sorted(say.told(world.sent), key=lambda one: one.revision):
        told.setdefault(one.event, []).append(one)
    assert {event: (some[-1].person, some[-1].rule) for event, some in told.items()} == {
        row["reported_event_id"]: (row["person"], row["rule"])
        for row in rows
        if row["event_kind"] == "death"
    }
    assert {some[0].revision for some in told.values()} == {1}
    restricted = make.known(people[4]).person
    assert (restricted, "PROVISIONAL") not in {(one.person, one.status) for one in world.said()}
    assert None not in (await world.answers()).values()
    statements = [(one.event, one.revision) for one in world.said()]
    statements += [(one.event, one.revision) for one in say.told(world.sent)]
    assert len(statements) == len(set(statements))
