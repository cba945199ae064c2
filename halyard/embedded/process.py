"""A program that lives no longer than the process that started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, Self

from halyard.embedded import child as child_script
from halyard.embedded.errors import NotMainThread

Identity = Literal["same", "namespace", "drop"]

_LOG_LIMIT = 10 * 1024 * 1024  # bytes; a longer log is moved aside at the next start


def nothing(_line: str) -> None:
    """Swallow a progress line: the default of every `progress` parameter."""


def tied(
    argv: Sequence[str], death_signal: signal.Signals, identity: Identity = "same"
) -> tuple[str, ...]:
    """The command line that runs `argv` (an absolute program) as long as *this* process lives.

    To be started by this very process, from its main thread.
    """
    script = str(Path(child_script.__file__).resolve())
    head = (sys.executable, "-I", "-S", script, str(os.getpid()), str(int(death_signal)), identity)
    return (*head, "--", *argv)


def identity_works(identity: Identity, paths: Sequence[Path]) -> bool:
    """True if a child can take the identity here and then read and enter every path."""
    _require_main_thread()
    done = subprocess.run(
        tied(("probe", *map(str, paths)), signal.SIGKILL, identity),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=30,
    )
    return done.returncode == 0


def run_child(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    identity: Identity = "same",
    cwd: Path | None = None,
    timeout: float = 600.0,
) -> tuple[int, str]:
    """Run a short program to its end, tied to our life; its exit code and its output.

    Raises `subprocess.TimeoutExpired` after `timeout` seconds.
    """
    _require_main_thread()
    program = _absolute(argv)
    done = subprocess.run(
        tied(program, signal.SIGKILL, identity),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=cwd,
        check=False,
        timeout=timeout,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def process_runs(pid: int) -> bool:
    """True if a process with this id exists and is no zombie."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1]
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state != [b"Z"] and state != [b"X"]


class Child:
    """One running program; ends with us, also when we are killed with SIGKILL (Linux)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        death_signal: signal.Signals,
        environment: Mapping[str, str],
        output: Path,
        identity: Identity = "same",
        cwd: Path | None = None,
        keep: Sequence[int] = (),
    ) -> Self:
        """Start `argv`, its output appended to `output`; it inherits the descriptors `keep`.

        `death_signal` is what the kernel sends it when we die. Raises `NotMainThread` elsewhere
        than in the main thread: the kernel takes the end of a thread for the end of the parent.
        """
        _require_main_thread()
        program = _absolute(argv)
        with open_log(output) as log:
            process = subprocess.Popen(
                tied(program, death_signal, identity),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                pass_fds=tuple(keep),
                start_new_session=True,  # Ctrl-C reaches us alone; we stop it in our own order
            )
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id; the same before and after exec."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn and wait its seconds, then SIGKILL; returns when it is gone."""
        for number, seconds in signals:
            if self.exit_code is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.exit_code is None:
            self._process.kill()
        self._process.wait()


def wait_until(
    ready: Callable[[], bool], *, child: Child, timeout: float, interval: float = 0.05
) -> bool:
    """Poll `ready` until it says yes; False when the child ends or `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.exit_code is not None:
            return False
        if ready():
            return child.exit_code is None
        time.sleep(interval)
    return False


def open_log(path: Path) -> IO[bytes]:
    """Open a log to append to, readable by its owner only; a long one is moved to ``.1``."""
    try:
        if path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def last_lines(path: Path, *, offset: int = 0, limit: int = 65536) -> str:
    """The end of a log, from `offset` on, at most `limit` bytes; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, offset if offset <= size else 0, size - limit))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _absolute(argv: Sequence[str]) -> tuple[str, ...]:
    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(argv[0])
    return (program, *argv[1:])


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise NotMainThread
