"""Bytes of a CSV file into rows of cells, in flat memory, with the line on which each begins.

The rules of RFC 4180, with the delimiter given: a value may stand in quotes, then it may hold
delimiters, line ends and doubled quotes; spaces around the quotes are passed over. A quote that
does not fit costs its own line alone: reading goes on with the next physical line, so that an
open quote swallows nothing. Lines end with LF, CR LF or CR.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.local_authority.lines import Line

_END: Final = re.compile(rb"\r\n|\n|\r")
_QUOTE: Final = b'"'
_SPACE: Final = 0x20
_TEXT_FORMULA: Final = re.compile(rb' *="[^"]*" *')  # a spreadsheet's way to say: this is text
_UTF8: Final = codecs.BOM_UTF8
_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx (a ZIP file), .xls
_LONGEST_SIGN: Final = 4


@dataclass(frozen=True, slots=True)
class Physical:
    """A line as an editor shows it; `content` is cut at the limit, `length` is not."""

    number: int  # 1-based
    content: bytes = field(repr=False)
    length: int
    end: bytes = b""

    @property
    def cut(self) -> bool:
        """Whether the line is longer than the limit."""
        return self.length > len(self.content)


class PhysicalLines:
    """Lines with their ends, as UTF-8 (or what 8-bit text the file is).

    `strict`: a byte order mark said what the text is, so nothing else may be guessed.
    `workbook`: the file is a spreadsheet's own, not text; then no line is given.
    """

    def __init__(self, max_bytes: int) -> None:
        self.number = 0
        self.strict = False
        self.workbook = False
        self._max = max_bytes
        self._sign: bytearray | None = bytearray()  # until the first bytes have said what this is
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = bytearray()
        self._length = 0
        self._cr = False

    def feed(self, chunk: bytes) -> Iterator[Physical]:
        """The lines that `chunk` completes."""
        if self._sign is not None:
            self._sign += chunk
            if len(self._sign) < _LONGEST_SIGN:
                return
            chunk = self._begin()
        if self._decoder is not None:
            chunk = self._transcoded(chunk)
        yield from self._split(chunk)

    def end(self) -> Iterator[Physical]:
        """A last line without an end."""
        rest = b""
        if self._sign is not None:
            rest = self._begin()
        if self._decoder is not None:
            rest = self._transcoded(rest)
            try:
                self._decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                rest += b"\xff"  # half a character: no UTF-8 either, so its row is refused
        yield from self._split(rest)
        if self._cr:
            self._cr = False
            yield self._complete(b"\r")
        if self._length:
            yield self._complete(b"")

    def _begin(self) -> bytes:
        first, self._sign = bytes(self._sign or b""), None
        if first.startswith(_WORKBOOKS):
            self.workbook = True
            return b""
        if first.startswith(_UTF8):
            self.strict = True
            return first[len(_UTF8) :]
        for mark, name in _UTF16.items():
            if first.startswith(mark):
                self.strict = True
                self._decoder = codecs.getincrementaldecoder(name)("surrogatepass")
                return first[len(mark) :]
        return first

    def _transcoded(self, chunk: bytes) -> bytes:
        assert self._decoder is not None
        # a lone surrogate goes on as bytes that are no UTF-8: its row is refused, no other
        return self._decoder.decode(chunk).encode("utf-8", "surrogatepass")

    def _split(self, chunk: bytes) -> Iterator[Physical]:
        if self.workbook or not chunk:
            return
        if self._cr:  # its LF may be the first byte here
            self._cr, chunk = False, b"\r" + chunk
        if chunk.endswith(b"\r"):
            self._cr, chunk = True, chunk[:-1]
        start = 0
        for match in _END.finditer(chunk):
            self._hold(chunk, start, match.start())
            yield self._complete(match[0])
            start = match.end()
        self._hold(chunk, start, len(chunk))

    def _hold(self, chunk: bytes, start: int, end: int) -> None:
        self._length += end - start
        room = self._max - len(self._held)
        if room > 0:
            self._held += chunk[start : min(end, start + room)]

    def _complete(self, end: bytes) -> Physical:
        self.number += 1
        line = Physical(self.number, bytes(self._held), self._length, end)
        self._held.clear()
        self._length = 0
        return line


@dataclass(frozen=True, slots=True)
class Cells:
    """A row of the file: its bytes, and its values without their quotes."""

    line: Line
    values: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoCells:
    """A line that begins no row, and the rule that says why."""

    line: Line
    rule: str


class _Misquoted(Exception):
    """A quote stands where none can be."""


@dataclass(slots=True)
class _Open:
    """A row whose quote has not closed yet."""

    lines: list[Physical]
    values: list[bytes]
    part: bytearray
    size: int


class Rows:
    """Physical lines into rows of `width` values, at most `max_bytes` long each."""

    def __init__(self, *, delimiter: bytes, width: int, max_bytes: int) -> None:
        self._delimiter = delimiter
        self._width = width
        self._max = max_bytes
        self._open: _Open | None = None

    def feed(self, line: Physical) -> Iterator[Cells | NoCells]:
        """What `line` completes; blank lines are passed over."""
        waiting = deque([line])
        while waiting:
            if self._open is None:
                yield from self._first(waiting.popleft())
            else:
                yield from self._further(self._open, waiting)

    def end(self) -> Iterator[Cells | NoCells]:
        """What is left of the file: a quote that never closed, and the lines after it."""
        while self._open is not None:
            waiting: deque[Physical] = deque()
            yield self._give_up(self._open, "row.quote_open", waiting)
            while waiting:
                yield from self.feed(waiting.popleft())

    def _first(self, line: Physical) -> Iterator[Cells | NoCells]:
        if line.cut:
            yield NoCells(_line([line]), "row.too_long")
            return
        if _QUOTE not in line.content:
            if line.content.strip():
                yield self._row([line], line.content.split(self._delimiter))
            return
        values: list[bytes] = []
        try:
            part = scan(line.content, self._delimiter, values, None)
        except _Misquoted:
            yield NoCells(_line([line]), "row.quotes")
            return
        if part is None:
            yield self._row([line], values)
        else:
            self._open = _Open([line], values, part, line.length)

    def _further(self, row: _Open, waiting: deque[Physical]) -> Iterator[Cells | NoCells]:
        line = waiting.popleft()
        last = row.lines[-1]
        row.lines.append(line)
        row.size += len(last.end) + line.length
        if line.cut or row.size > self._max:
            yield self._give_up(row, "row.quote_open", waiting)
            return
        row.part += last.end
        try:
            part = scan(line.content, self._delimiter, row.values, row.part)
        except _Misquoted:
            yield self._give_up(row, "row.quotes", waiting)
            return
        if part is not None:
            row.part = part
        elif len(row.values) != self._width:
            yield self._give_up(row, "row.values", waiting)
        else:
            self._open = None
            yield Cells(_line(row.lines), tuple(row.values))

    def _give_up(self, row: _Open, rule: str, waiting: deque[Physical]) -> NoCells:
        """Only the line with the quote is lost; what followed is read anew."""
        self._open = None
        waiting.extendleft(reversed(row.lines[1:]))
        return NoCells(_line(row.lines[:1]), rule)

    def _row(self, lines: list[Physical], values: list[bytes]) -> Cells | NoCells:
        if len(values) != self._width:
            return NoCells(_line(lines), "row.values")
        return Cells(_line(lines), tuple(values))


def scan(
    content: bytes, delimiter: bytes, values: list[bytes], part: bytearray | None
) -> bytearray | None:
    """Add the values of a line to `values`; gives the value whose quote stays open, else None.

    `part`: such a value from the line before; it is extended. Raises `_Misquoted`.
    """
    at, length = 0, len(content)
    while True:
        if part is None:
            start = at
            while at < length and content[at] == _SPACE:
                at += 1
            if content[at : at + 1] != _QUOTE:
                end = content.find(delimiter, start)
                value = content[start:] if end < 0 else content[start:end]
                if _QUOTE in value and not _TEXT_FORMULA.fullmatch(value):
                    raise _Misquoted
                values.append(value)
                if end < 0:
                    return None
                at = end + 1
                continue
            part = bytearray()
            at += 1
        end = content.find(_QUOTE, at)
        if end < 0:
            part += content[at:]
            return part
        part += content[at:end]
        at = end + 1
        if content[at : at + 1] == _QUOTE:
            part += _QUOTE
            at += 1
            continue
        values.append(bytes(part))
        part = None
        while at < length and content[at] == _SPACE:
            at += 1
        if at == length:
            return None
        if content[at : at + 1] != delimiter:
            raise _Misquoted
        at += 1


def header_cells(content: bytes, delimiter: bytes) -> list[bytes] | None:
    """The values of a first line, None if its quotes do not match."""
    values: list[bytes] = []
    try:
        return None if scan(content, delimiter, values, None) is not None else values
    except _Misquoted:
        return None


def _line(lines: list[Physical]) -> Line:
    if len(lines) == 1:
        (one,) = lines
        return Line(one.number, one.content, one.length)
    content = b"".join(part for one in lines[:-1] for part in (one.content, one.end)) + (
        lines[-1].content
    )
    return Line(lines[0].number, content, len(content))
