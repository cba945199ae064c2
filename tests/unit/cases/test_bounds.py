"""A case fits into a record, however much is said about it."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.deaths import CaseChange, CaseChanged, CaseFact, Fact
from streams.cases.bounds import CUT, MAX_FACTS_BYTES, SHORTEST, bounded
from streams.cases.content import TEXT_CUT, assemble, same
from streams.cases.model import Family
from streams.cases.provenance import MAX_TRACKING, MAX_TRACKING_TEXT, tracking
from tests.support.case_facts import CHILD, notification, panel

NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)
RECORD = 1_500_000
PANELS = {"north": panel("north", "E06000001")}


def _said(name: str, value: str, row: int = 0) -> CaseFact:
    return CaseFact(Fact(name, row, value), "RXX01", uuid.UUID(int=1), NOW, "urn:form|1")


def _size(facts: tuple[CaseFact, ...]) -> int:
    return sum(len((one.fact.value or "").encode()) for one in facts)


def test_what_fits_is_left_as_it_is() -> None:
    """No fact is touched, and nothing is said to be cut."""
    facts = tuple(_said(f"unlisted.{number}", "x" * 1_000) for number in range(100))
    assert bounded(facts) == (facts, False)


def test_the_longest_texts_are_cut_and_every_statement_stands() -> None:
    """Short answers keep their words; the long ones share what is left, in whole characters."""
    long = tuple(_said(f"unlisted.{number}", "é" * 20_000) for number in range(80))
    facts = (_said("child.family", "Aber"), *long, _said("death.date", "2026-06-30"))
    kept, cut = bounded(facts)
    assert cut
    assert [one.fact.name for one in kept] == [one.fact.name for one in facts]
    assert (kept[0], kept[-1]) == (facts[0], facts[-1])
    assert all((one.fact.value or "").endswith("é" + CUT) for one in kept[1:-1])
    assert MAX_FACTS_BYTES * 0.9 < _size(kept) <= MAX_FACTS_BYTES


def test_too_many_statements_are_left_out_from_the_end() -> None:
    """What leads is kept."""
    facts = tuple(_said("unlisted", "x" * 900, number) for number in range(5_000))
    kept, cut = bounded(facts)
    assert cut
    assert kept
    assert [one.fact.row for one in kept] == list(range(len(kept)))
    assert {len(one.fact.value or "") for one in kept} == {SHORTEST}


@given(st.lists(st.text(max_size=300), max_size=40), st.integers(500, 20_000))
def test_no_facts_are_over_the_limit(texts: list[str], limit: int) -> None:
    """What is kept fits, is a beginning of what was said, and says if it was cut."""
    facts = tuple(_said("unlisted", text, number) for number, text in enumerate(texts))
    kept, cut = bounded(facts, limit=limit)
    assert _size(kept) <= limit
    assert cut == (kept != facts)
    for one, other in zip(kept, facts, strict=False):
        assert (other.fact.value or "").startswith((one.fact.value or "").removesuffix(CUT))


def test_a_case_that_outgrows_a_record_is_cut_and_says_so() -> None:
    """80 answers of 20,000 characters, and a hundred tracking numbers as long: one event of both is
    within a record, a person is told to read the message, and assembling it again is the same.
    """
    told = CHILD | {f"unlisted.{number}": "x" * 20_000 for number in range(80)}
    long = tuple(Fact("tracking.value", row, f"{row}" + "9" * 19_000) for row in range(1, 100))
    note = notification(told=told, rows=long)
    held = Family(note.case_id, (note,))
    content = assemble(held, panels=PANELS, today=date(2026, 3, 2))
    assert TEXT_CUT in content.needs
    event = CaseChanged(
        event_id=uuid.UUID(int=1),
        case_id=uuid.UUID(int=2),
        version=1,
        change=CaseChange.OPENED,
        changed_at=NOW,
        rule="new",
        cause=uuid.UUID(int=3),
        content=content,
    )
    assert len(codec.encode(event)) < RECORD - 100_000
    assert same(content, assemble(held, panels=PANELS, today=date(2026, 3, 2)))


def test_what_is_no_tracking_number_is_none() -> None:
    """A text too long for a number stays a fact alone, and there are only so many."""
    facts = [_said("tracking.value", str(number), number) for number in range(1, 400)]
    long = _said("tracking.value", "9" * (MAX_TRACKING_TEXT + 1), 500)
    found = tracking([long, *facts])
    assert len(found) == MAX_TRACKING
    assert found[0].value == "1"
