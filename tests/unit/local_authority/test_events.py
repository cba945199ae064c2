"""Reading the live list."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_authority.events import MAX_LINE, Event, Events, StreamBroken, Versions

STREAM = (
    b"retry: 1000\n: hello\n\n"
    b"id: a\nevent: alert\ndata: {1}\ndata: {2}\n\n: nothing new\n\nid: b\n\n"
    b"event: alert\r\ndata: \xc3\xa9\r\n\r\nid: c\ndata"
)


def test_events_ids_and_comments_are_told_apart() -> None:
    """Comments mean nothing, an id alone moves the place, an event without one keeps it."""
    assert list(Events().feed(STREAM)) == [
        Event("a", "alert", "{1}\n{2}"),
        Event("b", "message", ""),
        Event("b", "alert", "é"),
    ]


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_the_cut_into_chunks_changes_no_event(cuts: list[int]) -> None:
    """Also inside a letter, an id or a line end."""
    places = [0, *sorted(cuts), len(STREAM)]
    found = Events()
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(places)]
    assert [event for piece in pieces for event in found.feed(piece)] == list(Events().feed(STREAM))


@given(st.binary(max_size=300))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever bytes come."""
    for event in Events().feed(data):
        assert event.kind


def test_a_line_without_end_is_refused() -> None:
    """Memory is bounded."""
    with pytest.raises(StreamBroken):
        list(Events().feed(b"x" * (MAX_LINE + 1)))


def test_a_version_is_told_once_and_an_older_one_never() -> None:
    """And only so many alerts are remembered."""
    versions = Versions(most=2)
    assert [versions.is_new("a", number) for number in (1, 1, 3, 2, 4)] == [1, 0, 1, 0, 1]
    assert versions.is_new("b", 1)
    assert versions.is_new("c", 1)
    assert versions.is_new("a", 1)  # forgotten
