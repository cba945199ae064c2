"""Cursors of lists."""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service import cursors
from halyard.http import HttpProblem
from stores.alerts import Cursor, Place


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_comes_back_as_it_went(at: datetime, row_id: uuid.UUID) -> None:
    """To the microsecond."""
    assert cursors.decode(cursors.encode(at, row_id)) == (at, row_id)


_places = st.tuples(st.integers(0, 2**64 - 1), st.uuids())


@given(st.none() | _places, _places)
def test_a_cursor_of_alerts_comes_back_as_it_went(settled: Place | None, at: Place) -> None:
    """Every transaction number there can be; from page to page and at the end of a reading."""
    for cursor in (Cursor(settled, at), Cursor(at, at)):
        text = cursors.encode_change(cursor)
        assert cursors.decode_change(text) == cursor
        assert text
        assert len(text) <= 200


def test_no_cursor_is_none() -> None:
    """A list starts at its beginning."""
    assert cursors.decode(None) is None
    assert cursors.decode_change(None) is None
    assert cursors.encode_change(Cursor(None, None)) is None


def test_a_cursor_of_another_list_is_a_problem() -> None:
    """One list's cursor does not say where another goes on."""
    at, row_id = datetime(2026, 3, 1, tzinfo=UTC), uuid.UUID(int=1)
    with pytest.raises(HttpProblem):
        cursors.decode_change(cursors.encode(at, row_id))
    with pytest.raises(HttpProblem):
        cursors.decode(cursors.encode_change(Cursor((7, row_id), (7, row_id))))


@pytest.mark.parametrize("bad", ["", "x", "%%%", "é", "MjAyNnx4", "AAAA"])
def test_anything_else_is_a_problem(bad: str) -> None:
    """Refused with what to do, and without the text."""
    with pytest.raises(HttpProblem) as caught:
        cursors.decode(bad)
    with pytest.raises(HttpProblem):
        cursors.decode_change(bad)
    assert caught.value.status_code == 422


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    """Decoding gives a place or a problem."""
    with contextlib.suppress(HttpProblem):
        cursors.decode(text)
    with contextlib.suppress(HttpProblem):
        cursors.decode_change(text)
