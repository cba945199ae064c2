"""Builders for the identity of deaths: messages about invented children, and what was told."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from halyard import ids
from halyard.kafka import Record
from schemas import codec
from schemas.deaths import (
    DeathIndication,
    DeathMessageKind,
    DeathNotified,
    DeathVerified,
    ReportKind,
    ReportSubmitted,
    ReportVerified,
)
from schemas.events import Identity, PersonClaim
from stores.outbox import Entry
from tests.support.identity import CHILD, HOSPITAL, KEYS, NOW

SUBMITTED, UPDATED = DeathMessageKind.SUBMITTED, DeathMessageKind.UPDATED
VOIDED, INDICATED = DeathMessageKind.VOIDED, DeathMessageKind.INDICATED
FEED = "deaths"


def death(
    claim: PersonClaim = CHILD,
    *,
    reference: str = "N1",
    version: int = 1,
    kind: DeathMessageKind = SUBMITTED,
    message_id: str | None = None,
    received_at: datetime = NOW,
    **changes: Any,
) -> DeathNotified:
    """A message about the notification that the hospital calls `reference`."""
    message_id = message_id or f"{reference}-{version}-{kind}"
    local = f"death:{reference}"
    return DeathNotified(
        event_id=ids.derive("death", FEED, message_id, "digest"),
        source=FEED,
        organisation=HOSPITAL,
        message_id=message_id,
        digest="digest",
        received_at=received_at,
        kind=kind,
        source_person=KEYS.source_person(FEED, local, None, None),
        source_patient=KEYS.source_patient(FEED, local, None, None),
        reference=reference,
        version=version,
        claim=claim,
        **{"died_at": "2026-03-01", "message": b"{}", **changes},
    )


def indicated(
    claim: PersonClaim = CHILD, *, local_id: str = "L1", message_id: str = "I1", **changes: Any
) -> DeathNotified:
    """A hospital's record says that its patient `local_id` has died."""
    made = death(replace(claim, local_id=local_id), kind=INDICATED, message_id=message_id)
    local = f"indicated:{local_id}"
    return replace(
        made,
        reference="",
        version=0,
        indication=DeathIndication.HOSPITAL,
        source_person=KEYS.source_person(FEED, local, None, None),
        source_patient=KEYS.source_patient(FEED, local, None, None),
        **changes,
    )


def report(
    claim: PersonClaim = CHILD,
    *,
    reference: str = "R1",
    version: int = 1,
    kind: ReportKind = ReportKind.REPORT,
    request_id: uuid.UUID | None = None,
) -> ReportSubmitted:
    """An agency's report about a child."""
    message_id = f"{reference}-{version}-{kind}"
    local = f"report:{reference}"
    return ReportSubmitted(
        event_id=ids.derive("report", FEED, message_id, "digest"),
        source=FEED,
        organisation=HOSPITAL,
        message_id=message_id,
        digest="digest",
        received_at=NOW,
        kind=kind,
        source_person=KEYS.source_person(FEED, local, None, None),
        source_patient=KEYS.source_patient(FEED, local, None, None),
        reference=reference,
        version=version,
        request_id=request_id,
        claim=claim,
        message=b"{}",
    )


@dataclass(frozen=True, slots=True)
class Told:
    """One statement about a death's message, briefly."""

    event: uuid.UUID
    revision: int
    person: str | None
    indicator: str
    rule: str


def statements(
    values: Iterable[Entry | Record | bytes],
) -> list[DeathVerified | ReportVerified]:
    """The statements about deaths' messages among outbox entries, records or bytes, in order."""
    found = []
    for one in values:
        record = one.record if isinstance(one, Entry) else one
        event = codec.decode(record.value if isinstance(record, Record) else record)
        if isinstance(event, DeathVerified | ReportVerified):
            found.append(event)
    return found


def told(values: Iterable[Entry | Record | bytes]) -> list[Told]:
    """As `statements`, briefly."""
    return [
        Told(
            one.reported_event_id,
            one.revision,
            one.identity.person if one.identity else None,
            one.indicator.name,
            one.rule,
        )
        for one in statements(values)
    ]


def identity_of(values: Iterable[Entry | Record | bytes], event_id: uuid.UUID) -> Identity | None:
    """Whom the highest revision of a message names."""
    mine = [one for one in statements(values) if one.reported_event_id == event_id]
    return max(mine, key=lambda one: one.revision).identity


def told_id(event_id: uuid.UUID, revision: int) -> uuid.UUID:
    """The id of a statement: of the message and the revision alone."""
    return ids.derive("told", str(event_id), revision)
