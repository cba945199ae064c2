"""Invented FHIR messages; all NHS numbers are from the test range."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from connectors.fhir.events import OWN
from connectors.fhir.mapping import to_attendances
from connectors.fhir.messages import Parsed, Refusal, read_message
from halyard.privacy import Keys
from schemas.events import AttendanceReported
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed

CHILD_NUMBER = "9990000018"
OTHER_NUMBER = "9990000026"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
LOCAL = "urn:test:patient"
ENDPOINT = "urn:test:pas"
RECEIVED = datetime(2026, 3, 14, 21, 43, tzinfo=UTC)
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
FEED = Feed(source="rtest-fhir", organisation="RTEST", transport="fhir", endpoint=ENDPOINT)

HEADER: dict[str, Any] = {
    "resourceType": "MessageHeader",
    "id": "header-1",
    "meta": {"lastUpdated": "2026-03-14T21:42:30Z"},
    "eventCoding": {"system": OWN, "code": "arrival"},
    "source": {"endpoint": ENDPOINT},
    "focus": [{"reference": "urn:uuid:encounter"}],
}
ENCOUNTER: dict[str, Any] = {
    "resourceType": "Encounter",
    "identifier": [{"system": "urn:test:visit", "value": "ED2026000123"}],
    "status": "arrived",
    "class": {"code": "EMER"},
    "subject": {"reference": "urn:uuid:patient"},
    "period": {"start": "2026-03-14T21:41:05+00:00"},
    "location": [{"location": {"reference": "urn:uuid:location"}}],
    "reasonCode": [{"text": "Fall at home"}],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": NHS, "value": CHILD_NUMBER}, {"system": LOCAL, "value": "T123456"}],
    "name": [{"use": "official", "family": "Testchild", "given": ["Robin", "Lee"]}],
    "gender": "male",
    "birthDate": "2019-06-02",
    "address": [{"use": "home", "postalCode": "ZZ1 1AA"}],
}
LOCATION: dict[str, Any] = {
    "resourceType": "Location",
    "identifier": [
        {"system": "https://fhir.nhs.uk/Id/ods-site-code", "value": "RTES5"},
        {"system": "urn:test:department", "value": "ED"},
    ],
}


def bundle(
    *,
    header: dict[str, Any] | None = None,
    encounter: dict[str, Any] | None = None,
    patient: dict[str, Any] | None = None,
    more: tuple[dict[str, Any], ...] = (),
    without: tuple[str, ...] = (),
    **changes: Any,
) -> dict[str, Any]:
    """A child's arrival; each resource with `changes` of its elements (None drops one)."""
    resources = [
        _changed(HEADER, header),
        _changed(ENCOUNTER, encounter),
        _changed(PATIENT, patient),
        copy.deepcopy(LOCATION),
        *more,
    ]
    entries = [
        {"fullUrl": f"urn:uuid:{one.get('id') or one['resourceType'].lower()}", "resource": one}
        if one["resourceType"] != "MessageHeader"
        else {"fullUrl": "urn:uuid:header", "resource": one}
        for one in resources
        if one["resourceType"] not in without
    ]
    made = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:test:message", "value": "message-1"},
        "type": "message",
        "timestamp": "2026-03-14T21:42:33Z",
        "entry": entries,
    }
    return _changed(made, changes)


def _changed(resource: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    made = {**copy.deepcopy(resource), **(changes or {})}
    return {name: value for name, value in made.items() if value is not None}


def read(message: dict[str, Any]) -> Parsed | Refusal:
    """As the hub reads it; AssertionError if it takes it for a message about a death."""
    found = read_message(json.dumps(message).encode())
    assert isinstance(found, Parsed | Refusal)
    return found


def events(message: dict[str, Any], received_at: datetime = RECEIVED) -> list[AttendanceReported]:
    """The events that a message reports; AssertionError if it is refused."""
    parsed = read(message)
    assert isinstance(parsed, Parsed), parsed
    found = to_attendances(parsed, feed=FEED, rule=DEFAULT_RULE, keys=KEYS, received_at=received_at)
    return list(found)


def event(message: dict[str, Any]) -> AttendanceReported:
    """The one event of a message."""
    (one,) = events(message)
    return one


def refusal(message: dict[str, Any] | bytes) -> Refusal:
    """Why it is refused; AssertionError if it is not."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    found = read_message(body)
    assert isinstance(found, Refusal)
    return found
