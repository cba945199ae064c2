"""Answers of forms: whose they are, in which row, and that none takes a wrong meaning."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from connectors.fhir.death_events import ABSENT
from connectors.fhir.fitting import fitted
from connectors.fhir.forms import read_forms
from connectors.fhir.resources import Placed
from connectors.fhir.writing import Pen
from sandbox.deaths import bundles
from schemas.codec import encode
from schemas.death_fields import UNLISTED
from schemas.deaths import CaseFact, Fact, ReportKind
from tests.support.deaths import CHILD, notification_bundle
from tests.unit.fhir.bundles import FEED
from tests.unit.fhir.death_reading import (
    RECEIVED,
    Json,
    notified,
    resource,
    submitted,
    value,
)


def item(name: str, **said: Any) -> Json:
    """An item with one answer."""
    return {"linkId": name, "answer": [said]}


def row(group: str, *items: Json, **more: Any) -> Json:
    """A row of a group."""
    return {"linkId": group, "item": list(items), **more}


def read(*items: Json, organisation: str = FEED.organisation) -> tuple[dict[str, str], list[str]]:
    """What a form of these items says, by name and row, and its marks."""
    marks: list[str] = []
    content = {"resourceType": "QuestionnaireResponse", "item": list(items)}
    facts = read_forms([Placed("Form", "", content)], marks, organisation)
    return {f"{one.name}/{one.row}": one.value or f"({one.absent})" for one in facts}, marks


def name(one: str) -> Json:
    """A professional's name."""
    return item("professional.name", valueString=one)


def role(one: str) -> Json:
    """A professional's role."""
    return item("professional.role", valueCoding={"code": one})


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (
            (name("Loose"), row("professional", name("Grouped"), role("midwife"))),
            {"name/1": "Grouped", "role/1": "midwife", "name/2": "Loose"},
        ),
        (
            (name("A"), name("B"), role("midwife")),
            {"name/1": "A", "name/2": "B", "role/3": "midwife"},
        ),
        (
            (name("A"), role("midwife"), name("B"), role("school")),
            {"name/1": "A", "role/1": "midwife", "name/2": "B", "role/2": "school"},
        ),
        (
            (name("A"), name("B"), role("midwife"), role("school")),
            {"name/1": "A", "role/1": "midwife", "name/2": "B", "role/2": "school"},
        ),
        (
            (
                {"linkId": "section-1", "item": [name("A")]},
                {"linkId": "section-2", "item": [role("midwife")]},
            ),
            {"name/1": "A", "role/2": "midwife"},
        ),
        (
            (row("professional", name("A")), name("L"), row("professional", name("B"))),
            {"name/1": "A", "name/2": "B", "name/3": "L"},
        ),
    ],
)
def test_a_loose_answer_never_joins_another_row(
    items: tuple[Json, ...], told: dict[str, str]
) -> None:
    """Rows of groups come first; what stands alone is told alone, and nobody is lost."""
    found, marks = read(*items)
    assert found == {f"professional.{where}": said for where, said in told.items()}
    assert marks == []


def said_by(organisation: str) -> list[Json]:
    """The extensions that a pre-filled answer has."""
    who = {"system": "urn:halyard:fhir:organisation", "value": organisation}
    return [
        {"url": "urn:halyard:fhir:said-by", "valueIdentifier": who},
        {"url": "urn:halyard:fhir:event", "valueUri": f"urn:uuid:{uuid.uuid4()}"},
    ]


def test_what_another_organisation_said_is_not_the_senders() -> None:
    """A pre-filled form that comes back adds the sender's own alone, marked."""
    theirs, mine = said_by("OTHER"), said_by(FEED.organisation)
    nobody = said_by("x")[1:]
    inner = {**name("Theirs"), "extension": theirs}
    found, marks = read(
        {**item("death.circumstances", valueString="Theirs"), "extension": theirs},
        {**item("death.cause-1a", valueString="Nobody's"), "extension": nobody},
        {**item("death.cause-1b", valueString="Mine"), "extension": mine},
        item("report.summary", valueString="Mine"),
        row("professional", inner),
        row("professional", name("Mine")),
    )
    assert found == {
        "death.cause-1b/0": "Mine",
        "report.summary/0": "Mine",
        "professional.name/1": "Mine",
    }
    assert sorted(marks) == [
        "answer-echoed:death.cause-1a",
        "answer-echoed:death.circumstances",
        "answer-echoed:professional.name",
    ]


