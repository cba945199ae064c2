"""Typed events of a child's death: notifications, agencies' reports, requests and cases.

As in `schemas.events`: frozen dataclasses with an Avro schema of the same shape; UNKNOWN in every
enum; personal data out of every repr. What a form says is a tuple of `Fact`, each under a field of
``schemas/death_fields.toml``: forms change every April, the shape of the bus does not.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.events import Identity, NhsNumberStatus, PersonClaim
from schemas.persons import NOBODY as NOBODY


class DeathMessageKind(StrEnum):
    """What a message does to the notification that its sender calls by `reference`."""

    UNKNOWN = "UNKNOWN"
    SUBMITTED = "SUBMITTED"
    UPDATED = "UPDATED"
    VOIDED = "VOIDED"
    INDICATED = "INDICATED"  # no notification: a hospital's record or PDS says that somebody died


class DeathIndication(StrEnum):
    """Who indicated a death, and how firmly."""

    UNKNOWN = "UNKNOWN"
    HOSPITAL = "HOSPITAL"  # PID-29, PID-30; Patient.deceased[x]
    PDS_INFORMAL = "PDS_INFORMAL"  # death notification status 1
    PDS_FORMAL = "PDS_FORMAL"  # status 2; may be a stillbirth
    PDS_REMOVED = "PDS_REMOVED"  # status U: entered in error, the person is not dead


class ReportKind(StrEnum):
    """What an agency answers."""

    UNKNOWN = "UNKNOWN"
    REPORT = "REPORT"
    PARTIAL = "PARTIAL"  # some of the sections; more will come under a higher version
    DECLINED = "DECLINED"
    NOTHING_KNOWN = "NOTHING_KNOWN"  # a full answer


class FactKind(StrEnum):
    """A fact is observed or recorded; an opinion is somebody's judgement."""

    UNKNOWN = "UNKNOWN"
    FACT = "FACT"
    OPINION = "OPINION"


class CaseChange(StrEnum):
    """What happened to a case."""

    UNKNOWN = "UNKNOWN"
    OPENED = "OPENED"
    UPDATED = "UPDATED"
    REPORTED = "REPORTED"
    REQUESTED = "REQUESTED"
    MERGED = "MERGED"
    UNMERGED = "UNMERGED"
    ASSIGNED = "ASSIGNED"
    VOIDED = "VOIDED"
    REINSTATED = "REINSTATED"


class CaseState(StrEnum):
    """A case that was merged lives on in another; a voided one is a tombstone."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    MERGED = "MERGED"
    VOIDED = "VOIDED"


class Eligibility(StrEnum):
    """Whether the death is one that child death review is about."""

    UNKNOWN = "UNKNOWN"
    IN_SCOPE = "IN_SCOPE"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    NEEDS_HUMAN = "NEEDS_HUMAN"


class RequestState(StrEnum):
    """A report request (Children Act 2004 s16N)."""

    UNKNOWN = "UNKNOWN"
    REQUESTED = "REQUESTED"
    PARTIAL = "PARTIAL"
    SUBMITTED = "SUBMITTED"
    NOTHING_KNOWN = "NOTHING_KNOWN"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class FlagHistory(StrEnum):
    """A protection plan as it stood at death."""

    UNKNOWN = "UNKNOWN"
    NEVER = "NEVER"
    PREVIOUSLY = "PREVIOUSLY"
    CURRENT = "CURRENT"


@dataclass(frozen=True, slots=True)
class Fact:
    """One answer of a form.

    `name`: of ``schemas/death_fields.toml``. `row` numbers the rows of a repeating group from 1
    (0: not repeating). `value` is text in the field's type (dates ISO, perhaps partial; codes as
    listed; booleans ``true``/``false``); None if there is none, and `absent` then says why:
    ``unknown``, ``not-applicable``, ``not-asked``. `as_at`: ISO date from which it holds.
    """

    name: str
    row: int = 0
    value: str | None = field(default=None, repr=False)
    absent: str | None = None
    kind: FactKind = FactKind.FACT
    as_at: str | None = None


@dataclass(frozen=True, slots=True)
class DeathNotified:
    """A message about a death. `message` is the sender's bytes: the truth.

    `reference` is the sender's own id of the notification and the business key: all versions have
    it, and each a higher `version`. An INDICATED event has neither (empty, 0).
    """

    event_id: uuid.UUID
    source: str  # feed id, as in the directory; "pds"
    organisation: str  # ODS or GSS code
    message_id: str  # MessageHeader.id (Bundle.id): kept on retry
    digest: str  # keyed, of the body: tells a retry from a re-used id
    received_at: datetime
    kind: DeathMessageKind
    source_person: str  # the Kafka key: of source and reference
    source_patient: str  # the same under the store key
    reference: str = field(default="", repr=False)
    version: int = 0
    sent_at: datetime | None = None  # Bundle.timestamp
    form: str = ""  # canonical of the questionnaire, with its version
    reason: str | None = None  # of a void: its code
    claim: PersonClaim = NOBODY
    facts: tuple[Fact, ...] = ()
    indication: DeathIndication = DeathIndication.UNKNOWN
    died_at: str | None = field(default=None, repr=False)  # ISO, may be partial
    effective_at: datetime | None = None  # of a PDS indication: the latest is the truth
    marks: tuple[str, ...] = ()
    content_type: str = "application/fhir+json"
    message: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class DeathVerified:
    """A death's message after the identity ladder; said anew, with a higher revision, whenever
    more is known. `identity` is None while no number is verified: that holds up nothing.
    """

    event_id: uuid.UUID
    reported_event_id: uuid.UUID
    revision: int
    indicator: NhsNumberStatus
    rule: str
    decided_at: datetime
    notified: DeathNotified
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class ReportSubmitted:
    """An agency's answer about a death, to a request or unasked. Versions as in `DeathNotified`."""

    event_id: uuid.UUID
    source: str
    organisation: str
    message_id: str
    digest: str
    received_at: datetime
    kind: ReportKind
    source_person: str
    source_patient: str
    reference: str = field(default="", repr=False)
    version: int = 0
    request_id: uuid.UUID | None = None
    sent_at: datetime | None = None
    form: str = ""
    reason: str | None = field(default=None, repr=False)  # of a decline, in the agency's words
    claim: PersonClaim = NOBODY
    facts: tuple[Fact, ...] = ()
    died_at: str | None = field(default=None, repr=False)
    marks: tuple[str, ...] = ()
    content_type: str = "application/fhir+json"
    message: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ReportVerified:
    """A report after the identity ladder; as `DeathVerified`."""

    event_id: uuid.UUID
    reported_event_id: uuid.UUID
    revision: int
    indicator: NhsNumberStatus
    rule: str
    decided_at: datetime
    report: ReportSubmitted
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class CaseFact:
    """A fact with its provenance: which organisation said it, by which message, when."""

    fact: Fact
    organisation: str
    event_id: uuid.UUID  # the reported event
    stated_at: datetime
    form: str = ""


