"""The letter of a question about a worklist entry, to whose record it is (a draft)."""

from __future__ import annotations

from datetime import datetime

from connectors.fhir import worklist_letters
from connectors.fhir.own_records import OwnRecord
from halyard.ids import derive
from policies.desk import Desk
from policies.ruling import Flow
from schemas import codec
from schemas.events import AttendanceReported
from stores.claims import ClaimRow
from stores.mailbox import Letter
from stores.resolutions import Resolution
from stores.worklist import WorklistEntry
from streams.identity.evidence import Death
from streams.letters import Draft


def draft(
    desk: Desk,
    order: Resolution,
    entry: WorklistEntry,
    row: ClaimRow,
    now: datetime,
) -> Draft:
    """One letter of one decision to ask: written twice it is the same."""
    event = codec.decode(row.event) if row.event is not None else None
    letter_id = derive("letter", worklist_letters.QUESTION, str(order.resolution_id))
    body = worklist_letters.question(
        letter_id=letter_id,
        at=now,
        organisation=entry.organisation,
        entry_id=entry.entry_id,
        code=order.code or "",
        record=OwnRecord(
            local_id=entry.local_id,
            upload_id=entry.upload_id,
            line=entry.line,
            message_id=event.message_id if isinstance(event, AttendanceReported | Death) else None,
        ),
    )
    return Draft(
        Letter(
            letter_id=letter_id,
            organisation=entry.organisation,
            kind=worklist_letters.QUESTION,
            body=body,
            created_at=now,
            endpoint=desk.directory.message_endpoint(entry.organisation),
            traceparent=row.traceparent,
        ),
        Flow.WORKLIST,
        reviewer=entry.organisation,
        person=entry.person,
        subject=f"worklist:{entry.entry_id}",
        reason=order.reason,
    )
