"""An authority shares an alert with agencies: what each is told, by its sector's policy."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from halyard.postgres import transaction
from schemas.events import AlertChange
from stores import held
from stores.alerts import WITHDRAWN, AlertRow
from streams.matching import shares as matching_shares
from tests.integration.disclosures.conftest import Facing, asking
from tests.support import disclosing
from tests.support.alerts import NUMBER, alert, save
from tests.support.disclosing import CHARITY, POLICE, SCHOOL, SURGERY, entries
from tests.support.face import Hub, desk_of
from tests.support.settled import settled

WHY = "The school asked how the child is."


async def share(
    face: Hub, recipient: str = SCHOOL, *, by: str = "worker", number: int = 1
) -> httpx.Response:
    """One sharing."""
    async with asking(face, by) as http:
        body = {"recipient": recipient, "reason": WHY}
        return await http.post(f"/alerts/{uuid.UUID(int=number)}/share", json=body)


async def letters(face: Hub, organisation: str) -> list[dict[str, Any]]:
    """The letters of an organisation, in order."""
    async with transaction(face.pool) as connection:
        cursor = await connection.execute(
            "select body from letters where organisation = %s order by position", (organisation,)
        )
        return [orjson.loads(bytes(row["body"])) for row in await cursor.fetchall()]


def resources(letter: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The resources of a type."""
    found = [one["resource"] for one in letter["entry"]]
    return [one for one in found if one["resourceType"] == kind]


def told(letter: dict[str, Any]) -> dict[str, str]:
    """What a letter tells, by the names that policies have."""
    (one,) = resources(letter, "Communication")
    return {
        each["extension"][0]["valueCode"]: each["contentString"] for each in one.get("payload", [])
    }


async def follow(face: Hub, row: AlertRow) -> None:
    """What matching does when `row` is what an alert has become."""
    async with transaction(face.pool) as connection:
        await matching_shares.follow(
            connection, [row], desk_of(disclosing.directory()), now=disclosing.now()
        )


def identified(*local_ids: str, **content: Any) -> AlertRow:
    """An alert with a plan for each of these local ids."""
    row = alert(1)
    (plan,) = row.content.content.flags
    plans = tuple(replace(plan, local_id=one) for one in local_ids)
    said = replace(row.content.content, flags=plans, **content)
    return replace(row, content=replace(row.content, content=said))


def withdrawn(row: AlertRow) -> AlertRow:
    """The alert after its withdrawal."""
    content = replace(row.content, version=2, change=AlertChange.WITHDRAWN)
    return replace(row, version=2, state=WITHDRAWN, content=content)


async def test_a_school_is_told_that_and_when_and_whom_to_ring_and_nothing_more(
    facing: Facing,
) -> None:
    """No number, no reason, no department, no hospital: in its mailbox, under the authority's own
    id of the child; what it was told is recorded by the names of the fields.
    """
    async with facing() as face:
        await save(face.pool, alert(1))
        answer = await share(face)
        assert (answer.status_code, answer.json()["state"]) == (201, "shared")
        async with asking(face, "school") as http:
            read = await http.get(f"/fhir/R4/messages/{answer.json()['share_id']}")
        letter = read.json()
        facts = told(letter)
        assert facts["share.attended_on"] == "2026-03-10"
        assert facts["authority.phone_office"] == "01632 960001"
        for secret in (NUMBER, "Fall", "Emergency Department", "Infirmary", "RX901", "CPP", WHY):
            assert secret not in read.text
        (child,) = [
            e["resource"] for e in letter["entry"] if e["resource"]["resourceType"] == "Patient"
        ]
        assert [one["value"] for one in child["identifier"]] == ["C-1"]
        (entry,) = await entries(face.pool, "share")
        assert (entry["chain"], entry["decision"], entry["reason"]) == (SCHOOL, "permit", WHY)
        assert entry["subject"] == f"alert:{uuid.UUID(int=1)}"
        assert "person.nhs_number" not in entry["fields"]
        assert "person.nhs_number" in entry["detail"]["withheld"]
        assert NUMBER not in orjson.dumps(entry).decode()


@pytest.mark.parametrize("recipient", [SCHOOL, POLICE])
async def test_outside_health_and_care_no_share_holds_a_number(
    facing: Facing, recipient: str
) -> None:
    """Also one that a person released, and one that stands in a text."""
    async with facing() as face:
        await save(face.pool, identified(NUMBER, "C-1", reason=f"of {NUMBER}"))
        answer = await share(face, recipient)
        assert answer.status_code == 201, answer.text
        if answer.json()["state"] == "held":
            async with asking(face, "colleague") as http:
                path = f"/reviews/disclosures/{answer.json()['share_id']}"
                done = await http.post(path, json={"decision": "release", "reason": "Needed"})
                assert done.status_code == 200, done.text
        (letter,) = await letters(face, recipient)
        assert NUMBER not in orjson.dumps(letter).decode()


async def test_each_local_id_is_an_identifier_of_its_own(facing: Facing) -> None:
    """The school finds the child by either; one that may not leave is not said to have left."""
    async with facing() as face:
        await save(face.pool, identified("C-1", "D-2"))
        answer = await share(face)
        (letter,) = await letters(face, SCHOOL)
        (child,) = resources(letter, "Patient")
        assert [one["value"] for one in child["identifier"]] == ["C-1", "D-2"]
        assert "share.local_id" in answer.json()["fields"]


async def test_a_letter_about_nobody_is_not_written(facing: Facing) -> None:
    """The only local id is the number, which a school may not have: the authority is told what to
    do; the practice, which may, is told.
    """
    async with facing() as face:
        await save(face.pool, identified(NUMBER))
        answer = await share(face)
        assert (answer.status_code, answer.json()["rule"]) == (422, "share.nobody_named")
        assert await letters(face, SCHOOL) == []
        assert await entries(face.pool, "share") == []
        assert (await share(face, SURGERY)).status_code == 201


