"""What was put into the practice PDS while it ran, kept in a file: a restart forgets nobody.

JSON lines, one for each record that was posted or changed, the last of a number counts; the file is
written anew when most of it is out of date. Invented people alone: a line is read as strictly as
a body that is posted (`person_from`), so that no number that could be issued is ever in it. Events,
faults and counters are not kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from halyard.errors import ConfigurationError, TransientError
from sandbox.pds.people import Person, person_from

FILE: Final = "practice-pds-people.jsonl"  # in the data directory
PORT_FILE: Final = "practice-pds-port"  # beside it: where the last start listened
PEOPLE_AT_MOST: Final = 100_000
LINE_AT_MOST: Final = 16_000
_STALE_AT_MOST: Final = 1_000


class NotKept(TransientError):
    """A record of the practice PDS cannot be kept; make room for its data directory."""


class TooManyKept(ConfigurationError):
    """The practice PDS keeps no more people, or no longer record; give them with --people."""


class CannotKeep(ConfigurationError):
    """Another practice PDS has the file, or it cannot be written: nothing is kept then. Give this
    one a data directory of its own (HALYARD_DATA_DIR).
    """


class Kept:
    """The file of one running practice PDS; nobody else may have it meanwhile.

    Raises `CannotKeep`, and `ConfigurationError` for a line that is no record. A last line that a
    crash cut off is dropped. `forget`: begin with nobody.
    """

    def __init__(self, path: Path, *, forget: bool = False, at_most: int = PEOPLE_AT_MOST) -> None:
        self._path = path
        self._at_most = at_most
        self._lock = _only_mine(path.with_name(f"{path.name}.lock"))
        self._file: int | None = None
        self._lines = 0
        try:
            self._people = {} if forget else _read(path)
            self._write_anew()
        except OSError as error:
            self.close()
            raise _cannot(error) from None
        except ConfigurationError:
            self.close()
            raise

    def people(self) -> Iterator[Person]:
        """Everybody who was kept, each as they were last."""
        yield from list(self._people.values())

    def put(self, person: Person) -> None:
        """Keep a record; it is on the disk when this returns. Raises `TooManyKept`, `NotKept`."""
        assert self._file is not None  # closed is closed
        new = person.nhs_number not in self._people
        line = _line(person)
        if len(line) > LINE_AT_MOST or (new and len(self._people) >= self._at_most):
            raise TooManyKept
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # no half of a line stands before the next
                os.ftruncate(self._file, before)
            raise NotKept from None
        self._people[person.nhs_number] = person
        self._lines += 1
        if self._lines > 2 * len(self._people) + _STALE_AT_MOST:
            with contextlib.suppress(OSError):  # it is kept already; the file stays long
                self._write_anew()

    def close(self) -> None:
        """Leave the file to another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self._lock)

    def _write_anew(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            for person in self._people.values():
                os.write(descriptor, _line(person))
            os.fsync(descriptor)
            os.replace(fresh, self._path)
        except OSError:
            os.close(descriptor)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file = descriptor
        self._lines = len(self._people)


def _line(person: Person) -> bytes:
    return (json.dumps(asdict(person), ensure_ascii=False) + "\n").encode()


def _read(path: Path) -> dict[str, Person]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    people: dict[str, Person] = {}
    whole, _, _cut_off = text.rpartition(b"\n")
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            person = person_from(record if isinstance(record, dict) else {})
        except (ValueError, ConfigurationError):
            raise ConfigurationError(
                f"{path} line {number} is no record of the practice PDS; start it with --forget, "
                "or mend the line."
            ) from None
        people[person.nhs_number] = person
    return people


def _only_mine(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _cannot(error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise CannotKeep from None
    return descriptor


def _cannot(error: OSError) -> CannotKeep:
    return CannotKeep(
        f"The practice PDS cannot write to its data directory ({type(error).__name__}) and keeps "
        "nobody who is posted to it; mend the directory's rights, or set HALYARD_DATA_DIR."
    )
