"""What `halyard up` does with its processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from halyard.cli import supervisor
from halyard.cli.supervisor import Specification, Supervisor
from halyard.embedded.process import process_runs
from tests.support.waiting import eventually

DIES = """
import json, sys
print(json.dumps({"event": "process_died", "error": "DatabaseUnavailable: it did not answer"}))
sys.exit(4)
"""
STAYS = "import signal; print('up', flush=True); signal.pause()"


def specification(tmp_path: Path, name: str, code: str) -> Specification:
    return Specification(
        name=name,
        argv=(sys.executable, "-c", code),
        environment=dict(os.environ),
        log_file=tmp_path / f"{name}.log",
        ready_url="http://127.0.0.1:9/readyz",
    )


def ticked(supervised: Supervisor, said: list[str], text: str) -> str:
    """Tick until a report holds `text`."""

    def look() -> str:
        supervised.tick()
        return next((line for line in said if text in line), "")

    return eventually(look, timeout=20)


def test_c24_a_process_that_ends_is_restarted_with_back_off_and_its_reason(tmp_path: Path) -> None:
    """The exit code and the last logged error are told; each further end waits longer."""
    said: list[str] = []
    supervised = Supervisor(said.append)
    supervised.start(specification(tmp_path, "worker", DIES))
    first = ticked(supervised, said, "restarts in 0.5 s")
    assert first == (
        "worker ended (exit code 4: DatabaseUnavailable: it did not answer); it restarts in 0.5 s"
    )
    ticked(supervised, said, "worker restarted")
    ticked(supervised, said, "restarts in 1 s")
    supervised.stop()


def test_c24_a_killed_process_is_restarted(tmp_path: Path) -> None:
    """SIGKILL is named, and another process takes over."""
    said: list[str] = []
    supervised = Supervisor(said.append)
    supervised.start(specification(tmp_path, "worker", STAYS))
    killed = supervised.pid("worker")
    os.kill(killed, signal.SIGKILL)
    ticked(supervised, said, "worker ended (SIGKILL)")
    ticked(supervised, said, "worker restarted")
    assert supervised.pid("worker") != killed
    supervised.stop()


def test_a_stop_ends_every_process(tmp_path: Path) -> None:
    """After `stop` nothing runs, and nothing is supervised."""
    supervised = Supervisor(lambda line: None)
    for name in ("one", "two"):
        supervised.start(specification(tmp_path, name, STAYS))
    pids = [supervised.pid(name) for name in supervised.names()]
    for name in ("one", "two"):
        log = tmp_path / f"{name}.log"
        eventually(lambda log=log: "up" in log.read_text())  # type: ignore[misc]
    supervised.stop()
    assert supervised.names() == []
    assert not any(process_runs(pid) for pid in pids)


def test_back_off_has_a_longest() -> None:
    """Whatever the number of failures, a restart is at most half a minute away."""
    assert min(supervisor.FIRST_BACKOFF * 2**50, supervisor.LONGEST_BACKOFF) == 30.0
