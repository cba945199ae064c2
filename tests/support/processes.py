"""The real `halyard` command (or any other) as a subprocess whose output can be waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from halyard.embedded.process import tied
from tests.support.waiting import eventually

COMMAND = str(Path(sys.executable).with_name("halyard"))


class Process:
    """One subprocess; dies with the test run, whatever happens to that.

    `out` and `log` are files that receive standard output and standard error. A context manager:
    SIGTERM at its end, SIGKILL after `grace` seconds.
    """

    def __init__(
        self,
        argv: Iterable[str],
        *,
        directory: Path,
        name: str = "process",
        env: Mapping[str, str] | None = None,
        grace: float = 10.0,
    ) -> None:
        self.name = name
        self.out = directory / f"{name}.out"
        self.log = directory / f"{name}.log"
        self._grace = grace
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HALYARD_")}
        with self.out.open("ab") as out, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(tuple(argv), signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**inherited, **(env or {})},
                cwd=directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Standard output so far."""
        return self.out.read_text("utf-8", "replace")

    def log_text(self) -> str:
        """Standard error so far."""
        return self.log.read_text("utf-8", "replace")

    def wait(self, timeout: float) -> int:
        """Its exit code; AssertionError with the end of its log after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._told(f"still runs after {timeout:g} s")) from None

    def wait_for(self, text: str | Callable[[str], bool], timeout: float = 30.0) -> str:
        """Wait until output or log holds `text` (or satisfies it); gives both.

        AssertionError, with the end of its log, if the process ends first or time is over.
        """
        satisfied = text if callable(text) else lambda seen: text in seen

        def seen() -> str | None:
            ended = self.exit_code is not None
            everything = self.output() + self.log_text()
            if satisfied(everything):
                return everything or " "
            if ended:
                raise RuntimeError(self._told(f"ended with {self.exit_code} before {text!r}"))
            return None

        try:
            return eventually(seen, timeout, why=f"{text!r} from {self.name}") or ""
        except AssertionError as error:
            raise AssertionError(self._told(str(error))) from None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; no error if it has ended."""
        self._process.send_signal(number)

    def terminate(self, timeout: float | None = None) -> int:
        """SIGTERM and wait; SIGKILL if it stays longer than the grace. Its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(self._grace if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL and wait. Its exit code."""
        self._process.kill()
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_code is None:
            self.terminate()

    def _told(self, what: str) -> str:
        return f"{self.name} {what}\n--- end of its log ---\n{self.log_text()[-4000:]}"


def halyard(
    *arguments: str, directory: Path, env: Mapping[str, str] | None = None, name: str | None = None
) -> Process:
    """Start ``halyard ARGUMENTS…`` as an operator would."""
    label = name or "-".join(word for word in arguments[:2] if word.isalnum()) or "halyard"
    return Process((COMMAND, *arguments), directory=directory, name=label, env=env)


def run_halyard(
    *arguments: str,
    directory: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``halyard ARGUMENTS…`` to its end and give its exit code and output."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HALYARD_")}
    return subprocess.run(
        tied((COMMAND, *arguments), signal.SIGKILL),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**inherited, **(env or {})},
        cwd=directory,
        timeout=timeout,
        check=False,
    )
