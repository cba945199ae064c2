"""Notices that somebody looked, on their way to authorities and Caldicott guardians."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from halyard.postgres import Pool, transaction
from halyard.telemetry import new_traceparent
from stores import alerts, audit, delivery_rows
from stores.accesses import Access, Recorded
from stores.directory import Directory
from streams.matching.access_notices import to_authority, to_guardian
from tests.integration.delivery.conftest import Dispatching
from tests.integration.delivery.practice import (
    AUTHORITY,
    HOSPITAL,
    NUMBER,
    Bus,
    desk_of,
    directory_of,
    raise_alert,
    receiving,
    states,
)
from tests.support.waiting import aeventually

NOW = datetime.now(UTC)


def look(access_id: uuid.UUID, purpose: str = "urgent-care") -> Recorded:
    """A look from the hospital."""
    return Recorded(
        access=Access(
            access_id=access_id,
            looked_at=NOW,
            organisation=HOSPITAL,
            author="user:1",
            author_name="Nora Nurse",
            author_person=True,
            job_role="Nurse",
            roles=("clinician",),
            purpose=purpose,
            unscheduled=True,
            interface="flags-query",
        ),
        person="0" * 32,
        request_id="r",
        flagged=True,
        listed=True,
        reason="in an emergency",
    )


def with_guardian(directory: Directory) -> Directory:
    """The hospital has registered where its Caldicott guardian is told."""
    known = directory.hospitals[HOSPITAL]
    guarded = known.model_copy(update={"caldicott_endpoint": "contact"})
    return replace(directory, hospitals={HOSPITAL: guarded})


async def test_a_notice_is_delivered_and_touches_no_rung(
    pool: Pool, dispatching: Dispatching, bus: Bus
) -> None:
    """Even if its id were an alert's: no alert is told, and no receipt goes out."""
    async with receiving() as authority:
        alert = await raise_alert(pool)
        directory = directory_of(authority=authority.url)
        made = to_authority(
            look(alert.alert_id),
            AUTHORITY,
            desk_of(directory),
            nhs_number=NUMBER,
            hidden=False,
            traceparent=new_traceparent(),
            now=NOW,
        )
        async with transaction(pool) as connection:
            await delivery_rows.add(connection, [made.row])
            await audit.append(connection, [made.entry])
        await dispatching(directory)
        await aeventually(lambda: authority.receiver.received)
        (got,) = authority.receiver.received
        assert (got.kind, got.alert_id) == ("access", str(alert.alert_id))
        assert got.body["organisation"]["code"] == HOSPITAL

        async def done() -> bool:
            return await states(pool, alert.alert_id) == [(1, "access", "delivered")]

        await aeventually(done)
        async with transaction(pool) as connection:
            row = await alerts.lock_alert(connection, alert.alert_id)
        assert row is not None
        assert (row.version, row.delivered_at) == (1, None)
        assert bus.records == []


async def test_a_broken_glass_waits_for_the_guardians_endpoint(
    pool: Pool, dispatching: Dispatching
) -> None:
    """Written before the organisation had registered one, sent as soon as it has."""
    access_id = uuid.uuid4()
    async with receiving() as guardian:
        directory = directory_of(contact=guardian.url)
        made = to_guardian(
            look(access_id, "break-glass"),
            desk_of(directory),
            nhs_number=NUMBER,
            restricted=False,
            traceparent=new_traceparent(),
            now=NOW,
        )
        assert made.row.destination == f"none-caldicott:{HOSPITAL}"
        async with transaction(pool) as connection:
            await delivery_rows.add(connection, [made.row])
        await dispatching(with_guardian(directory))
        await aeventually(lambda: guardian.receiver.received)
        (got,) = guardian.receiver.received
        assert (got.body["break_glass"], got.body["reason"]) == (True, "in an emergency")
        assert got.body["authority"] is None
