"""One attempt at a hospital's own system: an HL7 v2 message over MLLP, and what its ACK means.

A connection carries one message at a time and is kept for the next. It is dropped whenever an
answer could be taken for another's: after a time-out, after an answer that names another message
or cannot be read, and when anything comes that nobody asked for. No address, message or answer is
ever logged, and no error carries them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from connectors.hl7v2.ack import AckError, parse_ack
from connectors.hl7v2.framing import Deframer, Frame, frame
from connectors.hl7v2.outgoing import Outgoing, Parties, UnsendableError, build
from connectors.sending import Delivered, Message, Refused, Result, Retry, Target
from halyard.errors import ConfigurationError, TransientError
from halyard.outbound import ANYWHERE, ForbiddenAddress, Outbound

MAX_ANSWER_BYTES: Final = 65_536

_TAKEN: Final = frozenset({"AA", "CA"})
_WRONG: Final = frozenset({"AE", "CE"})  # the content: sending it again changes nothing
_NOT_NOW: Final = frozenset({"AR", "CR"})  # not the content (HL7 v2.4, 2.9.2)
# HL7 table 0357: message type, event code, processing id, version not supported. No time mends that
_UNSUPPORTED: Final = frozenset({"200", "201", "202", "203"})
_REASONS: Final = {"control-id": "ack-of-another"}


class _Closed(TransientError):
    """The receiver closed before it answered; the message is sent again."""


class _Unasked(TransientError):
    """What came is no answer to what was sent; the connection is dropped."""


def client_tls(
    ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """TLS 1.2 or newer for ``mllps://``: verifies the receiver's name and chain.

    Raises `ConfigurationError` for a file that is missing or not PEM.
    """
    if key_file is not None and certificate_file is None:
        raise ConfigurationError(
            "HALYARD_DELIVERY__MLLP_KEY_FILE needs HALYARD_DELIVERY__MLLP_CERTIFICATE_FILE."
        )
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate_file is not None:
            context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "A file of HALYARD_DELIVERY__MLLP_CA_FILE, …CERTIFICATE_FILE or …KEY_FILE cannot be "
            f"used ({type(error).__name__}); give PEM files that this process may read."
        ) from None
    return context


class _Wire(asyncio.Protocol):
    """One connection. `usable` until anything happens that was not asked for."""

    def __init__(self) -> None:
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._deframer = Deframer(max_frame_bytes=MAX_ANSWER_BYTES, head_bytes=64)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for item in self._deframer.feed(data):
            waiting = self._answer
            if waiting is None or waiting.done() or not isinstance(item, Frame):
                self.drop(_Unasked())
            else:
                waiting.set_result(item.data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(_Closed())

    def drop(self, why: TransientError) -> None:
        """Close at once; whoever waits is told."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(why)

    async def exchange(self, data: bytes) -> bytes:
        """Send one message and give the next frame. Raises `_Closed` or `_Unasked`."""
        if self._transport is None or not self.usable:
            raise _Closed
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(frame(data))
            return await self._answer
        finally:
            self._answer = None


@dataclass(slots=True)
class _Line:
    """The connections to one address."""

    places: asyncio.Semaphore
    idle: list[_Wire] = field(default_factory=list)
    timers: dict[_Wire, asyncio.TimerHandle] = field(default_factory=dict)


@dataclass(slots=True)
class _Stage:
    """How far an attempt has come, to tell what a time-out means."""

    reason: str = "busy"
    reached: bool = False


