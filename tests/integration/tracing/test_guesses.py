"""Who may guess often enough is told whose a number is: guesses are few, and worth little."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flag_service.tracing import make_tracing, tell_lines
from halyard.caller import Caller
from halyard.postgres import transaction
from schemas.events import PersonClaim
from stores import trace_batches, trace_work
from streams.tracer import batches as feeding
from tests.integration.tracing.test_one_person import body
from tests.support import identity as make
from tests.support.face import NORTH as AUTHORITY
from tests.support.face import desk_of, directory
from tests.support.identity_world import World, person_of
from tests.support.tracing import (
    SOUTH,
    batches,
    claim,
    outcomes,
    put,
    results,
    standing,
    without_number,
    work,
)
from tests.support.tracing_face import desk

CHILD = claim(1)


def guesses(amount: int) -> list[PersonClaim]:
    """The child's number and family name with one birth date after another, the right one too."""
    first = date.fromisoformat(CHILD.birth_date or "") - timedelta(days=amount // 2)
    days = [(first + timedelta(days=day)).isoformat() for day in range(amount)]
    return [replace(CHILD, birth_date=day, given=()) for day in days]


async def test_a_number_with_many_details_is_compared_with_none(world: World) -> None:
    """A file that tries birth dates on one child's number: no line is judged, PDS is not asked, and
    the rest of the file is traced. Each look at it is on record under the child's pseudonym.
    """
    world.knows(person_of(CHILD, restricted=True), person_of(claim(2)))
    batch_id = await put(world, [*guesses(400), claim(2)])
    await work(world, batches(world))
    found = await results(world, batch_id)
    assert Counter((one.outcome, one.rule) for one in found[:-1]) == {
        ("several-people", "trace.number_on_several"): 400
    }
    assert found[-1].outcome == "verified"
    assert world.pds.pds.calls()["calls"] == 1
    batch = await standing(world, batch_id)
    assert (batch.state, batch.answered) == ("done", 401)
    assert batch.counts == {"several-people": 400, "verified": 1}
    told = await audited(world, batch_id)
    assert told == {make.KEYS.person(one.nhs_number or "") for one in (CHILD, claim(2))}


async def audited(world: World, batch_id: Any) -> set[str | None]:
    """Pseudonyms of a page's entries, once it is told."""
    mine = make_tracing(
        world.settings, world.pool, desk_of(directory()), lambda: datetime.now(UTC), make.KEYS
    )
    asking = Caller(organisation=AUTHORITY, subject="token:1", roles=frozenset({"la-system"}))
    async with transaction(world.pool) as connection:
        page = await trace_batches.results(connection, batch_id, after=0, limit=1_000)
        told = await tell_lines(
            connection, mine, asking, batch_id, "child-protection", page, request_id=None
        )
    assert told is not None
    rows = await world.rows("select body from audit_entries")
    return {row["body"].get("person") for row in rows if row["body"]["kind"] == "disclosure"}


async def test_guesses_in_several_files_and_single_traces_count_together(world: World) -> None:
    """Two different details of one number in 24 hours, whatever they come in and however often;
    a cancelled file's count on. Another organisation has its own, and a day later they begin anew.
    """
    world.knows(person_of(CHILD))
    first, second, third = guesses(7)[:3]
    mine = batches(world)

    async def ask(*said: PersonClaim, **more: Any) -> list[str | None]:
        batch_id = await put(world, said, **more)
        await work(world, mine)
        return await outcomes(world, batch_id)

    one = await put(world, [first])
    await work(world, mine)
    assert await outcomes(world, one) == ["conflict"]
    async with transaction(world.pool) as connection:
        await trace_batches.cancel(connection, one)
    await mine.tend()
    assert await ask(second, person=True) == ["conflict"]
    assert await ask(third) == ["several-people"]
    assert await ask(CHILD, person=True) == ["several-people"]
    assert await ask(second, first) == ["conflict", "conflict"]
    assert await ask(CHILD, organisation=SOUTH) == ["verified"]
    world.now += timedelta(hours=25)
    await mine.tend()
    assert await world.value("select count(*) from trace_numbers") == 0
    assert await ask(CHILD, third) == ["verified", "conflict"]


async def test_pages_of_a_number_on_many_lines_all_end(world: World, monkeypatch: Any) -> None:
    """More lines than one transaction ends: the rest, though few, are not compared either."""
    monkeypatch.setattr(trace_work.end_question, "__kwdefaults__", {"limit": 3})
    world.knows(person_of(CHILD))
    batch_id = await put(world, guesses(10))
    mine = batches(world)
    for _ in range(4):
        assert await mine.feed() == 0
    assert await outcomes(world, batch_id) == ["several-people"] * 10


async def test_a_rule_tells_no_more_than_the_fields(world: World) -> None:
    """Of a restricted record, and of one whose details the asker does not know, no rule says which
    field is wrong; with two of three right it does. Of searches likewise.
    """
    wrong = {"family": "Guessed", "given": ("Other",), "birth_date": "2012-12-12"}

    async def ask(said: PersonClaim, **more: Any) -> tuple[str | None, str | None]:
        batch_id = await put(world, [replace(said, **more)])
        await work(world, batches(world))
        (one,) = await results(world, batch_id)
        return one.outcome, one.rule

    open_, hidden = claim(2), claim(3)
    world.knows(person_of(open_), person_of(hidden, restricted=True))
    coarse = ("conflict", "trace.details_differ")
    assert await ask(open_, birth_date=wrong["birth_date"]) == (
        "conflict",
        "pds.get.birth_date_differs",
    )
    assert await ask(open_, birth_date=wrong["birth_date"], family="Guessed") == coarse
    assert await ask(hidden, birth_date=wrong["birth_date"]) == coarse
    assert await ask(hidden, family="Guessed", given=("Other",)) == coarse
    swapped = replace(claim(4), birth_date="2014-05-04")
    world.knows(person_of(swapped, restricted=True))
    assert await ask(swapped, birth_date="2014-04-05") == ("potential", "trace.details_partly")
    world.now += timedelta(hours=25)
    for name, value in wrong.items():
        outcome, rule = await ask(without_number(hidden), **{name: value})
        assert outcome in ("no-match", "conflict", "potential")
        assert rule is not None
        assert "search." not in rule or outcome == "no-match"


async def test_a_single_traces_last_try_says_what_to_do(world: World) -> None:
    """Over HTTP: the third person's details on one number are compared with nothing."""
    world.knows(person_of(CHILD))
    async with desk(world) as running, running.client(AUTHORITY) as north:
        told = [
            (await north.post("/traces", json=body(CHILD, birth_date=day))).json()
            for day in ("2012-12-12", "2012-12-13", CHILD.birth_date)
        ]
        chain = await running.entries()
    assert [one["outcome"] for one in told] == ["conflict", "conflict", "several-people"]
    assert (told[2]["rule"], told[2]["nhs_number"]) == ("trace.number_on_several", None)
    assert "find out whose it is" in told[2]["text"]
    assert {one["person"] for one in chain} == {make.KEYS.person(CHILD.nhs_number or "")}
    assert feeding.DETAILS_AT_MOST == 2
