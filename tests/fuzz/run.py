"""`make fuzz`: every parser, guided by coverage where atheris is installed, and a table at the end.

    python -m tests.fuzz.run [--target er7] [--seconds 1200] [--executions 2000000] [--engine …]

A target ends at whichever limit comes first. What it found new is written to ``corpus/``; what
broke to ``regressions/TARGET/`` (which `make test` replays), and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.trial import Result, built_in

HANG_SECONDS: Final = 10
MEMORY_MB: Final = 2_048
_STATISTIC = re.compile(r"stat::(\w+):\s+(\d+)")


def guided(target: Target, *, seconds: float, executions: int) -> Result:
    """A run under atheris, as a process of its own."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target.name}-") as home:
        findings, fresh, least = (Path(home, name) for name in ("findings", "fresh", "least"))
        for folder in (findings, fresh, least):
            folder.mkdir()
        for data in corpus.load(target.name):
            (fresh / corpus.name_of(data)).write_bytes(data)
        words = Path(home, "words")
        words.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
        started = time.monotonic()
        told = _child(
            target,
            findings,
            fresh,
            f"-runs={executions}",
            f"-max_total_time={int(seconds)}",
            f"-dict={words}",
        )
        took = time.monotonic() - started
        # The smallest set that reaches the same code
        _child(target, findings, least, fresh, "-merge=1")
        return Result(
            target.name,
            "atheris",
            told.get("number_of_executed_units", 0),
            took,
            told.get("peak_rss_mb", 0),
            tuple(path.read_bytes() for path in sorted(least.iterdir())),
            {
                path.name.partition("--")[0]: path.read_bytes()
                for path in sorted(findings.iterdir())
            },
        )


def _child(target: Target, findings: Path, *arguments: Path | str) -> dict[str, int]:
    options = (
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={target.max_bytes}",
        f"-artifact_prefix={findings}/libfuzzer-",
        "-print_final_stats=1",
        "-verbosity=0",
    )
    again = findings.parent / "again"
    command = shlex.join((sys.executable, "-m", "tests.fuzz.guided", target.name, str(findings)))
    again.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    again.chmod(0o700)
    done = subprocess.run(
        (again, *map(str, arguments), *options),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "FUZZ_AGAIN": str(again)},
    )
    told = {name: int(value) for name, value in _STATISTIC.findall(done.stderr)}
    if not told and "-merge=1" not in arguments:
        sys.stderr.write(done.stderr[-4_000:])
        raise SystemExit(f"fuzz: {target.name} did not run to its end (exit {done.returncode}).")
    return told


def _escaped(token: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in token
    )


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    head = (
        "| parser | engine | executions | seconds | peak MB | kept inputs | findings |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {one.target} | {one.engine} | {one.executions:,} | {one.seconds:.0f} | {one.peak_mb} "
        f"| {len(one.kept)} | {', '.join(sorted(one.findings)) or 'none'} |\n"
        for one in results
    )


def record(result: Result, *, keep: bool) -> None:
    """Write down what broke, and with `keep` what is new."""
    folder = corpus.HERE / "regressions" / result.target
    for rule, data in result.findings.items():
        folder.mkdir(parents=True, exist_ok=True)
        slug = re.sub(r"[^a-z0-9.-]+", "-", rule.lower())
        (folder / f"{slug}-{corpus.name_of(data)[:8]}").write_bytes(data)
    if keep:
        # guided, what is kept reaches what all that was there reaches; else it comes on top
        before = [] if result.engine == "atheris" else corpus.kept(result.target)
        corpus.keep(result.target, [*before, *result.kept])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if anything broke."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=1_200)
    parser.add_argument("--executions", type=int, default=2_000_000)
    parser.add_argument("--engine", choices=("auto", "atheris", "built-in"), default="auto")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-keep", dest="keep", action="store_false")
    given = parser.parse_args(arguments)
    there = importlib.util.find_spec("atheris") is not None
    if given.engine == "atheris" and not there:
        parser.error("atheris is not installed; run `make fuzz`, or choose --engine built-in")
    use_atheris = there and given.engine != "built-in"
    if not use_atheris:
        print("fuzz: without atheris: the built-in engine is not guided by coverage")

    def one(name: str) -> Result:
        limits = {"seconds": given.seconds, "executions": given.executions}
        run = guided if use_atheris else built_in
        result = run(TARGETS[name], **limits)
        record(result, keep=given.keep)
        print(table([result]).splitlines()[-1], flush=True)
        return result

    names = given.target or list(TARGETS)
    # The built-in engine interrupts hangs by signals, which only a main thread can take
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list((pool.map if use_atheris else map)(one, names))
    print("\n" + table(results))
    return int(any(one.findings for one in results))


if __name__ == "__main__":
    sys.exit(main())
