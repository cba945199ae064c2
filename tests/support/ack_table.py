"""The ACK table: every kind of odd input, and what becomes of it.

`ROWS` say what must happen; tests/integration/hl7v2/test_ack_table.py sends each for real and
compares. ``python -m tests.support.ack_table --write`` writes docs/reference/ack-table.md anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.support.ack_answers import ANSWERS
from tests.support.ack_rows import MESSAGES, Row

__all__ = ["PAGE", "ROWS", "Row", "render"]

ROWS: Final[tuple[Row, ...]] = (*MESSAGES, *ANSWERS)
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "ack-table.md"

_HEAD = """\
# The ACK table

What is answered, kept and shown for every kind of odd input over MLLP. Written by
`python -m tests.support.ack_table --write` from rows that a test sends for real; do not edit.

- **Answered**: MSA-1 of each frame that comes back, in order (a response batch is one frame with
  several answers); then whether the connection stays open.
- **Kept**: the kind of each event on `safeguarding.attendance.reported.v1`, or the rule under which
  the bytes are on `safeguarding.message.rejected.v1`. It is there before the answer leaves.
- **Shown**: marks of the event. They name a rule and a place, never a value.

The rules are explained in [hl7v2.md](hl7v2.md).
"""


def render(rows: Iterable[Row] = ROWS) -> str:
    """The page."""
    parts = [_HEAD]
    for section, group in groupby(rows, key=lambda row: row.section):
        lines = [
            f"## {section}",
            "",
            "| what comes | answered | kept | shown |",
            "|---|---|---|---|",
        ]
        lines += [_line(row) for row in group]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    answered = ", ".join(one or "an empty response batch" for one in row.answers) or "nothing"
    if row.connection == "closes":
        answered += "; closes"
    kept = ", ".join(_told(row.kept)) or "–"
    shown = ", ".join(f"`{mark}`" for mark in row.marks) or "–"
    return f"| {row.what} | {answered} | {kept} | {shown} |"


def _told(kept: tuple[str, ...]) -> list[str]:
    counted = [(one, kept.count(one)) for one in dict.fromkeys(kept)]
    told = []
    for one, count in counted:
        rule = one.removeprefix("rejected: ")
        text = f"`{rule}`" if rule == one else f"rejected `{rule}`"
        told.append(f"{count} × {text}" if count > 1 else text)
    return told


def main(arguments: list[str]) -> int:
    """``--write`` writes the page; without it the exit code says whether it is up to date."""
    text = render()
    if "--write" in arguments:
        PAGE.write_text(text, "utf-8")
        return 0
    return 0 if PAGE.is_file() and PAGE.read_text("utf-8") == text else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
