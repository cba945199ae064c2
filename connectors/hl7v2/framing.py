"""MLLP framing (HL7 v2 Transport Specification: MLLP, release 1): ``0B`` message ``1C 0D``.

A pure state machine from chunks to frames, tolerant where real senders are sloppy:

- the ``0D`` after ``1C`` may be missing; CR, LF, spaces and NULs between frames mean nothing;
- anything else outside a frame is *noise*: kept, reported, never answered; noise without end
  ends the stream after 64 KiB;
- ``0B MSH`` inside a frame means that the sender gave up the first message: it is *truncated*;
- a frame beyond the limit is *oversize*: its first bytes are kept, the rest is counted only.

How the bytes are cut into chunks never changes what comes out (property-tested).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

START: Final = b"\x0b"
END: Final = b"\x1c"
TAIL: Final = b"\x1c\r"
_FILLER: Final = b"\r\n\t \x00"
_GIVEN_UP: Final = b"\x0bMSH"
_MAX_NOISE: Final = 65_536

BrokenKind = Literal["oversize", "truncated", "noise"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A complete frame: the bytes between ``0B`` and ``1C``."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be framed: its first bytes, and how many there were (at least)."""

    kind: BrokenKind
    head: bytes = field(repr=False)
    length: int


Item = Frame | Broken


def frame(message: bytes) -> bytes:
    """`message` as it goes over the wire."""
    return START + message + TAIL


class Deframer:
    """Cuts a byte stream into frames; holds at most `max_frame_bytes` and one chunk.

    After an oversize or truncated frame the stream cannot be trusted: `closed` is true and
    whatever follows is ignored.
    """

    __slots__ = (
        "_buffer",
        "_discarded",
        "_head_bytes",
        "_inside",
        "_max_bytes",
        "_max_discard",
        "_max_noise",
        "_noise",
        "_noise_length",
        "closed",
    )

    def __init__(self, max_frame_bytes: int = 1_000_000, head_bytes: int = 65_536) -> None:
        self._max_bytes = max_frame_bytes
        self._head_bytes = head_bytes
        # an endless frame must end some time: beyond this its length is "at least"
        self._max_discard = 64 * max_frame_bytes
        self._max_noise = min(max_frame_bytes, _MAX_NOISE)
        self._buffer = bytearray()
        self._inside = False
        self._discarded = 0  # length of an oversize frame so far; its head is in the buffer
        self._noise = bytearray()
        self._noise_length = 0
        self.closed = False

    @property
    def incomplete(self) -> bool:
        """True while a frame has begun and not ended, or noise waits for a frame."""
        return not self.closed and (self._inside or self._noise_length > 0)

    @property
    def held(self) -> int:
        """Bytes of what is not complete yet."""
        return len(self._buffer) + len(self._noise)

    def feed(self, data: bytes) -> list[Item]:
        """Take a chunk and give what it completes, in order."""
        return list(self.items(data))

    def items(self, data: bytes) -> Iterator[Item]:
        """As `feed`, one at a time: a chunk of tiny frames costs no memory before it is asked for.

        Take all of them before the next chunk.
        """
        at = 0
        while at < len(data) and not self.closed:
            if not self._inside:
                start = data.find(START, at)
                self._add_noise(data[at:] if start < 0 else data[at:start])
                if self._noise_length > self._max_noise:
                    yield self._noise_without_end()
                    return
                if start < 0:
                    return
                if self._noise_length:
                    yield self._take_noise()
                self._inside, at = True, start + 1
                continue
            end = data.find(END, at)
            if end < 0:
                yield from self._hold(data[at:])
                return
            yield self._complete(data[at:end])
            at = end + 1

    def _hold(self, rest: bytes) -> Iterator[Item]:
        if self._discarded:
            self._discard(rest)
        else:
            self._buffer += rest
            if len(self._buffer) > self._max_bytes:
                self._discarded = len(self._buffer)
                del self._buffer[self._head_bytes :]
        if self._discarded > self._max_discard:
            yield self._broken("oversize", bytes(self._buffer), self._discarded)

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        self._buffer += data[: max(0, self._head_bytes - len(self._buffer))]

    def _complete(self, last: bytes) -> Item:
        if self._discarded:
            self._discard(last)
            return self._broken("oversize", bytes(self._buffer), self._discarded)
        if self._buffer:
            self._buffer += last
            last = bytes(self._buffer)
            self._buffer.clear()
        self._inside = False
        if len(last) > self._max_bytes:
            return self._broken("oversize", last[: self._head_bytes], len(last))
        cut = last.find(_GIVEN_UP)
        if cut >= 0:
            return self._broken("truncated", last[: min(cut, self._head_bytes)], cut)
        return Frame(last)

    def finish(self) -> Broken | None:
        """The stream ends here, or its time is up: what is left, if anything."""
        if not self.incomplete:
            return None
        if self._discarded:
            return self._broken("oversize", bytes(self._buffer), self._discarded)
        if self._inside:
            head = bytes(self._buffer[: self._head_bytes])
            return self._broken("truncated", head, len(self._buffer))
        return self._noise_without_end()

    def _noise_without_end(self) -> Broken:
        self.closed = True
        return self._take_noise()

    def _broken(self, kind: BrokenKind, head: bytes, length: int) -> Broken:
        self.closed = True
        self._buffer.clear()
        return Broken(kind, head, length)

    def _add_noise(self, data: bytes) -> None:
        if not self._noise_length:
            data = data.lstrip(_FILLER)
        self._noise_length += len(data)
        self._noise += data[: max(0, self._head_bytes - len(self._noise))]
        if self._noise_length > self._max_noise:  # from here on its length is "at least"
            self._noise_length = self._max_noise + 1
            del self._noise[self._noise_length :]

    def _take_noise(self) -> Broken:
        noise = Broken("noise", bytes(self._noise), self._noise_length)
        self._noise.clear()
        self._noise_length = 0
        return noise
