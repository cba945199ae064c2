"""Every message and projection that the hub writes is FHIR R4, whatever it is made of."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir import corrections, letters, number_letters, worklist_letters
from connectors.fhir.case_projection import case_bundle
from halyard.errors import ContractError
from halyard.nhs_number import check_digit
from schemas.deaths import CaseChanged, DeathNotified, ReportRequested, RequestState
from tests.unit.fhir.letter_inputs import (
    ANSWERED,
    AT,
    AUTHORITY,
    CASE,
    CASES,
    EXAMPLES,
    FLAGS,
    HOSPITAL,
    HOUSEHOLDS,
    INDICATED,
    KINDS,
    MAYBE,
    NUMBER,
    REASONS,
    REQUESTED,
    REQUESTS,
    WORDS,
)

SOME = settings(max_examples=60)
LETTER = uuid.UUID(int=99)


def read(body: bytes | dict[str, Any], *, message: bool = True) -> dict[str, Any]:
    """The Bundle, once fhir.resources has taken it and every reference of it resolves."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    Bundle.model_validate_json(raw)
    bundle: dict[str, Any] = json.loads(raw)
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    for entry in bundle["entry"]:
        assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"
    for found in leaves(bundle, "reference"):
        if found.startswith("urn:uuid:"):
            assert found in urls
    if message:
        header = bundle["entry"][0]["resource"]
        assert header["resourceType"] == "MessageHeader"
        assert header["id"] == bundle["id"]
    return bundle


def leaves(node: Any, name: str) -> Iterator[str]:
    """The strings under `name`, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name and isinstance(value, str):
                yield value
            yield from leaves(value, name)
    elif isinstance(node, list):
        for one in node:
            yield from leaves(one, name)


def strings(node: Any) -> Iterator[str]:
    """Every string of a document, without the ids that we made ourselves."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("id", "fullUrl", "reference", "valueUri"):
                yield from strings(value)
    elif isinstance(node, list):
        for one in node:
            yield from strings(one)
    elif isinstance(node, str) and not re.fullmatch(r"(urn:uuid:)?[0-9a-f-]{36}", node):
        yield node


def has_number(node: Any) -> bool:
    """Whether an NHS number stands in any text, in whatever grouping."""
    for text in strings(node):
        for match in re.finditer(r"(?<!\d)(?=(\d(?:[ \-]?\d){9})(?!\d))", text):
            digits = re.sub(r"[ \-]", "", match.group(1))
            if digits.isascii() and check_digit(digits[:9]) == int(digits[9]):
                return True
    return False


def by_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The resources of one type."""
    found = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in found if one["resourceType"] == kind]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_letter_is_fhir_and_names_its_event(kind: str) -> None:
    """The example of each kind validates, names its event, and is the same bytes each time."""
    body = EXAMPLES[kind]()
    bundle = read(body)
    header = bundle["entry"][0]["resource"]
    system = "urn:halyard:fhir:death-event"
    if kind in number_letters.KINDS:
        system = "urn:halyard:fhir:number-event"
    elif kind in worklist_letters.KINDS:
        system = "urn:halyard:fhir:worklist-event"
    assert header["eventCoding"] == {"system": system, "code": kind}
    assert body == EXAMPLES[kind]()


@SOME
@given(reference=WORDS, version=st.integers(0, 2**31 - 1), status=WORDS, reasons=REASONS)
def test_an_answer_is_fhir_whatever_it_answers(
    reference: str, version: int, status: str, reasons: Sequence[tuple[str, str]]
) -> None:
    """Acknowledgement or rejection, never both: response.code says which, details says why."""
    said = {**ANSWERED, "reference": reference, "version": version, "status": status}
    bundle = read(letters.acknowledgement(letter_id=LETTER, warnings=reasons, **said))
    response = bundle["entry"][0]["resource"]["response"]
    assert (response["identifier"], response["code"]) == (ANSWERED["answers"], "ok")
    assert ("details" in response) is bool(reasons)
    if not reasons:
        with pytest.raises(ContractError):
            letters.rejection(letter_id=LETTER, issues=reasons, **said)
        return
    bundle = read(letters.rejection(letter_id=LETTER, issues=reasons, **said))
    assert bundle["entry"][0]["resource"]["response"]["code"] == "fatal-error"
    (outcome,) = by_type(bundle, "OperationOutcome")
    assert {one["severity"] for one in outcome["issue"]} == {"error"}


def test_an_answer_says_reference_version_status_and_receipt() -> None:
    """The sender finds its own reference and version again, and the receipt of its 202."""
    (said,) = by_type(read(EXAMPLES["acknowledgement"]()), "Parameters")
    assert [list(one.values()) for one in said["parameter"]] == [
        ["reference", "N-2026-17"],
        ["version", 2],
        ["status", "accepted"],
        ["receipt", f"urn:uuid:{uuid.UUID(int=1)}"],
    ]


def test_a_rejection_names_its_rules() -> None:
    """The rule's code is in the hub's system, with words and without what was sent."""
    (outcome,) = by_type(read(EXAMPLES["rejection"]()), "OperationOutcome")
    (coding,) = outcome["issue"][0]["details"]["coding"]
    assert coding == {"system": "urn:halyard:fhir:rule", "code": "id-reuse"}


def test_what_answers_no_fhir_id_is_refused() -> None:
    """MessageHeader.response.identifier is a FHIR id: another text is a mistake of the caller."""
    with pytest.raises(ContractError):
        letters.acknowledgement(
            letter_id=LETTER, status="accepted", **{**ANSWERED, "answers": "not an id"}
        )


@SOME
@given(requested=REQUESTS, number=st.none() | st.just(NUMBER), with_number=st.booleans())
def test_a_report_request_is_fhir_and_holds_a_number_only_where_it_may(
    requested: ReportRequested, number: str | None, with_number: bool
) -> None:
    """Also a number that stands within somebody's text is kept from who may not have it."""
    bundle = read(
        letters.report_request(
            letter_id=LETTER,
            at=AT,
            requested=requested,
            nhs_number=number,
            with_number=with_number,
        )
    )
    if not with_number:
        assert not has_number(bundle)
    cancelled = requested.state is RequestState.CANCELLED
    assert (by_type(bundle, "QuestionnaireResponse") == []) is cancelled


