"""The figures of cases as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.report import Setting, table

if TYPE_CHECKING:
    from bench.cases import Phase, Results

BEGIN, END = "<!-- bench.cases: begin -->", "<!-- bench.cases: end -->"


def render(results: Results, where: Setting) -> str:
    """Everything as Markdown."""
    phases, echo = results.phases, results.echo_per_second
    watched = list(results.memory_before)
    rows: Sequence[tuple[str, Callable[[Phase], str]]] = (
        ("notifications", lambda one: f"{one.notifications:,}"),
        ("cases in the store before", lambda one: f"{one.cases_before:,}"),
        ("sent a second", lambda one: f"{one.sent_per_second:,.0f}"),
        ("**in the store, a second**", lambda one: f"{one.stored_per_second:,.0f}"),
        (
            "**in the store ÷ echo's round trips**",
            lambda one: f"{one.stored_per_second / echo:.3f}" if echo else "–",
        ),
        (
            "due to in the store, p50 / p99 ms",
            lambda one: f"{one.stored.p50:,.0f} / {one.stored.p99:,.0f}" if one.stored else "–",
        ),
        *(
            (
                f"{name}: memory at the end (at most), MiB",
                lambda one, name=name: f"{one.memory[name]:,.0f} ({one.peak[name]:,.0f})",
            )
            for name in watched
        ),
    )
    head = ["", *(one.name for one in phases)]
    cpu = [[name, *(f"{one.cpu[name]:,.0f}" for one in phases)] for name in phases[0].cpu]
    before = ", ".join(f"{name} {amount:,.0f}" for name, amount in results.memory_before.items())
    parts = [
        where.text(),
        table(head, ([name, *map(cell, phases)] for name, cell in rows)),
        f"Memory at the start, MiB: {before}. Echo: {echo:,.0f} round trips a second.",
        "**CPU, ms (user + system) for 1,000 notifications**",
        table(head, cpu),
    ]
    if results.copied:
        parts.insert(
            1,
            f"**{results.copied:,} of the {results.stored:,} cases are copies**, with other ids, "
            "tokens, people and references, which the database made of the cases that had come "
            f"through the hub ({results.copying_seconds:,.0f} s), before the last phase.",
        )
    if not results.whole:
        parts.insert(
            1, f"**Not whole.** {results.stored:,} of {results.wanted:,} cases are in the store."
        )
    return "\n\n".join(parts) + "\n"
