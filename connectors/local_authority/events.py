"""Reading the hub's live list: Server-Sent Events (WHATWG HTML, 9.2.6), as far as it sends them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from halyard.errors import RejectedError

MAX_LINE: Final = 1_000_000  # bytes; an alert is a few thousand
SILENCE_SECONDS: Final = 40.0  # the hub says something every 15


class StreamBroken(RejectedError):
    """What comes is no event stream; check what answers at that address."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `last_id` is where to go on; without `data` it says no more than that."""

    last_id: str | None
    kind: str
    data: str = field(repr=False)


class Events:
    """Takes bytes as they come, gives each event once it is complete. Comments mean nothing."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._held = bytearray()
        self._kind = ""
        self._data: list[str] = []
        self._told: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes. Raises `StreamBroken`."""
        self._held += chunk
        *lines, rest = bytes(self._held).split(b"\n")
        if len(rest) > MAX_LINE:
            raise StreamBroken("A line of the stream does not end.", rule="stream.line")
        self._held[:] = rest
        for line in lines:
            yield from self._line(line.rstrip(b"\r").decode("utf-8", "replace"))

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data or self._told != self.last_id:
                self._told = self.last_id
                yield Event(self.last_id, self._kind or "message", "\n".join(self._data))
            self._kind, self._data = "", []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id" and "\x00" not in value:
            self.last_id = value
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)


class Versions:
    """Which version of each alert was told last; the oldest are forgotten."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._told: OrderedDict[str, int] = OrderedDict()

    def is_new(self, alert_id: str, version: int) -> bool:
        """Whether it is newer than what was told; then it counts as told."""
        if self._told.get(alert_id, 0) >= version:
            return False
        self._told[alert_id] = version
        self._told.move_to_end(alert_id)
        if len(self._told) > self._most:
            self._told.popitem(last=False)
        return True


async def live_events(
    http: httpx.AsyncClient,
    after: str | None,
    states: Sequence[str],
    stopping: asyncio.Event,
    *,
    refusal: Callable[[httpx.Response], Exception],
    no_answer: Callable[[httpx.HTTPError], Exception],
) -> AsyncGenerator[Event]:
    """The events of one connection, until it ends or `stopping`. Raises what `refusal` makes of an
    answer, and `no_answer` of a broken or silent connection.
    """
    found = Events()
    try:
        async with http.stream(
            "GET",
            "/alerts/stream",
            params={"state": list(states)},
            headers={"Last-Event-ID": after} if after else {},
            timeout=httpx.Timeout(10.0, read=SILENCE_SECONDS),
        ) as response:
            if response.status_code >= 300:
                await response.aread()
                raise refusal(response)
            chunks = response.aiter_bytes()
            while (chunk := await _next(chunks, stopping)) is not None:
                for event in found.feed(chunk):
                    yield event
    except httpx.HTTPError as error:
        raise no_answer(error) from None


async def _next(chunks: AsyncIterator[bytes], stopping: asyncio.Event) -> bytes | None:
    """The next chunk; None at the end, or once it is to stop."""
    coming = asyncio.ensure_future(anext(chunks, None))
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return await coming if coming.done() else None
    finally:
        for one in (coming, stopped):
            one.cancel()
        await asyncio.gather(coming, stopped, return_exceptions=True)
