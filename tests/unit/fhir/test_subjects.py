"""Whom a FHIR message is about: never somebody else than it names."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.fhir.events import OWN
from schemas.events import VisitEventKind
from tests.unit.fhir.bundles import (
    CHILD_NUMBER,
    KEYS,
    LOCAL,
    NHS,
    OTHER_NUMBER,
    PATIENT,
    bundle,
    event,
    events,
    refusal,
)

OTHER = {"system": NHS, "value": OTHER_NUMBER}
SAME = {"system": "http://fhir.nhs.net/Id/nhs-number", "value": "999-000-0018"}


def test_a_reference_to_nobody_in_the_message_is_refused() -> None:
    """Never the only Patient: that may be a sibling. A focus that names a Patient, alike."""
    for reference in ("Patient/child-b", "urn:uuid:child-b", "urn:uuid:location"):
        found = refusal(bundle(encounter={"subject": {"reference": reference}}))
        assert (found.rule, found.place) == ("patient-missing", "Bundle.entry[1].resource.subject")
    header = {
        "eventCoding": {"system": OWN, "code": "demographics"},
        "focus": [{"reference": "Patient/child-b"}],
    }
    assert refusal(bundle(header=header, without=("Encounter",))).rule == "patient-missing"


@pytest.mark.parametrize("reference", [{}, {"reference": "Patient/child-b"}])
def test_a_subject_by_the_identifier_of_somebody_else_is_that_person(
    reference: dict[str, Any],
) -> None:
    """The number alone is claimed, and nothing of the Patient who stands in the message."""
    one = event(bundle(encounter={"subject": {**reference, "identifier": OTHER}}))
    assert (one.claim.nhs_number, one.claim.family) == (OTHER_NUMBER, None)
    assert one.arrival
    assert "patient-by-identifier-alone" in one.marks
    assert ("subject-unresolved:Encounter.subject" in one.marks) is bool(reference)


def test_a_subject_by_identifier_is_the_patient_who_carries_it() -> None:
    """A number in another spelling or under an older system, or a local id of the same system."""
    for identifier in (SAME, {"system": LOCAL, "value": "T123456"}):
        one = event(bundle(encounter={"subject": {"identifier": identifier}}))
        assert (one.claim.nhs_number, one.claim.family) == (CHILD_NUMBER, "Testchild")
    twice = bundle(encounter={"subject": {"identifier": SAME}}, more=({**PATIENT, "id": "2"},))
    assert refusal(twice).rule == "patient-ambiguous"


@pytest.mark.parametrize(
    "identifier",
    [
        {"system": NHS, "value": "9999999999"},
        {"system": NHS, "value": "0000000000"},
        {"system": NHS, "value": "UNKNOWN"},
        {"system": NHS, "value": "0"},
        {"system": NHS, "value": "9990000019"},
        {"system": LOCAL, "value": "UNKNOWN"},
    ],
)
def test_what_desks_type_for_nobody_is_no_key(identifier: dict[str, Any]) -> None:
    """Two children without an own id are two patients and two visits, with a visit number or
    without; the claim still says what was sent.
    """
    for encounter in ({"identifier": None}, {"identifier": [{"system": "v", "value": "1"}]}):
        first, second = (
            event(
                bundle(
                    patient={"identifier": [identifier], "birthDate": born},
                    encounter={
                        key: value and [{"system": "v", "value": born}]
                        for key, value in encounter.items()
                    },
                )
            )
            for born in ("2019-06-02", "2012-01-01")
        )
        assert first.source_patient != second.source_patient
        assert first.source_person != second.source_person
        assert first.visit_id != second.visit_id


def test_a_local_id_for_nobody_gives_way_to_a_real_one() -> None:
    """Even if it is typed as the record number."""
    record = {"coding": [{"code": "MR"}]}
    ids = [{"system": LOCAL, "value": "UNKNOWN", "type": record}, {"system": "x", "value": "T1"}]
    assert event(bundle(patient={"identifier": ids})).claim.local_id == "T1"


def test_one_number_in_two_spellings_is_one_patient() -> None:
    """Kept as ten digits: one key, and not a further number."""
    one, two = (
        event(bundle(patient={"identifier": [{"system": NHS, "value": value}]}))
        for value in (CHILD_NUMBER, "999 000 0018")
    )
    assert one.source_patient == two.source_patient
    assert two.claim.nhs_number == CHILD_NUMBER
    both = [{"system": NHS, "value": value} for value in ("999 000 0018", CHILD_NUMBER)]
    again = event(bundle(patient={"identifier": both}))
    assert (again.claim.other_numbers, again.marks) == ((), ())


def _merge(*retired: dict[str, Any], **more: Any) -> dict[str, Any]:
    links = [{"type": "replaces", "other": {"identifier": one}} for one in retired]
    header = {"eventCoding": {"system": OWN, "code": "merge"}, "focus": None}
    return bundle(header=header, without=("Encounter",), patient={"link": links}, **more)


def test_a_merge_is_an_event_for_each_who_is_retired() -> None:
    """None is dropped; what names nobody is marked; more than may be are refused."""
    olds = [{"system": LOCAL, "value": f"OLD{number}"} for number in range(3)]
    found = events(_merge(*olds, olds[0], {"system": LOCAL, "value": "UNKNOWN"}))
    assert [one.merged_patient for one in found] == [
        KEYS.source_patient("rtest-fhir", f"{LOCAL}^OLD{number}", None, None) for number in range(3)
    ]
    assert {one.kind for one in found} == {VisitEventKind.MERGE}
    assert len({one.event_id for one in found}) == 3
    assert all("merge-incomplete:Patient.link" in one.marks for one in found)
    many = [{"system": LOCAL, "value": f"OLD{number}"} for number in range(17)]
    assert len(events(_merge(*many[:16]))) == 16
    assert refusal(_merge(*many)).rule == "too-many-merges"


def test_who_says_replaced_by_is_retired_too_unless_by_another() -> None:
    """Beside a link of the survivor; a Patient replaced by a third is not this one's."""
    olds = [
        {
            "resourceType": "Patient",
            "id": f"old{number}",
            "identifier": [{"system": LOCAL, "value": f"OLD{number}"}],
            "link": [{"type": "replaced-by", "other": {"reference": by}}],
        }
        for number, by in enumerate(("urn:uuid:patient", "urn:uuid:old0"))
    ]
    found = events(_merge({"system": LOCAL, "value": "OLD9"}, more=tuple(olds)))
    assert [one.merged_patient for one in found] == [
        KEYS.source_patient("rtest-fhir", f"{LOCAL}^{old}", None, None) for old in ("OLD9", "OLD0")
    ]


