"""Alert rows as matching leaves them, with a made-up child."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from halyard.postgres import Pool, transaction
from schemas.events import (
    AlertChange,
    AlertChanged,
    AlertContent,
    AlertFlag,
    Moment,
    PlanType,
)
from stores import alerts
from stores.alerts import AlertRow
from tests.support.face import INFIRMARY, NORTH

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NUMBER = "9990000018"
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def alert(number: int = 1, **changes: Any) -> AlertRow:
    """A raised alert of North about a child in the Infirmary; `number` makes id and time."""
    at = AT + timedelta(seconds=number)
    alert_id = uuid.UUID(int=number)
    authority = changes.get("authority", NORTH)
    hospital = changes.get("hospital", INFIRMARY)
    content = AlertChanged(
        event_id=uuid.UUID(int=10_000 + number),
        alert_id=alert_id,
        version=1,
        change=AlertChange.RAISED,
        changed_at=at,
        authority=authority,
        hospital=hospital,
        person="p",
        provisional=False,
        late=False,
        restricted=bool(changes.get("restricted", False)),
        rule="arrival",
        content=AlertContent(
            nhs_number=NUMBER,
            flags=(AlertFlag(PlanType.CPP, "2025-01-06", None, active=True, local_id="C-1"),),
            arrived_at=Moment(at),
            visit_state="present",
            hospital=hospital,
            hospital_name="Infirmary",
            department="Emergency Department",
            site_ods=None,
            mode_of_arrival=None,
            reason="Fall",
            admission_method=None,
            earlier_attendances=0,
            callback_name="Safeguarding nurse",
            callback_phone="01632 960100",
        ),
    )
    row = AlertRow(
        alert_id=alert_id,
        person="p",
        authority=authority,
        hospital=hospital,
        source_patient="s",
        visit_ids=(uuid.UUID(int=1),),
        version=1,
        state="raised",
        provisional=False,
        late=False,
        restricted=False,
        rule="arrival",
        content=content,
        content_digest="d",
        round=1,
        raised_at=at,
        changed_at=at,
        arrival_received_at=at,
        traceparent=TRACE,
    )
    return replace(row, **changes)


async def save(pool: Pool, *rows: AlertRow) -> None:
    """Put rows where matching puts them."""
    async with transaction(pool) as connection:
        await alerts.save(connection, rows)
