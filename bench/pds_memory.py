"""``python -m bench.pds_memory``: what the practice PDS costs with a population.

Starts ``halyard sandbox pds`` by itself (no hub, no Kafka, no database) with generated people and
reads what it holds in memory: once it answers, and after retrievals and searches over one
connection. Prints a table and writes it to docs/performance.md. Exits 0 if every answer was right
and the memory stayed under the limit.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final
from uuid import uuid4

import httpx

from bench import command
from bench.memory import memory
from bench.quantiles import Latency, latency
from bench.report import Setting, table
from halyard.errors import TransientError
from sandbox.pds.people import Person
from sandbox.pds.population import populate

BEGIN, END = "<!-- bench.pds_memory: begin -->", "<!-- bench.pds_memory: end -->"
LIMIT_MB: Final = 300
_MIB: Final = 1.048576  # MB in one

SIZES: tuple[command.Size, ...] = (
    ("people", int, "records that are generated"),
    ("calls", int, "retrievals, and as many searches of each kind"),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    people: int = 100_000
    calls: int = 2_000


@dataclass(frozen=True, slots=True)
class Results:
    """Memory in MB (10⁶ bytes); latencies by kind of call."""

    people: int
    start_seconds: float
    ready_mb: float
    after_mb: float
    peak_mb: float
    latencies: dict[str, Latency | None]
    wrong: int

    @property
    def whole(self) -> bool:
        """Every answer right, and the memory under the limit."""
        return self.wrong == 0 and self.peak_mb < LIMIT_MB


def measure(sizes: Sizes, say: command.Report) -> Results:
    """Start it, ask it, stop it. Raises `TransientError` if it does not start."""
    started = time.monotonic()
    argv = (sys.executable, "-m", "halyard.cli.main", "sandbox", "pds", "--no-auth")
    process = subprocess.Popen(
        [*argv, "--generate", str(sizes.people)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("HALYARD_")},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise TransientError("The practice PDS did not start; start it by hand to see why.")
        seconds = time.monotonic() - started
        url = json.loads(said)["base_url"]
        ready = memory(process.pid)
        say(f"{sizes.people:,} people after {seconds:.1f} s in {ready * _MIB:.0f} MB")
        latencies, wrong = _ask(url, sizes, say)
        return Results(
            people=sizes.people,
            start_seconds=round(seconds, 1),
            ready_mb=round(ready * _MIB, 1),
            after_mb=round(memory(process.pid) * _MIB, 1),
            peak_mb=round(memory(process.pid, peak=True) * _MIB, 1),
            latencies=latencies,
            wrong=wrong,
        )
    finally:
        process.terminate()
        process.communicate(timeout=15)


def _ask(url: str, sizes: Sizes, say: command.Report) -> tuple[dict[str, Latency | None], int]:
    people = [
        person
        for person in islice(populate(sizes.people), sizes.calls * 2)
        if not (person.invalidated or person.minimal or person.superseded_by)
        and len(person.birth_date) == 10
    ]
    asked = random.Random(1).choices(people, k=sizes.calls)
    taken: dict[str, Latency | None] = {}
    wrong = 0
    with httpx.Client(base_url=url, timeout=30) as client:
        for kind in ("retrieval", "search", "fuzzy search"):
            waits = []
            for person in asked:
                path, parameters = _question(kind, person)
                begun = time.perf_counter()
                response = client.get(
                    path, params=parameters, headers={"X-Request-ID": str(uuid4())}
                )
                waits.append(time.perf_counter() - begun)
                wrong += not _right(kind, person, response)
            taken[kind] = latency(waits)
            say(f"{kind}: {taken[kind]}")
    return taken, wrong


def _question(kind: str, person: Person) -> tuple[str, dict[str, str]]:
    if kind == "retrieval":
        return f"/Patient/{person.nhs_number}", {}
    named = {"family": person.family, "given": person.given[0], "birthdate": person.birth_date}
    return "/Patient", {**named, "_fuzzy-match": "true"} if kind == "fuzzy search" else named


def _right(kind: str, person: Person, response: httpx.Response) -> bool:
    body = response.json()
    if kind == "retrieval":
        return bool(body.get("id") == person.nhs_number)
    if body["resourceType"] == "OperationOutcome":  # of namesakes and sound-alikes there are many
        return bool(body["issue"][0]["code"] == "multiple-matches")
    return any(entry["resource"]["id"] == person.nhs_number for entry in body.get("entry", []))


def render(results: Results, where: Setting) -> str:
    """Everything as Markdown."""
    rows = [
        ["memory when it answers, MB", f"{results.ready_mb:,.0f}"],
        [
            "memory after the calls (at most), MB",
            f"{results.after_mb:,.0f} ({results.peak_mb:,.0f})",
        ],
        ["from start to first answer, s", f"{results.start_seconds:,.1f}"],
    ]
    for kind, taken in results.latencies.items():
        if taken is not None:
            rows.append([f"{kind}, p50 / p99 ms", f"{taken.p50:.1f} / {taken.p99:.1f}"])
    met = "met" if results.peak_mb < LIMIT_MB else "**not met**"
    parts = [
        where.text(),
        table(["practice PDS", f"{results.people:,} people"], rows),
        f"Goal: under {LIMIT_MB} MB, {met}."
        + (f" **{results.wrong} answers were wrong.**" if results.wrong else ""),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    chosen = command.options("bench.pds_memory", __doc__, arguments, sizes=SIZES, defaults=Sizes())
    where = command.setting(chosen)
    results = measure(Sizes(people=chosen.people, calls=chosen.calls), command.reporter(chosen))
    return command.finish(
        chosen, where, render(results, where), asdict(results),
        markers=(BEGIN, END), whole=results.whole,
    )  # fmt: skip


if __name__ == "__main__":
    command.run(main)
