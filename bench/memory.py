"""What a process holds in memory (Linux)."""

from __future__ import annotations

from pathlib import Path

from halyard.errors import ConfigurationError


def memory(pid: int, *, peak: bool = False) -> float:
    """MiB that a process holds in memory now, or held at most."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for entry in Path(f"/proc/{pid}/status").read_text().splitlines():
        if entry.startswith(wanted):
            return round(int(entry.split()[1]) / 1024, 1)
    raise ConfigurationError(
        "The kernel does not tell what a process holds in memory; measure on Linux."
    )


def forget_peak(pid: int) -> None:
    """Let the peak start from what is held now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
