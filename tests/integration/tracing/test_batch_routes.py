"""``/trace-batches``: a file in, its progress and its result out, for its own authority alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

import httpx

from policies.model import load_policies
from schemas.events import PersonClaim
from tests.support import identity as make
from tests.support.face import INFIRMARY, NORTH, SOUTH
from tests.support.identity_world import World, person_of
from tests.support.policies import folder, package_files
from tests.support.tracing import claim, without_number
from tests.support.tracing_face import desk
from tests.support.waiting import aeventually

HEADER = "Child ID,NHS No,Surname,Forenames,DOB,Sex,Postcode,Plan type"
SENT = {"Content-Type": "text/csv", "Halyard-Reason": "before go-live"}
PURPOSE = {"purpose": "child-protection"}


def row(number: int, said: PersonClaim) -> str:
    """A line of a file; a plan type is passed over."""
    return ",".join(
        (
            f"C-{number}",
            said.nhs_number or "",
            said.family or "",
            " ".join(said.given),
            said.birth_date or "",
            said.gender or "",
            said.postcode or "",
            "CPP",
        )
    )


def file(claims: Iterable[PersonClaim], *more: str) -> str:
    """A file of these people, with more lines at its end."""
    lines = [HEADER, *(row(number, one) for number, one in enumerate(claims, start=1)), *more]
    return "\r\n".join(lines) + "\r\n"


async def send(client: httpx.AsyncClient, text: str, **headers: str) -> httpx.Response:
    """Send a file."""
    return await client.post(
        "/trace-batches", params=PURPOSE, content=text.encode(), headers={**SENT, **headers}
    )


async def done(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    """The batch when nothing of it waits."""

    async def finished() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(f"/trace-batches/{batch_id}")).json()
        return found if found["state"] == "done" else None

    found: dict[str, Any] | None = await aeventually(finished, 20, 0.05, why="a batch that is done")
    assert found is not None
    return found


async def test_a_file_is_traced_and_its_result_fetched_by_its_own_authority(world: World) -> None:
    """Lines taken and refused, the match rate, the reasons, a row for each line; each person whose
    number is told has an entry in the chain; another authority is told that there is no such batch.
    """
    people = [claim(index) for index in range(1, 6)]
    world.knows(*(person_of(one) for one in people[:3]))
    world.knows(person_of(people[3], restricted=True))
    said = [people[0], without_number(people[1]), people[2], people[3], people[4]]
    thin = "C-10,123,,Alex,2015-01-01,,,"  # no number, and nobody can be searched for
    text = file(said, "C-9,,Nobody,,30/02/2015,,,", ",,=1+1,Alex,2015-01-01,,,", thin)
    async with desk(world) as running:
        north, south = running.client(NORTH), running.client(SOUTH)
        async with north, south:
            answer = await send(north, text)
            assert answer.status_code == 202
            taken = answer.json()
            assert (taken["lines"], taken["refused_count"]) == (5, 3)
            named = [(one["line"], one["column"], one["rule"]) for one in taken["refused"]]
            assert named == [
                (7, "birth_date", "date.no_such_day"),
                (8, "family", "cell.formula"),
                (9, "family", "trace.too_little"),
            ]
            batch_id = taken["batch_id"]
            found = await done(north, batch_id)
            assert found["counts"] == {"verified": 3, "restricted": 1, "no-match": 1, "refused": 3}
            assert (found["match_rate"], found["go_live"]) == (round(4 / 8, 4), False)
            assert found["reasons"][0]["lines"] == 2
            listed = (await north.get("/trace-batches")).json()["batches"]
            assert [one["batch_id"] for one in listed] == [batch_id]
            result = await north.get(f"/trace-batches/{batch_id}/result")
            assert result.headers["content-type"].startswith("text/csv")
            rows = list(csv.DictReader(io.StringIO(result.text)))
            rest = (await north.get(f"/trace-batches/{batch_id}/result?after=6")).text
            for path in ("", "/result"):
                other = await south.get(f"/trace-batches/{batch_id}{path}")
                assert other.status_code == 404
            assert (await south.get("/trace-batches")).json()["batches"] == []
            assert (await south.delete(f"/trace-batches/{batch_id}")).status_code == 404
        chain = await running.entries("trace-batch")
    assert [(one["line"], one["local_id"], one["outcome"], one["nhs_number"]) for one in rows] == [
        ("2", "C-1", "verified", people[0].nhs_number),
        ("3", "C-2", "verified", people[1].nhs_number),
        ("4", "C-3", "verified", people[2].nhs_number),
        ("5", "C-4", "restricted", people[3].nhs_number),
        ("6", "C-5", "no-match", ""),
        ("7", "", "refused", ""),
        ("8", "", "refused", ""),
        ("9", "", "refused", ""),
    ]
    assert len(rest.splitlines()) == 4
    assert (people[3].postcode or "") not in result.text
    told = {one.get("person") for one in chain if one["kind"] == "disclosure"}
    # also of whom a number was sent and nothing was found
    assert told == {None, *(make.KEYS.person(one.nhs_number or "") for one in people)}
    assert (chain[0]["kind"], chain[0]["reason"]) == ("access", "before go-live")


async def test_the_same_file_is_one_batch_and_a_cancelled_one_forgets(world: World) -> None:
    """Sent again it is told so and asked no more; cancelled, its result is gone, and the file may
    come again."""
    people = [claim(index) for index in range(3)]
    world.knows(*(person_of(one) for one in people))
    text = file([*people, people[0]])
    async with desk(world) as running, running.client(NORTH) as north:
        first = (await send(north, text)).json()
        await done(north, first["batch_id"])
        again = (await send(north, text)).json()
        assert again["batch_id"] == again["repeat_of"] == first["batch_id"]
        assert world.pds.pds.calls()["calls"] == 3
        path = f"/trace-batches/{first['batch_id']}"
        assert (await north.delete(path)).status_code == 204
        assert (await north.delete(path)).status_code == 204
        assert (await north.get(f"{path}/result")).status_code == 410

        async def forgotten() -> bool:
            left = "select count(*) from trace_items where claim <> '{}' or nhs_number is not null"
            return int(await world.value(left)) == 0

        await aeventually(forgotten, 10, 0.05)
        third = (await send(north, text)).json()
        assert third["repeat_of"] is None
        assert third["batch_id"] != first["batch_id"]


async def test_what_cannot_be_taken_is_refused_and_leaves_nothing(world: World) -> None:
    """A workbook, a file without the needed columns, an empty one, too long a one, too many at a
    time, another content type, no reason, an organisation that is no authority.
    """
    async with desk(world, answering=False, max_lines=2, open_batches=1) as running:
        north, clinic = running.client(NORTH), running.client(INFIRMARY)
        async with north, clinic:

            async def rule(text: str, **headers: str) -> tuple[int, str]:
                answer = await send(north, text, **headers)
                return answer.status_code, answer.json().get("rule", answer.text)

            assert await rule("PK\x03\x04rest") == (422, "file.workbook")
            assert await rule("Child ID,Postcode\r\n1,ZZ1\r\n") == (422, "header.missing")
            assert await rule("") == (422, "header.none")
            assert await rule(file([claim(1)] * 3)) == (422, "trace.too_many_lines")
            refused = file([claim(1)], "C-1,,,,,,,", "C-2,,,,,,,")
            assert await rule(refused) == (422, "trace.too_many_lines")
            wrong = {"Content-Type": "application/json"}
            assert await rule(file([claim(1)]), **wrong) == (415, "trace.content_type")
            blank = {"Halyard-Reason": ""}
            assert (await rule(file([claim(1)]), **blank))[0] == 422
            assert (await send(clinic, file([claim(1)]))).status_code == 403
            assert (await send(north, file([claim(1)]))).status_code == 202
            assert await rule(file([claim(2)])) == (409, "trace.too_many_batches")
            again = await send(north, file([claim(1)]))
            assert again.json()["repeat_of"] is not None
        chain = await running.entries("trace-batch")
    states = await world.rows("select state from trace_batches")
    assert sorted(one["state"] for one in states) == [*["dropped"] * 7, "running"]
    assert [one["kind"] for one in chain] == ["access", "refusal", "access"]


async def test_without_a_policy_no_file_is_taken(world: World, tmp_path: Any) -> None:
    """And what was traced before is not told: the chain has both refusals."""
    files = package_files()
    files["trace"]["purposes"] = ["direct-care"]
    files["trace"]["recipients"] = [
        one for one in files["trace"]["recipients"] if one["sector"] == "health"
    ]
    files["trace"]["restricted"] = [
        one for one in files["trace"]["restricted"] if one["sector"] == "health"
    ]
    given = load_policies(folder(tmp_path, *files.values()))
    async with desk(world, policies=given, answering=False) as running:
        async with running.client(NORTH) as north:
            assert (await send(north, file([claim(1)]))).status_code == 403
        assert [one["kind"] for one in await running.entries("trace-batch")] == ["refusal"]
    assert await world.value("select count(*) from trace_batches") == 0


async def test_pages_of_a_long_file_come_whole_and_in_order(world: World) -> None:
    """More lines than a chunk is stored by and a page is told by: none missing, none twice."""
    text = file([claim(index) for index in range(2_300)])
    async with desk(world, answering=False) as running, running.client(NORTH) as north:
        taken = (await send(north, text)).json()
        assert taken["lines"] == 2_300
        result = await north.get(f"/trace-batches/{taken['batch_id']}/result")
    rows = list(csv.DictReader(io.StringIO(result.text)))
    assert [int(one["line"]) for one in rows] == list(range(2, 2_302))
    assert {one["outcome"] for one in rows} == {"waiting"}
