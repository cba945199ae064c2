"""A visit number that is used again: the earlier attendance stays what it was, for its time."""

from __future__ import annotations

from datetime import timedelta

from stores import retention
from tests.integration.matching.conftest import Hub
from tests.support.matching import NOON, OTHER_CHILD, attendance


async def test_a_number_used_again_leaves_the_earlier_attendance(hub: Hub) -> None:
    """Its bodies are dropped after 30 days; that it was, and where, is kept for a year."""
    await hub.take(attendance("A04", at=NOON - timedelta(days=100)))
    await hub.query("delete from visit_events returning 1")
    await hub.take(attendance("A04", patient="P2", number=OTHER_CHILD, message="again"))
    assert len(await hub.query("select from visits")) == 2


async def test_an_old_attendance_takes_no_younger_one_of_its_number_with_it(hub: Hub) -> None:
    """Nothing of a number is dropped before all of it is old."""
    await hub.take(
        attendance("A04", at=NOON - timedelta(days=370)),
        attendance(
            "A04", patient="P2", number=OTHER_CHILD, at=NOON - timedelta(days=345), message="again"
        ),
    )
    await hub.query("delete from visit_events returning 1")

    async def kept(age: timedelta) -> int:
        (of_visits,) = [one for one in retention.ROWS if one.name == "visits"]
        await retention.drop(hub.pool, of_visits, NOON - age)
        return len(await hub.query("select from visits"))

    assert await kept(timedelta(days=366)) == 2
    assert await kept(timedelta(days=340)) == 0
