"""What goes wrong on purpose: read from JSON, drawn for each request, and made to happen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

ROUTES: Final = ("retrieve", "search", "write", "token")
"""Kinds of requests that can have faults of their own."""

_PIECES: Final = 10  # a slow body comes in so many
_LONGEST_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong until it is cleared, or for the next `times` requests.

    - `down`: a gateway's 503. `status`: this status with the body the real API gives with it (401
      is "Access token expired").
    - `latency_ms`: the answer waits so long, give or take `latency_jitter_ms` (evenly spread).
    - `slow_body_ms`: the body comes in pieces over so long.
    - `drop`: the connection ends after the head of the answer.
    - `garbage`: 200, and no JSON. `not_supported`: 200 with an OperationOutcome that is no answer.
    - `error_rate`: this share of requests (0 to 1) gets `error_status`; which ones, `seed` decides.
    - `routes`: faults of one kind of request (`ROUTES`), in place of these. The faults outside do
      not touch the token endpoint.
    """

    down: bool = False
    latency_ms: int = 0
    status: int | None = None
    garbage: bool = False
    not_supported: bool = False
    times: int | None = None
    latency_jitter_ms: int = 0
    slow_body_ms: int = 0
    drop: bool = False
    error_rate: float = 0.0
    error_status: int = 503
    seed: int = 1
    routes: Mapping[str, Faults] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def any(self) -> bool:
        """True while something is wrong."""
        return (
            bool(
                self.down
                or self.latency_ms
                or self.latency_jitter_ms
                or self.slow_body_ms
                or self.drop
                or self.status
                or self.garbage
                or self.not_supported
                or self.error_rate
            )
            or any(each.any for each in self.routes.values())
        )  # fmt: skip

    def on(self, route: str) -> Faults:
        """What is wrong with one kind of request."""
        if route in self.routes:
            return self.routes[route]
        return Faults() if route == "token" else self

    def spent(self, route: str = "retrieve") -> Faults:
        """The faults in force after one more request of that kind."""
        if route in self.routes:
            left = {**self.routes, route: self.routes[route].spent()}
            return replace(self, routes=MappingProxyType(left))
        if route == "token" or self.times is None:
            return self
        if self.times <= 1:
            return Faults(routes=self.routes)
        return replace(self, times=self.times - 1)

    def wait_seconds(self, draw: random.Random) -> float:
        """How long the next answer waits."""
        spread = self.latency_jitter_ms
        wait = self.latency_ms + (draw.uniform(-spread, spread) if spread else 0.0)
        return max(wait, 0.0) / 1000


_FLAGS: Final = ("down", "garbage", "not_supported", "drop")
# Name: from, to
_NUMBERS: Final = {
    "latency_ms": (0, _LONGEST_MS),
    "latency_jitter_ms": (0, _LONGEST_MS),
    "slow_body_ms": (0, _LONGEST_MS),
    "status": (400, 599),
    "error_status": (400, 599),
    "times": (1, 1_000_000_000),
    "seed": (0, 2**63),
}
_MAY_BE_NULL: Final = ("status", "times")


def read_faults(body: Any) -> Faults:
    """Faults from a decoded JSON object; what is not named is off.

    Raises `ValueError` that names the field and what it may be, never what was sent.
    """
    known = ", ".join(each.name for each in fields(Faults))
    if not isinstance(body, dict):
        raise ValueError(f"Send a JSON object with any of: {known}.")
    read: dict[str, Any] = {}
    for name, value in body.items():
        if name in _FLAGS:
            _demand(type(value) is bool, f"{name} is true or false")
        elif name in _NUMBERS:
            low, high = _NUMBERS[name]
            whole = type(value) is int and low <= value <= high
            empty = value is None and name in _MAY_BE_NULL
            _demand(whole or empty, f"{name} is a whole number from {low} to {high}")
        elif name == "error_rate":
            right = type(value) in (int, float) and 0 <= value <= 1
            _demand(right, "error_rate is a number from 0 to 1")
        elif name == "routes":
            value = _read_routes(value)
        else:
            raise ValueError(f"A field is not known; there are: {known}.")
        read[name] = value
    return Faults(**read)


def _read_routes(body: Any) -> Mapping[str, Faults]:
    right = isinstance(body, dict) and all(
        name in ROUTES and isinstance(of, dict) and "routes" not in of for name, of in body.items()
    )
    _demand(right, f"routes is an object of faults by {', '.join(ROUTES)}, one level deep")
    return MappingProxyType({name: read_faults(of) for name, of in body.items()})


def _demand(right: bool, what: str) -> None:
    if not right:
        known = ", ".join(each.name for each in fields(Faults))
        raise ValueError(f"{what}. There are: {known}.")


class DroppedResponse(Response):
    """An answer whose connection ends after the head: the body that it promises never comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application that does not finish; the server closes the connection."""
        headers = [(b"content-type", b"application/fhir+json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class SlowResponse(Response):
    """Another answer, whose body comes in pieces over `seconds`."""

    def __init__(self, of: Response, seconds: float) -> None:
        super().__init__(bytes(of.body), status_code=of.status_code)
        self.raw_headers = of.raw_headers
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application that takes its time."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        body = bytes(self.body)
        size = len(body) // _PIECES + 1
        for at in range(0, len(body), size):
            await asyncio.sleep(self._seconds / _PIECES)
            piece = body[at : at + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
