"""A request's letter and the hub's own reader agree: what is pre-filled can be sent back."""

from __future__ import annotations

import json
import uuid

import pytest

from connectors.fhir import letters
from connectors.fhir.death_events import AS_AT, DEATH_EVENTS, OPINION
from schemas.deaths import ReportKind
from tests.unit.fhir.death_reading import Json, resource, submitted
from tests.unit.fhir.letter_inputs import EXAMPLES, FACTS, NUMBER, REQUESTED


def _adopt(items: list[Json]) -> None:
    """Take off who said it: the agency says it now."""
    for one in items:
        kept = [each for each in one.pop("extension", []) if each["url"] in (OPINION, AS_AT)]
        one.update({"extension": kept} if kept else {})
        _adopt(one.get("item", []))


def answer(request: Json, *, adopted: bool) -> Json:
    """An agency's report that sends the letter's own resources back, as its own words or not."""
    letter: Json = json.loads(EXAMPLES[letters.REPORT_REQUEST]())
    header = {
        "resourceType": "MessageHeader",
        "id": str(uuid.UUID(int=77)),
        "eventCoding": {"system": DEATH_EVENTS, "code": "agency-report"},
        "source": {"endpoint": "urn:practice:surgery"},
    }
    said = [{"name": "reference", "valueString": "R-1"}, {"name": "request", **request}]
    parameters = {"resourceType": "Parameters", "parameter": said}
    form = resource(letter, "QuestionnaireResponse")
    form["status"] = "completed"
    if adopted:
        _adopt(form["item"])
    child = next(one for one in letter["entry"] if one["resource"]["resourceType"] == "Patient")
    return {
        "resourceType": "Bundle",
        "id": str(uuid.UUID(int=77)),
        "type": "message",
        "timestamp": "2026-03-03T10:00:00Z",
        "entry": [{"resource": header}, {"resource": parameters}, child, {"resource": form}],
    }


@pytest.mark.parametrize(
    "request_id",
    [
        {"valueUuid": f"urn:uuid:{REQUESTED.request_id}"},
        {"valueString": str(REQUESTED.request_id)},
    ],
    ids=("uuid", "string"),
)
def test_what_a_request_pre_fills_comes_back_as_the_same_facts(request_id: Json) -> None:
    """If the agency makes it its own: names, values, rows, judgement and absence survive; the
    request is found again.
    """
    report = submitted(answer(request_id, adopted=True))
    assert report.request_id == REQUESTED.request_id
    assert report.kind is ReportKind.REPORT
    assert report.claim.nhs_number == NUMBER
    back = {(one.name, one.row): (one.value, one.absent, one.kind) for one in report.facts}
    for stated in FACTS:
        one = stated.fact
        assert back[one.name, one.row] == (one.value, one.absent, one.kind), one.name


def test_what_others_said_does_not_become_the_agencys_by_being_sent_back() -> None:
    """A form that is returned as it was says nothing but who the child is."""
    request = {"valueString": str(REQUESTED.request_id)}
    report = submitted(answer(request, adopted=False))
    own = {one.name for one in report.facts}
    assert own <= {name for name in own if name.startswith(("child.", "death.date", "death.time"))}
    assert any(mark.startswith("answer-echoed:") for mark in report.marks)
