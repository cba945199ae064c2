"""What every adapter of the port does: in memory, in PostgreSQL, over HTTP to a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from connectors.ncmd.port import Batch, StoreMoved
from halyard.errors import ContractError
from schemas.codec import encode
from schemas.deaths import CaseChanged
from stores.ncmd import Arrived
from tests.integration.ncmd.adapters import Adapter, InMemory, adapter
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import case_id, changed, voided


@pytest.fixture(params=["memory", "store", "http"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Adapter]:
    """Each adapter in turn, empty."""
    if request.param == "memory":
        made: Adapter = InMemory()
        await made.port.begin([0, 1], "log-1")
        yield made
        return
    rig: Rig = request.getfixturevalue("store_rig")
    async with adapter(request.param, rig) as made:
        await made.port.begin([0, 1], "log-1")
        yield made


def batch(at: int, *events: CaseChanged, partition: int = 0) -> Batch:
    """`events` as the records from offset `at` on."""
    return Batch(
        expected={partition: at},
        following={partition: at + max(1, len(events))},
        arrived=[Arrived(event, encode(event)) for event in events],
    )


async def _apply(subject: Adapter, *batches: Sequence[CaseChanged]) -> None:
    at = 0
    for events in batches:
        await subject.port.apply(batch(at, *events))
        at += max(1, len(events))


async def test_the_newest_version_of_each_case_is_held(subject: Adapter) -> None:
    """Versions in one batch and in several: the newest of each case is what a reader sees."""
    await _apply(subject, [changed(1), changed(2), changed(1, 2)], [changed(2, 2)], [changed(1, 3)])
    assert await subject.held() == {case_id(1): (3, "held"), case_id(2): (2, "held")}


async def test_repeats_and_lower_versions_change_nothing(subject: Adapter) -> None:
    """What comes again, and what comes late, leaves the newest version as it is."""
    applied = await subject.port.apply(batch(0, changed(1, 3)))
    assert (applied.fresh, applied.repeated, len(applied.current)) == (1, 0, 1)
    applied = await subject.port.apply(batch(1, changed(1, 3), changed(1, 2)))
    assert (applied.fresh, applied.repeated, len(applied.current)) == (1, 1, 0)
    assert await subject.held() == {case_id(1): (3, "held")}


async def test_a_void_leaves_a_tombstone_that_no_late_version_opens(subject: Adapter) -> None:
    """A voided case stays voided whatever comes late; a higher version brings it back."""
    await _apply(subject, [changed(1), changed(2)], [voided(1, 3), voided(2, 2)], [changed(1, 2)])
    assert await subject.held() == {case_id(1): (3, "voided"), case_id(2): (2, "voided")}
    await subject.port.apply(batch(5, changed(1, 4)))
    assert await subject.held() == {case_id(1): (4, "held"), case_id(2): (2, "voided")}


async def test_a_batch_that_does_not_follow_is_refused_whole(subject: Adapter) -> None:
    """A sink that believes the store elsewhere than it stands writes nothing."""
    await _apply(subject, [changed(1)])
    for wrong in (batch(0, changed(2)), batch(2, changed(2))):
        with pytest.raises(StoreMoved):
            await subject.port.apply(wrong)
    assert await subject.held() == {case_id(1): (1, "held")}
    stands = await subject.port.begin([0, 1], "log-1")
    assert {number: offset.next_offset for number, offset in stands.items()} == {0: 1, 1: 0}


async def test_another_content_under_a_known_version_is_refused_whole(subject: Adapter) -> None:
    """Two contents under one version: neither the batch nor its offset is written."""
    await _apply(subject, [changed(1)])
    with pytest.raises(ContractError):
        await subject.port.apply(batch(1, changed(2), changed(1, panel="southtown")))
    assert await subject.held() == {case_id(1): (1, "held")}
    await subject.port.apply(batch(1, changed(2)))
    assert await subject.held() == {case_id(1): (1, "held"), case_id(2): (1, "held")}


async def test_it_goes_on_after_a_gap_where_it_is_told(subject: Adapter) -> None:
    """After a gap that a person let pass, the next batch follows on the new place."""
    await _apply(subject, [changed(1)])
    await subject.port.go_on(0, expected=1, found=7, incarnation="log-2")
    stands = await subject.port.begin([0], "log-2")
    assert (stands[0].next_offset, stands[0].incarnation) == (7, "log-2")
    await subject.port.apply(batch(7, changed(1, 2)))
    assert await subject.held() == {case_id(1): (2, "held")}


@pytest.mark.parametrize("first", ["log-1", ""], ids=["nothing-read", "no-id-told"])
async def test_the_log_that_it_is_filled_from_is_the_one_it_knows(
    subject: Adapter, first: str
) -> None:
    """Of a log of which nothing was read, or which had no id yet, nothing is kept: the one that it
    is filled from counts, and stays."""
    await subject.port.begin([4], first)
    stands = await subject.port.begin([4], "log-2")
    assert stands[4].incarnation == "log-2"
    await subject.port.apply(batch(0, changed(1), partition=4))
    for later in ("log-3", ""):
        stands = await subject.port.begin([4], later)
        assert (stands[4].next_offset, stands[4].incarnation) == (1, "log-2")


async def test_an_id_that_comes_late_is_kept_beside_what_was_read(subject: Adapter) -> None:
    """A broker that told no id at first: the first id it tells is the log's."""
    await subject.port.begin([4], "")
    await subject.port.apply(batch(0, changed(1), partition=4))
    for told in ("log-2", "log-3"):
        stands = await subject.port.begin([4], told)
        assert (stands[4].next_offset, stands[4].incarnation) == (1, "log-2")


async def test_batches_of_partitions_are_apart(subject: Adapter) -> None:
    """Each partition has its own place, and an empty batch moves it."""
    await subject.port.apply(batch(0, changed(1), partition=0))
    await subject.port.apply(batch(0, changed(2), partition=1))
    await subject.port.apply(batch(1, partition=1))
    stands = await subject.port.begin([0, 1], "log-1")
    assert {number: offset.next_offset for number, offset in stands.items()} == {0: 1, 1: 2}
    assert set(await subject.held()) == {case_id(1), case_id(2)}
