"""``POST /traces``: what is told of one person, to whom, and what stands in the audit chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from policies.model import load_policies
from tests.support import identity as make
from tests.support.face import CLINIC, INFIRMARY, NORTH, SOUTH, STRANGER
from tests.support.identity_world import World, person_of
from tests.support.policies import folder, package_files
from tests.support.tracing import batches, claim, work
from tests.support.tracing_face import desk

CHILD = claim(3)


def body(said: Any = CHILD, **more: Any) -> dict[str, Any]:
    """A trace of this person."""
    person = {
        "nhs_number": said.nhs_number,
        "family": said.family,
        "given": " ".join(said.given),
        "birth_date": said.birth_date,
        "gender": said.gender,
        "postcode": said.postcode,
    }
    given = {name: value for name, value in {**person, **more}.items() if value}
    return {"purpose": "child-protection", "reason": "a new referral", "person": given}


async def test_details_that_prove_the_number_are_told_so_and_recorded(world: World) -> None:
    """The answer names number, rule and how each field stands; never a postcode. The chain has the
    question and the answer, each with the child's pseudonym.
    """
    world.knows(person_of(CHILD))
    async with desk(world) as running, running.client(NORTH) as north:
        answer = await north.post("/traces", json=body())
        assert answer.status_code == 200
        told = answer.json()
        assert told == {
            "trace_id": told["trace_id"],
            "state": "answered",
            "outcome": "verified",
            "text": told["text"],
            "rule": "pds.get.number_birth_date_names",
            "nhs_number": CHILD.nhs_number,
            "fields": dict.fromkeys(
                ("nhs_number", "family", "given", "birth_date", "gender"), "agrees"
            ),
            "number_rule": None,
        }
        again = await north.get(f"/traces/{told['trace_id']}")
        assert again.json() == told
        chain = await running.entries()
    assert [(one["kind"], one["decision"]) for one in chain] == [
        ("access", "permit"),
        ("disclosure", "permit"),
        ("disclosure", "permit"),
    ]
    assert {one["person"] for one in chain} == {make.KEYS.person(CHILD.nhs_number or "")}
    assert chain[0]["reason"] == "a new referral"
    assert chain[0]["purpose"] == "child-protection"
    assert chain[0]["detail"]["details"] == "birth_date,family,gender,given,nhs_number,postcode"
    left = await world.rows("select claim from trace_items")
    assert [row["claim"] for row in left] == [{}]


async def test_a_number_is_found_by_names_and_birth_date(world: World) -> None:
    """Without a number, the one record that PDS gives."""
    world.knows(person_of(CHILD))
    async with desk(world) as running, running.client(INFIRMARY) as clinic:
        told = (await clinic.post("/traces", json=body(nhs_number=None))).json()
    assert (told["outcome"], told["nhs_number"]) == ("verified", CHILD.nhs_number)
    assert "nhs_number" not in {name for name, how in told["fields"].items() if how}


async def test_a_restricted_record_is_told_as_such_and_its_number_to_authorities_alone(
    world: World,
) -> None:
    """No address is there to be told; the package's policy withholds the number from hospitals."""
    world.knows(person_of(CHILD, restricted=True))
    async with desk(world) as running:
        for organisation, number in ((NORTH, CHILD.nhs_number), (INFIRMARY, None)):
            async with running.client(organisation) as client:
                answer = await client.post("/traces", json=body())
            told = answer.json()
            assert (told["outcome"], told["nhs_number"]) == ("restricted", number)
            assert (CHILD.postcode or "") not in answer.text


async def test_a_guess_is_told_nothing_but_that_it_is_wrong(world: World) -> None:
    """A number with another's details: no field, no number. With two details right the asker knows
    the person, and is told which is not; of a restricted record never.
    """
    hidden = claim(5)
    world.knows(person_of(CHILD), person_of(hidden, restricted=True))
    wrong = {"family": "Guessed", "given": "Other", "birth_date": "2012-12-12"}
    async with desk(world) as running, running.client(NORTH) as north:

        async def ask(said: Any, **more: Any) -> dict[str, Any]:
            return dict((await north.post("/traces", json=body(said, **more))).json())

        guess = await ask(CHILD, **wrong)
        slip = await ask(CHILD, birth_date="2012-12-12")
        hidden_slip = await ask(hidden, birth_date="2012-12-12")
    assert (guess["outcome"], guess["nhs_number"], guess["fields"]) == ("conflict", None, None)
    assert (slip["outcome"], slip["nhs_number"]) == ("conflict", None)
    assert (slip["fields"]["birth_date"], slip["fields"]["family"]) == ("differs", "agrees")
    assert (hidden_slip["outcome"], hidden_slip["fields"]) == ("conflict", None)


async def test_a_potential_match_is_never_told_who(world: World) -> None:
    """Day and month swapped: that somebody agrees in part, and no more than the asker said."""
    world.knows(person_of(replace(CHILD, birth_date="2013-05-04")))
    async with desk(world) as running, running.client(NORTH) as north:
        answer = await north.post("/traces", json=body(birth_date="2013-04-05"))
    told = answer.json()
    assert (told["outcome"], told["nhs_number"]) == ("potential", None)
    assert "2013-05-04" not in answer.text


