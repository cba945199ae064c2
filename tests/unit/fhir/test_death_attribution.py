"""Which child a message about a death is about, and that nothing else refuses it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.fhir import death_subjects
from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.messages import Limits, Refusal, read_message
from connectors.fhir.persons import Identifiers, identifiers
from sandbox.deaths import bundles
from schemas.deaths import DeathMessageKind
from tests.support.deaths import CHILD, TWIN, notification_bundle, update_bundle
from tests.unit.fhir.death_reading import (
    RECEIVED,
    Json,
    event,
    notified,
    read,
    resource,
    value,
    with_parameter,
)

VOID = bundles.void(reference="N-1", version=3, reason="duplicate")
NHS = "https://fhir.nhs.uk/Id/nhs-number"
LILY: Json = {
    "resourceType": "Patient",
    "id": "child",
    "name": [{"family": "Jessop", "given": ["Lily"]}],
    "birthDate": "2021-11-11",
}
ROSE: Json = {**LILY, "name": [{"family": "Jessop", "given": ["Rose"]}]}
BY_NUMBER = {"identifier": {"system": NHS, "value": CHILD.nhs_number}}


def form(subject: Json | None, name: str, said: str, **more: Any) -> Json:
    """A form with one answer."""
    about = {} if subject is None else {"subject": subject}
    item = {"linkId": name, "answer": [{"valueString": said}]}
    return {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        **about,
        **more,
        "item": [item],
    }


def message(*resources: Json, focus: tuple[str, ...] = (), entries: tuple[Json, ...] = ()) -> Json:
    """A notification of these resources alone."""
    made = bundles.notification(reference="N-1", child=None, answers={"death.expected": True})
    made["entry"] = made["entry"][:2] + [{"resource": one} for one in resources] + list(entries)
    resource(made, "MessageHeader")["focus"] = [{"reference": one} for one in focus]
    return made


def contained(child: Json, name: str, said: str) -> Json:
    """A form that holds its own Patient."""
    return form({"reference": "#child"}, name, said, contained=[child])


def entry(child: Json, url: str) -> Json:
    """A Bundle's entry."""
    return {"fullUrl": url, "resource": child}


TWO_FORMS = (
    form({"reference": "Patient/child"}, "death.circumstances", "A"),
    form(None, "death.cause-1a", "B"),
)


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (
            message(
                contained(LILY, "death.circumstances", "A"), contained(ROSE, "death.cause-1a", "B")
            ),
            "Bundle.entry",
        ),
        (message(LILY, {**ROSE, "id": "other"}, *TWO_FORMS), "Bundle.entry[5].resource.subject"),
        (
            message(LILY, {**ROSE, "id": "other"}, TWO_FORMS[1], focus=("Patient/child",)),
            "Bundle.entry[4].resource.subject",
        ),
        (message(LILY, ROSE, TWO_FORMS[0]), "Bundle.entry[4].resource.subject"),
        (message(LILY, ROSE, focus=("Patient/child",)), "Bundle.entry"),
        (
            message(
                form({"reference": "urn:uuid:c"}, "death.cause-1a", "B"),
                entries=(entry(LILY, "urn:uuid:c"), entry(ROSE, "urn:uuid:c")),
            ),
            "Bundle.entry[2].resource.subject",
        ),
        (
            message(
                form({"reference": "#child"}, "death.cause-1a", "B", contained=[LILY, ROSE]),
            ),
            "Bundle.entry[2].resource.subject",
        ),
    ],
)
def test_two_children_are_never_one_event(made: Json, place: str) -> None:
    """Contained twice, a form that names nobody, or two Patients of one id: refused."""
    found = read(made)
    assert isinstance(found, Refusal)
    assert (found.rule, found.place) == ("patient-ambiguous", place)


@pytest.mark.parametrize(
    "made",
    [
        message(
            contained(LILY, "death.circumstances", "A"),
            contained({**LILY, "meta": {"versionId": "2"}}, "death.cause-1a", "B"),
        ),
        message(LILY, copy.deepcopy(LILY), *TWO_FORMS),
        message(LILY, *TWO_FORMS),
        message(
            form(BY_NUMBER, "death.circumstances", "A"), form(BY_NUMBER, "death.cause-1a", "B")
        ),
        message(
            {**LILY, "identifier": [BY_NUMBER["identifier"]]},
            form(BY_NUMBER, "death.circumstances", "A"),
            contained({"resourceType": "Patient", "id": "child", "identifier": [
                {"system": NHS, "value": "999 000 1391"}]}, "death.cause-1a", "B"),
        ),
    ],
)  # fmt: skip
def test_one_child_told_twice_is_one(made: Json) -> None:
    """The same Patient, or the same identifier and nothing that contradicts."""
    found = notified(made)
    assert (value(found, "death.circumstances"), value(found, "death.cause-1a")) == ("A", "B")
    assert found.claim.family == "Jessop" or found.claim.nhs_number == CHILD.nhs_number


