"""NHS numbers are judged by rule, deny-list first, and never repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nhs_number import validate as oracle

from halyard.nhs_number import (
    NhsNumberOutcome,
    NumberProfile,
    check_digit,
    format_334,
    parse,
    profile_for,
)

ASCII_TEN = st.text("0123456789", min_size=10, max_size=10)
PROFILES = st.sampled_from(("production", "test"))


def _valid(first: str) -> st.SearchStrategy[str]:
    """Numbers with a right check digit that start with `first`."""
    width = 9 - len(first)
    nines = st.text("0123456789", min_size=width, max_size=width).map(lambda rest: first + rest)
    return nines.filter(lambda nine: check_digit(nine) is not None).map(
        lambda nine: f"{nine}{check_digit(nine)}"
    )


@given(ASCII_TEN, PROFILES)
def test_check_digit_agrees_with_the_oracle(number: str, profile: NumberProfile) -> None:
    """Outside our deny-list, "bad check digit" is exactly what nhs-number calculates."""
    result = parse(number, profile=profile)
    if result.outcome is NhsNumberOutcome.PLACEHOLDER:
        return
    right = oracle.calculate_checksum(number[:9]) == int(number[9])
    assert (result.outcome is NhsNumberOutcome.BAD_CHECK_DIGIT) != right
    if number[0] > "3":  # below, the oracle also looks for a real date
        assert oracle.is_valid(number) == right


@given(_valid("9"), st.sampled_from(("", " ", "-")))
def test_usable_in_test_with_display_separators(number: str, separator: str) -> None:
    """A 9xx number is usable in the test profile, plain or shown 3-3-4, and comes back plain."""
    shown = separator.join((number[:3], number[3:6], number[6:]))
    result = parse(f" {shown} ", profile="test")
    if result.outcome is not NhsNumberOutcome.PLACEHOLDER:
        assert (result.usable, result.number) == (True, number)
        assert parse(number, profile="production").rule == "nhs_number.test_range_in_production"


@given(_valid("4") | _valid("6") | _valid("7"))
def test_issued_ranges_only_in_production(number: str) -> None:
    """4xx, 6xx and 7xx are usable in production, and refused where only test data may be."""
    production = parse(number, profile="production")
    if production.outcome is not NhsNumberOutcome.PLACEHOLDER:
        assert production.number == number
        assert parse(number, profile="test").outcome is NhsNumberOutcome.NOT_IN_PROFILE


@pytest.mark.parametrize("digit", "0123456789")
@pytest.mark.parametrize("profile", ["production", "test"])
def test_repeated_digits_are_placeholders(digit: str, profile: NumberProfile) -> None:
    """All repeated digits pass modulus 11, the tracing sentinels among them; none is usable."""
    assert check_digit(digit * 9) == int(digit)
    result = parse(digit * 10, profile=profile)
    assert (result.outcome, result.number) == (NhsNumberOutcome.PLACEHOLDER, None)


@pytest.mark.parametrize("run", ["0123456789", "9876543210"])
def test_keyboard_runs_that_pass_the_check_digit_are_placeholders(run: str) -> None:
    """Two keyboard runs pass modulus 11 and are still no number."""
    assert check_digit(run[:9]) == int(run[9])
    assert parse(run, profile="test").rule == "nhs_number.placeholder.keyboard_run"


@pytest.mark.parametrize(
    "text",
    [
        "４４４４４４４４４４",  # full-width, which the oracle takes
        "٩٤٣٤٧٦٥٩١٩",  # Arabic-Indic
        "943476591",
        "94347659190",
        "943\n4765919",
        "9434 765919",
        "943\u00a0476\u00a05919",
        "943476591X",
        "9434765919\n",
    ],
)
def test_malformed(text: str) -> None:
    """Anything but ten ASCII digits, plain or 3-3-4, is malformed."""
    assert parse(text, profile="production").outcome is NhsNumberOutcome.MALFORMED


@pytest.mark.parametrize("text", [None, "", "   "])
def test_absent(text: str | None) -> None:
    """Nothing is absent, not malformed."""
    assert parse(text, profile="test").outcome is NhsNumberOutcome.ABSENT


@given(st.dates().map(lambda day: day.strftime("%d%m") + f"{day.year % 100:02}").flatmap(_valid))
def test_scottish_numbers_are_out_of_jurisdiction(number: str) -> None:
    """A number that begins with a date is a CHI number: real, not ours, not invalid."""
    result = parse(number, profile="production")
    if result.outcome is not NhsNumberOutcome.PLACEHOLDER:
        assert result.outcome is NhsNumberOutcome.OUT_OF_JURISDICTION
        assert result.rule == "nhs_number.scottish_chi"


@given(st.sampled_from(("32", "35", "39")).flatmap(_valid))
def test_northern_irish_numbers_are_out_of_jurisdiction(number: str) -> None:
    """320-399 is Health and Social Care in Northern Ireland."""
    result = parse(number, profile="production")
    if result.outcome is not NhsNumberOutcome.PLACEHOLDER:
        assert result.rule == "nhs_number.northern_irish"


def test_unused_range() -> None:
    """A low range that is neither a date nor Northern Irish was never given to anybody."""
    number = f"009999990{check_digit('009999990')}"
    assert parse(number, profile="production").rule == "nhs_number.range_not_in_use"


@given(st.text() | ASCII_TEN, PROFILES)
def test_never_raises_and_never_repeats(text: str, profile: NumberProfile) -> None:
    """Whatever comes: an outcome, a number only if usable, and no digits of it in the repr."""
    result = parse(text, profile=profile)
    assert (result.number is not None) == result.usable
    if len(text) == 10:
        assert text not in repr(result)


def test_shown_to_people_as_3_3_4() -> None:
    """Ten digits are shown in groups of 3, 3 and 4."""
    assert format_334("9434765919") == "943 476 5919"


@pytest.mark.parametrize(("hub", "expected"), [("production", "production"), ("practice", "test")])
def test_profile_for(hub: str, expected: str) -> None:
    """Only the hub's production profile takes issued numbers."""
    assert profile_for(hub) == expected
