"""CPU seconds of processes and their children, from /proc (Linux): user + system.

The kernel counts in ticks of 10 ms, so only sums over many messages mean something.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM = 1, 11, 12, 13, 14  # after the name's ")"


def cpu_seconds(processes: Mapping[str, int]) -> dict[str, float]:
    """User + system seconds so far of each process with its descendants, by name; those that
    ended and were waited for are counted. A process that is gone counts nothing.
    """
    children: dict[int, list[int]] = defaultdict(list)
    spent: dict[int, float] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        pid = int(entry.name)
        children[int(fields[_PARENT])].append(pid)
        ticks = sum(int(fields[at]) for at in (_USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM))
        spent[pid] = ticks / _TICK
    return {name: _tree(pid, children, spent) for name, pid in processes.items()}


def _tree(pid: int, children: Mapping[int, list[int]], spent: Mapping[int, float]) -> float:
    own = spent.get(pid, 0.0)
    return own + sum(_tree(child, children, spent) for child in children.get(pid, ()))


def own_seconds() -> float:
    """This process alone, without its children."""
    times = os.times()
    return times.user + times.system
