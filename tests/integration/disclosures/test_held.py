"""What a policy leaves to a person: held, released or refused once, and never overtaken."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import orjson
import pytest

from flag_service.releasing import decide
from halyard import ids
from halyard.actor import Actor
from halyard.postgres import Pool, transaction
from policies.desk import Desk
from policies.model import Policies
from policies.ruling import Flow
from stores import audit, deliveries, delivery_rows, held
from stores.alerts import AlertRow
from stores.delivery_rows import DeliveryRow
from streams.matching import payload
from streams.matching.disclosing import Disclosed, disclosed
from tests.integration.disclosures.conftest import Facing, asking
from tests.support import disclosing
from tests.support.alerts import NUMBER, TRACE, alert, save
from tests.support.disclosing import DENY, REVIEW, changed, entries, now
from tests.support.face import INFIRMARY, NORTH, Hub, desk_of


def desk(policies: Policies | None = None) -> Desk:
    """Where matching asks."""
    return desk_of(disclosing.directory(), policies)


def composed(
    row: AlertRow,
    policies: Policies | None = None,
    *,
    version: int = 1,
    destination: str = f"none:{NORTH}",
) -> Disclosed:
    """The alert as matching would tell it to its authority."""
    draft = DeliveryRow(
        destination=destination,
        alert_id=row.alert_id,
        version=version,
        round=1,
        kind="alert",
        body=b"",
        event_id=ids.derive("test", str(row.alert_id), version),
        traceparent=TRACE,
        due_at=now(),
        recipient=row.authority,
        reviewer=row.hospital,
        person=row.person,
    )
    body = payload.alert_body(row.content, disclosing.directory())
    return disclosed(desk(policies), draft, {**body, "version": version})


async def tell(pool: Pool, one: Disclosed) -> uuid.UUID:
    """Write it as matching does."""
    async with transaction(pool) as connection:
        await delivery_rows.add(connection, [one.row])
        await audit.append(connection, [one.entry])
    return one.row.delivery_id


async def states(pool: Pool) -> list[str]:
    """States of all deliveries, in order."""
    async with transaction(pool) as connection:
        cursor = await connection.execute("select state from deliveries order by position")
        return [row["state"] for row in await cursor.fetchall()]


async def claimed(pool: Pool) -> list[deliveries.Delivery]:
    """What a dispatcher would send now."""
    claim = await deliveries.claim(pool, room=10, share=10, lease_seconds=30)
    return list(claim.deliveries)


async def verdict(
    face: Hub, item: uuid.UUID, decision: str = "release", *, by: str = "nurse"
) -> httpx.Response:
    """One decision."""
    async with asking(face, by) as http:
        body = {"decision": decision, "reason": "Looked at"}
        return await http.post(f"/reviews/disclosures/{item}", json=body)


async def queue(face: Hub, by: str = "nurse") -> list[dict[str, Any]]:
    """What waits for the organisation of somebody."""
    async with asking(face, by) as http:
        answer = await http.get("/reviews/disclosures")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["disclosures"])


async def test_what_is_held_is_sent_only_when_a_person_has_released_it(facing: Facing) -> None:
    """Listed without a body to the organisation whose people decide; then open, masked, and both
    the holding and the release are recorded.
    """
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        assert await claimed(face.pool) == []
        assert (await held.waiting(face.pool)).alerts_held == 1
        (shown,) = await queue(face)
        assert (shown["item_id"], shown["rule"], shown["denied"]) == (
            str(item),
            "a-person-decides",
            False,
        )
        assert await queue(face, by="worker") == []
        assert (await verdict(face, item, by="worker")).status_code == 404
        answer = await verdict(face, item)
        assert answer.json() == {"item_id": str(item), "state": "released", "changed": True}
        (sent,) = await claimed(face.pool)
        assert orjson.loads(sent.body)["person"]["nhs_number"] == NUMBER
        assert sent.released
        told, released = await entries(face.pool, "alert")
        assert (told["decision"], told["chain"], told.get("fields")) == ("review", NORTH, None)
        assert (released["kind"], released["decision"], released["organisation"]) == (
            "review",
            "permit",
            INFIRMARY,
        )
        assert released["reason"] == "Looked at"


async def test_c15_a_release_never_sends_what_a_newer_version_has_overtaken(
    facing: Facing,
) -> None:
    """Version 2 supersedes version 1 that is held; a release that comes late changes nothing."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        first = await tell(face.pool, composed(row, policies))
        await tell(face.pool, composed(row, version=2))
        assert await states(face.pool) == ["superseded", "open"]
        assert (await verdict(face, first)).status_code in (404, 409)
        assert [one.version for one in await claimed(face.pool)] == [2]


