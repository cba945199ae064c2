"""Derived ids: stable for ever, and no two lists of parts run together."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from halyard.ids import derive

PARTS = st.lists(st.text(max_size=6), max_size=4)


def test_ids_stay_as_they_were() -> None:
    """An id is a contract with every database that holds one: golden values."""
    assert derive("x") == uuid.UUID("90d64555-8e2f-59a3-87ab-a3865e04f3bd")
    assert derive("alert", "a", "b") == uuid.UUID("063a64ea-b376-5a6a-a06e-ef73cb9811d0")
    assert derive("attendance", "RXX-ADT", "MSG1", 7) == uuid.UUID(
        "daa4100f-a59f-5391-bcc5-2bd75ca7903e"
    )


def test_an_id_is_a_version_5_uuid() -> None:
    """As RFC 9562 marks it."""
    assert derive("x").version == 5


@given(PARTS, PARTS)
def test_other_parts_give_another_id(one: list[str], other: list[str]) -> None:
    """("ab", "c") and ("a", "bc") are told apart, and so is every other pair."""
    assert (derive("kind", *one) == derive("kind", *other)) == (one == other)


def test_the_kind_is_not_a_part() -> None:
    """The same cause gives an attendance and an alert different ids."""
    assert derive("alert", "1") != derive("attendance", "1")
    assert derive("ab", "c") != derive("a", "bc")


def test_a_number_is_its_text() -> None:
    """A line number may come as either."""
    assert derive("line", 12) == derive("line", "12")
