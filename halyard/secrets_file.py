"""Changing a secrets file: whole or not at all, by one at a time, readable by its owner alone.

A TOML file of texts, numbers, lists of texts and one level of tables. Comments are not kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from halyard.errors import ConfigurationError
from halyard.privacy import read_secrets

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@contextmanager
def changing(path: Path) -> Iterator[dict[str, Any]]:
    """The file's table; what is changed in it is written at the end, unless an error passes.

    On the disk (fsync) when this returns. Raises `ConfigurationError` if the file cannot be read,
    written, or holds what this module cannot write.
    """
    path = path.expanduser().resolve()
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table = read_secrets(path)
        before = as_toml(table)
        yield table
        after = as_toml(table)
        if after != before:
            _replace(path, after)
    finally:
        os.close(lock)


def as_toml(table: Mapping[str, Any]) -> str:
    """`table` as TOML. Raises `ConfigurationError` for what would not come back the same."""
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    try:
        lines = [_entry(name, value) for name, value in table.items() if name not in tables]
        for name, inner in tables.items():
            lines += ["", f"[{_key(name)}]", *(_entry(key, value) for key, value in inner.items())]
        text = "".join(f"{line}\n" for line in lines).lstrip("\n")
        same = tomllib.loads(text) == dict(table)
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ConfigurationError(
            "The secrets file holds more than texts, numbers, lists and one level of tables; "
            "change it by hand (docs/reference/keys.md)."
        )
    return text


def _entry(name: str, value: object) -> str:
    return f"{_key(name)} = {json.dumps(value, ensure_ascii=False)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _replace(path: Path, text: str) -> None:
    """Write beside, then rename: whoever reads sees the old file or the new one. Owner and mode
    stay, so that the hub's own user can still read it.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        there = path.stat()
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), there.st_uid, there.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be written ({type(error).__name__}); run this as its owner, where its "
        "directory can be written, or change the file by hand (docs/reference/keys.md)."
    )
