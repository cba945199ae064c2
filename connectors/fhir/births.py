"""The mother whom a newborn's message names: RelatedPerson, as PID-21 in HL7 v2.

Who counts as newborn and what the mother's event is made of stands in `connectors.births`.
"""

from __future__ import annotations

from dataclasses import replace

from connectors.births import Mother, birth_event, event_time, is_newborn
from connectors.fhir.messages import Parsed
from connectors.fhir.persons import (
    Identifiers,
    identifiers,
    identifies,
    is_confidential,
    mothers,
)
from connectors.fhir.view import Json, obj, text
from connectors.hl7v2.persons import bounded
from halyard.privacy import Keys
from schemas.events import AttendanceReported


def birth(
    message: Parsed,
    baby: AttendanceReported,
    own: Identifiers,
    *,
    visit: str | None,
    keys: Keys,
    marks: list[str],
) -> AttendanceReported | None:
    """The event of the mother, if the message is a newborn's and names her; else None. `own` are
    the baby's identifiers.
    """
    if not is_newborn(baby.claim, baby.detail.admission_method, event_time(baby)):
        return None
    found = mothers([one.content for one in message.of_kind("RelatedPerson")])
    # a mother of somebody else is not this baby's
    named = next((one for one in found if _is_of(message, one)), None)
    if any(_is_away(message, one) for one in found):
        marks.append("mother-unresolved:RelatedPerson.patient")
    if named is None:
        return None
    mother = identifiers(named)
    number = next(iter(mother.numbers), None)
    local_key = mother.local_as(own)
    if mother.suspect and number is None:
        marks.append("mother-number-invalid:RelatedPerson.identifier")
    if local_key is None and number is None:
        return None
    event = birth_event(
        baby,
        Mother(
            nhs_number=bounded(number or "", "RelatedPerson.identifier", marks, 40),
            local_id=bounded(mother.local_id or "", "RelatedPerson.identifier", marks),
            local_key=local_key,
        ),
        visit=visit,
        keys=keys,
        creates_patient=message.event.trigger == "A28",
    )
    if event is not None and is_confidential(named):
        return replace(event, detail=replace(event.detail, location_shielded=True))
    return event


def _is_of(message: Parsed, related: Json) -> bool:
    """Whether she is related to the message's patient: it is named, or nobody is."""
    patient = obj(related, "patient")
    reference, logical = text(patient, "reference"), obj(patient, "identifier")
    encounter = message.encounter.content if message.encounter else {}
    if reference and reference == text(encounter, "subject", "reference"):
        return True
    resolved = message.resolve(patient, related)
    if resolved:
        return resolved is message.patient.content
    if text(logical, "value"):
        return identifies(logical, message.patient.content)
    return not reference


def _is_away(message: Parsed, related: Json) -> bool:
    """Whether it cannot be told whose mother she is."""
    patient = obj(related, "patient")
    return not _is_of(message, related) and not message.resolve(patient, related)
