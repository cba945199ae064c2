"""What identity says on the bus: whom an event is of, or no longer, and what is unresolved."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from halyard import ids
from halyard.errors import ContractError
from halyard.kafka import Record, cloudevent_headers
from halyard.privacy import Keys
from schemas import codec, topics
from schemas.deaths import DeathNotified, DeathVerified, ReportVerified
from schemas.events import (
    Assertion,
    AttendanceReported,
    AttendanceVerified,
    FlagRecord,
    FlagSubmitted,
    FlagVerified,
    Identity,
    IdentityStatus,
    IdentityUnresolved,
    NhsNumberStatus,
    PersonClaim,
    PlanType,
)
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.outbox import Entry
from stores.worklist import WorklistEntry
from streams.identity.evidence import Death, Reported, is_merge


@dataclass(frozen=True, slots=True)
class Statement:
    """One assertion or retraction of a reported event's person."""

    revision: int
    assertion: Assertion
    person: KnownPerson
    state: ClaimState
    indicator: NhsNumberStatus
    basis: str
    rule: str
    at: datetime
    source_patient: str  # of the visit: the patient that the event's own was merged into


def verified_entry(keys: Keys, row: ClaimRow, event: Reported, said: Statement) -> Entry:
    """The record for matching, keyed by the person it names. Raises as `verified` does."""
    body = verified(row, event, said)
    topic = topics.FLAG_VERIFIED
    if isinstance(body, AttendanceVerified):
        topic = topics.ATTENDANCE_VERIFIED
    key = keys.bus_person(said.person.nhs_number)
    return _entry(topic, key, body, body.event_id, row.traceparent, said.at)


def verified(row: ClaimRow, event: Reported, said: Statement) -> AttendanceVerified | FlagVerified:
    """What matching is told of an event.

    Raises `ContractError` for a message about a death, of which nothing is asserted or retracted.
    """
    event_id = ids.derive("verified", str(row.reported_event_id), said.revision, said.assertion)
    proven = said.state is ClaimState.VERIFIED
    identity = identity_of(
        said.person,
        IdentityStatus.VERIFIED if proven else IdentityStatus.PROVISIONAL,
        said.indicator,
        said.basis,
        said.rule,
        said.at,
    )
    if isinstance(event, AttendanceReported):
        return AttendanceVerified(
            event_id=event_id,
            reported_event_id=row.reported_event_id,
            revision=said.revision,
            assertion=said.assertion,
            identity=identity,
            source=event.source,
            organisation=event.organisation,
            message_id=event.message_id,
            received_at=event.received_at,
            trigger=event.trigger,
            kind=event.kind,
            arrival=event.arrival,
            arrival_rule=event.arrival_rule,
            visit_id=event.visit_id,
            source_patient=said.source_patient,
            recorded_at=event.recorded_at,
            occurred_at=event.occurred_at,
            message_at=event.message_at,
            sequence=event.sequence,
            detail=event.detail,
            marks=event.marks,
        )
    if isinstance(event, FlagSubmitted):
        return FlagVerified(
            event_id=event_id,
            reported_event_id=row.reported_event_id,
            revision=said.revision,
            assertion=said.assertion,
            identity=identity,
            authority=event.source,
            upload_id=event.upload_id,
            line=event.line,
            sequence=event.sequence,
            received_at=event.received_at,
            record=event.record or FlagRecord(plan_type=PlanType.UNKNOWN),
            marks=event.marks,
        )
    raise ContractError("A message about a death is told, never asserted or retracted.")


def told_entry(
    keys: Keys, row: ClaimRow, event: Death, person: KnownPerson | None, basis: str
) -> Entry:
    """The record of a death's message for the cases, without the sender's bytes: keyed by the
    verified person, else as it came. `row.revision` is its own.
    """
    event_id = ids.derive("told", str(row.reported_event_id), row.revision)
    at, indicator, rule = row.decided_at, row.indicator, row.rule
    identity = None
    if person is not None:
        identity = identity_of(person, IdentityStatus.VERIFIED, indicator, basis, rule, at)
    body: DeathVerified | ReportVerified
    if isinstance(event, DeathNotified):
        topic = topics.DEATH_VERIFIED
        body = DeathVerified(
            event_id=event_id,
            reported_event_id=row.reported_event_id,
            revision=row.revision,
            indicator=indicator,
            rule=rule,
            decided_at=at,
            notified=replace(event, message=b""),
            identity=identity,
        )
    else:
        topic = topics.REPORT_VERIFIED
        body = ReportVerified(
            event_id=event_id,
            reported_event_id=row.reported_event_id,
            revision=row.revision,
            indicator=indicator,
            rule=rule,
            decided_at=at,
            report=replace(event, message=b""),
            identity=identity,
        )
    key = event.source_person if person is None else keys.bus_person(person.nhs_number)
    return _entry(topic, key, body, event_id, row.traceparent, at)