def test_a_report_request_says_who_asks_whom_for_what_by_when_and_what_is_known() -> None:
    """Basis, panel, agency, sections, due time; facts in their types, with who said them."""
    bundle = read(EXAMPLES["report-request"]())
    (task,) = by_type(bundle, "Task")
    assert task["reasonCode"]["text"] == "Children Act 2004, section 16N"
    assert task["requester"]["identifier"]["value"] == "northtown"
    assert task["owner"]["identifier"]["value"] == "Y00001"
    assert task["restriction"]["period"]["end"] == "2026-03-23T09:30:00+00:00"
    asked = [one["valueString"] for one in task["input"] if "section" in json.dumps(one["type"])]
    assert asked == ["child", "service-provision"]
    (child,) = by_type(bundle, "Patient")
    assert child["identifier"][0]["value"] == NUMBER
    assert child["name"] == [{"family": "Testfield", "given": ["Robin", "Sky"]}]
    (known,) = by_type(bundle, "QuestionnaireResponse")
    items = {one["linkId"]: one for one in known["item"]}
    assert items["death.date"]["answer"] == [{"valueDate": "2026-03-01"}]
    assert items["death.time"]["answer"] == [{"valueTime": "04:20:00"}]
    assert items["death.expected"]["answer"] == [{"valueBoolean": False}]
    assert items["death.country"]["answer"][0]["valueCoding"]["code"] == "unknown"
    told = {one["url"]: one for one in items["death.expected"]["extension"]}
    assert told["urn:halyard:fhir:opinion"]["valueBoolean"] is True
    assert told["urn:halyard:fhir:said-by"]["valueIdentifier"]["value"] == HOSPITAL
    rows = [one["linkId"] for one in items["professional"]["item"]]
    assert rows == ["professional.role", "professional.organisation-code"]


def test_a_cancellation_tells_no_fact_again() -> None:
    """Whoever is no longer asked is told the request's id alone."""
    body = EXAMPLES["report-request-cancelled"]()
    assert b"Testfield" not in body
    assert by_type(read(body), "Task")[0]["status"] == "cancelled"


@SOME
@given(local=MAYBE, message_id=WORDS)
def test_a_prompt_names_the_patient_by_the_hospitals_own_id_alone(
    local: str | None, message_id: str
) -> None:
    """No name or birth date; whatever the hospital's id is made of, and without one the number that
    it sent itself.
    """
    claim = replace(INDICATED.claim, local_id=local)
    notified = replace(INDICATED, claim=claim, message_id=message_id)
    bundle = read(letters.prompt(letter_id=LETTER, at=AT, organisation=HOSPITAL, notified=notified))
    (patient,) = by_type(bundle, "Patient")
    assert set(patient) <= {"resourceType", "id", "identifier"}
    systems = {one["system"].rpartition(":")[2] for one in patient["identifier"]}
    assert len(systems) == len(patient["identifier"]) == 1
    assert "Testfield" not in json.dumps(bundle)


def test_a_prompt_tells_a_hospital_no_id_of_another() -> None:
    """PDS, or another hospital, indicated the death: their ids are not told. The hospital that
    attended the child knows it by the verified number, and by nothing else.
    """
    theirs: DeathNotified = replace(INDICATED, organisation="RXX02")
    asked: dict[str, Any] = {"letter_id": LETTER, "at": AT, "organisation": HOSPITAL}
    body = letters.prompt(**asked, notified=theirs, nhs_number=NUMBER)
    (patient,) = by_type(read(body), "Patient")
    assert [one["value"] for one in patient["identifier"]] == [NUMBER]
    assert b"L-1001" not in body
    assert b"MSG00042" not in body


