"""What is not FHIR R4 in a message and no reason to lose an arrival; and what a message costs."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from connectors.fhir import validation
from connectors.fhir.detail import LOCATION_SHIELDED
from connectors.fhir.events import OWN
from connectors.fhir.messages import Limits, Refusal, read_message
from schemas.events import Moment
from tests.unit.fhir.bundles import CHILD_NUMBER, NHS, bundle, event

CANARY = "Canary-Secret"
H = "Bundle.entry[0].resource"
E = "Bundle.entry[1].resource"
P = "Bundle.entry[2].resource"
M = "Bundle.entry[4].resource"
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "x"},
    "effectiveDateTime": "2026-03-14T21:41:05",
}


def place(**more: Any) -> dict[str, Any]:
    """An Encounter's location."""
    return {"location": [{"location": {"reference": "urn:uuid:location"}, **more}]}


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"patient": {"name": [{"family": ""}]}}, f"element-invalid:{P}.name[0].family"),
        ({"patient": {"name": [{"family": 5}]}}, f"element-invalid:{P}.name[0].family"),
        (
            {"patient": {"name": [{"family": "X", "given": [""]}]}},
            f"element-invalid:{P}.name[0].given[0]",
        ),
        (
            {
                "patient": {
                    "identifier": [
                        {"system": NHS, "value": ""},
                        {"system": NHS, "value": CHILD_NUMBER},
                    ]
                }
            },
            f"element-invalid:{P}.identifier[0].value",
        ),
        (
            {"patient": {"address": [{"period": {"start": "14/03/2026"}}]}},
            f"element-invalid:{P}.address[0].period.start",
        ),
        (
            {"encounter": place(period={"start": "2026-03-14T21:41:05"})},
            f"element-invalid:{E}.location[0].period.start",
        ),
        (
            {"encounter": place(period={"start": "2026-13-14"})},
            f"element-invalid:{E}.location[0].period.start",
        ),
        ({"encounter": {"status": "arrived "}}, f"element-invalid:{E}.status"),
        ({"encounter": {"status": None}}, f"element-missing:{E}.status"),
        ({"encounter": {CANARY: 1}}, f"element-unknown:{E}"),
        ({"patient": {"name": [{"text": "x", CANARY: 1}]}}, f"element-unknown:{P}.name[0]"),
        ({"more": (OBSERVATION,)}, f"element-invalid:{M}.effectiveDateTime"),
        ({"more": ({"resourceType": "MedicinalProduct"},)}, f"resource-unknown:{M}"),
        ({"more": ({"resourceType": CANARY},)}, f"resource-unknown:{M}"),
        (
            {"patient": {"contained": [{"resourceType": CANARY}]}},
            f"resource-unknown:{P}.contained[0]",
        ),
        (
            {"header": {"contained": [{"resourceType": CANARY}]}},
            f"resource-unknown:{H}.contained[0]",
        ),
    ],
)
def test_what_nobody_is_known_by_is_a_mark(changes: dict[str, Any], mark: str) -> None:
    """The arrival is taken; the mark names rule and element, without anything that was sent."""
    one = event(bundle(**changes))
    assert one.arrival
    assert mark in one.marks
    assert CANARY not in " ".join(one.marks)


def test_marks_of_oddities_are_bounded() -> None:
    """However many there are."""
    one = event(bundle(patient={"name": [{"family": ""} for _ in range(100)]}))
    assert len(one.marks) <= 21


def test_a_resource_that_nobody_reads_is_not_judged() -> None:
    """Nor is its model imported: a small body may name them all."""
    message = bundle(more=({"resourceType": "ResearchElementDefinition", "x": [1]},))
    message["entry"][4]["response"] = {
        "status": "200",
        "outcome": {"resourceType": "TestScript"},
    }
    assert event(message).marks == ()
    imported = {name.rpartition(".")[2] for name in sys.modules}
    assert not {"researchelementdefinition", "testscript"} & imported


@pytest.mark.parametrize("extensions", [5_000, 300_000])
def test_too_many_elements_are_refused_before_they_are_judged(
    extensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs the validator far more than its two bytes."""
    judged: list[str] = []
    monkeypatch.setattr(validation, "problems", lambda one, place: judged.append(place))
    body = json.dumps(bundle(encounter={"extension": [{}] * extensions})).encode()
    found = read_message(body)
    assert isinstance(found, Refusal)
    assert found.rule == "too-many-elements"
    assert judged == []


def test_elements_are_counted_with_their_values() -> None:
    """As many as may be are taken, one more is not."""
    body = b'{"a": [1, 2, {"b": null}], "c": "x"}'
    for limit, rule in ((6, "not-a-message"), (5, "too-many-elements")):
        found = read_message(body, Limits(elements=limit))
        assert isinstance(found, Refusal)
        assert found.rule == rule


LABEL = {"security": [{"system": "urn:x", "code": "U"}, {"code": "r"}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": LABEL},
        {"header": {"meta": LABEL}},
        {"encounter": {"meta": LABEL}},
        {"patient": {"meta": {"security": [{"code": "V"}]}}},
        {"encounter": {"extension": [{"url": LOCATION_SHIELDED, "valueString": "true"}]}},
        {"encounter": {"extension": [{"url": LOCATION_SHIELDED, "valueBoolean": "TRUE"}]}},
        {
            "encounter": {
                "extension": [
                    {"url": LOCATION_SHIELDED, "valueBoolean": False},
                    {"url": LOCATION_SHIELDED},
                ]
            }
        },
    ],
)
def test_a_place_is_hidden_wherever_the_sender_says_so(changes: dict[str, Any]) -> None:
    """On the Bundle, header, Encounter or Patient, in either case, in any type of value."""
    one = event(bundle(**changes))
    assert one.detail.location_shielded
    assert one.claim.postcode is None


def test_a_place_is_not_hidden_by_a_no() -> None:
    """False, or another label."""
    for changes in (
        {"encounter": {"extension": [{"url": LOCATION_SHIELDED, "valueBoolean": False}]}},
        {"encounter": {"extension": [{"url": LOCATION_SHIELDED, "valueString": "False"}]}},
        {"encounter": {"meta": {"security": [{"code": "N"}]}}},
    ):
        assert not event(bundle(**changes)).detail.location_shielded


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("arrival", True),
        ("admission", True),
        ("booking", True),
        ("update", False),
        ("transfer", False),
        ("leave", False),
        ("return", False),
        ("departure", False),
        ("cancel", False),
        ("cancel-departure", False),
    ],
)
def test_the_visits_start_is_the_time_of_its_beginning_alone(code: str, known: bool) -> None:
    """A leave at three did not occur when the visit began at ten; it is when it was recorded."""
    one = event(bundle(header={"eventCoding": {"system": OWN, "code": code}}))
    assert (one.occurred_at is not None) is known
    assert isinstance(one.recorded_at, Moment)
