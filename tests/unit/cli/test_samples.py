"""The product's own samples and how their times are filled in."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.er7 import Message
from sandbox.samples.cast import CAST
from sandbox.samples.render import FLAGS, MORNING, messages, render

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


def test_times_are_local_and_relative() -> None:
    """In July the clock of a hospital is an hour ahead of UTC."""
    assert render("{t-30m} {t+1h} {d-1} {run}", NOW, "r1") == (
        "20260701093000 20260701110000 2026-06-30 r1"
    )


def test_morning_has_twenty_three_messages_of_which_three_matter() -> None:
    """Three people with a plan and twenty others; one of the three comes without NHS number."""
    bodies = messages(render(MORNING.read_text(), NOW, "r1"))
    parsed = [Message.parse(body) for body in bodies]
    numbers = [re.findall(rb"\|(\d{10})\^\^\^NHS", body) for body in bodies]
    with_plan = {CAST.robin.nhs_number, CAST.mother.nhs_number}
    assert len(parsed) == 23
    assert sum(found[0].decode() in with_plan for found in numbers if found) == 2
    assert [index for index, found in enumerate(numbers) if not found] == [14]
    assert b"{" not in b"".join(bodies)


def test_flag_file_holds_the_cases_it_promises() -> None:
    """A child protection plan, a looked after child, an unborn plan, and the hard ones."""
    text = FLAGS.read_text()
    for person in (CAST.robin, CAST.looked_after, CAST.mother, CAST.restricted):
        assert person.nhs_number in text
    for person in (CAST.superseded_old, CAST.nobody, CAST.invalidated):
        assert person.nhs_number in text
    assert '"UCPP"' in text


@given(st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_without_places_is_left_alone(text: str) -> None:
    """Only the documented places are filled in."""
    assert render(text, NOW, "r1") == text
