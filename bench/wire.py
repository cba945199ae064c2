"""The least an HTTP client can do: one connection, one request at a time, nothing kept.

A library would take more time than the server whose time is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from halyard.errors import TransientError

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_SECONDS: Final = 30.0


class NotAnswered(TransientError):
    """A request of the measurement was not answered as it must be; see the log of `serve`."""


def post(url: str, path: str, body: Mapping[str, Any], token: str | None = None) -> bytes:
    """A whole request, ready to be sent."""
    content = json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    if token is not None:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*head, "", ""]).encode() + content


class Wire:
    """One connection; a context manager."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises `NotAnswered` for anything but 200."""
        if self._reader is None or self._writer is None:
            raise NotAnswered("The connection is not open.")
        self._writer.write(request)
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await self._reader.readexactly(int(length.group(1)) if length else 0)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise NotAnswered(f"The connection broke off ({type(error).__name__}).") from None
        if head[9:12] != b"200":
            raise NotAnswered(f"A request was answered {head[9:12].decode('ascii', 'replace')}.")
        return body


@dataclass(slots=True)
class Taken:
    """What requests took: each its seconds, and all of them together."""

    seconds: list[float] = field(default_factory=list)
    whole: float = 0.0

    @property
    def per_second(self) -> float:
        """Answered requests a second."""
        return round(len(self.seconds) / self.whole, 1) if self.whole else 0.0

    def add(self, other: Taken) -> None:
        """A further round."""
        self.seconds += other.seconds
        self.whole += other.whole


async def side_by_side(
    url: str,
    requests: Iterable[bytes],
    connections: int,
    check: Callable[[bytes], bool] = lambda _body: True,
) -> Taken:
    """All of `requests` over so many connections, each with one under way at a time."""
    left, taken = iter(requests), Taken()

    async def one(wire: Wire) -> None:
        for request in left:
            began = time.perf_counter()
            body = await wire.ask(request)
            taken.seconds.append(time.perf_counter() - began)
            if not check(body):
                raise NotAnswered("A request got another answer than it must.")

    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(url)) for _ in range(connections)]
        began = time.perf_counter()
        await asyncio.gather(*map(one, wires))
        taken.whole = time.perf_counter() - began
    return taken


async def in_turn(
    url: str,
    requests: Iterable[Sequence[tuple[str, bytes]]],
    check: Callable[[str, bytes], bool] = lambda _kind, _body: True,
) -> dict[str, list[float]]:
    """One request after another over one connection; the seconds of each, by its kind."""
    taken: dict[str, list[float]] = {}
    async with Wire(url) as wire:
        for turn in requests:
            for kind, request in turn:
                began = time.perf_counter()
                async with asyncio.timeout(_SECONDS):
                    body = await wire.ask(request)
                taken.setdefault(kind, []).append(time.perf_counter() - began)
                if not check(kind, body):
                    raise NotAnswered("A request got another answer than it must.")
    return taken
