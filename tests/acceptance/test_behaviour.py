"""One behaviour, two wires: the same visits give the same alerts over HL7 v2 and over FHIR.

Every story of `tests.support.behaviour.stories` is played on one running system, by HL7 v2 over
MLLP and by FHIR messages over HTTP, each time with people of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.behaviour.play import WIRES, Stage, make_stage
from tests.support.behaviour.stories import TELLERS
from tests.support.system import SPINE, MakeHub

pytestmark = pytest.mark.timeout(240)  # the first test waits for all stories

_SECONDS = 40.0
_QUIET_SECONDS = 3.0  # without news, when nothing is under way: what does not stand never will


@pytest.fixture(scope="module")
def stage(make_hub: MakeHub) -> Iterator[Stage]:
    """All stories played, and everything told that will be."""
    made = make_stage()
    with make_hub(made.people()) as hub:
        made.prepare(hub)
        hub.start([name for name in SPINE if name != "journal"])
        asyncio.run(made.play())
        _settle(made)
        yield made


def _settle(stage: Stage) -> None:
    deadline = time.monotonic() + _SECONDS
    quiet_since: float | None = None
    while time.monotonic() < deadline:
        right = not any(stage.wrong(story) for story in stage.stories.values())
        quiet = not stage.hub.unsettled()
        if right and quiet:
            return
        if not quiet:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > _QUIET_SECONDS:
            return
        time.sleep(0.3)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", TELLERS)
def test_behaviour(stage: Stage, name: str, wire: str) -> None:
    """The story's alerts stand as it says, and no other of its people."""
    assert stage.wrong(stage.stories[wire, name]) == []


def test_the_suite_has_its_thirty_visits() -> None:
    """The table does not shrink unseen."""
    assert len(TELLERS) >= 30
