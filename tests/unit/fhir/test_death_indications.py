"""Deaths that attendances tell of: the same hint from HL7 v2 and FHIR, and nothing more."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.deaths import indicated, surely_adult
from connectors.fhir.events import OWN
from schemas.deaths import DeathIndication, DeathMessageKind, DeathNotified
from schemas.events import AttendanceReported
from tests.unit.fhir import bundles as fhir
from tests.unit.hl7v2 import messages as hl7
from tests.unit.hl7v2.reading import event as hl7_event

KEYS = fhir.KEYS
DIED = {"deceasedDateTime": "2026-03-14T21:40:00+00:00"}


def from_fhir(code: str, **patient: object) -> AttendanceReported:
    """What a FHIR message of this event says."""
    header = {"eventCoding": {"system": OWN, "code": code}}
    return fhir.event(fhir.bundle(header=header, patient={**DIED, **patient}))


def from_hl7(trigger: str, died: str = "20260314214000", said: str = "Y") -> AttendanceReported:
    """What an ADT message of this trigger says."""
    pid = [*hl7.PID.split("|"), *[""] * 30][:31]
    pid[29], pid[30] = died, said
    return hl7_event(hl7.arrival(msh=hl7.trigger(trigger, "DEATH-1"), pid="|".join(pid)))


@pytest.mark.parametrize(
    ("trigger", "code", "indicates"),
    [
        ("A03", "departure", True),
        ("A08", "update", True),
        ("A31", "demographics", True),
        ("A04", "arrival", False),
        ("A11", "cancel", False),
    ],
)
def test_both_wires_indicate_a_death_alike(trigger: str, code: str, indicates: bool) -> None:
    """A departure, an update, a change of demographics; nothing else does."""
    for event in (from_hl7(trigger), from_fhir(code)):
        assert event.death_indicated
        found = indicated(event, KEYS)
        if not indicates:
            assert found is None
            continue
        assert found is not None
        assert found.kind is DeathMessageKind.INDICATED
        assert found.indication is DeathIndication.HOSPITAL
        assert (found.died_at, found.reference, found.version) == ("2026-03-14", "", 0)
        assert (found.claim, found.organisation) == (event.claim, event.organisation)
        assert (found.facts, found.message) == ((), b"")


def test_a_death_that_is_denied_or_not_told_indicates_nothing() -> None:
    """PID-30 ``N``; no PID-29 and PID-30."""
    assert indicated(from_hl7("A08", "", "N"), KEYS) is None
    assert indicated(from_hl7("A08", "", ""), KEYS) is None


def test_told_again_it_is_the_same_event_and_of_another_patient_another() -> None:
    """A hospital says it in every message from then on; the key is the patient's own."""
    first = indicated(from_hl7("A03"), KEYS)
    again = indicated(from_hl7("A08"), KEYS)
    undated = indicated(from_hl7("A08", ""), KEYS)
    assert first is not None
    assert again is not None
    assert undated is not None
    assert first.event_id == again.event_id != undated.event_id
    assert first.source_person == again.source_person == undated.source_person
    event = from_hl7("A03")
    assert first.source_person != event.source_person
    other = indicated(replace(event, source_patient="another"), KEYS)
    assert other is not None
    assert other.source_person != first.source_person


@pytest.mark.parametrize(
    "more",
    [
        {"nhs_number": "9990000018"},
        {"nhs_number": None, "other_numbers": ("9990000018",)},
        {"nhs_number": None, "family": "Another"},
        {"nhs_number": None, "given": ("Another",)},
        {"nhs_number": None, "birth_date": "2017-01-01"},
        {"nhs_number": None, "gender": "unknown"},
    ],
)
def test_told_again_with_more_of_who_it_was_it_is_a_new_event(more: dict[str, Any]) -> None:
    """The patient may become known later: once more for each new evidence, under the same key, and
    not for what identity finds nobody by."""
    event = from_hl7("A08")
    plain = replace(event, claim=replace(event.claim, nhs_number=None, other_numbers=()))
    known = replace(plain, claim=replace(plain.claim, **more))
    elsewhere = replace(known, claim=replace(known.claim, postcode="ZZ9 9ZZ"))
    before, after, moved = (indicated(one, KEYS) for one in (plain, known, elsewhere))
    assert before is not None
    assert after is not None
    assert moved is not None
    assert before.event_id != after.event_id == moved.event_id
    assert before.source_person == after.source_person


@pytest.mark.parametrize(
    ("born", "tells"),
    [
        ("2008-03-15", True),
        ("2008-03-14", False),
        ("2008", True),
        ("2007", False),
        ("1950-01-01", False),
        (None, True),
    ],
)
def test_who_was_surely_an_adult_is_no_matter_of_child_death_review(
    born: str | None, tells: bool
) -> None:
    """Dead on 14 March 2026: the 18th birthday counts as adult; doubt does not."""
    event = from_hl7("A03")
    found = indicated(replace(event, claim=replace(event.claim, birth_date=born)), KEYS)
    assert (found is not None) == tells


def test_a_hidden_place_stays_hidden() -> None:
    """The mark goes along, and the claim has no postcode."""
    event = from_fhir("update", meta={"security": [{"code": "V"}]})
    found = indicated(event, KEYS)
    assert isinstance(found, DeathNotified)
    assert found.marks == ("location-shielded",)
    assert found.claim.postcode is None


@given(st.dates(date(1900, 1, 1), date(2030, 1, 1)), st.dates(date(1900, 1, 1), date(2060, 1, 1)))
def test_nobody_under_18_is_surely_an_adult(born: date, died: date) -> None:
    """By the whole date, and by the month or year of it: less known is never more adult."""
    turned = date(born.year + 18, 3, 1) if (born.month, born.day) == (2, 29) else None
    adult = died >= (turned or born.replace(year=born.year + 18))
    text = born.isoformat()
    assert surely_adult(text, died) == adult
    for part in (text[:7], text[:4]):
        assert not surely_adult(part, died) or adult
    assert not surely_adult("soon", died)
