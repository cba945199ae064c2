"""The answer to a trace file, row by row: which line, which code, and the number if one was found.

Nothing else of a row is kept: its names and addresses are not asked for and not stored. Codes are
those of the Demographics Batch Service. Pure, streaming, in flat memory; never raises, whatever
the bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from connectors.local_authority.rows import (
    Cells,
    NoCells,
    Physical,
    PhysicalLines,
    Rows,
    header_cells,
)
from connectors.local_authority.rules import Refusal
from connectors.trace_files.layout import Layout
from halyard import nhs_number
from halyard.nhs_number import NumberProfile

MAX_FILE_BYTES: Final = 500_000_000
MAX_ROW_BYTES: Final = 16_000


class Meaning(StrEnum):
    """What a code says."""

    FOUND = "found"  # by the details alone
    CONFIRMED = "confirmed"  # the number that was sent is the person's
    SUCCESSOR = "successor"  # the number that was sent was merged into another
    OTHER = "other"  # the number that was sent is not the person's, another is found by details
    NOBODY = "nobody"
    MANY = "many"


CODES: Final = {
    "20": Meaning.FOUND,
    "21": Meaning.NOBODY,
    "22": Meaning.MANY,
    "30": Meaning.CONFIRMED,
    "31": Meaning.NOBODY,
    "32": Meaning.MANY,
    "33": Meaning.OTHER,
    "40": Meaning.SUCCESSOR,
}
"""By the code of a row."""

_NUMBERED: Final = frozenset({Meaning.FOUND, Meaning.CONFIRMED, Meaning.SUCCESSOR, Meaning.OTHER})
_DATE: Final = re.compile(rb"[0-9]{4}(?:[0-9]{2}){0,2}")


@dataclass(frozen=True, slots=True)
class Returned:
    """A row that answers a line. `birth_date`: ISO, perhaps partial, of whom the number is."""

    row: int
    reference: str
    code: str
    meaning: Meaning
    nhs_number: str | None = field(default=None, repr=False)  # usable, ten digits
    birth_date: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that answers nothing, and why."""

    row: int
    refusal: Refusal


class Reader:
    """Reads one response piece by piece."""

    def __init__(
        self, layout: Layout, profile: NumberProfile, *, max_bytes: int = MAX_ROW_BYTES
    ) -> None:
        self._shape = layout.response
        self._profile = profile
        self._max = max_bytes
        self._lines = PhysicalLines(max_bytes)
        self._rows: Rows | None = None
        self._skipped = 0
        # the last rows of a file are no answers: each waits until there are as many after it
        self._held: deque[Cells | NoCells] = deque()

    def feed(self, chunk: bytes) -> Iterator[Returned | RefusedRow]:
        """What `chunk` completes."""
        for line in self._lines.feed(chunk):
            yield from self._line(line)

    def end(self) -> Iterator[Returned | RefusedRow]:
        """The rest, without the trailer."""
        for line in self._lines.end():
            yield from self._line(line)
        if self._lines.workbook:
            yield RefusedRow(1, Refusal("", "file.workbook"))
        if self._rows is not None:
            yield from self._after(self._rows.end())

    def _line(self, line: Physical) -> Iterator[Returned | RefusedRow]:
        if self._skipped < self._shape.header_lines:
            self._skipped += 1
            return
        if self._rows is None:
            if not line.content.strip():
                return
            cells = header_cells(line.content, self._shape.delimiter.encode())
            self._rows = Rows(
                delimiter=self._shape.delimiter.encode(),
                width=len(cells) if cells else 1,
                max_bytes=self._max,
            )
        yield from self._after(self._rows.feed(line))

    def _after(self, rows: Iterator[Cells | NoCells]) -> Iterator[Returned | RefusedRow]:
        for row in rows:
            self._held.append(row)
            while len(self._held) > self._shape.trailer_lines:
                yield self._row(self._held.popleft())

    def _row(self, row: Cells | NoCells) -> Returned | RefusedRow:
        number = row.line.number
        if isinstance(row, NoCells):
            return RefusedRow(number, Refusal("", row.rule))
        shape = self._shape
        code = _cell(row, shape.code).decode("ascii", "replace")
        meaning = CODES.get(code)
        if meaning is None:
            return RefusedRow(number, Refusal("code", "trace_file.code"))
        reference = _cell(row, shape.reference).decode("ascii", "replace")
        if meaning not in _NUMBERED:
            return Returned(number, reference, code, meaning)
        text = _cell(row, shape.nhs_number).decode("ascii", "replace")
        found = nhs_number.parse(text, profile=self._profile).number
        if found is None:
            return RefusedRow(number, Refusal("nhs_number", "trace_file.number"))
        born = _date(_cell(row, shape.birth_date)) if shape.birth_date else None
        if isinstance(born, Refusal):
            return RefusedRow(number, born)
        return Returned(number, reference, code, meaning, found, born)


def _cell(row: Cells, place: int) -> bytes:
    return row.values[place - 1].strip() if 0 < place <= len(row.values) else b""


def _date(text: bytes) -> str | Refusal | None:
    if not text:
        return None
    if not _DATE.fullmatch(text):
        return Refusal("birth_date", "trace_file.date")
    said = text.decode()
    return "-".join(part for part in (said[:4], said[4:6], said[6:]) if part)
