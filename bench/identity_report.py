"""The figures of the identity ladder as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bench.report import Setting, table

if TYPE_CHECKING:
    from bench.identity import Sizes

BEGIN, END = "<!-- bench.identity: begin -->", "<!-- bench.identity: end -->"
FEW: Final = 10_000


def render(figures: Mapping[str, Mapping[str, float]], sizes: Sizes, where: Setting) -> str:
    """Everything as Markdown."""
    parts = {name: part for name, part in figures.items() if name != "calls"}
    few, many = figures["few known"], figures["many known"]
    bare = figures["many known, bare loop"]
    share = many["events_per_cpu_second"] / bare["events_per_cpu_second"]
    growth = many["cpu_ms_per_1000"] / few["cpu_ms_per_1000"]
    calls = figures["calls"]
    words = (
        f"Few: {min(FEW, sizes.people):,} people; many: {sizes.people:,}. Beside the bare loop the "
        f"ladder has {share:.2f} x its events for a CPU second (goal 0.6); with many people known "
        f"an event costs {growth:.2f} x what it costs with few (goal 0.9 to 1.1). Of the mix PDS "
        f"was asked {calls['calls']:,.0f} times: {calls['calls_per_1000_events']:.0f} calls for "
        "1,000 events."
    )
    return (
        "\n\n".join(
            [
                where.text(),
                table(
                    ["", *parts],
                    [
                        [row, *(f"{part[name]:,.0f}" for part in parts.values())]
                        for name, row in _ROWS
                    ],
                ),
                words,
            ]
        )
        + "\n"
    )


_ROWS: Final = (
    ("events", "events"),
    ("events_per_cpu_second", "events for a CPU second of the worker (one core)"),
    ("events_per_second", "events a second, one worker"),
    ("cpu_ms_per_1000", "CPU of the worker for 1,000, ms"),
    ("postgres_cpu_ms_per_1000", "CPU of PostgreSQL for 1,000, ms"),
    ("memory_mib", "memory of the worker, MiB"),
)
