"""Identifiers of a Patient beside the NHS number and the local id: which are kept."""

from __future__ import annotations

from typing import Any

from tests.unit.fhir.bundles import CHILD_NUMBER, LOCAL, NHS, bundle, event


def read(*identifiers: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Scheme, value and assigner of what stands beside the local id."""
    first = [{"system": NHS, "value": CHILD_NUMBER}, typed("MR", "T1", system=LOCAL)]
    claim = event(bundle(patient={"identifier": [*first, *identifiers]})).claim
    assert (claim.nhs_number, claim.local_id) == (CHILD_NUMBER, "T1")
    return [(one.scheme, one.value, one.assigner) for one in claim.identifiers]


def typed(code: str, value: str, **more: Any) -> dict[str, Any]:
    """An identifier of this type."""
    return {"type": {"coding": [{"code": code}]}, "value": value, **more}


def test_most_messages_have_none() -> None:
    """A number and a local id are all that there is."""
    assert read() == []


def test_record_and_pupil_numbers_are_kept_with_who_assigned_them() -> None:
    """The assigner's code, else the system."""
    ods = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RYY"}}
    assert read(
        typed("MR", "H7", system="urn:test:ryy", assigner=ods),
        typed("PI", "H8", system="urn:test:rzz"),
        typed("UPN", "b801200005001"),
    ) == [
        ("hospital-number", "H7", "RYY"),
        ("hospital-number", "H8", "urn:test:rzz"),
        ("unique-pupil-number", "B801200005001", ""),
    ]


def test_what_nobody_needs_here_is_left_out() -> None:
    """Other types, what has none, old ones, placeholders, and what may be an NHS number."""
    assert (
        read(
            typed("PPN", "P1"),
            {"system": "urn:test:passport", "value": "P2"},
            typed("MR", "H9", use="old"),
            typed("MR", "UNKNOWN"),
            typed("MR", "9990000026"),
        )
        == []
    )
