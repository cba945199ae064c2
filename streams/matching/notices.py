"""Who is told of a change: the event for subscribers, the rows for the dispatcher, and what the
audit chain keeps of them (pure).
"""

from __future__ import annotations

from dataclasses import dataclass

from halyard.kafka import Record, cloudevent_headers
from policies.desk import Desk
from schemas import codec
from schemas.events import AlertChange
from stores.delivery_rows import DeliveryRow
from stores.outbox import Entry
from streams.matching import payload
from streams.matching.alerts import Change
from streams.matching.disclosing import Disclosed, disclosed

TOPIC = "safeguarding.alert.changed.v1"


@dataclass(frozen=True, slots=True)
class Notices:
    """What leaves because of one change; `unreachable`: the authority's alert waits until an
    endpoint is registered.
    """

    entry: Entry
    disclosed: tuple[Disclosed, ...]
    unreachable: bool

    @property
    def deliveries(self) -> tuple[DeliveryRow, ...]:
        """The rows to write, in order."""
        return tuple(one.row for one in self.disclosed)


def no_endpoint(authority: str, *, restricted: bool) -> str:
    """The destination of an authority (GSS code) that has registered none yet; its rows wait."""
    return f"none-restricted:{authority}" if restricted else f"none:{authority}"


def notices(change: Change, desk: Desk) -> Notices:
    """What `change` (which has a kind) makes leave the hub, as the policies of `desk` say.

    The authority hears of every version; a restricted person's goes only to the contact that it
    registered for restricted people. Without an endpoint the row waits until there is one. The
    hospital's safeguarding contact hears that a match began or was withdrawn, and of restricted
    people nothing.
    """
    row, event, directory = change.row, change.row.content, desk.directory
    entry = Entry(
        Record(
            TOPIC,
            str(row.alert_id),
            codec.encode(event),
            cloudevent_headers(
                event_id=event.event_id,
                event_type="AlertChanged",
                source="matching",
                time=event.changed_at,
                traceparent=change.traceparent,
            ),
        ),
        event.event_id,
    )

    def told(destination: str, kind: str, body: payload.Members) -> Disclosed:
        to_authority = kind == "alert"
        draft = DeliveryRow(
            destination=destination,
            alert_id=row.alert_id,
            version=row.version,
            round=row.round,
            kind=kind,
            body=b"",
            event_id=event.event_id,
            traceparent=change.traceparent,
            due_at=event.changed_at,
            recipient=row.authority if to_authority else row.hospital,
            reviewer=row.hospital if to_authority else row.authority,
            person=row.person,
            restricted=row.restricted,
        )
        return disclosed(desk, draft, body)

    deliveries: list[Disclosed] = []
    authority = directory.authorities.get(row.authority)
    endpoint = None
    if authority is not None:
        endpoint = authority.restricted_endpoint if row.restricted else authority.alert_endpoint
    hospital = directory.hospitals.get(row.hospital)
    callback = None
    if row.restricted and hospital is not None:
        callback = (hospital.callback_name, hospital.callback_phone)
    deliveries.append(
        told(
            endpoint or no_endpoint(row.authority, restricted=row.restricted),
            "alert",
            payload.alert_body(event, directory, callback=callback),
        )
    )
    if (
        change.change in (AlertChange.RAISED, AlertChange.WITHDRAWN)
        and hospital is not None
        and hospital.contact_endpoint is not None
        and not row.restricted
    ):
        body = payload.match_body(event, directory, phones=change.phones)
        deliveries.append(told(hospital.contact_endpoint, "match", body))
    return Notices(entry, tuple(deliveries), unreachable=endpoint is None)
