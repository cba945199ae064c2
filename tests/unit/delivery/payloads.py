"""One of each payload as this version of the product makes it, about invented people."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from schemas.events import (
    AlertChange,
    AlertChanged,
    AlertContent,
    AlertFlag,
    AlertReceipt,
    Moment,
    PlanType,
    Rung,
)
from stores.directory import Authority, Directory, Hospital
from streams.matching import payload

AUTHORITY, HOSPITAL = "E10000099", "RZZ01"
ALERT_ID = uuid.UUID("1a8e0f7e-58c7-5f0c-9c62-5f4c1c1d2e3f")
AT = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
DIRECTORY = Directory(
    hospitals={HOSPITAL: Hospital(ods=HOSPITAL, name="Practice General Hospital")},
    feeds=(),
    authorities={AUTHORITY: Authority(gss=AUTHORITY, name="Practiceshire County Council")},
    endpoints={},
    credentials=(),
)
CONTENT = AlertContent(
    nhs_number="9990000018",
    flags=(
        AlertFlag(PlanType.CPP, "2026-01-05", None, True, "CH-0042"),
        AlertFlag(PlanType.LAC, "2024-03-01", "2026-02-28", False, None),
    ),
    arrived_at=Moment(AT, 60, repeated_hour=True),
    visit_state="present",
    hospital=HOSPITAL,
    hospital_name="Practice General Hospital",
    department="Emergency department",
    site_ods="RZZ01A",
    mode_of_arrival="Ambulance",
    reason="Fall from height – wrist",
    admission_method="21",
    earlier_attendances=2,
    callback_name="Nurse in charge",
    callback_phone="01632 960 301",
)
ALERT = AlertChanged(
    event_id=uuid.UUID("5d1ef6c4-6d0b-5d2b-8b64-2a3f2b1c0d9e"),
    alert_id=ALERT_ID,
    version=1,
    change=AlertChange.RAISED,
    changed_at=AT,
    authority=AUTHORITY,
    hospital=HOSPITAL,
    person="0" * 32,
    provisional=False,
    late=False,
    restricted=False,
    rule="active-at-arrival",
    content=CONTENT,
)
UNKNOWN = replace(
    CONTENT,
    flags=(AlertFlag(PlanType.UNKNOWN, None, None, True),),
    arrived_at=None,
    department=None,
    site_ods=None,
    mode_of_arrival=None,
    reason=None,
    admission_method=None,
    earlier_attendances=0,
    callback_name=None,
    callback_phone=None,
)
RECEIPT = AlertReceipt(
    event_id=uuid.UUID("0d9b1ea5-4a86-5b37-9f5c-7e6d5c4b3a29"),
    alert_id=ALERT_ID,
    version=3,
    rung=Rung.ACCEPTED,
    at=AT,
    authority=AUTHORITY,
    hospital=HOSPITAL,
    by="Duty social worker",
    answer="Known to us; a worker calls you within the hour.",
)


def current() -> dict[str, tuple[str, bytes]]:
    """(kind, body) of each example by name."""
    withdrawn = replace(ALERT, version=4, change=AlertChange.WITHDRAWN, rule="visit-cancelled")
    restricted = replace(ALERT, restricted=True, provisional=False, content=UNKNOWN)
    late = replace(ALERT, version=2, change=AlertChange.UPDATED, late=True, provisional=True)
    phones = ("01632 960 201", "01632 960 202")
    departed = replace(
        CONTENT,
        visit_state="departed",
        acuity="2",
        departed_at=Moment(AT, 60),
        discharge_destination="19",
        birth=True,
    )
    left = replace(
        ALERT, version=5, change=AlertChange.UPDATED, rule="visit-departed", content=departed
    )
    return {
        "alert-raised": ("alert", payload.dump(payload.alert_body(ALERT, DIRECTORY))),
        "alert-updated-late-provisional": (
            "alert",
            payload.dump(payload.alert_body(late, DIRECTORY)),
        ),
        "alert-restricted-unknown-plan": (
            "alert",
            payload.dump(payload.alert_body(restricted, DIRECTORY)),
        ),
        "alert-withdrawn": ("alert", payload.dump(payload.alert_body(withdrawn, DIRECTORY))),
        "alert-updated-departed-birth": (
            "alert",
            payload.dump(payload.alert_body(left, DIRECTORY)),
        ),
        "match-departed-birth": (
            "match",
            payload.dump(payload.match_body(left, DIRECTORY, phones=phones)),
        ),
        "match": ("match", payload.dump(payload.match_body(ALERT, DIRECTORY, phones=phones))),
        "match-withdrawn": (
            "match",
            payload.dump(payload.match_body(withdrawn, DIRECTORY, phones=(None, None))),
        ),
        "receipt-accepted": ("receipt", payload.dump(payload.receipt_body(RECEIPT, DIRECTORY))),
        "receipt-accepted-without-answer": (
            "receipt",
            payload.dump(payload.receipt_body(replace(RECEIPT, answer=None), DIRECTORY)),
        ),
    }