class Hl7v2Sender:
    """Sends to MLLP listeners; an async context manager that closes its connections.

    `timeout_seconds` bounds an attempt as a whole; `connections` are kept to one address, and no
    more are opened; one without use is closed after `idle_seconds`.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        connections: int = 1,
        idle_seconds: float = 30.0,
        facility: str = "HALYARD",
        production: bool = False,
        tls: ssl.SSLContext | None = None,
        outbound: Outbound = ANYWHERE,
    ) -> None:
        self._timeout = timeout_seconds
        self._outbound = outbound
        self._connections = connections
        self._idle = idle_seconds
        self._facility = facility
        self._production = production
        self._tls = tls
        self._lines: dict[str, _Line] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for line in self._lines.values():
            for wire in line.idle:
                line.timers.pop(wire).cancel()
                wire.drop(_Closed())
            line.idle.clear()

    async def send(self, target: Target, message: Message) -> Result:
        """One attempt. Raises nothing for what the other side does or fails to do."""
        parties = Parties(
            self._facility, target.application, target.facility, production=self._production
        )
        try:
            # hl7apy takes tens of milliseconds, which others need not wait for
            outgoing = await asyncio.to_thread(build, message, parties)
        except UnsendableError:
            return Refused("no-hl7-form")
        line = self._lines.get(target.url)
        if line is None:
            line = self._lines[target.url] = _Line(asyncio.Semaphore(self._connections))
        stage = _Stage()
        try:
            async with asyncio.timeout(self._timeout), line.places:
                return await self._attempt(line, target, outgoing, stage)
        except TimeoutError:
            return Retry(stage.reason, destination_down=stage.reason != "busy")
        except _Unasked:
            return Retry("ack-unreadable", destination_down=True)
        except ssl.SSLError:
            return Retry("tls", destination_down=True)
        except (ValueError, UnicodeError):  # the port, or the host's name
            return Retry("address", destination_down=True)
        except ForbiddenAddress:
            return Retry("forbidden-address", destination_down=True)
        except (OSError, _Closed):
            return Retry("broken" if stage.reached else "connect", destination_down=True)

    async def _attempt(
        self, line: _Line, target: Target, outgoing: Outgoing, stage: _Stage
    ) -> Result:
        wire = self._kept(line)
        if wire is not None:
            try:
                return await self._exchange(line, wire, outgoing, stage)
            except _Closed:
                # Listeners close what was idle just when it is used again: that says nothing of
                # the destination, so this once it is sent anew. A repeat has the same MSH-10
                stage.reached = False
        stage.reason = "connect"
        wire = await self._connected(target.url)
        return await self._exchange(line, wire, outgoing, stage)

    async def _exchange(
        self, line: _Line, wire: _Wire, outgoing: Outgoing, stage: _Stage
    ) -> Result:
        stage.reason, stage.reached = "timeout", True
        result: Result | None = None
        try:
            answer = await wire.exchange(outgoing.data)
            result, sound = _judged(answer, outgoing)
            if not sound:
                wire.drop(_Unasked())
            return result
        finally:
            if result is None:  # also when this attempt is cancelled: a late ACK is nobody's
                wire.drop(_Closed())
            elif wire.usable:
                self._keep(line, wire)

    async def _connected(self, url: str) -> _Wire:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host is None or port is None:
            raise ValueError
        tls = None
        if parts.scheme == "mllps":
            tls = self._tls or client_tls(None, None, None)
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # what is connected to is what was checked, whatever the DNS says next
        addresses = [str(info[4][0]) for info in infos if self._outbound.allows(str(info[4][0]))]
        if not addresses:
            raise ForbiddenAddress
        for address in addresses[:-1]:
            with contextlib.suppress(ConnectionError):
                return await self._opened(address, port, tls, host)
        return await self._opened(addresses[-1], port, tls, host)

    @staticmethod
    async def _opened(address: str, port: int, tls: ssl.SSLContext | None, host: str) -> _Wire:
        _, wire = await asyncio.get_running_loop().create_connection(
            _Wire, address, port, ssl=tls, server_hostname=host if tls else None
        )
        return wire

    def _kept(self, line: _Line) -> _Wire | None:
        while line.idle:
            wire = line.idle.pop()
            line.timers.pop(wire).cancel()
            if wire.usable:
                return wire
        return None

    def _keep(self, line: _Line, wire: _Wire) -> None:
        def expire() -> None:
            line.idle.remove(wire)
            del line.timers[wire]
            wire.drop(_Closed())

        line.idle.append(wire)
        line.timers[wire] = asyncio.get_running_loop().call_later(self._idle, expire)


def _judged(answer: bytes, outgoing: Outgoing) -> tuple[Result, bool]:
    """What an answer means, and whether the connection is still in step."""
    try:
        ack = parse_ack(answer, outgoing.data)
    except AckError as error:
        return Retry(_REASONS.get(error.rule, "ack-unreadable"), destination_down=True), False
    if ack.code in _TAKEN:
        return Delivered(f"ack-{ack.code.lower()}"), True
    if ack.code in _WRONG:
        return Refused(f"ack-{ack.code.lower()}"), True
    if ack.code in _NOT_NOW:
        reason = f"ack-{ack.code.lower()}"
        if not _UNSUPPORTED.isdisjoint(ack.errors):
            return Refused(f"{reason}-unsupported"), True
        return Retry(reason, destination_down=True, answered=True), True
    return Retry("ack-unknown-code", destination_down=True, answered=True), False
