"""What the cases stage says: events on the bus, and the answer to each message's sender."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.fhir import letters
from connectors.ncmd.disclosing import asked as ncmd_asked
from halyard import ids, metrics
from halyard.kafka import Record, cloudevent_headers
from policies.desk import Desk
from policies.ruling import Flow
from schemas import codec, topics
from stores.audit import AuditEntry
from stores.case_messages import MessageRow
from stores.directory import Directory
from stores.mailbox import Letter
from stores.outbox import Entry
from streams.cases.changes import Change, Requested
from streams.cases.messages import WORDS, Answer
from streams.letters import Draft

REJECTED = "rejected"


def changed_entries(changes: Sequence[Change], values: Sequence[bytes]) -> list[Entry]:
    """The records of new versions of cases, keyed by case; `values` as the history has them."""
    return [
        Entry(
            Record(
                topics.CASE_CHANGED,
                str(one.changed.case_id),
                value,
                cloudevent_headers(
                    event_id=one.changed.event_id,
                    event_type="CaseChanged",
                    source="cases",
                    time=one.changed.changed_at,
                    traceparent=one.traceparent,
                ),
            ),
            one.changed.event_id,
        )
        for one, value in zip(changes, values, strict=True)
    ]


def ncmd_entries(changes: Sequence[Change], desk: Desk) -> list[AuditEntry]:
    """That the National Child Mortality Database is told of each version, and of which facts: its
    connector reads them from the bus and has no right on this schema. It asks the same policies
    the same, and keeps and submits what they permit alone.
    """
    return [_ncmd_entry(one, desk) for one in changes]


def _ncmd_entry(change: Change, desk: Desk) -> AuditEntry:
    changed = change.changed
    said = ncmd_asked(desk.policies, changed, changed.changed_at)
    decision = said.ruling.decision.value
    metrics.count("halyard_disclosures_total", flow=said.disclosure.flow.value, decision=decision)
    return desk.entry(
        said,
        at=changed.changed_at,
        entry_id=ids.derive("audit", "ncmd", str(changed.event_id)),
        person=change.person,
        case_id=changed.case_id,
        subject=f"case:{changed.case_id}",
        message_id=str(changed.event_id),
        detail=(("version", str(changed.version)),),
    )


def requested_entries(requested: Sequence[Requested]) -> list[Entry]:
    """The records of new versions of report requests, keyed by the case they were made for."""
    return [
        Entry(
            Record(
                topics.REPORT_REQUESTED,
                str(event.case_id),
                codec.encode(event),
                cloudevent_headers(
                    event_id=event.event_id,
                    event_type="ReportRequested",
                    source="cases",
                    time=event.changed_at,
                    traceparent=traceparent,
                ),
            ),
            event.event_id,
        )
        for event, _, traceparent, _ in requested
    ]


def answer_letter(
    message: MessageRow, answer: Answer, reference: str, directory: Directory, now: datetime
) -> Draft:
    """The acknowledgement or rejection of a message: one for each reported event."""
    rejected = answer.rejection is not None
    kind = letters.REJECTION if rejected else letters.ACKNOWLEDGEMENT
    letter_id = ids.derive("letter", kind, str(message.reported_event_id), message.organisation)
    if answer.rejection is not None:
        body = letters.rejection(
            letter_id=letter_id,
            at=now,
            organisation=message.organisation,
            answers=message.message_id,
            receipt=message.reported_event_id,
            reference=reference,
            version=message.version,
            status=REJECTED,
            issues=[(answer.rejection, WORDS[answer.rejection])],
        )
    else:
        body = letters.acknowledgement(
            letter_id=letter_id,
            at=now,
            organisation=message.organisation,
            answers=message.message_id,
            receipt=message.reported_event_id,
            reference=reference,
            version=message.version,
            status=answer.status or "",
            warnings=[(one, WORDS[one]) for one in answer.warnings],
        )
    letter = Letter(
        letter_id=letter_id,
        organisation=message.organisation,
        kind=kind,
        body=body,
        created_at=now,
        endpoint=directory.message_endpoint(message.organisation),
        about=message.reported_event_id,
        message_id=message.message_id,
        traceparent=message.traceparent,
    )
    return Draft(letter, Flow.CASE_EVENT)
