"""Receivers, a directory, alerts and their deliveries, for the tests beside this module."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from halyard import ids
from halyard.kafka import Record
from halyard.postgres import Pool, transaction
from halyard.privacy import Keys
from halyard.settings import DatabaseSettings, DeliverySettings, Settings
from halyard.telemetry import new_traceparent
from policies.desk import Desk
from policies.model import Policies, load_policies
from sandbox.receiver import Receiver, create_app, serve
from schemas import codec
from schemas.events import (
    AlertChange,
    AlertChanged,
    AlertContent,
    AlertFlag,
    AlertReceipt,
    Moment,
    PlanType,
)
from stores import alerts, delivery_rows
from stores.alerts import AlertRow
from stores.delivery_rows import DeliveryRow
from stores.directory import Authority, Directory, Endpoint, Hospital
from streams.matching import payload

AUTHORITY, HOSPITAL = "E10000099", "RZZ01"
SECRET = "practice-secret"  # pragma: allowlist secret
NUMBER = "9990000018"


def quick(**changes: float) -> DeliverySettings:
    """Settings under which a test need not wait long."""
    values: dict[str, float] = {
        "timeout_seconds": 1.0,
        "lease_seconds": 2.0,
        "first_retry_seconds": 0.1,
        "max_retry_seconds": 60.0,
        "breaker_seconds": 0.3,
        "poll_seconds": 0.1,
        **changes,
    }
    return DeliverySettings.model_validate(values)


@dataclass(slots=True)
class Running:
    """A receiver that listens."""

    receiver: Receiver
    port: int

    @property
    def url(self) -> str:
        """Where its webhooks go."""
        return f"http://127.0.0.1:{self.port}/webhook"

    def versions(self, alert_id: uuid.UUID) -> list[tuple[int, str]]:
        """(version, answer) of each webhook of an alert, in the order of the wire."""
        return [
            (one.version, one.answer)
            for one in self.receiver.received
            if one.alert_id == str(alert_id)
        ]


@dataclass(slots=True)
class _Service:
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def receiving(receiver: Receiver | None = None, *, port: int = 0) -> AsyncIterator[Running]:
    """A practice receiver on loopback."""
    receiver = receiver or Receiver(secret=SECRET, slow_seconds=1.5)
    service = _Service()
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    work = asyncio.create_task(
        serve(create_app(receiver), service, port=port, on_ready=found.set_result)
    )
    work.add_done_callback(lambda _: found.done() or found.cancel())
    try:
        yield Running(receiver, await found)
    finally:
        service.stopping.set()
        await work


def directory_of(**urls: str) -> Directory:
    """A directory with one authority, one hospital, and these endpoints."""
    return Directory(
        hospitals={
            HOSPITAL: Hospital(ods=HOSPITAL, name="Practice General", contact_endpoint="contact")
        },
        feeds=(),
        authorities={
            AUTHORITY: Authority(gss=AUTHORITY, name="Practiceshire", alert_endpoint="authority")
        },
        endpoints={
            name: Endpoint(name=name, url=url, secret="practice") for name, url in urls.items()
        },
        credentials=(),
    )


KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)


def desk_of(directory: Directory, policies: Policies | None = None) -> Desk:
    """A dispatcher's desk; with the product's own policies, if no others are given."""
    return Desk(policies or load_policies(None), directory, KEYS, "process:dispatcher")


class Bus:
    """Stands where Kafka stands: takes what the outbox publishes, or is away."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def send(self, records: Sequence[Record]) -> list[bool]:
        """As `streams.outbox_publisher.make_send`'s."""
        if not self.away:
            self.records.extend(records)
        return [not self.away] * len(records)

    def receipts(self) -> list[AlertReceipt]:
        """The receipts that are on the bus."""
        return [codec.decode_as(AlertReceipt, record.value) for record in self.records]


def make_settings(database_url: str) -> Settings:
    """Settings with nothing but a database."""
    return Settings.model_validate(
        {"database": DatabaseSettings.model_validate({"url": database_url, "pool_size": 6})}
    )


def content(
    alert_id: uuid.UUID, version: int, change: AlertChange, *, reason: str | None = None
) -> AlertChanged:
    """One version of an alert about an invented person."""
    now = datetime.now(UTC)
    return AlertChanged(
        event_id=ids.derive("alert-changed", str(alert_id), version, change.value),
        alert_id=alert_id,
        version=version,
        change=change,
        changed_at=now,
        authority=AUTHORITY,
        hospital=HOSPITAL,
        person="0" * 32,
        provisional=False,
        late=False,
        restricted=False,
        rule="arrival",
        content=AlertContent(
            nhs_number=NUMBER,
            flags=(AlertFlag(PlanType.CPP, "2025-01-01", None, True),),
            arrived_at=Moment(now),
            visit_state="present",
            hospital=HOSPITAL,
            hospital_name="Practice General",
            department="Emergency department",
            site_ods=None,
            mode_of_arrival=None,
            reason=reason,
            admission_method=None,
            earlier_attendances=0,
            callback_name=None,
            callback_phone=None,
        ),
    )


async def raise_alert(pool: Pool, alert_id: uuid.UUID | None = None) -> AlertRow:
    """Write an alert's row, as matching does when it raises one; no deliveries yet."""
    alert_id = alert_id or uuid.uuid4()
    event = content(alert_id, 1, AlertChange.RAISED)
    row = AlertRow(
        alert_id=alert_id,
        person=event.person,
        authority=AUTHORITY,
        hospital=HOSPITAL,
        source_patient="1" * 32,
        visit_ids=(uuid.uuid4(),),
        version=1,
        state=alerts.RAISED,
        provisional=False,
        late=False,
        restricted=False,
        rule="arrival",
        content=event,
        content_digest="d",
        round=1,
        raised_at=event.changed_at,
        changed_at=event.changed_at,
        arrival_received_at=event.changed_at,
        traceparent=new_traceparent(),
    )
    async with transaction(pool) as connection:
        await alerts.save(connection, [row])
    return row


def delivery(
    alert: AlertRow,
    version: int = 1,
    change: AlertChange = AlertChange.RAISED,
    *,
    destination: str = "authority",
    kind: str = "alert",
) -> DeliveryRow:
    """What is to be sent of a version of an alert."""
    event = content(alert.alert_id, version, change)
    body = payload.dump(payload.alert_body(event, directory_of()))
    if kind != "alert":
        at = event.changed_at.isoformat()
        body = orjson.dumps(
            {
                "schema": f"halyard.{kind}.v1",
                "alert_id": str(alert.alert_id),
                "version": version,
                "changed_at" if kind == "match" else "at": at,
            }
        )
    return DeliveryRow(
        destination=destination,
        alert_id=alert.alert_id,
        version=version,
        round=alert.round,
        kind=kind,
        body=body,
        event_id=event.event_id,
        traceparent=alert.traceparent,
        due_at=event.changed_at,
    )


async def add(pool: Pool, *rows: DeliveryRow) -> None:
    """Write rows in one transaction, with the hint."""
    async with transaction(pool) as connection:
        await delivery_rows.add(connection, rows)


async def states(pool: Pool, alert_id: uuid.UUID) -> list[tuple[int, str, str]]:
    """(version, kind, state) of each delivery of an alert, in order."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select version, kind, state from deliveries where alert_id = %s order by position",
            (alert_id,),
        )
        return [(row["version"], row["kind"], row["state"]) for row in await cursor.fetchall()]