def test_twins_with_one_number_between_them_are_two() -> None:
    """A number that was given to both says nothing against their names."""
    number = {"identifier": [BY_NUMBER["identifier"]]}
    made = message(
        contained({**LILY, **number}, "death.circumstances", "A"),
        contained({**ROSE, **number}, "death.cause-1a", "B"),
    )
    found = read(made)
    assert isinstance(found, Refusal)
    assert found.rule == "patient-ambiguous"


def _encounter(made: Json) -> None:
    made["entry"].append({"resource": {"resourceType": "Encounter", "identifier": 7}})


def _link(made: Json) -> None:
    resource(made, "Patient")["link"] = [7]


def _numeric(made: Json) -> None:
    resource(made, "Patient")["identifier"][0]["value"] = int(CHILD.nhs_number or "")


def _header(made: Json) -> None:
    resource(made, "MessageHeader")["mood"] = {"odd": True}


def _frame(made: Json) -> None:
    made["entry"][1]["fullUrl"] = 7
    made["total"] = "many"


@pytest.mark.parametrize("change", [_encounter, _link, _numeric, _header, _frame])
@pytest.mark.parametrize("made", [notification_bundle(), VOID])
def test_what_does_not_matter_to_a_death_is_a_mark(
    made: Json, change: Callable[[Json], None]
) -> None:
    """The child stays attributable; a number that is written as one is read."""
    if made is VOID and change in (_link, _numeric):
        return
    odd = copy.deepcopy(made)
    change(odd)
    found = notified(odd)
    assert any(mark.startswith("element-") for mark in found.marks)
    if made is not VOID:
        assert found.claim.nhs_number == CHILD.nhs_number


def test_of_pds_nothing_is_taken_about_nobody() -> None:
    """An identifier in which nothing stands tells nobody."""
    made = bundles.pds_death(child=CHILD, status="2")
    odd: Json = {"resourceType": "Patient", "identifier": [{"value": {"odd": 1}}, 7]}
    made["entry"][2]["resource"] = odd
    found = read(made)
    assert isinstance(found, Refusal)
    assert found.rule == "patient-unidentifiable"


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ({"valueUuid": "urn:uuid:0a4c3c0e-0000-4000-8000-000000000001"}, None),
        ({"valueUri": "urn:ours:17"}, None),
        ({"valueUrl": "https://example.org/17"}, None),
        ({"valueId": "n-17"}, None),
        ({"valueCode": "n17"}, None),
        ({"valueInteger": 17}, "17"),
        ({"valuePositiveInt": 17}, "17"),
    ],
)
def test_a_reference_is_read_however_it_is_written(said: Json, reference: str | None) -> None:
    """As text, whatever its type."""
    found = notified(with_parameter(notification_bundle(), "reference", **said))
    assert found.reference == (reference or next(iter(said.values())))


@pytest.mark.parametrize("made", [update_bundle(), VOID])
def test_a_whole_number_may_have_a_point(made: Json) -> None:
    """Version 2.0 is 2; 2.5 is none."""
    assert notified(with_parameter(made, "version", valueDecimal=2.0)).version == 2
    found = read(with_parameter(made, "version", valueDecimal=2.5))
    assert isinstance(found, Refusal)
    assert found.rule == "version-missing"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (r"lost \ud83d here", "lost � here"),
        (r"whole \ud83d\ude00 here", "whole \U0001f600 here"),
        (r"\ude00\ud83d", "��"),
        (r"\\ud83d \ud83d", "\\ud83d �"),
    ],
)
def test_half_a_character_loses_no_death(written: str, told: str) -> None:
    """JSON with a lone surrogate is read with U+FFFD in its place, marked."""
    body = json.dumps(notification_bundle(answers={"death.circumstances": "@@"}))
    found = notified(body.replace("@@", written).encode())
    assert value(found, "death.circumstances") == told
    assert ("surrogates:message" in found.marks) is ("�" in told)


