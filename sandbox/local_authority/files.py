"""Flag files for practice: their format by name, their dates relative to today."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.local_authority.reading import Format
from sandbox.samples.render import render

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt"})


def format_of(file: Path) -> Format:
    """CSV by the file's name, else JSON lines."""
    return "csv" if file.suffix.lower() in CSV_SUFFIXES else "jsonl"


async def filled_in(file: Path, now: datetime) -> AsyncIterator[bytes]:
    """The file's bytes with dates like ``{d-90}`` filled in, line by line."""
    with file.open("rb") as lines:
        for raw in lines:
            # only a line of ours has such dates; Latin-1 gives every other byte back as it was
            text = raw.decode("latin-1") if b"{d" in raw else None
            yield raw if text is None else render(text, now, "").encode("latin-1")
