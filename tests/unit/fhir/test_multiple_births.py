"""Patient.multipleBirth[x]: whether a child is one of several, and which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fhir.bundles import NHS, OTHER_NUMBER, bundle, event, events

Said = tuple[bool | None, int | None]


@pytest.mark.parametrize(
    ("told", "expected", "one_of_several"),
    [
        ({}, (None, None), False),
        ({"multipleBirthBoolean": True}, (True, None), True),
        ({"multipleBirthBoolean": False}, (False, None), False),
        ({"multipleBirthInteger": 1}, (True, 1), True),
        ({"multipleBirthInteger": 3}, (True, 3), True),
        ({"multipleBirthInteger": 8}, (None, None), False),  # not applicable
        ({"multipleBirthInteger": 9}, (None, None), False),  # not known
        ({"multipleBirthInteger": 0}, (None, None), False),
        ({"multipleBirthInteger": 2**70}, (None, None), False),
        ({"multipleBirthInteger": True}, (None, None), False),
        ({"multipleBirthInteger": "2"}, (None, None), False),
        ({"multipleBirthBoolean": "true"}, (None, None), False),
        ({"multipleBirthBoolean": False, "multipleBirthInteger": 2}, (True, 2), True),
    ],
)
def test_what_the_message_says_of_the_birth_is_in_the_claim(
    told: dict[str, Any], expected: Said, one_of_several: bool
) -> None:
    """An order of birth is stated of one of several alone; what is no such value says nothing."""
    claim = event(bundle(patient=told)).claim
    assert (claim.multiple_birth, claim.birth_order) == expected
    assert claim.one_of_several is one_of_several


def test_the_mother_of_twins_is_no_twin() -> None:
    """Her event holds her identifiers alone."""
    mother = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": "urn:uuid:patient"},
        "relationship": [{"coding": [{"code": "MTH"}]}],
        "identifier": [{"system": NHS, "value": OTHER_NUMBER}],
    }
    born = {"birthDate": "2026-03-12", "multipleBirthInteger": 2}
    baby, hers = events(bundle(patient=born, more=(mother,)))
    assert baby.claim.one_of_several
    assert (hers.claim.multiple_birth, hers.claim.birth_order) == (None, None)
