"""What a person wrote: whether it can be read, and whether it says anything."""

from __future__ import annotations

import unicodedata
from typing import Final

_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols by their category that show as nothing: Hangul fillers, the empty Braille."""

_ORDERING: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def says_something(text: str) -> bool:
    """Whether a letter, digit, mark of punctuation or symbol is in `text` that can be seen."""
    return any(one not in _BLANK and unicodedata.category(one)[0] in "LNPS" for one in text)


def is_control(character: str) -> bool:
    """Whether it is a control character (a NUL fits no column) or half of a pair."""
    return unicodedata.category(character) in ("Cc", "Cs")


def turns_order(character: str) -> bool:
    """Whether it turns the order of writing round (CVE-2021-42574)."""
    return unicodedata.bidirectional(character) in _ORDERING
