"""Which worker runs which test module, when there are several (pytest-xdist).

A module is never divided: its fixtures are made once. Acceptance tests, and integration tests that
run Kafka or whole systems of their own, fill the machine: one worker takes them one after the
other, and the others everything else; who has nothing left helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

HEAVY: Final = ("tests/acceptance/", "tests/integration/embedded/")
_BULKY_WORKER: Final = "gw0"
_LIGHT_ORDER: Final = ("tests/integration/", "tests/fuzz/", "tests/contract/", "tests/unit/")


class Spread(LoadScopeScheduling):  # type: ignore[misc]  # ships no types
    """Hands out whole modules, by weight."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # as collected: in random order

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        chosen = choose(tuple(self.workqueue), heavy=node.gateway.id == _BULKY_WORKER)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def choose(modules: Sequence[str], *, heavy: bool) -> str:
    """The next of `modules` for a worker that takes the heavy ones first, or last."""
    return min(modules, key=lambda module: _weight(module, heavy=heavy))


def _weight(module: str, *, heavy: bool) -> int:
    if module.startswith(HEAVY):
        return -1 if heavy else len(_LIGHT_ORDER) + 1
    for weight, folder in enumerate(_LIGHT_ORDER):
        if module.startswith(folder):
            return weight
    return len(_LIGHT_ORDER)
