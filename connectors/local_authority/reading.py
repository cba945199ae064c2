"""A flag file, whatever its format, into what was read line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, Protocol

from connectors.local_authority.lines import Line, Lines
from connectors.local_authority.records import Accepted, parse_columns, parse_line
from connectors.local_authority.rules import Refusal
from connectors.local_authority.tables import Part, Record, RefusedFile, Table

Format = Literal["jsonl", "csv"]

CONTENT_TYPES: Final[dict[str, Format]] = {
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/json-lines": "jsonl",
    "application/jsonlines": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
}
"""Formats by the content type of an upload, without its parameters."""


@dataclass(frozen=True, slots=True)
class Read:
    """A line and its record, or why it is refused. `fatal`: and the file with it."""

    line: Line
    parsed: Accepted | tuple[Refusal, ...]
    fatal: bool = False


class Reader(Protocol):
    """Reads one file piece by piece, in flat memory."""

    @property
    def number(self) -> int:
        """The last line seen."""

    def feed(self, chunk: bytes) -> Iterator[Read]:
        """What `chunk` completes."""

    def end(self) -> Iterator[Read]:
        """The rest. Not for a body that broke off."""


def make_reader(format_: Format, *, gss: str, today: date, max_bytes: int) -> Reader:
    """A reader of one file that authority `gss` sends on `today`."""
    made = _CsvReader if format_ == "csv" else _JsonReader
    return made(gss, today, max_bytes)


class _JsonReader:
    def __init__(self, gss: str, today: date, max_bytes: int) -> None:
        self._gss = gss
        self._today = today
        self._lines = Lines(max_bytes)

    @property
    def number(self) -> int:
        return self._lines.number

    def feed(self, chunk: bytes) -> Iterator[Read]:
        return map(self._read, self._lines.feed(chunk))

    def end(self) -> Iterator[Read]:
        return map(self._read, self._lines.end())

    def _read(self, line: Line) -> Read:
        if line.cut:
            return Read(line, (Refusal("", "line.too_long"),))
        return Read(line, parse_line(line.content, gss=self._gss, today=self._today))


class _CsvReader:
    def __init__(self, gss: str, today: date, max_bytes: int) -> None:
        self._gss = gss
        self._today = today
        self._table = Table(max_bytes)

    @property
    def number(self) -> int:
        return self._table.number

    def feed(self, chunk: bytes) -> Iterator[Read]:
        return self._read(self._table.feed(chunk))

    def end(self) -> Iterator[Read]:
        return self._read(self._table.end())

    def _read(self, parts: Iterable[Part]) -> Iterator[Read]:
        for part in parts:
            if isinstance(part, Record):
                parsed = parse_columns(
                    part.columns, gss=self._gss, today=self._today, marks=part.marks
                )
                yield Read(part.line, parsed)
            else:
                yield Read(part.line, part.refusals, fatal=isinstance(part, RefusedFile))
