"""Bytes into lines, in flat memory: whatever comes, at most one line's limit is held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; `content` is cut at the limit, `length` is not."""

    number: int  # 1-based
    content: bytes = field(repr=False)
    length: int
    context: bytes = field(default=b"", repr=False)  # what gives the content its meaning: a header

    @property
    def cut(self) -> bool:
        """Whether the line is longer than the limit."""
        return self.length > len(self.content)


class Lines:
    """Splits at LF (CR LF too); `number` is the last line seen."""

    def __init__(self, max_bytes: int) -> None:
        self.number = 0
        self._max = max_bytes
        self._held = bytearray()
        self._length = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that `chunk` completes, blank ones left out (and counted)."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._hold(chunk[start:end])
            yield from self._complete()
            start = end + 1
        self._hold(chunk[start:])

    def end(self) -> Iterator[Line]:
        """A last line without an end. Not for a body that broke off: its last line is a part."""
        if self._length:
            yield from self._complete()

    def _hold(self, piece: bytes) -> None:
        self._length += len(piece)
        # one more than the limit, for a CR at the end
        self._held += piece[: self._max + 1 - len(self._held)]

    def _complete(self) -> Iterator[Line]:
        self.number += 1
        content, length = bytes(self._held), self._length
        self._held.clear()
        self._length = 0
        if length == len(content) and content.endswith(b"\r"):
            content, length = content[:-1], length - 1
        if self.number == 1 and content.startswith(_BOM):
            content, length = content[3:], length - 3
        if content.strip():
            yield Line(self.number, content[: self._max], length)
