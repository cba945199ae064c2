"""The journal on a real bus and database: what is found in it, and what is not."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Callable
from datetime import datetime

import psycopg
import pytest
from kafka import KafkaAdminClient, TopicPartition
from structlog.testing import capture_logs

from connectors.journal import process
from connectors.journal.index import entry_of
from halyard import faults, kafka_admin
from halyard.kafka import Incoming, Record, cloudevent_headers, qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import make_pool, transaction
from halyard.privacy import Keys
from schemas import topics
from schemas.events import AlertReceipt, AttendanceReported
from stores import journal, timeline
from tests.integration.journal.rig import KEY, TRACE, Rig, as_record
from tests.support.waiting import aeventually
from tests.unit.schemas.samples import AT, NUMBER, SAMPLES

BY_TYPE = {type(event).__name__: event for event in SAMPLES}
RECEIPT = BY_TYPE["AlertReceipt"]
assert isinstance(RECEIPT, AlertReceipt)


def _receipts(amount: int) -> list[Record]:
    assert isinstance(RECEIPT, AlertReceipt)
    return [
        as_record(
            topics.ALERT_RECEIPT,
            dataclasses.replace(RECEIPT, event_id=uuid.uuid4()),
            key=f"key-{number}",
        )
        for number in range(amount)
    ]


async def test_every_hop_of_a_trace_is_found(rig: Rig) -> None:
    """Whatever topic an event of the trace is on, dead letters included, the journal names it."""
    hops = {
        topics.ATTENDANCE_REPORTED: "AttendanceReported",
        topics.ATTENDANCE_VERIFIED: "AttendanceVerified",
        topics.IDENTITY_UNRESOLVED: "IdentityUnresolved",
        topics.ALERT_CHANGED: "AlertChanged",
        topics.ALERT_RECEIPT: "AlertReceipt",
        topics.dead_letter(topics.ATTENDANCE_VERIFIED, "matching"): "AttendanceVerified",
    }
    await rig.send([as_record(topic, BY_TYPE[name]) for topic, name in hops.items()])
    await rig.send([as_record(topics.MESSAGE_REJECTED, BY_TYPE["MessageRejected"], trace="1" * 32)])
    async with rig.journal():
        await rig.until_indexed(len(hops) + 1)
    async with make_pool(rig.settings, name="test") as pool, transaction(pool) as connection:
        for name in hops.values():
            assert await timeline.trace_of(connection, BY_TYPE[name].event_id) == TRACE
        found = await timeline.hops(connection, TRACE)
    assert sorted(hop.event for hop in found) == sorted(hops.values())
    assert {hop.place.partition("[")[0] for hop in found} == set(hops)
    assert {hop.source for hop in found} == {"RXX-ADT"}


async def test_a_record_that_cannot_be_read_is_indexed(rig: Rig) -> None:
    """Foreign bytes, with and without headers, and no value at all stand in the journal; what
    comes after them does too."""
    known = uuid.uuid4()
    headers = cloudevent_headers(
        event_id=known,
        event_type="AlertReceipt",
        source="serve",
        time=AT,
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
    )
    await rig.send(
        [
            Record(topics.ALERT_RECEIPT, KEY, b"\x00\x00\x00\xff\xffnot one of ours", ()),
            Record(topics.ALERT_RECEIPT, KEY, b"\x00\x00\x00\x00\x01\xff", headers),
            Record(topics.ALERT_RECEIPT, KEY, b"", ()),
            as_record(topics.ALERT_RECEIPT, RECEIPT),
        ]
    )
    async with rig.journal():
        rows = await rig.until_indexed(4)
    assert [row["event_type"] for row in rows] == [*["unreadable"] * 3, "AlertReceipt"]
    assert rows[1]["event_id"] == known
    assert rows[1]["trace_id"] == TRACE
    assert rows[1]["event_time"] == AT
    assert len({row["event_id"] for row in rows}) == 4


async def test_an_event_that_is_twice_on_the_wire_has_two_rows_of_one_id(rig: Rig) -> None:
    """A repeat is seen as such: the same event id and the same digest at another offset."""
    record = as_record(topics.ALERT_RECEIPT, RECEIPT)
    await rig.send([record, record])
    async with rig.journal():
        first, second = await rig.until_indexed(2)
    assert first["event_id"] == second["event_id"] == RECEIPT.event_id
    assert first["value_digest"] == second["value_digest"]
    assert first["kafka_offset"] != second["kafka_offset"]


async def test_no_row_holds_a_body_or_a_key(rig: Rig) -> None:
    """Number, names, reason, answer and key of the samples are in no column of the journal."""
    names = {
        topic.schema: topic.name for topic in topics.registry() if not topic.name.endswith(".dlq")
    }
    await rig.send([as_record(names[type(event).__name__], event) for event in SAMPLES])
    async with rig.journal():
        rows = await rig.until_indexed(len(SAMPLES))
    text = repr(rows) + repr(rig.query("select * from journal_offsets"))
    for hidden in (NUMBER, "Exâmple", "cough", "We ring the ward", KEY):
        assert hidden not in text


async def test_rows_and_offsets_go_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails is done again, whole; the next journal goes on behind it."""
    faults.arm("journal.before_commit:raise:1")
    try:
        await rig.send(_receipts(30))
        async with rig.journal():
            await rig.until_indexed(30)
        await rig.send(_receipts(10))
        reads: list[int] = []

        def counted(record: Incoming, keys: Keys, now: datetime) -> journal.Entry:
            reads.append(1)
            return entry_of(record, keys, now)

        monkeypatch.setattr(process, "entry_of", counted)
        async with rig.journal():
            rows = await rig.until_indexed(40)
    finally:
        faults.arm(None)
    assert len(reads) == 10
    ends: dict[int, int] = {}
    for row in rows:
        ends[row["partition"]] = row["kafka_offset"] + 1
    saved = rig.query("select partition, next_offset from journal_offsets")
    assert {row["partition"]: row["next_offset"] for row in saved} == ends


