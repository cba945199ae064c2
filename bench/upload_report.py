"""The figures of uploads as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.report import Setting, table

if TYPE_CHECKING:
    from bench.upload import Results, Run


def render(results: Results, where: Setting) -> str:
    """Everything as Markdown."""
    runs = results.runs
    rows: Sequence[tuple[str, Callable[[Run], str]]] = (
        ("file, MB", lambda one: f"{one.megabytes:,.1f}"),
        ("taken (202) after, s", lambda one: f"{one.taken_seconds:,.1f}"),
        ("**taken, records a second**", lambda one: _rate(one.records, one.taken_seconds)),
        ("last answer after, s", lambda one: f"{one.answered_seconds:,.0f}"),
        ("**answered, records a second**", lambda one: _rate(one.records, one.answered_seconds)),
        ("last flag held after, s", lambda one: f"{one.folded_seconds:,.0f}"),
        *(
            (f"{name}: CPU, ms for 1,000", lambda one, name=name: f"{one.cpu[name]:,.0f}")
            for name in runs[0].cpu
        ),
        *(
            (
                f"{name}: memory at most (at the start), MiB",
                lambda one, name=name: f"{one.peak[name]:,.0f} ({one.before[name]:,.0f})",
            )
            for name in runs[0].peak
        ),
        (
            f"cold, {results.calls_per_second:g} calls of PDS a second: last answer after",
            lambda one: _duration(one.records / results.calls_per_second),
        ),
    )
    head = ["", *(f"{one.records:,} {one.format}" for one in runs)]
    parts = [where.text(), table(head, ([name, *map(cell, runs)] for name, cell in rows))]
    if not results.whole:
        wrong = ", ".join(
            f"{one.format} of {one.records:,}: {one.accepted:,} taken, {one.held:,} held"
            for one in runs
        )
        parts.insert(1, f"**Not whole.** {wrong}.")
    return "\n\n".join(parts) + "\n"


def _rate(amount: int, seconds: float) -> str:
    return f"{amount / seconds:,.0f}" if seconds else "–"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
