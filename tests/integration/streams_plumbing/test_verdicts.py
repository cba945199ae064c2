"""A worker in this process: what its verdicts do to offsets, events and the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from halyard.errors import TransientError
from halyard.kafka import Incoming, Record
from streams.dead_letter import ATTEMPTS, FIRST_FAILED_AT, PREFIX
from streams.resolution import TooMuchPoison, TransientTooLong
from tests.support.plumbing import Plumbing, running
from tests.support.toy_stage import DEAD_LETTERS, SOURCE, event, event_id
from tests.support.waiting import aeventually


async def test_offsets_are_committed_only_after_the_verdict(plumbing: Plumbing) -> None:
    """While a batch is in hand nothing is committed; its success commits all of it."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(_: Sequence[Incoming]) -> None:
        reached.set()
        await go.wait()

    await plumbing.send_events(*range(10))
    async with plumbing.toy() as toy:
        toy.before = hold
        async with running(plumbing, toy):
            await asyncio.wait_for(reached.wait(), 20)
            assert await asyncio.to_thread(plumbing.committed) == 0
            go.set()
            await plumbing.until_committed(10)
    assert sorted(plumbing.done()) == list(range(10))
    assert sorted(await plumbing.outputs()) == list(range(10))


async def test_a_batch_that_raises_is_split_and_loses_nothing(plumbing: Plumbing) -> None:
    """What fails only in company succeeds in smaller batches; nothing is dead-lettered."""

    async def fussy(batch: Sequence[Incoming]) -> None:
        if len(batch) > 2:
            raise ValueError("too many at once")

    await plumbing.send_events(*range(20))
    async with plumbing.toy() as toy:
        toy.before = fussy
        async with running(plumbing, toy):
            await plumbing.until_committed(20)
    assert sorted(plumbing.done()) == list(range(20))
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_order_within_a_partition_survives_splitting(plumbing: Plumbing) -> None:
    """Of each key, events take effect in the order of the log, whatever the splits."""

    async def fussy(batch: Sequence[Incoming]) -> None:
        if len(batch) > 3:
            raise ValueError("too many at once")

    await plumbing.send_events(*range(40))
    async with plumbing.toy() as toy:
        toy.before = fussy
        async with running(plumbing, toy):
            await plumbing.until_committed(40)
    done = plumbing.done()
    for key in range(7):
        assert [n for n in done if n % 7 == key] == [n for n in range(40) if n % 7 == key]


async def test_poison_goes_to_the_dead_letter_topic_untouched(plumbing: Plumbing) -> None:
    """Only the poison is dead-lettered: same key, bytes and headers, and where it came from."""
    await plumbing.send_events(*range(16), poison=(3, 11))
    async with plumbing.toy() as toy, running(plumbing, toy):
        await plumbing.until_committed(16)
    assert sorted(plumbing.done()) == [n for n in range(16) if n not in (3, 11)]
    sources = {record.value: record for record in await plumbing.records(SOURCE)}
    letters = await plumbing.records(DEAD_LETTERS)
    assert {letter.value for letter in letters} == {event(n, poison=True) for n in (3, 11)}
    for letter in letters:
        source = sources[letter.value]
        headers = dict(letter.headers)
        assert letter.key == source.key
        assert letter.headers[: len(source.headers)] == source.headers
        assert headers[PREFIX + "topic"].decode() == source.topic
        assert headers[PREFIX + "partition"].decode() == str(source.partition)
        assert headers[PREFIX + "offset"].decode() == str(source.offset)
        assert headers[PREFIX + "connector.name"] == b"toy"
        assert headers[PREFIX + "exception.class.name"] == b"halyard.errors.ContractError"
        assert headers[PREFIX + "exception.message"] == b"A toy event is poison."
        assert {PREFIX + "task.id", PREFIX + "stage", PREFIX + "class.name"} <= headers.keys()
        assert int(headers[ATTEMPTS]) >= 1
        assert FIRST_FAILED_AT in headers


async def test_a_transient_failure_is_retried_with_the_same_batch(plumbing: Plumbing) -> None:
    """The batch that failed comes back whole, and then everything has one effect."""
    seen: list[tuple[int, ...]] = []

    async def flaky(batch: Sequence[Incoming]) -> None:
        seen.append(tuple(record.offset for record in batch))
        if len(seen) < 3:
            raise TransientError

    await plumbing.send_events(*range(10))
    async with plumbing.toy() as toy:
        toy.before = flaky
        async with running(plumbing, toy):
            await plumbing.until_committed(10)
    assert seen[0] == seen[1] == seen[2]
    assert sorted(plumbing.done()) == list(range(10))
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_a_transient_failure_for_too_long_ends_the_worker_with_nothing_committed(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """After transient_seconds the stage raises; no offset moves and nothing is dead-lettered."""
    plumbing = make_plumbing(transient_seconds=1)

    async def away(_: Sequence[Incoming]) -> None:
        raise TransientError

    await plumbing.send_events(*range(5))
    async with plumbing.toy() as toy:
        toy.before = away
        async with running(plumbing, toy) as task:
            with pytest.raises(TransientTooLong):
                await asyncio.wait_for(asyncio.shield(task), 30)
    assert plumbing.committed() == 0
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_too_much_poison_in_a_row_ends_the_worker_before_any_dead_letter(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """A worker that calls everything poison is itself ill: it stops, and no event is put away."""
    plumbing = make_plumbing(max_poison_in_a_row=3)
    await plumbing.send_events(*range(30), poison=range(30))
    async with plumbing.toy() as toy, running(plumbing, toy) as task:
        with pytest.raises(TooMuchPoison):
            await asyncio.wait_for(asyncio.shield(task), 30)
    assert plumbing.committed() == 0
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_c04_poison_leaves_no_inbox_row_and_a_redriven_event_is_processed(
    plumbing: Plumbing,
) -> None:
    """Rule 4: a dead letter's event is not in the inbox; redriven, it takes effect."""
    await plumbing.send_events(*range(8), poison=(5,))
    async with plumbing.toy() as toy, running(plumbing, toy):
        await plumbing.until_committed(8)
        taken = {row[0] for row in plumbing.query("select event_id from inbox")}
        assert taken == {event_id(n) for n in range(8) if n != 5}
        plumbing.switch("harmless")
        (letter,) = await plumbing.records(DEAD_LETTERS)
        await plumbing.send(
            [Record(SOURCE, letter.key.decode(), letter.value, tuple(letter.headers))]
        )
        await aeventually(lambda: 5 in plumbing.done(), 20)
    assert sorted(plumbing.done()) == list(range(8))
    assert sorted(await plumbing.outputs()) == list(range(8))
