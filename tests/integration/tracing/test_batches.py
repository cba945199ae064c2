"""Batches before PDS: outcomes, duplicates, fairness, cancelling, and a tracer that is killed."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.pds.people import Person
from stores.trace_requests import LEAST_URGENT
from tests.support.identity_world import World, person_of
from tests.support.processes import Process
from tests.support.tracing import (
    NORTH,
    SOUTH,
    batches,
    claim,
    outcomes,
    put,
    results,
    standing,
    tracer,
    without_number,
    work,
)
from tests.support.waiting import aeventually


async def test_each_outcome_of_pds_ends_its_line(world: World) -> None:
    """Verified, superseded, restricted, conflict, potential, invalidated, nobody, too many: a
    number is told for the first three alone, and an address of nobody.
    """
    kept, merged, hidden, taken, swapped, gone = (claim(index) for index in range(6))
    world.knows(
        person_of(kept),
        person_of(
            claim(20), family=merged.family, given=merged.given, birth_date=merged.birth_date
        ),
        person_of(merged, superseded_by=claim(20).nhs_number),
        person_of(hidden, restricted=True),
        person_of(taken, family="Somebody", given=("Else",), birth_date="2001-01-01"),
        person_of(replace(swapped, birth_date="2014-05-04")),
        person_of(gone, invalidated=True),
    )
    said = [
        kept,
        merged,
        hidden,
        taken,
        replace(swapped, birth_date="2014-04-05"),
        gone,
        claim(7),
        without_number(kept),
        without_number(hidden),
    ]
    batch_id = await put(world, said)
    await work(world, batches(world))
    found = await results(world, batch_id)
    assert [one.outcome for one in found] == [
        "verified",
        "superseded",
        "restricted",
        "conflict",
        "potential",
        "invalidated",
        "no-match",
        "verified",
        "restricted",
    ]
    assert [one.nhs_number for one in found] == [
        kept.nhs_number,
        claim(20).nhs_number,
        hidden.nhs_number,
        *[None] * 4,
        kept.nhs_number,
        hidden.nhs_number,
    ]
    batch = await standing(world, batch_id)
    assert (batch.state, batch.answered, batch.lines) == ("done", 9, 9)
    assert batch.counts["verified"] == batch.counts["restricted"] == 2
    left = await world.rows("select line, claim from trace_items order by line")
    kept_lines = [row["line"] for row in left if row["claim"]]
    assert kept_lines == [5, 6, 8]  # what a trace file may still find, and nothing of the others
    assert await world.value("select count(*) from trace_requests where claim <> '{}'") == 0


async def test_a_line_without_any_question_is_ended_unasked(world: World) -> None:
    """A number that cannot be one, beside a given name alone."""
    said = replace(claim(1), nhs_number="123", family=None)
    batch_id = await put(world, [said])
    assert await batches(world).feed() == 0
    assert await outcomes(world, batch_id) == ["not-searchable"]
    assert (await standing(world, batch_id)).state == "done"


async def test_lines_that_ask_the_same_are_asked_once_and_judged_each(world: World) -> None:
    """One number on three lines: one call; each line is compared with its own details."""
    child = claim(1)
    world.knows(person_of(child))
    other = replace(child, given=("Another",), family="Person")
    batch_id = await put(world, [child, child, other])
    await work(world, batches(world))
    assert await outcomes(world, batch_id) == ["verified", "verified", "conflict"]
    assert world.pds.pds.calls()["calls"] == 1


async def test_no_organisation_takes_anothers_turn(world: World) -> None:
    """With room for two, each authority has two questions before PDS, whatever it sent and when;
    two files of one authority take turns.
    """
    claims = [claim(index) for index in range(40)]
    first = await put(world, claims[:20])
    second = await put(world, claims[20:30])
    third = await put(world, claims[30:], organisation=SOUTH)
    mine = batches(world, live=2)
    assert await mine.feed() == 4
    assert await mine.feed() == 0

    async def asked(batch_id: uuid.UUID) -> int:
        found = await world.value(
            "select count(*) from trace_items where batch_id = %(id)s and state = 'asked'",
            id=batch_id,
        )
        return int(found)

    assert [await asked(one) for one in (first, second, third)] == [1, 1, 2]
    rows = await world.rows("select distinct organisation, priority, purpose from trace_requests")
    assert {row["organisation"] for row in rows} == {NORTH, SOUTH}
    assert {(row["priority"], row["purpose"]) for row in rows} == {(LEAST_URGENT, "batch")}


async def test_a_person_who_waits_goes_before_every_file(world: World) -> None:
    """A trace of one person is asked at once, whatever its organisation's files have before PDS;
    arrivals and deaths go before it.
    """
    await put(world, [claim(index) for index in range(5)])
    mine = batches(world, live=2)
    await mine.feed()
    person = await put(world, [claim(9)], person=True)
    assert await mine.feed() == 1
    leased = await aeventually(tracer(world, mine).lease, 5, 0.02)
    assert leased[0].fingerprint.startswith(f"batch:{person}:")
    assert leased[0].priority == 3


async def test_a_batch_that_is_cancelled_asks_no_more_and_forgets(world: World) -> None:
    """What waits is not asked, what is asked answers nobody, and no detail stays."""
    world.knows(*(person_of(claim(index)) for index in range(4)))
    batch_id = await put(world, [claim(index) for index in range(4)])
    mine = batches(world, live=2)
    await mine.feed()
    asking = tracer(world, mine)
    leased = await aeventually(asking.lease, 5, 0.02)
    await world.rows(
        "update trace_batches set state = 'cancelled', done_at = now() where batch_id = %(id)s",
        id=batch_id,
    )
    assert await mine.tend() == 1
    for request in leased:
        await asking.trace(request)
    assert await mine.feed() == 0
    rows = await world.rows("select state, claim, nhs_number, local_id from trace_items")
    assert {row["state"] for row in rows} == {"cancelled"}
    assert {(str(row["claim"]), row["nhs_number"], row["local_id"]) for row in rows} == {
        ("{}", None, None)
    }
    live = "select count(*) from trace_requests where state in ('queued', 'leased')"
    assert await world.value(live) == 0


async def test_the_result_of_one_person_is_emptied_after_a_day(world: World) -> None:
    """24 hours after it was asked for; a file's stays. A file that broke off goes after an hour."""
    world.knows(person_of(claim(1)))
    person = await put(world, [claim(1)], person=True)
    file = await put(world, [claim(1)])
    mine = batches(world)
    await work(world, mine)
    await world.rows(
        "insert into trace_batches (batch_id, organisation, kind, purpose, made_by, made_at) "
        "values (gen_random_uuid(), 'E', 'file', 'p', 'u', %(at)s)",
        at=world.now - timedelta(minutes=61),
    )
    world.now += timedelta(hours=23)
    assert await mine.tend() == 0
    world.now += timedelta(hours=2)
    assert await mine.tend() == 1
    assert [one.nhs_number for one in await results(world, person)] == [None]
    assert [one.nhs_number for one in await results(world, file)] == [claim(1).nhs_number]
    assert await world.value("select count(*) from trace_batches") == 2


