"""What was permitted when it was composed is asked again when it is sent."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from flag_service.releasing import decide
from halyard.actor import Actor
from halyard.postgres import Pool, transaction
from policies.model import Policies
from policies.ruling import Flow
from stores import alerts, held
from stores.alerts import AlertRow
from stores.delivery_rows import DeliveryRow
from streams.delivery.dispatcher import Dispatcher
from streams.delivery.reconsidering import reconsider
from tests.integration.delivery.practice import (
    AUTHORITY,
    HOSPITAL,
    NUMBER,
    add,
    delivery,
    desk_of,
    directory_of,
    raise_alert,
    receiving,
    states,
)
from tests.support.disclosing import ENDED, REVIEW, changed, entries
from tests.support.waiting import aeventually

Dispatching = Callable[..., Awaitable[Dispatcher]]


def addressed(alert: AlertRow, **changes: Any) -> DeliveryRow:
    """A row as matching writes it: it names whom it tells."""
    row = delivery(alert)
    return replace(row, recipient=AUTHORITY, reviewer=HOSPITAL, person=alert.person, **changes)


async def kept(pool: Pool, alert_id: uuid.UUID) -> list[tuple[str, str]]:
    """State and reason of what is kept back."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select state, last_error from deliveries "
            "where alert_id = %s and state not in ('open', 'delivered')",
            (alert_id,),
        )
        return [(row["state"], row["last_error"]) for row in await cursor.fetchall()]


async def released(pool: Pool, delivery_id: uuid.UUID, policies: Policies | None = None) -> str:
    """What a person is told who releases it."""
    desk = desk_of(directory_of(), policies)
    async with transaction(pool) as connection:
        whose = await held.reviewer(connection, delivery_id)
        assert whose is not None
        actor = Actor("cli:test", whose)
        outcome = await decide(
            connection,
            delivery_id,
            "release",
            actor,
            desk,
            datetime.now(UTC),
            reason="Looked at",
        )
    assert outcome is not None
    return outcome.state


async def test_what_a_policy_has_ended_for_is_refused_recorded_and_can_be_released(
    pool: Pool, dispatching: Dispatching, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing leaves; the refusal is an entry of its own, counted as a denied alert, an error in
    the log, and in the queue, from which it is sent once the policy is mended.
    """
    async with receiving() as authority:
        alert = await raise_alert(pool)
        row = addressed(alert)
        await add(pool, row)
        policies = changed(Flow.ALERT, **ENDED)
        await dispatching(directory_of(authority=authority.url), policies=policies)
        await aeventually(lambda: kept(pool, alert.alert_id))
        assert await kept(pool, alert.alert_id) == [("refused", "policy:not-in-force")]
        assert authority.receiver.received == []
        (entry,) = await entries(pool, "alert")
        assert (entry["decision"], entry["rule"]) == ("deny", "not-in-force")
        assert (await held.waiting(pool)).alerts_denied == 1
        said = [one for one in capsys.readouterr().out.splitlines() if "delivery_refused" in one]
        assert ["error" in one for one in said] == [True]
        assert await released(pool, row.delivery_id, policies) == "denied"
        assert await released(pool, row.delivery_id) == "released"
        assert await states(pool, alert.alert_id) == [(1, "alert", "open")]


async def test_a_policy_that_asks_for_a_person_by_now_stops_what_nobody_released(
    pool: Pool, dispatching: Dispatching
) -> None:
    """What a person has released goes; what was open before is set aside."""
    async with receiving() as authority:
        first, second = await raise_alert(pool), await raise_alert(pool)
        released = addressed(second)
        await add(pool, addressed(first), released)
        async with transaction(pool) as connection:
            await connection.execute(
                "update deliveries set released_at = now() where delivery_id = %s",
                (released.delivery_id,),
            )
        await dispatching(
            directory_of(authority=authority.url), policies=changed(Flow.ALERT, **REVIEW)
        )
        await aeventually(lambda: authority.receiver.received)
        await aeventually(lambda: kept(pool, first.alert_id))
        assert await kept(pool, first.alert_id) == [("held", "policy:a-person-decides")]
        async with transaction(pool) as connection:
            (shown,) = await held.kept(connection, HOSPITAL)
        assert (shown.subject, shown.denied) == (first.alert_id, False)
        assert [one.delivery_id for one in authority.receiver.received] == [
            str(released.delivery_id)
        ]


async def test_a_narrower_policy_masks_what_was_composed_under_a_wider_one(
    pool: Pool, dispatching: Dispatching
) -> None:
    """The alert is not held up for a field: it leaves without it."""
    needed = ["schema", "alert_id", "version", "change", "restricted", "provisional"]
    narrow = {"recipients": [{"sector": "social-care", "fields": needed}]}
    async with receiving() as authority:
        alert = await raise_alert(pool)
        await add(pool, addressed(alert))
        await dispatching(
            directory_of(authority=authority.url), policies=changed(Flow.ALERT, **narrow)
        )
        await aeventually(lambda: authority.receiver.received)
        (got,) = authority.receiver.received
        body = got.body
        assert (body["alert_id"], body["person"]) == (str(alert.alert_id), {"nhs_number": None})
        assert NUMBER not in orjson.dumps(body).decode()


async def test_a_child_who_is_restricted_by_now_is_named_in_nothing_older(
    pool: Pool, dispatching: Dispatching
) -> None:
    """A row that slipped past the restriction is set aside as it is about to leave."""
    async with receiving() as authority:
        alert = await raise_alert(pool)
        await add(pool, addressed(alert))
        async with transaction(pool) as connection:
            await alerts.save(connection, [replace(alert, restricted=True)])
        await dispatching(directory_of(authority=authority.url))
        await aeventually(lambda: kept(pool, alert.alert_id))
        assert await kept(pool, alert.alert_id) == [("superseded", "policy:restricted-since")]
        assert authority.receiver.received == []


async def test_what_was_denied_because_nobody_knew_the_authority_goes_once_it_is_registered(
    pool: Pool, dispatching: Dispatching
) -> None:
    """Asked again as soon as the directory has it, masked and recorded like any other."""
    alert = await raise_alert(pool)
    reason = {"state": "refused", "reason": "policy:no-policy"}
    await add(pool, addressed(alert, destination=f"none:{AUTHORITY}", **reason))
    async with receiving() as authority:
        await dispatching(directory_of(authority=authority.url))
        await aeventually(lambda: authority.receiver.received)
        (got,) = authority.receiver.received
        assert got.body["alert_id"] == str(alert.alert_id)
        (entry,) = await entries(pool, "alert")
        assert (entry["decision"], entry["actor"]) == ("permit", "process:dispatcher")


async def test_what_is_denied_for_another_reason_is_not_asked_about_again(
    pool: Pool, dispatching: Dispatching
) -> None:
    """A person releases it; and what no policy covers still is not asked about for ever."""
    first, second = await raise_alert(pool), await raise_alert(pool)
    place = f"none:{AUTHORITY}"
    ended, unknown = (
        addressed(one, destination=place, state="refused", reason=f"policy:{rule}")
        for one, rule in ((first, "not-in-force"), (second, "no-policy"))
    )
    await add(pool, ended)
    desk = desk_of(directory_of(authority="https://authority.test/x"))
    assert await reconsider(pool, desk, datetime.now(UTC)) == 0
    await add(pool, unknown)
    still = desk_of(
        directory_of(authority="https://authority.test/x"), changed(Flow.ALERT, **ENDED)
    )
    assert await reconsider(pool, still, datetime.now(UTC)) == 0
    assert await entries(pool, "alert") == []
    assert await reconsider(pool, desk, datetime.now(UTC)) == 1
