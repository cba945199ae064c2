"""No NHS number reaches whoever may not have it, and everybody finds what is their own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fhir import letters
from connectors.fhir.case_projection import case_bundle
from connectors.fhir.messages import Limits
from connectors.fhir.writing import MAX_PREFILLED, WITHHELD
from schemas.deaths import CaseState, Fact, RequestLink, RequestState, TrackingNumber
from tests.unit.fhir.letter_inputs import (
    AT,
    CASE,
    CONTENT,
    FACTS,
    HOSPITAL,
    INDICATED,
    NUMBER,
    REQUESTED,
)
from tests.unit.fhir.test_letters import LETTER, by_type, has_number, leaves, read

OTHER = "9990000026"


def known(**said: str) -> Any:
    """A request that knows this of the child."""
    facts = [replace(FACTS[0], fact=Fact(f"child.{name}", value=said[name])) for name in said]
    return replace(REQUESTED, known=tuple(facts))


def to_a_school(requested: Any, *numbers: str) -> dict[str, Any]:
    """What somebody outside health and social care gets."""
    return read(
        letters.report_request(letter_id=LETTER, at=AT, requested=requested, numbers=numbers)
    )


def digits(bundle: dict[str, Any]) -> str:
    """All digits of the texts and names of the Patient and the form."""
    said = [*leaves(by_type(bundle, "Patient"), "family"), *leaves(bundle, "valueString")]
    said += [
        one
        for name in by_type(bundle, "Patient")[0].get("name", [])
        for one in name.get("given", [])
    ]
    return "".join(one for one in "".join(said) if one.isdigit())


@pytest.mark.parametrize("given_names", ["999 000 0018", "Robin 999 000 0018", "9990 000018 Sky"])
def test_a_number_among_given_names_is_not_told(given_names: str) -> None:
    """Names are cleaned before they are taken apart; what else stands there is told."""
    bundle = to_a_school(known(family="Testfield", given=given_names))
    assert NUMBER not in digits(bundle)
    (patient,) = by_type(bundle, "Patient")
    assert WITHHELD in patient["name"][0]["given"]
    assert ("Robin" in patient["name"][0]["given"]) is ("Robin" in given_names)


def test_a_number_over_two_names_is_not_told() -> None:
    """Half of it as the family name, half as the given one, either way round."""
    for family, first in (("999000", "0018"), ("0018", "999000")):
        assert not by_type(to_a_school(known(family=family, given=first)), "Patient")[0].get("name")


@given(
    marks=st.lists(
        st.text("  ,:;·−+|()[]/._-\u200b\u200d\u2060\u00ad\ufeff\u2003\u0301#*'", max_size=6),
        min_size=9,
        max_size=9,
    )
)
def test_a_number_is_found_whatever_stands_between_its_digits(marks: list[str]) -> None:
    """Signs, spaces and what is not seen at all."""
    text = NUMBER[0] + "".join(map("".join, zip(marks, NUMBER[1:], strict=True)))
    bundle = to_a_school(replace(known(family=f"see {text} ok"), agency_name=text))
    assert NUMBER not in digits(bundle)
    assert by_type(bundle, "Task")[0]["owner"]["display"] == WITHHELD


@pytest.mark.parametrize(
    "text", ["999x000x0018", "19990000018", "no. 999 then 000, and 0018", "⁹99⁰⁰0⁰018"]
)
def test_the_childs_own_numbers_are_found_however_they_are_hidden(text: str) -> None:
    """Verified or only claimed, in groups with words between or within a longer number."""
    assert NUMBER not in digits(to_a_school(known(family=text), OTHER, NUMBER))
    claimed = NUMBER[:9] + "3"  # not valid, so no other rule finds it
    hidden = text.replace("18", "13")
    assert claimed not in digits(to_a_school(known(family=hidden), claimed))


def test_whoever_may_have_the_number_reads_texts_as_they_are() -> None:
    """Nothing is taken out for health and social care."""
    body = letters.report_request(
        letter_id=LETTER, at=AT, requested=known(family=NUMBER), with_number=True, numbers=(NUMBER,)
    )
    assert by_type(read(body), "Patient")[0]["name"][0]["family"] == NUMBER


@pytest.mark.parametrize("local", [NUMBER, "999 000 0018", "A\x00B"])
def test_a_prompt_tells_the_hospital_its_own_id_whatever_it_looks_like(local: str) -> None:
    """It sent it itself; without it nobody would be named."""
    notified = replace(INDICATED, claim=replace(INDICATED.claim, local_id=local))
    body = letters.prompt(letter_id=LETTER, at=AT, organisation=HOSPITAL, notified=notified)
    (patient,) = by_type(read(body), "Patient")
    assert [one["value"] for one in patient["identifier"]] == [local.replace("\x00", " ")]


def test_a_prompt_without_the_hospitals_id_names_the_number_that_it_sent() -> None:
    """Not verified, but its own; nothing else would tell who is meant. Of another hospital's
    message nothing is told.
    """
    notified = replace(INDICATED, claim=replace(INDICATED.claim, local_id=None))
    for organisation, told in ((HOSPITAL, [NUMBER]), ("RXX02", [])):
        body = letters.prompt(letter_id=LETTER, at=AT, organisation=organisation, notified=notified)
        (patient,) = by_type(read(body), "Patient")
        assert [one["value"] for one in patient.get("identifier", [])] == told


def test_a_void_is_found_by_references_that_look_like_a_number_and_calls_nobody_dead() -> None:
    """Its own reference and tracking number as the receiver wrote them, its requests, the cases
    that went into it; and no word of a death that may not have been one.
    """
    link = replace(CONTENT.notifications[0], reference=NUMBER)
    asked = RequestLink(REQUESTED.request_id, HOSPITAL, "hospital", RequestState.CANCELLED, AT)
    content = replace(
        CONTENT,
        facts=(),
        nhs_number=None,
        notifications=(link,),
        requests=(asked,),
        tracking=(),
        absorbed=(REQUESTED.event_id,),
    )
    before = replace(content, tracking=(TrackingNumber("local", OTHER, HOSPITAL),))
    body = letters.case_voided(
        letter_id=LETTER,
        at=AT,
        organisation=HOSPITAL,
        case=replace(CASE, content=content),
        tracked=before.tracking,
    )
    (task,) = by_type(read(body), "Task")
    assert {one["value"] for one in task["identifier"]} == {
        NUMBER,
        OTHER,
        str(REQUESTED.request_id),
        str(REQUESTED.event_id),
    }
    (patient,) = by_type(read(body), "Patient")
    assert not [name for name in patient if name.startswith("deceased")]


def test_a_tombstone_is_projected_without_a_death() -> None:
    """A case that stands is of somebody who died; a void one says so of nobody."""
    for state, dead in ((CaseState.OPEN, True), (CaseState.VOIDED, False)):
        bundle = case_bundle(replace(CASE, content=replace(CONTENT, state=state)))
        (patient,) = by_type(bundle, "Patient")
        assert bool([name for name in patient if name.startswith("deceased")]) is dead


def test_a_pre_filled_form_can_be_sent_back() -> None:
    """However much is known, what the hub writes leaves room for as much again in one message."""
    facts = tuple(
        replace(FACTS[0], fact=Fact(f"child.alias.{number}", value="x"))
        for number in range(MAX_PREFILLED * 2)
    )
    body = letters.report_request(
        letter_id=LETTER, at=AT, requested=replace(REQUESTED, known=facts), with_number=True
    )
    (form,) = by_type(read(body), "QuestionnaireResponse")
    assert len(form["item"]) == MAX_PREFILLED
    assert _elements(form) < Limits().elements / 2


def _elements(node: Any) -> int:
    if not isinstance(node, dict | list):
        return 0
    inner = node.values() if isinstance(node, dict) else node
    return len(node) + sum(_elements(one) for one in inner)


def test_no_text_of_a_letter_holds_a_number_that_was_grouped_oddly() -> None:
    """The check of the other letter tests finds one in plain sight, too."""
    assert has_number(json.loads(json.dumps({"text": NUMBER})))
