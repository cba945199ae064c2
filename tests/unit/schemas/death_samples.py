"""One child-death event of every type with every field set, for the golden bytes; synthetic."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseContent,
    CaseFact,
    CaseState,
    DeathEvent,
    DeathIndication,
    DeathMessageKind,
    DeathNotified,
    DeathVerified,
    Eligibility,
    Fact,
    FactKind,
    FlagAtDeath,
    FlagHistory,
    LastAttendance,
    NotificationLink,
    ReportKind,
    ReportLink,
    ReportRequested,
    ReportSubmitted,
    ReportVerified,
    RequestLink,
    RequestState,
    TrackingNumber,
)
from schemas.events import Identifier, Identity, IdentityStatus, NhsNumberStatus, PersonClaim

NUMBER = "9990000018"  # of the test range
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
PSEUDONYM = "0123456789abcdef" * 2
FORM = "urn:halyard:fhir:questionnaire:death-notification|2026"


def _id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


CLAIM = PersonClaim(
    nhs_number=NUMBER,
    nhs_number_status=NhsNumberStatus.VERIFIED,
    family="Exâmple",
    given=("Sam",),
    birth_date="2019-06",
    identifiers=(Identifier("local-record", "A-7", ""),),
    multiple_birth=False,
    birth_order=1,
)
FACT = Fact(
    name="professional.role",
    row=1,
    value="general-practitioner",
    absent="unknown",
    kind=FactKind.OPINION,
    as_at="2026-02",
)
IDENTITY = Identity(
    person=PSEUDONYM,
    status=IdentityStatus.VERIFIED,
    indicator=NhsNumberStatus.VERIFIED,
    basis="pds-get",
    rule="verified",
    decided_at=AT,
    nhs_number=NUMBER,
    birth_date="2019-06-01",
    restricted=True,
)
NOTIFIED = DeathNotified(
    event_id=_id(1),
    source="northtown-fhir",
    organisation="RXX01",
    message_id="d9d1c7a8-8a4e-4d0c-9d43-2f2d3c1f0a01",
    digest=PSEUDONYM,
    received_at=AT,
    kind=DeathMessageKind.VOIDED,
    source_person=PSEUDONYM,
    source_patient=PSEUDONYM,
    reference="N-1",
    version=2,
    sent_at=AT,
    form=FORM,
    reason="duplicate",
    claim=CLAIM,
    facts=(FACT,),
    indication=DeathIndication.PDS_FORMAL,
    died_at="2026-03",
    effective_at=AT,
    marks=("header-not-first",),
    content_type="application/json",
    message=b"{}",
)
REPORT = ReportSubmitted(
    event_id=_id(2),
    source="northtown-surgery",
    organisation="Y00001",
    message_id="d9d1c7a8-8a4e-4d0c-9d43-2f2d3c1f0a02",
    digest=PSEUDONYM,
    received_at=AT,
    kind=ReportKind.PARTIAL,
    source_person=PSEUDONYM,
    source_patient=PSEUDONYM,
    reference="R-1",
    version=3,
    request_id=_id(3),
    sent_at=AT,
    form="urn:halyard:fhir:questionnaire:agency-report|2026",
    reason="no contact",
    claim=CLAIM,
    facts=(FACT,),
    died_at="2026-03-01",
    marks=("header-not-first",),
    content_type="application/json",
    message=b"{}",
)
CASE_FACT = CaseFact(fact=FACT, organisation="RXX01", event_id=_id(1), stated_at=AT, form=FORM)
CONTENT = CaseContent(
    state=CaseState.OPEN,
    eligibility=Eligibility.IN_SCOPE,
    eligibility_rule="child",
    indicator=NhsNumberStatus.VERIFIED,
    identity_rule="verified",
    flag_history=FlagHistory.PREVIOUSLY,
    nhs_number=NUMBER,
    restricted=True,
    panel="northtown",
    panel_rule="residence",
    panels_informed=("northtown", "southtown"),
    needs=("panel",),
    facts=(CASE_FACT,),
    conflicts=("death.date",),
    notifications=(
        NotificationLink(
            source="northtown-fhir",
            organisation="RXX01",
            version=2,
            voided=True,
            event_id=_id(1),
            received_at=AT,
            reference="N-1",
            reason="duplicate",
        ),
    ),
    reports=(
        ReportLink(
            organisation="Y00001",
            kind=ReportKind.NOTHING_KNOWN,
            version=1,
            event_id=_id(2),
            received_at=AT,
            request_id=_id(3),
        ),
    ),
    requests=(
        RequestLink(
            request_id=_id(3),
            agency="Y00001",
            role="general-practitioner",
            state=RequestState.REQUESTED,
            due_at=AT,
        ),
    ),
    tracking=(TrackingNumber(system="urn:example:coroner", value="C/1", organisation="RXX01"),),
    flags=(
        FlagAtDeath(
            authority="E06000001",
            plan_type="CPP",
            history=FlagHistory.CURRENT,
            start="2025-01-01",
            end="2026-01-01",
        ),
    ),
    attendances=(LastAttendance(hospital="RXX01", arrived_at=AT, department="ED"),),
    known_as_at=AT,
    merged_into=_id(5),
    absorbed=(_id(6),),
    duplicates=(_id(7),),
)
DEATH_SAMPLES: tuple[DeathEvent, ...] = (
    NOTIFIED,
    DeathVerified(
        event_id=_id(8),
        reported_event_id=_id(1),
        revision=2,
        indicator=NhsNumberStatus.VERIFIED,
        rule="verified",
        decided_at=AT,
        notified=NOTIFIED,
        identity=IDENTITY,
    ),
    REPORT,
    ReportVerified(
        event_id=_id(9),
        reported_event_id=_id(2),
        revision=1,
        indicator=NhsNumberStatus.IN_PROGRESS,
        rule="death-number",
        decided_at=AT,
        report=REPORT,
        identity=IDENTITY,
    ),
    ReportRequested(
        event_id=_id(10),
        request_id=_id(3),
        case_id=_id(4),
        version=2,
        state=RequestState.CANCELLED,
        changed_at=AT,
        requested_at=AT,
        due_at=AT,
        basis="Children Act 2004, section 16N",
        panel="northtown",
        agency="Y00001",
        role="general-practitioner",
        rule="professional",
        sections=("child", "service-provision"),
        known=(CASE_FACT,),
        agency_name="Northtown Surgery",
    ),
    CaseChanged(
        event_id=_id(11),
        case_id=_id(4),
        version=7,
        change=CaseChange.MERGED,
        changed_at=AT,
        rule="merged-by-person",
        cause=_id(12),
        content=CONTENT,
        by="panel coordinator",
    ),
)
