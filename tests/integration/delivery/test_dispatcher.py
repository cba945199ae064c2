"""The dispatcher against real receivers: order, lost answers, refusals, outages, stops."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from halyard.postgres import Pool, transaction
from sandbox.receiver import Receiver
from schemas.events import AlertChange, Rung
from stores import alerts, deliveries, outbox
from stores.directory import Authority
from streams.delivery.dispatcher import Dispatcher
from tests.integration.delivery.practice import (
    AUTHORITY,
    HOSPITAL,
    NUMBER,
    SECRET,
    Bus,
    add,
    delivery,
    directory_of,
    quick,
    raise_alert,
    receiving,
    states,
)
from tests.support.waiting import aeventually

Dispatching = Callable[..., Awaitable[Dispatcher]]


async def test_an_alert_is_delivered_and_its_receipt_is_on_the_bus(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """The authority gets the body, id and trace context; DELIVERED is published once."""
    async with receiving() as authority:
        alert = await raise_alert(pool)
        row = delivery(alert)
        await add(pool, row)
        await dispatching(directory_of(authority=authority.url))
        await aeventually(lambda: bus.records)
        (got,) = authority.receiver.received
        assert got.delivery_id == str(row.delivery_id)
        assert (got.kind, got.version, got.traceparent) == ("alert", 1, alert.traceparent)
        (receipt,) = bus.receipts()
        assert (receipt.rung, receipt.alert_id, receipt.version) == (
            Rung.DELIVERED,
            alert.alert_id,
            2,
        )
        assert bus.records[0].key == str(alert.alert_id)
        assert await states(pool, alert.alert_id) == [(1, "alert", "delivered")]


async def test_the_hospitals_contact_gets_no_delivered_notice(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """A match is delivered to the contact without any rung or receipt."""
    async with receiving() as contact:
        alert = await raise_alert(pool)
        await add(pool, delivery(alert, destination="contact", kind="match"))
        await dispatching(directory_of(contact=contact.url))

        async def done() -> bool:
            return await states(pool, alert.alert_id) == [(1, "match", "delivered")]

        await aeventually(done)
        assert [one.kind for one in contact.receiver.received] == ["match"]
        async with transaction(pool) as connection:
            row = await alerts.lock_alert(connection, alert.alert_id)
        assert row is not None
        assert row.delivered_at is None
        assert bus.records == []


async def test_c15_after_a_503_the_withdrawal_goes_and_the_raise_never_follows(
    pool: Pool, dispatching: Dispatching
) -> None:
    """v1 gets a 503, v2 "withdrawn" is decided, the destination is back: v2 alone is sent."""
    async with receiving() as authority:
        authority.receiver.misbehave("500", 1)
        alert = await raise_alert(pool)
        await add(pool, delivery(alert))
        await dispatching(directory_of(authority=authority.url), quick(breaker_seconds=0.5))
        await aeventually(lambda: authority.versions(alert.alert_id) == [(1, "500")])
        await add(pool, delivery(alert, 2, AlertChange.WITHDRAWN))
        after = await raise_alert(pool)

        async def done() -> bool:
            return ("alert", "delivered") in [
                (kind, state) for _, kind, state in await states(pool, alert.alert_id)
            ]

        await aeventually(done)
        await add(pool, delivery(after))  # whatever was to come has come when this has
        await aeventually(lambda: authority.versions(after.alert_id))
        assert authority.versions(alert.alert_id) == [(1, "500"), (2, "ok")]
        assert await states(pool, alert.alert_id) == [
            (1, "alert", "superseded"),
            (2, "alert", "delivered"),
        ]


@pytest.mark.parametrize("mode", ["close", "slow"])
async def test_c16_a_lost_answer_is_repeated_and_accepted_as_known(
    pool: Pool, dispatching: Dispatching, bus: Bus, mode: str
) -> None:
    """The 200 was lost: the retry has the same id and bytes and a signature of its own, the
    receiver answers 200, nothing is parked.
    """
    receiver = Receiver(secret=SECRET, slow_seconds=1.0)
    async with receiving(receiver) as authority:
        receiver.misbehave(mode, 1)
        alert = await raise_alert(pool)
        await add(pool, delivery(alert))
        await dispatching(
            directory_of(authority=authority.url), quick(timeout_seconds=0.3, lease_seconds=1.0)
        )
        await aeventually(lambda: bus.records)
        first, second = receiver.received
        assert first.delivery_id == second.delivery_id
        assert first.body_sha256 == second.body_sha256
        assert (first.repeat, second.repeat) == (False, True)
        assert (first.answer, second.answer) == (mode, "ok")
        assert receiver.refused == 0
        assert await states(pool, alert.alert_id) == [(1, "alert", "delivered")]
        assert len(bus.records) == 1


async def test_c17_accepted_before_delivered_was_marked(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """The authority accepts by the API before our own "delivered" is written: the acceptance
    stands, it implies delivered, and no later DELIVERED contradicts it.
    """
    receiver = Receiver(secret=SECRET)
    async with receiving(receiver) as authority:
        alert = await raise_alert(pool)
        await add(pool, delivery(alert))
        async with transaction(pool) as connection:
            # the acceptance holds the alert's row while the dispatcher wants to mark it
            accepted, changed = await alerts.accept(
                connection, alert.alert_id, by="duty", answer="on our way", at=alert.raised_at
            )
            assert changed
            assert accepted is not None
            await dispatching(directory_of(authority=authority.url))
            await aeventually(lambda: receiver.received)

        async def done() -> bool:
            return await states(pool, alert.alert_id) == [(1, "alert", "delivered")]

        await aeventually(done)
        async with transaction(pool) as connection:
            row = await alerts.lock_alert(connection, alert.alert_id)
        assert row is not None
        assert (row.state, row.version, row.delivered_at) == (
            alerts.ACCEPTED,
            accepted.version,
            accepted.delivered_at,
        )
        assert bus.records == []


async def test_c17_delivered_first_then_accepted_raises_the_version_twice(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """Each rung is a fact with its time and a version of its own."""
    async with receiving() as authority:
        alert = await raise_alert(pool)
        await add(pool, delivery(alert))
        await dispatching(directory_of(authority=authority.url))
        await aeventually(lambda: bus.records)
        async with transaction(pool) as connection:
            row, changed = await alerts.accept(
                connection, alert.alert_id, by="duty", answer=None, at=alert.raised_at
            )
        assert changed
        assert row is not None
        assert row.version == 3
        assert bus.receipts()[0].version == 2


async def test_a_4xx_parks_that_alert_alone(pool: Pool, dispatching: Dispatching) -> None:
    """One refusal: that row is parked and not sent again; the next alert goes out at once."""
    async with receiving() as authority:
        authority.receiver.misbehave("refuse", 1)
        refused = await raise_alert(pool)
        await add(pool, delivery(refused))
        await dispatching(directory_of(authority=authority.url))

        async def parked() -> bool:
            return await states(pool, refused.alert_id) == [(1, "alert", "parked")]

        await aeventually(parked)
        fine = await raise_alert(pool)
        await add(pool, delivery(fine))
        await aeventually(lambda: authority.versions(fine.alert_id) == [(1, "ok")])
        assert authority.versions(refused.alert_id) == [(1, "refuse")]
        assert await deliveries.paused(pool) == []
        async with transaction(pool) as connection:
            row = await alerts.lock_alert(connection, refused.alert_id)
        assert row is not None
        assert row.delivered_at is None


async def test_the_breaker_pauses_one_destination_and_not_another(
    pool: Pool, dispatching: Dispatching
) -> None:
    """While the authority answers 500 it is tried one row at a time; the hospital's contact gets
    everything; when the authority is back all its alerts arrive without waiting out back-offs.
    """
    async with receiving() as authority, receiving() as contact:
        authority.receiver.misbehave("500")
        down = [await raise_alert(pool) for _ in range(6)]
        await add(pool, *(delivery(alert) for alert in down))
        await dispatching(
            directory_of(authority=authority.url, contact=contact.url),
            quick(first_retry_seconds=60.0, breaker_seconds=0.3),
        )
        # six are under way before the first failure is known; then probes, one at a time
        await aeventually(lambda: len(authority.receiver.received) >= 8)
        assert await deliveries.paused(pool) == ["authority"]
        for alert in down:
            await add(pool, delivery(alert, destination="contact", kind="match"))
        await aeventually(lambda: len(contact.receiver.received) == 6)
        authority.receiver.misbehave("ok")
        await aeventually(
            lambda: all((1, "ok") in authority.versions(alert.alert_id) for alert in down), 5
        )
        assert await deliveries.paused(pool) == []


async def test_an_address_where_nobody_listens_pauses_and_recovers(
    pool: Pool, dispatching: Dispatching
) -> None:
    """Refused connections are an outage, not a refusal: when somebody listens, the alert comes."""
    async with receiving() as authority:
        port = authority.port
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    await dispatching(directory_of(authority=authority.url))

    async def is_paused() -> bool:
        return await deliveries.paused(pool) == ["authority"]

    await aeventually(is_paused)
    async with receiving(port=port) as authority:
        await aeventually(lambda: authority.versions(alert.alert_id) == [(1, "ok")])


async def test_an_endpoint_that_is_not_in_the_directory_waits(
    pool: Pool, dispatching: Dispatching
) -> None:
    """A row for an unknown endpoint is neither lost nor parked; it waits for the directory."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    await dispatching(directory_of())

    async def waits() -> bool:
        (shown,) = await deliveries.of_alert(pool, alert.alert_id)
        return (shown.state, shown.last_error) == ("open", "no-endpoint")

    await aeventually(waits)


