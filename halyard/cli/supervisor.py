"""Keeps the hub's processes running: restart with back-off, the reason shown (rule 24).

All children are tied to this process (gone when it is, also by SIGKILL) and are started from the
main thread, since the kernel takes the end of the starting thread for the parent's end.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halyard.embedded.process import Child, last_lines

FIRST_BACKOFF = 0.5  # seconds
LONGEST_BACKOFF = 30.0
# Up for so long, a process has recovered: the next end starts with the first back-off again
RECOVERED_AFTER = 30.0
STOP_SECONDS = 12.0  # a process gives itself 10


@dataclass(frozen=True, slots=True)
class Specification:
    """One process: its command, its environment, where it says that it is ready."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    ready_url: str


@dataclass(slots=True)
class _Running:
    specification: Specification
    child: Child
    started: float
    log_offset: int
    failures: int = 0
    restart_at: float | None = None
    ended: list[str] = field(default_factory=list)


class Supervisor:
    """Starts, watches, restarts and stops processes; every method from the main thread."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._running: dict[str, _Running] = {}

    def start(self, specification: Specification) -> None:
        """Start one process; it is watched from now on."""
        self._running[specification.name] = self._spawn(specification)

    def names(self) -> list[str]:
        """What is supervised, in start order."""
        return list(self._running)

    def pid(self, name: str) -> int:
        """Process id at this moment."""
        return self._running[name].child.pid

    def log_file(self, name: str) -> Path:
        """Where a process logs."""
        return self._running[name].specification.log_file

    def is_ready(self, name: str) -> bool:
        """True if the process runs and says so."""
        running = self._running[name]
        if running.child.exit_code is not None:
            return False
        try:
            url = running.specification.ready_url  # of our own child, on loopback
            with urllib.request.urlopen(url, timeout=1) as answer:  # nosec B310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tick(self) -> None:
        """Look at every process once; restart those whose back-off is over."""
        now = time.monotonic()
        for name, running in self._running.items():
            if running.child.exit_code is None:
                if running.failures and now - running.started > RECOVERED_AFTER:
                    running.failures = 0
                continue
            if running.restart_at is None:
                wait = min(FIRST_BACKOFF * 2**running.failures, LONGEST_BACKOFF)
                running.failures += 1
                running.restart_at = now + wait
                self._report(f"{name} ended ({self._reason(running)}); it restarts in {wait:g} s")
            elif now >= running.restart_at:
                fresh = self._spawn(running.specification)
                fresh.failures = running.failures
                self._running[name] = fresh
                self._report(f"{name} restarted")

    def stop(self) -> None:
        """Stop all in the reverse order of their start, gracefully, then for sure."""
        children = [running.child for running in reversed(self._running.values())]
        for child in children:
            if child.exit_code is None:
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            child.stop([(signal.SIGTERM, max(deadline - time.monotonic(), 0.1))])
        self._running.clear()

    @staticmethod
    def _spawn(specification: Specification) -> _Running:
        log_file = specification.log_file
        offset = log_file.stat().st_size if log_file.exists() else 0
        child = Child.spawn(
            specification.argv,
            death_signal=signal.SIGKILL,
            environment=specification.environment,
            output=log_file,
        )
        return _Running(specification, child, time.monotonic(), offset)

    @staticmethod
    def _reason(running: _Running) -> str:
        """Why a process ended: its signal or exit code, and the last error it logged."""
        code = running.child.exit_code or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        lines = last_lines(running.specification.log_file, offset=running.log_offset).splitlines()
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("error"):
                return f"{how}: {entry['error']}"
        return how
