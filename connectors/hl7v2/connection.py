"""One MLLP connection: frames in, answers out in the same order, nothing without a bound.

Made and looked after by `connectors.hl7v2.mllp.MllpServer`, which says what the rules are.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections import deque
from collections.abc import Iterator
from socket import SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Final, cast

from connectors.hl7v2.framing import Broken, Deframer, Frame, Item, frame
from connectors.hl7v2.peers import Peer, Reply
from connectors.hl7v2.tls import fingerprint
from halyard.telemetry import get_logger

if TYPE_CHECKING:
    from connectors.hl7v2.mllp import MllpServer

_log = get_logger()

# One read at a time: 32 KiB, in a buffer that all connections of a server share
READ_BYTES: Final = 32_768
# Messages in work at once: so many at first, one after a refusal, twice as many after an accept
_FIRST_WINDOW: Final = 8
_DRAIN_SECONDS: Final = 1.0  # reading what has arrived before a stop
_LINGER_SECONDS: Final = 0.5  # for the sender to read its last answers
_LOOK_SECONDS: Final = 0.02


class _Slot:
    """A request in work; answers leave in the order of the slots."""

    __slots__ = ("done", "last", "mute", "reply", "size")

    def __init__(self, *, last: bool, mute: bool, size: int) -> None:
        self.reply: Reply | None = None
        self.done = False
        self.last = last  # close after it
        self.mute = mute  # never answered, and no reason to close
        self.size = size


class Connection(asyncio.BufferedProtocol):
    """The protocol behind one socket."""

    def __init__(self, server: MllpServer, peer: Peer, *, tls: bool) -> None:
        self._server = server
        self._limits = server.limits
        self.peer = peer
        self.proven = False
        """Whether it has sent a message that was accepted."""
        self.opened_at = server.now()
        self._window = min(_FIRST_WINDOW, server.limits.max_in_flight)
        self._tls = tls
        self._deframer = Deframer(server.limits.max_frame_bytes, server.limits.head_bytes)
        self._items: Iterator[Item] = iter(())
        self._peeked: Item | None = None
        self._slots: deque[_Slot] = deque()
        self.opening: asyncio.Task[None] | None = None
        """Makes the transport: with TLS, for as long as the handshake lasts."""
        self.aborted = False
        """Whether it was closed at once; its socket is for a moment still there."""
        self._transport: asyncio.Transport | None = None
        self._over = False  # the stream has ended: what is left of it is to be reported
        self._ending = False  # nothing more is read
        self._closed = False  # nothing more is answered
        self._lingering = False  # answered and closed on our side; what comes is thrown away
        self._reading = True
        self._held: asyncio.TimerHandle | None = None  # not read until then
        self._active_at = self.opened_at
        self.incomplete_at: float | None = None
        """Since when a frame is incomplete."""
        self.in_work = 0
        """Bytes of the messages in work."""
        self.counted = 0
        """Bytes of an incomplete frame, as the server has counted them."""
        self._blocked_at: float | None = None  # since when the peer reads no answers

    @property
    def unfinished(self) -> bool:
        """Whether it holds a frame that may still become whole."""
        return self.counted > 0 and not self._ending

    @property
    def working(self) -> bool:
        """Whether a message of it is in work or waits."""
        return bool(self._slots) or self._peeked is not None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._active_at = self._server.now()
        if self._tls:
            tls = transport.get_extra_info("ssl_object")
            shown = fingerprint(tls.getpeercert(binary_form=True))
            self.peer = Peer(self.peer.host, self.peer.port, self.peer.connection, shown)
        if self._closed:  # the server stopped during the handshake
            self._transport.abort()
        else:
            self.hold(self._server.debt(self.peer.host))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending:
            return
        self._active_at = now = self._server.now()
        self._items = self._deframer.items(bytes(self._server.buffer[:nbytes]))
        # more than nothing came whole out of this chunk: what is incomplete began in it
        if self._peek() is not None or self.incomplete_at is None:
            self.incomplete_at = now
        self._advance()

    def eof_received(self) -> bool:
        if self._lingering:
            return False
        self._finish()
        return not self._tls  # half open: answers in work still leave (TLS knows no such thing)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._held is not None:
            self._held.cancel()
            self._held = None
        if self._window == 1 and self._limits.max_in_flight > 1:
            # after a refusal: what waits behind it is not worth keeping a dead connection for
            self._ending = True
            self._items, self._peeked = iter(()), None
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
        if not self._reading and self._broken():
            self.abort()
        elif self._blocked_at is not None:
            if now - self._blocked_at > limits.read_timeout:
                _log.warning("mllp_answers_not_read", connection=self.peer.connection)
                self._server.ended("unread")
                self.abort()
        elif self._deframer.incomplete and self.incomplete_at is not None and self._reading:
            if now - self.incomplete_at > limits.read_timeout:
                self._server.ended("slow")
                self._finish()
        elif not self.working and now - self._active_at > limits.idle_timeout:
            self._server.ended("idle")
            self._close()

    def give_up(self) -> None:
        """Make room: what is incomplete is reported and the connection closes."""
        if self._held is not None or self._blocked_at is not None:
            self.abort()  # the report would have to wait
        else:
            self._finish()

    def hold(self, seconds: float) -> None:
        """Do not read for a while."""
        if seconds > 0 and self._held is None and not self._ending:
            self._held = self._server.later(seconds, self._unhold)
            self._advance()

    def _unhold(self) -> None:
        self._held = None
        self._advance()

    def advance(self) -> None:
        """Something that others hold has been set free."""
        self._advance()

    def drain(self) -> None:
        """Take what has arrived whole, answer it, then close; read no more after that."""
        self._look(self._server.now() + _DRAIN_SECONDS)

    def _look(self, deadline: float) -> None:
        if self._closed or self._ending:
            return
        if self._server.now() < deadline and (self._peeked is not None or self._unread()):
            self._server.later(_LOOK_SECONDS, self._look, deadline)
            return
        # an incomplete frame stays unanswered: the sender sends it again
        self._lingering = not self._tls
        self._ending = True
        self._advance()

    def _unread(self) -> int:
        """Bytes that the system has taken from the peer and we have not read."""
        socket = self._transport.get_extra_info("socket") if self._transport else None
        if socket is None or socket.fileno() < 0:
            return 0
        with contextlib.suppress(OSError):
            given = fcntl.ioctl(socket.fileno(), termios.FIONREAD, b"\0" * 4)
            return int(struct.unpack("i", given)[0])
        return 0

    def _broken(self) -> bool:
        """Whether the peer has reset the connection: who does not read is not told."""
        socket = self._transport.get_extra_info("socket") if self._transport else None
        if socket is None or socket.fileno() < 0:
            return False
        return bool(socket.getsockopt(SOL_SOCKET, SO_ERROR))

    def abort(self) -> None:
        """Close at once, answers in work are lost (the sender sends again)."""
        self._closed = self.aborted = True
        self._items, self._peeked = iter(()), None
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    # the work

    def _finish(self) -> None:
        """The stream is over: report what is left of it, answer what is in hand, close."""
        if not self._ending:
            self._over = self._ending = True
            self._peek()
        self._advance()

    def _peek(self) -> Item | None:
        """The next item that waits, without taking it."""
        if self._peeked is None:
            self._peeked = next(self._items, None)
            if self._peeked is None and self._over:
                self._over = False
                self._peeked = self._deframer.finish()
            if self._deframer.closed:
                self._ending = True
        return self._peeked

    def _advance(self) -> None:
        """Start what may start, read if more may come, close if all is done."""
        lost = self._closed  # what was received whole, or is to be kept, is still handled
        while (
            (lost or (self._blocked_at is None and self._held is None))
            and len(self._slots) < self._window
            and (item := self._peek()) is not None
        ):
            self._peeked = None
            more = self._peek() is not None
            self._start(item, last=self._ending and not more)
        self._server.count_incomplete(self, self._deframer.held)
        if not self._deframer.incomplete:
            self.incomplete_at = None
        elif self.incomplete_at is None:
            self.incomplete_at = self._server.now()
        if not lost:
            self._read_or_wait()
            if self._ending and not self.working:
                self._close()

    def _start(self, item: Item, *, last: bool) -> None:
        broken = isinstance(item, Broken)
        size = len(item.head if isinstance(item, Broken) else item.data)
        slot = _Slot(last=broken and last, mute=broken and not last, size=size)
        self._slots.append(slot)
        self._server.count_work(self, size)
        self._server.spawn(self._handle(slot, item))

    def _read_or_wait(self) -> None:
        room = (
            not self._ending
            and self._peeked is None
            and self._held is None
            and self._blocked_at is None
            and len(self._slots) < self._window
            and self._server.may_read(self)
        )
        if room is self._reading or self._transport is None:
            return
        self._reading = room
        if room:
            if self.incomplete_at is not None:
                self.incomplete_at = self._server.now()
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    async def _handle(self, slot: _Slot, item: Item) -> None:
        handler = self._server.handler
        reply: Reply | bytes | None = None
        try:
            if isinstance(item, Frame):
                reply = await handler.on_frame(item.data, self.peer)
            else:
                reply = await handler.on_broken(item.kind, item.head, item.length, self.peer)
        except Exception as error:  # noqa: BLE001 - a fault in one message must not end the rest
            # no answer is the safe answer: the sender keeps the message and sends it again
            _log.error("mllp_handler_failed", exc_info=error)
        slot.reply = Reply((reply,)) if isinstance(reply, bytes) else reply
        slot.done = True
        self._judge(slot, broken=isinstance(item, Broken))
        self._server.count_work(self, -slot.size)
        if self._slots and self._slots[0] is slot:
            self._flush()

    def _judge(self, slot: _Slot, *, broken: bool) -> None:
        """A sender that proves itself keeps its place; refusals are paced."""
        reply = slot.reply
        refused = 1 if broken else 0 if reply is None else reply.refused
        if reply is not None and reply.taken and not broken:
            self.proven = True
            self._window = min(2 * self._window, self._limits.max_in_flight)
        elif refused:
            self._window = 1
        if refused:
            self.hold(self._server.charge(self.peer.host, refused))

    def _flush(self) -> None:
        answers: list[bytes] = []
        close = False
        while self._slots and self._slots[0].done and not close:
            slot = self._slots.popleft()
            if slot.mute:
                continue
            if slot.reply is not None:
                answers += [frame(answer) for answer in slot.reply.frames]
            close = slot.last or slot.reply is None
        if self._closed:
            self._advance()
            return
        self._active_at = self._server.now()
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))
        if close:
            self._items, self._peeked = iter(()), None
            self._close()
        else:
            self._advance()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = self._ending = True
        if self._transport is None:
            return
        if not self._lingering:
            self._transport.close()
            return
        # closing a socket with bytes unread would make the system drop answers under way
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()
            if not self._reading:
                self._reading = True
                self._transport.resume_reading()
        self._server.later(_LINGER_SECONDS, self._transport.close)
