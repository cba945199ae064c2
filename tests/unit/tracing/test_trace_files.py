"""The trace file and its response: columns are configuration, codes and rows are strict."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.trace_files.layout import Layout, load_layout
from connectors.trace_files.request import line_of, reference, write_request
from connectors.trace_files.response import CODES, Reader, RefusedRow, Returned
from connectors.trace_files.results import ResultLine, header, match_rate, rows
from halyard.errors import ConfigurationError
from schemas.events import PersonClaim

BATCH = uuid.UUID("11111111-2222-4333-8444-555555555555")
LAYOUT = load_layout(None)
NUMBER = "9990000018"
TWO_IN_ONE = """
[request]
columns = [["a", "reference"]]
[response]
code = 1
reference = 1
nhs_number = 3
"""
CLAIM = PersonClaim(
    nhs_number=NUMBER,
    family="O'Test, the 2nd",
    given=("Robin", "Ann"),
    birth_date="2017-03-04",
    gender="female",
    postcode="ZZ1 1AA",
)


def answer(line: int, code: str, number: str = "", born: str = "") -> bytes:
    """A row of a response in the shape of the default layout, with others' details in it."""
    cells = [""] * 56
    cells[0], cells[1], cells[3], cells[29] = code, reference(BATCH, line), number, born
    cells[35], cells[37], cells[55] = "SURNAME", '"GIVEN, NAME"', "ZZ9 9ZZ"
    return ",".join(cells).encode() + b"\r\n"


def read(body: bytes, *, piece: int = 11, layout: Layout = LAYOUT) -> list[Returned | RefusedRow]:
    """A response with its first and last line round these rows."""
    text = b"first line\r\n" + body + b"last,line\r\n"
    reader = Reader(layout, "test")
    found: list[Returned | RefusedRow] = []
    for start in range(0, len(text), piece):
        found += reader.feed(text[start : start + piece])
    return [*found, *reader.end()]


def test_a_request_has_the_documented_columns() -> None:
    """A line of names, then one for each person; the local id stays at home."""
    text = b"".join(write_request(LAYOUT, BATCH, [(7, CLAIM), (8, PersonClaim(family="X"))]))
    assert text.decode().split("\r\n") == [
        "id,nhs_no,,,forename,surname,birth_date,death_date,sex,postcode",
        f'111111112222-7,{NUMBER},,,Robin Ann,"O\'Test, the 2nd",20170304,,2,ZZ1 1AA',
        "111111112222-8,,,,,X,,,,",
        "",
    ]


@given(st.uuids(), st.integers(1, 999_999_999))
def test_a_reference_is_of_one_line_of_one_batch(batch: uuid.UUID, line: int) -> None:
    """It comes back as the line; of another batch it is of no line."""
    assert line_of(batch, f" {reference(batch, line).upper()} ") == line
    other = uuid.UUID(int=batch.int ^ (1 << 127))
    assert line_of(other, reference(batch, line)) is None
    assert line_of(batch, reference(batch, line) + "x") is None


def test_each_code_is_read_with_its_number_and_nothing_else() -> None:
    """20, 30, 33 and 40 bring a number; the others none, whatever stands in its column."""
    body = b"".join(answer(n, code, NUMBER, "20170304") for n, code in enumerate(CODES, start=2))
    found = read(body)
    assert [one.code for one in found if isinstance(one, Returned)] == list(CODES)
    numbered = {one.code for one in found if isinstance(one, Returned) and one.nhs_number}
    assert numbered == {"20", "30", "33", "40"}
    assert not any("SURNAME" in repr(one) or NUMBER in repr(one) for one in found)
    assert {one.birth_date for one in found if isinstance(one, Returned)} == {None, "2017-03-04"}


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (answer(2, "50", NUMBER), "trace_file.code"),
        (answer(2, "", NUMBER), "trace_file.code"),
        (answer(2, "30"), "trace_file.number"),
        (answer(2, "20", "0000000000"), "trace_file.number"),
        (answer(2, "20", "9999999999"), "trace_file.number"),
        (answer(2, "20", "4010232137"), "trace_file.number"),  # a live range, in a test profile
        (answer(2, "20", "9990000019"), "trace_file.number"),
        (answer(2, "20", "\uff19990000018"), "trace_file.number"),
        (answer(2, "30", NUMBER, "04/03/2017"), "trace_file.date"),
        (b"30,too,short\r\n", "row.values"),
    ],
)
def test_a_row_that_cannot_be_believed_is_refused(row: bytes, rule: str) -> None:
    """By its line and rule; its neighbours are read."""
    found = read(answer(9, "21") + row + answer(9, "22"))
    assert [type(one) for one in found] == [Returned, RefusedRow, Returned]
    assert isinstance(found[1], RefusedRow)
    assert (found[1].row, found[1].refusal.rule) == (3, rule)
    assert found[1].refusal.message


def test_partial_dates_are_read_and_other_encodings_do_no_harm() -> None:
    """A year alone; UTF-16; Windows-1252 in columns that nobody reads."""
    assert [one.birth_date for one in read(answer(2, "30", NUMBER, "2017"))] == ["2017"]  # type: ignore[union-attr]
    text = b"first\r\n" + answer(2, "30", NUMBER).replace(b"SURNAME", b"Ren\xe9") + b"last\r\n"
    reader = Reader(LAYOUT, "test")
    assert len([*reader.feed(text), *reader.end()]) == 1
    wide = Reader(LAYOUT, "test")
    utf16 = b"\xff\xfe" + (b"first\r\n" + answer(2, "30", NUMBER) + b"last\r\n").decode().encode(
        "utf-16-le"
    )
    assert len([*wide.feed(utf16), *wide.end()]) == 1


@given(st.binary(max_size=500), st.integers(1, 60))
def test_no_bytes_break_the_reader_of_responses(body: bytes, piece: int) -> None:
    """Whatever comes is an answer or refused; the pieces in which it comes do not matter."""
    found = read(body, piece=piece)
    assert found == read(body, piece=10_000)
    for one in found:
        assert one.row > 1
        assert isinstance(one, RefusedRow) or one.code in CODES


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "request"),
        ("[request]\ncolumns = [['a', 'family']]\n", "request"),
        ("[request]\ncolumns = [['a', 'reference'], ['b', 'reference']]\n", "request"),
        ("[request]\ncolumns = [['a', 'address']]\n", "request.columns"),
        (TWO_IN_ONE, "response"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_layout_that_cannot_work_stops_the_command(tmp_path: Path, text: str, place: str) -> None:
    """With the place that is wrong."""
    path = tmp_path / "layout.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=place):
        load_layout(path)


def test_a_result_cannot_be_taken_for_a_formula() -> None:
    """An id that begins like one has an apostrophe before it."""
    text = header() + rows([ResultLine(2, "verified", "r", local_id="+1+cmd", nhs_number=NUMBER)])
    assert text.decode().splitlines()[1] == f"2,'+1+cmd,verified,r,{NUMBER},,"


def test_the_match_rate_counts_every_line() -> None:
    """Refused lines are children without a number too."""
    assert match_rate({"verified": 90, "superseded": 3, "restricted": 2, "refused": 5}) == 0.95
    assert match_rate({"verified": 94, "potential": 6}) == 0.94
    assert match_rate({}) is None
