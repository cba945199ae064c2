"""MLLP framing: what comes out of a byte stream, however it is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.framing import Broken, Deframer, Frame, Item, frame

_content = st.binary(max_size=40).map(
    lambda data: data.replace(b"\x1c", b".").replace(b"\x0b", b",")
)
_piece = st.one_of(
    _content.map(lambda data: b"\x0b" + data + b"\x1c\r"),
    _content.map(lambda data: b"\x0b" + data + b"\x1c"),
    st.sampled_from([b"\r\n", b" ", b"\x00", b"noise", b"\x0bMSH|half", b"\x0b", b"\x1c"]),
)
_stream = st.lists(_piece, max_size=8).map(b"".join)


def _all(data: bytes, cuts: list[int], limit: int = 1_000) -> list[Item]:
    deframer = Deframer(limit, 16)
    items: list[Item] = []
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(places):
        items += deframer.feed(data[start:end])
    left = deframer.finish()
    return items if left is None else [*items, left]


@given(_stream, st.lists(st.integers(0, 400), max_size=30), st.sampled_from([8, 30, 1_000]))
def test_the_cut_into_chunks_changes_nothing(data: bytes, cuts: list[int], limit: int) -> None:
    """The same bytes give the same items, in one chunk or in many."""
    assert _all(data, cuts, limit) == _all(data, [], limit)


@given(st.lists(_content, max_size=8))
def test_frames_come_back_in_order(contents: list[bytes]) -> None:
    """What `frame` wraps, the deframer gives back, and nothing is left."""
    data = b"".join(frame(content) for content in contents)
    assert _all(data, []) == [Frame(content) for content in contents]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_memory_is_bounded_and_nothing_is_raised(data: bytes, cuts: list[int]) -> None:
    """Any bytes: no error, and no item larger than its limit."""
    for item in _all(data, cuts, 50):
        if isinstance(item, Frame):
            assert len(item.data) <= 50
        else:
            assert len(item.head) <= 16
            assert len(item.head) <= item.length


@pytest.mark.parametrize("between", [b"", b"\r", b"\r\n", b"\n", b"\r\x00 \r"])
def test_the_end_block_is_tolerant(between: bytes) -> None:
    """After 1C the 0D may be missing, doubled or followed by line ends."""
    data = b"\x0bone\x1c" + between + b"\x0btwo\x1c" + between
    assert _all(data, []) == [Frame(b"one"), Frame(b"two")]


def test_noise_before_a_frame_is_reported_and_the_frame_taken() -> None:
    """Bytes outside a frame are kept; the frame behind them is still a frame."""
    assert _all(b"\r\nhello\x0bone\x1c\r", []) == [Broken("noise", b"hello", 5), Frame(b"one")]


def test_noise_alone_is_left_at_the_end() -> None:
    """Noise waits for a frame; what never becomes one is reported with its length."""
    deframer = Deframer(100, 4)
    assert deframer.feed(b"MSH|^~") == []
    assert deframer.incomplete
    assert deframer.finish() == Broken("noise", b"MSH|", 6)
    assert not deframer.incomplete


def test_a_frame_that_was_given_up_is_truncated_and_nothing_after_it_is_trusted() -> None:
    """0B MSH inside a frame: the sender began anew; the stream ends here."""
    deframer = Deframer()
    items = deframer.feed(b"\x0bMSH|first\x0bMSH|second\x1c\r\x0bMSH|third\x1c\r")
    assert items == [Broken("truncated", b"MSH|first", 9)]
    assert deframer.closed
    assert deframer.feed(b"\x0bMSH\x1c\r") == []


def test_a_vertical_tab_in_free_text_stays() -> None:
    """0B that begins no message is content: word processors leave it in text."""
    assert _all(b"\x0bMSH|a\x0bb\x1c\r", []) == [Frame(b"MSH|a\x0bb")]


def test_an_oversize_frame_is_counted_to_its_end_and_its_head_kept() -> None:
    """Beyond the limit the bytes are counted, not held."""
    deframer = Deframer(20, 5)
    for _ in range(10):
        assert deframer.feed(b"0123456789" if deframer.incomplete else b"\x0b123456789") == []
    assert deframer.incomplete
    assert deframer.feed(b"abc\x1c\r") == [Broken("oversize", b"12345", 102)]


def test_an_endless_frame_ends_at_a_limit() -> None:
    """Counting stops some time; the length then means "at least"."""
    deframer = Deframer(10, 4)
    items = deframer.feed(b"\x0b")
    while not items:
        items = deframer.feed(b"x" * 100)
    assert items[0] == Broken("oversize", b"xxxx", 700)


def test_a_truncated_frame_is_left_at_the_end() -> None:
    """A frame without an end is reported when the stream ends."""
    assert _all(b"\x0bMSH|half", []) == [Broken("truncated", b"MSH|half", 8)]
