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


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_comes_back_as_it_went(at: datetime, row_id: uuid.UUID) -> None:
    """To the microsecond."""
    assert cursors.decode(cursors.encode(at, row_id)) == (at, row_id)


def test_no_cursor_is_none() -> None:
    """A list starts at its beginning."""
    assert cursors.decode(None) is None


@pytest.mark.parametrize("bad", ["", "x", "%%%", "é", "MjAyNnx4", "AAAA"])
def test_anything_else_is_a_problem(bad: str) -> None:
    """Refused with what to do, and without the text."""
    with pytest.raises(HttpProblem) as caught:
        cursors.decode(bad)
    assert caught.value.status_code == 422


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    """Decoding gives a place or a problem."""
    with contextlib.suppress(HttpProblem):
        cursors.decode(text)
