"""How the practice PDS behaves, and which faults are in force."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class PdsSandboxSettings:
    """`token`: the static practice bearer token that is asked for; None asks for none.

    `calls_per_second`: the ration, 429 beyond it; None for no limit (the real default is 5).
    `restricted_mode`: as an application without a user has it: one result at most.
    """

    token: str | None = field(default="practice-token", repr=False)
    calls_per_second: int | None = None
    restricted_mode: bool = True
    # As many calls are told apart by their X-Request-ID; older ones count anew
    remembered_calls: int = 50_000


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose until it is cleared, or for the next `times` requests.

    `down`: a gateway's 503. `status`: this status with the body the real API gives with it (401 is
    "Access token expired"). `latency_ms`: the answer waits so long. `garbage`: 200, and no JSON.
    `not_supported`: 200 with an OperationOutcome that is no answer.
    """

    down: bool = False
    latency_ms: int = 0
    status: int | None = None
    garbage: bool = False
    not_supported: bool = False
    times: int | None = None

    @property
    def any(self) -> bool:
        """True while something is wrong."""
        return bool(
            self.down or self.latency_ms or self.status or self.garbage or self.not_supported
        )

    def spent(self) -> Faults:
        """The faults in force after one more request."""
        if self.times is None:
            return self
        return Faults() if self.times <= 1 else replace(self, times=self.times - 1)


_TYPES: dict[str, tuple[type, ...]] = {
    "down": (bool,),
    "latency_ms": (int,),
    "status": (int, type(None)),
    "garbage": (bool,),
    "not_supported": (bool,),
    "times": (int, type(None)),
}


def read_faults(body: Any) -> Faults:
    """Faults from a decoded JSON object; what is not named is off.

    Raises `ValueError` that names the field and says which there are.
    """
    known = ", ".join(each.name for each in fields(Faults))
    if not isinstance(body, dict):
        raise ValueError(f"Send a JSON object with any of: {known}.")
    for name, value in body.items():
        if name not in _TYPES or type(value) not in _TYPES[name]:
            raise ValueError(f"Unknown or wrong field; there are: {known}.")
    return Faults(**body)
