"""The figures of look-ups as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bench.report import Setting, table

if TYPE_CHECKING:
    from bench.flag_lookup import Load, Results

BEGIN, END = "<!-- bench.flag_lookup: begin -->", "<!-- bench.flag_lookup: end -->"
THROUGHPUT_GOAL: Final = 0.4
P99_GOAL: Final = 3.0
DIFFERENCE_GOAL: Final = 5.0  # per cent


def render(results: Results, where: Setting) -> str:
    """Everything as Markdown."""
    parts = [
        where.text(),
        f"{results.flags:,} plans are held.",
        "**As fast as they are answered**, every number with a plan",
        _loads(results),
        "**CPU, ms (user + system) for 1,000**",
        _cpu(results),
        f"**One after another**, {results.turns:,} numbers of each kind in turn",
        _medians(results),
        *_verdicts(results),
    ]
    if not results.whole:
        parts.insert(
            1,
            f"**Not whole.** {results.looks:,} looks, {results.kept:,} on record, "
            f"{results.audited:,} in the audit chain.",
        )
    return "\n\n".join(parts) + "\n"


def _columns(results: Results) -> dict[str, Load]:
    named = {
        "bare route": results.bare,
        "+ edge": results.guarded,
        "+ one row": results.recorded,
        "look-up, silent": results.silent,
        "look-up, unscheduled": results.unscheduled,
        "PostgreSQL, one read": results.reads,
    }
    return {name: one for name, one in named.items() if one is not None}


def _loads(results: Results) -> str:
    columns, bare = _columns(results), results.bare
    shown: list[tuple[str, Callable[[Load], str]]] = [
        ("answered", lambda one: f"{one.answered:,}"),
        ("a second", lambda one: f"{one.per_second:,.0f}"),
        ("p50 / p99 ms", lambda one: f"{one.p50:,.1f} / {one.p99:,.1f}"),
    ]
    if bare is not None:
        shown += [
            (
                f"**a second ÷ bare** (goal: ≥ {THROUGHPUT_GOAL:g})",
                lambda one: f"{one.per_second / bare.per_second:.2f}",
            ),
            (
                f"**p99 ÷ bare's** (goal: ≤ {P99_GOAL:g})",
                lambda one: f"{one.p99 / bare.p99:.2f}",
            ),
        ]
    rows = ([name, *map(cell, columns.values())] for name, cell in shown)
    return table(["", *columns], rows)


def _cpu(results: Results) -> str:
    columns = _columns(results)
    processes = list(next(iter(columns.values())).cpu) if columns else []
    rows = ([name, *(f"{one.cpu[name]:,.0f}" for one in columns.values())] for name in processes)
    return table(["", *columns], rows)


def _medians(results: Results) -> str:
    against = results.medians.get("unknown")
    rows = [
        [
            kind,
            f"{value:,.3f}",
            "–" if against is None or kind == "unknown" else f"{difference(value, against):+.1f} %",
        ]
        for kind, value in sorted(results.medians.items(), key=lambda item: item[0] != "unknown")
    ]
    head = [
        "number",
        "median, ms",
        f"beside unknown (goal, restricted: < {DIFFERENCE_GOAL:g} %)",
    ]
    return table(head, rows)


def _verdicts(results: Results) -> list[str]:
    """Each goal, of the silent look-up, and whether it is met."""
    said = []
    if results.bare is not None and results.silent is not None:
        throughput = results.silent.per_second / results.bare.per_second
        slowest = results.silent.p99 / results.bare.p99
        said = [
            _verdict("throughput", throughput >= THROUGHPUT_GOAL, f"{throughput:.2f} of the bare"),
            _verdict("p99", slowest <= P99_GOAL, f"{slowest:.2f} times the bare"),
        ]
    if (against := results.medians.get("unknown")) is not None:
        apart = difference(results.medians["restricted"], against)
        figure = f"{apart:+.1f} % between two answers that must look alike"
        said.append(_verdict("medians", abs(apart) < DIFFERENCE_GOAL, figure))
    return ["Goals: " + "; ".join(said) + "."] if said else []


def _verdict(goal: str, met: bool, figure: str) -> str:
    return f"{goal} **{'met' if met else 'not met'}** ({figure})"


def difference(value: float, against: float) -> float:
    """By how many per cent `value` is more than `against`."""
    return (value / against - 1) * 100
