"""How a process ends: by itself, by a failure, by a signal, and never not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from halyard.service import EXIT_CONFIGURATION, EXIT_DIED, EXIT_STUCK

ROOT = Path(__file__).parents[3]

PROGRAM = """
    import asyncio, sys, threading, time
    from halyard.errors import ConfigurationError
    from halyard.service import run
    from halyard.settings import Settings, WorkerSettings

    async def fail(service):
        raise ValueError("secret 9990000018")

    async def part_fails(service):
        async def part():
            raise ValueError("secret 9990000018")
        service.spawn(part(), name="part")
        await asyncio.Event().wait()

    async def misconfigured(service):
        raise ConfigurationError("Mend it.")

    async def wait(service):
        print("up", flush=True)
        await service.stopping.wait()

    async def deaf(service):
        print("up", flush=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    async def stuck(service):
        print("up", flush=True)
        time.sleep(60)

    async def thread(service):
        threading.Thread(target=time.sleep, args=(60,)).start()

    settings = Settings(worker=WorkerSettings(stop_seconds=0.5, verdict_seconds=30))
    sys.exit(run("toy", settings, globals()[sys.argv[1]]))
"""


def start(main: str) -> subprocess.Popen[bytes]:
    """A process that runs this `main`."""
    return subprocess.Popen(
        (sys.executable, "-c", textwrap.dedent(PROGRAM), main),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("main", "code", "told"),
    [
        ("fail", EXIT_DIED, b"ValueError"),
        ("part_fails", EXIT_DIED, b"ValueError"),
        ("misconfigured", EXIT_CONFIGURATION, b"Mend it."),
        ("thread", EXIT_STUCK, b"process_died"),
    ],
)
def test_a_process_that_fails_says_why_and_exits_non_zero(
    main: str, code: int, told: bytes
) -> None:
    """The exit code tells the kind, the log the reason, without the text of foreign errors."""
    process = start(main)
    _, log = process.communicate(timeout=30)
    assert process.returncode == code, log
    assert b"process_died" in log
    assert told in log
    assert b"9990000018" not in log


@pytest.mark.parametrize(
    ("main", "code"), [("wait", 0), ("deaf", EXIT_STUCK), ("stuck", EXIT_STUCK)]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time(main: str, code: int, number: signal.Signals) -> None:
    """Cleanly if it listens; hard after stop_seconds if it does not, even if its loop is stuck."""
    process = start(main)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    _, log = process.communicate(timeout=15)
    assert process.returncode == code, log
