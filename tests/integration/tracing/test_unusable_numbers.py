"""A number that was sent and is none: a file and a single trace search past it, and both say so."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any, Final

from tests.integration.tracing.test_batch_routes import done, file, send
from tests.integration.tracing.test_one_person import body
from tests.support.face import NORTH
from tests.support.identity_world import World, person_of
from tests.support.tracing import claim
from tests.support.tracing_face import desk

CHILD = claim(3)
SLIP: Final = "9990000019"

NONE: Final = (
    (SLIP, "nhs_number.bad_check_digit"),
    ("123", "nhs_number.malformed"),
    ("0000000000", "nhs_number.placeholder.tracing_sentinel"),
    ("3200000007", "nhs_number.northern_irish"),
)


async def test_a_single_trace_searches_past_it_and_says_what_is_wrong(world: World) -> None:
    """`verified` is of the number that is told; the one that was sent is named unusable, with its
    rule, beside the outcome and among the fields. The chain says so of the question.
    """
    world.knows(person_of(CHILD))
    async with desk(world) as running, running.client(NORTH) as north:
        for number, rule in NONE:
            told = (await north.post("/traces", json=body(nhs_number=number))).json()
            assert (told["outcome"], told["nhs_number"]) == ("verified", CHILD.nhs_number)
            assert (told["number_rule"], told["fields"]["nhs_number"]) == (rule, "unusable")
            assert "cannot be an NHS number" in told["text"]
        chain = await running.entries()
    assert world.pds.pds.calls()["kind"] == {"search": len(NONE)}
    asked = [one["detail"]["number"] for one in chain if one["kind"] == "access"]
    assert asked == [rule for _, rule in NONE]


async def test_a_file_says_the_same_of_its_lines(world: World) -> None:
    """A line whose number is none has its rule in a column of its own, whatever became of it; how
    many there are stands with the batch's progress."""
    found, nobody, sound = claim(1), claim(2), claim(4)
    world.knows(person_of(found), person_of(sound))
    said = [replace(found, nhs_number=SLIP), replace(nobody, nhs_number="123"), sound]
    async with desk(world) as running, running.client(NORTH) as north:
        batch_id = (await send(north, file(said))).json()["batch_id"]
        await done(north, batch_id)
        progress = (await north.get(f"/trace-batches/{batch_id}")).json()
        result = await north.get(f"/trace-batches/{batch_id}/result")
    assert progress["unusable_numbers"] == {
        "nhs_number.bad_check_digit": 1,
        "nhs_number.malformed": 1,
    }
    rows = list(csv.DictReader(io.StringIO(result.text)))
    assert [(one["outcome"], one["nhs_number"], one["number_rule"]) for one in rows] == [
        ("verified", found.nhs_number, "nhs_number.bad_check_digit"),
        ("no-match", "", "nhs_number.malformed"),
        ("verified", sound.nhs_number, ""),
    ]


async def test_a_number_that_can_be_one_is_not_called_unusable(world: World) -> None:
    """Nor is one that was not sent."""
    world.knows(person_of(CHILD))
    async with desk(world) as running, running.client(NORTH) as north:
        for number in (CHILD.nhs_number, None):
            told = (await north.post("/traces", json=body(nhs_number=number))).json()
            assert (told["outcome"], told["number_rule"]) == ("verified", None)
            assert "cannot be" not in told["text"]


TOO_LITTLE: Final[tuple[dict[str, Any], ...]] = ({"given": None}, {"family": None})


async def test_with_too_little_beside_it_the_number_is_refused_by_its_own_rule(
    world: World,
) -> None:
    """Both names are needed where there is no number: whoever sent one learns that it is none."""
    async with desk(world, answering=False) as running, running.client(NORTH) as north:
        for missing in TOO_LITTLE:
            answer = await north.post("/traces", json=body(nhs_number=SLIP, **missing))
            told = answer.json()
            assert (answer.status_code, told["rule"]) == (422, "nhs_number.bad_check_digit")
            assert told["place"] == "body.person.nhs_number"
