"""The listener on a real Kafka: durable before AA, kept before NACK, nothing else answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.client import ConnectionClosed
from halyard import metrics
from schemas.codec import decode_as
from schemas.events import AttendanceReported, VisitEventKind
from schemas.topics import ATTENDANCE_REPORTED, MESSAGE_REJECTED
from tests.integration.hl7v2.rig import (
    KEYS,
    Rig,
    create_topics,
    listening,
    make_settings,
    records,
)
from tests.support.waiting import aeventually
from tests.unit.hl7v2.messages import FEED, MSH, PID, arrival, trigger


@pytest.fixture
async def rig(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A listener with its own topics."""
    settings = make_settings(kafka_bootstrap, namespace, read_timeout_seconds=0.4)
    await asyncio.to_thread(create_topics, settings)
    async with listening(settings) as running:
        yield running


async def test_an_accepted_message_is_on_the_bus_before_its_aa(rig: Rig) -> None:
    """When the AA is here the record is there: value, key, headers, time of receipt."""
    async with rig.client() as client:
        ack = parse_ack(await client.send(arrival()), arrival())
    assert ack.accepted
    (record,) = await records(rig.settings, ATTENDANCE_REPORTED)
    event = decode_as(AttendanceReported, record.value)
    assert event.message == arrival()
    assert record.key == event.source_person.encode()
    assert record.timestamp == int(event.received_at.timestamp() * 1000)
    headers = {name: value.decode() for name, value in record.headers}
    assert headers["ce_id"] == str(event.event_id)
    assert headers["ce_type"] == "uk.halyard.AttendanceReported"
    assert headers["ce_source"] == "/halyard/rtest-ed"
    assert headers["traceparent"].startswith("00-")
    shown = repr((record.key, record.headers)).encode()
    for secret in (b"9990000018", b"TESTCHILD", b"T123456", b"YO1"):
        assert secret not in shown


async def test_a_repeat_gets_the_same_answer_and_the_same_event_id(rig: Rig) -> None:
    """The ACK is a function of the bytes; the copy is dropped downstream by its id."""
    async with rig.client() as client:
        answers = [await client.send(arrival()) for _ in range(3)]
    async with rig.client() as client:
        answers.append(await client.send(arrival()))
    assert len(set(answers)) == 1
    events = await rig.attendances()
    assert len(events) == 4
    assert len({event.event_id for event in events}) == 1


async def test_pipelined_messages_are_answered_in_order_and_all_stored(rig: Rig) -> None:
    """A window of 50 on one connection: each answer is for its request."""
    messages = [arrival(msh=trigger("A04", f"ED-{number}")) for number in range(400)]
    async with rig.client() as client:
        answers = [answer async for answer in client.send_many(messages, window=50)]
    for message, answer in zip(messages, answers, strict=True):
        assert parse_ack(answer, message).accepted
    stored = {event.message_id for event in await rig.attendances()}
    assert stored == {f"ED-{number}" for number in range(400)}


async def test_odd_content_is_accepted_and_marked(rig: Rig) -> None:
    """No NHS number, broken characters, a month 13, an unused trigger: AA, stored, marked."""
    odd = [
        arrival(pid="PID|1||T1^^^RTEST^MR||TESTCHILD^ROBIN||20190602|1"),
        arrival().replace(b"TESTCHILD", b"ZO\xcb"),
        arrival(pid=PID.replace("20190602", "20191302")),
        arrival(msh=trigger("A40")),
    ]
    async with rig.client() as client:
        for message in odd:
            assert parse_ack(await client.send(message), message).accepted
    events = {event.message: event for event in await rig.attendances()}
    without, broken, month, merge = (events[message] for message in odd)
    assert without.claim.nhs_number is None
    assert (broken.claim.family, broken.charset) == ("ZOË", "windows-1252")
    assert "charset-fallback:PID-5" in broken.marks
    assert month.marks == ("birth-date-invalid",)
    assert merge.kind is VisitEventKind.NOT_USED


@pytest.mark.parametrize(
    ("body", "rule", "code", "source"),
    [
        (b"PID|1||9990000018^^^NHS\r", "no-msh", "AE", "unknown"),
        (b"MSH||||EDIS|RTEST\r", "delimiters", "AE", "unknown"),
        (arrival(pid=""), "no-pid", "AE", "rtest-ed"),
        (arrival(msh=MSH.replace("|RTEST|", "|OTHER|")), "unknown-feed", "AR", "unknown"),
    ],
)
async def test_a_refusal_is_kept_before_its_nack(
    rig: Rig, body: bytes, rule: str, code: str, source: str
) -> None:
    """When the NACK is here, bytes and reason are on message.rejected; the connection stays."""
    async with rig.client() as client:
        nack = parse_ack(await client.send(body), body)
        (kept,) = await rig.rejected()
        assert (nack.code, kept.rule, kept.source) == (code, rule, source)
        assert f"({rule})" in nack.text
        assert (kept.head, kept.length, kept.truncated) == (body, len(body), False)
        assert kept.digest == KEYS.digest(body)
        assert parse_ack(await client.send(arrival()), arrival()).accepted
    assert len(await rig.attendances()) == 1


