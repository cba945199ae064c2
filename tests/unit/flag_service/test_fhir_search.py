"""Searches of the FHIR look-ups, as they are read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from connectors.fhir.flag_projection import FLAG_CODE, FLAG_SYSTEM, is_flag_code
from connectors.fhir.writing import NHS_NUMBER
from flag_service import fhir_search
from flag_service.fhir_outcomes import NHS_CODE, outcome
from halyard.http import HttpProblem
from policies.purposes import Purpose

KNOWN = frozenset({"patient", "code"})
NUMBER = "9990000018"


def request(
    query: bytes = b"", *, form: bytes | None = None, headers: dict[str, str] | None = None
) -> Request:
    """A request with this query string, or this form."""
    given_headers = {"content-type": fhir_search.FORM, **(headers or {})}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": form or b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET" if form is None else "POST",
        "query_string": query,
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in given_headers.items()
        ],
    }
    return Request(scope, receive)


@given(st.binary(max_size=60), st.booleans())
async def test_whatever_is_sent_is_read_or_refused_by_a_rule(sent: bytes, post: bool) -> None:
    """Any bytes as query or form: parameters of those that are known, or a refusal without them."""
    asked = request(form=sent) if post else request(sent)
    refused, found = None, {}
    try:
        found = await fhir_search.parameters(asked, KNOWN)
    except HttpProblem as problem:
        refused = problem
    assert set(found) <= KNOWN
    if refused is not None:
        assert refused.status_code == 400
        assert refused.place in {"", "_format", *KNOWN}


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)), st.text(max_size=20)))
async def test_parameters_come_as_they_were_sent(sent: dict[str, str]) -> None:
    """By GET and by POST alike."""
    query = urlencode(sent).encode()
    assert await fhir_search.parameters(request(query), KNOWN) == sent
    assert await fhir_search.parameters(request(form=query), KNOWN) == sent


@pytest.mark.parametrize(
    "value", [NUMBER, "999 000 0018", f"{NHS_NUMBER}|{NUMBER}", f"{NHS_NUMBER}|999-000-0018"]
)
def test_a_number_comes_bare_or_with_its_system(value: str) -> None:
    """Patient Flags takes both; CP-IS the latter alone."""
    assert fhir_search.number({"patient": value}, "patient", "test", bare=True) == NUMBER
    if "|" not in value:
        with pytest.raises(HttpProblem):
            fhir_search.number({"patient": value}, "patient", "test", bare=False)


@pytest.mark.parametrize("value", ["9990000017", "3333333333", "", f"urn:x|{NUMBER}", "Patient/1"])
def test_an_unusable_number_is_invalid_search_data(value: str) -> None:
    """With the NHS code, and without the number."""
    with pytest.raises(HttpProblem) as refused:
        fhir_search.number({"patient": value}, "patient", "test", bare=True)
    assert refused.value.extras[NHS_CODE] in ("INVALID_SEARCH_DATA", "MISSING_VALUE")
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize(
    "token",
    [
        "CP-IS",
        "child-protection-information-system-flag",
        "child-protection-information-sharing-flag",
        "https://fhir.nhs.uk/England/CodeSystem/PatientFlagCategory|CP-IS",
        f"{FLAG_SYSTEM}|{FLAG_CODE}",
    ],
)
def test_each_published_spelling_of_the_code_is_taken(token: str) -> None:
    """With or without its system."""
    fhir_search.flag_code({"code": token}, "code")


@pytest.mark.parametrize("token", ["NRAF", "FGM", "urn:x|CP-IS", "cp-is", "|"])
def test_no_other_code_is(token: str) -> None:
    """Also not our code of another system."""
    system, _, code = token.rpartition("|")
    assert not is_flag_code(system, code)
    with pytest.raises(HttpProblem):
        fhir_search.flag_code({"code": token}, "code")


def test_the_purpose_follows_the_kind_of_access_unless_it_is_stated() -> None:
    """Unscheduled: urgent care; scheduled: direct care; the own header wins, with its reason."""
    plain, stated = request(), request(headers={"Halyard-Purpose": "child-protection"})
    assert fhir_search.purpose(plain, is_unscheduled=True) == (Purpose.URGENT_CARE, None)
    assert fhir_search.purpose(plain, is_unscheduled=False) == (Purpose.DIRECT_CARE, None)
    assert fhir_search.purpose(stated, is_unscheduled=True)[0] is Purpose.CHILD_PROTECTION
    broken = request(headers={"Halyard-Purpose": "break-glass", "Halyard-Reason": "unconscious"})
    assert fhir_search.purpose(broken, is_unscheduled=True) == (Purpose.BREAK_GLASS, "unconscious")


@pytest.mark.parametrize("reason", ["", "x" * 201, "a\x00b"])
def test_a_reason_is_short_plain_text(reason: str) -> None:
    """Else the header is named, and not repeated."""
    with pytest.raises(HttpProblem) as refused:
        fhir_search.purpose(request(headers={"Halyard-Reason": reason}), is_unscheduled=True)
    assert refused.value.place == "header.Halyard-Reason"


def test_a_status_without_an_nhs_code_keeps_its_own() -> None:
    """413, 415, 500 and 503 have the hub's rule alone."""
    problem = {"status": 503, "rule": "http.time_limit", "title": "t", "detail": "d"}
    (issue,) = outcome(problem)["issue"]
    assert issue["code"] == "transient"
    assert [one["code"] for one in issue["details"]["coding"]] == ["http.time_limit"]