def test_the_hubs_own_form_sent_back_says_nothing() -> None:
    """As it is written into a report request."""
    facts = [
        CaseFact(Fact(name, one, "x"), "OTHER", uuid.uuid4(), RECEIVED)
        for name, one in (("death.circumstances", 0), ("professional.name", 1))
    ]
    found, marks = read(*Pen(uuid.uuid4(), with_number=True).answers(facts))
    assert (found, len(marks)) == ({}, 2)


MASS, LENGTH, BORN = "report.weight-kg", "report.height-cm", "child.birth-weight-grams"
UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("field", "said", "told"),
    [
        (MASS, {"valueQuantity": {"value": 3.2, "unit": "kg"}}, "3.2"),
        (MASS, {"valueQuantity": {"value": 3200, "unit": "g"}}, "3.2"),
        (MASS, {"valueQuantity": {"value": 3200, "system": UCUM, "code": "g"}}, "3.2"),
        (MASS, {"valueQuantity": {"value": 3200, "unit": "grams", "code": "g"}}, "3.2"),
        (MASS, {"valueQuantity": {"value": 3.2}}, "3.2"),
        (MASS, {"valueString": "3200 g"}, "3.2"),
        (MASS, {"valueString": "3.2"}, "3.2"),
        (LENGTH, {"valueQuantity": {"value": 1.05, "unit": "m"}}, "105"),
        (LENGTH, {"valueQuantity": {"value": 1050, "unit": "mm"}}, "105"),
        (BORN, {"valueQuantity": {"value": 3.2, "unit": "kg"}}, "3200"),
        (BORN, {"valueQuantity": {"value": 3200.0, "unit": "g"}}, "3200"),
        (BORN, {"valueDecimal": 3200.0}, "3200"),
        ("child.gestation-weeks", {"valueQuantity": {"value": 39, "unit": "weeks"}}, "39"),
        ("report.maternal-bmi", {"valueQuantity": {"value": 27.5, "unit": "kg/m2"}}, "27.5"),
        (MASS, {"valueQuantity": {"value": 7, "unit": "lb"}}, None),
        (MASS, {"valueQuantity": {"value": 7, "unit": "kg", "code": "g"}}, None),
        (MASS, {"valueQuantity": {"value": 7, "unit": "kg", "comparator": "<"}}, None),
        (MASS, {"valueQuantity": {"value": 7, "unit": "cm"}}, None),
        (LENGTH, {"valueString": "3 ft 2"}, None),
        (LENGTH, {"valueString": "< 60 cm"}, None),
        (BORN, {"valueQuantity": {"value": 3200.5, "unit": "g"}}, None),
        ("report.parity", {"valueQuantity": {"value": 2, "unit": "kg"}}, None),
        ("report.parity", {"valueCoding": {"code": "2", "display": "Two or more"}}, None),
        ("death.expected", {"valueCoding": {"code": "Y", "display": "Yet to be seen"}}, None),
        ("death.expected", {"valueCoding": {"code": "Y"}}, "true"),
        ("death.expected", {"valueCoding": {"code": "373066001", "display": "Yes"}}, "true"),
    ],
)
def test_an_answer_has_its_fields_unit_and_meaning_or_is_unlisted(
    field: str, said: Json, told: str | None
) -> None:
    """Known units are converted; what else there is, is kept as it was written, marked."""
    found, marks = read(item(field, **said))
    if told is not None:
        assert (found, marks) == ({f"{field}/0": told}, [])
        return
    assert list(found) == [f"{UNLISTED}.{field}/0"]
    assert len(marks) == 1
    assert marks[0].endswith(f"-invalid:{field}")


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("report.parity", {"valueCoding": {"code": "9", "display": "Not known"}}, "unknown"),
        ("death.expected", {"valueCoding": {"code": "N", "display": "Not known"}}, "unknown"),
        ("death.expected", {"valueCoding": {"code": "9", "display": "N/A"}}, "not-applicable"),
        ("death.place", {"valueCoding": {"code": "99", "display": "Not known"}}, "unknown"),
        ("death.place", {"valueCoding": {"code": "home", "display": "Not known"}}, "unknown"),
        ("death.country", {"valueCoding": {"code": "99", "display": "Not Known"}}, "unknown"),
        ("death.place", {"valueCodeableConcept": {"text": "Not asked"}}, "not-asked"),
    ],
)
def test_not_known_in_words_is_no_code(field: str, said: Json, why: str) -> None:
    """Whatever number stands beside the words."""
    assert read(item(field, **said)) == ({f"{field}/0": f"({why})"}, [])


