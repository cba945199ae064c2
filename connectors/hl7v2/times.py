"""HL7 v2 times and dates (TS, DT) as moments and partial ISO dates.

Times without a zone are local to the feed (Europe/London). The hour that October has twice is
taken as the first and marked; the hour that March skips is read as if the clock had not moved.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from connectors.hl7v2.er7 import Segment
from schemas.events import Moment

# YYYYMMDD[HH[MM[SS[.S…]]]][±ZZZZ]; ASCII digits alone
_TIME: Final = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-9]{2}))?"
)
_DATE: Final = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:[0-9]{2,6}(?:\.[0-9]+)?)?)?)?(?:[+-][0-9]{4})?"
)
_EARLIEST_YEAR: Final = 1850


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4096)  # one message tells the same minute several times, and so does the next
def moment(text: str, zone: str) -> Moment | None:
    """The moment that a TS of at least a day's precision names; None if it names none.

    A date alone is its first minute.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    if int(year) < _EARLIEST_YEAR:
        return None
    try:
        local = datetime(  # noqa: DTZ001 - the zone is worked out below
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")),
        )
        if sign is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            fixed = timezone(-offset if sign == "-" else offset)
            return _moment(local.replace(tzinfo=fixed), repeated=False)
        first = local.replace(tzinfo=_zone(zone), fold=0)
        again = first.replace(fold=1)
        repeated = _offset(first) > _offset(again)
        return _moment(first, repeated=repeated)
    except (ValueError, OverflowError):
        return None


def read_moment(segment: Segment, number: int, zone: str, marks: list[str]) -> Moment | None:
    """The moment in a field; marked when it is none, or one that the clock had twice."""
    text = segment.text(number, 1).strip()
    if not text:
        return None
    found = moment(text, zone)
    if found is None:
        marks.append(f"time-invalid:{segment.name}-{number}")
    elif found.repeated_hour:
        marks.append(f"time-repeated-hour:{segment.name}-{number}")
    return found


def _offset(when: datetime) -> timedelta:
    return when.utcoffset() or timedelta(0)


def _moment(when: datetime, *, repeated: bool) -> Moment:
    offset = int(_offset(when).total_seconds() // 60)
    return Moment(utc=when.astimezone(UTC), offset_minutes=offset, repeated_hour=repeated)


def iso_date(text: str) -> str | None:
    """``20190602…`` as ``2019-06-02``, ``201906`` as ``2019-06``; None if it is no date.

    A time behind the day is ignored; a month 13 or a 30 February is no date.
    """
    if len(text) == 8 and text.isascii() and text.isdigit():  # what nearly all send
        year, month, day = text[:4], text[4:6], text[6:]
    elif match := _DATE.fullmatch(text):
        year, month, day = match.groups()
    else:
        return None
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    if int(year) < _EARLIEST_YEAR:
        return None
    return "-".join(part for part in (year, month, day) if part)
