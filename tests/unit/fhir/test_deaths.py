"""What a notification says of the child: Patient and form together, places, dates, samples."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from connectors.fhir.death_patients import BIRTH_TIME, ETHNIC_CATEGORY
from connectors.fhir.fitting import MAX_MARKS
from halyard.cli import practice
from sandbox.deaths import bundles
from sandbox.deaths.bundles import Absent, Child
from sandbox.samples.cast import CAST
from sandbox.samples.render import DEATHS, render
from schemas.codec import decode, encode
from schemas.death_fields import UNLISTED, catalogue
from schemas.deaths import DeathMessageKind, DeathNotified, Fact, ReportKind
from tests.support.deaths import CHILD, TWIN, notification_bundle
from tests.unit.fhir.death_reading import (
    RECEIVED,
    Json,
    event,
    fact,
    notified,
    resource,
    value,
)

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


def test_the_patient_is_facts_too() -> None:
    """Names, birth, sex, addresses, the hospital number: with the claim that identity goes by."""
    child = replace(
        TWIN,
        local_id="T01138",
        status="01",
        address="1 Sample Street",
        alternative_postcode="ZZ9 9ZZ",
        previous_family="Formerfield",
        birth_time="2018-02-11T04:05:00+00:00",
        died="2026-03-01T04:10:00+00:00",
    )
    made = bundles.notification(reference="N", child=child, answers={"death.expected": True})
    coding = {"code": "D", "system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategory"}
    resource(made, "Patient")["extension"] = [
        {"url": ETHNIC_CATEGORY, "valueCodeableConcept": {"coding": [coding]}}
    ]
    assert BIRTH_TIME in json.dumps(made)
    found = notified(made)
    told = {(one.name, one.row): one.value for one in found.facts}
    assert told == {
        ("death.expected", 0): "true",
        ("child.family", 0): "Mirrorfield",
        ("child.given", 0): "Casey",
        ("child.birth-date", 0): "2018-02-11",
        ("child.birth-time", 0): "04:05",
        ("child.sex", 0): "female",
        ("child.local-id", 0): "T01138",
        ("child.ethnicity", 0): "mixed-white-black-caribbean",
        ("child.address", 0): "1 Sample Street",
        ("child.postcode", 0): "ZZ5 1AA",
        ("child.alternative-postcode", 0): "ZZ9 9ZZ",
        ("child.multiple-birth", 0): "true",
        ("child.birth-order", 0): "1",
        ("death.date", 0): "2026-03-01",
        ("death.time", 0): "04:10",
        ("alias.family", 1): "Formerfield",
        ("alias.kind", 1): "previous",
    }
    assert (found.claim.nhs_number, found.claim.postcode) == (TWIN.nhs_number, "ZZ5 1AA")
    assert (found.died_at, found.marks) == ("2026-03-01", ())


def test_without_a_patient_the_form_says_who_it_is() -> None:
    """The claim is made of its facts; that nobody was sent is a mark."""
    answers: dict[str, Any] = {
        "child.family": "Jessop",
        "child.given": "Lily May",
        "child.birth-date": "2021-11",
        "child.sex": "female",
        "child.postcode": "ZZ4 1AB",
        "child.nhs-number-absent": "not-available",
    }
    found = notified(bundles.notification(reference="N", child=None, answers=answers))
    claim = found.claim
    assert (claim.family, claim.given, claim.birth_date) == ("Jessop", ("Lily", "May"), "2021-11")
    assert (claim.gender, claim.postcode, claim.nhs_number) == ("female", "ZZ4 1AB", None)
    assert found.marks == ("patient-not-sent:Bundle.entry",)


def test_where_patient_and_form_differ_it_is_marked() -> None:
    """Of who the child is the Patient counts, by which identity goes; of the death the form."""
    child = replace(CHILD, died="2026-02-28")
    found = notified(
        notification_bundle(child=child, answers={"child.family": "JESSOPP", "child.given": "lily"})
    )
    assert value(found, "child.family") == "Jessop"
    assert value(found, "death.date") == "2026-03-01" == found.died_at
    assert set(found.marks) == {"form-differs:child.family", "form-differs:death.date"}
    assert len({(one.name, one.row) for one in found.facts}) == len(found.facts)


def test_a_blank_of_the_form_does_not_hide_what_the_patient_says() -> None:
    """Not known to whoever filled it in, and there all the same."""
    found = notified(notification_bundle(answers={"child.address": Absent()}))
    assert value(found, "child.address") == CHILD.address


@pytest.mark.parametrize("labelled", ["Patient", "MessageHeader", "QuestionnaireResponse", None])
def test_of_a_restricted_child_no_place_is_told(labelled: str | None) -> None:
    """A label R or V anywhere: neither address nor place, nor what could hold one."""
    made = notification_bundle(
        answers={"death.place-words": "At the refuge", "new.question": "At the refuge"},
        rows={"relative": [{"family": "R", "address": "2 Hidden Street"}]},
    )
    node = made if labelled is None else resource(made, labelled)
    node["meta"] = {"security": [{"code": "R"}]}
    found = notified(made)
    names = {one.name for one in found.facts}
    assert not names & {
        "child.address",
        "child.postcode",
        "child.residence-authority",
        "death.place-words",
        "death.authority",
        "relative.address",
    }
    assert not [name for name in names if name.startswith(UNLISTED)]
    assert {"relative.family", "death.date", "death.place"} <= names
    assert found.claim.postcode is None
    assert "location-shielded" in found.marks


@pytest.mark.parametrize(
    ("answers", "died_at", "mark"),
    [
        ({"death.date": "2026-03"}, "2026-03", None),
        ({"death.date": "2026"}, "2026", None),
        ({"death.date": "2027-01-01"}, "2027-01-01", "death-time-implausible:death.date"),
        ({"death.date": "2020-05"}, "2020-05", "death-before-birth:death.date"),
        ({"death.date": Absent()}, None, None),
    ],
)
def test_the_day_of_death_is_as_told(
    answers: dict[str, Any], died_at: str | None, mark: str | None
) -> None:
    """Perhaps partial; one that cannot be is marked and kept, for a person to look at."""
    found = notified(notification_bundle(answers=answers))
    assert found.died_at == died_at
    assert found.marks == ((mark,) if mark else ())


def test_marks_are_bounded() -> None:
    """An event must fit the bus, however odd its form is."""
    answers = {f"made.up-{number}": "x" for number in range(MAX_MARKS + 20)}
    found = notified(notification_bundle(answers=answers))
    assert len(found.marks) == MAX_MARKS
    assert found.marks[-1] == "marks-cut"


def test_the_event_holds_the_senders_bytes_and_survives_the_bus() -> None:
    """What was sent is the truth; the reading of it can be done anew."""
    body = json.dumps(notification_bundle()).encode()
    found = notified(body)
    assert found.message == body
    assert decode(encode(found)) == found
    assert found.form.startswith("urn:halyard:fhir:questionnaire:death-notification|")
    assert found.sent_at is not None
    assert found.sent_at < RECEIVED


@pytest.mark.parametrize(
    "message",
    [
        notification_bundle(),
        bundles.report(reference="R", child=CHILD, answers={"report.summary": "Known."}),
        bundles.pds_death(child=CHILD, status="2"),
    ],
)
def test_no_personal_value_is_in_a_repr_or_a_mark(message: Json) -> None:
    """Logs and errors may show either."""
    odd = copy.deepcopy(message)
    resource(odd, "Patient")["birthDate"] = "2021-31-31"
    found = event(odd)
    for personal in ("Jessop", "9990001391", "ZZ4 1AB", "2021-31-31", "Sample Street"):
        assert personal not in repr(found)
        assert personal not in " ".join(found.marks)


SAMPLES: dict[str, object] = {
    "notification": DeathMessageKind.SUBMITTED,
    "second-notification": DeathMessageKind.SUBMITTED,
    "update": DeathMessageKind.UPDATED,
    "void": DeathMessageKind.VOIDED,
    "report": ReportKind.REPORT,
    "declined": ReportKind.DECLINED,
    "nothing-known": ReportKind.NOTHING_KNOWN,
    "pds-death": DeathMessageKind.INDICATED,
}


def sample(name: str) -> Json:
    """A sample with its times filled in."""
    found: Json = json.loads(render((DEATHS / f"{name}.json").read_text("utf-8"), NOW, "r1"))
    return found


def test_each_sample_is_known() -> None:
    """No file without its test."""
    assert {file.stem for file in DEATHS.glob("*.json")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_fhir_and_says_what_it_says(name: str) -> None:
    """Its event, of practice people, without a mark; every answer of a field of the catalogue."""
    message = sample(name)
    Bundle.model_validate(message)
    found = event(message, NOW)
    assert found.kind == SAMPLES[name]
    assert found.marks == ()
    assert {one.name for one in found.facts} <= catalogue().keys()
    numbers = {person.nhs_number for person in CAST.everybody.values()}
    assert found.claim.nhs_number in {*numbers, None}


def test_samples_of_one_run_are_one_notification() -> None:
    """Notification, update and void go together, with versions that grow; another agency's not."""
    found = [notified(sample(name)) for name in ("notification", "update", "void")]
    assert len({one.source_person for one in found}) == 1
    assert [one.version for one in found] == [1, 2, 3]
    other = notified(sample("second-notification"))
    assert other.source_person != found[0].source_person
    assert resource(sample("notification"), "MessageHeader")["source"]["endpoint"] == (
        practice.FHIR_ENDPOINT
    )


def test_a_sample_asks_most_of_what_the_forms_ask() -> None:
    """They are built from the field lists: most fields of each form are answered in one."""
    told = {one.name for name in ("notification", "report") for one in _facts(name)}
    asked = [one for one in catalogue() if one not in told]
    assert len(told) > 0.7 * len(catalogue()), asked


def _facts(name: str) -> tuple[Fact, ...]:
    found: tuple[Fact, ...] = event(sample(name), NOW).facts
    return found


def test_a_child_without_anything_is_taken() -> None:
    """A notification with a form is never refused for who it is about."""
    found = notified(
        bundles.notification(reference="N", child=Child(), answers={"death.date": "2026"})
    )
    assert isinstance(found, DeathNotified)
    assert fact(found, "death.date") == Fact("death.date", value="2026")
