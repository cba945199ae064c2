"""FHIR dates and times as moments and partial ISO dates; what is none is left out, with a mark.

A dateTime with a time must have a zone. One without is read in the feed's own and marked: a
sender's clock is no reason to refuse a child's arrival.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from connectors.hl7v2 import times as hl7
from schemas.events import Moment

_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]{0,9})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_EARLIEST_YEAR: Final = 1850
ENGLAND: Final = ZoneInfo("Europe/London")


def has_zone(text: str) -> bool:
    """Whether a dateTime needs no help: it has its zone, or is a date alone."""
    match = _TIME.fullmatch(text)
    return match is None or match[4] is None or match[8] is not None


def moment(text: str, zone: str) -> Moment | None:
    """The moment that a dateTime or instant of at least a day's precision names; else None.

    A date alone is its first minute in `zone`.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    written = f"{year}{month}{day}"
    if hour is not None:
        written += f"{hour}{minute}{second or '00'}"
        written += f".{fraction}" if fraction else ""
        if offset:
            written += "+0000" if offset == "Z" else offset.replace(":", "")
    return hl7.moment(written, zone)


def iso_date(text: str) -> str | None:
    """`text` if it is a date of FHIR (``2019``, ``2019-06``, ``2019-06-02``), without the time
    that some senders add; else None.
    """
    match = _DATE.fullmatch(text.partition("T")[0])
    if match is None:
        return None
    year, month, day = match.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    if int(year) < _EARLIEST_YEAR:
        return None
    return "-".join(part for part in (year, month, day) if part)


def english_day(text: str) -> str | None:
    """As `iso_date`; of a dateTime with a zone the day that it was in England."""
    at = _in_england(text)
    return at.date().isoformat() if at is not None else iso_date(text)


def english_time(text: str) -> str | None:
    """``HH:MM`` of a dateTime, in England if it has a zone; None if it has no time or is none."""
    at = _in_england(text)
    if at is not None:
        return f"{at:%H:%M}"
    match = _TIME.fullmatch(text)
    if match is None or match[4] is None or iso_date(text) is None:
        return None
    return f"{match[4]}:{match[5]}"


def _in_england(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None or match[8] is None or iso_date(text) is None:
        return None
    at = moment(text, ENGLAND.key)
    return at.utc.astimezone(ENGLAND) if at is not None else None