@SOME
@given(case=CASES, flags=FLAGS, household=HOUSEHOLDS, with_number=st.booleans())
def test_a_household_check_is_fhir(
    case: CaseChanged, flags: Any, household: Any, with_number: bool
) -> None:
    """Every plan and every other child of the household, and no number where none may be."""
    bundle = read(
        letters.household_check(
            letter_id=LETTER,
            at=AT,
            authority=AUTHORITY,
            case=case,
            flags=flags,
            household=household,
            with_number=with_number,
        )
    )
    assert len(by_type(bundle, "Flag")) == len(flags)
    assert len(by_type(bundle, "RelatedPerson")) == len(household)
    if not with_number:
        assert not has_number(bundle)


@SOME
@given(case=CASES, with_number=st.booleans())
def test_a_void_is_fhir(case: CaseChanged, with_number: bool) -> None:
    """Whatever the case held, and no number where none may be."""
    bundle = read(
        letters.case_voided(
            letter_id=LETTER, at=AT, organisation=HOSPITAL, case=case, with_number=with_number
        )
    )
    for task in by_type(bundle, "Task"):
        task.pop("identifier", None)  # the receiver's own words
    if not with_number:
        assert not has_number(bundle)


@SOME
@given(case=CASES)
def test_what_takes_a_letter_back_is_fhir_and_tells_no_fact(case: CaseChanged) -> None:
    """Whatever the case held: the child of the earlier letter may be another one."""
    said: dict[str, Any] = {"letter_id": LETTER, "at": AT, "case": case}
    for body in (
        corrections.case_reinstated(**said, organisation=HOSPITAL),
        corrections.household_check_withdrawn(**said, authority=AUTHORITY, withdraws=LETTER),
    ):
        bundle = read(body)
        (child,) = by_type(bundle, "Patient")
        assert set(child) == {"resourceType", "id"}
        assert len(by_type(bundle, "Task")) == 1


def test_a_reinstatement_names_the_receivers_own_references_alone() -> None:
    """As the void did."""
    (task,) = by_type(read(EXAMPLES["case-reinstated"]()), "Task")
    assert [one["value"] for one in task["identifier"]] == ["N-2026-17", "MB-77"]
    body = corrections.case_reinstated(letter_id=LETTER, at=AT, organisation="Y00001", case=CASE)
    assert b"N-2026-17" not in body


def test_a_void_names_the_receivers_own_references_alone() -> None:
    """Each organisation finds the case by what it called it itself; others' ids are not told."""
    (task,) = by_type(read(EXAMPLES["case-voided"]()), "Task")
    assert [one["value"] for one in task["identifier"]] == ["N-2026-17", "MB-77"]
    assert task["reasonCode"]["coding"][0]["code"] == "wrong-child"
    body = letters.case_voided(letter_id=LETTER, at=AT, organisation="Y00001", case=CASE)
    assert b"N-2026-17" not in body
    assert b"MB-77" not in body


@SOME
@given(case=CASES, with_number=st.booleans())
def test_a_case_is_projected_to_fhir(case: CaseChanged, with_number: bool) -> None:
    """Each version of a case as a collection; a restricted child's attendances are not in it."""
    bundle = read(case_bundle(case, with_number=with_number), message=False)
    assert len(by_type(bundle, "Task")) == len(case.content.requests)
    assert len(by_type(bundle, "Flag")) == len(case.content.flags)
    attended = 0 if case.content.restricted else len(case.content.attendances)
    assert len(by_type(bundle, "Encounter")) == attended
    if not with_number:
        assert not has_number(bundle)


def test_a_restricted_childs_projection_tells_no_place() -> None:
    """A second fence: a field that tells a place is left out even if the content holds it."""
    fact = REQUESTED.known[0]
    home = replace(fact, fact=replace(fact.fact, name="child.address", value="1 Test Lane"))
    for restricted in (False, True):
        content = replace(CASE.content, facts=(*CASE.content.facts, home), restricted=restricted)
        told = json.dumps(case_bundle(replace(CASE, content=content)))
        assert ("1 Test Lane" in told) is not restricted


@pytest.mark.parametrize(
    "text",
    [
        "999 000 0018",
        "9990000018",
        "99-90 000.018",
        "1999 9990000018",
        "2025 999 000 0018 ok",
        "".join(chr(0xFF10 + int(one)) for one in NUMBER),
    ],
)
def test_a_number_within_a_text_is_found_however_it_is_written(text: str) -> None:
    """Grouped, in other digits, behind another number: who may not have it does not get it."""
    requested = replace(REQUESTED, known=(replace(REQUESTED.known[0]),), agency_name=text)
    body = letters.report_request(letter_id=LETTER, at=AT, requested=requested)
    (task,) = by_type(read(body), "Task")
    assert "[number withheld]" in task["owner"]["display"]
