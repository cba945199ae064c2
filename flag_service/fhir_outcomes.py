"""What a FHIR face answers when it cannot: OperationOutcomes with the error codes of NHS APIs.

Routes raise `HttpProblem` as everywhere; `FhirProblems` stands outside the edge and says each
problem of a FHIR path (also the edge's own: 401, 403, 404, 413, …) as an OperationOutcome.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.fhir.outcomes import CONTENT_TYPE, RULES_SYSTEM
from halyard.problems import PROBLEM, HttpProblem

SPINE: Final = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"

NHS_CODE: Final = "nhs_code"
"""Member of a problem that names the code to answer; else the status decides."""

DISPLAYS: Final[Mapping[str, tuple[str, str]]] = {
    "INVALID_SEARCH_DATA": ("value", "Search data is invalid"),
    "MISSING_VALUE": ("required", "Required value is missing"),
    "ADDITIONAL_PROPERTIES": ("invariant", "Invalid additional property"),
    "PRECONDITION_FAILED": ("required", "Required header is missing or invalid"),
    "ACCESS_DENIED": ("forbidden", "Access denied"),
    "RESOURCE_NOT_FOUND": ("not-found", "Resource not found"),
    "INVALID_METHOD": ("not-supported", "Method is not supported"),
    "TOO_MANY_REQUESTS": ("throttled", "Too many requests"),
}
"""NHS error codes: the FHIR issue type and the words of each."""

_OF_STATUS: Final[Mapping[int, str]] = {
    401: "ACCESS_DENIED",
    403: "ACCESS_DENIED",
    404: "RESOURCE_NOT_FOUND",
    405: "INVALID_METHOD",
    429: "TOO_MANY_REQUESTS",
}
_ISSUE_OF_STATUS: Final[Mapping[int, str]] = {
    401: "login",
    408: "incomplete",
    413: "too-long",
    415: "not-supported",
    500: "exception",
    503: "transient",
}


def refusal(code: str, detail: str, *, rule: str, place: str = "") -> HttpProblem:
    """A 400 with an NHS code of `DISPLAYS`; `detail` says what to do."""
    return HttpProblem(
        400, DISPLAYS[code][1], detail, rule=rule, place=place, extras={NHS_CODE: code}
    )


def outcome(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The OperationOutcome of a problem's members."""
    status = int(problem["status"])
    code = problem.get(NHS_CODE) or _OF_STATUS.get(status)
    codings = [{"system": RULES_SYSTEM, "code": problem["rule"]}]
    kind = "processing"
    if code is not None:
        kind, display = DISPLAYS[code]
        codings.insert(0, {"system": SPINE, "version": "1", "code": code, "display": display})
    issue: dict[str, Any] = {
        "severity": "error",
        "code": _ISSUE_OF_STATUS.get(status, kind),
        "details": {"coding": codings, "text": problem["title"]},
        "diagnostics": problem["detail"],
    }
    if place := problem.get("place"):
        issue["expression"] = [f"http.{place}"]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@dataclass(slots=True)
class FhirProblems:
    """ASGI middleware: below `prefixes` a problem leaves as an OperationOutcome."""

    app: ASGIApp
    prefixes: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; change its answer if that is a problem."""
        fhir = scope["type"] == "http" and scope["path"].startswith(self.prefixes)
        await self.app(scope, receive, _Speaker(send) if fhir else send)


class _Speaker:
    """The `send` of one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Hold a problem until it is whole; let everything else pass."""
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._say(self._start)

    async def _say(self, start: MutableMapping[str, Any]) -> None:
        body = orjson.dumps(outcome(orjson.loads(self._body)))
        kept = [
            (name, value)
            for name, value in start["headers"]
            if name.lower() not in (b"content-type", b"content-length")
        ]
        own = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await self._send({**start, "headers": [*kept, *own]})
        await self._send({"type": "http.response.body", "body": body})


def _is_problem(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(PROBLEM.encode())
        for name, value in message.get("headers", ())
    )
