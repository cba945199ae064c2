"""What a message says of the visit: Encounter and what it refers to, as `VisitDetail`."""

from __future__ import annotations

from typing import Final

from connectors.fhir.messages import Parsed
from connectors.fhir.view import Json, codings, extension, obj, objs, text, words
from connectors.hl7v2.persons import bounded
from schemas.events import Moment, VisitDetail

MODE_OF_ARRIVAL: Final = "http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival"
ADMISSION_METHOD: Final = (
    "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-AdmissionMethod"
)
LOCATION_SHIELDED: Final = "urn:halyard:fhir:location-shielded"
"""The hub's own extension of Encounter (valueBoolean): nobody may be told where this person is."""
ODS_SITE: Final = "https://fhir.nhs.uk/Id/ods-site-code"
ODS_ORGANISATION: Final = "https://fhir.nhs.uk/Id/ods-organization-code"
CLASSES: Final = {
    "EMER": "E",
    **dict.fromkeys(("IMP", "ACUTE", "NONAC", "SS"), "I"),
    **dict.fromkeys(("AMB", "HH", "VR", "FLD"), "O"),
    "PRENC": "P",
    "OBSENC": "I",
}
"""v3-ActCode as HL7 v2's patient class (table 0004), by which arrival rules are written."""

_MAX_FREE_TEXT: Final = 2_000
_CURRENT: Final = ("active", "", "reserved", "planned", "completed")


def visit_detail(
    message: Parsed, marks: list[str], *, discharged_at: Moment | None, shielded: bool
) -> VisitDetail:
    """What is told of the visit; nothing if there is no Encounter."""
    if message.encounter is None:
        return VisitDetail(location_shielded=shielded)
    encounter = message.encounter.content
    stay = obj(encounter, "hospitalization")
    location = _location(message, encounter)
    method = _coded(extension(stay, ADMISSION_METHOD)) or _coded(
        extension(encounter, ADMISSION_METHOD)
    )
    mode = extension(encounter, MODE_OF_ARRIVAL)
    code = text(encounter, "class", "code").upper()
    return VisitDetail(
        patient_class=bounded(CLASSES.get(code, code), "Encounter.class", marks, 20),
        admission_method=bounded(method.upper(), "Encounter.hospitalization", marks, 20),
        department=bounded(_department(location), "Encounter.location", marks),
        site_ods=bounded(_site(message, encounter, location), "Encounter.location", marks, 20),
        mode_of_arrival=bounded(_said(mode), "Encounter.extension", marks, _MAX_FREE_TEXT),
        reason=bounded(_reason(message, encounter), "Encounter.reasonCode", marks, _MAX_FREE_TEXT),
        discharged_at=discharged_at,
        acuity=bounded(words(obj(encounter, "priority")), "Encounter.priority", marks),
        discharge_destination=bounded(
            words(obj(stay, "dischargeDisposition")), "Encounter.hospitalization", marks
        ),
        location_shielded=shielded,
    )


def is_shielded(encounter: Json) -> bool:
    """Whether the Encounter carries the hub's shielding extension; any value but false is set."""
    return any(
        _is_set(one)
        for one in objs(encounter, "extension")
        if text(one, "url") == LOCATION_SHIELDED
    )


def _is_set(one: Json) -> bool:
    values = [value for name, value in one.items() if name.startswith("value")]
    return not any(
        value is False or (isinstance(value, str) and value.strip().lower() == "false")
        for value in values
    )


def _coded(one: Json) -> str:
    """The code of an extension with a CodeableConcept, Coding or code."""
    for coding in codings(obj(one, "valueCodeableConcept")):
        if coding.code:
            return coding.code
    return text(one, "valueCoding", "code") or text(one, "valueCode")


def _said(one: Json) -> str:
    """An extension's value as a person reads it."""
    coding = obj(one, "valueCoding")
    return (
        text(coding, "display")
        or words(obj(one, "valueCodeableConcept"))
        or text(one, "valueString")
        or text(coding, "code")
    )


def _location(message: Parsed, encounter: Json) -> Json:
    """Where the patient is now: an active location, the last of equals; with its display."""
    places = objs(encounter, "location")
    if not places:
        return {}

    def rank(place: Json) -> int:
        status = text(place, "status")
        if not status and text(place, "period", "end"):
            status = "completed"
        return _CURRENT.index(status) if status in _CURRENT else len(_CURRENT)

    reference = obj(min(reversed(places), key=rank), "location")
    found = message.resolve(reference, encounter)
    if found:
        return found
    alone: Json = {"name": text(reference, "display")}
    if obj(reference, "identifier"):
        alone["identifier"] = [obj(reference, "identifier")]
    return alone


def _department(location: Json) -> str:
    """The hospital's own code of the place (as PV1-3.1), else its name."""
    for one in objs(location, "identifier"):
        if text(one, "value") and text(one, "system") not in (ODS_SITE, ODS_ORGANISATION):
            return text(one, "value")
    return text(location, "name") or text(location, "description")


def _site(message: Parsed, encounter: Json, location: Json) -> str:
    """ODS code of the site: the location's, else its organisation's, else the provider's."""
    if code := _ods(location):
        return code
    for node, name in ((location, "managingOrganization"), (encounter, "serviceProvider")):
        reference = obj(node, name)
        code = _ods({"identifier": [obj(reference, "identifier")]}) or _ods(
            message.resolve(reference, node)
        )
        if code:
            return code
    return ""


def _ods(node: Json) -> str:
    found = {text(one, "system"): text(one, "value") for one in objs(node, "identifier")}
    return found.get(ODS_SITE) or found.get(ODS_ORGANISATION) or ""


def _reason(message: Parsed, encounter: Json) -> str:
    """Why somebody came, most specific first: a diagnosis or complaint that the Encounter refers
    to, then its reasonCode.
    """
    references = [
        *(obj(one, "condition") for one in objs(encounter, "diagnosis")),
        *objs(encounter, "reasonReference"),
    ]
    for reference in references:
        found = message.resolve(reference, encounter)
        said = words(obj(found, "valueCodeableConcept")) or text(found, "valueString")
        said = said or words(obj(found, "code")) or text(reference, "display")
        if said:
            return said
    return next((said for one in objs(encounter, "reasonCode") if (said := words(one))), "")
