"""Forms as facts: every type of field, groups, absences, oddities; and whatever else is sent."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir.death_events import ABSENT, DATA_ABSENT
from connectors.fhir.forms import MAX_ROWS, MAX_TEXT, read_forms
from connectors.fhir.resources import Placed
from sandbox.deaths import bundles
from sandbox.deaths.bundles import Absent, Answer, Said
from schemas.death_fields import UNLISTED, catalogue, groups
from schemas.deaths import Fact, FactKind
from tests.support.deaths import CHILD, notification_bundle
from tests.unit.fhir.death_reading import event, fact, notified, value

EXAMPLES: dict[str, Answer] = {
    "text": "Some words",
    "date": "2026-02-28",
    "partial-date": "2026-02",
    "time": "23:59",
    "boolean": True,
    "integer": 39,
    "decimal": 35.25,
    "code": "E06000001",
}
TOLD = {"boolean": "true", "integer": "39", "decimal": "35.25"}


def form(*items: dict[str, Any]) -> tuple[tuple[Fact, ...], list[str]]:
    """The facts of a form with these items, and its marks."""
    marks: list[str] = []
    content = {"resourceType": "QuestionnaireResponse", "item": list(items)}
    return read_forms([Placed("Form", "", content)], marks), marks


def item(name: str, **said: Any) -> dict[str, Any]:
    """An item with one answer."""
    return {"linkId": name, "answer": [said]}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_field_is_read_as_its_type(name: str) -> None:
    """From the FHIR value that a sender of the catalogue uses, without a mark."""
    known = catalogue()[name]
    answer = known.codes[0] if known.codes else EXAMPLES[known.type]
    answers, rows = {name: answer}, {}
    if known.group:
        answers, rows = {}, {known.group: [{name: answer}]}
    message = bundles.notification(reference="N", child=CHILD, answers=answers, rows=rows)
    Bundle.model_validate(message)
    marks: list[str] = []
    (found,) = read_forms([Placed("Form", "", message["entry"][-1]["resource"])], marks)
    assert marks == []
    expected = TOLD.get(known.type, str(answer))
    kind = FactKind.OPINION if known.opinion else FactKind.FACT
    assert found == Fact(name, 1 if known.group else 0, expected, kind=kind)


@pytest.mark.parametrize("code", ["unknown", "not-applicable", "not-asked"])
def test_why_there_is_no_answer_is_a_fact(code: str) -> None:
    """Not known, not applicable and not asked are answers, and differ from a blank."""
    found = notified(notification_bundle(answers={"death.expected": Absent(code)}))
    assert fact(found, "death.expected") == Fact(
        "death.expected", absent=code, kind=FactKind.OPINION
    )
    assert fact(notified(notification_bundle()), "death.cause-2") is None


@pytest.mark.parametrize(
    ("written", "absent", "marks"),
    [
        (item("death.place", valueString="NK"), "unknown", []),
        (item("death.expected", valueString="N/A"), "not-applicable", []),
        (item("death.country", valueString="Unknown"), "unknown", []),
        (
            item("death.place", valueCoding={"system": ABSENT, "code": "lost"}),
            "unknown",
            ["absent-unknown:death.place"],
        ),
        (
            item("death.time", extension=[{"url": DATA_ABSENT, "valueCode": "not-asked"}]),
            "not-asked",
            [],
        ),
        (
            {
                "linkId": "death.time",
                "extension": [{"url": DATA_ABSENT, "valueCode": "asked-unknown"}],
            },
            "unknown",
            [],
        ),
    ],
)
def test_absence_is_read_however_it_is_written(
    written: dict[str, Any], absent: str, marks: list[str]
) -> None:
    """NK and NA as people write them, FHIR's own reasons, the hub's codes."""
    (found,), told = form(written)
    assert (found.absent, found.value, told) == (absent, None, marks)


def test_a_country_and_a_family_may_be_called_na() -> None:
    """Namibia's code, and a name: they are no absence."""
    (country, family), marks = form(
        item("death.country", valueCoding={"code": "NA"}), item("relative.family", valueString="Na")
    )
    assert (country.value, family.value, marks) == ("NA", "Na", [])


