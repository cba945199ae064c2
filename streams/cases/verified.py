"""A verified message as the store keeps it, and as the rules and the case see it (pure)."""

from __future__ import annotations

import uuid
from dataclasses import replace

import orjson

from halyard.privacy import Keys
from schemas.deaths import (
    DeathMessageKind,
    DeathNotified,
    DeathVerified,
    Fact,
    ReportSubmitted,
    ReportVerified,
)
from stores.case_messages import DEATH, REPORT, MessageRow, stripped
from streams.cases.messages import Live, Message, Standing
from streams.cases.model import Notification

Verified = DeathVerified | ReportVerified


def notification_of(
    event: DeathVerified, case_id: uuid.UUID, live: Live | None = None
) -> Notification:
    notified = event.notified
    void = live.void if live is not None else None
    return Notification(
        source=notified.source,
        reference=notified.reference,
        case_id=case_id,
        notified=replace(notified, message=b""),
        voided=void is not None,
        indicator=event.indicator,
        identity_rule=event.rule,
        first_received_at=live.first_received_at if live is not None else notified.received_at,
        identity=event.identity,
        revision=event.revision,
        void_reason=void.reason if void is not None else None,
    )


def said_of(event: Verified) -> DeathNotified | ReportSubmitted:
    return event.notified if isinstance(event, DeathVerified) else event.report


def row_of(event: Verified, traceparent: str, keys: Keys) -> MessageRow:
    said = said_of(event)
    return MessageRow(
        reported_event_id=said.event_id,
        stream=DEATH if isinstance(event, DeathVerified) else REPORT,
        source=said.source,
        source_patient=said.source_patient,
        message_id=said.message_id,
        organisation=said.organisation,
        kind=said.kind.value,
        version=said.version,
        content_digest=content_of(said, keys),
        standing=Standing.HELD.value,
        rule="",
        received_at=said.received_at,
        due_at=None,
        revision=event.revision,
        answered_at=None,
        traceparent=traceparent,
        event=stripped(event),
    )


def message_of(row: MessageRow) -> Message:
    said = said_of(row.event)
    return Message(
        event_id=row.reported_event_id,
        kind=said.kind if isinstance(said, DeathNotified) else DeathMessageKind.SUBMITTED,
        version=row.version,
        content=row.content_digest,
        received_at=row.received_at,
        reason=said.reason,
        standing=Standing(row.standing),
        rule=row.rule,
        due_at=row.due_at,
    )


def content_of(said: DeathNotified | ReportSubmitted, keys: Keys) -> str:
    """Keyed digest of what a message says. A void says that, and why; a submission and an update
    may say the same.
    """
    if isinstance(said, DeathNotified):
        if said.kind is DeathMessageKind.VOIDED:
            return keys.token("case-content", "VOIDED", said.reason or "")
        what: tuple[str, ...] = ("NOTIFIED",)
    else:
        what = (said.kind.value, str(said.request_id), said.reason or "", said.died_at or "")
    facts = sorted(said.facts, key=_fact_order)
    return keys.token(
        "case-content",
        *what,
        said.form,
        orjson.dumps([said.claim, facts]).decode(),
    )


def _fact_order(fact: Fact) -> tuple[str, int, str]:
    return (fact.name, fact.row, fact.value or "")
