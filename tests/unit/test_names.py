"""Names and postcodes become comparable, and placeholders are known for what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.names import is_placeholder_given, name_parts, normalise_name, normalise_postcode


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("O'Brien", "OBRIEN"),
        ("O’Brien", "o brien"),
        ("Smith-Jones", "SMITH JONES"),
        ("Zoë", "zoe"),
        ("Łukasz", "lukasz"),
        ("Bjørn", "Bjorn"),
        ("Weiß", "WEISS"),
        ("Nuñez", "Nun\u0303ez"),
        ("ＡＮＮ", "Ann"),
        ("Smith (known as Jones)", "Smith"),
    ],
)
def test_same_name(one: str, other: str) -> None:
    """Case, accents, punctuation, spaces and notes in brackets make no other name."""
    assert normalise_name(one) == normalise_name(other) != ""


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """normalise_name is idempotent for any text."""
    once = normalise_name(text)
    assert normalise_name(once) == once


def test_other_alphabets_stay() -> None:
    """A name in another alphabet is kept, and different names stay different."""
    assert normalise_name("Σοφία") == "σοφια"
    assert normalise_name("किरण") != normalise_name("करण")


def test_parts() -> None:
    """A double-barrelled name has its parts."""
    assert name_parts("Smith-Jones") == name_parts("SMITH JONES") == ("smith", "jones")
    assert name_parts(None) == ()


@pytest.mark.parametrize(
    "text",
    [
        None, "", "-", "Baby", "BABY", "Baby of Ann", "Baby Smith", "B/O Ann", "b / o ANN",
        "BabyBoy", "Babygirl", "Infant", "Twin 1", "Twin1", "twin two", "TWIN A", "Triplet 3",
        "Male", "Female", "Male infant", "Boy", "Girl", "Unknown", "Not known", "NK",
        "N/K", "N/A", "Unnamed", "No name", "Newborn", "Unborn", "Female 2", "X", "Babyof",
    ],
)  # fmt: skip
def test_placeholders(text: str | None) -> None:
    """What stands for "no name yet" is a placeholder, however it is written."""
    assert is_placeholder_given(text)


@pytest.mark.parametrize(
    "text", ["Bo", "Robin", "Infanta", "Babs", "Girlie", "Mali", "Na", "Xander", "Ofelia", "किरण"]
)
def test_names_that_are_no_placeholders(text: str) -> None:
    """Names that look a little like a placeholder are names."""
    assert not is_placeholder_given(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zz1 2ab", "ZZ1 2AB"),
        ("ZZ12AB", "ZZ1 2AB"),
        (" zz1a-2ab ", "ZZ1A 2AB"),
        ("ZZ99 3VZ", None),
        ("ZZ1", None),
        ("", None),
        (None, None),
        ("12345", None),
    ],
)
def test_postcodes(text: str | None, expected: str | None) -> None:
    """Full postcodes get one shape; partial and pseudo-postcodes are none."""
    assert normalise_postcode(text) == expected
