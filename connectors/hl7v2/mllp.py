"""MLLP server: a transport that knows frames, not HL7.

One connection carries many messages. A pipelining sender may have `max_in_flight` of them in
work at once; the answers leave in the order of the requests. Memory a connection is bounded by
one frame and one chunk: when the limit of work or of unread answers is reached, the socket is
not read. A connection ends when an answer is withheld (None), after a broken frame, when it is
idle, and when the server stops: then what is in hand is finished and answered first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, cast

from connectors.hl7v2.framing import Broken, BrokenKind, Deframer, Frame, Item, frame
from halyard.errors import ConfigurationError
from halyard.telemetry import get_logger

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection; `connection` counts from 1 in each server."""

    host: str
    port: int
    connection: int


class Handler(Protocol):
    """What the server calls; both give the answer's bytes, or None: no answer, and close."""

    async def on_frame(self, frame: bytes, peer: Peer) -> bytes | None:
        """A complete frame."""

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> bytes | None:
        """What could not be framed; the connection closes afterwards, answered or not.

        Noise before a good frame is the exception: an answer to it is ignored and the frame is
        taken as usual.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    max_frame_bytes: int = 1_000_000
    head_bytes: int = 65_536
    max_connections: int = 200
    max_in_flight: int = 64
    read_timeout: float = 30.0  # an incomplete frame, or a peer that reads no answers
    idle_timeout: float = 600.0


class _Slot:
    """A request in work; answers leave in the order of the slots."""

    __slots__ = ("answer", "done", "last", "mute")

    def __init__(self, *, last: bool, mute: bool) -> None:
        self.answer: bytes | None = None
        self.done = False
        self.last = last  # close after it
        self.mute = mute  # never answered, and no reason to close


class _Connection(asyncio.Protocol):
    def __init__(self, server: MllpServer) -> None:
        self._server = server
        self._limits = server.limits
        self._deframer = Deframer(server.limits.max_frame_bytes, server.limits.head_bytes)
        self._pending: deque[Item] = deque()
        self._slots: deque[_Slot] = deque()
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("", 0, 0)
        self._ending = False  # nothing more is read
        self._closed = False  # nothing more is answered
        self._reading = True
        self._active_at = 0.0
        self._incomplete_at: float | None = None
        self._blocked_at: float | None = None  # since when the peer reads no answers

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._active_at = self._server.now()
        address = transport.get_extra_info("peername") or ("", 0)
        number = self._server.adopt(self)
        if number is None:
            self._closed = self._ending = True
            self._transport.abort()
            return
        host = str(address[0]).removeprefix("::ffff:")  # IPv4 on a socket that takes both
        self._peer = Peer(host, int(address[1]), number)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._active_at = now = self._server.now()
        items = self._deframer.feed(data)
        if not self._deframer.incomplete:
            self._incomplete_at = None
        elif items or self._incomplete_at is None:
            self._incomplete_at = now
        if items:
            self._pending.extend(items)
            if self._deframer.closed:
                self._ending = True
            self._advance()

    def eof_received(self) -> bool:
        self._finish()
        return True  # half open: answers in work still leave

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._finish()
        self._server.release(self)

    def pause_writing(self) -> None:
        self._blocked_at = self._server.now()
        self._advance()

    def resume_writing(self) -> None:
        self._blocked_at = None
        self._advance()

    # what the server calls

    def check(self, now: float) -> None:
        """Apply the time-outs."""
        limits = self._limits
        if self._transport is None or self._closed:
            return
        if self._blocked_at is not None:
            if now - self._blocked_at > limits.read_timeout:
                _log.warning("mllp_answers_not_read", connection=self._peer.connection)
                self.abort()
        elif self._incomplete_at is not None and self._reading:
            if now - self._incomplete_at > limits.read_timeout:
                self._finish()
        elif not (self._slots or self._pending) and now - self._active_at > limits.idle_timeout:
            self._close()

    def drain(self) -> None:
        """Read no more; finish and answer what is in hand, then close."""
        self._incomplete_at = None  # unanswered: the sender sends it again
        self._ending = True
        self._advance()

    def abort(self) -> None:
        """Close at once, answers in work are lost (the sender sends again)."""
        self._closed = True
        self._pending.clear()
        if self._transport is not None:
            self._transport.abort()

    # the work

    def _finish(self) -> None:
        """The stream is over: report what is left of it, answer what is in hand, close."""
        if not self._ending:
            self._ending = True
            self._incomplete_at = None
            broken = self._deframer.finish()
            if broken is not None:
                self._pending.append(broken)
        self._advance()

    def _advance(self) -> None:
        """Start what may start, read if more may come, close if all is done."""
        lost = self._closed  # what was received whole, or is to be kept, is still handled
        while (
            self._pending
            and (lost or self._blocked_at is None)
            and len(self._slots) < self._limits.max_in_flight
        ):
            item = self._pending.popleft()
            last = self._ending and not self._pending
            broken = isinstance(item, Broken)
            slot = _Slot(last=broken and last, mute=broken and not last)
            self._slots.append(slot)
            self._server.spawn(self._handle(slot, item))
        if lost:
            return
        room = (
            not self._ending
            and not self._pending
            and self._blocked_at is None
            and len(self._slots) < self._limits.max_in_flight
        )
        if room is not self._reading and self._transport is not None:
            self._reading = room
            if room:
                if self._incomplete_at is not None:
                    self._incomplete_at = self._server.now()
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
        if self._ending and not self._slots and not self._pending:
            self._close()

    async def _handle(self, slot: _Slot, item: Item) -> None:
        handler = self._server.handler
        try:
            if isinstance(item, Frame):
                slot.answer = await handler.on_frame(item.data, self._peer)
            else:
                slot.answer = await handler.on_broken(item.kind, item.head, item.length, self._peer)
        except Exception as error:  # noqa: BLE001 - a fault in one message must not end the rest
            # no answer is the safe answer: the sender keeps the message and sends it again
            _log.error("mllp_handler_failed", exc_info=error)
        slot.done = True
        if self._slots and self._slots[0] is slot:
            self._flush()

    def _flush(self) -> None:
        answers: list[bytes] = []
        close = False
        while self._slots and self._slots[0].done and not close:
            slot = self._slots.popleft()
            if slot.mute:
                continue
            if slot.answer is not None:
                answers.append(frame(slot.answer))
            close = slot.last or slot.answer is None
        if self._closed:
            self._advance()
            return
        self._active_at = self._server.now()
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))
        if close:
            self._pending.clear()
            self._close()
        else:
            self._advance()

    def _close(self) -> None:
        self._closed = self._ending = True
        if self._transport is not None:
            self._transport.close()


class MllpServer:
    """Listens on one address; `port` 0 takes any free one (then `port` says which)."""

    def __init__(
        self,
        handler: Handler,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits = Limits(),
    ) -> None:
        self.handler = handler
        self.host = host
        self.port = port
        self.limits = limits
        self.refused = 0
        self._count = 0
        self._connections: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Messages in work over all connections."""
        return len(self._tasks)

    async def start(self) -> None:
        """Begin to listen. Raises `ConfigurationError` when the address cannot be taken."""
        self._loop = asyncio.get_running_loop()
        try:
            self._server = await self._loop.create_server(
                lambda: _Connection(self), self.host, self.port, backlog=512
            )
        except OSError as error:
            raise ConfigurationError(
                f"MLLP cannot listen on {self.host}:{self.port} ({error.strerror}); free the port "
                "or set HALYARD_HL7V2__PORT."
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._ticker = asyncio.create_task(self._tick(), name="mllp-timeouts")

    async def stop(self, grace: float = 10.0) -> None:
        """Stop accepting, finish and answer frames in hand (at most `grace` s), close."""
        if self._server is None:
            return
        self._server.close()
        if self._ticker is not None:
            self._ticker.cancel()
        for connection in list(self._connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        if self._connections:
            await self._wait(self._empty.wait(), deadline)
        for connection in list(self._connections):
            connection.abort()
        while self._tasks and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        self._server = None

    @staticmethod
    async def _wait(work: Coroutine[Any, Any, object], deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await work
        except TimeoutError:
            _log.warning("mllp_drain_timed_out")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # for connections

    def now(self) -> float:
        """The loop's monotonic time, seconds."""
        assert self._loop is not None
        return self._loop.time()

    def adopt(self, connection: _Connection) -> int | None:
        """Count a new connection in; None when there are too many."""
        if len(self._connections) >= self.limits.max_connections:
            self.refused += 1
            _log.warning("mllp_connection_refused", limit=self.limits.max_connections)
            return None
        self._count += 1
        self._connections.add(connection)
        self._empty.clear()
        return self._count

    def release(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the connection; it is waited for when the server stops."""
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tick(self) -> None:
        pause = min(1.0, self.limits.read_timeout / 4, self.limits.idle_timeout / 4)
        while True:
            await asyncio.sleep(pause)
            now = self.now()
            for connection in list(self._connections):
                connection.check(now)
