"""Names and postcodes, made comparable.

A normalised name has no case, accents, hyphens, apostrophes or spaces: ``O'Brien-Zoë`` and
``OBRIEN ZOE`` are the same. Nothing here decides who somebody is; `connectors.pds.comparison`
and the identity ladder do, with these functions.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Letters that NFKD leaves whole although people type them plain
_PLAIN: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h", "ı": "i"}
)
_BRACKETED: Final = re.compile(r"[(\[][^)\]]*[)\]]")
_WORDS: Final = re.compile(r"[^\W\d_]+|\d+")
_SLASHED: Final = re.compile(r"^\s*(b\s*/\s*o|n\s*/\s*[ak])\b", re.IGNORECASE)
_POSTCODE: Final = re.compile(r"([A-Z]{1,2}[0-9][A-Z0-9]?)([0-9][A-Z]{2})", re.ASCII)

# A given name that starts with one of these says nothing about which child it is
_LEADING: Final = frozenset(
    {"baby", "babe", "bb", "infant", "newborn", "neonate", "unborn", "fetus", "foetus"}
    | {"twin", "twins", "triplet", "triplets", "quad"}
)
_FILLERS: Final = frozenset(
    {"male", "female", "boy", "girl", "child", "son", "daughter", "of"}
    | {"unknown", "unk", "unnamed", "noname", "nk", "nka", "nn", "none", "x", "xx", "xxx"}
    | {"no", "not", "name", "known", "given", "yet", "one", "two", "three"}
    | {"first", "second", "third"}
)


def normalise_name(text: str | None) -> str:
    """Casefold, strip accents, punctuation, spaces and anything in brackets; "" if none is left.

    Idempotent. Letters of other alphabets stay as they are.
    """
    if not text:
        return ""
    return _fold(without_brackets(text))


def without_brackets(text: str) -> str:
    """A name without notes in brackets ("Smith (was Jones)"), unless nothing else is there."""
    rest = _BRACKETED.sub(" ", text).strip()
    return rest if _fold(rest) else text.strip()


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    decomposed = unicodedata.normalize("NFKD", decomposed).casefold()
    kept = [
        letter
        for letter in decomposed
        if letter.isalnum() or (unicodedata.category(letter)[0] == "M" and not _accent(letter))
    ]
    return "".join(kept)


def _accent(letter: str) -> bool:
    return unicodedata.combining(letter) != 0


def name_parts(text: str | None) -> tuple[str, ...]:
    """The normalised parts of a name between spaces and hyphens: ``Smith-Jones`` is two."""
    if not text:
        return ()
    parts = (normalise_name(part) for part in re.split(r"[\s\-\u2010-\u2015/]+", text))
    return tuple(part for part in parts if part)


def is_placeholder_given(text: str | None) -> bool:
    """True for what stands where a given name is not known: Baby, Twin 1, B/O Ann, Unknown, NK.

    Errs towards True: a placeholder is never agreement, so an error costs a person's look, not a
    wrong match. An absent or empty name is a placeholder too.
    """
    if not text or _SLASHED.match(text):
        return True
    words = _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())
    if not words or words[0] in _LEADING:
        return True
    glued = words[0].removesuffix("boy").removesuffix("girl").removesuffix("of")
    return glued in _LEADING or all(
        word in _FILLERS or word.isdecimal() or word in _LEADING for word in words
    )


def normalise_postcode(text: str | None) -> str | None:
    """A full postcode as ``AB1 2CD``, else None.

    None, too, for the pseudo-postcodes ZZ99 (no fixed abode, not known): they are no place.
    """
    compact = re.sub(r"[\s\-.]+", "", text or "").upper()
    match = _POSTCODE.fullmatch(compact)
    if match is None or match[1] == "ZZ99":
        return None
    return f"{match[1]} {match[2]}"
