"""What an attendance says of a death, the same for HL7 v2 and FHIR: a hint, never a notification.

A hospital that records a death (PID-29, PID-30; Patient.deceased[x]) is asked to notify it. Pure.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from halyard.ids import derive
from halyard.names import normalise_name
from halyard.privacy import Keys
from schemas.deaths import DeathIndication, DeathMessageKind, DeathNotified
from schemas.events import AttendanceReported, PersonClaim, VisitEventKind

INDICATING: Final = frozenset(
    {VisitEventKind.DISCHARGE, VisitEventKind.UPDATE, VisitEventKind.DEMOGRAPHICS}
)
"""A03, A08, A31: what a hospital says of somebody it has, or had."""
_ADULT: Final = 18
_LONDON: Final = ZoneInfo("Europe/London")


def indicated(event: AttendanceReported, keys: Keys) -> DeathNotified | None:
    """The second event of a message that says that its patient is dead; None if it does not, if
    its kind tells nothing new, or if the patient was surely no child any more.

    It has the claim and no bytes: the attendance has those, and of it a case needs nothing. The
    same patient, dead on the same day, is the same event however often it is said, until the
    hospital says more of who it was: a number or name that comes later may find the child.
    """
    if not event.death_indicated or event.kind not in INDICATING:
        return None
    died_at = None
    day = event.received_at.astimezone(_LONDON).date()
    if event.died_at is not None:
        day = event.died_at.utc.astimezone(_LONDON).date()
        died_at = day.isoformat()
    if surely_adult(event.claim.birth_date, day):
        return None
    patient = indication_keys(event.source, event.source_patient, keys)
    indication = DeathIndication.HOSPITAL
    return DeathNotified(
        event_id=derive(
            "death-indicated",
            event.source,
            patient[1],
            indication,
            died_at or "",
            _told_of(event.claim, keys),
        ),
        source=event.source,
        organisation=event.organisation,
        message_id=event.message_id,
        digest=keys.digest(event.message),
        received_at=event.received_at,
        kind=DeathMessageKind.INDICATED,
        source_person=patient[0],
        source_patient=patient[1],
        sent_at=event.message_at.utc if event.message_at else None,
        claim=event.claim,
        indication=indication,
        died_at=died_at,
        marks=("location-shielded",) if event.detail.location_shielded else (),
        content_type=event.content_type,
    )


def indication_keys(source: str, source_patient: str, keys: Keys) -> tuple[str, str]:
    """(source_person, source_patient) of indications about a patient, by the patient's own key."""
    local_id = f"indicated:{source_patient}"
    return (
        keys.source_person(source, local_id, None, None),
        keys.source_patient(source, local_id, None, None),
    )


def _told_of(claim: PersonClaim, keys: Keys) -> str:
    """Keyed token of all that identity can find the patient by, however it is spelt."""
    numbers = {re.sub(r"[ \-]", "", one) for one in (claim.nhs_number or "", *claim.other_numbers)}
    return keys.token(
        "indicated-evidence",
        "|".join(sorted(numbers - {""})),
        normalise_name(claim.family),
        "|".join(normalise_name(given) for given in claim.given),
        claim.birth_date or "",
        (claim.gender or "").casefold(),
    )


def surely_adult(birth_date: str | None, died_on: date) -> bool:
    """Whether somebody born on a (perhaps partial) ISO date had turned 18 by `died_on`, whatever
    the date leaves open; False if nothing is known.
    """
    parts = (birth_date or "").split("-")
    try:
        year, month, day = (int(part) for part in (*parts, *("12", "31")[len(parts) - 3 :])[:3])
    except ValueError:
        return False
    return (died_on.year - year, died_on.month, died_on.day) >= (_ADULT, month, day)
