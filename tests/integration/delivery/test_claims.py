"""Claims on delivery rows: order inside an alert, leases, superseding, paused destinations."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from halyard.postgres import Pool, transaction
from schemas.events import AlertChange
from stores import alerts, deliveries
from stores.deliveries import Claim, Delivery, Redriven
from tests.integration.delivery.practice import add, delivery, raise_alert, states


async def claim(
    pool: Pool,
    *,
    room: int = 16,
    share: int = 16,
    lease: float = 30.0,
    held: tuple[Delivery, ...] = (),
) -> Claim:
    """One claim by a dispatcher of its own."""
    return await deliveries.claim(
        pool,
        room=room,
        share=share,
        lease_seconds=lease,
        held=[one.delivery_id for one in held],
        busy=Counter(one.destination for one in held),
    )


async def delivered(pool: Pool, one: Delivery) -> deliveries.Done:
    """The receiver said yes."""
    async with transaction(pool) as connection:
        return await deliveries.mark_delivered(connection, one.delivery_id)


async def again(pool: Pool, one: Delivery, seconds: float = 0.0) -> None:
    """The attempt failed; due in `seconds`."""
    async with transaction(pool) as connection:
        await deliveries.retry(connection, one, reason="timeout", after_seconds=seconds)


async def pause(pool: Pool, destination: str, seconds: float) -> None:
    """The destination did not answer."""
    async with transaction(pool) as connection:
        await deliveries.pause(connection, destination, seconds=seconds, failures=1)


async def resume(pool: Pool, destination: str) -> bool:
    """The destination answered a probe."""
    async with transaction(pool) as connection:
        return await deliveries.resume(connection, destination)


async def test_c15_only_the_oldest_open_row_of_an_alert_can_be_claimed(pool: Pool) -> None:
    """While version 1 is under way, nobody gets version 2 of the same alert; then they do."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    first = (await claim(pool)).deliveries
    await add(pool, delivery(alert, 2, AlertChange.UPDATED))
    assert [one.version for one in first] == [1]
    assert (await claim(pool)).deliveries == ()
    assert await delivered(pool, first[0]) == deliveries.Done(changed=True, more=True)
    assert [one.version for one in (await claim(pool)).deliveries] == [2]


async def test_c15_a_claim_held_open_by_another_connection_hides_the_whole_alert(
    pool: Pool,
) -> None:
    """A second dispatcher skips a row that the first is taking, and does not take the next."""
    alert, other = await raise_alert(pool), await raise_alert(pool)
    await add(pool, delivery(alert), delivery(alert, 2, kind="receipt"), delivery(other))
    async with transaction(pool) as connection:
        await connection.execute(
            "select 1 from deliveries where alert_id = %s and version = 1 for update",
            (alert.alert_id,),
        )
        got = (await claim(pool)).deliveries
    assert [one.alert_id for one in got] == [other.alert_id]


async def test_c15_a_newer_version_supersedes_an_unsent_older_one(pool: Pool) -> None:
    """Of three versions that nobody sent, only the last is claimed; the others are superseded."""
    alert = await raise_alert(pool)
    await add(
        pool,
        delivery(alert),
        delivery(alert, 2, AlertChange.UPDATED),
        delivery(alert, 3, AlertChange.WITHDRAWN),
    )
    got = await claim(pool)
    assert ([one.version for one in got.deliveries], got.superseded) == ([3], 2)
    assert await states(pool, alert.alert_id) == [
        (1, "alert", "superseded"),
        (2, "alert", "superseded"),
        (3, "alert", "open"),
    ]


async def test_c15_a_failed_attempt_makes_way_for_the_newer_version(pool: Pool) -> None:
    """Version 1 failed with its fate unknown and backs off; version 2 replaces it at once, and
    version 1 is not repeated.
    """
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool)).deliveries
    await add(pool, delivery(alert, 2, AlertChange.WITHDRAWN))
    await again(pool, first, 300.0)
    assert [one.version for one in (await claim(pool)).deliveries] == [2]