def _mother(**patient: Any) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "patient": patient,
        "identifier": [OTHER],
        "relationship": [{"coding": [{"code": "MTH"}]}],
    }


BABY = {"birthDate": "2026-03-14", "identifier": [{"system": LOCAL, "value": "B1"}]}


@pytest.mark.parametrize(
    ("patient", "hers"),
    [
        ({"reference": "urn:uuid:patient"}, True),
        ({"identifier": {"system": LOCAL, "value": "B1"}}, True),
        ({"reference": "Patient/b", "identifier": {"system": LOCAL, "value": "B1"}}, True),
        ({"display": "baby"}, True),
        ({"reference": "Patient/b"}, False),
        ({"identifier": {"system": LOCAL, "value": "B2"}}, False),
        ({"reference": "Patient/b", "identifier": {"system": LOCAL, "value": "B2"}}, False),
    ],
)
def test_a_mother_of_another_baby_is_told_nothing(patient: dict[str, Any], hers: bool) -> None:
    """She is named by reference or identifier as this one's; else marked."""
    found = events(bundle(patient=BABY, more=(_mother(**patient),)))
    assert (len(found) == 2) is hers
    assert ("mother-unresolved:RelatedPerson.patient" in found[0].marks) is not hers


def test_a_mother_whose_record_is_restricted_is_shielded() -> None:
    """Her label hides the place in her event."""
    labelled = {**_mother(reference="urn:uuid:patient"), "meta": {"security": [{"code": "R"}]}}
    baby, birth = events(bundle(patient=BABY, more=(labelled,)))
    assert birth.kind is VisitEventKind.BIRTH
    assert birth.detail.location_shielded
    assert not baby.detail.location_shielded
