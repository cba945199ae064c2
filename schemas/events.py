"""Typed events: what may be on the bus, as frozen dataclasses.

Each class has an Avro schema of the same shape in ``schemas/avro``; `schemas.codec` turns one
into the other. Every enum has UNKNOWN: a symbol that this version does not know yet means "needs
a person", never a drop. Times are aware UTC datetimes (microseconds); dates are ISO text, which
may be partial (``2019``, ``2019-06``) as in PDS. Fields that hold personal data are left out of
every repr, so that no traceback or log line can carry them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.persons import NOBODY
from schemas.persons import Identifier as Identifier
from schemas.persons import NhsNumberStatus as NhsNumberStatus
from schemas.persons import PersonClaim as PersonClaim


class VisitEventKind(StrEnum):
    """What a hospital's event does to a visit."""

    UNKNOWN = "UNKNOWN"
    ADMIT = "ADMIT"  # A01
    REGISTER = "REGISTER"  # A04
    UPDATE = "UPDATE"  # A08
    DISCHARGE = "DISCHARGE"  # A03
    CANCEL = "CANCEL"  # A11 (A23)
    CANCEL_DISCHARGE = "CANCEL_DISCHARGE"  # A13
    NOT_USED = "NOT_USED"  # stored, changes nothing
    PRE_ADMIT = "PRE_ADMIT"  # A05: a booking, never an arrival
    LEAVE = "LEAVE"  # A21: gone on leave
    RETURN = "RETURN"  # A22: back from leave
    DEMOGRAPHICS = "DEMOGRAPHICS"  # A28, A31: about the person, not about a visit
    MERGE = "MERGE"  # A34, A40: two of the hospital's patients are one
    BIRTH = "BIRTH"  # a newborn's message, as an event of the mother it names (PID-21)


class PlanType(StrEnum):
    """CP-IS plan types; the unborn plan is held on the mother's NHS number."""

    UNKNOWN = "UNKNOWN"
    CPP = "CPP"
    LAC = "LAC"
    UCPP = "UCPP"


class SubmissionKind(StrEnum):
    """A flag record, or the trailer that tells how many records an upload has."""

    UNKNOWN = "UNKNOWN"
    RECORD = "RECORD"
    TRAILER = "TRAILER"


class Assertion(StrEnum):
    """Identity says who an event is about, or takes that back."""

    UNKNOWN = "UNKNOWN"
    ASSERTED = "ASSERTED"
    RETRACTED = "RETRACTED"


class IdentityStatus(StrEnum):
    """How sure the identity is."""

    UNKNOWN = "UNKNOWN"
    VERIFIED = "VERIFIED"
    PROVISIONAL = "PROVISIONAL"  # agrees with a flagged person; a trace will confirm or withdraw


class AlertChange(StrEnum):
    """What happened to an alert."""

    UNKNOWN = "UNKNOWN"
    RAISED = "RAISED"
    UPDATED = "UPDATED"
    WITHDRAWN = "WITHDRAWN"
    ESCALATED = "ESCALATED"


class Rung(StrEnum):
    """The alert's ladder."""

    UNKNOWN = "UNKNOWN"
    DELIVERED = "DELIVERED"
    SEEN = "SEEN"
    ACCEPTED = "ACCEPTED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Moment:
    """A local time as the sender meant it: UTC, the offset it had, and whether it is sure.

    `repeated_hour`: the text named the hour that October has twice; the first was taken.
    """

    utc: datetime
    offset_minutes: int = 0
    repeated_hour: bool = False


@dataclass(frozen=True, slots=True)
class VisitDetail:
    """What is told of a visit, as far as it is known yet."""

    patient_class: str | None = None  # HL7 table 0004: E, I, O, …
    admission_method: str | None = None  # NHS Data Dictionary: 21, 31, 2A, …
    department: str | None = None
    site_ods: str | None = None
    mode_of_arrival: str | None = None
    reason: str | None = field(default=None, repr=False)
    discharged_at: Moment | None = None
    acuity: str | None = field(default=None, repr=False)
    discharge_destination: str | None = None
    # the hospital hides where this person is (ZU8-4): nobody is told department, site or address
    location_shielded: bool = False