async def test_receipts_are_facts_and_are_never_superseded(pool: Pool) -> None:
    """Two answers to the same alert both reach the hospital, in their order."""
    alert = await raise_alert(pool)
    await add(pool, *(delivery(alert, n, destination="contact", kind="receipt") for n in (2, 4)))
    got = (await claim(pool)).deliveries
    assert [one.version for one in got] == [2]
    await delivered(pool, got[0])
    assert [one.version for one in (await claim(pool)).deliveries] == [4]


async def test_order_holds_inside_one_alert_only(pool: Pool) -> None:
    """A row that backs off holds up its own alert and no other of the same destination."""
    slow, other = await raise_alert(pool), await raise_alert(pool)
    await add(pool, delivery(slow))
    (first,) = (await claim(pool)).deliveries
    await again(pool, first, 100.0)
    await add(pool, delivery(slow, 2, kind="receipt"), delivery(other))
    assert [one.alert_id for one in (await claim(pool)).deliveries] == [other.alert_id]


async def test_a_lease_that_ran_out_is_taken_over(pool: Pool) -> None:
    """A killed dispatcher's row is claimed again, with the same id and bytes, counted anew."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool, lease=0.0)).deliveries
    (second,) = (await claim(pool)).deliveries
    assert (second.delivery_id, second.body) == (first.delivery_id, first.body)
    assert (first.attempts, second.attempts) == (1, 2)


async def test_a_late_failure_does_not_disturb_the_attempt_that_took_over(pool: Pool) -> None:
    """Only the holder of the lease gives a row back or parks it; a late yes is a yes."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool, lease=0.0)).deliveries
    (second,) = (await claim(pool)).deliveries
    await again(pool, first)
    async with transaction(pool) as connection:
        assert not (await deliveries.park(connection, first, reason="status-410")).changed
    assert (await claim(pool)).deliveries == ()
    assert (await delivered(pool, first)).changed
    assert not (await delivered(pool, second)).changed


async def test_a_dispatcher_does_not_claim_what_it_still_holds(pool: Pool) -> None:
    """When writing down takes longer than the lease, the same process does not send again."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    mine = (await claim(pool, lease=0.0)).deliveries
    assert (await claim(pool, held=mine)).deliveries == ()
    assert len((await claim(pool)).deliveries) == 1


async def test_one_destination_takes_no_more_than_its_share(pool: Pool) -> None:
    """Five alerts for one destination leave room for the one of another."""
    first = [await raise_alert(pool) for _ in range(5)]
    await add(pool, *(delivery(alert) for alert in first))
    other = await raise_alert(pool)
    await add(pool, delivery(other, destination="contact", kind="match"))
    got = (await claim(pool, room=4, share=2)).deliveries
    assert sorted(one.destination for one in got) == ["authority", "authority", "contact"]
    more = (await claim(pool, room=4, share=2, held=got)).deliveries
    assert more == ()


async def test_the_oldest_due_goes_first(pool: Pool) -> None:
    """Rows of one destination leave in the order in which they are due."""
    rows = [await raise_alert(pool) for _ in range(3)]
    for alert in rows:
        await add(pool, delivery(alert))
    got = [(await claim(pool, room=1)).deliveries[0].alert_id for _ in rows]
    assert got == [alert.alert_id for alert in rows]


async def test_a_paused_destination_gets_nothing_until_its_pause_is_over(pool: Pool) -> None:
    """Nothing for a paused destination; another one is served; afterwards one probe goes."""
    down = [await raise_alert(pool) for _ in range(3)]
    await add(pool, *(delivery(alert) for alert in down))
    fine = await raise_alert(pool)
    await add(pool, delivery(fine, destination="contact", kind="match"))
    await pause(pool, "authority", 60.0)
    assert [one.destination for one in (await claim(pool)).deliveries] == ["contact"]
    await pause(pool, "authority", 0.0)
    probes = (await claim(pool)).deliveries
    assert [(one.destination, one.probe) for one in probes] == [("authority", True)]
    assert (await claim(pool)).deliveries == ()
    await delivered(pool, probes[0])
    assert await resume(pool, "authority")
    assert len((await claim(pool)).deliveries) == 2


async def test_a_probe_makes_way_for_the_newer_version(pool: Pool) -> None:
    """The row that tries a paused destination is the newest version, in the same claim."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert), delivery(alert, 2, AlertChange.WITHDRAWN))
    await pause(pool, "authority", 0.0)
    got = await claim(pool)
    assert [(one.version, one.probe) for one in got.deliveries] == [(2, True)]