def again_entry(
    keys: Keys,
    body: AttendanceVerified | FlagVerified,
    *,
    revision: int,
    assertion: Assertion,
    identity: Identity,
    traceparent: str,
) -> Entry:
    """What was said of an event before, said of `identity`: its own bytes may be emptied by now."""
    event_id = ids.derive("verified", str(body.reported_event_id), revision, assertion)
    body = replace(
        body, event_id=event_id, revision=revision, assertion=assertion, identity=identity
    )
    topic = topics.FLAG_VERIFIED
    if isinstance(body, AttendanceVerified):
        topic = topics.ATTENDANCE_VERIFIED
    key = keys.bus_person(identity.nhs_number)
    return _entry(topic, key, body, event_id, traceparent, identity.decided_at)


def told_again_entry(
    keys: Keys,
    body: DeathVerified | ReportVerified,
    *,
    revision: int,
    identity: Identity | None,
    indicator: NhsNumberStatus,
    rule: str,
    at: datetime,
    traceparent: str,
) -> Entry:
    """What was told of a message about a death, told of `identity` or of nobody any more."""
    event_id = ids.derive("told", str(body.reported_event_id), revision)
    body = replace(
        body,
        event_id=event_id,
        revision=revision,
        indicator=indicator,
        rule=rule,
        decided_at=at,
        identity=identity,
    )
    said = body.notified if isinstance(body, DeathVerified) else body.report
    topic = topics.DEATH_VERIFIED if isinstance(body, DeathVerified) else topics.REPORT_VERIFIED
    key = said.source_person if identity is None else keys.bus_person(identity.nhs_number)
    return _entry(topic, key, body, event_id, traceparent, at)


def unresolved_entry(row: ClaimRow, event: Reported, at: datetime) -> Entry:
    """The record that says nobody could be named."""
    event_id = ids.derive("unresolved", str(row.reported_event_id), row.revision)
    body = IdentityUnresolved(
        event_id=event_id,
        reported_event_id=row.reported_event_id,
        event_kind=row.event_kind,
        source=event.source,
        organisation=event.organisation,
        indicator=row.indicator,
        rule=row.rule,
        decided_at=at,
    )
    key = event.source_person
    return _entry(topics.IDENTITY_UNRESOLVED, key, body, event_id, row.traceparent, at)


def worklist_entry(row: ClaimRow, event: Reported, at: datetime) -> WorklistEntry:
    """What the organisation's worklist shows."""
    flag = event if isinstance(event, FlagSubmitted) else None
    claim = event.claim
    return WorklistEntry(
        entry_id=ids.derive("worklist", str(row.reported_event_id)),
        reported_event_id=row.reported_event_id,
        event_kind=row.event_kind,
        organisation=event.organisation,
        source=event.source,
        rule=row.rule,
        indicator=row.indicator,
        local_id=claim.local_id if claim else None,
        upload_id=flag.upload_id if flag else None,
        line=flag.line if flag else None,
        opened_at=at,
        key=row.key if flag else None,
        plan_type=_plan_of(flag).get("plan_type"),
        # a merge is of patients, not of a person
        claim={**_claim_of(claim), **_plan_of(flag)} if claim and not is_merge(event) else None,
    )


def _plan_of(flag: FlagSubmitted | None) -> dict[str, str]:
    """Which plan a flag's record is of: one that is sent again ends its entry."""
    return {} if flag is None or flag.record is None else {"plan_type": flag.record.plan_type.value}


def _claim_of(claim: PersonClaim) -> dict[str, Any]:
    """Of whom it is, as it was sent: without the postcode, which an entry never shows."""
    return {
        "nhs_number": claim.nhs_number,
        "family": claim.family,
        "given": list(claim.given),
        "birth_date": claim.birth_date,
        "gender": claim.gender,
    }


def identity_of(
    person: KnownPerson,
    status: IdentityStatus,
    indicator: NhsNumberStatus,
    basis: str,
    rule: str,
    at: datetime,
) -> Identity:
    """Whom something is said of, as it stands on the bus."""
    return Identity(
        person=person.person,
        status=status,
        indicator=indicator,
        basis=basis,
        rule=rule,
        decided_at=at,
        nhs_number=person.nhs_number,
        birth_date=person.birth_date,
        restricted=person.restricted,
    )


def _entry(
    topic: str,
    key: str,
    body: AttendanceVerified | FlagVerified | DeathVerified | ReportVerified | IdentityUnresolved,
    event_id: uuid.UUID,
    traceparent: str,
    at: datetime,
) -> Entry:
    headers = cloudevent_headers(
        event_id=event_id,
        event_type=type(body).__name__,
        source="identity",
        time=at,
        traceparent=traceparent,
    )
    return Entry(Record(topic, key, codec.encode(body), headers), event_id)
