"""Delimiters of a message (HL7 v2.4, 2.8) and the escapes that stand for them (2.10)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from halyard.errors import RejectedError


class Er7Error(RejectedError):
    """The message cannot be read as HL7 v2; begin it with MSH and five different delimiters."""


class Delimiters(NamedTuple):
    """The bytes of MSH-1 and MSH-2; an empty one is not in use in this message."""

    field: bytes
    component: bytes
    repetition: bytes
    escape: bytes
    subcomponent: bytes


def _usable(data: bytes) -> bool:
    return all(0x20 < byte < 0x7F and not chr(byte).isalnum() for byte in data)


@lru_cache(maxsize=64)
def delimiters_of(header: bytes) -> Delimiters:
    """Delimiters from ``MSH`` and what follows up to the second field separator.

    Raises `Er7Error` (rule ``delimiters``).
    """
    separator, encoding = header[3:4], header[4:]
    used = separator + encoding[:4]
    # a fifth (truncation, v2.7) is allowed and means nothing here
    if (
        not separator
        or not 1 <= len(encoding) <= 5
        or not _usable(separator + encoding)
        or len(set(used)) != len(used)
    ):
        raise Er7Error(
            "MSH-1 and MSH-2 are not usable delimiters; send MSH|^~\\& (five different marks).",
            place="MSH-2",
            rule="delimiters",
        )
    marks = [encoding[index : index + 1] for index in range(4)]
    return Delimiters(separator, *marks)


@lru_cache(maxsize=64)
def _escapes(delimiters: Delimiters) -> tuple[re.Pattern[bytes], dict[bytes, bytes]]:
    escape = re.escape(delimiters.escape)
    pattern = re.compile(
        escape + rb"(?:([FSTREHN]|\.br)|X((?:[0-9A-Fa-f]{2})+))" + escape,
    )
    return pattern, {
        b"F": delimiters.field,
        b"S": delimiters.component,
        b"T": delimiters.subcomponent,
        b"R": delimiters.repetition,
        b"E": delimiters.escape,
        b"H": b"",  # highlighting on, off: no meaning in a value
        b"N": b"",
        b".br": b"\n",
    }


def unescape(raw: bytes, delimiters: Delimiters) -> bytes:
    r"""Undo ``\F\ \S\ \T\ \R\ \E\ \Xhh..\ \.br\``; drop ``\H\ \N\``; leave all others as they are.

    A lone escape mark (``C:\home``) is common in real feeds and stays itself.
    """
    if not delimiters.escape or delimiters.escape not in raw:
        return raw
    pattern, known = _escapes(delimiters)

    def replace(match: re.Match[bytes]) -> bytes:
        name = match[1]
        return known[name] if name is not None else bytes.fromhex(match[2].decode())

    return pattern.sub(replace, raw)