def test_opinion_and_as_at_are_said_or_the_fields_own() -> None:
    """A judgement is one unless its sender says otherwise; a day that is none is marked."""
    found = notified(
        notification_bundle(
            answers={
                "death.cause-1a": Said("Sepsis", opinion=False, as_at="2026-02"),
                "death.circumstances": Said("So it seems", opinion=True, as_at="soon"),
            }
        )
    )
    cause, told = fact(found, "death.cause-1a"), fact(found, "death.circumstances")
    assert cause == Fact("death.cause-1a", 0, "Sepsis", None, FactKind.FACT, "2026-02")
    assert told == Fact("death.circumstances", 0, "So it seems", None, FactKind.OPINION)
    assert "as-at-invalid:death.circumstances" in found.marks


@pytest.mark.parametrize(
    ("name", "said", "mark"),
    [
        ("death.date", {"valueString": "31/02/2026"}, "partial-date-invalid"),
        ("referral.date", {"valueDate": "2026-02"}, "date-invalid"),
        ("death.time", {"valueString": "quarter past four"}, "time-invalid"),
        ("death.place", {"valueCoding": {"code": "on-a-boat"}}, "code-unknown"),
        ("death.expected", {"valueString": "perhaps"}, "boolean-invalid"),
        ("child.gestation-weeks", {"valueString": "39+2"}, "integer-invalid"),
        ("report.height-cm", {"valueString": "tall"}, "decimal-invalid"),
    ],
)
def test_what_is_not_of_its_type_is_kept_as_text(
    name: str, said: dict[str, Any], mark: str
) -> None:
    """Marked, without the value; under a name that promises no type."""
    (found,), marks = form(item(name, **said))
    raw = next(iter(said.values()))
    assert found == Fact(f"{UNLISTED}.{name}", 0, raw if isinstance(raw, str) else raw["code"])
    assert marks == [f"{mark}:{name}"]


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("next-years.question", "unlisted.next-years.question"),
        ("4.2.1", "unlisted.4.2.1"),
        ("Was the child 9990000018?", "unlisted"),
        ("9990000018", "unlisted"),
        ("", "unlisted"),
    ],
)
def test_an_item_of_no_field_is_kept_and_its_name_tells_nobody(link: str, kept: str) -> None:
    """Forms change every April; a linkId of the sender's own making could hold anything."""
    (found,), marks = form(item(link, valueString="Something new"))
    assert found == Fact(kept, 0, "Something new")
    assert marks == [f"link-{'unknown' if link else 'missing'}:Form.item[0]"]


def test_rows_of_a_group_stay_together() -> None:
    """In their order; a field outside its group is a row of its own; an odd code keeps its row."""
    rows = {
        "professional": [
            {"role": "midwife", "name": "A"},
            {"role": "wizard", "name": "B"},
            {"name": "C"},
        ]
    }
    answers: dict[str, Answer] = {"tracking.system": "coroner", "tracking.value": "17"}
    found = event(bundles.notification(reference="N", child=CHILD, answers=answers, rows=rows))
    names = [value(found, "professional.name", row) for row in (1, 2, 3)]
    assert names == ["A", "B", "C"]
    assert value(found, "professional.role", 1) == "midwife"
    assert value(found, "professional.role", 2) is None
    assert value(found, f"{UNLISTED}.professional.role", 2) == "wizard"
    assert value(found, "tracking.system", 1) == "coroner"
    assert value(found, "tracking.value", 1) == "17"
    assert found.marks == ("code-unknown:professional.role",)


def test_rows_go_on_from_form_to_form() -> None:
    """A supplementary form beside the main one adds rows, and repeats nothing."""
    one = {"linkId": "event", "item": [item("event.kind", valueCoding={"code": "drowning"})]}
    same = item("report.summary", valueString="First")
    again = item("report.summary", valueString="Second")
    contents = [{"item": [one, same]}, {"item": [one, again]}]
    marks: list[str] = []
    found = read_forms([Placed("Form", "", content) for content in contents], marks)
    assert [(fact.name, fact.row) for fact in found] == [
        ("event.kind", 1),
        ("report.summary", 0),
        ("event.kind", 2),
    ]
    assert marks == ["answer-repeated:report.summary"]