@pytest.mark.parametrize(
    "meta",
    [
        "R",
        7,
        [{"security": [{"code": "R"}]}],
        {"security": {"code": "R"}},
        {"security": "R"},
        {"security": ["R"]},
        {"security": [{"code": ["R"]}]},
        {"security": [{"coding": [{"code": "R"}]}]},
        {"security": [{"display": "restricted"}]},
        {"security": [{"code": "N"}, {"code": "v"}]},
    ],
)
@pytest.mark.parametrize("where", ["Bundle", "Patient", "sibling", "contained", "form"])
def test_a_label_that_cannot_be_read_restricts(where: str, meta: object) -> None:
    """Anywhere: of the Bundle, of any Patient, also a contained one, of a form."""
    made = notification_bundle()
    if where == "sibling":
        made["entry"].append({"resource": {"resourceType": "Patient", "meta": meta}})
    elif where == "contained":
        inner = {"resourceType": "Patient", "id": "x", "meta": meta}
        resource(made, "QuestionnaireResponse")["contained"] = [inner]
    else:
        kind = {"form": "QuestionnaireResponse"}.get(where, where)
        (made if where == "Bundle" else resource(made, kind))["meta"] = meta
    found = notified(made)
    assert "location-shielded" in found.marks
    assert value(found, "child.address") is None
    assert found.claim.postcode is None


@pytest.mark.parametrize("meta", [None, {}, {"security": []}, {"security": [{"code": "N"}]}])
def test_an_unrestricted_child_keeps_its_places(meta: object) -> None:
    """No label, or another one."""
    made = notification_bundle()
    resource(made, "Patient")["meta"] = meta
    found = notified(made)
    assert "location-shielded" not in found.marks
    assert value(found, "child.address") == CHILD.address


def test_of_a_void_no_form_is_read() -> None:
    """Nor whom it names: it goes by its reference alone."""
    made = copy.deepcopy(VOID)
    made["entry"].append({"resource": form({"reference": "Patient/no"}, "child.address", "Here")})
    made["entry"].append({"resource": {**LILY, "address": [{"text": "Here"}]}})
    found = notified(made)
    assert (found.kind, found.facts, found.form) == (DeathMessageKind.VOIDED, (), "")
    assert found.claim.family is None


@pytest.mark.parametrize(
    ("effective", "sent", "at", "mark"),
    [
        (RECEIVED - timedelta(hours=5), None, RECEIVED - timedelta(hours=5), None),
        (datetime(2062, 3, 1, tzinfo=UTC), None, bundles.AT, "effective-implausible"),
        (datetime(1970, 1, 1, tzinfo=UTC), None, bundles.AT, "effective-implausible"),
        (datetime(2062, 3, 1, tzinfo=UTC), "2062-03-01T00:00:00Z", None, "effective-implausible"),
    ],
)
def test_what_pds_says_of_the_future_does_not_silence_what_follows(
    effective: datetime, sent: str | None, at: datetime | None, mark: str | None
) -> None:
    """The latest is the truth: a time that cannot be is left out, for the message's own."""
    made = bundles.pds_death(child=CHILD, status="1", effective=effective)
    if sent:
        made["timestamp"] = sent
    found = notified(made)
    assert found.effective_at == at
    assert [one for one in found.marks if one.startswith("effective-implausible")] == (
        [f"{mark}:Parameters.parameter"] if mark else []
    )


def test_a_patients_identifiers_are_read_once_and_not_once_a_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A small body of many forms and identifiers would cost their product."""
    read_of: list[int] = []

    def counting(person: Json) -> Identifiers:
        read_of.append(len(person.get("identifier", ())))
        return identifiers(person)

    monkeypatch.setattr(death_subjects, "identifiers", counting)
    several = [{"system": "urn:x", "value": f"{number:06}"} for number in range(700)]
    logical = {"identifier": {"system": "urn:x", "value": "000699"}}
    forms = [form(logical, "death.circumstances", "A") for _ in range(90)]
    child = {**LILY, "identifier": several}
    found = read(message(child, *forms))
    assert isinstance(found, DeathMessage)
    assert found.patient is not None
    assert found.patient.content == child
    assert read_of.count(700) <= 2


def test_a_filled_form_may_be_large_and_an_attendance_may_not() -> None:
    """A request's own answers come back with their provenance: more than 5,000 elements."""
    made = notification_bundle(answers={f"new.{number}": "x" for number in range(1_500)})
    body = json.dumps(made).encode()
    assert isinstance(read_message(body), DeathMessage)
    refused = read_message(body, Limits(form_elements=5_000))
    assert isinstance(refused, Refusal)
    assert refused.rule == "too-many-elements"
    resource(made, "MessageHeader")["eventCoding"]["system"] = "urn:halyard:fhir:visit-event"
    refused = read_message(json.dumps(made).encode())
    assert isinstance(refused, Refusal)
    assert refused.rule == "too-many-elements"


def test_twins_are_two_notifications() -> None:
    """As ever."""
    assert event(notification_bundle("N-2", child=TWIN)).claim.given == TWIN.given