def test_unknown_that_a_field_lists_is_its_code() -> None:
    """Sex has it among its codes."""
    found, _ = read(item("child.sex", valueCoding={"code": "unknown", "display": "Unknown"}))
    assert found == {"child.sex/0": "unknown"}


ATTACHED = {"valueAttachment": {"contentType": "application/pdf", "data": "AAAA"}}
NAMED = {"valueReference": {"identifier": {"system": "urn:ods", "value": "RXX01"}}}


@pytest.mark.parametrize(
    ("items", "told", "marks"),
    [
        (
            (item("death.circumstances", **ATTACHED),),
            {},
            ["answer-unread:death.circumstances"],
        ),
        (
            (item("death.circumstances", valueAttachment={"title": "See letter", "url": "x"}),),
            {"death.circumstances/0": "See letter"},
            ["answer-unread:death.circumstances"],
        ),
        ((item("next.question", **ATTACHED),), {}, ["answer-unread:Form.item[0]"]),
        (
            (row("professional", item("professional.organisation-code", **NAMED)),),
            {"professional.organisation-code/1": "RXX01"},
            [],
        ),
        (
            (item("professional.organisation", **NAMED),),
            {"professional.organisation/1": "RXX01"},
            [],
        ),
        (
            (row("professional", answer=[{"valueString": "Dr A", "item": [role("midwife")]}]),),
            {f"{UNLISTED}.professional/1": "Dr A", "professional.role/1": "midwife"},
            ["link-unknown:Form.item[0]"],
        ),
        (
            (row("professional", name("A"), answer=[ATTACHED]),),
            {"professional.name/1": "A"},
            ["answer-unread:Form.item[0]"],
        ),
        ((item("death.expected", **ATTACHED),), {}, ["answer-unread:death.expected"]),
    ],
)
def test_no_answer_vanishes_without_a_mark(
    items: tuple[Json, ...], told: dict[str, str], marks: list[str]
) -> None:
    """What cannot be read is marked; what stands at a group's own item is read."""
    assert read(*items) == (told, marks)


def test_why_there_is_no_answer_is_no_unread_one() -> None:
    """Nor a blank."""
    found, marks = read(
        item("death.time", valueCoding={"system": ABSENT, "code": "unknown"}),
        {"linkId": "death.expected", "answer": [{}]},
        {"linkId": "death.place"},
    )
    assert (found, marks) == ({"death.time/0": "(unknown)"}, [])


def test_a_form_entered_in_error_says_nothing() -> None:
    """Neither of a notification nor of a report, which is then no full answer."""
    made = notification_bundle()
    resource(made, "QuestionnaireResponse")["status"] = "entered-in-error"
    found = notified(made)
    assert value(found, "death.circumstances") is None
    assert value(found, "child.family") == CHILD.family
    assert "form-in-error:QuestionnaireResponse.status" in found.marks
    said = bundles.report(reference="R", child=CHILD, answers={"report.summary": "Wrong"})
    resource(said, "QuestionnaireResponse")["status"] = "entered-in-error"
    report = submitted(said)
    assert value(report, "report.summary") is None
    assert report.kind is ReportKind.PARTIAL
    assert "form-in-error:QuestionnaireResponse.status" in report.marks


@pytest.mark.parametrize("limit", [1_300_000, 900_000, 640_000])
def test_an_event_that_is_too_large_keeps_the_bytes_and_shortens_the_facts(limit: int) -> None:
    """Cut and marked; the sender's message stays whole."""
    made = notification_bundle(answers={f"new.{number}": "x" * 15_000 for number in range(40)})
    event = notified(made)
    assert len(encode(event)) > 1_200_000
    small = fitted(event, limit)
    assert len(encode(small)) <= limit
    assert small.message == event.message
    if limit < 1_200_000:
        assert any(mark.startswith(("text-cut:", "facts-cut:")) for mark in small.marks)
        assert len(small.marks) <= 100
    else:
        assert small == event
    assert fitted(event, 100_000).message == event.message
