"""The data directory: lock, space, ports."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from halyard.embedded import datadir, errors
from halyard.embedded.datadir import LOOPBACK, DirectoryLock, keep_ports


def test_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """A directory has one holder; the refusal names its process and what to do."""
    lock = DirectoryLock(tmp_path).acquire(1)
    with pytest.raises(errors.DirectoryInUse, match=rf"process {os.getpid()}; stop that process"):
        DirectoryLock(tmp_path).acquire(1)
    lock.release()
    DirectoryLock(tmp_path).acquire(1).release()


@pytest.mark.parametrize("left", ["", "999999999\n", "not a number", "1\n"])
def test_lock_file_left_behind_is_no_obstacle(tmp_path: Path, left: str) -> None:
    """What a crash left in the lock file says nothing: only the kernel's lock counts."""
    (tmp_path / "halyard.lock").write_text(left)
    DirectoryLock(tmp_path).acquire(1).release()


def test_lock_holds_until_the_program_that_inherited_it_is_gone(tmp_path: Path) -> None:
    """The started program keeps the lock after we let go, and the next start waits for its end."""
    lock = DirectoryLock(tmp_path).acquire(1)
    program = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=(lock.descriptor,),
    )
    lock.release()
    with pytest.raises(errors.DirectoryInUse):
        DirectoryLock(tmp_path).acquire(0.1)
    program.communicate()
    DirectoryLock(tmp_path).acquire(5).release()


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A place that cannot be written gives a sentence with the place and a way out."""
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "data"
    with pytest.raises(errors.DirectoryForeign, match=re.escape(str(place)) + ".*choose another"):
        DirectoryLock(place).acquire(1)


def test_directory_is_private(tmp_path: Path) -> None:
    """Directory, lock and secrets are for their owner only."""
    place = tmp_path / "a" / "b"
    DirectoryLock(place).acquire(1).release()
    datadir.write_private(place / "secret", "x")
    assert place.stat().st_mode & 0o077 == 0
    assert (place / "halyard.lock").stat().st_mode & 0o077 == 0
    assert (place / "secret").stat().st_mode & 0o077 == 0


def test_full_disk_is_seen_before_anything_is_written(tmp_path: Path) -> None:
    """Too little space is told in numbers, also for a directory that is not there yet."""
    with pytest.raises(errors.DiskFull, match=r"Only \d+ MiB are free .* free some space"):
        datadir.require_free_space(tmp_path / "not" / "yet", 10**9)
    datadir.require_free_space(tmp_path, 0)


def test_wanted_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """A port asked for is used or refused by name, never silently replaced."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(errors.PortTaken, match=rf"Port {port} .* choose another port"):
            datadir.choose_port(tmp_path / "port", wanted=port)


def test_port_of_last_time_is_kept_while_it_is_free(tmp_path: Path) -> None:
    """The same directory gives the same port again, another one only if that is taken."""
    remembered = tmp_path / "port"
    port = datadir.choose_port(remembered, wanted=None)
    datadir.remember_port(remembered, port)
    assert datadir.choose_port(remembered, wanted=None) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert datadir.choose_port(remembered, wanted=None) != port


@pytest.mark.parametrize("text", ["", "no", "0", "70000", "-5"])
def test_damaged_port_file_gives_a_new_port(tmp_path: Path, text: str) -> None:
    """A port file with anything but a usable port is ignored."""
    (tmp_path / "port").write_text(text)
    assert 1024 <= datadir.choose_port(tmp_path / "port", wanted=None) <= 65535


def test_free_ports_are_different() -> None:
    """Several ports taken at once do not coincide."""
    assert len(set(datadir.free_ports(20))) == 20


def test_free_ports_are_none_that_the_system_gives_to_clients() -> None:
    """A client that connects while a service starts is never given the service's port."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    if first < 17_000:
        first = 65_536  # a machine without room below them
    assert max(datadir.free_ports(20)) < first


def test_kept_ports_come_back_unless_another_program_has_one(tmp_path: Path) -> None:
    """Each name its own; a taken one, a name that is new and a file that is none get new ones."""
    file, names = tmp_path / "ports", ("mllp", "api", "issuer")
    first = keep_ports(file, names)
    assert len(set(first.values())) == 3
    assert keep_ports(file, names) == first
    with socket.create_server((LOOPBACK, first["api"])):
        second = keep_ports(file, (*names, "ncmd"), beside={first["issuer"]})
    assert second["mllp"] == first["mllp"]
    assert second["api"] != first["api"]
    assert second["issuer"] != first["issuer"]
    assert len({*second.values()}) == 4
    assert keep_ports(file, (*names, "ncmd")) == second
    file.write_bytes(b"api=99999\nmllp=\xff\nissuer")
    assert len(set(keep_ports(file, names).values())) == 3