async def test_a_probe_that_finds_no_row_is_given_back(pool: Pool) -> None:
    """A due row that is held elsewhere does not use the probe up for the length of a lease."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    held = (await claim(pool, lease=0.0)).deliveries
    await pause(pool, "authority", 0.0)
    assert (await claim(pool, held=held)).deliveries == ()
    assert len((await claim(pool)).deliveries) == 1


async def test_after_an_outage_rows_do_not_wait_out_their_back_off(pool: Pool) -> None:
    """Two failures in a row question the destination: it is probed at once, and what it answers
    brings every waiting row forward.
    """
    rows = [await raise_alert(pool) for _ in range(2)]
    await add(pool, *(delivery(alert) for alert in rows))
    for one in (await claim(pool)).deliveries:
        await again(pool, one, 300.0)
    await pause(pool, "authority", 0.0)
    assert (await claim(pool)).deliveries == ()
    await pause(pool, "authority", 0.0)
    (probe,) = (await claim(pool)).deliveries
    await delivered(pool, probe)
    assert await resume(pool, "authority")
    assert len((await claim(pool)).deliveries) == 1


async def test_parked_rows_stay_alone(pool: Pool) -> None:
    """A parked version is out of the way of the next version of the same alert."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool)).deliveries
    await add(pool, delivery(alert, 2, AlertChange.UPDATED))
    async with transaction(pool) as connection:
        assert (await deliveries.park(connection, first, reason="status-422")).more
    assert [one.version for one in (await claim(pool)).deliveries] == [2]


async def park(pool: Pool, one: Delivery) -> None:
    """The receiver refused it."""
    async with transaction(pool) as connection:
        await deliveries.park(connection, one, reason="status-422")


async def redrive(pool: Pool, **which: Any) -> Redriven:
    """A person wants what is parked to be sent again."""
    async with transaction(pool) as connection:
        return await deliveries.redrive(connection, reason="mended", **which)


async def test_a_redriven_row_is_sent_again_with_the_same_bytes(pool: Pool) -> None:
    """By its id or by its destination; another destination's stays parked."""
    alert, other = await raise_alert(pool), await raise_alert(pool)
    await add(pool, delivery(alert), delivery(other, destination="contact", kind="match"))
    first, second = sorted((await claim(pool)).deliveries, key=lambda one: one.destination)
    await park(pool, first)
    await park(pool, second)
    assert await deliveries.waiting_for_a_person(pool) == deliveries.Waiting(2, 0)
    assert (await redrive(pool, destination="contact")).opened == (second.delivery_id,)
    (again_,) = (await claim(pool)).deliveries
    assert (again_.delivery_id, again_.body) == (second.delivery_id, second.body)
    assert (await redrive(pool, delivery_id=second.delivery_id)).opened == ()
    assert (await redrive(pool, delivery_id=first.delivery_id)).opened == (first.delivery_id,)
    assert [one.alert_id for one in (await claim(pool)).deliveries] == [alert.alert_id]


