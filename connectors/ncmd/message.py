"""A version of a case as a FHIR R4 message for an HTTP interface, and the answer to it. Pure.

The shape is the hub's own (docs/reference/ncmd-store.md). The National Child Mortality Database
has published no interface; nothing here conforms to one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from halyard.ids import derive
from schemas.deaths import CaseChanged
from stores.ncmd_rows import void_reason
from stores.ncmd_submissions import Kind

EVENT_SYSTEM: Final = "urn:halyard:fhir:death-event"
EVENTS: Final = {
    Kind.SUBMISSION: "death-case-submission",
    Kind.UPDATE: "death-case-update",
    Kind.VOID: "death-case-void",
}
SOURCE: Final = "urn:halyard:hub"
DESTINATION: Final = "urn:halyard:ncmd"
ACKNOWLEDGEMENT, REJECTION = "acknowledgement", "rejection"

Project = Callable[[CaseChanged], dict[str, Any]]
"""The FHIR projection of a case: a collection Bundle."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver says of a message: acknowledged, or rejected under a rule."""

    accepted: bool
    reason: str


def message(
    event: CaseChanged, kind: Kind, message_id: uuid.UUID, project: Project
) -> dict[str, Any]:
    """The message Bundle: MessageHeader, Parameters and, unless it is a void, the case."""
    parameters: list[dict[str, Any]] = [
        {"name": "reference", "valueString": str(event.case_id)},
        {"name": "version", "valuePositiveInt": event.version},
    ]
    if kind is Kind.VOID:
        parameters.append({"name": "reason", "valueCode": void_reason(event)})
    named: list[tuple[str, dict[str, Any]]] = [
        (
            _urn(derive("ncmd-parameters", str(message_id))),
            {"resourceType": "Parameters", "parameter": parameters},
        )
    ]
    if kind is not Kind.VOID:
        named.append((_urn(derive("ncmd-case", str(message_id))), project(event)))
    header = {
        "resourceType": "MessageHeader",
        "id": str(message_id),
        "eventCoding": {"system": EVENT_SYSTEM, "code": EVENTS[kind]},
        "source": {"endpoint": SOURCE},
        "destination": [{"endpoint": DESTINATION}],
        "focus": [{"reference": url} for url, _ in named],
    }
    return {
        "resourceType": "Bundle",
        "id": str(message_id),
        "type": "message",
        "timestamp": event.changed_at.isoformat(),
        "entry": [
            {"fullUrl": url, "resource": resource}
            for url, resource in [(_urn(message_id), header), *named]
        ],
    }


def builder(project: Project) -> Callable[[CaseChanged, Kind, uuid.UUID], bytes]:
    """Makes messages as bytes."""

    def build(event: CaseChanged, kind: Kind, message_id: uuid.UUID) -> bytes:
        return orjson.dumps(message(event, kind, message_id, project))

    return build


def _urn(some_id: uuid.UUID) -> str:
    return f"urn:uuid:{some_id}"


def answer(body: bytes, message_id: uuid.UUID) -> Answer | None:
    """The answer to `message_id` in `body`; None if `body` is no answer to it.

    An acknowledgement says ``ok``, a rejection ``fatal-error``: what says both says neither.
    """
    try:
        bundle = orjson.loads(body)
        header = bundle["entry"][0]["resource"]
        code = header["eventCoding"]["code"]
        response = header["response"]
        if (
            bundle["type"] != "message"
            or header["resourceType"] != "MessageHeader"
            or header["eventCoding"]["system"] != EVENT_SYSTEM
            or response["identifier"] != str(message_id)
        ):
            return None
        match code, response["code"]:
            case "acknowledgement", "ok":
                return Answer(True, "acknowledged")
            case "rejection", "fatal-error":
                return Answer(False, _rule(bundle))
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    return None


def _rule(bundle: Any) -> str:
    """The code of the first issue, if it is one: text of the receiver's is not kept."""
    for entry in bundle["entry"]:
        resource = entry.get("resource", {})
        if resource.get("resourceType") == "OperationOutcome":
            for coding in resource["issue"][0].get("details", {}).get("coding", []):
                code = str(coding.get("code", ""))
                if code.isascii() and code.replace("-", "").isalnum() and len(code) <= 40:
                    return code
    return "rejected"
