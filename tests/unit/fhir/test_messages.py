"""Reading FHIR messages: what is refused, at which element, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fhir.mapping import to_attendances
from connectors.fhir.messages import Limits, Parsed, Refusal, read_message
from connectors.fhir.outcomes import RULES, refused
from stores.arrival_rules import DEFAULT_RULE
from tests.unit.fhir.bundles import (
    CHILD_NUMBER,
    ENCOUNTER,
    FEED,
    KEYS,
    PATIENT,
    RECEIVED,
    bundle,
    event,
    read,
    refusal,
)

CANARY = "Canary-Secret"


def test_a_message_is_read() -> None:
    """Event, encounter, patient and endpoint are found."""
    found = read(bundle())
    assert isinstance(found, Parsed)
    assert (found.event.code, found.event.trigger) == ("arrival", "A04")
    assert found.encounter is not None
    assert found.encounter.place == "Bundle.entry[1].resource"
    assert found.patient.place == "Bundle.entry[2].resource"
    assert found.endpoint == "urn:test:pas"
    assert found.marks == ()


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "not-json"),
        (b"MSH|^~\\&|", "not-json"),
        (b"[]", "not-json"),
        (b'"text"', "not-json"),
        (b"\xff\xfe", "not-json"),
        (b'{"a": "\\ud800"}', "not-json"),
        (b"{}", "not-a-message"),
        (b'{"resourceType": "Bundle", "type": "message"}', "not-a-message"),
        (b'{"resourceType": "Bundle", "type": "batch", "entry": []}', "not-a-message"),
        (b'{"resourceType": "Bundle", "type": "message", "entry": []}', "header-missing"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too-deep"),
        (b"[" * 2_000 + b"]" * 2_000, "not-json"),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, rule: str) -> None:
    """With the rule that it breaks."""
    assert refusal(body).rule == rule


@pytest.mark.parametrize(
    ("message", "rule", "place"),
    [
        (bundle(without=("MessageHeader",)), "header-missing", "Bundle.entry"),
        (bundle(more=({"resourceType": "MessageHeader"},)), "header-missing", "Bundle.entry"),
        (
            bundle(header={"eventCoding": {"system": "urn:x", "code": "arrival"}}),
            "event-unknown",
            "Bundle.entry[0].resource.event",
        ),
        (bundle(without=("Encounter",)), "encounter-missing", "Bundle.entry"),
        (
            bundle(header={"focus": None}, more=({**ENCOUNTER, "id": "2"},)),
            "encounter-ambiguous",
            "Bundle.entry",
        ),
        (bundle(without=("Patient",)), "patient-missing", "Bundle.entry[1].resource.subject"),
        (
            bundle(without=("Patient",), encounter={"subject": None}),
            "patient-missing",
            "Bundle.entry",
        ),
        (
            bundle(
                encounter={"subject": None}, header={"focus": None}, more=({**PATIENT, "id": "2"},)
            ),
            "patient-ambiguous",
            "Bundle.entry",
        ),
        (
            bundle(
                encounter={"identifier": None},
                patient={"identifier": None, "name": None, "birthDate": None},
            ),
            "patient-unidentifiable",
            "Bundle.entry[2].resource",
        ),
        (
            bundle(patient={"identifier": [{"system": "urn:x", "value": 5}]}),
            "element-invalid",
            "Bundle.entry[2].resource.identifier[0].value",
        ),
        (
            bundle(encounter={"subject": [{"reference": "urn:uuid:patient"}]}),
            "element-invalid",
            "Bundle.entry[1].resource.subject",
        ),
        (
            bundle(encounter={"class": "EMER"}),
            "element-invalid",
            "Bundle.entry[1].resource.class",
        ),
        (
            bundle(encounter={"class": None}),
            "element-missing",
            "Bundle.entry[1].resource.class",
        ),
        (bundle(header={"source": None}), "element-missing", "Bundle.entry[0].resource.source"),
        (bundle(header={CANARY: 1}), "element-unknown", "Bundle.entry[0].resource"),
        (bundle(total=[1]), "element-invalid", "Bundle.total"),
    ],
)
def test_a_refusal_names_rule_and_element(message: dict[str, Any], rule: str, place: str) -> None:
    """As a FHIRPath expression; never with a name or value of the sender's own."""
    found = refusal(message)
    assert (found.rule, found.place) == (rule, place)
    assert CANARY not in repr(found)


def test_too_many_entries_are_refused_unread() -> None:
    """Whatever stands in them."""
    body = json.dumps(bundle(more=({"resourceType": "Nonsense"},) * 4)).encode()
    found = read_message(body, Limits(entries=6))
    assert isinstance(found, Refusal)
    assert found.rule == "too-many-entries"


def test_every_broken_element_is_named() -> None:
    """Not the first alone: the sender mends all at once."""
    broken = bundle(
        total="x",
        header={"definition": [1]},
        encounter={"class": None},
        patient={"identifier": {}, "link": [1]},
    )
    assert {(one.rule, one.place) for one in refusal(broken).issues} == {
        ("element-invalid", "Bundle.total"),
        ("element-invalid", "Bundle.entry[0].resource.definition"),
        ("element-missing", "Bundle.entry[1].resource.class"),
        ("element-invalid", "Bundle.entry[2].resource.identifier"),
        ("element-invalid", "Bundle.entry[2].resource.link[0]"),
    }


