"""A CSV file by its columns: understood, or refused with line and column."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.reading import make_reader
from connectors.local_authority.records import COLUMNS, Accepted
from connectors.local_authority.tables import (
    ALIASES,
    Part,
    Record,
    RefusedFile,
    RefusedRow,
    read_csv,
)
from tests.support.face import NORTH

HEADER = "nhs_number,family,birth_date,plan_type,start,local_id"
ROW = "9990000018,Testfield,2017-03-04,CPP,2025-01-06,C-1"
RECORD = {
    "nhs_number": "9990000018",
    "family": "Testfield",
    "birth_date": "2017-03-04",
    "plan_type": "CPP",
    "start": "2025-01-06",
    "local_id": "C-1",
}


def parts(*lines: str | bytes, end: bytes = b"\r\n") -> list[Part]:
    """Everything that these lines give."""
    body = end.join(one if isinstance(one, bytes) else one.encode() for one in lines) + end
    return list(read_csv([body]))


def record(*lines: str | bytes) -> Record:
    """The only record of these lines."""
    (found,) = parts(*lines)
    assert isinstance(found, Record), found
    return found


def refused(*lines: str | bytes) -> set[tuple[int, str, str]]:
    """(line, column, rule) of everything that is refused; a refused file is the last word."""
    found = parts(*lines)
    assert not any(isinstance(one, RefusedFile) for one in found[:-1])
    return {
        (one.line.number, refusal.field, refusal.rule)
        for one in found
        if not isinstance(one, Record)
        for refusal in one.refusals
    }


def test_a_row_gives_the_columns_of_a_line_of_json() -> None:
    """With its line number and its bytes."""
    found = record(HEADER, ROW)
    assert found.columns == RECORD
    assert (found.line.number, found.line.content, found.marks) == (2, ROW.encode(), ())


@pytest.mark.parametrize("column", COLUMNS)
def test_every_other_name_of_a_column_is_known_in_any_letters(column: str) -> None:
    """As people write them: capitals, spaces, hyphens, dots."""
    base = {one: one for one in ("nhs_number", "plan_type", "local_id", "start")}
    for name in (column, *ALIASES[column]):
        for written in (name, name.upper(), f" {name.replace(' ', '-')}. "):
            header = {**base, column: written}
            values = dict.fromkeys(header, "") | {column: "x"}
            (found,) = parts(",".join(header.values()), ",".join(values.values()))
            if isinstance(found, RefusedRow):  # x is no date
                assert {one.field for one in found.refusals} == {column}
            else:
                assert isinstance(found, Record)
                assert {k for k, v in found.columns.items() if v} == {column}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_shows_the_delimiter(delimiter: str) -> None:
    """Other delimiters in values do not mislead."""
    values = ROW.replace("Testfield", '"Test,fi;eld"').split(",2017")
    row = values[0].replace(",", delimiter, 1) + delimiter + "2017" + values[1]
    row = row.replace(",CPP,", f"{delimiter}CPP{delimiter}").replace(",C-1", f"{delimiter}C-1")
    found = record(HEADER.replace(",", delimiter), row)
    assert found.columns == {**RECORD, "family": "Test,fi;eld"}


def test_a_line_that_names_the_separator_is_obeyed() -> None:
    """Spreadsheets write one."""
    header, row = HEADER.replace(",", ";"), ROW.replace(",", ";")
    assert record("sep=;", header, row).line.number == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_unicode_text_is_read_with_and_without_its_mark(encoding: str) -> None:
    """UTF-8, and UTF-16 as "Unicode text" is saved."""
    text = f"{HEADER}\r\n{ROW.replace('Testfield', 'Zoë')}\r\n"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    (found,) = read_csv([(mark + text).encode(encoding)])
    assert isinstance(found, Record)
    assert (found.columns["family"], found.marks) == ("Zoë", ())


def test_windows_1252_is_read_and_marked_unless_a_mark_says_otherwise() -> None:
    """A row that is neither is refused alone."""
    row = ROW.replace("Testfield", "Zoë").encode("windows-1252")
    assert record(HEADER, row).columns["family"] == "Zoë"
    assert record(HEADER, row).marks == ("charset.fallback",)
    marked = b"\xef\xbb\xbf" + HEADER.encode()
    assert refused(marked, row) == {(2, "", "row.characters")}
    assert refused(HEADER, row.replace(b"\xeb", b"\x81")) == {(2, "", "row.characters")}


@pytest.mark.parametrize(
    ("header", "refusals"),
    [
        (HEADER + ",shoe size", {("column 7", "header.unknown")}),
        (HEADER + ",DOB", {("birth_date", "header.twice")}),
        (HEADER.replace(",plan_type", ""), {("plan_type", "header.missing")}),
        (HEADER.replace(",start", ""), {("start", "header.missing")}),
        (HEADER.replace(",local_id", ""), {("local_id", "header.missing")}),
        (
            HEADER.replace("nhs_number,", "").replace(",birth_date", ""),
            {("nhs_number", "header.missing")},
        ),
        (ROW, {("", "header.none")}),
        ('"nhs_number', {("", "header.not_readable")}),
        ("x" * 20_000, {("", "header.not_readable")}),
        ("nhs_number\0", {("", "file.not_text")}),
        (b"PK\x03\x04 and so on", {("", "file.workbook")}),
        (b"\xd0\xcf\x11\xe0 and so on", {("", "file.workbook")}),
    ],
)
def test_a_header_that_is_wrong_refuses_the_file(
    header: str | bytes, refusals: set[tuple[str, str]]
) -> None:
    """With line 1 and the column; no row is looked at, and no value is shown."""
    assert refused(header, ROW, ROW) == {(1, field, rule) for field, rule in refusals}


def test_rows_are_refused_by_line_and_column_and_the_rest_goes_on() -> None:
    """A row over several lines is named by its first."""
    found = parts(
        HEADER,
        ROW.replace("Testfield", '"Test\r\nfield"'),
        ROW.replace("9990000018", "9.99E+09").replace("2017-03-04", "4/3/17"),
        ROW.replace("Testfield", 'Test"field'),
        ROW + ",surplus",
        ROW,
    )
    assert [isinstance(one, Record) for one in found] == [True, False, False, False, True]
    assert [one.line.number for one in found] == [2, 4, 5, 6, 7]
    assert isinstance(found[0], Record)
    assert found[0].columns["family"] == "Test field"


@pytest.mark.parametrize("cell", ["#N/A", "=A1", "@SUM(A1)", "2.07946E+09", "0" * 61])
def test_a_phone_that_a_spreadsheet_has_lost_keeps_no_plan_out(cell: str) -> None:
    """The row is taken without it and marked; the other phone stays."""
    reader = make_reader("csv", gss=NORTH, today=date(2026, 3, 10), max_bytes=16_000)
    header = f"{HEADER},phone_office,phone_emergency\n"
    plain, marked = reader.feed(f"{header}{ROW},0,1\n{ROW},{cell},01632 960202\n".encode())
    assert isinstance(plain.parsed, Accepted)
    assert isinstance(marked.parsed, Accepted)
    phones = (marked.parsed.record.phone_office, marked.parsed.record.phone_emergency)
    assert phones == (None, "01632 960202")
    assert (plain.parsed.marks, marked.parsed.marks) == ((), ("phone.not_taken",))


def test_unnamed_columns_may_be_there_as_long_as_they_are_empty() -> None:
    """Spreadsheets save what was once touched; rows of nothing are no records."""
    assert parts(HEADER + ",,", ROW + ",,", ",,,,,,,") == parts(HEADER + ",,", ROW + ",,")
    assert refused(HEADER + ",,", ROW + ",,note") == {(2, "column 8", "row.extra")}


def test_a_file_of_its_header_alone_and_an_empty_file_have_no_records() -> None:
    """Nothing has changed today, they say."""
    assert parts(HEADER) == []
    assert list(read_csv([])) == list(read_csv([b""])) == list(read_csv([b"\xef\xbb\xbf"])) == []


def test_the_meaning_of_a_row_goes_into_what_identifies_it() -> None:
    """The same bytes under another header are another record."""
    swapped = HEADER.replace("start", "S").replace("birth_date", "start").replace("S", "DOB")
    first, second = record(HEADER, ROW), record(swapped, ROW)
    assert first.line.content == second.line.content
    assert first.line.context != second.line.context


def test_records_of_both_formats_are_the_same() -> None:
    """The rules for values are those of a line of JSON."""
    reader = make_reader("csv", gss=NORTH, today=date(2026, 3, 10), max_bytes=16_000)
    bad = ROW.replace("2025-01-06", "2099-01-06").replace("CPP", "UCP")
    good, late = reader.feed(f"{HEADER}\n{ROW.replace('CPP', 'UCP')}\n{bad}\n".encode())
    assert isinstance(good.parsed, Accepted)
    assert good.parsed.marks == ("plan_type.alias",)
    assert not isinstance(late.parsed, Accepted)
    assert [(one.field, one.rule) for one in late.parsed] == [("start", "date.not_plausible")]


def test_memory_is_flat_whatever_the_length_of_the_file() -> None:
    """Five thousand rows in small pieces need no more than fifty."""

    def body(rows: int) -> Iterator[bytes]:
        yield f"{HEADER}\r\n".encode()
        for number in range(rows):
            yield f'9990000018,"Test\nfield",4/3/2017,CPP,2025-01-06,C-{number}\r\n'.encode()

    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            assert sum(isinstance(one, Record) for one in read_csv(body(rows))) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)  # what is made once
    assert peak(5_000) < peak(50) + 20_000


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [HEADER.encode(), ROW.encode(), b"\n", b'"', b"\xff\xfe", b"PK\x03\x04"]
            ),
        ),
        max_size=12,
    )
)
def test_no_bytes_make_it_raise(chunks: list[bytes]) -> None:
    """Whatever is sent is read or refused, in the order of the lines."""
    found = list(read_csv(chunks, max_bytes=200))
    numbers = [one.line.number for one in found]
    assert numbers == sorted(numbers)
    assert not any(isinstance(one, RefusedFile) for one in found[:-1])
    assert all(
        one.message for part in found if not isinstance(part, Record) for one in part.refusals
    )
