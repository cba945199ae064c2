"""Messages in files as hospitals have them: a segment a line with or without empty lines between,
CR alone, MLLP frames as captured from the wire, batches (FHS, BHS … BTS, FTS).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connectors.hl7v2.batch import split
from halyard.errors import ConfigurationError

SUFFIXES: Final = (".hl7", ".txt", ".er7")
"""Of the files in a folder that are read."""

_FRAMING: Final = bytes.maketrans(b"\x0b\x1c", b"\r\r")
_FILLER: Final = b"\r\n\t \x00"


def messages_of(data: bytes) -> list[bytes]:
    """The messages in a file, in order, with CR behind the last segment. What stands where a
    message should and has no MSH is given too, so that it can be told.
    """
    body = data.removeprefix(b"\xef\xbb\xbf").translate(_FRAMING).strip(_FILLER)
    found = split(body + b"\r") if body else None
    pieces = ((body,) if body else ()) if found is None else found.messages
    return [piece.strip(_FILLER) + b"\r" for piece in pieces]


def read_files(path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """Each file (of a folder: those with a suffix of `SUFFIXES`, by name) and its messages.

    Raises `ConfigurationError` when there is nothing to read.
    """
    try:
        paths = (
            sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
            if path.is_dir()
            else [path]
        )
        if not paths:
            raise ConfigurationError(f"{path} has no file that ends in {', '.join(SUFFIXES)}.")
        for one in paths:
            yield one, messages_of(one.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}).") from None
