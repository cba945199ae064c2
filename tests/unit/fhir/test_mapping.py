"""From FHIR messages to events: what is said where, and what is odd."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.fhir.detail import ADMISSION_METHOD, LOCATION_SHIELDED, MODE_OF_ARRIVAL
from connectors.fhir.events import ENGLAND, OWN, OWN_CODES, V2_TRIGGER, WALES
from connectors.fhir.persons import STATUS_EXTENSIONS
from schemas import codec
from schemas.events import AttendanceReported, Moment, NhsNumberStatus, VisitEventKind
from tests.unit.fhir.bundles import (
    CHILD_NUMBER,
    KEYS,
    LOCAL,
    NHS,
    OTHER_NUMBER,
    PATIENT,
    RECEIVED,
    bundle,
    event,
    events,
)


def own(code: str, **more: Any) -> dict[str, Any]:
    """A header with an event of the hub's own."""
    return {"eventCoding": {"system": OWN, "code": code}, **more}


def coded(code: str, display: str = "") -> dict[str, Any]:
    """A CodeableConcept."""
    return {"coding": [{"code": code, **({"display": display} if display else {})}]}


def test_an_arrival_says_who_where_when_and_why() -> None:
    """The whole event of a child at the emergency department."""
    body = bundle()
    one = event(body)
    assert (one.kind, one.trigger) == (VisitEventKind.REGISTER, "arrival")
    assert (one.arrival, one.arrival_rule) == (True, "default.emergency-class")
    assert (one.source, one.organisation, one.message_id) == ("rtest-fhir", "RTEST", "message-1")
    assert one.occurred_at == Moment(datetime(2026, 3, 14, 21, 41, 5, tzinfo=UTC))
    assert one.recorded_at == Moment(datetime(2026, 3, 14, 21, 42, 30, tzinfo=UTC))
    assert one.message_at == Moment(datetime(2026, 3, 14, 21, 42, 33, tzinfo=UTC))
    assert one.claim.nhs_number == CHILD_NUMBER
    assert (one.claim.family, one.claim.given) == ("Testchild", ("Robin", "Lee"))
    assert (one.claim.birth_date, one.claim.gender) == ("2019-06-02", "male")
    assert (one.claim.postcode, one.claim.local_id) == ("ZZ1 1AA", "T123456")
    assert (one.detail.patient_class, one.detail.reason) == ("E", "Fall at home")
    assert (one.detail.department, one.detail.site_ods) == ("ED", "RTES5")
    assert one.source_person == KEYS.source_person("rtest-fhir", f"{LOCAL}^T123456", None, None)
    assert (one.content_type, one.charset) == ("application/fhir+json", "utf-8")
    assert one.message == json.dumps(body).encode()
    assert one.marks == ()
    assert codec.decode_as(AttendanceReported, codec.encode(one)) == one


@pytest.mark.parametrize(
    ("header", "encounter", "kind", "arrival"),
    [
        (own("arrival"), {}, VisitEventKind.REGISTER, True),
        (own("arrival"), {"class": {"code": "AMB"}}, VisitEventKind.REGISTER, False),
        (own("arrival"), {"class": {"code": "IMP"}}, VisitEventKind.ADMIT, False),
        (own("update"), {}, VisitEventKind.UPDATE, False),
        (own("transfer"), {}, VisitEventKind.UPDATE, False),
        (own("departure"), {}, VisitEventKind.DISCHARGE, False),
        (own("cancel"), {}, VisitEventKind.CANCEL, False),
        (own("cancel-departure"), {}, VisitEventKind.CANCEL_DISCHARGE, False),
        (own("booking"), {}, VisitEventKind.PRE_ADMIT, False),
        (own("leave"), {}, VisitEventKind.LEAVE, False),
        (own("return"), {}, VisitEventKind.RETURN, False),
        (own("demographics"), {}, VisitEventKind.DEMOGRAPHICS, False),
        ({"eventCoding": {"system": WALES, "code": "uec-arrival"}}, {}, VisitEventKind.REGISTER,
         True),
        ({"eventCoding": {"system": WALES, "code": "uec-triage"}}, {}, VisitEventKind.UPDATE,
         False),
        ({"eventCoding": {"system": WALES, "code": "uec-discharge"}}, {},
         VisitEventKind.DISCHARGE, False),
        ({"eventCoding": {"system": V2_TRIGGER, "code": "a23"}}, {}, VisitEventKind.CANCEL, False),
        ({"eventCoding": {"system": V2_TRIGGER, "code": "A38"}}, {}, VisitEventKind.NOT_USED,
         False),
        ({"eventCoding": None, "eventUri": f"{OWN}#arrival"}, {}, VisitEventKind.REGISTER, True),
    ],
)  # fmt: skip
def test_events_of_three_vocabularies_are_understood(
    header: dict[str, Any], encounter: dict[str, Any], kind: VisitEventKind, arrival: bool
) -> None:
    """What each does to a visit, and whether somebody arrives."""
    one = event(bundle(header=header, encounter=encounter))
    assert (one.kind, one.arrival) == (kind, arrival)


