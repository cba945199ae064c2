"""FHIR messages about deaths as a practice sender makes them. Pure: the same call, the same bytes.

Answers go by field of ``schemas/death_fields.toml``; its type decides the FHIR value. A name that
is not there goes as text, as a form of next year would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from connectors.fhir.death_events import (
    ABSENT,
    AS_AT,
    DEATH_EVENTS,
    NOTIFICATION_FORM,
    OPINION,
    REPORT_FORM,
    VOID_REASON,
    DeathEventCode,
)
from halyard.ids import derive
from schemas.death_fields import catalogue

ENDPOINT: Final = "urn:halyard:practice:pas"
AT: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FORM_VERSION: Final = "2026"
_NHS: Final = "https://fhir.nhs.uk/Id/nhs-number"
_LOCAL: Final = "urn:halyard:practice:patient"
_STATUS: Final = (
    "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus"
)
_STATUS_SYSTEM: Final = (
    "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland"
)
_BIRTH_TIME: Final = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
_VALUES: Final = {
    "text": "valueString",
    "date": "valueDate",
    "partial-date": "valueDate",
    "time": "valueTime",
    "boolean": "valueBoolean",
    "integer": "valueInteger",
    "decimal": "valueDecimal",
}


@dataclass(frozen=True, slots=True)
class Absent:
    """No answer, and why: ``unknown``, ``not-applicable``, ``not-asked``."""

    code: str = "unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that is told to be an opinion (or not), or that holds from a day."""

    value: str | bool | int | float
    opinion: bool | None = None
    as_at: str | None = None


Answer = str | bool | int | float | Absent | Said
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Child:
    """Whom a message is about, as its Patient. `status` is of the NHS number (``01``: verified)."""

    family: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    birth_date: str | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    nhs_number: str | None = field(default=None, repr=False)
    status: str | None = None
    local_id: str | None = field(default=None, repr=False)
    postcode: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)  # one line
    alternative_postcode: str | None = field(default=None, repr=False)
    previous_family: str | None = field(default=None, repr=False)
    birth_time: str | None = None  # dateTime
    birth_order: int | None = None
    died: str | None = None  # deceasedDateTime


def notification(
    *,
    reference: str,
    child: Child | None,
    answers: Mapping[str, Answer] | None = None,
    rows: Mapping[str, Sequence[Mapping[str, Answer]]] | None = None,
    version: int | None = None,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
    form: str = f"{NOTIFICATION_FORM}|{FORM_VERSION}",
) -> Json:
    """A death notification. `answers` by field; `rows` by repeating group, each row by field with
    or without the group's name. `message_id` is of event, reference and version if not given.
    """
    return _message(
        DeathEventCode.NOTIFICATION,
        _reference(reference, version),
        child,
        _form(form, answers or {}, rows or {}),
        (reference, version or 1),
        message_id,
        at,
        endpoint,
    )


def update(
    *,
    reference: str,
    version: int,
    child: Child | None,
    answers: Mapping[str, Answer] | None = None,
    rows: Mapping[str, Sequence[Mapping[str, Answer]]] | None = None,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
    form: str = f"{NOTIFICATION_FORM}|{FORM_VERSION}",
) -> Json:
    """A correction of a notification: all of it anew, under a higher version."""
    return _message(
        DeathEventCode.UPDATE,
        _reference(reference, version),
        child,
        _form(form, answers or {}, rows or {}),
        (reference, version),
        message_id,
        at,
        endpoint,
    )


def void(
    *,
    reference: str,
    version: int,
    reason: str,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
) -> Json:
    """A notification that was wrong; it names nobody but by its reference."""
    parameters = [
        *_reference(reference, version),
        {"name": "reason", "valueCoding": {"system": VOID_REASON, "code": reason}},
    ]
    return _message(
        DeathEventCode.VOID,
        parameters,
        None,
        None,
        (reference, version),
        message_id,
        at,
        endpoint,
    )


def report(
    *,
    reference: str,
    child: Child | None = None,
    answers: Mapping[str, Answer] | None = None,
    rows: Mapping[str, Sequence[Mapping[str, Answer]]] | None = None,
    request: str | None = None,
    version: int | None = None,
    partial: bool = False,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
    form: str = f"{REPORT_FORM}|{FORM_VERSION}",
) -> Json:
    """An agency's report, to a `request` (its id) or unasked; `partial`: more will come."""
    return _message(
        DeathEventCode.REPORT,
        _reference(reference, version, request),
        child,
        _form(form, answers or {}, rows or {}, "in-progress" if partial else "completed"),
        (reference, version or 1),
        message_id,
        at,
        endpoint,
    )


def declined(
    *,
    reference: str,
    reason: str,
    request: str | None = None,
    child: Child | None = None,
    version: int | None = None,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
) -> Json:
    """An agency will not report, and says why in its own words."""
    parameters = [
        *_reference(reference, version, request),
        {"name": "reason", "valueString": reason},
    ]
    key = (reference, version or 1)
    return _message(DeathEventCode.DECLINED, parameters, child, None, key, message_id, at, endpoint)


def nothing_known(
    *,
    reference: str,
    request: str | None = None,
    child: Child | None = None,
    version: int | None = None,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
) -> Json:
    """An agency knows nothing of the child: a full answer."""
    parameters = _reference(reference, version, request)
    key = (reference, version or 1)
    return _message(
        DeathEventCode.NOTHING_KNOWN, parameters, child, None, key, message_id, at, endpoint
    )


