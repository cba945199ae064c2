"""The API's error table, a row for each: the code decides, and never the HTTP status alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from connectors.pds.comparison import Verdict, compare
from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    InvalidNumber,
    NotFound,
    RateLimited,
    TokenRefused,
    TooMany,
    Unavailable,
)
from connectors.pds.record import read_retrieval, read_search
from sandbox.pds import bodies
from sandbox.samples.cast import CAST
from schemas.events import PersonClaim

TODAY = date(2026, 11, 20)
SPINE = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"
NUMBER = "9990001014"


def outcome_body(code: str, issue: str, severity: str) -> dict[str, Any]:
    """An OperationOutcome as the API documents it."""
    coding = {"system": SPINE, "version": "1", "code": code, "display": "…"}
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": severity,
                "code": issue,
                "details": {"coding": [coding]},
                "diagnostics": "Invalid value - 'canary' in field 'birthdate'",
            }
        ],
    }


UNABLE = Unavailable("pds.unavailable.unable_to_call_service")
UNREADABLE = Bug("pds.bug.unreadable_answer", 200)


def bug(name: str, status: int) -> Bug:
    """An answer that no right request gets; with PDS's own code for that and a 400, its refusal."""
    refused = status == 400 and name != "number_answer_to_search"
    return Bug(f"pds.bug.{name}", status, refused=refused)


# status, code, FHIR issue code, severity; what it means to a retrieval and to a search
TABLE = [
    (400, "INVALID_RESOURCE_ID", "value", "error",
     InvalidNumber(), bug("number_answer_to_search", 400)),
    (400, "UNSUPPORTED_SERVICE", "processing", "error",
     bug("unsupported_service", 400), bug("unsupported_service", 400)),
    (400, "MISSING_VALUE", "required", "error",
     bug("missing_value", 400), bug("missing_value", 400)),
    (400, "MISSING_VALUE", "structure", "error",
     bug("missing_value", 400), bug("missing_value", 400)),
    (400, "INVALID_VALUE", "value", "error",
     bug("invalid_value", 400), bug("invalid_value", 400)),
    (400, "INVALID_SEARCH_DATA", "value", "error",
     bug("invalid_search_data", 400), bug("invalid_search_data", 400)),
    (400, "ADDITIONAL_PROPERTIES", "invariant", "error",
     bug("additional_properties", 400), bug("additional_properties", 400)),
    (401, "ACCESS_DENIED", "forbidden", "error", TokenRefused(), TokenRefused()),
    (403, "INVALID_VALUE", "token", "error",
     bug("invalid_value", 403), bug("invalid_value", 403)),
    (403, "INVALID_METHOD", "forbidden", "error",
     bug("invalid_method", 403), bug("invalid_method", 403)),
    (404, "RESOURCE_NOT_FOUND", "not-found", "information",
     NotFound(), bug("not_found_answer_to_search", 404)),
    (404, "INVALIDATED_RESOURCE", "processing", "error",
     Invalidated(), bug("number_answer_to_search", 404)),
    (200, "TOO_MANY_MATCHES", "multiple-matches", "information",
     bug("many_for_one_number", 200), TooMany()),
    (408, "UNABLE_TO_CALL_SERVICE", "processing", "error", UNABLE, UNABLE),
    (429, "TOO_MANY_REQUESTS", "value", "error", RateLimited(), RateLimited()),
    (500, "UNKNOWN_ERROR", "processing", "error",
     Unavailable("pds.unavailable.http_500"), Unavailable("pds.unavailable.http_500")),
    (503, "SERVICE_UNAVAILABLE", "processing", "error",
     Unavailable("pds.unavailable.http_503"), Unavailable("pds.unavailable.http_503")),
    # Who fails does not know who there is, nor whom they invalidated
    (500, "RESOURCE_NOT_FOUND", "not-found", "information",
     Unavailable("pds.unavailable.http_500"), Unavailable("pds.unavailable.http_500")),
    # The API's own sandbox, for a combination that it does not know
    (200, "NOT_SUPPORTED", "not-supported", "warning",
     bug("not_supported", 200), bug("not_supported", 200)),
    # With a 200 no other outcome is an answer, least of all "no such person"
    (200, "RESOURCE_NOT_FOUND", "not-found", "information",
     bug("resource_not_found", 200), bug("resource_not_found", 200)),
    (200, "INVALIDATED_RESOURCE", "processing", "error",
     bug("invalidated_resource", 200), bug("invalidated_resource", 200)),
    (200, "ACCESS_DENIED", "forbidden", "error",
     bug("access_denied", 200), bug("access_denied", 200)),
    (200, "SOMETHING_NEW", "informational", "information",
     bug("unknown_code", 200), bug("unknown_code", 200)),
    (404, "SOMETHING_NEW", "not-found", "error",
     bug("unknown_code", 404), bug("unknown_code", 404)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "issue", "severity", "retrieved", "searched"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}-{row[2]}" for row in TABLE],
)
def test_every_row_has_its_outcome(
    status: int, code: str, issue: str, severity: str, retrieved: Any, searched: Any
) -> None:
    """Two 404s with opposite duties, two 403s, OperationOutcomes with a 200: each by its code."""
    body = outcome_body(code, issue, severity)
    assert read_retrieval(status, body, requested=NUMBER, today=TODAY) == retrieved
    assert read_search(status, body, today=TODAY) == searched
    assert "canary" not in f"{retrieved!r}{searched!r}"


@pytest.mark.parametrize("issue", ["not-found", "processing", "forbidden", "value"])
@pytest.mark.parametrize("severity", ["information", "warning", "error", "fatal"])
def test_issue_code_severity_and_diagnostics_decide_nothing(issue: str, severity: str) -> None:
    """The two 404s differ by `details.coding.code`, whatever else stands beside it."""
    for code, expected in (
        ("RESOURCE_NOT_FOUND", NotFound()),
        ("INVALIDATED_RESOURCE", Invalidated()),
    ):
        body = outcome_body(code, issue, severity)
        assert read_retrieval(404, body, requested=NUMBER, today=TODAY) == expected


@pytest.mark.parametrize(
    ("birth_date", "verdict"),
    [
        ("2017-03-14", Verdict.VERIFIED),
        ("2017-03", Verdict.POTENTIAL),
        ("2017", Verdict.POTENTIAL),
        (None, Verdict.POTENTIAL),
        ("2016", Verdict.CONFLICT),
        ("2017-04", Verdict.CONFLICT),
    ],
)
def test_a_partial_birth_date_proves_nobody(birth_date: str | None, verdict: Verdict) -> None:
    """A record of which PDS knows the year alone, or year and month, is no proof; a year that is
    another is a conflict."""
    resource = {**bodies.patient(CAST.robin), "birthDate": birth_date}
    found = read_retrieval(200, resource, requested=NUMBER, today=TODAY)
    assert isinstance(found, Found)
    assert found.record.birth_date == birth_date
    claim = PersonClaim(
        nhs_number=NUMBER, family="Testchild", given=("Robin",), birth_date="2017-03-14"
    )
    assert compare(claim, found.record).verdict is verdict
