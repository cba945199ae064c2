"""Partial dates and ages at death."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cases.ages import Ages, PartialDate, age_at_death, comes_of_age, under_18
from streams.identity.evidence import perhaps_child


@pytest.mark.parametrize(
    ("birth", "death", "child"),
    [
        ("2008-02-10", "2026-02-09", True),  # the day before the 18th birthday
        ("2008-02-10", "2026-02-10", False),  # on it
        ("2008-02-29", "2026-02-28", True),
        ("2008-02-29", "2026-03-01", False),  # a common year
        ("2004-02-29", "2022-02-28", True),
        ("2008-02-28", "2026-02-28", False),
        ("2008", "2025", True),  # at most 17 whenever in these years
        ("2008", "2026", None),
        ("2008", "2027", False),
        ("2008-02", "2026-01", True),
        ("2008-02", "2026-02", None),
        ("2008-02", "2026-03", False),
        ("2008-02", "2026-02-29", None),  # no such day
        ("2026-02-10", "2026-02-10", True),
        ("2026-02-11", "2026-02-10", None),  # dead before birth
        ("2026", "2026-02-10", True),
        (None, "2026-02-10", None),
        ("2008-02-10", None, None),
        ("", "", None),
        ("10/02/2008", "2026-02-10", None),
        ("2008-13", "2026-02-10", None),
        ("0000-01-01", "2026-02-10", None),
        ("9999-12-31", "9999-12-31", True),
    ],
)
def test_under_18_is_before_the_eighteenth_birthday(
    birth: str | None, death: str | None, child: bool | None
) -> None:
    """On the birthday nobody is a child; what the dates do not tell is not told."""
    assert under_18(birth, death) is child


@pytest.mark.parametrize(
    ("birth", "death", "expected"),
    [
        ("2026-02-10", "2026-02-10", Ages(0, 0)),
        ("2026-02-10", "2026-02", Ages(0, 18)),
        ("2026-01", "2026-02-10", Ages(10, 40)),
        ("2026-02-10", "2026-02-09", Ages(-1, -1)),
        ("2026", "2026", Ages(0, 364)),
        (None, "2026", None),
    ],
)
def test_ages_are_the_youngest_and_the_oldest_possible(
    birth: str | None, death: str | None, expected: Ages | None
) -> None:
    """Both ends of what partial dates allow; a death before birth is a conflict."""
    found = age_at_death(birth, death)
    assert found == expected
    if found is not None:
        assert found.conflict is (found.oldest_days < 0)


def test_a_time_after_the_day_is_passed_over() -> None:
    """A dateTime is its day as the sender wrote it."""
    assert PartialDate.parse("2026-02-10T23:59:00Z") == PartialDate.parse("2026-02-10")
    assert PartialDate.parse("2026-02T10:00") is None


days = st.dates(date(1950, 1, 1), date(2100, 12, 31))


def partly(day: date, parts: int) -> str:
    """A day as a partial date of so many parts."""
    return day.isoformat()[: {1: 4, 2: 7, 3: 10}[parts]]


@given(days, days, st.integers(1, 3), st.integers(1, 3))
def test_an_answer_on_partial_dates_holds_for_the_days_themselves(
    born: date, died: date, birth_parts: int, death_parts: int
) -> None:
    """Who is told a child (or not) from partial dates is one on the true days."""
    told = under_18(partly(born, birth_parts), partly(died, death_parts))
    true = under_18(born.isoformat(), died.isoformat())
    assert told is None or true is None or told is true
    assert (true is None) is (died < born)


@given(days, days)
def test_attendances_and_deaths_come_of_age_on_one_day(born: date, on: date) -> None:
    """The identity ladder and this agree, 29 February included."""
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    assert perhaps_child(born.isoformat(), at, adult_age=18) is (on < comes_of_age(born))