def test_text_and_rows_are_bounded() -> None:
    """Marked where something is cut; the whole stays in the sender's bytes."""
    (long,), marks = form(item("death.circumstances", valueString="x" * (MAX_TEXT + 1)))
    assert len(long.value or "") == MAX_TEXT
    assert marks == ["text-cut:death.circumstances"]
    row = {"linkId": "relative", "item": [item("relative.family", valueString="R")]}
    many, marks = form(*[row] * (MAX_ROWS + 5))
    assert len(many) == MAX_ROWS
    assert set(marks) == {"rows-cut:relative"}


def test_several_answers_to_a_text_are_all_kept() -> None:
    """Of another type the first counts, marked."""
    (words,), marks = form(
        {"linkId": "death.action-taken", "answer": [{"valueString": "A"}, {"valueString": "B"}]}
    )
    assert (words.value, marks) == ("A\nB", [])
    (coded,), marks = form(
        {"linkId": "death.expected", "answer": [{"valueBoolean": True}, {"valueBoolean": False}]}
    )
    assert (coded.value, marks) == ("true", ["several-answers:death.expected"])


def test_items_inside_answers_and_sections_are_read() -> None:
    """A section of no name of its own holds what is in it."""
    section = {
        "linkId": "section-2",
        "item": [
            {
                "linkId": "death.expected",
                "answer": [
                    {"valueBoolean": True, "item": [item("death.time", valueTime="01:02:03")]}
                ],
            }
        ],
    }
    found, marks = form(section)
    assert {one.name: one.value for one in found} == {
        "death.expected": "true",
        "death.time": "01:02",
    }
    assert marks == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_ANSWERS = st.lists(
    st.dictionaries(
        st.sampled_from(["valueString", "valueCoding", "valueDate", "valueBoolean", "item", "x"]),
        _JSON,
        max_size=2,
    )
    | _JSON,
    max_size=3,
)
_ITEMS = st.recursive(
    st.fixed_dictionaries(
        {"linkId": st.sampled_from([*sorted(catalogue()), *groups()]) | _JSON, "answer": _ANSWERS}
    ),
    lambda inner: st.fixed_dictionaries(
        {
            "linkId": st.sampled_from(sorted(groups())) | st.text(),
            "item": st.lists(inner, max_size=4),
        }
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.lists(_ITEMS | _JSON, max_size=6))
def test_whatever_a_form_says_its_facts_are_well_formed(items: list[Any]) -> None:
    """Never an error; each name and row once; typed as the catalogue says; a value or why not."""
    content = {"resourceType": "QuestionnaireResponse", "item": items}
    marks: list[str] = []
    found = read_forms([Placed("Form", "", content)], marks)
    assert len({(one.name, one.row) for one in found}) == len(found)
    for one in found:
        assert (one.value is None) != (one.absent is None)
        if one.name == UNLISTED or one.name.startswith(f"{UNLISTED}."):
            continue
        known = catalogue()[one.name]
        assert (one.row > 0) == (known.group is not None)
        assert one.value is None or not known.codes or one.value in known.codes
        if known.type == "boolean":
            assert one.value in (None, "true", "false")
    assert all(isinstance(mark, str) for mark in marks)


@given(
    st.dictionaries(
        st.sampled_from([one for one, known in catalogue().items() if known.type == "text"]),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=1, max_size=50),
        max_size=5,
    )
)
def test_text_comes_out_as_it_was_written(answers: dict[str, str]) -> None:
    """Whatever script and signs; but for white space around it."""
    message = bundles.notification(reference="N", child=None, answers=dict(answers))
    if not answers:
        return
    form_of = message["entry"][-1]["resource"]
    found = read_forms([Placed("Form", "", form_of)], [])
    assert {one.name: one.value for one in found} == {
        name: told.strip() for name, told in answers.items() if told.strip()
    }
