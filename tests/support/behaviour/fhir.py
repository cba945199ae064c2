"""Steps as FHIR R4 messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.fhir.detail import ADMISSION_METHOD, LOCATION_SHIELDED, MODE_OF_ARRIVAL, ODS_SITE
from connectors.fhir.events import ENGLAND, OWN, OWN_CODES, V2_TRIGGER, WALES
from connectors.fhir.persons import STATUS_EXTENSIONS
from tests.support.behaviour.story import SITES, Someone, Step

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ENDPOINT = "urn:practice:pas"
_CLASSES = {"E": "EMER", "I": "IMP", "O": "AMB"}
_STATUSES = {"A03": "finished", "A05": "planned", "A11": "cancelled", "A23": "entered-in-error"}
_OWN = {trigger: code for code, trigger in OWN_CODES.items()}


def render(step: Step, *, control_id: str, visit: str | None, now: datetime) -> bytes:
    """The message; `visit` is the visit number of the story's visit."""
    written = _time(now, step.recorded_at) if step.times else "2026-13-99T99:99:99Z"
    resources = [_header(step, control_id, written), _patient(step)]
    if visit is not None:
        resources += [_encounter(step, visit, now), _location(step)]
        resources += _provenance(step, now)
    if step.mother is not None:
        resources.append(_mother(step, step.mother))
    return json.dumps(
        {
            "resourceType": "Bundle",
            "identifier": {"system": "urn:practice:message", "value": control_id},
            "type": "message",
            "timestamp": written,
            "entry": [
                {"fullUrl": f"urn:uuid:{one['resourceType'].lower()}", "resource": one}
                for one in resources
            ],
        }
    ).encode()


def _header(step: Step, control_id: str, written: str) -> dict[str, Any]:
    header: dict[str, Any] = {
        "resourceType": "MessageHeader",
        "id": control_id,
        "meta": {"lastUpdated": written},
        "source": {"endpoint": f"{ENDPOINT}:{step.hospital}"},
        "focus": [{"reference": "urn:uuid:patient"}],
    }
    if step.welsh:
        header["eventCoding"] = {"system": WALES, "code": step.welsh}
    elif step.english:
        header["eventCoding"] = {"system": ENGLAND, "code": "encounter"}
        header["reason"] = {"coding": [{"system": V2_TRIGGER, "code": step.event}]}
    elif step.event in _OWN:
        header["eventCoding"] = {"system": OWN, "code": _OWN[step.event]}
    else:
        header["eventCoding"] = {"system": V2_TRIGGER, "code": step.event}
    return header


def _patient(step: Step) -> dict[str, Any]:
    person = step.shown.person
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "identifier": [
            *(
                _nhs_number(number, step.status)
                for number in step.given_numbers or ((None,) if step.status else ())
            ),
            _local(step, step.local or step.who.local),
        ],
        "gender": person.gender,
    }
    if not step.anonymous:
        patient["name"] = [{"use": "official", "family": person.family, "given": [*person.given]}]
        patient["birthDate"] = step.born if step.born is not None else person.birth_date
        patient["address"] = [{"use": "home", "postalCode": person.postcode}]
    if step.retired is not None:
        retired = {"identifier": _local(step, step.retired)}
        patient["link"] = [{"other": retired, "type": "replaces"}]
    return patient


def _encounter(step: Step, visit: str, now: datetime) -> dict[str, Any]:
    period = {"start": _time(now, step.at) if step.times else "yesterday"}
    if step.ended is not None:
        period["end"] = _time(now, step.ended)
    stay: dict[str, Any] = {}
    if step.method:
        coding = [{"system": "urn:practice:admission-method", "code": step.method}]
        method = {"url": ADMISSION_METHOD, "valueCodeableConcept": {"coding": coding}}
        stay["extension"] = [method]
    if step.destination:
        stay["dischargeDisposition"] = {"coding": [{"code": step.destination}]}
    encounter: dict[str, Any] = {
        "resourceType": "Encounter",
        "identifier": [{"system": "urn:practice:visit", "value": visit}],
        "status": _STATUSES.get(step.event, "in-progress"),
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": _CLASSES[step.patient_class],
        },
        "subject": {"reference": "urn:uuid:patient"},
        "period": period,
        "location": [{"location": {"reference": "urn:uuid:location"}, "status": "active"}],
    }
    if stay:
        encounter["hospitalization"] = stay
    if step.reason:
        encounter["reasonCode"] = [{"text": step.reason}]
    if step.acuity:
        encounter["priority"] = {"text": step.acuity}
    extensions: list[dict[str, Any]] = []
    if step.mode:
        extensions.append({"url": MODE_OF_ARRIVAL, "valueCoding": {"display": step.mode}})
    if step.shielded:
        extensions.append({"url": LOCATION_SHIELDED, "valueBoolean": True})
    if extensions:
        encounter["extension"] = extensions
    return encounter


def _location(step: Step) -> dict[str, Any]:
    return {
        "resourceType": "Location",
        "identifier": [
            {"system": "urn:practice:department", "value": step.department},
            {"system": ODS_SITE, "value": SITES[step.hospital]},
        ],
    }


def _provenance(step: Step, now: datetime) -> list[dict[str, Any]]:
    """When the event was: an encounter's period alone does not say it of every event."""
    if not step.times:
        return []
    return [
        {
            "resourceType": "Provenance",
            "target": [{"reference": "urn:uuid:encounter"}],
            "occurredDateTime": _time(now, step.at),
            "recorded": _time(now, step.recorded_at),
            "agent": [{"who": {"display": "Practice system"}}],
        }
    ]


def _mother(step: Step, mother: Someone) -> dict[str, Any]:
    role = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    return {
        "resourceType": "RelatedPerson",
        "identifier": [_nhs_number(mother.number, None), _local(step, mother.local)],
        "patient": {"reference": "urn:uuid:patient"},
        "relationship": [{"coding": [{"system": role, "code": "MTH"}]}],
    }


def _nhs_number(number: str | None, status: str | None) -> dict[str, Any]:
    identifier: dict[str, Any] = {"system": NHS_NUMBER}
    if number is not None:
        identifier["value"] = number
    if status:
        concept = {"coding": [{"code": status}]}
        identifier["extension"] = [{"url": STATUS_EXTENSIONS[0], "valueCodeableConcept": concept}]
    return identifier


def _local(step: Step, value: str) -> dict[str, Any]:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    return {"system": f"urn:practice:{step.hospital}:patient", "value": value, "type": kind}


def _time(now: datetime, minutes: int) -> str:
    return (now + timedelta(minutes=minutes)).astimezone(UTC).isoformat(timespec="seconds")
