"""What follows from one attempt: pure, with the randomness passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from connectors.sending import Delivered, Refused, Result, Retry
from halyard.settings import DeliverySettings

# The reason of a row that waits for an entry in the directory
NO_ENDPOINT = "no-endpoint"

_PAUSING_ATTEMPTS: Final = 4
"""So often a row that the receiver answers with "not now" pauses the others of its destination."""

MAX_ANSWERED: Final = 48
"""After so many attempts (about four hours) a row that the receiver answers with "not now" is set
aside. A destination that says so to everything has then been down for as long, and its rows wait
for a person, who can send them again."""

Random = Callable[[], float]
"""Gives a number from 0 (included) to 1 (excluded)."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more in `after_seconds`; `pause_seconds` if the whole destination must wait."""

    reason: str
    after_seconds: float
    pause_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """The receiver refuses this one for good: set it aside, alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A policy keeps it back before it leaves: a person decides (held), or it is refused."""

    state: Literal["held", "refused"]
    reason: str


Decision = Complete | Again | Park | Keep


def decide(
    result: Result, *, attempts: int, settings: DeliverySettings, random: Random
) -> Decision:
    """What to do after the attempt number `attempts` (from 1) ended with `result`."""
    match result:
        case Delivered():
            return Complete()
        case Refused(reason):
            return Park(reason)
        case Retry(reason, answered=True) if attempts >= MAX_ANSWERED:
            return Park(reason)
        case Retry(reason, destination_down, asked, answered):
            # A receiver may ask for a pause (Retry-After), but not for a longer one than ours
            wished = min(asked or 0.0, settings.max_retry_seconds)
            # One row that is answered so again and again says nothing of the others
            pauses = destination_down and not (answered and attempts > _PAUSING_ATTEMPTS)
            return Again(
                reason,
                after_seconds=max(back_off(attempts, settings, random), wished),
                pause_seconds=max(settings.breaker_seconds, wished) if pauses else None,
            )


def back_off(attempts: int, settings: DeliverySettings, random: Random) -> float:
    """Seconds to wait after `attempts` attempts: doubling up to the longest, ± a quarter, so that
    what failed together does not come back together.
    """
    doubled = settings.first_retry_seconds * 2.0 ** min(max(attempts, 1) - 1, 30)
    return min(doubled, settings.max_retry_seconds) * (0.75 + 0.5 * random())
