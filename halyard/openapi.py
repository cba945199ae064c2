"""OpenAPI 3.1 from the routes themselves: what is written here is what every route has in common.

Routes say what is their own (summary, models, statuses); the edge's answers, the form of a problem,
the ways to authenticate and the headers of every answer are added for all of them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from halyard.problems import RESPONSES

Schema = dict[str, Any]

DESCRIPTION: Final = """\
The HTTP face of Halyard. Times are ISO 8601 in UTC. Errors are problems (RFC 9457), on paths of \
FHIR OperationOutcomes; neither holds what was sent. `X-Request-ID` (a UUID) and \
`X-Correlation-ID` (letters, digits, `_` and `-`) come back as they were sent.\
"""

SECURITY: Final[Mapping[str, Schema]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the configured OIDC issuer, or a token that a machine "
        "signs itself, good for one request.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-halyard",
        "description": "A browser's session; requests that change something also carry "
        "`X-CSRF-Token`.",
    },
}

PROBLEM: Final[Schema] = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457); further members depend on the rule.",
    "required": ["type", "title", "status", "detail", "rule"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string", "description": "What is wrong."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do."},
        "rule": {"type": "string", "description": "The rule that is broken, as a fixed code."},
        "place": {"type": "string", "description": "The member or parameter that breaks it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["place", "rule"],
                "properties": {
                    "place": {"type": "string"},
                    "rule": {"type": "string"},
                    "allowed": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "The codes that the place takes.",
                    },
                    "bound": {
                        "type": "integer",
                        "description": "The limit, of a value or a length, that is passed.",
                    },
                },
            },
        },
    },
}

_EDGE: Final = (401, 403, 429, 500, 503)
_EDGE_WITH_BODY: Final = (400, 408, 413)
_HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-ID": {
        "description": "As it was sent, if that was a UUID; else one of the hub's own.",
        "schema": {"type": "string", "format": "uuid"},
    },
}
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})


class DescribedApp(FastAPI):
    """An application that says of itself what its edge does.

    `open_paths` need no credential; `components` are further schemas by name, that routes refer to.
    Below `outspoken` prefixes no answer is a problem: the routes there document each refusal. Below
    `foreign` ones routes say for themselves what they do with what they do not know.
    """

    def __init__(
        self,
        *,
        open_paths: frozenset[str],
        components: Mapping[str, Schema] | None = None,
        outspoken: tuple[str, ...] = (),
        foreign: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(
            version=version("halyard"),
            description=DESCRIPTION,
            generate_unique_id_function=_operation_id,
            **options,
        )
        self.open_paths = open_paths
        self.components = dict(components or {})
        self.outspoken = outspoken
        self.foreign = foreign

    def openapi(self) -> Schema:
        """The document; the same object each time."""
        if self.openapi_schema is None:
            complete(super().openapi(), self)
        assert self.openapi_schema is not None
        return self.openapi_schema


def complete(document: Schema, app: DescribedApp) -> None:
    """Add to `document` what all routes have in common."""
    document["servers"] = [{"url": "/"}]
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {name: dict(one) for name, one in SECURITY.items()}
    parts["headers"] = deepcopy(dict(_HEADERS))
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours are problems
        schemas.pop(name, None)
    schemas["Problem"] = deepcopy(PROBLEM)
    schemas.update(deepcopy(app.components))
    parts["schemas"] = dict(sorted(schemas.items()))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in _METHODS:
                _complete(
                    operation,
                    is_open=path in app.open_paths,
                    outspoken=path.startswith(app.outspoken),
                    foreign=path.startswith(app.foreign),
                )


def _complete(operation: Schema, *, is_open: bool, outspoken: bool, foreign: bool) -> None:
    operation["security"] = [] if is_open else [{name: []} for name in SECURITY]
    answers: Schema = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422")):
        answers["422"] = deepcopy(RESPONSES[422])
    statuses: tuple[int, ...] = (500, 503) if is_open else _EDGE
    if "requestBody" in operation:
        statuses += _EDGE_WITH_BODY
    if not (is_open or foreign):
        statuses += (422,)
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            statuses += (415,)
    for status in () if outspoken else statuses:
        known = answers.setdefault(str(status), {"description": RESPONSES[status]["description"]})
        content = known.setdefault("content", {})
        for kind, one in RESPONSES[status]["content"].items():
            content.setdefault(kind, deepcopy(one))
    for answer in answers.values():
        headers = answer.setdefault("headers", {})
        for name in _HEADERS:
            headers[name] = {"$ref": f"#/components/headers/{name}"}
    operation["responses"] = dict(sorted(answers.items()))


def _operation_id(route: APIRoute) -> str:
    return route.name