@dataclass(frozen=True, slots=True)
class AttendanceReported:
    """A hospital reported something about a visit. `message` is the sender's bytes: the truth."""

    event_id: uuid.UUID
    source: str  # feed id, as in the directory
    organisation: str  # ODS code
    message_id: str  # MSH-10
    received_at: datetime
    trigger: str  # as sent: "A04"
    kind: VisitEventKind
    arrival: bool
    arrival_rule: str  # the feed's rule that decided `arrival`
    visit_id: uuid.UUID  # derived from source and visit number
    source_person: str  # the Kafka key (bus key)
    source_patient: str  # the same under the store key
    recorded_at: Moment | None = None  # EVN-2
    occurred_at: Moment | None = None  # EVN-6
    message_at: Moment | None = None  # MSH-7
    sequence: int | None = None  # MSH-13
    claim: PersonClaim = NOBODY
    detail: VisitDetail = VisitDetail()
    marks: tuple[str, ...] = ()  # warnings by rule name, without values
    content_type: str = "x-application/hl7-v2+er7"
    charset: str = "us-ascii"
    message: bytes = field(default=b"", repr=False)
    # of a MERGE: the retired patient (bus key, store key) and visit; the event's own are what stays
    merged_person: str | None = None
    merged_patient: str | None = None
    merged_visit: uuid.UUID | None = None
    # death indicators (PID-30, PID-29), recorded; nothing is decided by them here
    death_indicated: bool = False
    died_at: Moment | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an event is about, how we know, and since when."""

    person: str  # pseudonym under the store key
    status: IdentityStatus
    indicator: NhsNumberStatus
    basis: str  # "local-index", "pds-get", "pds-search", "candidate", "same-visit", …
    rule: str  # the rule of the ladder that decided
    decided_at: datetime
    nhs_number: str = field(default="", repr=False)
    birth_date: str | None = field(default=None, repr=False)
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class AttendanceVerified:
    """A visit's event with its person; or the retraction of an earlier assertion.

    For one `reported_event_id` the highest `revision` holds, whatever the order of arrival.
    """

    event_id: uuid.UUID
    reported_event_id: uuid.UUID
    revision: int
    assertion: Assertion
    identity: Identity
    source: str
    organisation: str
    message_id: str
    received_at: datetime
    trigger: str
    kind: VisitEventKind
    arrival: bool
    arrival_rule: str
    visit_id: uuid.UUID
    source_patient: str
    recorded_at: Moment | None = None
    occurred_at: Moment | None = None
    message_at: Moment | None = None
    sequence: int | None = None
    detail: VisitDetail = VisitDetail()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagRecord:
    """One plan of one child (or mother) as its authority states it; dates are ISO."""

    plan_type: PlanType
    start: str | None = None
    end: str | None = None
    delete: str | None = None
    la_gss: str = ""
    local_id: str | None = field(default=None, repr=False)
    phone_office: str | None = None
    phone_emergency: str | None = None


@dataclass(frozen=True, slots=True)
class FlagSubmitted:
    """A line of an authority's upload, or its trailer (`count` lines were put on the bus)."""

    event_id: uuid.UUID
    source: str  # the authority's GSS code
    organisation: str
    upload_id: uuid.UUID
    line: int  # 1-based; the trailer has the last line + 1
    sequence: int  # orders uploads of one authority
    kind: SubmissionKind
    received_at: datetime
    source_person: str
    source_patient: str
    record: FlagRecord | None = None
    claim: PersonClaim | None = None
    count: int | None = None
    marks: tuple[str, ...] = ()
    message: bytes = field(default=b"", repr=False)
    # of a TRAILER: keyed digest of the file's bytes, records refused at once, format of the file
    file_digest: str | None = None
    refused: int | None = None
    file_format: str | None = None  # "jsonl", "csv"
    # of a RECORD: the authority's own local ids of the person's siblings, if it says who they are
    siblings: tuple[str, ...] = field(default=(), repr=False)
    siblings_stated: bool = False


@dataclass(frozen=True, slots=True)
class FlagVerified:
    """A flag with its verified person; or the retraction of an earlier assertion."""

    event_id: uuid.UUID
    reported_event_id: uuid.UUID
    revision: int
    assertion: Assertion
    identity: Identity
    authority: str  # GSS code
    upload_id: uuid.UUID
    line: int
    sequence: int
    received_at: datetime
    record: FlagRecord
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentityUnresolved:
    """No verified number could be set; the worklist holds the entry until a person decides."""

    event_id: uuid.UUID
    reported_event_id: uuid.UUID
    event_kind: str  # "attendance", "flag", "death", "report"
    source: str
    organisation: str
    indicator: NhsNumberStatus
    rule: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class AlertFlag:
    """A plan as an alert shows it."""

    plan_type: PlanType
    start: str | None
    end: str | None
    active: bool
    local_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlertContent:
    """What the alert says. For a restricted child: no department, no site, no reason."""

    nhs_number: str = field(repr=False)
    flags: tuple[AlertFlag, ...]
    arrived_at: Moment | None
    visit_state: str  # "present", "departed", "cancelled"
    hospital: str  # ODS code
    hospital_name: str
    department: str | None
    site_ods: str | None
    mode_of_arrival: str | None
    reason: str | None = field(repr=False)
    admission_method: str | None
    earlier_attendances: int  # at connected hospitals in 12 months
    callback_name: str | None
    callback_phone: str | None
    acuity: str | None = field(default=None, repr=False)
    departed_at: Moment | None = None
    discharge_destination: str | None = None
    birth: bool = False  # a birth to this mother was reported: the baby is to be confirmed
    location_shielded: bool = False  # the hospital hides where; ring the call-back contact


@dataclass(frozen=True, slots=True)
class AlertChanged:
    """A new version of an alert; consumers ignore a lower version than they have."""

    event_id: uuid.UUID
    alert_id: uuid.UUID
    version: int
    change: AlertChange
    changed_at: datetime
    authority: str  # GSS code
    hospital: str  # ODS code
    person: str
    provisional: bool
    late: bool
    restricted: bool
    rule: str  # why: the rule that decided the change
    content: AlertContent


@dataclass(frozen=True, slots=True)
class AlertReceipt:
    """An alert reached a rung of its ladder."""

    event_id: uuid.UUID
    alert_id: uuid.UUID
    version: int
    rung: Rung
    at: datetime
    authority: str
    hospital: str
    by: str | None = None  # role or work name that the authority gave, never a patient
    answer: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MessageRejected:
    """What could not be taken in, kept before any NACK: at most the first 64 KiB."""

    event_id: uuid.UUID
    source: str  # feed, authority or "unknown"
    transport: str  # "mllp", "http"
    received_at: datetime
    rule: str
    place: str
    length: int
    digest: str  # keyed
    truncated: bool
    head: bytes = field(default=b"", repr=False)


Event = (
    AttendanceReported
    | AttendanceVerified
    | FlagSubmitted
    | FlagVerified
    | IdentityUnresolved
    | AlertChanged
    | AlertReceipt
    | MessageRejected
)
