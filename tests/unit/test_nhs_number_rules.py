"""Each rule about an NHS number by its name and outcome, at the edges of its range."""

from __future__ import annotations

import pytest

from halyard.nhs_number import NhsNumberOutcome as Outcome
from halyard.nhs_number import NumberProfile, check_digit, parse


def number(start: str) -> str:
    """The first valid number that begins so."""
    for rest in range(10 ** (9 - len(start))):
        nine = f"{start}{rest:0{9 - len(start)}}" if len(start) < 9 else start
        digit = check_digit(nine)
        if digit is not None and len(set(nine)) > 1:
            return f"{nine}{digit}"
    raise AssertionError(start)


ELSEWHERE, OUT, USABLE = Outcome.OUT_OF_JURISDICTION, Outcome.NOT_IN_PROFILE, Outcome.USABLE


@pytest.mark.parametrize(
    ("start", "profile", "outcome", "rule"),
    [
        ("0101", "production", ELSEWHERE, "scottish_chi"),
        ("3101", "production", ELSEWHERE, "scottish_chi"),
        ("0112", "test", ELSEWHERE, "scottish_chi"),
        ("3112", "test", ELSEWHERE, "scottish_chi"),
        ("0001", "production", OUT, "range_not_in_use"),
        ("0100", "production", OUT, "range_not_in_use"),
        ("0113", "test", OUT, "range_not_in_use"),
        ("3113", "test", OUT, "range_not_in_use"),
        ("2413", "production", OUT, "range_not_in_use"),
        ("3200", "test", ELSEWHERE, "northern_irish"),
        ("3999", "production", ELSEWHERE, "northern_irish"),
        ("40", "production", USABLE, "usable"),
        ("49", "production", USABLE, "usable"),
        ("60", "production", USABLE, "usable"),
        ("79", "production", USABLE, "usable"),
        ("45", "test", OUT, "live_range_in_test"),
        ("70", "test", OUT, "live_range_in_test"),
        ("50", "test", USABLE, "usable_test"),
        ("80", "test", USABLE, "usable_test"),
        ("999", "test", USABLE, "usable_test"),
        ("50", "production", OUT, "test_range_in_production"),
        ("89", "production", OUT, "test_range_in_production"),
        ("999", "production", OUT, "test_range_in_production"),
    ],
)
def test_each_range_has_its_rule(
    start: str, profile: NumberProfile, outcome: Outcome, rule: str
) -> None:
    """Outcome and rule name go to the sender and the worklist; a usable number goes with them."""
    text = number(start)
    judged = parse(text, profile=profile)
    assert (judged.outcome, judged.rule) == (outcome, f"nhs_number.{rule}")
    assert judged.number == (text if outcome is USABLE else None)
    assert judged.usable is (outcome is USABLE)


@pytest.mark.parametrize(
    ("text", "outcome", "rule"),
    [
        (None, Outcome.ABSENT, "absent"),
        ("", Outcome.ABSENT, "absent"),
        ("   ", Outcome.ABSENT, "absent"),
        ("999000001", Outcome.MALFORMED, "malformed"),
        ("X9990000018X", Outcome.MALFORMED, "malformed"),
        ("99900 00018", Outcome.MALFORMED, "malformed"),
        ("0000000000", Outcome.PLACEHOLDER, "placeholder.tracing_sentinel"),
        ("9999999999", Outcome.PLACEHOLDER, "placeholder.tracing_sentinel"),
        ("4444444444", Outcome.PLACEHOLDER, "placeholder.repeated_digit"),
        ("9876543210", Outcome.PLACEHOLDER, "placeholder.keyboard_run"),
        ("0123456789", Outcome.PLACEHOLDER, "placeholder.keyboard_run"),
        ("9990000019", Outcome.BAD_CHECK_DIGIT, "bad_check_digit"),
    ],
)
def test_what_is_no_number_has_its_rule(text: str | None, outcome: Outcome, rule: str) -> None:
    """The same in both profiles, and no number goes along."""
    for profile in ("test", "production"):
        judged = parse(text, profile=profile)
        assert (judged.outcome, judged.rule) == (outcome, f"nhs_number.{rule}")
        assert judged.number is None


@pytest.mark.parametrize("digits", ["", "99900000", "9990000018"])
def test_a_check_digit_is_of_nine_digits(digits: str) -> None:
    """Of fewer or more there is none: a wrong one would be believed."""
    with pytest.raises(ValueError):
        check_digit(digits)