async def test_two_journals_at_a_time_write_the_same_rows(rig: Rig) -> None:
    """A second journal does the work again and harms nothing."""
    await rig.send(_receipts(60))
    async with rig.journal(), rig.journal():
        await rig.until_indexed(60)
        await rig.send(_receipts(60))
        rows = await rig.until_indexed(120)
    assert len({row["event_id"] for row in rows}) == 120


async def test_the_control_topic_is_not_indexed(rig: Rig) -> None:
    """Nudges to workers are no hops of anything."""
    await rig.send([Record(topics.CONTROL, "", b"{}", ()), *_receipts(1)])
    async with rig.journal():
        (row,) = await rig.until_indexed(1)
    assert row["topic"] == topics.ALERT_RECEIPT


async def test_topics_and_partitions_that_come_later_are_found(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing topics are a reason of readiness; when they come they are indexed from their start,
    and so are new partitions."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.2)
    rig = make_rig()
    rig.make_topics(topics.ALERT_RECEIPT)
    await rig.send(_receipts(5))
    async with rig.journal() as loop:
        await rig.until_indexed(5)
        await aeventually(lambda: "topics are missing" in (loop.waiting() or ""))
        await asyncio.to_thread(rig.make_topics)
        await rig.send([as_record(topics.ALERT_CHANGED, BY_TYPE["AlertChanged"])])
        await rig.until_indexed(6)
        await aeventually(lambda: loop.waiting() is None)


async def test_what_retention_took_is_told_and_passed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that are gone before they were read are a logged gap, not a stalled process."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.1)
    rig.make_topics(topics.ALERT_RECEIPT)
    await rig.send([as_record(topics.ALERT_RECEIPT, RECEIPT)])
    async with rig.journal():
        (first,) = await rig.until_indexed(1)
    place = TopicPartition(qualified(rig.settings, topics.ALERT_RECEIPT), first["partition"])
    await rig.send([as_record(topics.ALERT_RECEIPT, RECEIPT)] * 4)
    admin = KafkaAdminClient(bootstrap_servers=rig.settings.kafka.bootstrap_servers)
    try:
        await asyncio.to_thread(admin.delete_records, {place: 5})
    finally:
        admin.close()
    with capture_logs() as lines:
        async with rig.journal() as loop:
            await aeventually(
                lambda: any(line["event"] == "journal_assigned" for line in lines), why="assigned"
            )
            await rig.send([as_record(topics.ALERT_RECEIPT, RECEIPT)])
            rows = await rig.until_indexed(2)
            assert loop.stalled() is None
    assert [row["kafka_offset"] for row in rows] == [0, 5]
    (gap,) = [line for line in lines if line["event"] == "journal_gap"]
    assert (gap["expected"], gap["found"]) == (1, 5)


async def test_a_log_that_was_emptied_is_no_stall(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to read though the end lies behind what was indexed: the process lives."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.1)
    await rig.send([as_record(topics.ALERT_RECEIPT, RECEIPT)])
    async with rig.journal():
        (first,) = await rig.until_indexed(1)
    await rig.send([as_record(topics.ALERT_RECEIPT, RECEIPT)] * 4)
    place = TopicPartition(qualified(rig.settings, topics.ALERT_RECEIPT), first["partition"])
    admin = KafkaAdminClient(bootstrap_servers=rig.settings.kafka.bootstrap_servers)
    try:
        await asyncio.to_thread(admin.delete_records, {place: 5})
    finally:
        admin.close()
    async with rig.journal() as loop:
        await aeventually(lambda: loop._places and loop._behind_since is None)
        assert loop.stalled() is None


async def test_a_database_that_goes_and_comes_back_costs_nothing(
    make_rig: Callable[..., Rig],
) -> None:
    """While PostgreSQL refuses, the journal waits and says so; then every record is there."""
    rig = make_rig()
    rig.make_topics()
    name = rig.database.name

    def admin(*statements: str) -> None:
        with psycopg.connect(
            rig.database.admin_url.rpartition("/")[0] + "/postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement)

    async with rig.journal() as loop:
        await rig.send(_receipts(5))
        await rig.until_indexed(5)
        admin(
            f"alter database {name} allow_connections false",
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
        )
        await rig.send(_receipts(5))
        await aeventually(lambda: "PostgreSQL" in (loop.waiting() or ""), 20)
        admin(f"alter database {name} allow_connections true")
        await rig.until_indexed(10)
        await aeventually(lambda: loop.waiting() is None)


async def test_a_large_backlog_is_indexed_in_batches(rig: Rig) -> None:
    """Many records over all topics are read to their ends, each once."""
    event = BY_TYPE["AttendanceReported"]
    assert isinstance(event, AttendanceReported)
    await rig.send(
        [
            as_record(
                topics.ATTENDANCE_REPORTED,
                dataclasses.replace(event, event_id=uuid.uuid4()),
                key=f"key-{number}",
            )
            for number in range(500)
        ]
    )
    async with rig.journal():
        rows = await rig.until_indexed(500)
    assert len({row["event_id"] for row in rows}) == 500


async def test_new_partitions_of_a_topic_are_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that is extended while the journal runs is indexed whole."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr("connectors.kafka_reader.METADATA_MS", 500)
    async with rig.journal():
        await rig.send(_receipts(10))
        await rig.until_indexed(10)
        await asyncio.to_thread(
            kafka_admin.apply,
            rig.settings.kafka.bootstrap_servers,
            [TopicSpec(qualified(rig.settings, topics.ALERT_RECEIPT), 6, 1)],
        )
        sent = 10
        while True:  # until the producer has heard of the new partitions
            await rig.send(_receipts(40))
            rows = await rig.until_indexed(sent := sent + 40)
            if len({row["partition"] for row in rows}) > 2:
                break
