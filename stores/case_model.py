"""What a case is made of: plain values between the store, the decisions and the content."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.deaths import (
    CaseContent,
    DeathIndication,
    DeathNotified,
    FlagAtDeath,
    LastAttendance,
    ReportSubmitted,
    RequestState,
)
from schemas.events import Identity, NhsNumberStatus

SHIELDED: Final = "location-shielded"
"""Mark of a message whose sender said that the child is restricted."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A sender's notification as it stands: the newest version of it that was applied.

    `case_id`: the case that it opened; its content may count in another that the case was merged
    into. `notified` is without the sender's bytes.
    """

    source: str
    reference: str = field(repr=False)
    case_id: uuid.UUID
    notified: DeathNotified
    voided: bool
    indicator: NhsNumberStatus
    identity_rule: str
    first_received_at: datetime
    identity: Identity | None = None
    revision: int = 0  # of the identity, for this version's event
    void_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """An agency's report as it stands; `case_id` is None while no case is known to be meant."""

    source: str
    reference: str = field(repr=False)
    report: ReportSubmitted
    indicator: NhsNumberStatus
    identity_rule: str
    identity: Identity | None = None
    revision: int = 0
    case_id: uuid.UUID | None = None
    attached: bool = False  # by a person


@dataclass(frozen=True, slots=True)
class Request:
    """A report request as it stands. `agency` is empty for one that the hub does not know."""

    request_id: uuid.UUID
    case_id: uuid.UUID
    version: int
    state: RequestState
    requested_at: datetime
    due_at: datetime
    panel: str | None
    agency: str
    role: str
    rule: str
    sections: tuple[str, ...] = ()
    agency_name: str = field(default="", repr=False)
    person: str | None = None  # pseudonym of the verified child that its last letter was about


@dataclass(frozen=True, slots=True)
class Known:
    """What the hub itself knows of the child: plans and attendances, before the death."""

    flags: tuple[FlagAtDeath, ...] = ()
    attendances: tuple[LastAttendance, ...] = ()
    as_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A person gave the case to a panel, or ruled on its eligibility; it stands until the next."""

    panel: str
    reason: str = field(repr=False)
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Indication:
    """Somebody indicated the death (or, PDS_REMOVED, took that back), newest last."""

    indication: DeathIndication
    organisation: str
    at: datetime
    died_at: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Family:
    """A case with all that was merged into it: what its content is made from.

    `absorbed`: the other members. Newest applied versions only; voided notifications too.
    """

    case_id: uuid.UUID
    notifications: tuple[Notification, ...]
    absorbed: tuple[uuid.UUID, ...] = ()
    reports: tuple[Report, ...] = ()
    requests: tuple[Request, ...] = ()
    known: Known = Known()
    assignment: Assignment | None = None
    indications: tuple[Indication, ...] = ()
    duplicates: tuple[uuid.UUID, ...] = ()  # open proposals
    merged_into: uuid.UUID | None = None
    voided_by_person: bool = False

    @property
    def live(self) -> tuple[Notification, ...]:
        """The notifications that are not voided, the oldest first."""
        return tuple(
            sorted(
                (one for one in self.notifications if not one.voided),
                key=lambda one: (one.first_received_at, one.source, one.reference),
            )
        )


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as it is stored: its last version and content."""

    case_id: uuid.UUID
    version: int
    content: CaseContent
    opened_at: datetime
    changed_at: datetime
    person: str | None = None  # pseudonym of the verified child (store key)
    merged_into: uuid.UUID | None = None
