"""The last step before an embedded program: tie its life to its parent's, then become it.

Run as a script by path (``python -I -S child.py PARENT SIGNAL IDENTITY -- PROGRAM ARG...``), so
that nothing of the hub is imported and nothing runs between fork and exec in a process with
threads. The process id stays the same throughout.

IDENTITY is

- ``same``: stay who we are;
- ``namespace``: a user namespace in which our own user appears as 65534 (PostgreSQL refuses
  to run as root; files stay our own);
- ``drop``: user and group 65534 with the one capability to pass through our directories, for
  where user namespaces are forbidden.

``probe PATH...`` as program only tells by its exit code whether the identity can be taken and
every PATH (a directory) can be read and entered.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

NOBODY = 65534

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

EXIT_PARENT_GONE = 120
EXIT_IDENTITY = 121
EXIT_UNREADABLE = 122


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _enter_namespace(libc: ctypes.CDLL) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _check(libc.unshare(_CLONE_NEWUSER), "unshare")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(line)


def _drop_root(libc: ctypes.CDLL) -> None:
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)(_CapData(bit, bit, bit), _CapData(0, 0, 0))
    _check(libc.capset(ctypes.byref(header), ctypes.byref(data)), "capset")
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0), "ambient")


def _readable(path: str) -> bool:
    # Not access(2), which leaves out the capability that `drop` rests on.
    try:
        os.stat(os.path.join(path, "."))
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def main(arguments: list[str]) -> int:
    """Take the identity, ask for the signal, check that the parent still lives, exec."""
    parent, death_signal, identity, separator, *command = arguments
    if separator != "--" or not command:
        return EXIT_IDENTITY
    try:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if identity == "namespace":
                _enter_namespace(libc)
            elif identity == "drop":
                _drop_root(libc)
            # After the change of identity, which clears it.
            _check(libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "pdeathsig")
    except OSError as error:
        print(f"halyard: cannot take identity {identity}: {error.strerror}", file=sys.stderr)
        return EXIT_IDENTITY
    # The parent may have died before the request above: then nobody would ever signal us.
    if os.getppid() != int(parent):
        return EXIT_PARENT_GONE
    if command[0] == "probe":
        return 0 if all(map(_readable, command[1:])) else EXIT_UNREADABLE
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    return os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