def test_an_outcome_is_fhir_and_holds_nothing_sent() -> None:
    """The OperationOutcome of a refusal full of canaries."""
    found = refusal(bundle(header={"definition": [CANARY], CANARY: CANARY, "reason": [CANARY]}))
    outcome = json.loads(refused(found.issues))
    assert outcome["resourceType"] == "OperationOutcome"
    assert {issue["severity"] for issue in outcome["issue"]} == {"error"}
    assert all(RULES[issue["details"]["coding"][0]["code"]] for issue in outcome["issue"])
    assert CANARY not in json.dumps(outcome)
    assert CHILD_NUMBER not in json.dumps(outcome)


@pytest.mark.parametrize(
    "patient",
    [
        {"birthDate": "2019-13-40"},
        {"birthDate": "02/06/2019"},
        {"birthDate": "2019-06"},
        {"birthDate": None},
        {"identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "123"}]},
        {"identifier": None},
        {"name": None},
        {"name": [{"text": "Robin Testchild"}]},
        {"gender": "boy"},
        {"deceasedDateTime": "long ago"},
    ],
)
def test_odd_patients_are_taken(patient: dict[str, Any]) -> None:
    """Only what cannot be attributed is refused."""
    assert event(bundle(patient=patient)).arrival


def test_a_bundle_with_a_byte_order_mark_is_read() -> None:
    """As some systems write files; marked."""
    found = read_message(b"\xef\xbb\xbf" + json.dumps(bundle()).encode())
    assert isinstance(found, Parsed)
    assert found.marks == ("byte-order-mark",)


def test_text_that_is_not_utf_8_is_read_by_the_fallback() -> None:
    """A broken character is no reason to lose a child; the charset of the event says so."""
    body = json.dumps(bundle(patient={"name": [{"family": "Zoë"}]}), ensure_ascii=False)
    found = read_message(body.encode("windows-1252"))
    assert isinstance(found, Parsed)
    assert found.charset == "windows-1252"
    assert found.marks == ("charset-fallback:message",)
    assert found.patient.content["name"][0]["family"] == "Zoë"


def test_control_characters_are_replaced() -> None:
    """PostgreSQL takes no NUL; the message itself is kept as it came."""
    one = event(bundle(patient={"name": [{"family": "Test\x00child"}]}))
    assert one.claim.family == "Test\ufffdchild"
    assert "control-characters:message" in one.marks
    assert b"\\u0000" in one.message


def test_the_subject_is_followed_by_type_and_id() -> None:
    """References of the form Patient/1, also with a server before and a version behind."""
    for reference in ("Patient/7", "https://pas.example/fhir/Patient/7", "Patient/7/_history/2"):
        message = bundle(
            patient={"id": "7"},
            encounter={"subject": {"reference": reference}},
            more=({**PATIENT, "id": "8", "birthDate": "1990-01-01"},),
        )
        message["entry"][2]["fullUrl"] = "https://pas.example/fhir/Patient/7"
        assert event(message).claim.birth_date == "2019-06-02"


def test_a_contained_patient_is_found() -> None:
    """Contained in the Encounter."""
    inside = {**PATIENT, "id": "p"}
    message = bundle(
        without=("Patient",), encounter={"contained": [inside], "subject": {"reference": "#p"}}
    )
    assert event(message).claim.nhs_number == CHILD_NUMBER


def test_a_subject_by_identifier_alone_is_taken() -> None:
    """An Encounter whose subject is a logical reference: a number without demographics."""
    identifier = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": CHILD_NUMBER}
    one = event(bundle(without=("Patient",), encounter={"subject": {"identifier": identifier}}))
    assert one.claim.nhs_number == CHILD_NUMBER
    assert "patient-by-identifier-alone" in one.marks


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "entry", "resource", "type", "identifier", "value", "system",
                 "reference", "subject", "focus", "name", "period", "start", "link", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing is raised."""
    assert isinstance(read_message(body), Parsed | Refusal)


@given(
    place=st.sampled_from(["Bundle", "MessageHeader", "Encounter", "Patient", "Location"]),
    element=st.sampled_from(
        ["identifier", "name", "birthDate", "subject", "period", "class", "location", "status",
         "meta", "eventCoding", "source", "focus", "reasonCode", "hospitalization", "extension",
         "contained", "link", "address", "entry", "type", "resourceType", "timestamp"]
    ),
    value=_JSON,
)  # fmt: skip
def test_any_json_in_the_place_of_an_element_is_read_or_refused(
    place: str, element: str, value: Any
) -> None:
    """Nothing is raised, and whatever is read can be mapped."""
    message = bundle()
    if place == "Bundle":
        message[element] = value
    else:
        for entry in message["entry"]:
            if entry["resource"]["resourceType"] == place:
                entry["resource"][element] = value
    found = read(message)
    if isinstance(found, Parsed):
        assert to_attendances(found, feed=FEED, rule=DEFAULT_RULE, keys=KEYS, received_at=RECEIVED)
