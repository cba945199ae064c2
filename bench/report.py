"""The figures as text (Markdown tables, fit for a terminal too), and the page they live on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.figures import HOPS
from bench.quantiles import Latency
from bench.workload import BROKER, DATABASE, HOP, SENDER, EchoPhase, Phase, Results
from halyard.errors import ConfigurationError

BEGIN, END = "<!-- bench.spine: begin -->", "<!-- bench.spine: end -->"
QUIET_LOAD = 0.5
_BESIDE = (BROKER, DATABASE, SENDER)
_NONE = "–"


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how it was measured."""

    at: str
    command: str
    commit: str
    machine: str
    load: float  # of the last minute, before the start

    def text(self) -> str:
        """A paragraph."""
        busy = (
            ""
            if self.load <= QUIET_LOAD
            else " The machine was busy with something else: **provisional**."
        )
        return (
            f"Measured {self.at} by `{self.command}` at commit {self.commit}. {self.machine}. "
            f"Load before the start: {self.load:.2f}.{busy}"
        )


def setting(now: datetime, command: str, repository: Path) -> Setting:
    """As it is now."""
    return Setting(
        at=now.strftime("%Y-%m-%d %H:%M UTC"),
        command=command,
        commit=_commit(repository),
        machine=_machine(),
        load=os.getloadavg()[0],
    )


def _commit(repository: Path) -> str:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(repository), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit} with changes" if git("status", "--porcelain") else commit


def _machine() -> str:
    model, memory = platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        kibibytes = int(Path("/proc/meminfo").read_text().split()[1])
        memory = f", {kibibytes / 2**20:.0f} GiB"
    except (OSError, ValueError, IndexError):
        pass  # elsewhere than on Linux the name alone must do
    return (
        f"{model}, {os.cpu_count()} cores{memory}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; everything on this one machine"
    )


def render(results: Results, where: Setting) -> str:
    """Everything as Markdown."""
    phases, echoes = results.phases, results.echoes
    parts = [
        where.text(),
        f"{results.flags:,} flags uploaded and verified in {results.flag_seconds:g} s.",
        "**Arrivals**",
        _overview(phases, echoes),
        "**CPU, ms (user + system) for 1,000 arrivals**; beside it what the process costs idle",
        _cpu(results),
        "**Each stage's own messages, as fast as they came**",
        _stages(phases[0]),
        "**Where an alert's time goes**, ms, p50 / p99 of each hop",
        _hops(phases),
    ]
    if wrong := _wrong(phases):
        parts.insert(1, wrong)
    return "\n\n".join(parts) + "\n"


def _overview(phases: Sequence[Phase], echoes: Sequence[EchoPhase]) -> str:
    pairs = list(zip(phases, echoes, strict=True))
    rows: list[tuple[str, list[str]]] = [
        ("arrivals (flagged)", [f"{one.arrivals:,} ({one.flagged:,})" for one in phases]),
        ("answered a second", [_number(one.answered_per_second) for one in phases]),
        ("ACK, p50 / p99 ms", [_both(one.answer) for one in phases]),
        (
            "first arrival to last webhook, s",
            [_number(one.to_last_webhook_seconds, 2) for one in phases],
        ),
        ("arrival to webhook, p50 / p99 ms", [_both(one.webhook) for one in phases]),
        ("echo: produced a second", [_number(one.per_second) for one in echoes]),
        ("echo: round trips a second", [_number(one.round_trips_per_second) for one in echoes]),
        ("echo: two hops, p50 / p99 ms", [_both(one.back) for one in echoes]),
        (
            "**arrival to webhook ÷ echo, p50 / p99**",
            [_ratios(one.webhook, echo.back) for one, echo in pairs],
        ),
        (
            "**answered ÷ echo's produced**",
            [
                f"{one.answered_per_second / echo.per_second:.2f}" if one.rate is None else _NONE
                for one, echo in pairs
            ],
        ),
    ]
    return table(["", *(_title(one) for one in phases)], ([name, *cells] for name, cells in rows))


def _cpu(results: Results) -> str:
    phases, echoes = results.phases, results.echoes
    names = list(phases[0].cpu)
    hub = [name for name in names if name not in _BESIDE]

    def row(name: str) -> list[str]:
        cells = [_number(one.cpu.get(name)) for one in phases]
        return [name, *cells, _number(results.idle.get(name))]

    total = [
        "**the hub's processes**",
        *(_number(sum(one.cpu[name] for name in _of_hub(hub))) for one in phases),
        _number(sum(results.idle[name] for name in _of_hub(hub))),
    ]
    echo = [
        f"{HOP} (of 1,000 records)",
        *(_number(one.cpu[HOP]) for one in echoes),
        _number(results.idle.get(HOP)),
    ]
    return table(
        ["", *(_title(one) for one in phases), "idle, ms/s"],
        [*(row(name) for name in _of_hub(hub)), total]
        + [row(name) for name in hub if name not in _of_hub(hub)]
        + [row(name) for name in _BESIDE]
        + [echo],
    )


def _of_hub(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("sandbox-")]


def _stages(phase: Phase) -> str:
    processes = {"identity": "identity", "matching": "matching", "dispatcher": "dispatcher"}
    rows = [
        [
            "connector-hl7v2",
            f"{phase.arrivals:,}",
            _number(phase.answered_per_second),
            _per_cpu(phase.cpu["connector-hl7v2"]),
        ]
    ]
    for stage, process in processes.items():
        if (pace := phase.stages.get(stage)) is not None and pace.messages:
            own = phase.cpu[process] * phase.arrivals / pace.messages
            rows.append(
                [stage, f"{pace.messages:,}", _number(pace.per_second), _per_cpu(own)],
            )
    return table(["", "messages", "a second", "for a second of CPU"], rows)


def _hops(phases: Sequence[Phase]) -> str:
    return table(
        ["", *(_title(one) for one in phases)],
        [[name, *(_both(one.hops.get(name)) for one in phases)] for name in HOPS],
    )


def _wrong(phases: Sequence[Phase]) -> str:
    said = [
        f"{_title(one)}: {one.refused} arrivals were not accepted, {one.missing} alerts missed, "
        f"restarted: {', '.join(one.restarts) or 'nothing'}"
        for one in phases
        if one.refused or one.missing or one.restarts
    ]
    return f"**Not whole.** {'. '.join(said)}." if said else ""


def _title(phase: Phase) -> str:
    return "as fast as answered" if phase.rate is None else f"{phase.rate:g} a second"


def _both(value: Latency | None) -> str:
    return _NONE if value is None else f"{value.p50:,.1f} / {value.p99:,.1f}"


def _ratios(value: Latency | None, yardstick: Latency | None) -> str:
    if value is None or yardstick is None:
        return _NONE
    return f"{value.p50 / yardstick.p50:.1f} / {value.p99 / yardstick.p99:.1f}"


def _per_cpu(milliseconds: float) -> str:
    """Messages for a second of CPU, from ms for 1,000."""
    return _number(1_000_000 / milliseconds if milliseconds else None)


def _number(value: float | None, digits: int = 0) -> str:
    return _NONE if value is None else f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns in line."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]

    def text(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join([text(lines[0]), text(rule), *(text(line) for line in lines[1:])])


def write_page(page: Path, text: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Put `text` between the markers `begin` and `end` of `page`.

    Raises `ConfigurationError` if the page or its markers are missing.
    """
    try:
        before, rest = page.read_text().split(begin)
        _, after = rest.split(end)
    except (OSError, ValueError):
        raise ConfigurationError(
            f"{page} cannot be read, or lacks the two lines {begin} and {end}; put them back."
        ) from None
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")