def pds_death(
    *,
    child: Child,
    status: str,
    effective: datetime = AT,
    message_id: str | None = None,
    at: datetime = AT,
    endpoint: str = ENDPOINT,
) -> Json:
    """PDS holds the child as dead (status 1 informal, 2 formal), or no more (U)."""
    parameters = [
        {"name": "status", "valueCode": status},
        {"name": "effective", "valueInstant": _instant(effective)},
    ]
    key = (child.nhs_number or "", f"{status} {_instant(effective)}")
    return _message(DeathEventCode.PDS, parameters, child, None, key, message_id, at, endpoint)


def _message(
    event: DeathEventCode,
    parameters: list[Json],
    child: Child | None,
    form: Json | None,
    key: tuple[str, int | str],
    message_id: str | None,
    at: datetime,
    endpoint: str,
) -> Json:
    said = message_id or str(derive("practice-message", event.value, *key))
    resources: list[tuple[str, Json]] = [
        ("parameters", {"resourceType": "Parameters", "parameter": parameters})
    ]
    if child is not None:
        resources.append(("patient", _patient(child)))
    if form is not None:
        subject = {} if child is None else {"subject": {"reference": "urn:uuid:patient"}}
        resources.append(("form", {**form, **subject}))
    header = {
        "resourceType": "MessageHeader",
        "id": said,
        "eventCoding": {"system": DEATH_EVENTS, "code": event.value},
        "source": {"endpoint": endpoint},
        "destination": [{"endpoint": "urn:halyard:hub"}],
        "focus": [{"reference": f"urn:uuid:{name}"} for name, _ in resources],
    }
    return {
        "resourceType": "Bundle",
        "id": said,
        "type": "message",
        "timestamp": _instant(at),
        "entry": [
            {"fullUrl": f"urn:uuid:{name}", "resource": resource}
            for name, resource in [("header", header), *resources]
        ],
    }


def _reference(reference: str, version: int | None, request: str | None = None) -> list[Json]:
    made: list[Json] = [{"name": "reference", "valueIdentifier": {"value": reference}}]
    if version is not None:
        made.append({"name": "version", "valuePositiveInt": version})
    if request is not None:
        made.append({"name": "request", "valueUuid": f"urn:uuid:{request}"})
    return made


def _patient(child: Child) -> Json:
    identifiers: list[Json] = []
    if child.nhs_number is not None:
        number: Json = {"system": _NHS, "value": child.nhs_number}
        if child.status is not None:
            coding = {"system": _STATUS_SYSTEM, "code": child.status}
            number["extension"] = [{"url": _STATUS, "valueCodeableConcept": {"coding": [coding]}}]
        identifiers.append(number)
    if child.local_id is not None:
        identifiers.append({"system": _LOCAL, "value": child.local_id})
    names = [_given({"use": "official", "family": child.family, "given": list(child.given)})]
    if child.previous_family is not None:
        names.append({"use": "old", "family": child.previous_family})
    addresses = [
        _given(
            {
                "use": "home",
                "text": child.address,
                "postalCode": child.postcode,
            }
        ),
        _given({"use": "temp", "postalCode": child.alternative_postcode}),
    ]
    made = _given(
        {
            "identifier": identifiers,
            "name": [one for one in names if len(one) > 1],
            "gender": child.sex,
            "birthDate": child.birth_date,
            "deceasedDateTime": child.died,
            "address": [one for one in addresses if len(one) > 1],
            "multipleBirthInteger": child.birth_order,
        }
    )
    if child.birth_time is not None:
        time = {"url": _BIRTH_TIME, "valueDateTime": child.birth_time}
        made["_birthDate"] = {"extension": [time]}
    return {"resourceType": "Patient", **made}


def _form(
    form: str,
    answers: Mapping[str, Answer],
    rows: Mapping[str, Sequence[Mapping[str, Answer]]],
    status: str = "completed",
) -> Json | None:
    """The QuestionnaireResponse; None if nothing is answered."""
    items = [_item(name, answer) for name, answer in answers.items()]
    for group, several in rows.items():
        for row in several:
            inner = [
                _item(name if name.startswith(f"{group}.") else f"{group}.{name}", answer)
                for name, answer in row.items()
            ]
            items.append({"linkId": group, "item": inner})
    if not items:
        return None
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": form,
        "status": status,
        "item": items,
    }


def _item(name: str, answer: Answer) -> Json:
    item: Json = {"linkId": name}
    if isinstance(answer, Absent):
        return {**item, "answer": [{"valueCoding": {"system": ABSENT, "code": answer.code}}]}
    if isinstance(answer, Said):
        extensions: list[Json] = []
        if answer.opinion is not None:
            extensions.append({"url": OPINION, "valueBoolean": answer.opinion})
        if answer.as_at is not None:
            extensions.append({"url": AS_AT, "valueDate": answer.as_at})
        if extensions:
            item["extension"] = extensions
        answer = answer.value
    return {**item, "answer": [_value(name, answer)]}


def _value(name: str, value: str | bool | float) -> Json:
    known = catalogue().get(name)
    kind = known.type if known else "text"
    if kind == "code":
        return {"valueCoding": {"code": str(value)}}
    if kind == "time" and isinstance(value, str) and len(value) == len("hh:mm"):
        value = f"{value}:00"
    return {_VALUES[kind]: str(value) if kind == "text" else value}


def _given(node: Json) -> Json:
    return {name: value for name, value in node.items() if value not in (None, [], ())}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
