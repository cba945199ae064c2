"""What a person released is shown in the lists of whom it was released to, and nothing more is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from halyard.postgres import make_pool, scoped
from policies.model import Policies
from policies.ruling import Flow
from stores import held
from tests.integration.disclosures.conftest import Facing, asking
from tests.integration.disclosures.test_held import composed, tell, verdict
from tests.support.alerts import alert, save
from tests.support.disclosing import DENY, LATER, REVIEW, changed, entries
from tests.support.face import NORTH, SOUTH, Hub, settings
from tests.support.services import Database

POLICIES = changed(Flow.ALERT, **REVIEW)


async def shown(face: Hub, by: str = "worker", after: str | None = None) -> list[dict[str, Any]]:
    """The list of somebody's organisation."""
    async with asking(face, by) as http:
        answer = await http.get("/alerts", params={} if after is None else {"after": after})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["alerts"])


async def test_a_released_alert_is_in_the_authoritys_list(facing: Facing) -> None:
    """Withheld until the release; then shown to the authority, also behind the cursor of a list
    that had it withheld, under the rule of a release. To the hospital nothing was released.
    """
    async with facing(POLICIES) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, POLICIES))
        async with asking(face, "worker") as http:
            page = (await http.get("/alerts")).json()
        assert [one["state"] for one in page["alerts"]] == ["withheld"]
        assert (await verdict(face, item)).status_code == 200
        (again,) = await shown(face, after=page["next"])
        assert (again["state"], again["visit"]["reason"]) == ("raised", "Fall")
        assert again["version"] > page["alerts"][0]["version"]
        async with asking(face, "worker") as http:
            assert (await http.get(f"/alerts/{row.alert_id}")).json()["state"] == "raised"
        assert (await entries(face.pool, "alert"))[-1]["rule"] == "released"
        assert [one["state"] for one in await shown(face, "nurse")] == ["withheld"]


async def test_an_alert_that_was_refused_stays_withheld(facing: Facing) -> None:
    """Refusing is no release."""
    async with facing(POLICIES) as face:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, POLICIES))
        assert (await verdict(face, item, "refuse")).status_code == 200
        assert [one["state"] for one in await shown(face)] == ["withheld"]


async def test_a_release_does_not_release_what_the_alert_says_since(facing: Facing) -> None:
    """The newer content waits for a person of its own."""
    async with facing(POLICIES) as face:
        row = alert(1)
        await save(face.pool, row)
        await verdict(face, await tell(face.pool, composed(row, POLICIES)))
        newer = replace(row, version=3, content=replace(row.content, version=3))
        await save(face.pool, newer)
        assert [one["state"] for one in await shown(face)] == ["withheld"]
        await verdict(face, await tell(face.pool, composed(newer, POLICIES, version=3)))
        assert [one["state"] for one in await shown(face)] == ["raised"]


def _narrow(**more: Any) -> Policies:
    """As `POLICIES`, without why the child came."""
    policy = POLICIES.named("alert")
    assert policy is not None
    recipients = [
        {
            **one.model_dump(mode="json"),
            "fields": [name for name in one.fields if name != "visit.reason"],
        }
        for one in policy.recipients
    ]
    return changed(Flow.ALERT, **REVIEW, recipients=recipients, **more)


async def test_a_list_shows_no_more_than_was_released_and_than_is_permitted_by_now(
    facing: Facing,
) -> None:
    """A wider version since does not widen a release; one that denies ends it; and of a release
    under a version that is not loaded any more nobody knows what it permitted.
    """
    async with facing(_narrow()) as face:
        row = alert(1)
        await save(face.pool, row)
        await verdict(face, await tell(face.pool, composed(row, _narrow())))
        (one,) = await shown(face)
        assert (one["state"], one["visit"]["reason"]) == ("raised", None)
    wider = changed(Flow.ALERT, **REVIEW, version=2, start=LATER + timedelta(days=1))
    both = [*_narrow(end=LATER).all, *(each for each in wider.all if Flow.ALERT in each.flows)]
    async with facing(Policies.of(both)) as face:
        (one,) = await shown(face)
        assert (one["state"], one["visit"]["reason"]) == ("raised", None)
        assert one["visit"]["department"] is not None
        entry = (await entries(face.pool, "alert"))[-1]
        assert (entry["policy_version"], entry["rule"]) == (2, "released")
        assert "visit.reason" in entry["detail"]["withheld"]
    for policies in (wider, changed(Flow.ALERT, **DENY)):
        async with facing(policies) as face:
            assert [each["state"] for each in await shown(face)] == ["withheld"]


async def test_whoever_it_was_not_released_to_reads_no_release(
    facing: Facing, database: Database
) -> None:
    """The database's own fence shows the row to its recipient alone, also to a query that does not
    say whose: not to another authority, nor before it is released.
    """
    every = "select version from deliveries where kind = 'alert'"
    made = settings(database_url=database.url)
    async with facing(POLICIES) as face, make_pool(made, name="t", schema="face") as pool:
        row = alert(1)
        await save(face.pool, row)
        item = await tell(face.pool, composed(row, POLICIES))
        for released in (False, True):
            for organisation, found in ((NORTH, released), (SOUTH, False)):
                async with scoped(pool, organisation) as connection:
                    rows = await (await connection.execute(every)).fetchall()
                    given = await held.given(connection, organisation, [row.alert_id])
                assert (len(rows), len(given)) == (found, found)
            if not released:
                await verdict(face, item)


async def test_a_narrower_policy_since_narrows_what_was_released(facing: Facing) -> None:
    """What is permitted by now bounds every release."""
    async with facing(POLICIES) as face:
        row = alert(1)
        await save(face.pool, row)
        await verdict(face, await tell(face.pool, composed(row, POLICIES)))
        (one,) = await shown(face)
        assert one["visit"]["reason"] == "Fall"
    async with facing(_narrow()) as face:
        (one,) = await shown(face)
        assert (one["state"], one["visit"]["reason"]) == ("raised", None)