async def test_an_alert_waits_for_its_authority_to_register_an_endpoint(
    pool: Pool, dispatching: Dispatching
) -> None:
    """``none:`` and ``none-restricted:`` rows wait without a pause; a dispatcher that knows the
    endpoints delivers each to its own.
    """
    alert, hidden = await raise_alert(pool), await raise_alert(pool)
    await add(
        pool,
        delivery(alert, destination=f"none:{AUTHORITY}"),
        delivery(hidden, destination=f"none-restricted:{AUTHORITY}"),
    )
    unregistered = replace(
        directory_of(), authorities={AUTHORITY: Authority(gss=AUTHORITY, name="Practiceshire")}
    )
    stop = asyncio.Event()
    await dispatching(unregistered, stop=stop)

    async def wait() -> bool:
        shown = [*await deliveries.of_alert(pool, alert.alert_id)]
        shown += await deliveries.of_alert(pool, hidden.alert_id)
        return all((one.state, one.last_error) == ("open", "no-endpoint") for one in shown)

    await aeventually(wait)
    assert await deliveries.paused(pool) == []
    stop.set()
    async with receiving() as authority, receiving() as contact:
        registered = Authority(
            gss=AUTHORITY,
            name="Practiceshire",
            alert_endpoint="authority",
            restricted_endpoint="hidden",
        )
        await dispatching(
            replace(
                directory_of(authority=authority.url, hidden=contact.url),
                authorities={AUTHORITY: registered},
            )
        )
        await aeventually(lambda: authority.versions(alert.alert_id) == [(1, "ok")])
        await aeventually(lambda: contact.versions(hidden.alert_id) == [(1, "ok")])


