"""MLLP server: a transport that knows frames, not HL7.

One connection carries many messages. A pipelining sender may have `max_in_flight` of them in
work at once; the answers leave in the order of the requests. Memory is bounded for each
connection (one frame and one chunk) and over all of them (`connectors.hl7v2.floods`): where a
limit is reached, the socket is not read. A connection ends when an answer is withheld (None),
after a broken frame, when it is idle, when it must give way, and when the server stops: then what
has arrived whole is answered first.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from connectors.hl7v2.connection import READ_BYTES, Connection
from connectors.hl7v2.floods import Memory, Pace, Places
from connectors.hl7v2.peers import Handler, Peer, Reply
from halyard import metrics
from halyard.errors import ConfigurationError
from halyard.telemetry import get_logger

__all__ = ["Handler", "Limits", "MllpServer", "Peer", "Reply"]

_log = get_logger()
_BACKLOG: Final = 512
_RECEIVE_BYTES: Final = 262_144
_HANDSHAKE_SECONDS: Final = 10.0
_TLS_CLOSE_SECONDS: Final = 1.0
_ACCEPT_RETRY_SECONDS: Final = 0.5  # the process is out of sockets
_TELL_SECONDS: Final = 1.0  # refused connections are logged at most so often


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    max_frame_bytes: int = 1_000_000
    head_bytes: int = 65_536
    max_connections: int = 500
    max_connections_per_address: int = 200
    max_buffered_bytes: int = 64_000_000
    max_in_flight: int = 64
    refusals_per_second: float = 20.0
    read_timeout: float = 30.0  # an incomplete frame, or a peer that reads no answers
    idle_timeout: float = 600.0


class MllpServer:
    """Listens on one address; `port` 0 takes any free one (then `port` says which).

    With `tls` it speaks TLS and nothing else.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits = Limits(),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.handler = handler
        self.host = host
        self.port = port
        self.limits = limits
        self.refused = 0
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Where connections read into, one after the other."""
        self._tls = tls
        self._count = 0
        self._places = Places(limits.max_connections, limits.max_connections_per_address)
        self._pace = Pace(limits.refusals_per_second)
        self._memory = Memory(limits.max_buffered_bytes)
        self._squeezed: set[Connection] = set()
        self._told_at = float("-inf")
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
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

    @property
    def buffered(self) -> int:
        """Bytes held over all connections."""
        return self._memory.incomplete + self._memory.in_work

    async def start(self) -> None:
        """Begin to listen. Raises `ConfigurationError` when the address cannot be taken."""
        self._loop = asyncio.get_running_loop()
        try:
            self._listeners = await self._bind(self._loop)
        except OSError as error:
            raise ConfigurationError(
                f"MLLP cannot listen on {self.host}:{self.port} ({error.strerror}); free the port "
                "or set HALYARD_HL7V2__PORT."
            ) from None
        self.port = self._listeners[0].getsockname()[1]
        for listener in self._listeners:
            self._open(self._accept(self._loop, listener))
        self._ticker = asyncio.create_task(self._tick(), name="mllp-timeouts")

    async def _bind(self, loop: asyncio.AbstractEventLoop) -> list[socket.socket]:
        found = await loop.getaddrinfo(
            self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound: list[socket.socket] = []
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                listener = socket.socket(family, kind, protocol)
                bound.append(listener)
                listener.setblocking(False)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # what the system takes for a connection that is not read is memory too
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(address)
                listener.listen(_BACKLOG)
        except OSError:
            for listener in bound:
                listener.close()
            raise
        return bound

    async def stop(self, grace: float = 10.0) -> None:
        """Stop accepting, answer what has arrived whole (at most `grace` s), close."""
        if not self._listeners:
            return
        for task in list(self._opening):
            task.cancel()
        for listener in self._listeners:
            listener.close()
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
        self._listeners = []

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

    # who comes

    async def _accept(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        while True:
            # who gives way has a socket until it is closed: nobody else comes before that
            while len(self._connections) > self.limits.max_connections:
                self._left.clear()
                await self._left.wait()
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                _log.warning("mllp_accept_failed", error=type(error).__name__)
                await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
                continue
            host = str(address[0]).removeprefix("::ffff:")  # IPv4 on a socket that takes both
            if not self._admit(host):
                accepted.close()
                continue
            self._count += 1
            peer = Peer(host, int(address[1]), self._count)
            connection = Connection(self, peer, tls=self._tls is not None)
            self._places.take(host)
            self._connections.add(connection)
            self._empty.clear()
            opening = self._open(self._connect(loop, accepted, connection))
            opening.add_done_callback(partial(self._opened, accepted, connection))
            connection.opening = opening

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, accepted: socket.socket, connection: Connection
    ) -> None:
        timeouts = {} if self._tls is None else self._timeouts()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **timeouts
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is one of them
            accepted.close()
            self._pace.charge(connection.peer.host, self.now())
            self._refuse("handshake", type(error).__name__)
            self.release(connection)

    def _opened(
        self, accepted: socket.socket, connection: Connection, opening: asyncio.Task[None]
    ) -> None:
        if opening.cancelled():  # perhaps before it began
            accepted.close()
            self.release(connection)

    def _timeouts(self) -> dict[str, float]:
        return {
            "ssl_handshake_timeout": min(_HANDSHAKE_SECONDS, self.limits.read_timeout),
            "ssl_shutdown_timeout": _TLS_CLOSE_SECONDS,
        }

    def _admit(self, host: str) -> bool:
        if self._places.crowded(host):
            self._refuse("address", "too many connections of one address")
            return False
        if self._places.full and not self._make_room():
            self._refuse("total", "too many connections")
            return False
        return True

    def _make_room(self) -> bool:
        """Close the oldest connection that has sent nothing acceptable and has nothing in work.

        Its place is free when its socket is closed; until then `_accept` waits.
        """
        idle = (one for one in self._connections if not (one.proven or one.working or one.aborted))
        oldest = min(idle, key=lambda one: one.opened_at, default=None)
        if oldest is None:
            return False
        self.ended("room")
        oldest.abort()
        return True

    def _refuse(self, reason: str, text: str) -> None:
        self.refused += 1
        self.ended(reason)
        if (now := self.now()) - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            _log.warning("mllp_connection_refused", reason=text, refused=self.refused)

    # for connections

    def now(self) -> float:
        """The loop's monotonic time, seconds."""
        assert self._loop is not None
        return self._loop.time()

    def later(
        self, seconds: float, call: Callable[..., object], *arguments: object
    ) -> asyncio.TimerHandle:
        """Call after so many seconds."""
        assert self._loop is not None
        return self._loop.call_later(seconds, call, *arguments)

    def ended(self, reason: str) -> None:
        """Count a connection that the server refuses or ends."""
        metrics.count("halyard_hl7v2_connections_ended_total", reason=reason)

    def charge(self, host: str, refusals: int) -> float:
        """Count refused messages; gives for how long their connection is not to be read."""
        return self._pace.charge(host, self.now(), refusals)

    def debt(self, host: str) -> float:
        """For how long a new connection of `host` is not to be read."""
        return self._pace.debt(host, self.now())

    def count_incomplete(self, connection: Connection, held: int) -> None:
        """A connection holds so many bytes of an incomplete frame now."""
        if connection not in self._connections:
            return
        grown = held > connection.counted
        self._memory.incomplete += held - connection.counted
        connection.counted = held
        if grown and self._memory.overdrawn:
            slowest = min(
                (one for one in self._connections if one.unfinished),
                key=lambda one: (one.proven, one.incomplete_at or 0.0),
                default=None,
            )
            if slowest is not None:
                self.ended("memory")
                slowest.give_up()

    def count_work(self, connection: Connection, size: int) -> None:
        """So many bytes more (or less) are in work."""
        self._memory.in_work += size
        connection.in_work += size
        if size < 0 and self._squeezed and not self._memory.scarce:
            squeezed, self._squeezed = self._squeezed, set()
            for one in squeezed:
                one.advance()

    def may_read(self, connection: Connection) -> bool:
        """Whether there is memory for more of this connection."""
        if self._memory.may_read(connection.in_work):
            return True
        self._squeezed.add(connection)
        return False

    def release(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._squeezed.discard(connection)
        self._left.set()
        self._places.leave(connection.peer.host)
        self._memory.incomplete -= connection.counted
        connection.counted = 0
        if not self._connections:
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the connection; it is waited for when the server stops."""
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    async def _tick(self) -> None:
        pause = min(1.0, self.limits.read_timeout / 4, self.limits.idle_timeout / 4)
        while True:
            await asyncio.sleep(pause)
            now = self.now()
            self._pace.forget(now)
            metrics.gauge("halyard_hl7v2_buffered_bytes", self.buffered)
            for connection in list(self._connections):
                connection.check(now)
