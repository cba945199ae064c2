"""A new round opens while a delivery of the old one is under way (correctness rule 17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from halyard.postgres import Pool, transaction
from stores import alerts, deliveries
from stores.alerts import AlertRow
from stores.deliveries import Delivery
from streams.delivery.completion import Completed, Finished, complete
from streams.delivery.decisions import Complete
from tests.integration.delivery.practice import (
    add,
    delivery,
    desk_of,
    directory_of,
    raise_alert,
    states,
)


async def claimed(pool: Pool) -> Delivery:
    """The one delivery that is due, taken by a dispatcher."""
    claim = await deliveries.claim(pool, room=5, share=5, lease_seconds=30)
    (one,) = claim.deliveries
    return one


async def finish(pool: Pool, one: Delivery) -> Completed:
    """The receiver has said yes to `one`."""
    return await complete(
        pool,
        [Finished(one, Complete(), datetime.now(UTC))],
        desk_of(directory_of(authority="http://x")),
    )


async def the_alert(pool: Pool, row: AlertRow) -> AlertRow:
    """As it stands."""
    async with transaction(pool) as connection:
        found = await alerts.lock_alert(connection, row.alert_id)
    assert found is not None
    return found


async def test_c17_an_old_rounds_delivery_does_not_mark_the_new_round_delivered(
    pool: Pool,
) -> None:
    """Version 1 is on the wire when a further flag opens round 2: its late yes says nothing about
    round 2, which is delivered when its own version is.
    """
    first = await raise_alert(pool)
    await add(pool, delivery(first))
    under_way = await claimed(pool)
    second = replace(first, version=2, round=2)
    async with transaction(pool) as connection:
        await alerts.save(connection, [second])
    await add(pool, delivery(second, 2))

    done = await finish(pool, under_way)

    assert (await the_alert(pool, first)).delivered_at is None
    assert done.entries == []
    assert done.first == []
    assert (1, "alert", "delivered") in await states(pool, first.alert_id)

    done = await finish(pool, await claimed(pool))

    assert (await the_alert(pool, first)).delivered_at is not None
    assert len(done.entries) == 1


async def test_c17_an_older_version_of_the_same_round_marks_it_delivered(pool: Pool) -> None:
    """An update that asks for no new answer leaves the round: who got version 1 was told."""
    first = await raise_alert(pool)
    await add(pool, delivery(first))
    under_way = await claimed(pool)
    async with transaction(pool) as connection:
        await alerts.save(connection, [replace(first, version=2)])

    done = await finish(pool, under_way)

    assert (await the_alert(pool, first)).delivered_at is not None
    assert len(done.entries) == 1
