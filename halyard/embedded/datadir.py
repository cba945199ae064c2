"""A data directory that one process holds at a time, its ports and its free space."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Self

from halyard.embedded.errors import DirectoryForeign, DirectoryInUse, DiskFull, PortTaken
from halyard.embedded.process import process_runs

LOOPBACK = "127.0.0.1"
MEBIBYTE = 1024 * 1024

_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT: Final = 15_000
_LAST_PORT: Final = 65_535
_ROOM: Final = 2_000  # ports below the outgoing ones that make it worth staying there
_ATTEMPTS: Final = 3  # a free port may be taken between our look and a program's bind
_LOOKS: Final = 200  # at a port, for each that is wanted
# of each process its own: two that start at once must not look at the same ports
_RANDOM: Final = random.SystemRandom()


class DirectoryLock:
    """Our own lock on a data directory (flock on ``halyard.lock``), taken before all else.

    The descriptor is handed to the program we start: the lock holds until that program *and* we
    are gone. A file left behind by a crash is therefore never in the way.
    """

    def __init__(self, directory: Path, *, owner_file: str = "halyard.lock") -> None:
        self._directory = directory
        self._path = directory / owner_file
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file to hand on; only while the lock is held."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        return self._descriptor

    def acquire(self, timeout: float, *, wait: bool = False) -> Self:
        """Take the lock; waits up to `timeout` seconds for what a dead process left to end.

        With `wait` it waits for a live process too. Raises `DirectoryInUse` at once if the process
        that holds it lives, after `timeout` if it is gone but its program still ends;
        `DirectoryForeign` if we may not write there.
        """
        try:
            # 0700: what lies below holds credentials and messages.
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise DirectoryForeign(
                f"The data directory {self._directory} cannot be written ({error.strerror}); "
                "choose another one, or give it to the user who runs this command."
            ) from error
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = self._holder(descriptor)
                lives = holder != 0 and process_runs(holder)
                if time.monotonic() > deadline or (lives and not wait):
                    os.close(descriptor)
                    raise DirectoryInUse(
                        f"The data directory {self._directory} is in use by process "
                        f"{holder or 'unknown'}; stop that process or choose another directory."
                    ) from None
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Let go of our hold; the program's own hold ends with the program."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)  # no owner: who comes next may wait for the program
            os.close(self._descriptor)
            self._descriptor = None

    @staticmethod
    def _holder(descriptor: int) -> int:
        digits = os.pread(descriptor, 32, 0).split(b"\n")[0]
        return int(digits) if digits.isdigit() else 0


def require_free_space(directory: Path, mebibytes: int) -> None:
    """Raise `DiskFull` if the file system of `directory` has less than `mebibytes` free."""
    place = directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // MEBIBYTE
    if free < mebibytes:
        raise DiskFull(
            f"Only {free} MiB are free for {directory} and {mebibytes} MiB are needed; free "
            "some space or choose another data directory."
        )


def port_is_free(port: int) -> bool:
    """True if a server can listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_answers(port: int) -> bool:
    """True if something accepts connections on the loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_ports(count: int) -> tuple[int, ...]:
    """`count` different loopback ports that are free at this moment.

    Below those that the system gives to outgoing connections where there is room: a service may
    need seconds until it listens, and any client on the machine could be given its port meanwhile.
    Raises `PortTaken` if none is found.
    """
    low, high = _LOWEST_PORT, _first_outgoing_port()
    found: set[int] = set()
    for _ in range(_LOOKS * count):
        port = _RANDOM.randrange(low, high)
        if port not in found and port_is_free(port):
            found.add(port)
            if len(found) == count:
                return tuple(found)
    raise PortTaken(
        f"No {count} free ports were found on {LOOPBACK} between {low} and {high}; stop programs "
        "that listen there."
    )


def _first_outgoing_port() -> int:
    try:
        first = int(_OUTGOING.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _LAST_PORT
    return first if first - _LOWEST_PORT >= _ROOM else _LAST_PORT


def choose_port(remembered: Path, *, wanted: int | None) -> int:
    """The port to listen on: `wanted`, else the one used last time if it is free, else a new one.

    Raises `PortTaken` only for a port that was asked for. Remember the choice with
    `remember_port` once the program listens.
    """
    if wanted is not None:
        if not port_is_free(wanted):
            raise PortTaken(
                f"Port {wanted} on {LOOPBACK} is taken by another program; stop that program "
                "or choose another port."
            )
        return wanted
    try:
        last = int(remembered.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        last = 0
    if 1024 <= last <= 65535 and port_is_free(last):
        return last
    return free_ports(1)[0]


def remember_port(remembered: Path, port: int) -> None:
    """Keep the port for the next start in this directory."""
    write_private(remembered, f"{port}\n")


def keep_ports(
    remembered: Path, names: Sequence[str], *, beside: Collection[int] = ()
) -> dict[str, int]:
    """A port for each of `names`, all different and none of `beside`: last time's if it is free,
    else a new one, which is kept in the file `remembered`. Raises `PortTaken` if none is found.
    """
    try:
        lines = remembered.read_text("ascii").splitlines()
    except (FileNotFoundError, ValueError):
        lines = []
    last = dict(line.partition("=")[::2] for line in lines)
    ports: dict[str, int] = {}
    for name in names:
        text = last.get(name, "")
        port = int(text) if text.isdecimal() and len(text) <= 5 else 0
        if 1024 <= port <= 65535 and port not in {*beside, *ports.values()} and port_is_free(port):
            ports[name] = port
    taken = {*beside, *ports.values()}
    new = (one for one in free_ports(len(names) + len(taken)) if one not in taken)
    found = {name: ports[name] if name in ports else next(new) for name in names}
    write_private(remembered, "".join(f"{name}={port}\n" for name, port in found.items()))
    return found


def on_any_port(
    wait: Callable[[], None], launch: Callable[[], None], *, remembered: Path | None
) -> None:
    """Wait for a launched program; where its port was taken meanwhile, launch it on another one.

    Raises `PortTaken` after `_ATTEMPTS`, or at once without a `remembered` port to choose anew.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            wait()
            return
        except PortTaken:
            if remembered is None or attempt == _ATTEMPTS:
                raise
            remembered.unlink(missing_ok=True)
            launch()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (0600), whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
