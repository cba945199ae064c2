"""PDS's JSON becomes the hub's record and outcomes: leniently, and failing closed."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    InvalidNumber,
    NotFound,
    PdsRecord,
    RateLimited,
    Superseded,
    TokenRefused,
    TooMany,
    Unavailable,
)
from connectors.pds.record import read_record, read_retrieval, read_search
from sandbox.pds import bodies
from sandbox.pds.people import FormerName, Person
from sandbox.samples.cast import CAST

TODAY = date(2026, 11, 20)
SECURITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def read(resource: dict[str, Any]) -> PdsRecord:
    """A resource that must become a record."""
    record = read_record(resource, today=TODAY)
    assert isinstance(record, PdsRecord)
    return record


def problem(code: str, status: int) -> dict[str, Any]:
    """An OperationOutcome with a code."""
    return bodies.Problem(status, code, "value", "…").body("Invalid value - 'canary'")


def test_full_record() -> None:
    """A child's record, field by field."""
    record = read(bodies.patient(CAST.robin))
    assert record == PdsRecord(
        nhs_number="9990001014",
        family="Testchild",
        given=("Robin",),
        birth_date="2017-03-14",
        gender="male",
        postcode="ZZ1 1AA",
        restricted=False,
        version_id="1",
    )


@pytest.mark.parametrize(
    "security",
    [None, [], [{"system": SECURITY, "code": "R"}], [{"code": "V"}], [{"code": "REDACTED"}],
     [{"code": "U"}, {"code": "R"}], [{}], "U", [{"code": None}]],
)  # fmt: skip
def test_anything_but_unrestricted_is_restricted(security: Any) -> None:
    """R, V, an unknown code, or none at all: restricted, and no postcode even if one came."""
    resource = bodies.patient(CAST.robin)
    resource["meta"] = {"versionId": "1", "security": security}
    record = read(resource)
    assert (record.restricted, record.postcode) == (True, None)


def test_minimal_record() -> None:
    """A record of which PDS knows only the number is read, and says nothing else."""
    record = read(bodies.patient(CAST.everybody["minimal"]))
    assert (record.family, record.given, record.birth_date, record.warnings) == (None, (), None, ())


def test_partial_birth_dates_are_kept_as_they_are() -> None:
    """A birth date of a year, or of year and month, is valid FHIR and stays partial."""
    for name, expected in (("partial_month", "2011-08"), ("partial_year", "2009")):
        record = read(bodies.patient(CAST.everybody[name]))
        assert (record.birth_date, record.warnings) == (expected, ())


def test_deceased_by_date_or_by_formal_notice() -> None:
    """A date of death, or a registrar's notice alone, makes a record deceased."""
    resource = bodies.patient(CAST.everybody["deceased"])
    assert read(resource).deceased
    del resource["deceasedDateTime"]
    assert read(resource).deceased
    del resource["extension"]
    assert not read(resource).deceased


def test_names_in_use_and_before() -> None:
    """The usual name of today counts; old ones and nicknames stand beside it."""
    record = read(bodies.patient(CAST.everybody["renamed"]))
    assert (record.family, record.given) == ("Renamed", ("Isla",))
    assert "Formerly" in record.other_families
    assert ("Izzy",) in record.other_given


def test_usual_name_of_a_past_period_yields_to_the_present_one() -> None:
    """Of two usual names the one whose period holds today is in use; with none, the latest."""
    resource = bodies.patient(CAST.robin)
    past = {"use": "usual", "family": "Past", "period": {"start": "2012", "end": "2019-01-01"}}
    future = {"use": "usual", "family": "Future", "period": {"start": "2030-01-01"}}
    resource["name"] = [past, future, *resource["name"]]
    assert read(resource).family == "Testchild"
    resource["name"] = [past, {**past, "family": "Later", "period": {"start": "2015"}}]
    assert read(resource).family == "Later"


def test_what_is_no_fhir_is_marked_not_lost() -> None:
    """A record that fails validation is read as far as it goes, with a warning."""
    resource = bodies.patient(CAST.robin)
    resource["multipleBirthInteger"] = "two"
    record = read(resource)
    assert record.warnings == ("pds.warning.fhir_invalid",)
    assert record.family == "Testchild"


@pytest.mark.parametrize("status", [200])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"id": None}, "patient_without_number"),
        ({"id": "9990001015"}, "patient_without_number"),
        ({"id": "9990001022"}, "identifier_differs_from_id"),
        ({"resourceType": "Bundle"}, "unreadable_answer"),
    ],
)
def test_records_that_cannot_be_trusted(change: dict[str, Any], rule: str, status: int) -> None:
    """No number, a wrong one, or two that differ: a bug, never somebody's record."""
    body = {**bodies.patient(CAST.robin), **change}
    outcome = read_retrieval(status, body, requested="9990001014", today=TODAY)
    assert isinstance(outcome, Bug)
    assert outcome.rule == f"pds.bug.{rule}"


