"""Flags that come, end or go after an arrival, through the stage: who is told, and who no more."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from schemas.events import PlanType, VisitDetail
from stores import retention
from stores.alerts import RAISED, WITHDRAWN
from stores.retention import ROWS
from tests.integration.matching.conftest import Hub
from tests.support.matching import (
    CHILD,
    LEEDS,
    MOTHER,
    NOON,
    SHEFFIELD,
    attendance,
    flagged,
    identity,
    person_of,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("after", "alerts"), [(24 * HOUR - MINUTE, 1), (24 * HOUR + MINUTE, 0)], ids=["23:59", "24:01"]
)
async def test_a_flag_alerts_for_24_hours_between_receipts(
    hub: Hub, after: timedelta, alerts: int
) -> None:
    """23 h 59 min after the arrival was received it alerts, 24 h 01 min after it does not; the
    times on the messages (an arrival typed hours late, a plan's dates) do not count.
    """
    arrival = attendance(at=NOON - 5 * HOUR, received=NOON)
    await hub.take(arrival)
    hub.now = NOON + after
    await hub.take(flagged(start="2026-03-01", received=NOON + after))
    rows = await hub.alerts()
    assert [one.rule for one in rows] == ["flag-after-arrival"] * alerts


async def test_a_withdrawn_flag_withdraws_its_open_alerts(hub: Hub) -> None:
    """Deleted by its authority: its alert is withdrawn, the other authority's stands."""
    await hub.take(flagged(), flagged(authority=LEEDS), attendance())
    await hub.take(flagged(sequence=2, delete="2026-03-10", received=NOON + HOUR))
    (gone,), (stands,) = await hub.alerts(SHEFFIELD), await hub.alerts(LEEDS)
    assert (gone.state, gone.rule) == (WITHDRAWN, "flag-withdrawn")
    assert (stands.state, stands.version) == (RAISED, 1)
    rows = await hub.query(
        "select body from deliveries where destination = 'sheffield' order by version desc"
    )
    assert orjson.loads(bytes(rows[0]["body"]))["change"] == "withdrawn"


async def test_one_of_two_flags_withdrawn_updates_the_alert(hub: Hub) -> None:
    """The authority's other plan still stands: the alert does, without the deleted one."""
    await hub.take(flagged(), flagged(plan=PlanType.LAC, line=2), attendance())
    await hub.take(flagged(sequence=2, delete="2026-03-10", received=NOON + HOUR))
    (row,) = await hub.alerts()
    assert (row.state, row.rule) == (RAISED, "flag-changed")
    assert [one.plan_type for one in row.content.content.flags] == [PlanType.LAC]


@pytest.mark.parametrize(("end", "shown"), [("2025-03-10", True), ("2025-03-09", False)])
async def test_an_ended_flag_is_shown_for_365_days_beside_an_active_one(
    hub: Hub, end: str, shown: bool
) -> None:
    """It ended 365 days before the arrival, or 366; alone it would alert nobody."""
    ended = flagged(plan=PlanType.LAC, line=2, start="2024-01-01", end=end)
    await hub.take(ended, attendance())
    assert await hub.alerts() == []
    await hub.take(flagged(received=NOON + HOUR))
    (row,) = await hub.alerts()
    flags = {one.plan_type: one.active for one in row.content.content.flags}
    assert flags == ({PlanType.CPP: True, PlanType.LAC: False} if shown else {PlanType.CPP: True})


async def test_overlapping_flags_of_two_authorities_are_both_told(hub: Hub) -> None:
    """A child who moved: each authority hears of the arrival with its own plan alone."""
    await hub.take(flagged(start="2025-06-01"), flagged(authority=LEEDS, start="2026-02-20"))
    await hub.take(attendance())
    for authority, start in ((SHEFFIELD, "2025-06-01"), (LEEDS, "2026-02-20")):
        (row,) = await hub.alerts(authority)
        assert [one.start for one in row.content.content.flags] == [start]


async def test_an_unborn_plan_alerts_for_the_mother_and_the_birth_updates_it(hub: Hub) -> None:
    """The plan is on her number: her arrival alerts, the baby's birth asks to confirm the baby, a
    cancelled birth is told too; nobody else is alerted.
    """
    mother = identity(MOTHER, birth_date="1990-01-01")
    await hub.take(flagged(plan=PlanType.UCPP, who=mother))
    await hub.take(attendance(who=mother), attendance(number=CHILD, visit="V2", patient="P2"))
    (row,) = await hub.alerts()
    assert (row.person, row.version) == (person_of(MOTHER), 1)
    birth = attendance("birth", who=mother, visit="B1", at=NOON + HOUR)
    await hub.take(birth)
    await hub.take(attendance("A11", who=mother, visit="B1", at=NOON + 2 * HOUR))
    rows = await hub.query(
        "select body from deliveries where destination = 'sheffield' order by version"
    )
    bodies = [orjson.loads(bytes(one["body"])) for one in rows]
    assert [(one["rule"], one["visit"]["birth"]) for one in bodies] == [
        ("arrival-of-flagged-person", False),
        ("birth-reported", True),
        ("birth-cancelled", False),
    ]
    assert len(await hub.alerts()) == 1


async def test_a_departure_a_leave_and_a_hidden_place_reach_the_authority(hub: Hub) -> None:
    """Each is a version of the same alert in the same round; what the visit says is stored."""
    await hub.take(flagged(), attendance(detail=VisitDetail(department="ED", reason="fall")))
    await hub.take(attendance("A21", at=NOON + HOUR))
    await hub.take(attendance("A22", at=NOON + 2 * HOUR))
    hides = VisitDetail(location_shielded=True, discharge_destination="29")
    await hub.take(attendance("A03", at=NOON + 3 * HOUR, detail=hides))
    rows = await hub.query(
        "select body from deliveries where destination = 'sheffield' order by version"
    )
    visits = [orjson.loads(bytes(one["body"]))["visit"] for one in rows]
    assert [one["state"] for one in visits] == ["present", "departed", "present", "departed"]
    assert [one["departed_at"] for one in visits] == [
        None,
        "2026-03-10T13:00:00+00:00",
        None,
        "2026-03-10T15:00:00+00:00",
    ]
    assert (visits[-1]["department"], visits[-1]["location_shielded"]) == (None, True)
    (row,) = await hub.alerts()
    assert (row.round, row.rule) == (1, "visit-departed")


async def test_what_is_told_of_a_person_alone_makes_no_visit(hub: Hub) -> None:
    """A verified A31 leaves nothing in matching."""
    await hub.take(flagged(), attendance("A31", visit="V9"))
    assert await hub.query("select * from visits") == []
    assert await hub.alerts() == []


async def test_an_alert_that_retention_ended_is_not_raised_again(hub: Hub) -> None:
    """Closed long ago and ended with its visit, or its visit heard of since and both kept: the
    authority repeats its plan every day, and is told nothing new.
    """
    await hub.take(flagged())
    await hub.take(attendance())
    await hub.query("update alerts set state = 'closed', closed_at = now() returning 1")
    await hub.query("update deliveries set state = 'delivered', done_at = now() returning 1")
    alerts = next(one for one in ROWS if one.name == "alerts")
    hub.now += timedelta(days=410)
    moved = "update visit_events set received_at = received_at + %(by)s returning 1"
    await hub.query(moved, by=timedelta(days=100))
    limit = hub.now - timedelta(days=400)
    assert await retention.drop(hub.pool, alerts, limit) == 0
    await hub.query(moved, by=timedelta(days=-100))
    assert await retention.drop(hub.pool, alerts, limit) == 1
    await hub.take(flagged(sequence=2, received=hub.now))
    assert await hub.alerts() == []
    assert await hub.query("select * from visits") == []
