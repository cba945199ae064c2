"""Answers as OperationOutcome: which element breaks which rule, never with what was sent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

PATH: Final = "/fhir/R4/$process-message"
CONTENT_TYPE: Final = "application/fhir+json"
RECEIPT: Final = "Halyard-Receipt"
"""Header of a 202: the id under which the message is stored."""
RULES_SYSTEM: Final = "urn:halyard:fhir:rule"
MAX_ISSUES: Final = 20

Severity = str


@dataclass(frozen=True, slots=True)
class Rule:
    """What a broken rule is answered: HTTP status, FHIR issue type, and what to do."""

    status: int
    issue: str
    advice: str


RULES: Final = {
    "content-type": Rule(
        415, "not-supported", "Send FHIR R4 JSON, uncompressed, as application/fhir+json in UTF-8."
    ),
    "oversize": Rule(413, "too-long", "Send one message of at most the size that is allowed."),
    "broke-off": Rule(400, "incomplete", "The body broke off or stalled; send it again, whole."),
    "not-json": Rule(400, "structure", "Send the message as one JSON object."),
    "too-deep": Rule(400, "structure", "Nest elements less deeply."),
    "too-many-elements": Rule(
        400,
        "too-costly",
        "Send the message without so much else: it may have 5,000 elements, 20,000 about a death.",
    ),
    "not-a-message": Rule(
        400, "structure", "Send a Bundle of type message with its resources in `entry`."
    ),
    "too-many-entries": Rule(400, "too-costly", "Send one message with fewer entries."),
    "header-missing": Rule(
        400, "required", "Put exactly one MessageHeader into the Bundle, first."
    ),
    "element-missing": Rule(400, "required", "Send this element; FHIR R4 demands it."),
    "element-unknown": Rule(
        400, "structure", "FHIR R4 has no element of a name that stands here; take it out."
    ),
    "element-invalid": Rule(400, "invalid", "Send this element as FHIR R4 defines it."),
    "unknown-feed": Rule(
        403,
        "forbidden",
        "No FHIR feed of your organisation has this source endpoint; ask the hub's operator.",
    ),
    "not-a-hospital": Rule(
        403,
        "forbidden",
        "Attendances are taken from hospitals; your organisation may send messages about deaths.",
    ),
    "not-a-pds-relay": Rule(
        403,
        "forbidden",
        "PDS death events are taken from feeds that relay PDS; ask the hub's operator.",
    ),
    "event-unknown": Rule(
        422, "not-supported", "Send one of the message events that the reference lists."
    ),
    "encounter-missing": Rule(422, "required", "Send the Encounter that the message is about."),
    "encounter-ambiguous": Rule(
        422, "multiple-matches", "Name the Encounter in MessageHeader.focus; there are several."
    ),
    "patient-missing": Rule(
        422, "required", "Send the Patient whom the message is about, or their identifier."
    ),
    "patient-ambiguous": Rule(
        422,
        "multiple-matches",
        "Name the Patient in the subject of the Encounter or of each form; there are several.",
    ),
    "patient-unidentifiable": Rule(
        422, "required", "Send an identifier, a name or a birth date, or a visit's identifier."
    ),
    "too-many-merges": Rule(
        422, "too-costly", "Send one message for each 16 patients who are replaced."
    ),
    "message-id-missing": Rule(
        422, "required", "Send MessageHeader.id, and keep it when you send the message again."
    ),
    "reference-missing": Rule(
        422,
        "required",
        "Send the parameter `reference`: your own id of it, at most 250 characters.",
    ),
    "version-missing": Rule(
        422, "required", "Send the parameter `version`: a whole number that grows, from 1."
    ),
    "reason-missing": Rule(
        422, "required", "Send the parameter `reason`: why the notification is void, as a code."
    ),
    "pds-status-unknown": Rule(
        422, "value", "Send the parameter `status`: 1 (informal), 2 (formal) or U (removed)."
    ),
    "broker-away": Rule(503, "transient", "The hub could not store it; send it again in a moment."),
}
"""Every rule for which a message is refused; docs/reference/fhir.md lists them."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A rule and the element that breaks it, as a FHIRPath expression (``Bundle.entry[1]…``)."""

    rule: str
    place: str


def refused(issues: Sequence[Issue]) -> bytes:
    """An OperationOutcome of severity error; the first issue decided."""
    return _dump(
        None,
        [
            _issue("error", RULES[one.rule].issue, one.rule, RULES[one.rule].advice, one.place)
            for one in issues[:MAX_ISSUES]
        ],
    )


def accepted(event_id: uuid.UUID, marks: Sequence[str]) -> bytes:
    """The receipt: the message is stored for good under `event_id`; one warning for each mark."""
    told = "Stored; the receipt is this outcome's id."
    warnings = []
    for mark in marks[: MAX_ISSUES - 1]:
        rule, _, place = mark.partition(":")
        warnings.append(_issue("warning", "informational", rule, "Taken with this oddity.", place))
    return _dump(
        event_id, [_issue("information", "informational", "accepted", told, ""), *warnings]
    )


def _issue(severity: Severity, kind: str, rule: str, words: str, place: str) -> dict[str, Any]:
    issue: dict[str, Any] = {
        "severity": severity,
        "code": kind,
        "details": {"coding": [{"system": RULES_SYSTEM, "code": rule}], "text": words},
    }
    if place:
        issue["expression"] = [place]
    return issue


def _dump(outcome_id: uuid.UUID | None, issues: list[dict[str, Any]]) -> bytes:
    outcome: dict[str, Any] = {"resourceType": "OperationOutcome"}
    if outcome_id is not None:
        outcome["id"] = str(outcome_id)
    return orjson.dumps({**outcome, "issue": issues})
