"""The result of a batch as CSV: a line for each line that was sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

HEADER: Final = ("line", "local_id", "outcome", "rule", "nhs_number", "column", "number_rule")
GO_LIVE: Final = 0.95
"""The share of an authority's children in scope that must be matched before it goes live with
CP-IS."""

MATCHED: Final = ("verified", "superseded", "restricted")
"""Outcomes of a line whose NHS number is known now."""

_FORMULA: Final = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class ResultLine:
    """What became of a line; `column`: of a refused one; `number_rule`: why what was sent as an
    NHS number is none.
    """

    line: int
    outcome: str
    rule: str | None
    local_id: str | None = field(default=None, repr=False)
    nhs_number: str | None = field(default=None, repr=False)
    column: str | None = None
    number_rule: str | None = None


def header() -> bytes:
    """The first line."""
    return _rows([HEADER])


def rows(lines: Iterable[ResultLine]) -> bytes:
    """These lines (UTF-8, CR LF). A value that a spreadsheet would take for a formula has an
    apostrophe before it.
    """
    return _rows(
        (
            str(one.line),
            _plain(one.local_id),
            one.outcome,
            one.rule or "",
            one.nhs_number or "",
            one.column or "",
            one.number_rule or "",
        )
        for one in lines
    )


def match_rate(counts: dict[str, int]) -> float | None:
    """The share of lines whose number is known now, of all that were taken or refused; None: there
    are none.
    """
    total = sum(counts.values())
    return None if total == 0 else sum(counts.get(name, 0) for name in MATCHED) / total


def _plain(text: str | None) -> str:
    return f"'{text}" if text and text.startswith(_FORMULA) else text or ""


def _rows(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
