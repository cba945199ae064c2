"""What spreadsheets make of values, read back where only one reading is possible.

Everything else is refused with a rule that says what happened. Nothing here knows a file.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from connectors.local_authority.rules import Refusal

SERIAL: Final = "date.serial"
"""Mark of a record with a date that was a spreadsheet's day number."""

_DATES: Final = frozenset({"birth_date", "start", "end", "delete"})
# A day number of the 1904 system, read as one of 1900, is four years too early. Then a birth date
# agrees with nobody and a start is only too early, but a plan would seem to have ended
_SERIALS: Final = frozenset({"birth_date", "start"})
_EPOCH: Final = date(1899, 12, 30)  # day 0 of the 1900 system, for days after 28 February 1900

_BREAKS = re.compile(r"[\t\r\n]+")
_ERROR = re.compile(r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NULL!|NUM!|SPILL!|CALC!|#+)", re.ASCII)
_NUMBER = re.compile(r"([0-9]{10})(?:[.,]0+)?", re.ASCII)
_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]{1,3}", re.ASCII)
# What has letters may be an id (1E5): here only what a spreadsheet writes, with a point or a plus
_LOST = re.compile(r"[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]{1,3}", re.ASCII)
_NUMBERS: Final = frozenset({"local_id", "phone_office", "phone_emergency", "siblings"})
_GAPS = re.compile("[\\s\\-\u2010-\u2013]+")
_TIME = r"(?:[ T][0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?)?"
_ISO = re.compile(rf"([0-9]{{4}})([-/.])([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}", re.ASCII)
_BRITISH = re.compile(rf"([0-9]{{1,2}})([-/.])([0-9]{{1,2}})\2([0-9]{{4}}){_TIME}", re.ASCII)
_NAMED = re.compile(rf"([0-9]{{1,2}})([ -])([A-Za-z]{{3,9}})\2([0-9]{{4}}){_TIME}", re.ASCII)
_SHORT_YEAR = re.compile(
    rf"[0-9]{{1,2}}([-/. ])(?:[0-9]{{1,2}}|[A-Za-z]{{3,9}})\1[0-9]{{2}}{_TIME}", re.ASCII
)
_SERIAL = re.compile(r"([0-9]{5})(?:[.,]0+)?", re.ASCII)
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def read_cell(column: str, text: str) -> str | Refusal | None:
    """The value of a cell as a line of JSON would have it, None if it is empty."""
    text = _BREAKS.sub(" ", text).strip()
    if len(text) > 3 and text.startswith('="') and text.endswith('"'):
        text = text[2:-1].strip()  # how exports keep digits from being read as a number
    elif text[:1] in ("=", "@") and text:
        return Refusal(column, "cell.formula")
    elif _ERROR.fullmatch(text):
        return Refusal(column, "cell.error")
    if not text:
        return None
    if column == "nhs_number":
        return _nhs_number(text.removeprefix("'"))
    if column in _DATES:
        return read_date(column, text.removeprefix("'"))
    if column in _NUMBERS and _LOST.fullmatch(text.removeprefix("'")):
        return Refusal(column, "cell.scientific")
    return text.upper() if column == "plan_type" else text


def is_serial(column: str, text: str) -> bool:
    """Whether `read_cell` reads the cell as a spreadsheet's day number."""
    return column in _SERIALS and _SERIAL.fullmatch(text.strip().removeprefix("'")) is not None


def read_date(column: str, text: str) -> str | Refusal:
    """A date as ISO text: ISO, day before month, or an unambiguous day number (1900 system)."""
    if match := _ISO.fullmatch(text):
        return _day(column, match[1], match[3], match[4])
    if match := _BRITISH.fullmatch(text):
        return _day(column, match[4], match[3], match[1])
    if match := _NAMED.fullmatch(text):
        month = _month(match[3])
        if month is None:
            return Refusal(column, "date.not_known")
        return _day(column, match[4], str(month), match[1])
    if _SHORT_YEAR.fullmatch(text):
        return Refusal(column, "date.two_digit_year")
    if match := _SERIAL.fullmatch(text):
        if column not in _SERIALS:
            return Refusal(column, "date.serial")
        return (_EPOCH + timedelta(days=int(match[1]))).isoformat()
    return Refusal(column, "date.not_known")


def _nhs_number(text: str) -> str | Refusal:
    if _SCIENTIFIC.fullmatch(text):
        return Refusal("nhs_number", "nhs_number.scientific")
    # anything but ten digits goes on as it is: identity answers CPR04
    match = _NUMBER.fullmatch(_GAPS.sub("", text))
    return match[1] if match else text


def _month(name: str) -> int | None:
    for number, month in enumerate(_MONTHS, start=1):
        if month.startswith(name.lower()) and (len(name) == 3 or len(name) == len(month)):
            return number
    return 9 if name.lower() == "sept" else None


def _day(column: str, year: str, month: str, day: str) -> str | Refusal:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return Refusal(column, "date.no_such_day")
