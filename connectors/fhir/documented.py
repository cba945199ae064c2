"""What OpenAPI says of FHIR answers: schemas of the resources, and the refusals by status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.fhir.outcomes import CONTENT_TYPE
from halyard.problems import RESPONSES


def _resource(kind: str, words: str, *required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "title": kind,
        "description": f"FHIR R4 {kind} (hl7.org/fhir/R4/{kind.lower()}.html): {words}",
        "required": ["resourceType", *required],
        "properties": {"resourceType": {"const": kind}, **properties},
    }


_OBJECTS: Final = {"type": "array", "minItems": 1, "items": {"type": "object"}}

COMPONENTS: Final[Mapping[str, dict[str, Any]]] = {
    "Bundle": _resource(
        "Bundle",
        "a message, or what a search found.",
        "type",
        type={"enum": ["message", "searchset", "collection"]},
        total={"type": "integer", "minimum": 0},
        entry=_OBJECTS,
    ),
    "CapabilityStatement": _resource(
        "CapabilityStatement", "what runs.", "status", "date", "kind", "fhirVersion", "format"
    ),
    "OperationOutcome": _resource(
        "OperationOutcome", "what is wrong, or how far an answer goes.", "issue", issue=_OBJECTS
    ),
}
"""Schemas by name; FHIR's own definitions say the rest."""

MESSAGE: Final[dict[str, Any]] = {
    "required": True,
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Bundle"}}},
}
"""A request body: one FHIR message."""


BUNDLE: Final = "#/components/schemas/Bundle"


def answer(kind: str, words: str) -> dict[str, Any]:
    """A response that is a FHIR resource."""
    schema = {"$ref": f"#/components/schemas/{kind}"}
    return {"description": words, "content": {CONTENT_TYPE: {"schema": schema}}}


def fhir_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals as OperationOutcomes, for the ``responses=`` of a route."""
    described = {405: "There is no such method here."}
    return {
        status: answer(
            "OperationOutcome",
            described[status] if status in described else str(RESPONSES[status]["description"]),
        )
        for status in statuses
    }
