"""Character sets of ER7: what MSH-18 stands for, and where it is not taken at its word.

=====================  ==========================================================================
MSH-18                 decoded as
=====================  ==========================================================================
absent, ``ASCII``      ASCII, else UTF-8, else the feed's fallback
``UNICODE``…           UTF-8, else the feed's fallback (``UNICODE`` is no encoding: ITK means UTF-8)
``8859/1``             UTF-8 if bytes that are not ASCII are valid as such, else 8859/1
other ``8859/n``       that, else the feed's fallback
several (repetitions)  the first that is more than ASCII
anything else          ASCII, else UTF-8, else the feed's fallback; marked `Mark.UNKNOWN_CHARSET`
=====================  ==========================================================================

Senders often leave MSH-18 as it was when their system went to UTF-8. Western text of one byte a
character is almost never valid UTF-8, so what is valid is taken for it, and marked. Capitals of
8859/2 or 8859/5 may be valid by chance ("PÓŁ"): there the declaration holds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Mark(StrEnum):
    """How a text came to be, when it is not simply what the message declares."""

    OTHERWISE = "charset-declared-otherwise"  # valid UTF-8 where MSH-18 says something else
    FALLBACK = "charset-fallback"  # not valid in the declared character set
    REPLACED = "charset-replaced"  # not valid in the fallback either: U+FFFD stands in
    UNKNOWN_CHARSET = "charset-unknown"  # MSH-18 names none that we know


CODECS: Final = {
    b"": "ascii",
    b"ASCII": "ascii",
    b"US-ASCII": "ascii",
    b"ISO IR6": "ascii",
    b"UNICODE": "utf-8",
    b"UNICODE UTF-8": "utf-8",
    b"UTF-8": "utf-8",
    b"UTF8": "utf-8",
    **{b"8859/%d" % part: f"iso8859-{part}" for part in (*range(1, 10), 15)},
    b"ISO-8859-1": "iso8859-1",
    b"WINDOWS-1252": "windows-1252",
}
"""HL7 table 0211, and how some engines write it."""

MAY_BE_UTF8: Final = frozenset({"ascii", "iso8859-1", "windows-1252"})
"""The codecs that UTF-8 goes before."""

RANK: Final[dict[Mark, int]] = {
    Mark.OTHERWISE: 1,
    Mark.FALLBACK: 2,
    Mark.REPLACED: 3,
    Mark.UNKNOWN_CHARSET: 4,
}
"""Which mark of a field stands: the highest."""


def as_utf8(raw: bytes) -> str | None:
    """`raw` as UTF-8, if it is valid as such."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def declared(repetitions: list[bytes]) -> str | None:
    """The codec of the first repetition of MSH-18 that is more than ASCII, which all of them
    contain; None if a character set is named and none of them is known.
    """
    names = [b"" if name == b'""' else name.strip().upper() for name in repetitions]
    found = [CODECS[name] for name in names if name in CODECS]
    if not found:
        return None if any(names) else "ascii"
    return next((codec for codec in found if codec != "ascii"), "ascii")