def test_the_english_sample_form_says_the_trigger_as_a_reason() -> None:
    """``message-event#encounter`` with a trigger of HL7 v2; of several codings the v2 one."""
    for trigger, kind in (("A04", VisitEventKind.REGISTER), ("A03", VisitEventKind.DISCHARGE)):
        reason = {"coding": [{"system": "urn:x", "code": "x"}]}
        reason["coding"].append({"system": V2_TRIGGER, "code": trigger})
        english = {"system": ENGLAND, "code": "encounter"}
        one = event(bundle(header={"eventCoding": english, "reason": reason}))
        assert (one.trigger, one.kind) == (trigger, kind)


def test_every_own_event_is_documented_as_a_trigger_of_its_own() -> None:
    """No two codes mean the same trigger."""
    assert len(set(OWN_CODES.values())) == len(OWN_CODES)


def test_an_admission_method_makes_an_admission_an_arrival() -> None:
    """UK Core's extension of hospitalization."""
    stay = {"extension": [{"url": ADMISSION_METHOD, "valueCodeableConcept": coded("31")}]}
    encounter = {"class": {"code": "IMP"}, "hospitalization": stay}
    one = event(bundle(encounter=encounter))
    assert (one.arrival, one.arrival_rule) == (True, "default.admission-method")
    assert one.detail.admission_method == "31"


def test_an_update_of_a_cancelled_encounter_is_its_cancellation() -> None:
    """An arrival stays an arrival, whatever the status says; both are marked."""
    for status in ("cancelled", "entered-in-error"):
        update = event(bundle(header=own("update"), encounter={"status": status}))
        assert update.kind is VisitEventKind.CANCEL
        assert "cancelled-by-status:Encounter.status" in update.marks
        arrival = event(bundle(encounter={"status": status}))
        assert arrival.arrival
        assert "status-contradicts:Encounter.status" in arrival.marks


def test_what_becomes_known_later_is_read() -> None:
    """Mode of arrival, acuity, destination, end of the visit; a complaint before a reason."""
    complaint = {
        "resourceType": "Condition",
        "id": "c",
        "code": {"text": "Burn to hand"},
        "subject": {"reference": "urn:uuid:patient"},
    }
    encounter = {
        "extension": [{"url": MODE_OF_ARRIVAL, "valueCoding": {"display": "Ambulance"}}],
        "priority": coded("2", "Very urgent"),
        "period": {"start": "2026-03-14T20:00:00Z", "end": "2026-03-14T21:40:00Z"},
        "hospitalization": {"dischargeDisposition": coded("19")},
        "reasonReference": [{"reference": "Condition/c"}],
    }
    one = event(bundle(header=own("departure"), encounter=encounter, more=(complaint,)))
    assert one.detail.mode_of_arrival == "Ambulance"
    assert (one.detail.acuity, one.detail.discharge_destination) == ("Very urgent", "19")
    assert one.detail.reason == "Burn to hand"
    assert one.detail.discharged_at == Moment(datetime(2026, 3, 14, 21, 40, tzinfo=UTC))
    assert one.occurred_at == one.detail.discharged_at