async def test_a_practice_is_told_the_number_and_why(facing: Facing) -> None:
    """It is of health and care: its policy grants what care needs."""
    async with facing() as face:
        await save(face.pool, alert(1))
        assert (await share(face, SURGERY)).status_code == 201
        (letter,) = await letters(face, SURGERY)
        assert NUMBER in orjson.dumps(letter).decode()
        assert told(letter)["visit.reason"] == "Fall"


async def test_sharing_the_same_version_again_changes_nothing(facing: Facing) -> None:
    """Two at once, and one after: one letter, one entry; the later ones are answered 200."""
    async with facing() as face:
        await save(face.pool, alert(1))
        answers = [*await asyncio.gather(share(face), share(face)), await share(face)]
        assert sorted(one.status_code for one in answers) == [200, 200, 201]
        assert len({one.json()["share_id"] for one in answers}) == 1
        assert len(await letters(face, SCHOOL)) == 1
        assert len(await entries(face.pool, "share")) == 1


@pytest.mark.parametrize("recipient", [SCHOOL, POLICE])
async def test_a_repeated_and_a_held_share_say_what_is_told(facing: Facing, recipient: str) -> None:
    """New, held and repeated are answered alike: what the agency is (or would be) told, what not,
    and by which policy; so also after a release, which sends just that.
    """
    async with facing() as face:
        await save(face.pool, alert(1))
        first = (await share(face, recipient)).json()
        assert first["state"] == ("held" if recipient == POLICE else "shared")
        assert "share.attended_on" in first["fields"]
        assert "person.nhs_number" in first["withheld"]
        assert (first["policy"], first["policy_version"]) == ("share", 1)
        again = (await share(face, recipient)).json()
        assert again == {**first, "changed": False}
        if recipient == POLICE:
            async with asking(face, "colleague") as http:
                path = f"/reviews/disclosures/{first['share_id']}"
                await http.post(path, json={"decision": "release", "reason": "Needed"})
            (letter,) = await letters(face, POLICE)
            assert told(letter).keys() <= set(first["fields"])
            after = (await share(face, recipient)).json()
            assert after == {**again, "state": "shared"}


async def test_a_withdrawal_reaches_whoever_was_told(facing: Facing) -> None:
    """Once, with no fact of the child; whom nothing was shared with hears nothing."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        await share(face)
        await share(face, POLICE)  # held: its policy asks for a person
        gone = withdrawn(row)
        await save(face.pool, gone)
        await follow(face, gone)
        await follow(face, gone)
        first, second = await letters(face, SCHOOL)
        assert second["entry"][0]["resource"]["eventCoding"]["code"] == "alert-share-withdrawn"
        assert first["id"] in orjson.dumps(second).decode()
        assert told(second) == {}
        assert await letters(face, POLICE) == []
        async with transaction(face.pool) as connection:
            assert await held.kept(connection, None) == []
        assert (await share(face, SURGERY)).json()["rule"] == "alert.withdrawn"


async def test_of_a_restricted_child_nothing_is_shared(facing: Facing) -> None:
    """Refused by the policy, and recorded; what was held when it became so is superseded."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        waiting = (await share(face, POLICE)).json()["share_id"]
        hidden = replace(row, restricted=True, withheld_at=disclosing.now())
        await save(face.pool, hidden)
        await follow(face, hidden)
        answer = await share(face)
        assert (answer.status_code, answer.json()["rule"]) == (403, "policy.denied")
        async with asking(face, "worker") as http:
            verdict = {"decision": "release", "reason": "Needed"}
            late = await http.post(f"/reviews/disclosures/{waiting}", json=verdict)
        assert (late.status_code, late.json()["rule"]) == (409, "review.decided")
        assert await letters(face, SCHOOL) == await letters(face, POLICE) == []
        assert [one["decision"] for one in await entries(face.pool, "share")] == ["review", "deny"]


@pytest.mark.parametrize("read", ["never", "list", "letter"])
async def test_a_share_that_nobody_has_read_is_taken_back_when_the_child_is_restricted(
    facing: Facing, read: str
) -> None:
    """It names the hospital. What the agency has read it has; a withdrawal goes to who had it."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        item = (await share(face, SURGERY)).json()["share_id"]
        paths = {"list": "/fhir/R4/messages", "letter": f"/fhir/R4/messages/{item}"}
        async with asking(face, "surgery") as http:
            await settled(face.pool)
            if read in paths:
                assert "Infirmary" in (await http.get(paths[read])).text
            hidden = replace(row, restricted=True, withheld_at=disclosing.now())
            await save(face.pool, hidden)
            await follow(face, hidden)
            again = await http.get(paths["letter"])
            assert again.status_code == (404 if read == "never" else 200)
        gone = replace(withdrawn(row), restricted=True)
        await save(face.pool, gone)
        await follow(face, gone)
        assert len(await letters(face, SURGERY)) == (0 if read == "never" else 2)


async def test_only_the_alerts_own_authority_shares_it_and_only_with_agencies(
    facing: Facing,
) -> None:
    """Another authority's alert is unknown; a hospital may not; a stranger is no recipient."""
    async with facing() as face:
        await save(face.pool, alert(1))
        assert (await share(face, by="south-worker")).status_code == 404
        assert (await share(face, by="nurse")).status_code == 403
        assert (await share(face, by="school")).status_code == 403
        assert (await share(face, "ZZ998")).json()["rule"] == "share.not_an_agency"
        assert (await share(face, CHARITY)).json()["rule"] == "policy.denied"
        assert await letters(face, SCHOOL) == []