def test_another_id_is_a_successor() -> None:
    """200 with another id: superseded, however quietly."""
    outcome = read_retrieval(
        200, bodies.patient(CAST.superseded_new), requested="9990001073", today=TODAY
    )
    assert isinstance(outcome, Superseded)
    assert (outcome.requested, outcome.record.nhs_number) == ("9990001073", "9990001065")


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("RESOURCE_NOT_FOUND", 404, NotFound()),
        ("INVALIDATED_RESOURCE", 404, Invalidated()),
        ("INVALID_RESOURCE_ID", 400, InvalidNumber()),
        ("ACCESS_DENIED", 401, TokenRefused()),
        ("UNABLE_TO_CALL_SERVICE", 408, Unavailable("pds.unavailable.unable_to_call_service")),
        ("TOO_MANY_REQUESTS", 429, RateLimited()),
        ("MISSING_VALUE", 400, Bug("pds.bug.missing_value", 400, refused=True)),
        ("INVALID_VALUE", 403, Bug("pds.bug.invalid_value", 403)),
        ("INVALID_METHOD", 403, Bug("pds.bug.invalid_method", 403)),
        ("UNSUPPORTED_SERVICE", 400, Bug("pds.bug.unsupported_service", 400, refused=True)),
        ("NOT_SUPPORTED", 200, Bug("pds.bug.not_supported", 200)),
        ("9990001014", 400, Bug("pds.bug.unknown_code", 400)),
        ("SOMETHING_NEW", 500, Unavailable("pds.unavailable.http_500")),
        ("TOO_MANY_MATCHES", 200, Bug("pds.bug.many_for_one_number", 200)),
    ],
)
def test_codes_decide(code: str, status: int, expected: Any) -> None:
    """Each code of the error table has its outcome; one we do not know is a bug, unnamed."""
    body = problem(code, status)
    assert read_retrieval(status, body, requested="9990001014", today=TODAY) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, TokenRefused()),
        (404, Bug("pds.bug.unreadable_answer", 404)),
        (408, Unavailable("pds.unavailable.http_408")),
        (429, RateLimited()),
        (503, Unavailable("pds.unavailable.http_503")),
        (200, Bug("pds.bug.unreadable_answer", 200)),
        (302, Bug("pds.bug.unreadable_answer", 302)),
    ],
)
def test_without_a_code_the_status_decides(status: int, expected: Any) -> None:
    """A gateway's answer has no code. A bare 404 is a wrong address, never "no such person"."""
    bodies_without: tuple[Any, ...] = (None, [], {"fault": {}})
    for body in (*bodies_without, {"resourceType": "OperationOutcome", "issue": "?"}):
        assert read_retrieval(status, body, requested="9990001014", today=TODAY) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"total": 0}, NotFound("pds.search_no_match")),
        ({"total": 0, "entry": []}, NotFound("pds.search_no_match")),
        ({"total": 2, "entry": [{"resource": {}}]}, TooMany()),
        ({"total": 1}, Bug("pds.bug.bundle_without_record", 200)),
        ({"total": 1, "entry": [{}]}, Bug("pds.bug.bundle_without_record", 200)),
        ({}, Bug("pds.bug.bundle_without_record", 200)),
    ],
)
def test_search_bundles(body: dict[str, Any], expected: Any) -> None:
    """No entry is no match only if the total says so; more than one is too many."""
    assert read_search(200, {"resourceType": "Bundle", **body}, today=TODAY) == expected


def test_search_answers() -> None:
    """Too many is a 200; answers that only a retrieval gets are bugs, never "no match"."""
    assert read_search(200, problem("TOO_MANY_MATCHES", 200), today=TODAY) == TooMany()
    for code in ("RESOURCE_NOT_FOUND", "INVALIDATED_RESOURCE", "INVALID_RESOURCE_ID"):
        assert isinstance(read_search(404, problem(code, 404), today=TODAY), Bug)


def test_search_hit_has_its_score() -> None:
    """The only entry of a Bundle is the record, with PDS's score."""
    person = Person("9990001014", "A", ("B",), "2017-03-14", former_names=(FormerName("old"),))
    entry = {"search": {"score": 0.9}, "resource": bodies.patient(person, in_search=True)}
    body = {"resourceType": "Bundle", "total": 1, "entry": [entry]}
    outcome = read_search(200, body, today=TODAY)
    assert isinstance(outcome, Found)
    assert (outcome.score, outcome.record.nhs_number) == (0.9, "9990001014")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["resourceType", "id", "name", "meta", "security", "entry", "issue",
                         "details", "coding", "code", "total", "address", "use", "period"]),
        inner | st.sampled_from(["Patient", "Bundle", "OperationOutcome", "9990001014"]),
        max_size=6),
    max_leaves=25,
)  # fmt: skip


@given(st.integers(200, 599), JSON)
def test_no_answer_makes_it_crash(status: int, body: Any) -> None:
    """Whatever JSON comes back, there is an outcome with a rule, and none is Found by accident."""
    retrieved = read_retrieval(status, body, requested="9990001014", today=TODAY)
    searched = read_search(status, body, today=TODAY)
    assert retrieved.rule.startswith("pds.")
    assert searched.rule.startswith("pds.")
    if status != 200:
        assert not isinstance(retrieved, (Found, Superseded))
        assert not isinstance(searched, Found)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.1, 1.01, True, "0.99", None])
def test_what_is_no_score_counts_as_none(score: Any) -> None:
    """A score is a number from 0 to 1; anything else proves nothing, and verifies nobody."""
    found = read_search(200, _bundle(1, score), today=date(2026, 11, 20))
    assert isinstance(found, Found)
    assert found.score is None


@pytest.mark.parametrize(
    ("total", "outcome"),
    [
        (7, TooMany()),
        (0, Bug("pds.bug.bundle_total_differs", 200)),
        ("7", Bug("pds.bug.bundle_without_total", 200)),
        (True, Bug("pds.bug.bundle_without_total", 200)),
        (None, Bug("pds.bug.bundle_without_total", 200)),
    ],
)
def test_a_total_that_is_not_what_came_is_no_match(total: Any, outcome: Any) -> None:
    """One record came: only a total of 1 says that it is the only one."""
    assert read_search(200, _bundle(total, 0.9), today=date(2026, 11, 20)) == outcome


def _bundle(total: Any, score: Any) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "9990000018"}
    entry = {"search": {"score": score}, "resource": patient}
    return {"resourceType": "Bundle", "total": total, "entry": [entry]}