async def test_each_feed_has_its_counters_and_the_time_of_its_last_message(rig: Rig) -> None:
    """A feed's messages are counted by what they do and how they were answered, and the gauge of
    the feed holds the time of the last one that was taken."""

    def counted(kind: str, answer: str) -> float:
        labels = {"feed": FEED.source, "kind": kind, "answer": answer}
        return metrics.registry.get_sample_value("halyard_hl7v2_messages_total", labels) or 0

    before = counted("register", "AA"), counted("refused", "AE")
    async with rig.client() as client:
        await client.send(arrival())
        await client.send(arrival(pid=""))
    assert (counted("register", "AA"), counted("refused", "AE")) == (before[0] + 1, before[1] + 1)
    (event,) = await rig.attendances()
    last = metrics.registry.get_sample_value(
        "halyard_hl7v2_last_message_timestamp_seconds", {"feed": FEED.source}
    )
    assert last is not None
    assert 0 <= last - event.received_at.timestamp() < 60


async def test_a_message_over_size_gets_ar_after_its_head_is_kept(rig: Rig) -> None:
    """Beyond 1 MB: 64 KiB, the length and a digest are kept, AR, the connection closes."""
    body = arrival(pv2="PV2|||^" + "x" * 1_200_000)
    async with rig.client() as client:
        nack = parse_ack(await client.send(body), body)
        await aeventually(lambda: not client.connected)
    (kept,) = await rig.rejected()
    assert (nack.code, kept.rule, kept.source) == ("AR", "oversize", "rtest-ed")
    assert (kept.head, kept.length, kept.truncated) == (body[:65_536], len(body), True)
    assert await rig.attendances() == []


async def test_the_largest_message_is_taken(rig: Rig) -> None:
    """1 MB itself is within the limit, on our side and on Kafka's."""
    room = 1_000_000 - len(arrival(pv2="PV2|||^"))
    body = arrival(pv2="PV2|||^" + "x" * room)
    assert len(body) == 1_000_000
    async with rig.client() as client:
        assert parse_ack(await client.send(body), body).accepted


@pytest.mark.parametrize(
    ("sent", "rule", "head"),
    [
        (b"\x0b" + arrival()[:300], "truncated", arrival()[:300]),
        (b"hello, anybody there?", "noise", b"hello, anybody there?"),
    ],
)
async def test_what_never_becomes_a_frame_gets_no_answer_and_is_kept(
    rig: Rig, sent: bytes, rule: str, head: bytes
) -> None:
    """At the read time-out the connection closes without a word; the bytes are kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
    writer.write(sent)
    assert await reader.read() == b""
    writer.close()
    (kept,) = await rig.rejected()
    assert (kept.rule, kept.head, kept.length) == (rule, head, len(head))


async def test_without_a_place_on_the_bus_there_is_no_aa(
    kafka_bootstrap: str, namespace: str
) -> None:
    """The topic is not there: no answer and the connection closes, or AR where the feed asks."""
    settings = make_settings(kafka_bootstrap, namespace, ack_timeout_seconds=0.3)
    patient = FEED.model_copy(
        update={"source": "rtest-ar", "application": "OTHER", "broker_away": "AR"}
    )
    async with listening(settings, FEED, patient) as rig:
        async with rig.client() as client:
            with pytest.raises(ConnectionClosed):
                await client.send(arrival())
        async with rig.client() as client:
            other = arrival(msh=MSH.replace("|EDIS|", "|OTHER|"))
            assert parse_ack(await client.send(other), other).code == "AR"
            assert rig.intake.failing_since is not None
            # a NACK, too, only leaves when the bytes are kept
            with pytest.raises(ConnectionClosed):
                await client.send(arrival(pid=""))
        # the topics are made: the same listener takes messages again
        await asyncio.to_thread(create_topics, settings)

        async def answered() -> bytes:
            async with rig.client() as client:
                return await client.send(arrival())

        probe: Callable[[], Awaitable[bytes]] = answered
        ack: bytes = await aeventually(probe, ignore=(ConnectionClosed,))
        assert parse_ack(ack, arrival()).accepted
        assert rig.intake.failing_since is None
    assert await records(settings, MESSAGE_REJECTED) == []
