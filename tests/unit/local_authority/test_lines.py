"""Bytes into lines, however they are cut on the way."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.lines import Line, Lines


def split(chunks: list[bytes], limit: int = 50) -> list[Line]:
    """Every line of a whole body."""
    lines = Lines(limit)
    found = [line for chunk in chunks for line in lines.feed(chunk)]
    return [*found, *lines.end()]


def test_lf_and_crlf_end_a_line_and_the_last_needs_no_end() -> None:
    """Files of both worlds are read alike."""
    assert [(line.number, line.content) for line in split([b"a\r\nb\nc"])] == [
        (1, b"a"),
        (2, b"b"),
        (3, b"c"),
    ]


def test_blank_lines_are_counted_but_not_given() -> None:
    """Line numbers are those that an editor shows."""
    assert [(line.number, line.content) for line in split([b"\n  \na\n\n"])] == [(3, b"a")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    """Some systems write one."""
    assert split([b"\xef\xbb\xbfa\n\xef\xbb\xbfb"])[0].content == b"a"


def test_a_long_line_is_cut_and_said_so_and_the_next_is_whole() -> None:
    """At most the limit is held; the length is the line's own."""
    long, after = split([b"x" * 51, b"x" * 1_000, b"\ny\n"])
    assert (long.content, long.length, long.cut) == (b"x" * 50, 1_051, True)
    assert (after.content, after.cut) == (b"y", False)


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    """Also when it ends with CR LF."""
    for end in (b"\n", b"\r\n", b""):
        (line,) = split([b"x" * 50 + end])
        assert (line.content, line.cut) == (b"x" * 50, False)


def test_memory_is_flat_for_a_body_without_any_line_end() -> None:
    """What is held never exceeds a line's limit by more than one byte."""
    lines = Lines(50)
    for _ in range(1_000):
        assert list(lines.feed(b"x" * 1_000)) == []
        assert len(lines._held) <= 51


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_lines_do_not_depend_on_how_the_body_is_cut(body: bytes, cuts: list[int]) -> None:
    """Any cutting into chunks gives the same lines."""
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    chunks = [body[start:end] for start, end in itertools.pairwise(places)]
    assert split(chunks) == split([body])
