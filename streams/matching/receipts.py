"""A rung was reached: the event for subscribers, and the word to the hospital's contact.

Shared by the HTTP face (accept) and the dispatcher (delivered), so that both say the same thing
about the same change under the same id.
"""

from __future__ import annotations

from datetime import datetime

from halyard import ids
from halyard.kafka import Record, cloudevent_headers
from policies.desk import Desk
from schemas import codec
from schemas.events import AlertReceipt, Rung
from stores.alerts import AlertRow
from stores.audit import HUB
from stores.delivery_rows import DeliveryRow
from stores.outbox import Entry
from streams.matching import payload
from streams.matching.disclosing import Disclosed, disclosed

TOPIC = "safeguarding.alert.receipt.v1"


def receipt_entries(
    row: AlertRow,
    rung: Rung,
    *,
    at: datetime,
    source: str,
    desk: Desk,
    actor: str | None = None,
) -> tuple[Entry, Disclosed | None]:
    """The outbox entry (keyed by alert id) of `row` having reached `rung`, and what the hospital's
    contact is sent, if anything, as the policies of `desk` say. `actor`: who accepted.

    `row` is the row *after* the change: its version is in the id, so one change gives one id.
    `source` names the process that writes ("serve", "dispatcher"). The contact is told of an
    acceptance alone, and of a restricted person's nothing.
    """
    receipt = AlertReceipt(
        event_id=ids.derive("alert-receipt", str(row.alert_id), row.version, rung.value),
        alert_id=row.alert_id,
        version=row.version,
        rung=rung,
        at=at,
        authority=row.authority,
        hospital="" if row.restricted else row.hospital,
        by=row.accepted_by if rung is Rung.ACCEPTED else None,
        answer=row.answer if rung is Rung.ACCEPTED else None,
    )
    entry = Entry(
        Record(
            TOPIC,
            str(row.alert_id),
            codec.encode(receipt),
            cloudevent_headers(
                event_id=receipt.event_id,
                event_type="AlertReceipt",
                source=source,
                time=at,
                traceparent=row.traceparent,
            ),
        ),
        receipt.event_id,
    )
    hospital = desk.directory.hospitals.get(row.hospital)
    if (
        rung is not Rung.ACCEPTED
        or row.restricted
        or hospital is None
        or hospital.contact_endpoint is None
    ):
        return entry, None
    draft = DeliveryRow(
        destination=hospital.contact_endpoint,
        alert_id=row.alert_id,
        version=row.version,
        round=row.round,
        kind="receipt",
        body=b"",
        event_id=receipt.event_id,
        traceparent=row.traceparent,
        due_at=at,
        recipient=row.hospital,
        reviewer=row.authority,
        person=row.person,
    )
    return entry, disclosed(
        desk,
        draft,
        payload.receipt_body(receipt, desk.directory),
        actor=actor,
        organisation=HUB if actor is None else row.authority,
    )
