"""A CSV file into the columns of flag records, or the reason why it is refused.

The first line names the columns, in any order and letter case and under the names of `ALIASES`;
it also shows the delimiter. A file whose header cannot be understood is refused as a whole, a row
alone. Pure, streaming, in flat memory; never raises, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from connectors.local_authority.cells import SERIAL, is_serial, read_cell
from connectors.local_authority.lines import Line
from connectors.local_authority.records import COLUMNS, SPARE
from connectors.local_authority.rows import (
    Cells,
    NoCells,
    Physical,
    PhysicalLines,
    Rows,
    header_cells,
)
from connectors.local_authority.rules import Refusal

ALIASES: Final = {
    "nhs_number": ("NHS Number", "NHS No", "NHS Num"),
    "family": ("Family name", "Surname", "Last name"),
    "given": ("Given name", "Given names", "Forename", "Forenames", "First name", "First names"),
    "birth_date": ("Birth date", "Date of birth", "DOB"),
    "plan_type": ("Plan type", "Type of plan", "Plan"),
    "start": ("Start date", "Plan start", "Plan start date"),
    "end": ("End date", "Plan end", "Plan end date"),
    "delete": ("Delete date", "Deleted"),
    "la_gss": ("GSS code", "GSS"),
    "local_id": ("Local ID", "Local identifier", "Child ID", "Person ID", "Client ID"),
    "phone_office": ("Office phone", "Office hours phone", "Office hours tel number"),
    "phone_emergency": ("Emergency phone", "Emergency duty phone", "Emergency duty tel number"),
    "upn": ("UPN", "Unique pupil number"),
    "siblings": ("Siblings", "Sibling IDs", "Sibling local IDs"),
}
"""Other names of each column, as people read them; case, spaces and punctuation do not count."""

DELIMITERS: Final = (b",", b";", b"\t")
CHARSET: Final = "charset.fallback"
"""Mark of a record that was no UTF-8 and was read as Windows-1252."""

_LETTERS = re.compile(r"[^a-z0-9]+", re.ASCII)
_SEPARATOR = re.compile(rb'"?sep=([,;\t])"?', re.IGNORECASE)
_NEEDED: Final = ("plan_type", "local_id")
_SHOWN: Final = 20  # refusals of one header


def _plain(name: str) -> str:
    return _LETTERS.sub("", name.lower())


@dataclass(frozen=True, slots=True)
class Record:
    """A row by its columns, as a line of JSON would have them."""

    line: Line
    columns: dict[str, str | None] = field(repr=False)
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is no record, and every reason; the file goes on."""

    line: Line
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """The end: nothing of this file can be read. `line` is that of its header."""

    line: Line
    refusals: tuple[Refusal, ...]


Part = Record | RefusedRow | RefusedFile


@dataclass(frozen=True, slots=True)
class Heading:
    """What a first line may name. `known`: columns by their names in plain letters; `needed` gives
    those of which one is missing; the values of `passed_over` are not looked at.
    """

    known: Mapping[str, str]
    needed: Callable[[set[str]], Sequence[str]]
    passed_over: frozenset[str] = frozenset()


def heading(
    columns: Iterable[str],
    aliases: Mapping[str, Sequence[str]],
    needed: Callable[[set[str]], Sequence[str]],
    *,
    passed_over: Iterable[str] = (),
) -> Heading:
    """A heading of `columns`, each also known by its `aliases`."""
    known = {
        _plain(name): column for column in columns for name in (column, *aliases.get(column, ()))
    }
    return Heading(known, needed, frozenset(passed_over))