@pytest.mark.parametrize(
    "point", ["tracer.after_claim:kill:3", "tracer.after_call:kill:3", "tracer.after_commit:kill:3"]
)
async def test_a_killed_tracer_loses_no_line_and_asks_none_twice(
    world: World, tmp_path: Path, point: str
) -> None:
    """SIGKILL in the middle of a file, at the lease, after the call or after the commit: another
    ends every line, and a call that had been made is repeated under its own id.
    """
    people = [claim(index) for index in range(30)]
    world.knows(*(person_of(one) for one in people))
    batch_id = await put(world, people)
    root = Path(__file__).parents[3]
    child = Process(
        [sys.executable, "-P", str(root / "tests" / "support" / "batch_child.py"), point],
        directory=tmp_path,
        name="tracer",
        env={
            "PYTHONPATH": str(root),
            "TRACER_DATABASE": world.database.url,
            "TRACER_PDS": world.pds.url,
        },
    )
    assert child.wait(30) == -9
    assert (await standing(world, batch_id)).answered < 30
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    await work(world, batches(world))
    assert await outcomes(world, batch_id) == ["verified"] * 30
    calls = world.pds.pds.calls()
    assert (calls["calls"], calls["reused"]) == (30, 0)
    batch = await standing(world, batch_id)
    assert (batch.state, batch.answered, batch.counts) == ("done", 30, {"verified": 30})


async def test_two_tracers_share_a_file(world: World) -> None:
    """Both feed and answer at once: each question is filed once and counted once."""
    people = [claim(index) for index in range(20)]
    world.knows(*(person_of(one) for one in people))
    batch_id = await put(world, people)
    one, two = batches(world, live=5), batches(world, live=5)
    await asyncio.gather(work(world, one), work(world, two))
    await work(world, one)
    assert (await standing(world, batch_id)).counts == {"verified": 20}
    assert world.pds.pds.calls()["calls"] == 20


def test_people_of_the_world_are_invented() -> None:
    """Numbers of the range that is never issued."""
    assert all((claim(index).nhs_number or "").startswith("999") for index in range(40))
    assert isinstance(person_of(claim(1)), Person)
