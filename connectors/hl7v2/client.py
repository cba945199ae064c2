"""MLLP client: for `halyard send`, the practice hospitals and the tests.

A late answer must never be taken for the answer to the next message (it has cost others
patients' data), so a time-out drops the connection. A message in enhanced mode (MSH-15, MSH-16)
may have two answers: the last of them is given to the caller.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from connectors.hl7v2.batch import split
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import Deframer, Frame, frame
from connectors.hl7v2.modes import ORIGINAL, mode_of
from halyard.errors import TransientError


class MllpError(TransientError):
    """The MLLP receiver gave no answer; keep the message, connect again and send it again."""


class ConnectionClosed(MllpError):
    """The MLLP receiver closed the connection before it answered; connect and send again. If it
    closes each time, it may want TLS, or a certificate other than yours: see its log.
    """


class AnswerTimeout(MllpError):
    """No answer came in time and the connection was dropped; connect and send again."""


class CannotConnect(MllpError):
    """No MLLP receiver listens there; check address and port, and that it runs."""


class TlsRefused(CannotConnect):
    """TLS could not be agreed on; check the certificates of both sides and who signed them."""


_COMMITTED: Final = re.compile(rb"\rMSA[^\r]CA[^\r]?")


@dataclass(slots=True)
class _Waiting:
    """A message without its last answer; `two`: after a commit answer (CA) comes another."""

    answer: asyncio.Future[bytes]
    two: bool


class _Answers(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.lost = False
        self._deframer = Deframer()

    def data_received(self, data: bytes) -> None:
        for item in self._deframer.feed(data):
            if isinstance(item, Frame) and self.waiting:
                first = self.waiting[0]
                if first.two and _COMMITTED.search(item.data):
                    first.two = False
                    continue
                self.waiting.popleft()
                if not first.answer.done():
                    first.answer.set_result(item.data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        while self.waiting:
            answer = self.waiting.popleft().answer
            if not answer.done():
                answer.set_exception(ConnectionClosed())


class MllpClient:
    """One connection to an MLLP receiver; `timeout` (s) bounds connecting and each answer.

    With `tls` (`connectors.hl7v2.tls.client_context`) the receiver's certificate must be valid for
    `host`. `source` is the address to send from, if it matters.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self._tls = tls
        self._source = None if source is None else (source, 0)
        self._transport: asyncio.Transport | None = None
        self._answers = _Answers()

    @property
    def connected(self) -> bool:
        """False before `connect` and once either side has closed."""
        return self._transport is not None and not self._answers.lost

    async def connect(self) -> None:
        """Open the connection, anew if it was lost. Raises `CannotConnect` (`TlsRefused`)."""
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                transport, answers = await loop.create_connection(
                    _Answers, self.host, self.port, ssl=self._tls, local_addr=self._source
                )
        except ssl.SSLError:
            raise TlsRefused from None
        except (OSError, TimeoutError):
            raise CannotConnect from None
        self._transport, self._answers = transport, answers

    async def close(self) -> None:
        """Close; unanswered messages end in `ConnectionClosed`."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            await asyncio.sleep(0)  # lets connection_lost tell those who wait

    def submit(self, message: bytes) -> asyncio.Future[bytes]:
        """Put a message on the wire without waiting; answers come in the same order.

        A message whose MSH-15 and MSH-16 want no answer to a success has an empty one at once.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._answers.lost:
            answer.set_exception(ConnectionClosed())
            return answer
        number = _answers_to(message)
        if number:
            self._answers.waiting.append(_Waiting(answer, two=number == 2))
        else:
            answer.set_result(b"")
        self._transport.write(frame(message))
        return answer

    async def answer(self, submitted: asyncio.Future[bytes]) -> bytes:
        """Wait for a submitted message's answer. May raise `AnswerTimeout`, `ConnectionClosed`."""
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.shield(submitted)
        except TimeoutError:
            await self.close()
            submitted.cancel()
            raise AnswerTimeout from None

    async def send(self, message: bytes) -> bytes:
        """Send a message and give the answer's bytes (which may be a NACK: see `ack.parse_ack`).

        Raises `ConnectionClosed` or `AnswerTimeout`: the message may or may not have been taken;
        sending it again is harmless.
        """
        return await self.answer(self.submit(message))

    async def send_many(self, messages: Iterable[bytes], window: int = 16) -> AsyncIterator[bytes]:
        """Send messages with up to `window` unanswered at a time; gives answers in order."""
        waiting: deque[asyncio.Future[bytes]] = deque()
        try:
            for message in messages:
                waiting.append(self.submit(message))
                if len(waiting) >= window:
                    yield await self.answer(waiting.popleft())
            while waiting:
                yield await self.answer(waiting.popleft())
        finally:
            for left in waiting:  # told to the caller by the first that failed
                left.cancel()

    def write_raw(self, data: bytes) -> None:
        """Put bytes on the wire as they are: for tests of what a broken sender does."""
        if self._transport is not None:
            self._transport.write(data)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _answers_to(message: bytes) -> int:
    """How many frames answer a success."""
    if split(message) is not None:
        return 1
    try:
        mode = mode_of(Message.parse(message).segment("MSH"))
    except Er7Error:
        mode = ORIGINAL
    return sum(mode.answers(success=True))