class Table:
    """Reads one file piece by piece; `number` is the last line seen."""

    def __init__(self, max_bytes: int, heading: Heading | None = None) -> None:
        """`heading`: default, that of a flag file."""
        self._max = max_bytes
        self._heading = heading or FLAGS
        self._lines = PhysicalLines(max_bytes)
        self._delimiter: bytes | None = None
        self._columns: tuple[str | None, ...] = ()
        self._context = b""
        self._rows: Rows | None = None
        self._refused = False

    @property
    def number(self) -> int:
        """The last line seen."""
        return self._lines.number

    def feed(self, chunk: bytes) -> Iterator[Part]:
        """What `chunk` completes."""
        for line in self._lines.feed(chunk):
            yield from self._line(line)
        yield from self._workbook()

    def end(self) -> Iterator[Part]:
        """The rest. Not for a body that broke off: its last row is a part of one."""
        for line in self._lines.end():
            yield from self._line(line)
        yield from self._workbook()
        if self._rows is not None:
            yield from self._parts(self._rows.end())

    def _workbook(self) -> Iterator[Part]:
        if self._lines.workbook and not self._refused:
            yield self._refuse(Line(1, b"", 0), Refusal("", "file.workbook"))

    def _line(self, line: Physical) -> Iterator[Part]:
        if self._refused:
            return
        if self._rows is None:
            yield from self._header(line)
        else:
            yield from self._parts(self._rows.feed(line))

    def _refuse(self, line: Line, *refusals: Refusal) -> RefusedFile:
        self._refused = True
        return RefusedFile(line, refusals)

    # -- the header

    def _header(self, line: Physical) -> Iterator[RefusedFile]:
        whole = Line(line.number, line.content, line.length)
        if line.cut:
            yield self._refuse(whole, Refusal("", "header.not_readable"))
            return
        if b"\0" in line.content:
            yield self._refuse(whole, Refusal("", "file.not_text"))
            return
        if not line.content.strip():
            return
        if self._delimiter is None and (said := _SEPARATOR.fullmatch(line.content)):
            self._delimiter = said[1]
            return
        given = (self._delimiter,) if self._delimiter is not None else DELIMITERS
        read = [(one, names) for one in given if (names := _names(line.content, one)) is not None]
        if not read:
            yield self._refuse(whole, Refusal("", "header.not_readable"))
            return
        known = self._heading.known
        delimiter, names = max(read, key=lambda one: len(_known(one[1], known)))
        if not _known(names, known):
            yield self._refuse(whole, Refusal("", "header.none"))
        elif refusals := _wrong(names, self._heading):
            yield self._refuse(whole, *refusals)
        else:
            self._columns = tuple(known.get(_plain(name)) for name in names)
            named = ",".join(column or "" for column in self._columns)
            self._context = b"csv " + delimiter + b" " + named.encode() + b"\n"
            self._rows = Rows(delimiter=delimiter, width=len(names), max_bytes=self._max)

    # -- rows

    def _parts(self, rows: Iterator[Cells | NoCells]) -> Iterator[Part]:
        for row in rows:
            line = replace(row.line, context=self._context)
            if isinstance(row, NoCells):
                yield RefusedRow(line, (Refusal("", row.rule),))
            elif (part := self._row(line, row.values)) is not None:
                yield part

    def _row(self, line: Line, values: Sequence[bytes]) -> Record | RefusedRow | None:
        texts, marks = self._texts(values)
        if texts is None:
            return RefusedRow(line, (Refusal("", "row.characters"),))
        if not any(text.strip() for text in texts):
            return None  # spreadsheets write their empty rows too
        columns: dict[str, str | None] = {}
        refusals = []
        for place, (column, text) in enumerate(zip(self._columns, texts, strict=True), start=1):
            if column is None:
                if text.strip():
                    refusals.append(Refusal(f"column {place}", "row.extra"))
                continue
            if column in self._heading.passed_over:
                continue
            value = read_cell(column, text)
            if isinstance(value, Refusal) and column in SPARE:  # none keeps a child's plan out
                marks = tuple(dict.fromkeys((*marks, SPARE[column])))
                continue
            if isinstance(value, Refusal):
                refusals.append(value)
                continue
            columns[column] = value
            if is_serial(column, text) and SERIAL not in marks:
                marks = (*marks, SERIAL)
        return RefusedRow(line, tuple(refusals)) if refusals else Record(line, columns, marks)

    def _texts(self, values: Sequence[bytes]) -> tuple[list[str] | None, tuple[str, ...]]:
        try:
            return [value.decode() for value in values], ()
        except UnicodeDecodeError:
            if self._lines.strict:
                return None, ()
        try:
            return [value.decode("windows-1252") for value in values], (CHARSET,)
        except UnicodeDecodeError:
            return None, ()


def read_csv(chunks: Iterable[bytes], *, max_bytes: int = 16_000) -> Iterator[Part]:
    """All of a file, given in pieces of any size. `max_bytes`: the longest row."""
    table = Table(max_bytes)
    for chunk in chunks:
        yield from table.feed(chunk)
    yield from table.end()


def _names(header: bytes, delimiter: bytes) -> list[str] | None:
    cells = header_cells(header, delimiter)
    # what is no UTF-8 is no name that is known here: how it is shown does not matter
    return None if cells is None else [cell.decode(errors="replace") for cell in cells]


def _known(names: Sequence[str], known: Mapping[str, str]) -> set[str]:
    return {column for name in names if (column := known.get(_plain(name)))}


def _wrong(names: Sequence[str], heading: Heading) -> list[Refusal]:
    """What is wrong with the columns; those that are not known by their place, not their name: a
    file without a header has a person's details there."""
    refusals = []
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        column = heading.known.get(_plain(name))
        if column is None:
            if name.strip():
                refusals.append(Refusal(f"column {place}", "header.unknown"))
        elif column in seen:
            refusals.append(Refusal(column, "header.twice"))
        else:
            seen.add(column)
    missing = (Refusal(column, "header.missing") for column in heading.needed(seen))
    return [*refusals, *missing][:_SHOWN]


def _needed(seen: set[str]) -> list[str]:
    missing = [column for column in _NEEDED if column not in seen]
    if not seen & {"start", "delete"}:
        missing.append("start")
    if "nhs_number" not in seen and not {"family", "birth_date"} <= seen:
        missing.append("nhs_number")
    return missing


FLAGS: Final = heading(COLUMNS, ALIASES, _needed)
"""The first line of a flag file."""
