"""Programs that live no longer than who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from halyard.embedded import child as child_script
from halyard.embedded import errors, process
from halyard.embedded.process import Child
from tests.support.waiting import eventually

SLEEP = ("sleep", "300")


def spawn(directory: Path, argv: tuple[str, ...] = SLEEP) -> Child:
    """A child that does nothing for a while."""
    return Child.spawn(
        argv,
        death_signal=signal.SIGKILL,
        environment=os.environ,
        output=directory / "output",
    )


def test_child_is_stopped_and_its_end_is_known(tmp_path: Path) -> None:
    """A child runs until it is stopped; its exit code names the signal."""
    child = spawn(tmp_path)
    assert child.exit_code is None
    assert process.process_runs(child.pid)
    child.stop([(signal.SIGTERM, 5)])
    assert child.exit_code == -signal.SIGTERM
    assert not process.process_runs(child.pid)


def test_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """After its seconds the next signal comes, SIGKILL at last."""
    child = spawn(tmp_path, ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"))
    eventually(lambda: "ready" in (tmp_path / "output").read_text())
    child.stop([(signal.SIGTERM, 0.1)])
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_child_dies_with_a_parent_killed_by_sigkill(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves no child behind."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from halyard.embedded.process import Child\n"
        "child = Child.spawn(('sleep', '300'), death_signal=signal.SIGKILL,\n"
        "                    environment=os.environ, output=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "output")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert process.process_runs(pid)
        parent.kill()
    eventually(lambda: not process.process_runs(pid), why="the child's end")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_parent_that_died_before_the_promise_is_noticed() -> None:
    """A child whose parent is gone before it asked for the signal does not start the program."""
    command = [sys.executable, "-I", "-S", str(Path(child_script.__file__))]
    done = subprocess.run([*command, "1", "9", "same", "--", "/bin/true"], check=False)
    assert done.returncode == child_script.EXIT_PARENT_GONE


def test_start_from_another_thread_is_refused(tmp_path: Path) -> None:
    """The kernel would end the program with that thread, so it is said at once."""
    caught: list[BaseException] = []

    def start() -> None:
        try:
            spawn(tmp_path)
        except errors.NotMainThread as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_zombie_counts_as_gone() -> None:
    """A process that ended and was not waited for does not run."""
    ended = subprocess.Popen(["true"])
    eventually(lambda: not process.process_runs(ended.pid))
    ended.wait()


def test_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log does not grow over restarts for ever, and only its owner may read it."""
    monkeypatch.setattr(process, "_LOG_LIMIT", 10)
    path = tmp_path / "log"
    for text in (b"x" * 20, b"new"):
        with process.open_log(path) as file:
            file.write(text)
    assert path.read_bytes() == b"new"
    assert path.with_name("log.1").read_bytes() == b"x" * 20
    assert path.stat().st_mode & 0o077 == 0


def test_last_lines_start_where_this_run_did(tmp_path: Path) -> None:
    """What an earlier run wrote is no explanation for this one's end."""
    path = tmp_path / "log"
    assert process.last_lines(path) == ""
    path.write_text("old new")
    assert process.last_lines(path, offset=4) == "new"
    assert process.last_lines(path, offset=400) == "old new"  # moved aside meanwhile
    assert process.last_lines(path, limit=3) == "new"
