"""Tombstones: which versions voided a case and which took it back, in whatever order they came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from connectors.ncmd.port import Batch, StorePort
from halyard.clock import system_clock
from schemas.codec import encode
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED
from stores.ncmd import Arrived
from tests.integration.ncmd.adapters import pool_of
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import changed, voided

STORY = (changed(1), voided(1, 2), changed(1, 3), voided(1, 4))


async def _tombstones(rig: Rig, events: Sequence[CaseChanged]) -> list[tuple[Any, ...]]:
    """Version, time, reason and end of each tombstone after `events`, one to a batch."""
    async with pool_of(rig, 1) as pool:
        port = StorePort(pool, topic=CASE_CHANGED, clock=system_clock)
        await port.begin([0], "log")
        for at, event in enumerate(events):
            await port.apply(Batch({0: at}, {0: at + 1}, [Arrived(event, encode(event))]))
    rows = rig.query(
        "select version, voided_at, reason, lifted_version, lifted_at from ncmd.tombstones "
        "order by version"
    )
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("order", list(permutations(range(4)))[1::5], ids=str)
async def test_tombstones_do_not_depend_on_the_order(
    store_rig: Rig, order: tuple[int, ...]
) -> None:
    """Two voids with the case back between them: both are kept, the first with its end."""
    found = await _tombstones(store_rig, [STORY[number] for number in order])
    assert found == [
        (2, STORY[1].changed_at, "entered-in-error", 3, STORY[2].changed_at),
        (4, STORY[3].changed_at, "entered-in-error", None, None),
    ]


async def test_a_void_that_comes_late_leaves_its_tombstone(store_rig: Rig) -> None:
    """The case is open again when its void arrives: that it was void is kept, with its end."""
    found = await _tombstones(store_rig, [changed(1), changed(1, 3), voided(1, 2)])
    assert [(one[0], one[3]) for one in found] == [(2, 3)]


async def test_a_void_that_comes_late_before_another_begins_it(store_rig: Rig) -> None:
    """A voided case was void from its first void on, though that came after the second."""
    found = await _tombstones(store_rig, [changed(1), voided(1, 3), voided(1, 2)])
    assert [(one[0], one[3]) for one in found] == [(2, None)]
