"""A real PostgreSQL as our child."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from halyard.embedded import datadir, errors
from halyard.embedded.postgres import EmbeddedPostgres
from halyard.embedded.process import Identity, identity_works

READY_SECONDS = 15
CANARY = "ZEBEDEE-CANARY"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A running server on a directory of its own."""
    with EmbeddedPostgres(tmp_path) as started:
        yield started


def value(url: str, query: str) -> object:
    """The first column of the first row."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_server_is_version_18_on_loopback_alone(server: EmbeddedPostgres) -> None:
    """It listens on the loopback address only, and on no socket file."""
    assert str(value(server.admin_url, "show server_version")).startswith("18.")
    assert value(server.admin_url, "show listen_addresses") == "127.0.0.1"
    assert value(server.admin_url, "show unix_socket_directories") == ""


def test_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    """No connection is trusted, the superuser's neither."""
    head, _, tail = server.admin_url.partition("@")
    wrong = f"{head.rpartition(':')[0]}:wrong@{tail}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_restart_after_sigkill_is_ready_in_time_with_its_data(server: EmbeddedPostgres) -> None:
    """What was committed is there after a power cut, at the same address, in under 15 s."""
    with psycopg.connect(server.admin_url) as connection:
        connection.execute("create table kept as select 7 as seven")
    url = server.admin_url
    os.kill(server.pid, signal.SIGKILL)
    server.kill()
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began < READY_SECONDS
    assert server.admin_url == url
    assert value(url, "select seven from kept") == 7


def test_server_killed_by_another_hand_is_started_again(server: EmbeddedPostgres) -> None:
    """`alive` tells the truth, and `start` begins anew."""
    os.kill(server.pid, signal.SIGKILL)
    while server.alive():
        time.sleep(0.01)
    server.start()
    assert value(server.admin_url, "select 1") == 1


def test_second_server_on_a_directory_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """One server a directory; the first goes on."""
    with pytest.raises(errors.DirectoryInUse, match=f"process {os.getpid()}"):
        EmbeddedPostgres(tmp_path).start()
    assert value(server.admin_url, "select 1") == 1


def test_errors_that_quote_values_leave_none_in_the_log(server: EmbeddedPostgres) -> None:
    """Violations, bad casts and raised messages: statement, parameters and detail stay out."""
    statements = (
        ("insert into person values (%s)", (CANARY,)),
        ("insert into person values (%s)", (CANARY,)),
        (f"insert into person values ('{CANARY}')", None),
        (f"insert into person (nothing) values ('{CANARY}')", None),
        ("insert into small values (%s)", (CANARY,)),
    )
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        connection.execute("create table person (name text primary key)")
        connection.execute("create table small (code varchar(3))")
        failed = 0
        for statement, parameters in statements:
            try:
                connection.execute(statement, parameters)
            except psycopg.Error:
                failed += 1
    assert failed == 4
    log = server.log_file.read_text()
    assert log.count("ERROR:") == 4
    assert CANARY not in log


def test_wanted_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """A fixed port in use gives a sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(errors.PortTaken, match=f"Port {port}"):
            EmbeddedPostgres(tmp_path, port=port).start()


def test_port_taken_between_look_and_bind_is_answered_by_another(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing the race for a free port costs a second start, not an error."""
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "port").write_text(f"{taken}\n")
        looks, really_free = iter([True]), datadir.port_is_free
        monkeypatch.setattr(datadir, "port_is_free", lambda one: next(looks, really_free(one)))
        server.start()
        assert server.port != taken


def test_stale_pid_file_does_not_stop_the_start(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """A postmaster.pid with the id of a live process that is no server is put away."""
    server.stop()
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getppid()}\n")
    server.start()
    assert value(server.admin_url, "select 1") == 1


def test_interrupted_first_start_is_made_good(tmp_path: Path) -> None:
    """A cluster that was being made when the power went is made again from the beginning."""
    (tmp_path / "data.new" / "base").mkdir(parents=True)
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path) as server:
        assert value(server.admin_url, "select 1") == 1
    assert not (tmp_path / "data.new").exists()
    assert not (tmp_path / "password.new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has to become somebody else")
@pytest.mark.parametrize("order", [("namespace", "drop"), ("drop", "namespace")])
def test_root_runs_it_with_and_without_user_namespaces(
    tmp_path: Path, order: tuple[Identity, ...]
) -> None:
    """Both ways out of PostgreSQL's refusal of root work, also in turn on one directory."""
    for identity in order:
        if not identity_works(identity, (tmp_path,)):
            pytest.skip(f"{identity} is forbidden on this machine")
        with EmbeddedPostgres(tmp_path, identity=identity) as server:
            with psycopg.connect(server.admin_url) as connection:
                connection.execute("create table if not exists kept as select 7 as seven")
            status = Path(f"/proc/{server.pid}/status").read_text()
            owner = next(line for line in status.splitlines() if line.startswith("Uid:"))
            assert owner.split()[1] == ("0" if identity == "namespace" else "65534")
            assert value(server.admin_url, "select seven from kept") == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="an ordinary user's case")
def test_directory_of_another_user_is_named(tmp_path: Path) -> None:
    """An ordinary user is told that the place is not his."""
    with pytest.raises(errors.DirectoryForeign, match="choose another one"):
        EmbeddedPostgres(Path("/proc/1/data")).start()
