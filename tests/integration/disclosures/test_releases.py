"""A release tells no more than is permitted at its time, and is never one's own word."""

from __future__ import annotations

import uuid
from dataclasses import replace

import orjson
import pytest

from flag_service.releasing import Outcome, decide
from halyard.actor import Actor
from halyard.postgres import scoped
from policies.model import Policies, load_policies
from policies.ruling import Flow
from stores.alerts import AlertRow
from stores.directory import Directory
from tests.integration.disclosures.conftest import Facing, asking
from tests.integration.disclosures.test_shares import follow, letters, share, told, withdrawn
from tests.support import disclosing
from tests.support.alerts import NUMBER, alert, save
from tests.support.disclosing import POLICE, REVIEW, SURGERY, changed, entries
from tests.support.face import NORTH, Hub, desk_of, hub, settings
from tests.support.services import Database


async def release(
    face: Hub,
    item: str,
    policies: Policies | None = None,
    *,
    by: str = "user:another",
    known: Directory | None = None,
) -> Outcome:
    """Another person of the authority releases it, as the face does."""
    desk = desk_of(known or disclosing.directory(), policies)
    actor = Actor(by, NORTH)
    async with scoped(face.pool, NORTH) as connection:
        found = await decide(
            connection,
            uuid.UUID(item),
            "release",
            actor,
            desk,
            disclosing.now(),
            reason="Looked at",
        )
    assert found is not None
    return found


async def waiting(face: Hub, recipient: str = POLICE) -> str:
    """A share that a person must release."""
    answer = await share(face, recipient)
    assert answer.json()["state"] == "held", answer.text
    return str(answer.json()["share_id"])


def narrower() -> Policies:
    """The product's policy of shares, that names no hospital and no department any more."""
    policy = load_policies(None).named("share")
    assert policy is not None
    return changed(
        Flow.SHARE,
        recipients=[
            {
                **one.model_dump(mode="json"),
                "fields": [
                    name
                    for name in one.fields
                    if not name.startswith("hospital") and name != "visit.department"
                ],
            }
            for one in policy.recipients
        ],
    )


async def test_a_letter_that_tells_more_than_is_permitted_by_now_is_not_released(
    facing: Facing,
) -> None:
    """Its bytes are those of the day it was held; the refusal is recorded, and it still waits."""
    async with facing() as face:
        await save(face.pool, alert(1))
        item = await waiting(face)
        outcome = await release(face, item, narrower())
        assert (outcome.state, outcome.changed) == ("denied", False)
        assert await letters(face, POLICE) == []
        assert [one["rule"] for one in await entries(face.pool, "share")][-1] == "tells-more"
        assert (await release(face, item)).state == "released"
        (letter,) = await letters(face, POLICE)
        entry = (await entries(face.pool, "share"))[-1]
        assert told(letter).keys() <= set(entry["fields"])
        assert "person.nhs_number" not in entry["fields"]


async def test_no_release_sends_a_number_out_of_health_and_care(database: Database) -> None:
    """The directory called the agency one of health when the letter was composed."""
    made = settings(database_url=database.url)
    policies = changed(Flow.SHARE, **REVIEW)
    known = disclosing.directory()
    async with hub(made, connect=False, known=known, policies=policies) as face:
        await save(face.pool, alert(1))
        item = await waiting(face, SURGERY)
    practice = known.agencies[SURGERY]
    moved = practice.model_copy(update={"kind": "police", "health_or_social_care": False})
    known = replace(known, agencies={**known.agencies, SURGERY: moved})
    async with hub(made, connect=False, known=known, policies=policies) as face:
        assert (await release(face, item, policies, known=known)).state == "denied"
        found = await letters(face, SURGERY)
        assert NUMBER not in orjson.dumps(found).decode()
        assert found == []


@pytest.mark.parametrize("named", ["worker", "user:worker", "Sam Worker", "  SAM\u00a0 worker"])
async def test_whoever_shared_it_does_not_release_it_by_the_operators_hand(
    facing: Facing, named: str
) -> None:
    """Their name at the command line is their own word all the same."""
    async with facing() as face:
        await save(face.pool, alert(1))
        item = uuid.UUID(await waiting(face))
        actor = Actor("cli:operator", NORTH, name=named, entered=True)
        desk = desk_of(disclosing.directory())
        async with scoped(face.pool, NORTH) as connection:
            found = await decide(
                connection, item, "release", actor, desk, disclosing.now(), reason="Looked at"
            )
        assert found is not None
        assert (found.state, found.changed) == ("own", False)


async def test_whoever_shared_it_does_not_release_it(facing: Facing) -> None:
    """Another person does; refusing one's own is always possible."""
    async with facing() as face:
        await save(face.pool, alert(1))
        item = await waiting(face)
        async with asking(face, "worker") as http:
            path = f"/reviews/disclosures/{item}"
            own = await http.post(path, json={"decision": "release", "reason": "Needed"})
            assert (own.status_code, own.json()["rule"]) == (403, "review.own")
            assert await letters(face, POLICE) == []
            over = await http.post(path, json={"decision": "refuse", "reason": "Not needed"})
        assert over.json()["state"] == "refused"


@pytest.mark.parametrize("heard", [True, False])
async def test_c15_a_share_of_an_older_content_is_never_released(
    facing: Facing, heard: bool
) -> None:
    """The department has changed since: it is superseded, also if that is seen at the release."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        item = await waiting(face)
        newer = _moved(row)
        await save(face.pool, newer)
        if heard:
            await follow(face, newer)
        assert (await release(face, item)).state == "superseded"
        assert await letters(face, POLICE) == []
        again = await waiting(face)
        assert again != item


async def test_a_withdrawal_reaches_whoever_a_person_released_it_to(facing: Facing) -> None:
    """What the police were told waited for a person; that it is not so waits for nobody."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        await release(face, await waiting(face))
        gone = withdrawn(row)
        await save(face.pool, gone)
        await follow(face, gone)
        first, second = await letters(face, POLICE)
        assert first["id"] in orjson.dumps(second).decode()
        entry = (await entries(face.pool, "share"))[-1]
        assert (entry["decision"], entry["rule"]) == ("permit", "correction")


def _moved(row: AlertRow) -> AlertRow:
    content = replace(row.content.content, department="Elsewhere")
    return replace(row, version=2, content=replace(row.content, version=2, content=content))
