"""The outbox: order within a lane whoever publishes, and what is left when the broker is away."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence

import pytest

from halyard.kafka import Record
from halyard.postgres import Pool, lock, one, transaction
from stores import outbox
from stores.outbox import Entry, lane_of

TOPIC = "safeguarding.alert.changed.v1"


def _entry(key: str, number: int) -> Entry:
    return Entry(Record(TOPIC, key, str(number).encode(), (("n", b"1"),)), uuid.uuid4())


async def _add(pool: Pool, *entries: Entry) -> set[int]:
    async with transaction(pool) as connection:
        return await outbox.add(connection, entries)


class _Broker:
    """Takes records in the order in which they are sent; may refuse some."""

    def __init__(self, *refused: str) -> None:
        self.taken: list[Record] = []
        self.refused = set(refused)

    async def send(self, records: Sequence[Record]) -> Sequence[bool]:
        """As a producer that gives way to others between two records."""
        answers = []
        for record in records:
            await asyncio.sleep(0)
            if record.key in self.refused:
                answers.append(False)
            else:
                self.taken.append(record)
                answers.append(True)
        return answers

    def by_key(self) -> dict[str, list[int]]:
        """What it took, by key."""
        found: dict[str, list[int]] = defaultdict(list)
        for record in self.taken:
            found[record.key].append(int(record.value))
        return found


def _two_lanes() -> tuple[str, str]:
    first = "key-0"
    second = next(
        key
        for key in (f"key-{number}" for number in range(1, 200))
        if lane_of(TOPIC, key) != lane_of(TOPIC, first)
    )
    return first, second


async def test_a_record_comes_out_as_it_went_in(pool: Pool) -> None:
    """Topic, key, value bytes and headers, in their order."""
    headers = (("ce_id", b"1"), ("traceparent", b"00-\xc3\xa9"), ("ce_id", b"2"))
    record = Record(TOPIC, "key", b"\x00\x01\xff", headers)
    lanes = await _add(pool, Entry(record, uuid.uuid4()))
    broker = _Broker()
    assert await outbox.publish_lanes(pool, broker.send, lanes) == 1
    assert broker.taken == [record]


async def test_a_transaction_that_fails_leaves_nothing_to_publish(pool: Pool) -> None:
    """The outbox is part of the decision: both or neither."""

    async def fail() -> None:
        async with transaction(pool) as connection:
            await outbox.add(connection, [_entry("key", 1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    broker = _Broker()
    assert await outbox.publish_lanes(pool, broker.send, {lane_of(TOPIC, "key")}) == 0
    assert await outbox.sweep(pool, broker.send, older_than_seconds=0) == 0


async def test_c03_two_publishers_keep_the_order_of_a_lane(pool: Pool) -> None:
    """Writers and two publishers at once: each key's records leave once and in the order of
    their decisions."""
    broker = _Broker()
    keys = [f"key-{number}" for number in range(8)]

    async def write(key: str) -> None:
        for number in range(15):
            async with transaction(pool) as connection:
                await lock(connection, [f"alert:{key}"])
                lanes = await outbox.add(connection, [_entry(key, number)])
            if number % 3:
                await outbox.publish_lanes(pool, broker.send, lanes)

    async def sweep(done: asyncio.Event) -> None:
        while not done.is_set():
            await outbox.sweep(pool, broker.send, older_than_seconds=0)

    done = asyncio.Event()
    sweepers = [asyncio.ensure_future(sweep(done)) for _ in range(2)]
    await asyncio.gather(*(write(key) for key in keys))
    done.set()
    await asyncio.gather(*sweepers)
    await outbox.sweep(pool, broker.send, older_than_seconds=0)
    assert broker.by_key() == {key: list(range(15)) for key in keys}


async def test_c03_an_error_stops_its_lane_and_no_other(pool: Pool) -> None:
    """What was not confirmed keeps what is behind it; other lanes go on, over pages too."""
    bad, good = _two_lanes()
    amount = outbox.PAGE + 20
    lanes = await _add(
        pool,
        *(_entry(bad, number) for number in range(3)),
        *(_entry(good, number) for number in range(amount)),
    )
    broker = _Broker(bad)
    assert await outbox.publish_lanes(pool, broker.send, lanes) == amount
    assert broker.by_key() == {good: list(range(amount))}
    broker.refused.clear()
    assert await outbox.sweep(pool, broker.send, older_than_seconds=0) == 3
    assert broker.by_key()[bad] == [0, 1, 2]


async def test_what_is_behind_an_error_is_sent_again(pool: Pool) -> None:
    """A record that was confirmed behind one that was not is not marked: it goes out again, after
    it, under the same id; consumers ignore the lower version."""
    lanes = await _add(pool, _entry("key", 1), _entry("key", 2))
    broker = _Broker()
    first = True

    async def flaky(records: Sequence[Record]) -> Sequence[bool]:
        nonlocal first
        answers = list(await broker.send(records))
        if first:
            answers[0] = first = False
        return answers

    assert await outbox.publish_lanes(pool, flaky, lanes) == 0
    assert await outbox.publish_lanes(pool, flaky, lanes) == 2
    assert broker.by_key()["key"] == [1, 2, 1, 2]


async def test_only_old_enough_rows_are_swept(pool: Pool) -> None:
    """The sweeper leaves to the stage what the stage is about to publish."""
    await _add(pool, _entry("key", 1))
    broker = _Broker()
    assert await outbox.sweep(pool, broker.send, older_than_seconds=60) == 0
    assert await outbox.oldest_seconds(pool) >= 0
    async with transaction(pool) as connection:
        await connection.execute("update outbox set created_at = now() - interval '2 minutes'")
    assert await outbox.oldest_seconds(pool) >= 120
    assert await outbox.sweep(pool, broker.send, older_than_seconds=60) == 1
    assert await outbox.oldest_seconds(pool) == 0


async def test_only_published_and_old_rows_are_purged(pool: Pool) -> None:
    """What is not on the bus is never dropped, however old."""
    lanes = await _add(pool, _entry("key", 1))
    await outbox.publish_lanes(pool, _Broker().send, lanes)
    await _add(pool, _entry("key", 2))
    async with transaction(pool) as connection:
        await connection.execute(
            "update outbox set created_at = now() - interval '9 days', "
            "published_at = published_at - interval '25 hours'"
        )
    lanes = await _add(pool, _entry("other", 3))
    await outbox.publish_lanes(pool, _Broker().send, lanes)
    assert await outbox.purge(pool) == 1
    assert await outbox.purge(pool) == 0
    async with transaction(pool) as connection:
        cursor = await connection.execute("select count(*) as n from outbox")
        assert one(await cursor.fetchone())["n"] == 2


async def test_nothing_to_add_is_nothing_done(pool: Pool) -> None:
    """A batch without outputs costs no statement and has no lane."""
    assert await _add(pool) == set()
    assert await outbox.publish_lanes(pool, _Broker().send, set()) == 0


def test_a_lane_stays_as_it_was() -> None:
    """Two versions that run side by side must agree on lanes: golden values."""
    assert lane_of(TOPIC, "key-0") == 1464556
    assert lane_of(TOPIC, "key-1") == 1464570
    assert {lane_of(TOPIC, f"key-{n}") // outbox.LANES_PER_TOPIC for n in range(500)} == {
        lane_of(TOPIC, "x") // outbox.LANES_PER_TOPIC
    }
    assert len({lane_of(TOPIC, f"key-{n}") for n in range(2_000)}) == outbox.LANES_PER_TOPIC
