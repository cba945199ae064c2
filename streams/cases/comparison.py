"""How two values of one kind stand to each other: alike, nearly, different, or not to be told.

Symmetric, and without a word on whose they are. Names and postcodes come normalised
(`halyard.names`). No list of nicknames: what is not spelled alike is different.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from streams.cases.ages import PartialDate

SHORTEST_TYPO: Final = 4  # letters: Mia and Mya are two names, not a slip
SHORTEST_PREFIX: Final = 3  # as the comparison with PDS has it: Ben, Benjamin


class Compared(StrEnum):
    """How two values stand to each other; UNTOLD where either is not known."""

    ALIKE = "alike"
    NEARLY = "nearly"
    DIFFERENT = "different"
    UNTOLD = "untold"


def one_slip(one: str, other: str) -> bool:
    """Whether one letter added, left out or replaced, or two neighbours exchanged, makes both
    equal. False for equal texts.
    """
    if len(one) > len(other):
        one, other = other, one
    if one == other or len(other) - len(one) > 1:
        return False
    pairs = enumerate(zip(one, other, strict=False))
    at = next((place for place, (left, right) in pairs if left != right), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    if one[at + 1 :] == other[at + 1 :]:
        return True
    return one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]


def exact(one: object, other: object) -> Compared:
    """Alike or different; UNTOLD if either is None."""
    if one is None or other is None:
        return Compared.UNTOLD
    return Compared.ALIKE if one == other else Compared.DIFFERENT


def sets(one: frozenset[str], other: frozenset[str]) -> Compared:
    """Alike if they share a value."""
    if not one or not other:
        return Compared.UNTOLD
    return Compared.DIFFERENT if one.isdisjoint(other) else Compared.ALIKE


def days(one: PartialDate | None, other: PartialDate | None) -> Compared:
    """The same day; nearly: a neighbouring day, one digit or two neighbours wrong, day and month
    exchanged, or a partial date that allows the other.
    """
    if one is None or other is None:
        return Compared.UNTOLD
    if not (one.full and other.full):
        meet = one.first <= other.last and other.first <= one.last
        return Compared.NEARLY if meet else Compared.DIFFERENT
    if one.first == other.first:
        return Compared.ALIKE
    near = (
        abs(one.first - other.first) <= timedelta(days=1)
        or one_slip(_digits(one.first), _digits(other.first))
        or _exchanged(one.first, other.first)
    )
    return Compared.NEARLY if near else Compared.DIFFERENT


def _digits(day: date) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


def _exchanged(one: date, other: date) -> bool:
    return (one.year, one.month, one.day) == (other.year, other.day, other.month)


def similar(one: str, other: str) -> bool:
    """Whether two normalised names may be one, slipped or cut short. False for equal ones."""
    short, long = sorted((one, other), key=len)
    if one != other and len(short) >= SHORTEST_PREFIX and long.startswith(short):
        return True
    return len(short) >= SHORTEST_TYPO and one_slip(one, other)


def postcodes(one: frozenset[str], other: frozenset[str]) -> Compared:
    """Share one; nearly: one character wrong, or the same sector (``AB1 2``)."""
    plain = sets(one, other)
    if plain is not Compared.DIFFERENT:
        return plain
    near = any(one_slip(left, right) or left[:-2] == right[:-2] for left in one for right in other)
    return Compared.NEARLY if near else Compared.DIFFERENT