@dataclass(frozen=True, slots=True)
class NotificationLink:
    """A notification that a case is made of."""

    source: str
    organisation: str
    version: int
    voided: bool
    event_id: uuid.UUID
    received_at: datetime
    reference: str = field(default="", repr=False)
    reason: str | None = None  # of its void


@dataclass(frozen=True, slots=True)
class RequestLink:
    """A report request of a case."""

    request_id: uuid.UUID
    agency: str  # ODS or GSS code; empty for one that the hub does not know
    role: str
    state: RequestState
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ReportLink:
    """A report that a case has."""

    organisation: str
    kind: ReportKind
    version: int
    event_id: uuid.UUID
    received_at: datetime
    request_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class TrackingNumber:
    """What another system calls the case (MBRRACE-UK, coroner, registration, local record)."""

    system: str
    value: str = field(repr=False)
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class FlagAtDeath:
    """A protection plan of the child, as it stood on the day of death."""

    authority: str
    plan_type: str  # CPP, LAC
    history: FlagHistory
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class LastAttendance:
    """An attendance that the hub knows of, before the death."""

    hospital: str
    arrived_at: datetime
    department: str | None = None


@dataclass(frozen=True, slots=True)
class CaseContent:
    """All that a case says now. For a restricted child: no address and no place.

    `needs` names what a person must do: ``number``, ``eligibility``, ``panel``, ``conflict``,
    ``death-questioned``, ``text-cut`` (too long for the bus; whole in its message).
    `duplicates`: open proposals that another case is the same death. `conflicts`: fields about
    which organisations differ.
    """

    state: CaseState
    eligibility: Eligibility
    eligibility_rule: str
    indicator: NhsNumberStatus
    identity_rule: str
    flag_history: FlagHistory
    nhs_number: str | None = field(default=None, repr=False)
    restricted: bool = False
    panel: str | None = None  # code, as in the directory
    panel_rule: str = ""
    panels_informed: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    facts: tuple[CaseFact, ...] = ()
    conflicts: tuple[str, ...] = ()
    notifications: tuple[NotificationLink, ...] = ()
    reports: tuple[ReportLink, ...] = ()
    requests: tuple[RequestLink, ...] = ()
    tracking: tuple[TrackingNumber, ...] = ()
    flags: tuple[FlagAtDeath, ...] = ()
    attendances: tuple[LastAttendance, ...] = ()
    known_as_at: datetime | None = None  # of flags and attendances
    merged_into: uuid.UUID | None = None
    absorbed: tuple[uuid.UUID, ...] = ()
    duplicates: tuple[uuid.UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseChanged:
    """A new version of a case, whole; consumers ignore a lower version than they have."""

    event_id: uuid.UUID
    case_id: uuid.UUID
    version: int
    change: CaseChange
    changed_at: datetime
    rule: str  # why: the rule that decided the change
    cause: uuid.UUID  # the reported event, or the person's command
    content: CaseContent
    by: str | None = None  # role or work name of the person who decided, never a patient


@dataclass(frozen=True, slots=True)
class ReportRequested:
    """A new version of a report request: who asks whom, under which law, for what, by when."""

    event_id: uuid.UUID
    request_id: uuid.UUID
    case_id: uuid.UUID
    version: int
    state: RequestState
    changed_at: datetime
    requested_at: datetime
    due_at: datetime
    basis: str  # "Children Act 2004, section 16N"
    panel: str | None
    agency: str
    role: str  # "general-practitioner", "hospital", "children's social care", …
    rule: str  # why this agency: "professional", "attendance", "flag", "person"
    sections: tuple[str, ...] = ()
    known: tuple[CaseFact, ...] = ()  # pre-filled: what is known, and from whom
    agency_name: str = field(default="", repr=False)


DeathEvent = (
    DeathNotified | DeathVerified | ReportSubmitted | ReportVerified | ReportRequested | CaseChanged
)
