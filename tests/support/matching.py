"""Builders of verified events, visits and flags, with made-up people, for the matching tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from halyard import ids
from halyard.kafka import Incoming, cloudevent_headers
from halyard.privacy import Keys
from halyard.telemetry import new_traceparent
from policies.desk import Desk
from policies.model import load_policies
from schemas import codec
from schemas.events import (
    Assertion,
    AttendanceVerified,
    FlagRecord,
    FlagVerified,
    Identity,
    IdentityStatus,
    Moment,
    NhsNumberStatus,
    PlanType,
    VisitDetail,
    VisitEventKind,
)
from stores.directory import Authority, Directory, Endpoint, Hospital
from stores.flags import Flag, FlagEvent
from stores.visits import Visit, VisitEvent

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHILD, OTHER_CHILD, MOTHER = "9990000018", "9990000026", "9990000034"
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
SHEFFIELD, LEEDS = "E08000019", "E08000035"
HOSPITAL = "RHQ01"

DIRECTORY = Directory(
    hospitals={
        HOSPITAL: Hospital(
            ods=HOSPITAL,
            name="Northern Children's Hospital",
            callback_name="Safeguarding nurse",
            callback_phone="0114 496 0001",
            contact_endpoint="hospital-contact",
            departments={"ED": "Emergency Department", "MAT": "Maternity"},
        )
    },
    feeds=(),
    authorities={
        SHEFFIELD: Authority(
            gss=SHEFFIELD,
            name="Sheffield City Council",
            alert_endpoint="sheffield",
            restricted_endpoint="sheffield-restricted",
            phone_office="0114 496 0100",
            phone_emergency="0114 496 0199",
        ),
        LEEDS: Authority(gss=LEEDS, name="Leeds City Council", alert_endpoint="leeds"),
    },
    endpoints={
        name: Endpoint(name=name, url=f"http://127.0.0.1/{name}", secret=name)
        for name in ("hospital-contact", "sheffield", "sheffield-restricted", "leeds")
    },
    credentials=(),
)

DESK = Desk(load_policies(None), DIRECTORY, KEYS, "process:test")


def person_of(number: str) -> str:
    """Pseudonym of a made-up person."""
    return KEYS.person(number)


def identity(
    number: str = CHILD,
    *,
    status: IdentityStatus = IdentityStatus.VERIFIED,
    birth_date: str | None = "2015-05-01",
    restricted: bool = False,
) -> Identity:
    """A decided identity."""
    return Identity(
        person=person_of(number),
        status=status,
        indicator=NhsNumberStatus.VERIFIED,
        basis="local-index",
        rule="local-index",
        decided_at=NOON,
        nhs_number=number,
        birth_date=birth_date,
        restricted=restricted,
    )


def attendance(
    trigger: str = "A04",
    *,
    number: str = CHILD,
    visit: str = "V1",
    at: datetime = NOON,
    recorded: datetime | None = None,
    received: datetime | None = None,
    patient: str = "P1",
    message: str | None = None,
    arrival: bool | None = None,
    revision: int = 1,
    assertion: Assertion = Assertion.ASSERTED,
    who: Identity | None = None,
    detail: VisitDetail | None = None,
    **changes: Any,
) -> AttendanceVerified:
    """A verified event of a visit; the same message gives the same reported id."""
    kinds = {
        "A01": VisitEventKind.ADMIT,
        "A03": VisitEventKind.DISCHARGE,
        "A04": VisitEventKind.REGISTER,
        "A08": VisitEventKind.UPDATE,
        "A11": VisitEventKind.CANCEL,
        "A13": VisitEventKind.CANCEL_DISCHARGE,
        "A21": VisitEventKind.LEAVE,
        "A22": VisitEventKind.RETURN,
        "A31": VisitEventKind.DEMOGRAPHICS,
        "birth": VisitEventKind.BIRTH,
    }
    recorded = recorded or at
    received = received or recorded + timedelta(seconds=5)
    message = message or f"{visit}-{trigger}-{at.isoformat()}-{recorded.isoformat()}"
    reported = ids.derive("attendance", "feed", message)
    who = who or identity(number)
    return replace(
        AttendanceVerified(
            event_id=ids.derive("verified", str(reported), revision, assertion.value),
            reported_event_id=reported,
            revision=revision,
            assertion=assertion,
            identity=who,
            source="feed",
            organisation=HOSPITAL,
            message_id=message,
            received_at=received,
            trigger=trigger,
            kind=kinds[trigger],
            arrival=trigger in ("A04", "birth") if arrival is None else arrival,
            arrival_rule="default",
            visit_id=ids.derive("visit", "feed", visit),
            source_patient=KEYS.source_patient("feed", patient, None, None),
            recorded_at=Moment(recorded),
            occurred_at=Moment(at),
            message_at=Moment(recorded),
            detail=detail or VisitDetail(),
        ),
        **changes,
    )


def visit_event(event: AttendanceVerified) -> VisitEvent:
    """The event as stored."""
    return VisitEvent(
        reported_event_id=event.reported_event_id,
        revision=event.revision,
        retracted=event.assertion is Assertion.RETRACTED,
        visit_id=event.visit_id,
        source_patient=event.source_patient,
        person=event.identity.person,
        received_at=event.received_at,
        traceparent="",
        event=event,
    )


def visit(name: str = "V1", at: datetime = NOON, **changes: Any) -> Visit:
    """A live visit of the child."""
    made = Visit(
        visit_id=ids.derive("visit", "feed", name),
        source_patient=KEYS.source_patient("feed", "P1", None, None),
        person=person_of(CHILD),
        hospital=HOSPITAL,
        live=True,
        state="present",
        arrived=Moment(at),
        received_at=at + timedelta(seconds=5),
        late=False,
        fresh=True,
        provisional=False,
        restricted=False,
        department="ED",
        site_ods="RHQ01",
        admission_method="21",
        mode_of_arrival="ambulance",
        reason="fall",
    )
    return replace(made, **changes)


def flag(plan: PlanType = PlanType.CPP, **changes: Any) -> Flag:
    """A plan of the child at Sheffield, known long before NOON."""
    made = Flag(
        authority=SHEFFIELD,
        person=person_of(CHILD),
        plan_type=plan,
        start=date(2026, 1, 5),
        end=None,
        sequence=1,
        line=1,
        active_since=NOON - timedelta(days=30),
        restricted=False,
        nhs_number=CHILD,
        birth_date="2015-05-01",
        local_id="L1",
    )
    return replace(made, **changes)


def record(
    sequence: int = 1, line: int = 1, plan: PlanType = PlanType.CPP, **changes: Any
) -> FlagEvent:
    """A stored flag record of the child at Sheffield."""
    made = FlagEvent(
        reported_event_id=ids.derive("flag", SHEFFIELD, sequence, line),
        revision=1,
        retracted=False,
        authority=SHEFFIELD,
        person=person_of(CHILD),
        plan_type=plan,
        start=None,
        end=None,
        delete=None,
        sequence=sequence,
        line=line,
        received_at=NOON - timedelta(days=30) + timedelta(hours=sequence, minutes=line),
        restricted=False,
        nhs_number=CHILD,
        birth_date="2015-05-01",
    )
    return replace(made, **changes)


def flagged(
    *,
    number: str = CHILD,
    authority: str = SHEFFIELD,
    plan: PlanType = PlanType.CPP,
    start: str | None = "2026-01-05",
    end: str | None = None,
    delete: str | None = None,
    sequence: int = 1,
    line: int = 1,
    received: datetime = NOON - timedelta(days=30),
    revision: int = 1,
    assertion: Assertion = Assertion.ASSERTED,
    who: Identity | None = None,
) -> FlagVerified:
    """A verified flag record."""
    reported = ids.derive("flag", authority, sequence, line)
    return FlagVerified(
        event_id=ids.derive("verified", str(reported), revision, assertion.value),
        reported_event_id=reported,
        revision=revision,
        assertion=assertion,
        identity=who or identity(number),
        authority=authority,
        upload_id=ids.derive("upload", authority, sequence),
        line=line,
        sequence=sequence,
        received_at=received,
        record=FlagRecord(
            plan_type=plan,
            start=start,
            end=end,
            delete=delete,
            la_gss=authority,
            local_id="L1",
        ),
    )


_TOPICS = {
    AttendanceVerified: "safeguarding.attendance.verified.v1",
    FlagVerified: "safeguarding.flag.verified.v1",
}


def incoming(event: AttendanceVerified | FlagVerified, trace: str | None = None) -> Incoming:
    """`event` as the stage takes it from the bus."""
    return Incoming(
        topic=_TOPICS[type(event)],
        partition=0,
        offset=0,
        key=KEYS.bus_person(event.identity.nhs_number),
        value=codec.encode(event),
        headers=cloudevent_headers(
            event_id=event.event_id,
            event_type=type(event).__name__,
            source="identity",
            time=event.received_at,
            traceparent=trace or new_traceparent(),
        ),
    )
