"""A newborn's message is also an event of the mother it names, the same for HL7 v2 and FHIR.

An unborn plan is held on the mother's NHS number, and the baby has no flag yet: without the second
event a birth would tell nobody (DESIGN, matching). Its claim holds the mother's identifiers alone:
what the message says beside them (names, dates, address) is the baby's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from connectors.clocks import CLOCK_AHEAD
from connectors.persons import shared_local_id, usable_number
from halyard.ids import derive
from halyard.privacy import Keys
from schemas.events import (
    AttendanceReported,
    NhsNumberStatus,
    PersonClaim,
    VisitDetail,
    VisitEventKind,
)

NEWBORN_DAYS: Final = 28
"""The neonatal period (NHS Data Dictionary: NEONATE, under 28 days; the 28th day counts)."""

BIRTH_METHODS: Final = frozenset({"82", "83"})
"""Admission methods that are the birth of a baby: in this provider, and outside it."""

RULE: Final = "birth"

# The baby's arrival is the mother's, and revives a birth that was cancelled. What else comes of the
# baby tells of a birth that nothing has told before, but an A08 after the A11 is housekeeping
_ARRIVING: Final = frozenset({VisitEventKind.ADMIT, VisitEventKind.REGISTER})
_FOUNDING: Final = frozenset(
    {
        VisitEventKind.ADMIT,
        VisitEventKind.REGISTER,
        VisitEventKind.UPDATE,
        VisitEventKind.DISCHARGE,
        VisitEventKind.CANCEL_DISCHARGE,
        VisitEventKind.LEAVE,
        VisitEventKind.RETURN,
    }
)


@dataclass(frozen=True, slots=True)
class Mother:
    """The mother as the baby's message names her; at least one of number and key is there."""

    nhs_number: str | None = field(default=None, repr=False)
    local_id: str | None = field(default=None, repr=False)
    local_key: str | None = field(default=None, repr=False)  # local id as her own events key it


def is_newborn(claim: PersonClaim, admission_method: str | None, at: datetime) -> bool:
    """Whether `claim` is of a baby born within 28 days before `at` (aware).

    Without a whole birth date: by the number's status (trace postponed: under six weeks old), or
    by an admission method that is a birth.
    """
    try:
        born = date.fromisoformat(claim.birth_date or "")
    except ValueError:
        return (
            claim.nhs_number_status is NhsNumberStatus.POSTPONED
            or admission_method in BIRTH_METHODS
        )
    earliest = at.astimezone(UTC).date() - timedelta(days=NEWBORN_DAYS)
    return earliest <= born <= (at + CLOCK_AHEAD).astimezone(UTC).date()


def event_time(event: AttendanceReported) -> datetime:
    """When what `event` tells happened, as far as it is known."""
    for moment in (event.occurred_at, event.recorded_at, event.message_at):
        if moment is not None:
            return moment.utc
    return event.received_at


def birth_event(
    baby: AttendanceReported,
    mother: Mother,
    *,
    visit: str | None,
    keys: Keys,
    creates_patient: bool = False,
) -> AttendanceReported | None:
    """The mother's event that `baby`'s (of a newborn) causes; None if it causes none.

    `visit` is the baby's visit number as its visit id is derived from it, if it has one: then the
    birth is that visit's, and its cancellation (A11, A23) cancels the birth. Otherwise the birth is
    the baby's, whatever the day. `creates_patient`: a new record (A28), not a change of one, so
    that a baby born elsewhere is told of once and not at each change of its record.
    """
    if baby.kind is VisitEventKind.CANCEL:
        kind = VisitEventKind.CANCEL
    elif baby.kind in _FOUNDING or (creates_patient and baby.kind is VisitEventKind.DEMOGRAPHICS):
        kind = VisitEventKind.BIRTH
    else:
        return None
    number = usable_number(mother.nhs_number)
    local_key = None if shared_local_id(mother.local_id) else mother.local_key
    if number is None and local_key is None:
        return None
    names = (local_key, None, number)
    source_patient = keys.source_patient(baby.source, *names)
    same_number = number is not None and number == usable_number(baby.claim.nhs_number)
    if source_patient == baby.source_patient or same_number:
        return None  # the baby named as its own mother: nobody is named
    digest = keys.digest(baby.message)
    return AttendanceReported(
        event_id=derive("attendance-birth", baby.source, baby.message_id, digest),
        source=baby.source,
        organisation=baby.organisation,
        message_id=baby.message_id,
        received_at=baby.received_at,
        trigger=baby.trigger,
        kind=kind,
        arrival=kind is VisitEventKind.BIRTH and (baby.kind in _ARRIVING or creates_patient),
        arrival_rule=RULE,
        visit_id=derive("birth", baby.source, visit or baby.source_patient),
        source_person=keys.source_person(baby.source, *names),
        source_patient=source_patient,
        recorded_at=baby.recorded_at,
        occurred_at=baby.occurred_at,
        message_at=baby.message_at,
        sequence=baby.sequence,
        claim=PersonClaim(nhs_number=number, local_id=mother.local_id if local_key else None),
        detail=VisitDetail(
            department=baby.detail.department,
            site_ods=baby.detail.site_ods,
            location_shielded=baby.detail.location_shielded,
        ),
        content_type=baby.content_type,
        charset=baby.charset,
        message=baby.message,
    )
