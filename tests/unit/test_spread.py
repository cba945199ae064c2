"""How test modules are spread over workers."""

from __future__ import annotations

import random

from tests.support.spread import choose

MODULES = (
    "tests/unit/test_a.py",
    "tests/acceptance/test_b.py",
    "tests/integration/pds/test_c.py",
    "tests/integration/embedded/test_d.py",
    "tests/fuzz/test_e.py",
)


def order(*, heavy: bool) -> list[str]:
    """In which order one worker alone would take everything."""
    left = list(MODULES)
    random.shuffle(left)
    taken = []
    while left:
        taken.append(choose(left, heavy=heavy))
        left.remove(taken[-1])
    return taken


def test_one_worker_takes_what_fills_the_machine_first() -> None:
    """So that no two of these run at a time while there is anything else."""
    first = order(heavy=True)[:2]
    assert set(first) == {"tests/acceptance/test_b.py", "tests/integration/embedded/test_d.py"}


def test_the_others_take_long_modules_first_and_heavy_ones_last() -> None:
    """Short modules at the end even out who finishes when."""
    taken = order(heavy=False)
    assert taken[:3] == [
        "tests/integration/pds/test_c.py",
        "tests/fuzz/test_e.py",
        "tests/unit/test_a.py",
    ]
