"""Hours of the day in England, as ``07:00-20:00``; past midnight as ``20:00-07:00``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

_LONDON = ZoneInfo("Europe/London")
_TEXT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class LocalHours:
    """From `start` up to, not including, `end`; the whole day if they are equal."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> LocalHours:
        """The hours of a text. Raises `ValueError` that says how to write them."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("not hours of the day; write them as 07:00-20:00")
        first, second, third, fourth = (int(one) for one in found.groups())
        return cls(time(first, second), time(third, fourth))

    def contain(self, at: datetime) -> bool:
        """Whether an aware time lies within them, by the clocks of England."""
        local = at.astimezone(_LONDON).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end