async def test_a_destination_with_another_secret_parks_nothing(
    pool: Pool, dispatching: Dispatching
) -> None:
    """While the receiver answers 401 its alerts wait; when the secret is right they all arrive."""
    async with receiving(Receiver(secret="other")) as authority:  # pragma: allowlist secret
        port = authority.port
        rows = [await raise_alert(pool) for _ in range(3)]
        await add(pool, *(delivery(alert) for alert in rows))
        await dispatching(directory_of(authority=authority.url))

        async def is_paused() -> bool:
            return await deliveries.paused(pool) == ["authority"]

        await aeventually(is_paused)
        for alert in rows:
            assert await states(pool, alert.alert_id) == [(1, "alert", "open")]
    async with receiving(port=port) as authority:
        await aeventually(
            lambda: all((1, "ok") in authority.versions(alert.alert_id) for alert in rows), 10
        )


async def test_a_stop_finishes_what_is_under_way(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """SIGTERM in the middle of an attempt: it is finished, written down and published."""
    receiver = Receiver(secret=SECRET, slow_seconds=0.5)
    async with receiving(receiver) as authority:
        receiver.misbehave("slow", 1)
        alert = await raise_alert(pool)
        await add(pool, delivery(alert))
        stop = asyncio.Event()
        dispatcher = await dispatching(directory_of(authority=authority.url), stop=stop)
        await aeventually(lambda: receiver.received)
        stop.set()
        late = await raise_alert(pool)
        await add(pool, delivery(late))
        await aeventually(lambda: dispatcher.under_way == 0)
        await aeventually(lambda: bus.records)
        assert await states(pool, alert.alert_id) == [(1, "alert", "delivered")]
        assert await states(pool, late.alert_id) == [(1, "alert", "open")]


async def test_alerts_go_out_while_kafka_is_away(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """Delivery needs no broker; the receipts wait in the outbox and follow, in their order."""
    bus.away = True
    async with receiving() as authority:
        rows = [await raise_alert(pool) for _ in range(3)]
        await add(pool, *(delivery(alert) for alert in rows))
        await dispatching(directory_of(authority=authority.url))
        await aeventually(lambda: len(authority.receiver.received) == 3)
        assert bus.records == []
        bus.away = False
        await aeventually(lambda: len(bus.records) == 3)
        assert {one.alert_id for one in bus.receipts()} == {alert.alert_id for alert in rows}
        # emptied after the bus has them

        async def emptied() -> bool:
            return await outbox.oldest_seconds(pool) == 0

        await aeventually(emptied)


async def test_postgresql_cutting_every_connection_loses_nothing(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """All sessions are killed while sending: everything is delivered and said once on the bus."""
    async with receiving() as authority:
        dispatcher = await dispatching(directory_of(authority=authority.url), hears=True)
        rows = [await raise_alert(pool) for _ in range(20)]
        await add(pool, *(delivery(alert) for alert in rows))
        await aeventually(lambda: authority.receiver.received)
        async with transaction(pool) as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        await aeventually(lambda: len(bus.records) == 20, 20)
        await aeventually(lambda: dispatcher.under_way == 0)
        assert {one.alert_id for one in authority.receiver.received} == {
            str(alert.alert_id) for alert in rows
        }
        assert len({one.event_id for one in bus.receipts()}) == 20


async def test_no_log_line_names_a_person_or_an_address(
    pool: Pool, dispatching: Dispatching, capfd: pytest.CaptureFixture[str]
) -> None:
    """Delivered, refused and failing: neither the number nor a URL is in any output."""
    async with receiving() as authority:
        for mode in ("ok", "refuse", "500"):
            authority.receiver.misbehave(mode, 1)
            alert = await raise_alert(pool)
            await add(pool, delivery(alert))
            if mode == "ok":
                await dispatching(directory_of(authority=authority.url))

            async def over(alert_id: uuid.UUID = alert.alert_id) -> bool:
                return (await states(pool, alert_id))[0][2] in {"delivered", "parked"}

            await aeventually(over)
    said = "".join(capfd.readouterr())
    assert NUMBER not in said
    assert "http://" not in said
    assert AUTHORITY not in said
    assert HOSPITAL not in said
