"""Bytes of a CSV file into rows, however they are cut, quoted or broken."""

from __future__ import annotations

import csv
import io
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.rows import Cells, NoCells, PhysicalLines, Rows

Found = list[tuple[int, tuple[bytes, ...] | str]]


def read(*chunks: bytes, width: int = 2, limit: int = 200, delimiter: bytes = b",") -> Found:
    """(line, values or rule) of every row of a file."""
    lines, rows = PhysicalLines(limit), Rows(delimiter=delimiter, width=width, max_bytes=limit)
    found: list[Cells | NoCells] = []
    for chunk in chunks:
        for line in lines.feed(chunk):
            found.extend(rows.feed(line))
    for line in lines.end():
        found.extend(rows.feed(line))
    found.extend(rows.end())
    return [(one.line.number, one.values if isinstance(one, Cells) else one.rule) for one in found]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood_and_the_last_is_not_needed(end: bytes) -> None:
    """Files of all worlds are read alike, with the line numbers of an editor."""
    assert read(end.join([b"a,b", b"", b"c,d"])) == [(1, (b"a", b"b")), (3, (b"c", b"d"))]


def test_quotes_hold_delimiters_line_ends_and_doubled_quotes() -> None:
    """A row is named by the line on which it begins; the next counts from its last."""
    assert read(b'"a,1","b\r\n""x"""\r\nc, "d" \n') == [
        (1, (b"a,1", b'b\r\n"x"')),
        (3, (b"c", b"d")),
    ]


def test_an_open_quote_costs_its_own_line_alone() -> None:
    """Whether it is noticed at the next quote, at the limit or at the end of the file."""
    assert read(b'a,"b\nc,"d"\ne,f\n') == [(1, "row.quotes"), (2, (b"c", b"d")), (3, (b"e", b"f"))]
    assert read(b'a,"b\nc,d\n') == [(1, "row.quote_open"), (2, (b"c", b"d"))]
    many = read(b'a,"b\n' + b"c,d\n" * 100, limit=50)
    assert many[0] == (1, "row.quote_open")
    assert [line for line, _ in many] == list(range(1, 102))


def test_the_text_formula_of_a_spreadsheet_is_a_value() -> None:
    """`="9990000018"`, bare as some exports write it: its meaning is the cell's, not the row's."""
    assert read(b'="9990000018",b\nc, ="1" \n') == [
        (1, (b'="9990000018"', b"b")),
        (2, (b"c", b' ="1" ')),
    ]
    assert read(b'="a"b",c\nd,="e\n') == [(1, "row.quotes"), (2, "row.quotes")]


def test_a_quote_inside_a_bare_value_is_refused() -> None:
    """There is no one reading of it."""
    assert read(b'a,b "c"\nd,e\n') == [(1, "row.quotes"), (2, (b"d", b"e"))]
    assert read(b'"a"b,c\n') == [(1, "row.quotes")]


def test_rows_of_another_width_are_refused_alone() -> None:
    """More or fewer values than the header has columns, also over several lines."""
    assert read(b'a\na,b,c\n"a\nb"\nc,d\n') == [
        (1, "row.values"),
        (2, "row.values"),
        (3, "row.values"),
        (4, "row.quotes"),
        (5, (b"c", b"d")),
    ]


def test_a_long_line_is_refused_and_never_held() -> None:
    """At most the limit is in memory, whatever comes."""
    lines = PhysicalLines(50)
    for _ in range(1_000):
        assert list(lines.feed(b"x" * 1_000)) == []
        assert len(lines._held) <= 50
    assert read(b"x" * 300 + b"\na,b\n", limit=100) == [(1, "row.too_long"), (2, (b"a", b"b"))]


@pytest.mark.parametrize(
    "piece", [b'",\n', b'x","\n', b'"""\n', b'"a""\n', b'"\n' + b"\n" * 199, b'","\n', b'"\r"\r\r"']
)
def test_no_file_of_quotes_takes_long(piece: bytes) -> None:
    """Reading anew after an open quote stays proportional to the file."""
    body = piece * (30_000 // len(piece))
    began = time.process_time()
    read(body, limit=16_000)
    assert time.process_time() - began < 10  # some tenths; reading anew each time takes minutes


@given(
    st.lists(
        st.lists(st.text(alphabet='ab",; \r\n', max_size=6), min_size=2, max_size=2), max_size=6
    ),
    st.sampled_from([",", ";"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_standard_library_writes_is_read_back(
    rows: list[list[str]], delimiter: str, end: str
) -> None:
    """Any values at all, quoted where needed."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read(file.getvalue().encode(), delimiter=delimiter.encode())
    assert [values for _, values in found] == [
        tuple(value.encode() for value in row) for row in rows
    ]


@given(
    st.lists(st.sampled_from([b"a", b",", b'"', b"\r", b"\n", b"\xc3", b"\0", b" "]), max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"P", b"PK\x03\x04"]),
)
def test_rows_do_not_depend_on_how_the_body_is_cut(
    pieces: list[bytes], cuts: list[int], sign: bytes
) -> None:
    """Any cutting into chunks gives the same rows, and each line is accounted for in order."""
    body = sign + b"".join(pieces)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    whole = read(body, limit=20)
    assert read(*(body[start:end] for start, end in itertools.pairwise(places)), limit=20) == whole
    assert [line for line, _ in whole] == sorted({line for line, _ in whole})
