"""Checkpoints outside the database: append-only files of lines, each named by its first number.

A line is on the disk (fsync) before it counts. Lines stand in the order of their numbers and none
is missing, so the last line says how far the export has come. A last line that was cut short by a
crash was never counted; it is taken away before the next one is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from halyard.audit_chain import read_checkpoint
from halyard.errors import ConfigurationError
from halyard.settings import Profile, Settings

PATTERN: Final = "checkpoints-*.jsonl"
FILE_BYTES: Final = 64_000_000
"""A file that has so many is ended; the next line begins another."""
_LONGEST: Final = 4_096  # bytes of a line


def checkpoint_dir(settings: Settings) -> Path:
    """Where checkpoints go. Raises `ConfigurationError` in production if it is not set."""
    if settings.audit.checkpoint_dir is not None:
        return settings.audit.checkpoint_dir.expanduser()
    if settings.profile is Profile.PRODUCTION:
        raise ConfigurationError(
            "Checkpoints of the audit chain go outside the database: set "
            "HALYARD_AUDIT__CHECKPOINT_DIR to a directory that the database's owner cannot write."
        )
    return settings.data_dir.expanduser() / "audit-checkpoints"


@dataclass(frozen=True, slots=True)
class Piece:
    """A file as far as it had been written at one moment."""

    path: Path
    size: int

    def lines(self) -> Iterator[tuple[int, str]]:
        """(line number from 1, text without its end) of each whole line; a torn last one is not."""
        left = self.size
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                left -= len(raw)
                if left < 0 or not raw.endswith(b"\n"):
                    return
                yield number, raw[:-1].decode("utf-8", "replace")


def pieces(directory: Path) -> list[Piece]:
    """The export's files in their order, as they are now; none if there is no such directory."""
    return [Piece(path, path.stat().st_size) for path in sorted(directory.glob(PATTERN))]


def last_line(directory: Path) -> str | None:
    """The last whole line of the export, whatever it says; None if there is none. Raises
    `OSError`.
    """
    for path in sorted(directory.glob(PATTERN), reverse=True):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 2 * _LONGEST, 0))
            whole, end, _torn = file.read().rpartition(b"\n")
        if end:
            return whole.rpartition(b"\n")[2].decode("utf-8", "replace")
    return None


class Exporter:
    """Writes checkpoints to `directory`, which it makes at need. Blocking: call it in a thread."""

    def __init__(self, directory: Path, *, file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self._file_bytes = file_bytes

    def last_number(self) -> int:
        """The number of the last checkpoint exported; 0 before the first.

        Changes nothing: a line that was cut short is not counted. Raises `OSError`, and
        `CheckpointRejected` if the last line is no checkpoint: somebody has written there.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = last_line(self._directory)
        return 0 if line is None else read_checkpoint(line).number

    def append(self, lines: Sequence[str]) -> None:
        """Add checkpoints' lines in their order; they are on the disk when this returns. Takes away
        a line that was cut short before. Only the one sealer may (`stores.audit_seals.try_lock`).

        Raises `OSError` if they are not.
        """
        self._mend()
        left = list(lines)
        while left:
            path, room = self._current(left[0])
            data, taken = b"", 0
            while taken < len(left) and len(data) < room:
                data += left[taken].encode() + b"\n"
                taken += 1
            self._write(path, data)
            left = left[taken:]

    def _mend(self) -> None:
        for path in sorted(self._directory.glob(PATTERN))[-1:]:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - 2 * _LONGEST, 0))
                _, _, torn = file.read().rpartition(b"\n")
            if torn:
                os.truncate(path, size - len(torn))

    def _current(self, line: str) -> tuple[Path, int]:
        """The file that `line` goes to, and how many bytes may still be begun in it."""
        there = sorted(self._directory.glob(PATTERN))
        if there and (size := there[-1].stat().st_size) < self._file_bytes:
            return there[-1], self._file_bytes - size
        # by number, not by time: clocks may be wrong, and go back
        name = PATTERN.replace("*", f"{read_checkpoint(line).number:012}")
        return self._directory / name, self._file_bytes

    def _write(self, path: Path, data: bytes) -> None:
        new = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            _sync_directory(self._directory)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
