"""NHS numbers: what a text may be, before anybody is asked about it.

"Valid" is not "verified": a usable number has the form, a right check digit and a range that
this profile allows; whose it is only the Personal Demographics Service (PDS) can say.
Rules: NHS Data Dictionary (NHS NUMBER), ISB 0149 requirements 09-11. Deny-list first, because
all ten repeated digits, and so the tracing services' "no match" (0000000000) and "many matches"
(9999999999), pass the check digit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

NumberProfile = Literal["production", "test"]
"""`production` takes issued numbers (4, 6, 7); `test` takes only ranges never issued (5, 8, 9)."""

# ASCII digits alone: \d would take full-width and Arabic-Indic ones
_FORM: Final = re.compile(r"[0-9]{10}|[0-9]{3}[ -][0-9]{3}[ -][0-9]{4}", re.ASCII)
# Keyboard runs that pass modulus 11 and are typed to get past a mandatory field
_RUNS: Final = frozenset({"0123456789", "9876543210"})
_SENTINELS: Final = frozenset({"0000000000", "9999999999"})


class NhsNumberOutcome(StrEnum):
    """What the text is."""

    USABLE = "usable"
    ABSENT = "absent"
    MALFORMED = "malformed"
    BAD_CHECK_DIGIT = "bad_check_digit"
    PLACEHOLDER = "placeholder"
    OUT_OF_JURISDICTION = "out_of_jurisdiction"  # Scottish CHI, Northern Irish HSC: real, not ours
    NOT_IN_PROFILE = "not_in_profile"


@dataclass(frozen=True, slots=True)
class NhsNumberResult:
    """An outcome and the stable name of the rule that gave it.

    `number` (ten digits, no spaces) is there only when usable, and in no repr.
    """

    outcome: NhsNumberOutcome
    rule: str
    number: str | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """True if PDS may be asked about the number."""
        return self.outcome is NhsNumberOutcome.USABLE


def profile_for(profile: str) -> NumberProfile:
    """The ranges that go with the hub's own profile: anything but "production" is test."""
    return "production" if profile == "production" else "test"


def check_digit(nine_digits: str) -> int | None:
    """The modulus 11 check digit of nine digits; None where the remainder makes it unusable."""
    weighted = zip(nine_digits, range(10, 1, -1), strict=True)
    total = sum(int(digit) * weight for digit, weight in weighted)
    digit = (11 - total % 11) % 11
    return None if digit == 10 else digit


def format_334(number: str) -> str:
    """Ten digits as they are shown to people: ``943 476 5919`` (ISB 0149 requirement 09)."""
    return f"{number[:3]} {number[3:6]} {number[6:]}"


def parse(text: str | None, *, profile: NumberProfile) -> NhsNumberResult:
    """Judge a text that should be an NHS number. Never raises; never repeats the text."""
    stripped = (text or "").strip(" ")
    if not stripped:
        return NhsNumberResult(NhsNumberOutcome.ABSENT, "nhs_number.absent")
    if not _FORM.fullmatch(stripped):
        return NhsNumberResult(NhsNumberOutcome.MALFORMED, "nhs_number.malformed")
    number = stripped.replace(" ", "").replace("-", "")
    if placeholder := _placeholder(number):
        return NhsNumberResult(NhsNumberOutcome.PLACEHOLDER, placeholder)
    if check_digit(number[:9]) != int(number[9]):
        return NhsNumberResult(NhsNumberOutcome.BAD_CHECK_DIGIT, "nhs_number.bad_check_digit")
    return _by_range(number, profile)


def _placeholder(number: str) -> str | None:
    if number in _SENTINELS:
        return "nhs_number.placeholder.tracing_sentinel"
    if len(set(number)) == 1:
        return "nhs_number.placeholder.repeated_digit"
    return "nhs_number.placeholder.keyboard_run" if number in _RUNS else None


def _by_range(number: str, profile: NumberProfile) -> NhsNumberResult:
    if "01" <= number[:2] <= "31" and "01" <= number[2:4] <= "12":  # DDMMYY...
        return NhsNumberResult(NhsNumberOutcome.OUT_OF_JURISDICTION, "nhs_number.scottish_chi")
    if "32" <= number[:2] <= "39":
        return NhsNumberResult(NhsNumberOutcome.OUT_OF_JURISDICTION, "nhs_number.northern_irish")
    if number[0] in "0123":
        return NhsNumberResult(NhsNumberOutcome.NOT_IN_PROFILE, "nhs_number.range_not_in_use")
    if number[0] in "467":
        if profile == "production":
            return NhsNumberResult(NhsNumberOutcome.USABLE, "nhs_number.usable", number)
        return NhsNumberResult(NhsNumberOutcome.NOT_IN_PROFILE, "nhs_number.live_range_in_test")
    if profile == "test":
        return NhsNumberResult(NhsNumberOutcome.USABLE, "nhs_number.usable_test", number)
    return NhsNumberResult(NhsNumberOutcome.NOT_IN_PROFILE, "nhs_number.test_range_in_production")
