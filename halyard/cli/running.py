"""How commands find the system that `halyard up` runs: the addresses in its data directory."""

from __future__ import annotations

import os
from pathlib import Path


def running_system(data_dir: Path) -> bool:
    """Take the addresses of a system that `halyard up` runs, where none are given."""
    try:
        text = (data_dir.expanduser() / "addresses.env").read_text()
    except OSError:
        return False
    for line in text.splitlines():
        key, _, value = line.partition("=")
        os.environ.setdefault(key, value)
    return True
