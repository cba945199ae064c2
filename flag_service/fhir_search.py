"""Searches of the FHIR look-ups, read: parameters and headers, and what is wrong with them.

Parameters are read by hand: a refusal names the parameter and the rule, never the value, and a
parameter that is not known is not repeated either.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from connectors.fhir.flag_projection import is_flag_code
from connectors.fhir.writing import NHS_NUMBER
from flag_service.fhir_outcomes import refusal
from flag_service.looking import MAX_REASON
from halyard import nhs_number
from halyard.http import HttpProblem
from policies.purposes import Purpose

FORM: Final = "application/x-www-form-urlencoded"
UNSCHEDULED: Final = "IsUnscheduledAccessEvent"
TRACE_ID: Final = "TraceID"
PURPOSE: Final = "Halyard-Purpose"
REASON: Final = "Halyard-Reason"
INCLUDE: Final = (
    "AuditEvent:entity-type=http://terminology.hl7.org/CodeSystem/v3-RoleClass|ASSIGNED"
)
PURPOSES: Final = (
    Purpose.URGENT_CARE,
    Purpose.DIRECT_CARE,
    Purpose.CHILD_PROTECTION,
    Purpose.BREAK_GLASS,
)
"""For which a look-up may be made."""

_MAX_QUERY: Final = 2_000
_FORMATS: Final = frozenset({"json", "application/json", "application/fhir+json"})


async def parameters(request: Request, known: frozenset[str]) -> dict[str, str]:
    """The parameters of a search: of the URL for GET, of the form for POST. Each at most once."""
    query: bytes = request.scope["query_string"]
    if request.method == "POST":
        if query:
            raise _search("Put every parameter into the body; the URL of _search has none.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != FORM:
            raise HttpProblem(
                415,
                "Not a form",
                f"Send the parameters as {FORM}.",
                rule="lookup.content_type",
            )
        query = await request.body()
    if len(query) > _MAX_QUERY:
        raise _search("Send only the parameters that the capability statement lists.")
    found: dict[str, str] = {}
    for name, value in _pairs(query):
        if name not in known and name != "_format":
            raise refusal(
                "ADDITIONAL_PROPERTIES",
                "Send only the parameters that the capability statement lists.",
                rule="lookup.parameter_unknown",
            )
        if name in found:
            raise _search("Send each parameter once.", name)
        found[name] = value
    if found.pop("_format", "json") not in _FORMATS:
        raise _search("JSON is the only format here: leave it out, or say json.", "_format")
    return found


def number(
    given: Mapping[str, str], name: str, profile: nhs_number.NumberProfile, *, bare: bool
) -> str:
    """The NHS number of parameter `name`: a token with the number's system, or `bare`."""
    value = _needed(given, name)
    system, bar, digits = value.rpartition("|")
    if (bar and system != NHS_NUMBER) or not (bar or bare):
        raise _search(f"Send {NHS_NUMBER}|<number>.", name)
    parsed = nhs_number.parse(digits, profile=profile)
    if parsed.number is None:
        raise refusal(
            "INVALID_SEARCH_DATA",
            "This is not a usable NHS number; check it with the person or the record it came from.",
            rule=f"lookup.number.{parsed.rule}",
            place=name,
        )
    return parsed.number


def flag_code(given: Mapping[str, str], name: str) -> None:
    """Refuse a search for flags that the hub does not hold: none held would be said of others."""
    system, _, code = _needed(given, name).rpartition("|")
    if not is_flag_code(system, code):
        raise _search("The hub holds the child protection flag alone; search for its code.", name)


def with_roles(given: Mapping[str, str]) -> bool:
    """Whether a search of AuditEvents wants the PractitionerRoles too."""
    asked = given.get("_include")
    if asked not in (None, INCLUDE):
        raise _search("The only _include here is that of AuditEvent:entity-type.", "_include")
    return asked is not None


def unscheduled(request: Request) -> bool:
    """Whether it is an unscheduled access: absent means that it is."""
    given = _header(request, UNSCHEDULED)
    if given is None or given.lower() == "true":
        return True
    if given.lower() == "false":
        return False
    raise _header_wrong(UNSCHEDULED, "Send true or false, or leave it out: that means true.")


def trace_id(request: Request) -> str | None:
    """The caller's TraceID, which goes back as it came."""
    given = _header(request, TRACE_ID)
    if given is None:
        return None
    try:
        if len(given) == 36:
            return str(uuid.UUID(given))
    except ValueError:
        pass  # said below
    raise _header_wrong(TRACE_ID, "Send a UUID.")


def purpose(request: Request, *, is_unscheduled: bool) -> tuple[Purpose, str | None]:
    """What for, and why in the caller's words: by the own headers, else by the kind of access."""
    given, reason = _header(request, PURPOSE), _header(request, REASON)
    if reason is not None and not (reason.isprintable() and 1 <= len(reason) <= MAX_REASON):
        raise _header_wrong(REASON, f"Send 1 to {MAX_REASON} characters of plain text.")
    if given is None:
        return (Purpose.URGENT_CARE if is_unscheduled else Purpose.DIRECT_CARE), reason
    stated = next((one for one in PURPOSES if one.value == given), None)
    if stated is None:
        raise _header_wrong(PURPOSE, f"Send one of {', '.join(PURPOSES)}.")
    if stated is Purpose.BREAK_GLASS and reason is None:
        raise _header_wrong(REASON, "Breaking the glass needs a reason; say it in this header.")
    return stated, reason


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise _search("Send the parameters URL-encoded, and few of them.") from None


def _needed(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if not value:
        raise refusal(
            "MISSING_VALUE", "Send this parameter.", rule="lookup.parameter_missing", place=name
        )
    return value


def _header(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise _header_wrong(name, "Send it once.")
    return values[0].strip() if values else None


def _header_wrong(name: str, advice: str) -> HttpProblem:
    return refusal("PRECONDITION_FAILED", advice, rule="lookup.header", place=f"header.{name}")


def _search(advice: str, place: str = "") -> HttpProblem:
    return refusal("INVALID_SEARCH_DATA", advice, rule="lookup.parameter_invalid", place=place)
