"""What OpenAPI says of the FHIR look-ups: their parameters, headers and answers."""

from __future__ import annotations

from typing import Any, Final

from connectors.fhir.documented import fhir_responses
from connectors.fhir.outcomes import CONTENT_TYPE
from flag_service import fhir_search
from flag_service.capability import Face, Parameter, Search
from flag_service.looking import MAX_REASON

Schema = dict[str, Any]

_HEADERS: Final[tuple[Schema, ...]] = (
    {
        "name": fhir_search.UNSCHEDULED,
        "in": "header",
        "required": False,
        "description": "Whether this is an access in unscheduled care, of which the authority is "
        "told; absent means that it is.",
        "schema": {"type": "boolean"},
    },
    {
        "name": fhir_search.TRACE_ID,
        "in": "header",
        "required": False,
        "description": "Comes back as it was sent.",
        "schema": {"type": "string", "format": "uuid"},
    },
    {
        "name": fhir_search.PURPOSE,
        "in": "header",
        "required": False,
        "description": "What for; absent means urgent care if the access is unscheduled, else "
        "direct care.",
        "schema": {"type": "string", "enum": [one.value for one in fhir_search.PURPOSES]},
    },
    {
        "name": fhir_search.REASON,
        "in": "header",
        "required": False,
        "description": "Why, in your own words; needed to break the glass.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_REASON},
    },
)


def search(face: Face, one: Search, method: str) -> Schema:
    """The options of a search's route."""
    extra: Schema = {"parameters": list(_HEADERS)}
    if method == "GET":
        extra["parameters"] = [*(_in_query(each) for each in one.parameters), *_HEADERS]
    else:
        extra["requestBody"] = {
            "required": True,
            "content": {fhir_search.FORM: {"schema": _form(one)}},
        }
    return {
        "name": f"{'get' if method == 'GET' else 'post'}_{face.name}_{one.path}",
        "summary": f"{one.words.partition('.')[0]}"
        + (" (the number stands in the body)" if method == "POST" else ""),
        "description": f"{face.words} {one.words}",
        "tags": ["look-ups"],
        "openapi_extra": extra,
        "responses": {
            200: {
                "description": "A searchset; total 0 has an outcome that says how far it may be "
                "believed.",
                "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Bundle"}}},
            },
            **fhir_responses(400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503),
        },
    }


def metadata(face: Face) -> Schema:
    """The options of the route of a CapabilityStatement."""
    kind = {"$ref": "#/components/schemas/CapabilityStatement"}
    return {
        "name": f"metadata_{face.name}",
        "summary": f"CapabilityStatement of {face.base}",
        "tags": ["look-ups"],
        "responses": {
            200: {"description": "What runs here.", "content": {CONTENT_TYPE: {"schema": kind}}},
            **fhir_responses(401, 403, 429, 500, 503),
        },
    }


def _in_query(one: Parameter) -> Schema:
    return {
        "name": one.sent,
        "in": "query",
        "required": one.required,
        "description": one.words,
        "schema": {"type": "string", "maxLength": 200},
        "example": one.example,
    }


def _form(one: Search) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [each.sent for each in one.parameters if each.required],
        "properties": {
            each.sent: {"type": "string", "maxLength": 200, "description": each.words}
            for each in one.parameters
        },
    }