async def test_an_invalidated_number_is_named_and_nothing_is_looked_for(world: World) -> None:
    """A child who was adopted has a record of the same name under another number: never told."""
    world.knows(
        person_of(CHILD, invalidated=True),
        person_of(replace(CHILD, nhs_number=claim(8).nhs_number)),
    )
    async with desk(world) as running, running.client(NORTH) as north:
        answer = await north.post("/traces", json=body())
    assert (answer.json()["outcome"], answer.json()["nhs_number"]) == ("invalidated", None)
    assert (claim(8).nhs_number or "") not in answer.text
    assert world.pds.pds.calls()["kind"] == {"retrieve": 1}


TOO_LITTLE: list[tuple[dict[str, Any], str, str]] = [
    ({"family": None, "given": None, "birth_date": None}, "trace.too_little", "body.person"),
    ({"birth_date": None}, "trace.too_little", "body.person"),
    ({"nhs_number": None, "given": None}, "trace.too_little", "body.person"),
    ({"nhs_number": None, "family": None}, "trace.too_little", "body.person"),
    ({"birth_date": "2013-02-30"}, "date.no_such_day", "body.person.birth_date"),
    ({"gender": "girl"}, "gender.unknown", "body.person.gender"),
]


async def test_who_says_too_little_is_refused(world: World) -> None:
    """A number alone is not traced, nor names without a birth date."""
    async with desk(world, answering=False) as running, running.client(NORTH) as north:
        for more, rule, place in TOO_LITTLE:
            answer = await north.post("/traces", json=body(**more))
            assert answer.status_code == 422
            assert (answer.json()["rule"], answer.json()["place"]) == (rule, place)
    assert await world.value("select count(*) from trace_batches") == 0


async def test_what_pds_has_not_answered_is_fetched_later_by_who_asked(world: World) -> None:
    """202 with the place of the answer; 404 to others, 410 after a day."""
    world.knows(person_of(CHILD))
    async with desk(world, answering=False, person_wait_seconds=0) as running:
        north, south = running.client(NORTH), running.client(SOUTH)
        async with north, south:
            answer = await north.post("/traces", json=body())
            assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
            place = answer.headers["location"]
            assert (await north.get(place)).status_code == 202
            assert (await south.get(place)).status_code == 404
            await work(world, batches(world))
            told = (await north.get(place)).json()
            assert (told["outcome"], told["nhs_number"]) == ("verified", CHILD.nhs_number)
            await world.rows("update trace_batches set made_by = 'user:another'")
            assert (await north.get(place)).status_code == 404
            await world.rows(
                "update trace_batches set made_by = 'token:' || organisation, emptied_at = now()"
            )
            assert (await north.get(place)).status_code == 410


async def test_an_organisation_may_trace_so_many_people_in_an_hour(world: World) -> None:
    """The next is refused with the time to wait, and recorded; another organisation is not held
    up by it.
    """
    async with desk(world, answering=False, person_wait_seconds=0, persons_per_hour=2) as running:
        north, south = running.client(NORTH), running.client(SOUTH)
        async with north, south:
            codes = [(await north.post("/traces", json=body())).status_code for _ in range(3)]
            assert codes == [202, 202, 429]
            last = await north.post("/traces", json=body())
            assert 3500 < int(last.headers["retry-after"]) <= 3601
            assert (await south.post("/traces", json=body())).status_code == 202
        chain = await running.entries()
    assert [one["kind"] for one in chain] == ["access", "access", "refusal", "refusal", "access"]
    assert chain[2]["detail"]["refused"] == "trace.too_many"


async def test_without_a_policy_nobody_is_traced_and_the_refusal_is_recorded(
    world: World, tmp_path: Any
) -> None:
    """PDS is not asked; the chain says who wanted to know about whom."""
    files = package_files()
    files["trace"]["purposes"] = ["urgent-care"]
    given = load_policies(folder(tmp_path, *files.values()))
    async with desk(world, policies=given, answering=False) as running:
        async with running.client(NORTH) as north:
            answer = await north.post("/traces", json=body())
            assert answer.status_code == 403
            assert answer.json()["rule"].startswith("policy.")
        (refusal,) = await running.entries()
    assert (refusal["kind"], refusal["decision"]) == ("refusal", "deny")
    assert refusal["person"] == make.KEYS.person(CHILD.nhs_number or "")
    assert await world.value("select count(*) from trace_batches") == 0


async def test_only_hospitals_and_authorities_may_trace(world: World) -> None:
    """Whoever is neither is refused before anything is read."""
    async with desk(world, answering=False) as running:
        stranger, clinic = running.client(STRANGER), running.client(CLINIC)
        async with stranger, clinic:
            assert (await stranger.post("/traces", json=body())).status_code == 403
            assert (await clinic.post("/traces", json={})).status_code == 422
