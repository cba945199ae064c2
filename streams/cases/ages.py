"""Dates that may be partial, and the ages that they leave possible."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Final

OF_AGE: Final = 18  # "before the 18th birthday": NCMD, data security page
_FORM: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T.*)?)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A day, a month or a year: the days from `first` to `last`, both possible."""

    first: date
    last: date

    @property
    def full(self) -> bool:
        """Whether it is one day."""
        return self.first == self.last

    @classmethod
    def parse(cls, text: str | None) -> PartialDate | None:
        """``YYYY``, ``YYYY-MM``, ``YYYY-MM-DD`` (a time after it is passed over); else None."""
        match = _FORM.fullmatch(text or "")
        if match is None:
            return None
        year, month, day = (int(part) if part else None for part in match.groups())
        try:
            assert year is not None
            if month is None:
                return cls(date(year, 1, 1), date(year, 12, 31))
            if day is None:
                end = calendar.monthrange(year, month)[1]
                return cls(date(year, month, 1), date(year, month, end))
            return cls(date(year, month, day), date(year, month, day))
        except ValueError:  # no such day (calendar's own error is one, too)
            return None


@dataclass(frozen=True, slots=True)
class Ages:
    """The youngest and oldest age at death, in completed days, that the dates allow."""

    youngest_days: int
    oldest_days: int

    @property
    def conflict(self) -> bool:
        """Whether the death is before the birth, however the dates are completed."""
        return self.oldest_days < 0


def age_at_death(birth: str | None, death: str | None) -> Ages | None:
    """The ages possible; None if either date is unknown or no date."""
    born, died = PartialDate.parse(birth), PartialDate.parse(death)
    if born is None or died is None:
        return None
    return ages(born, died)


def ages(born: PartialDate, died: PartialDate) -> Ages:
    """As `age_at_death`. Nobody dies before birth: where the dates overlap the youngest is 0."""
    youngest, oldest = (died.first - born.last).days, (died.last - born.first).days
    return Ages(max(youngest, 0) if oldest >= 0 else youngest, oldest)


def comes_of_age(born: date) -> date:
    """The eighteenth birthday: 1 March of a common year for who was born on 29 February."""
    year = born.year + OF_AGE
    if (born.month, born.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 3, 1)
    return born.replace(year=year)


def under_18(birth: str | None, death: str | None) -> bool | None:
    """Whether somebody died before the eighteenth birthday; None: cannot be told.

    That is so where a date is unknown, the partial dates allow both, or the death is before the
    birth.
    """
    born, died = PartialDate.parse(birth), PartialDate.parse(death)
    if born is None or died is None:
        return None
    return child_when_died(born, died)


def child_when_died(born: PartialDate, died: PartialDate) -> bool | None:
    """As `under_18`."""
    if ages(born, died).conflict:
        return None
    if born.first.year > date.max.year - OF_AGE or died.last < comes_of_age(born.first):
        return True
    return False if died.first >= comes_of_age(born.last) else None
