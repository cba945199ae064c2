"""How commands print: text for people, one JSON document with ``--json``; and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


class Exit(IntEnum):
    """Exit codes of `halyard`; the same for every command."""

    OK = 0
    FAILED = 1  # a check, a step or some records failed; the output says which
    USAGE = 2  # wrong arguments
    CONFIGURATION = 3  # a setting or file is wrong; the message says which
    UNAVAILABLE = 4  # Kafka, PostgreSQL or another service did not answer; try again


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    sys.stdout.flush()


def line(text: str) -> None:
    """One line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a table; a missing value is empty."""
    view = Table(box=None, pad_edge=False)
    for column in columns:
        # ids are for copying: never cut
        view.add_column(column.replace("_", " "), no_wrap=column.endswith("_id"))
    for row in rows:
        view.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    console.width = max(console.width, _least_width(view))
    console.print(view)


def _least_width(view: Table) -> int:
    wide = Console(file=sys.stdout, width=10_000)
    return Measurement.get(wide, wide.options, view).minimum
