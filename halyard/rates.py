"""How often somebody may ask: token buckets in bounded memory, and room for requests at a time.

One process counts for itself: several faces allow several times as much.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from halyard import metrics
from halyard.problems import HttpProblem
from halyard.settings_access import AccessSettings

REMEMBERED: Final = 10_000


class Buckets:
    """A bucket of `burst` for each key, filled with `rate` a second; rate 0 is no limit.

    The least recently used of more than `remembered` keys are forgotten, and start full again.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        remembered: int = REMEMBERED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst = rate, float(burst)
        self._remembered = remembered
        self._monotonic = monotonic
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: str) -> float:
        """Takes one; gives 0, or the seconds until there is one."""
        if self._rate <= 0:
            return 0.0
        now = self._monotonic()
        level = self._level(key, now)
        self._levels[key] = (level - 1 if level >= 1 else level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._remembered:
            self._levels.popitem(last=False)
        return 0.0 if level >= 1 else (1 - level) / self._rate

    def empty(self, key: str) -> bool:
        """Whether there is none to take."""
        return self._rate > 0 and self._level(key, self._monotonic()) < 1

    def _level(self, key: str, now: float) -> float:
        level, since = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - since) * self._rate)


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, of which a single machine has all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


@dataclass(slots=True)
class Guard:
    """The limits of one face."""

    requests: Buckets
    failures: Buckets
    room: int  # requests at a time
    in_hand: int = 0

    def enter(self) -> HttpProblem | None:
        """Takes a place for a request of somebody who was let in (give it back with `leave`), or
        gives why there is none.
        """
        if self.in_hand >= self.room:
            metrics.count("halyard_access_limited_total", limit="concurrent")
            return HttpProblem(
                503,
                "Too many requests at a time",
                "Nothing of it was taken. Send it again in a moment.",
                rule="http.busy",
                headers={"Retry-After": "1"},
            )
        self.in_hand += 1
        return None

    def leave(self) -> None:
        """Gives a place back."""
        self.in_hand -= 1

    def asked(self, organisation: str, subject: str) -> HttpProblem | None:
        """Why somebody who was let in must wait, if so."""
        wait = self.requests.take(f"{organisation} {subject}")
        return None if wait == 0 else too_many(wait, "requests")

    def failed(self, address: str) -> HttpProblem | None:
        """Why who was not let in is told nothing more, if so. Nobody else is held up by it."""
        wait = self.failures.take(network_of(address))
        return None if wait == 0 else too_many(wait, "failures")

    def suspects(self, address: str) -> bool:
        """Whether an address has failed as often as it may."""
        return self.failures.empty(network_of(address))

    def came(self, address: str) -> HttpProblem | None:
        """Why who asks what needs no credential must wait, if so: as often as one may fail, and
        counted apart.
        """
        wait = self.failures.take(f"open {network_of(address)}")
        return None if wait == 0 else too_many(wait, "open")


def make_guard(settings: AccessSettings) -> Guard:
    """The guard that `settings` ask for."""
    return Guard(
        Buckets(settings.requests_per_second, settings.requests_burst),
        Buckets(settings.failures_per_second, settings.failures_burst),
        settings.max_concurrent_requests,
    )


def too_many(wait: float, limit: str) -> HttpProblem:
    """What is told who comes too often; `wait` are seconds, `limit` is for the count."""
    metrics.count("halyard_access_limited_total", limit=limit)
    return HttpProblem(
        429,
        "Too many requests",
        "Nothing of it was taken. Send it again after the seconds that Retry-After says.",
        rule="http.too_many",
        headers={"Retry-After": str(max(1, math.ceil(wait)))},
    )
