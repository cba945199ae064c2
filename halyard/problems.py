"""Problems: every refusal of an HTTP face, as RFC 9457 says, and never with what was sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from halyard.errors import HalyardError, RejectedError, TransientError
from halyard.telemetry import get_logger

PROBLEM: Final = "application/problem+json"


_DESCRIPTIONS: Final = {
    400: "The request cannot be read, or lacks a header it needs.",
    401: "Nobody is authenticated: the credential is missing, wrong, expired or used before.",
    403: "The caller may not do this: its role, its organisation, or a sharing policy.",
    404: "There is no such thing, or it is not the caller's.",
    408: "The body stopped coming.",
    409: "It is in a state in which this cannot be done; the problem says in which.",
    410: "It was there, and is not kept any more.",
    412: "It has changed since it was read: the version of If-Match is not its version.",
    413: "The body is larger than this route takes.",
    415: "The body is of a type that this route does not take.",
    422: "A member or parameter is not as it must be; `errors` names places and rules.",
    428: "The header If-Match is missing.",
    429: "Too many requests; Retry-After says when to come again.",
    500: "The hub failed.",
    503: "Not available now; Retry-After says when to ask again.",
}

_CODE: Final = re.compile(r"'([^']*)'")
"""A code in pydantic's list of what it expected: "'nobody', 'not-ours' or 'test-record'"."""
_BOUNDS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length")

# Where the phrase book of HTTP says nothing that helps
_ADVICE: Final = {400: "The body cannot be read; send JSON in UTF-8."}

RESPONSES: Final[Mapping[int, dict[str, Any]]] = {
    status: {
        "description": description,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in _DESCRIPTIONS.items()
}
"""What OpenAPI says of each problem, by status. `halyard.openapi` adds the schema, and to every
route what the edge can answer (401, 403, 422, 429, 500, 503; with a body 400, 408, 413, 415)."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`RESPONSES` of `statuses`, for the ``responses=`` of a route: ``responses(404, 409)``."""
    return {status: RESPONSES[status] for status in statuses}


class HttpProblem(RejectedError, HTTPException):
    """The request cannot be done; the title says what is wrong, the detail what to do.

    `extras` are further members of the problem (RFC 9457 section 3.2); no value that was sent
    belongs in any of them.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        rule: str,
        place: str = "",
        headers: Mapping[str, str] | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        RejectedError.__init__(self, f"{title}: {detail}", place=place, rule=rule)
        self.status_code = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.extras = dict(extras or {})

    def response(self) -> Response:
        """The problem as it goes out."""
        place = {"place": self.place} if self.place else {}
        return problem(
            self.status_code,
            self.title,
            self.detail,
            rule=self.rule,
            headers=self.headers,
            extras={**place, **self.extras},
        )


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    rule: str,
    headers: Mapping[str, str] | None = None,
    extras: Mapping[str, Any] | None = None,
) -> Response:
    """A problem details response (RFC 9457)."""
    body = {
        "type": f"urn:halyard:problem:{rule}",
        "title": title,
        "status": status,
        "detail": detail,
        "rule": rule,
        **(extras or {}),
    }
    return Response(orjson.dumps(body), status, dict(headers or {}), PROBLEM)


def route_template(scope: Scope) -> str:
    """The route's template: a bounded label without anything that was sent."""
    return cast("str", getattr(scope.get("route"), "path", "unmatched"))


def add_handlers(app: FastAPI) -> None:
    """Make `app` answer each of its failures as a problem."""
    app.add_exception_handler(HttpProblem, _http_problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HalyardError, _halyard_error)


async def _http_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpProblem)
    return error.response()


async def _http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return problem(
        status,
        status.phrase,
        _ADVICE.get(status) or status.description or "See the reference of the HTTP API.",
        rule=f"http.{status.phrase.lower().replace(' ', '_')}",
        headers=error.headers,
    )


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Only places and rules: pydantic's messages and contexts quote what was sent
    errors = [
        {"place": _place(issue), "rule": issue["type"], **_allowed(issue)}
        for issue in error.errors()[:20]
    ]
    return problem(
        422,
        "The request is not as it must be",
        "Correct the places that are named and send it again.",
        rule="http.invalid",
        extras={"errors": errors},
    )


def _place(issue: Mapping[str, Any]) -> str:
    place = [str(part) for part in issue["loc"]]
    if issue["type"] == "extra_forbidden":
        place[-1] = "(a field that is not known)"  # the name is the sender's own text
    return ".".join(place)


def _allowed(issue: Mapping[str, Any]) -> dict[str, Any]:
    """What the place may hold, as the route declares it: the codes, or the bound that is passed."""
    context = issue.get("ctx") or {}
    if issue["type"] in ("literal_error", "enum"):
        codes = _CODE.findall(str(context.get("expected", "")))
        return {"allowed": codes} if codes else {}
    bounds = [context[name] for name in _BOUNDS if isinstance(context.get(name), int)]
    return {"bound": bounds[0]} if len(bounds) == 1 else {}


async def _halyard_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HalyardError)
    if isinstance(error, RejectedError):
        return problem(
            422,
            "Refused",
            error.message,
            rule=error.rule or "http.refused",
            extras={"place": error.place},
        )
    get_logger().warning("http_not_done", route=route_template(request.scope), exc_info=error)
    if isinstance(error, TransientError):
        return problem(
            503,
            "Not available now",
            error.message,
            rule="http.unavailable",
            headers={"Retry-After": "5"},
        )
    return problem(500, "The hub failed", error.message, rule="http.internal")