async def test_c15_a_redriven_row_never_follows_a_newer_version(pool: Pool) -> None:
    """Version 1 was parked, version 2 delivered: redriving 1 supersedes it."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool)).deliveries
    await park(pool, first)
    await add(pool, delivery(alert, 2, AlertChange.WITHDRAWN))
    (second,) = (await claim(pool)).deliveries
    await delivered(pool, second)
    assert await redrive(pool, destination="authority") == Redriven((), (first.delivery_id,))
    assert (await claim(pool)).deliveries == ()


async def test_what_was_parked_before_a_restriction_is_never_redriven(pool: Pool) -> None:
    """It names places; its alert goes to the contact for restricted people alone by now."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert), delivery(alert, destination="contact", kind="match"))
    for one in (await claim(pool)).deliveries:
        await park(pool, one)
    async with transaction(pool) as connection:
        await alerts.save(connection, [replace(alert, restricted=True, version=2)])
    await add(pool, delivery(alert, 2, AlertChange.UPDATED, destination="none-restricted:X"))
    for name in ("authority", "contact"):
        done = await redrive(pool, destination=name)
        assert (done.opened, len(done.superseded)) == ((), 1)


async def test_an_operator_sees_what_is_parked_and_what_waits(pool: Pool) -> None:
    """Parked ones first, with reason and destination, and without a body."""
    alert, other = await raise_alert(pool), await raise_alert(pool)
    await add(pool, delivery(alert))
    (first,) = (await claim(pool)).deliveries
    await park(pool, first)
    await add(pool, delivery(other))
    await pause(pool, "authority", 60.0)
    async with transaction(pool) as connection:
        shown = await deliveries.unsent(connection, destination=None, limit=10)
        assert await deliveries.unsent(connection, destination="contact", limit=10) == []
    assert [(one.state, one.last_error, one.paused) for one in shown] == [
        ("parked", "status-422", True),
        ("open", None, True),
    ]
    assert not hasattr(shown[0], "body")


async def test_rows_without_an_endpoint_get_the_one_registered_later(pool: Pool) -> None:
    """Due at once, with id and place in order kept: a newer version supersedes them as ever."""
    alert = await raise_alert(pool)
    early = delivery(alert, destination="none:E10000099")
    await add(pool, early)
    (first,) = (await claim(pool)).deliveries
    await again(pool, first, 300.0)
    assert await deliveries.readdress(pool, {}) == 0
    assert await deliveries.readdress(pool, {"none:E10000099": "authority"}) == 1
    (second,) = (await claim(pool)).deliveries
    assert (second.destination, second.delivery_id) == ("authority", early.delivery_id)
    await again(pool, second, 300.0)
    await add(pool, delivery(alert, 2, AlertChange.WITHDRAWN))
    assert [one.version for one in (await claim(pool)).deliveries] == [2]


async def test_many_dispatchers_share_rows_without_taking_one_twice(pool: Pool) -> None:
    """Six claimants at random: each row exactly once, versions of an alert only growing."""
    rng = random.Random(uuid.uuid4().int)
    raised = [await raise_alert(pool) for _ in range(25)]
    for version in (1, 2, 3):
        for alert in raised:
            await add(pool, delivery(alert, version, kind="receipt"))
    order: list[tuple[uuid.UUID, int]] = []
    deadline = datetime.now(UTC).timestamp() + 30

    async def dispatch() -> None:
        while len(order) < 75 and datetime.now(UTC).timestamp() < deadline:
            for one in (await claim(pool, room=rng.randint(1, 8))).deliveries:
                order.append((one.alert_id, one.version))
                await delivered(pool, one)

    await asyncio.gather(*(dispatch() for _ in range(6)))
    assert len(order) == len(set(order)) == 75
    for alert in raised:
        assert [version for one, version in order if one == alert.alert_id] == [1, 2, 3]


async def test_oldest_and_timeline_show_no_bodies(pool: Pool) -> None:
    """The age of what waits, and an alert's deliveries in order."""
    assert await deliveries.oldest_seconds(pool) == 0.0
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    assert await deliveries.oldest_seconds(pool) > 0.0
    (shown,) = await deliveries.of_alert(pool, alert.alert_id)
    assert (shown.state, shown.attempts, shown.destination) == ("open", 0, "authority")
