"""One event of every type with every field set, for the golden bytes; synthetic throughout."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from schemas import codec
from schemas.accesses import AccessRecorded
from schemas.codec import Event
from schemas.events import (
    AlertChange,
    AlertChanged,
    AlertContent,
    AlertFlag,
    AlertReceipt,
    Assertion,
    AttendanceReported,
    AttendanceVerified,
    FlagRecord,
    FlagSubmitted,
    FlagVerified,
    Identity,
    IdentityStatus,
    IdentityUnresolved,
    MessageRejected,
    Moment,
    NhsNumberStatus,
    PersonClaim,
    PlanType,
    Rung,
    SubmissionKind,
    VisitDetail,
    VisitEventKind,
)
from tests.unit.schemas.death_samples import DEATH_SAMPLES

NUMBER = "9990000018"  # of the test range
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
MOMENT = Moment(utc=AT, offset_minutes=60, repeated_hour=True)
PSEUDONYM = "0123456789abcdef" * 2


def class_named(name: str) -> Any:
    """The class of an event, or of something within one."""
    rooms = (codec.accesses, codec.deaths, codec.events)
    return next(getattr(room, name) for room in rooms if hasattr(room, name))


def _id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


CLAIM = PersonClaim(
    nhs_number=NUMBER,
    nhs_number_status=NhsNumberStatus.VERIFIED,
    family="Exâmple",
    given=("Sam", "Ple"),
    birth_date="2019-06",
    gender="9",
    postcode="ZZ99 3WZ",
    local_id="L1",
    other_numbers=("9990000026",),
)
DETAIL = VisitDetail(
    patient_class="E",
    admission_method="21",
    department="ED",
    site_ods="RXX01",
    mode_of_arrival="1",
    reason="cough",
    discharged_at=MOMENT,
    acuity="3",
    discharge_destination="19",
    location_shielded=True,
)
IDENTITY = Identity(
    person=PSEUDONYM,
    status=IdentityStatus.PROVISIONAL,
    indicator=NhsNumberStatus.TRACE_REQUIRED,
    basis="candidate",
    rule="number-and-birth-date",
    decided_at=AT,
    nhs_number=NUMBER,
    birth_date="2019-06-01",
    restricted=True,
)
RECORD = FlagRecord(
    plan_type=PlanType.UCPP,
    start="2026-01-01",
    end="2026-12-31",
    delete="2026-06-30",
    la_gss="E09000001",
    local_id="C1",
    phone_office="020 7946 0000",
    phone_emergency="020 7946 0001",
)
CONTENT = AlertContent(
    nhs_number=NUMBER,
    flags=(AlertFlag(PlanType.CPP, "2026-01-01", None, active=True, local_id="C1"),),
    arrived_at=MOMENT,
    visit_state="present",
    hospital="RXX",
    hospital_name="Example Hospital",
    department="Emergency",
    site_ods="RXX01",
    mode_of_arrival="1",
    reason="cough",
    admission_method="21",
    earlier_attendances=2,
    callback_name="Safeguarding team",
    callback_phone="020 7946 0002",
    acuity="3",
    departed_at=MOMENT,
    discharge_destination="19",
    birth=True,
    location_shielded=True,
)

SAMPLES: tuple[Event, ...] = (
    AttendanceReported(
        event_id=_id(1),
        source="feed-1",
        organisation="RXX",
        message_id="M1",
        received_at=AT,
        trigger="A04",
        kind=VisitEventKind.REGISTER,
        arrival=True,
        arrival_rule="emergency-registration",
        visit_id=_id(2),
        source_person=PSEUDONYM,
        source_patient=PSEUDONYM[::-1],
        recorded_at=MOMENT,
        occurred_at=MOMENT,
        message_at=MOMENT,
        sequence=7,
        claim=CLAIM,
        detail=DETAIL,
        marks=("fallback-charset",),
        charset="windows-1252",
        message=b"MSH|^~\\&|\r",
        merged_person=PSEUDONYM,
        merged_patient=PSEUDONYM[::-1],
        merged_visit=_id(20),
        death_indicated=True,
        died_at=MOMENT,
    ),
    AttendanceVerified(
        event_id=_id(3),
        reported_event_id=_id(1),
        revision=2,
        assertion=Assertion.RETRACTED,
        identity=IDENTITY,
        source="feed-1",
        organisation="RXX",
        message_id="M1",
        received_at=AT,
        trigger="A04",
        kind=VisitEventKind.REGISTER,
        arrival=True,
        arrival_rule="emergency-registration",
        visit_id=_id(2),
        source_patient=PSEUDONYM,
        recorded_at=MOMENT,
        occurred_at=MOMENT,
        message_at=MOMENT,
        sequence=7,
        detail=DETAIL,
        marks=("fallback-charset",),
    ),
    FlagSubmitted(
        event_id=_id(4),
        source="E09000001",
        organisation="E09000001",
        upload_id=_id(5),
        line=3,
        sequence=9,
        kind=SubmissionKind.RECORD,
        received_at=AT,
        source_person=PSEUDONYM,
        source_patient=PSEUDONYM[::-1],
        record=RECORD,
        claim=CLAIM,
        count=4,
        file_digest=PSEUDONYM,
        refused=1,
        file_format="csv",
        marks=("end-before-start",),
        message=b"{}",
    ),
    FlagVerified(
        event_id=_id(6),
        reported_event_id=_id(4),
        revision=1,
        assertion=Assertion.ASSERTED,
        identity=IDENTITY,
        authority="E09000001",
        upload_id=_id(5),
        line=3,
        sequence=9,
        received_at=AT,
        record=RECORD,
        marks=("end-before-start",),
    ),
    IdentityUnresolved(
        event_id=_id(7),
        reported_event_id=_id(4),
        event_kind="flag",
        source="E09000001",
        organisation="E09000001",
        indicator=NhsNumberStatus.NO_OR_MULTIPLE_MATCH,
        rule="too-many-matches",
        decided_at=AT,
    ),
    AlertChanged(
        event_id=_id(8),
        alert_id=_id(9),
        version=3,
        change=AlertChange.WITHDRAWN,
        changed_at=AT,
        authority="E09000001",
        hospital="RXX",
        person=PSEUDONYM,
        provisional=True,
        late=True,
        restricted=True,
        rule="arrival-with-active-flag",
        content=CONTENT,
    ),
    AlertReceipt(
        event_id=_id(10),
        alert_id=_id(9),
        version=3,
        rung=Rung.ACCEPTED,
        at=AT,
        authority="E09000001",
        hospital="RXX",
        by="duty social worker",
        answer="We ring the ward now.",
    ),
    MessageRejected(
        event_id=_id(11),
        source="unknown",
        transport="mllp",
        received_at=AT,
        rule="no-msh",
        place="MSH",
        length=70_000,
        digest=PSEUDONYM,
        truncated=True,
        head=b"\x00\xff",
    ),
    AccessRecorded(
        event_id=_id(40),
        access_id=_id(41),
        person=PSEUDONYM,
        looked_at=AT,
        purpose="urgent-care",
        unscheduled=True,
        interface="flags-query",
    ),
    *DEATH_SAMPLES,
)
