"""The canonical form that the proofs compare: what it passes over, and what it must see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.ncmd.port import Batch, StorePort
from halyard.clock import system_clock
from schemas.codec import encode
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED
from stores.ncmd import Arrived
from tests.integration.ncmd.adapters import pool_of
from tests.integration.ncmd.conftest import empty
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import changed, voided

Told = Callable[[Sequence[CaseChanged]], Any]
STORY = (changed(1), changed(1, 2), changed(2), voided(2, 2))


@pytest.fixture
def told(store_rig: Rig) -> Told:
    """A function that fills the emptied store and gives its canonical form."""

    async def tell(events: Sequence[CaseChanged]) -> dict[str, Any]:
        empty(store_rig.database)
        async with pool_of(store_rig, 1) as pool:
            port = StorePort(pool, topic=CASE_CHANGED, clock=system_clock)
            await port.begin([0], "log")
            arrived = [Arrived(event, encode(event)) for event in events]
            await port.apply(Batch({0: 0}, {0: len(events)}, arrived))
        return store_rig.canonical()

    return tell


def _another_run(event: CaseChanged) -> CaseChanged:
    """The same said by another run: other ids, later, versions counted otherwise."""
    later = timedelta(hours=7)
    content = event.content
    return replace(
        event,
        event_id=uuid.uuid5(event.event_id, "again"),
        case_id=uuid.uuid5(event.case_id, "again"),
        version=event.version + 3,
        changed_at=event.changed_at + later,
        cause=uuid.uuid4(),
        content=replace(
            content,
            facts=tuple(
                replace(one, event_id=uuid.uuid4(), stated_at=one.stated_at + later)
                for one in content.facts
            ),
            notifications=tuple(
                replace(one, event_id=uuid.uuid4(), received_at=one.received_at + later)
                for one in content.notifications
            ),
        ),
    )


async def test_it_passes_over_ids_times_and_version_numbers(told: Told) -> None:
    """Two runs of the same notifications are equal, however they numbered and timed them."""
    assert await told(STORY) == await told([_another_run(event) for event in STORY])


@pytest.mark.parametrize(
    "other",
    [
        STORY[:-1],  # no void
        STORY[1:],  # a version of the history is missing
        (changed(1), changed(1, 2, panel="southtown"), *STORY[2:]),
        (changed(1), changed(1, 2, facts=()), *STORY[2:]),
        (changed(1), changed(1, 2, requests=()), *STORY[2:]),
        (changed(1), changed(1, 2, merged_into=STORY[2].case_id), *STORY[2:]),
    ],
    ids=["void", "history", "panel", "facts", "links", "merge"],
)
async def test_it_sees_what_differs(told: Told, other: Sequence[CaseChanged]) -> None:
    """A void, a version, a panel, a fact, a link or a merge that differs is a difference."""
    assert await told(STORY) != await told(other)
