"""Who may open a connection, how fast a sender of rubbish is read, and how much memory all of them
may take: so that no sender costs another one its place.

Pure bookkeeping; the time is passed in (seconds, monotonic).

- An address has at most so many connections, and all together at most so many. When the house is
  full, the connection that has waited longest without ever sending an acceptable message gives way
  to a new one; those that work stay.
- Refused messages are paced by address: each costs a record that is kept. Beyond the pace the
  connection concerned (and new ones of that address) are read a little later; nobody else is.
- Bytes of incomplete frames, and bytes of messages in work, have a budget each. Beyond the first
  the frame that has been incomplete for longest is given up; beyond the second, connections with
  more than a fair share are not read until there is room.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BURST_SECONDS: Final = 2.0  # so much of an address's pace may come at once
LONGEST_HOLD: Final = 1.0  # seconds that a connection is not read
FAIR_BYTES: Final = 65_536  # in work, of one connection, whatever the others do


@dataclass(slots=True)
class Pace:
    """Refusals by address: a token bucket each."""

    per_second: float
    _due: dict[str, float] = field(default_factory=dict)  # when the bucket will be full again

    def charge(self, host: str, now: float, refusals: int = 1) -> float:
        """Count refusals; gives for how long their connection should not be read (0: go on)."""
        self._due[host] = max(self._due.get(host, now), now) + refusals / self.per_second
        return self.debt(host, now)

    def debt(self, host: str, now: float) -> float:
        """For how long a connection of `host` should not be read."""
        due = self._due.get(host)
        if due is None:
            return 0.0
        if due <= now:
            del self._due[host]
            return 0.0
        return min(LONGEST_HOLD, max(0.0, due - now - BURST_SECONDS))

    def forget(self, now: float) -> None:
        """Drop addresses whose buckets are full: memory follows who is there."""
        self._due = {host: due for host, due in self._due.items() if due > now}


@dataclass(slots=True)
class Places:
    """How many connections there are, by address and in all."""

    most: int
    most_of_address: int
    _taken: Counter[str] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether somebody must give way first."""
        return self._taken.total() >= self.most

    def crowded(self, host: str) -> bool:
        """Whether the address has all that it may have."""
        return self._taken[host] >= self.most_of_address if host in self._taken else False

    def take(self, host: str) -> None:
        """A connection of `host` is there."""
        self._taken[host] += 1

    def leave(self, host: str) -> None:
        """One of its connections is gone."""
        self._taken[host] -= 1
        if self._taken[host] <= 0:
            del self._taken[host]


@dataclass(slots=True)
class Memory:
    """Bytes held over all connections; `most` is shared in halves."""

    most: int
    incomplete: int = 0
    in_work: int = 0

    @property
    def overdrawn(self) -> bool:
        """Incomplete frames take more than their half."""
        return self.incomplete > self.most // 2

    @property
    def scarce(self) -> bool:
        """Messages in work take more than theirs."""
        return self.in_work > self.most // 2

    def may_read(self, own_in_work: int) -> bool:
        """Whether a connection with so many bytes in work may be read."""
        return own_in_work <= FAIR_BYTES or not self.scarce
