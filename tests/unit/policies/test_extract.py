"""Rows of an extract, and counts that single nobody out."""

from __future__ import annotations

import csv
import io
import uuid
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import extract
from policies.fields import holds_number, tells_place
from policies.ruling import Flow
from schemas.death_fields import catalogue
from schemas.deaths import CaseContent, CaseFact, Fact
from stores.sectors import Sector
from tests.support import ncmd_cases


def content(*facts: tuple[str, str], conflicts: tuple[str, ...] = ()) -> CaseContent:
    """A case of which this is said."""
    said = tuple(
        CaseFact(Fact(name, value=value), "RXX01", uuid.UUID(int=1), ncmd_cases.START)
        for name, value in facts
    )
    return replace(ncmd_cases.content(1, 1), facts=said, conflicts=conflicts)


def test_an_extract_can_hold_no_text_name_day_place_or_number() -> None:
    """Whatever a policy grants, none of these is among the fields that an extract has."""
    for name in extract.FIELDS:
        assert not holds_number(name)
        assert not tells_place(Flow.EXTRACT, Sector.RESEARCH, name)
        known = catalogue().get(name)
        assert known is None or known.type in ("code", "boolean", "integer", "decimal")
    assert "child.family" not in extract.FIELDS
    assert "child.birth-date" not in extract.FIELDS


def test_a_case_becomes_coded_values() -> None:
    """An age band and a quarter instead of days; facts that are codes as they are."""
    row = extract.row(
        content(
            ("child.birth-date", "2019-05-04"),
            ("death.date", "2026-03-01"),
            ("child.sex", "female"),
            ("child.family", "Sample"),
            ("child.postcode", "ZZ1 1ZZ"),
            ("event.kind", "drowning"),
            ("event.kind", "other"),
        )
    )
    assert row == {
        "age_band": "5-9 years",
        "died_quarter": "2026-Q1",
        "died_year": "2026",
        "eligibility": "IN_SCOPE",
        "flag_history": "NEVER",
        "child.sex": "female",
        "event.kind": "drowning;other",
    }


def test_what_organisations_differ_about_is_left_empty() -> None:
    """A disputed value is not told as one, whether the case lists it or it is said twice."""
    disputed = content(("child.sex", "female"), conflicts=("child.sex",))
    assert "child.sex" not in extract.row(disputed)
    twice = content(("child.sex", "female"), ("child.sex", "male"))
    assert "child.sex" not in extract.row(twice)


@pytest.mark.parametrize(
    ("born", "died", "band"),
    [
        ("2026-03-01", "2026-03-01", "0-27 days"),
        ("2026-03-01", "2026-03-28", "0-27 days"),
        ("2026-03-01", "2026-03-29", "28-364 days"),
        ("2024-02-29", "2025-02-28", "28-364 days"),
        ("2024-02-29", "2025-03-01", "1-4 years"),
        ("2021-03-01", "2026-02-28", "1-4 years"),
        ("2021-03-01", "2026-03-01", "5-9 years"),
        ("2008-03-02", "2026-03-01", "15-17 years"),
        ("2008-03-01", "2026-03-01", None),
        ("2026-03-02", "2026-03-01", None),
        ("2026-03", "2026-03-01", None),
        (None, "2026-03-01", None),
        ("2026-02-30", "2026-03-01", None),
    ],
)
def test_the_age_at_death_is_a_band(born: str | None, died: str, band: str | None) -> None:
    """Completed years; nothing where a day is not known or the dates cannot be."""
    assert extract.age_band(born, died) == band


def test_two_releases_cannot_be_linked() -> None:
    """The pseudonym of a case is another in each release, and not the hub's id."""
    case = uuid.UUID(int=7)
    one, other = extract.pseudonym(b"a" * 32, case), extract.pseudonym(b"b" * 32, case)
    assert one != other
    assert case.hex not in (one, other)
    assert extract.pseudonym(b"a" * 32, case) == one


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 12)), st.integers(1, 10))
def test_a_small_count_cannot_be_worked_out(counts: dict[str, int], threshold: int) -> None:
    """No count below the threshold is told, and what is hidden together is one at least, or it is
    everything: the total does not give a single one away."""
    hidden = extract.suppressed(counts, threshold)
    assert all(amount >= threshold for value, amount in counts.items() if value not in hidden)
    if hidden and hidden != set(counts):
        assert len(hidden) > 1
        assert sum(counts[one] for one in hidden) >= threshold


def test_the_summary_hides_small_numbers() -> None:
    """Counts of each value, `*` for those that could single somebody out."""
    rows = [{"child.sex": "female"}] * 7 + [{"child.sex": "male"}] * 6 + [{}] * 2
    told = list(csv.reader(io.StringIO(extract.summary(rows, ["child.sex"], 5).decode())))
    assert told == [
        ["field", "value", "cases"],
        ["", "all", "15"],
        ["child.sex", "not known", "*"],
        ["child.sex", "female", "7"],
        ["child.sex", "male", "*"],
    ]


def test_a_small_extract_has_no_counts_at_all() -> None:
    """If the whole is below the threshold nothing of it is counted."""
    told = extract.summary([{"child.sex": "female"}] * 2, ["child.sex"], 5).decode()
    assert Counter(line[-1] for line in told.splitlines()[1:]) == Counter({"*": 2})


def test_a_table_is_in_the_order_of_its_pseudonyms_and_safe_to_open() -> None:
    """The order says nothing of the cases, and no cell is a formula."""
    table = extract.table({"b": {"x": "=1+1"}, "a": {"x": "y", "z": "n"}}, ["x"]).decode()
    assert table == "case,x\r\na,y\r\nb,'=1+1\r\n"