def test_provenance_says_when_it_happened_and_was_recorded() -> None:
    """Before the header's time and the Encounter's period."""
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": "urn:uuid:encounter"}],
        "occurredDateTime": "2026-03-14T21:30:00Z",
        "recorded": "2026-03-14T21:31:00Z",
        "agent": [{"who": {"display": "x"}}],
    }
    one = event(bundle(header=own("leave"), more=(provenance,)))
    assert one.occurred_at == Moment(datetime(2026, 3, 14, 21, 30, tzinfo=UTC))
    assert one.recorded_at == Moment(datetime(2026, 3, 14, 21, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "expected", "mark"),
    [
        ("2026-07-01T10:00:00+01:00", Moment(datetime(2026, 7, 1, 9, tzinfo=UTC), 60), None),
        (
            "2026-07-01T10:00:00",
            Moment(datetime(2026, 7, 1, 9, tzinfo=UTC), 60),
            "time-without-zone:Encounter.period.start",
        ),
        ("2026-07-01", Moment(datetime(2026, 6, 30, 23, tzinfo=UTC), 60), None),
        ("2026-13-01T10:00:00Z", None, "time-invalid:Encounter.period.start"),
        ("yesterday", None, "time-invalid:Encounter.period.start"),
        ("2026-07-02T10:00:00Z", None, "occurred-implausible"),
        ("2019-06-02", None, "occurred-implausible"),
    ],
)
def test_times_are_read_or_marked(start: str, expected: Moment | None, mark: str | None) -> None:
    """A time that cannot be is left out; the arrival is taken all the same."""
    message = bundle(header={"meta": None}, encounter={"period": {"start": start}}, timestamp=None)
    (one,) = events(message, datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert one.arrival
    assert one.occurred_at == expected
    assert one.marks == ((mark,) if mark else ())


def test_a_partial_birth_date_is_kept_and_an_impossible_one_is_marked() -> None:
    """Both are taken."""
    assert event(bundle(patient={"birthDate": "2019-06"})).claim.birth_date == "2019-06"
    odd = event(bundle(patient={"birthDate": "2019-02-30"}))
    assert (odd.claim.birth_date, odd.marks) == (None, ("birth-date-invalid",))


def test_numbers_statuses_and_local_ids_are_told_apart() -> None:
    """Old ones last; a status of UK Core; what cannot be an NHS number is marked."""
    status = {"url": STATUS_EXTENSIONS[0], "valueCodeableConcept": coded("01")}
    record = {"coding": [{"code": "MR"}]}
    identifiers = [
        {"system": NHS, "value": OTHER_NUMBER, "use": "old"},
        {"system": "urn:test:passport", "value": "P1"},
        {"system": "http://fhir.nhs.net/Id/nhs-number", "value": "999 000 0018",
         "extension": [status]},
        {"system": LOCAL, "value": "T1", "type": record},
    ]  # fmt: skip
    one = event(bundle(patient={"identifier": identifiers}))
    assert one.claim.nhs_number == CHILD_NUMBER
    assert one.claim.other_numbers == (OTHER_NUMBER,)
    assert one.claim.nhs_number_status is NhsNumberStatus.VERIFIED
    assert one.claim.local_id == "T1"
    assert "nhs-number-several" in one.marks
    wrong = [{"system": NHS, "value": "9990000019"}]
    assert "nhs-number-invalid" in event(bundle(patient={"identifier": wrong})).marks


def test_the_same_bytes_give_the_same_event_and_others_another() -> None:
    """Sending again is harmless; a message id used again with another body is a new event."""
    first = event(bundle())
    again = events(bundle(), RECEIVED + timedelta(minutes=5))[0]
    other = event(bundle(patient={"gender": "female"}))
    assert first.event_id == again.event_id != other.event_id
    assert first.visit_id == other.visit_id
    assert first.source_person == other.source_person


def test_without_a_message_id_or_visit_number_it_is_taken() -> None:
    """Marked; the visit is the patient's day."""
    message = bundle(header={"id": None}, identifier=None, encounter={"identifier": None})
    one = event(message)
    assert set(one.marks) == {
        "message-id-missing:Bundle.identifier",
        "visit-number-missing:Encounter.identifier",
    }
    message["entry"][1]["resource"]["status"] = "in-progress"
    assert event(message).visit_id == one.visit_id
    placeholder = {"identifier": [{"system": "urn:visits", "value": "UNKNOWN"}]}
    assert event(bundle(encounter=placeholder)).visit_id == one.visit_id


def test_a_merge_names_who_is_retired_by_link_or_by_resource() -> None:
    """The keys are those that the retired patient's own events have."""
    earlier = event(bundle(patient={"identifier": [{"system": LOCAL, "value": "OLD1"}]}))
    by_identifier = {"other": {"identifier": {"system": LOCAL, "value": "OLD1"}}}
    merge = bundle(
        header=own("merge", focus=None),
        without=("Encounter",),
        patient={"link": [{**by_identifier, "type": "replaces"}]},
    )
    retired = {**PATIENT, "id": "old", "identifier": [{"system": LOCAL, "value": "OLD1"}]}
    by_resource = bundle(
        header=own("merge", focus=None),
        without=("Encounter",),
        patient={"link": [{"other": {"reference": "urn:uuid:old"}, "type": "replaces"}]},
        more=(retired,),
    )
    bare = {"other": {"identifier": {"value": "OLD1"}}, "type": "replaces"}
    by_bare_id = bundle(header=own("merge"), patient={"link": [bare]})
    for message in (merge, by_resource, by_bare_id):
        one = event(message)
        assert one.kind is VisitEventKind.MERGE
        assert one.merged_person == earlier.source_person
        assert one.merged_patient == earlier.source_patient
        assert one.claim.nhs_number == CHILD_NUMBER
        assert not one.arrival


def test_a_merge_of_nobody_changes_nothing() -> None:
    """Without a retired patient, or with the survivor as such; marked, kept, not used."""
    itself = {"other": {"identifier": {"system": LOCAL, "value": "T123456"}}, "type": "replaces"}
    for link, mark in ((None, "merge-incomplete"), ([itself], "merge-of-one")):
        one = event(bundle(header=own("merge"), patient={"link": link}))
        assert one.kind is VisitEventKind.NOT_USED
        assert f"{mark}:Patient.link" in one.marks


def mother(*codes: str) -> dict[str, Any]:
    """A RelatedPerson of the message's patient."""
    return {
        "resourceType": "RelatedPerson",
        "patient": {"reference": "urn:uuid:patient"},
        "identifier": [{"system": NHS, "value": OTHER_NUMBER}, {"system": LOCAL, "value": "M1"}],
        "relationship": [{"coding": [{"code": code} for code in codes or ("MTH",)]}],
    }


def test_a_newborns_message_is_an_event_of_the_mother_too() -> None:
    """Keyed as her own events are, with her identifiers alone; its cancel cancels it."""
    baby = {"birthDate": "2026-03-14", "identifier": [{"system": LOCAL, "value": "B1"}]}
    first, second = events(bundle(patient=baby, more=(mother(),)))
    hers = event(bundle(patient={"identifier": [{"system": LOCAL, "value": "M1"}]}, encounter={}))
    assert (first.kind, second.kind) == (VisitEventKind.REGISTER, VisitEventKind.BIRTH)
    assert second.source_person == hers.source_person
    assert (second.claim.nhs_number, second.claim.family) == (OTHER_NUMBER, None)
    assert (second.arrival, second.arrival_rule) == (True, "birth")
    assert second.visit_id != first.visit_id
    _, cancel = events(bundle(header=own("cancel"), patient=baby, more=(mother(),)))
    assert (cancel.kind, cancel.visit_id) == (VisitEventKind.CANCEL, second.visit_id)


def test_a_mother_is_told_of_newborns_only() -> None:
    """Not for an older child, nor for another relation."""
    assert len(events(bundle(more=(mother(),)))) == 1
    baby = {"birthDate": "2026-03-14"}
    assert len(events(bundle(patient=baby, more=(mother("FTH"),)))) == 1


def test_a_hidden_place_takes_the_postcode_with_it() -> None:
    """By the hub's extension, or by a restricted label on the Patient."""
    extension = [{"url": LOCATION_SHIELDED, "valueBoolean": True}]
    label = {"security": [{"code": "R"}]}
    for message in (
        bundle(encounter={"extension": extension}),
        bundle(patient={"meta": label}),
    ):
        one = event(message)
        assert one.detail.location_shielded
        assert one.claim.postcode is None
        assert "location-shielded" in one.marks


def test_a_death_is_recorded() -> None:
    """As a flag, or with its time; false is none."""
    assert event(bundle(patient={"deceasedBoolean": True})).death_indicated
    assert not event(bundle(patient={"deceasedBoolean": False})).death_indicated
    dated = event(bundle(patient={"deceasedDateTime": "2026-03-14T21:00:00Z"}))
    assert dated.death_indicated
    assert dated.died_at == Moment(datetime(2026, 3, 14, 21, tzinfo=UTC))


def test_long_texts_are_cut_and_marked() -> None:
    """An event must fit the bus; the message is kept whole."""
    one = event(bundle(encounter={"reasonCode": [{"text": "x" * 9_000}]}))
    assert one.detail.reason is not None
    assert len(one.detail.reason) == 2_000
    assert "text-cut:Encounter.reasonCode" in one.marks


def test_no_mark_holds_a_value() -> None:
    """Whatever is odd at once."""
    canary = "Canary-Secret"
    one = event(
        bundle(
            patient={
                "birthDate": canary,
                "gender": canary,
                "identifier": [{"system": NHS, "value": canary}],
                "name": [{"family": canary, "use": "anonymous"}],
                "deceasedDateTime": canary,
            },
            encounter={"period": {"start": canary}},
            timestamp=canary,
        )
    )
    assert len(one.marks) >= 6
    assert canary not in " ".join(one.marks)
    assert canary not in repr(one)
    shown = {item.name for item in fields(one) if item.repr}
    assert "message" not in shown