@pytest.mark.parametrize("kept_back", [REVIEW, DENY])
async def test_what_is_kept_back_takes_nothing_from_what_was_permitted(
    facing: Facing, kept_back: dict[str, Any]
) -> None:
    """Version 1 backs off, version 2 is held or denied: somebody hears of version 1 meanwhile. What
    is kept back later supersedes version 2, and its release makes version 1 superfluous.
    """
    policies = changed(Flow.ALERT, **kept_back)
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        await tell(face.pool, composed(row, destination="north"))
        await tell(face.pool, composed(row, policies, version=2, destination="north"))
        newest = await tell(face.pool, composed(row, policies, version=3, destination="north"))
        expected = "held" if kept_back is REVIEW else "refused"
        assert await states(face.pool) == ["open", "superseded", expected]
        (sent,) = await claimed(face.pool)
        assert sent.version == 1
        async with transaction(face.pool) as connection:
            await deliveries.retry(connection, sent, reason="status-503", after_seconds=3_600)
        assert (await verdict(face, newest)).json()["state"] == "released"
        assert [one.version for _ in range(2) for one in await claimed(face.pool)] == [3]
        assert await states(face.pool) == ["superseded", "superseded", "open"]


async def test_what_a_person_released_is_not_taken_back_by_what_is_held(facing: Facing) -> None:
    """The nurse has looked at version 1; version 2 waits for her again."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        assert (await verdict(face, item)).status_code == 200
        await tell(face.pool, composed(row, policies, version=2))
        assert await states(face.pool) == ["open", "held"]
        assert [one.version for one in await claimed(face.pool)] == [1]


async def test_what_was_parked_can_be_sent_again_while_a_newer_version_is_held(
    facing: Facing,
) -> None:
    """Its receiver had refused it; nothing newer has left."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        first = await tell(face.pool, composed(row))
        (sent,) = await claimed(face.pool)
        async with transaction(face.pool) as connection:
            await deliveries.park(connection, sent, reason="status-400")
        await tell(face.pool, composed(row, policies, version=2))
        async with transaction(face.pool) as connection:
            await deliveries.redrive(connection, reason="mended", delivery_id=first)
        assert await states(face.pool) == ["open", "held"]


async def test_only_what_a_person_released_is_called_released(facing: Facing) -> None:
    """An operator who names a row that waits to be sent, or is parked, is told so."""
    async with facing() as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row))
        async with transaction(face.pool) as connection:
            actor = Actor("cli:test", INFIRMARY)
            outcome = await decide(
                connection, item, "release", actor, desk(), now(), reason="Looked at"
            )
        assert outcome is not None
        assert (outcome.state, outcome.changed) == ("open", False)


async def test_released_twice_is_released_once(facing: Facing) -> None:
    """Two people at once: one changes it; whoever refuses afterwards is told that it is over."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        both = await asyncio.gather(verdict(face, item), verdict(face, item))
        assert sorted(one.json()["changed"] for one in both) == [False, True]
        assert (await verdict(face, item, "refuse")).json()["rule"] == "review.decided"
        assert len([one for one in await entries(face.pool) if one["kind"] == "review"]) == 1
        assert await states(face.pool) == ["open"]


async def test_what_a_person_refuses_never_leaves_and_its_body_is_gone(facing: Facing) -> None:
    """A refusal is final and recorded."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        assert (await verdict(face, item, "refuse")).json()["state"] == "refused"
        assert (await verdict(face, item)).status_code == 409
        assert await claimed(face.pool) == []
        async with transaction(face.pool) as connection:
            kept = await held.delivery(connection, item)
        assert kept is not None
        assert kept.body == b"{}"
        assert await queue(face) == []


async def test_a_denied_alert_is_never_silent_and_goes_once_the_policy_permits_it(
    facing: Facing, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is counted and listed; a release under the same policy is refused and recorded, under a
    mended one it is sent.
    """
    policies = changed(Flow.ALERT, **DENY)
    row = alert(1)
    async with facing(policies) as face:
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        assert await claimed(face.pool) == []
        assert (await held.waiting(face.pool)).alerts_denied == 1
        assert [one["denied"] for one in await queue(face)] == [True]
        answer = await verdict(face, item)
        assert (answer.status_code, answer.json()["policy_rule"]) == (403, "not-now")
        assert await states(face.pool) == ["refused"]
    async with facing() as face:
        assert (await verdict(face, item)).json()["state"] == "released"
        assert len(await claimed(face.pool)) == 1
        assert (await held.waiting(face.pool)).alerts_denied == 0
        assert [one["decision"] for one in await entries(face.pool, "alert")] == [
            "deny",
            "deny",
            "permit",
        ]


async def test_what_is_held_when_its_alert_becomes_restricted_is_superseded(
    facing: Facing,
) -> None:
    """What was composed before names places."""
    policies = changed(Flow.ALERT, **REVIEW)
    async with facing(policies) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, policies))
        async with transaction(face.pool) as connection:
            await delivery_rows.drop_unsent(connection, [row.alert_id], now())
        assert await states(face.pool) == ["superseded"]
        assert (await verdict(face, item)).status_code in (404, 409)
