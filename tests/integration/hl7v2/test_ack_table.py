"""Every row of the ACK table, sent for real: answers, connection, what the bus holds, marks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from connectors.hl7v2.framing import Deframer, Frame, frame
from schemas.events import AttendanceReported, MessageRejected
from tests.integration.hl7v2.rig import Rig, create_topics, listening, make_settings
from tests.support.ack_table import PAGE, ROWS, Row, render
from tests.unit.hl7v2.messages import FEED, arrival, trigger

CERTIFIED = FEED.model_copy(
    update={"source": "rtest-tls", "application": "CERTIFIED", "certificates": ("0" * 64,)}
)
PATIENT = FEED.model_copy(
    update={"source": "rtest-ar", "application": "PATIENT", "broker_away": "AR"}
)
LAST = frame(arrival(msh=trigger("A04", "LAST")))
CODES = re.compile(rb"\rMSA.([A-Z]{2})")


@pytest.fixture
async def rig(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A listener with low limits."""
    settings = make_settings(
        kafka_bootstrap,
        namespace,
        read_timeout_seconds=0.5,
        max_message_bytes=50_000,
        max_batch_messages=5,
        refusals_per_second=1_000,
    )
    await asyncio.to_thread(create_topics, settings)
    async with listening(settings, FEED, CERTIFIED) as running:
        yield running


def marker(at: int) -> bytes:
    """What stands for `{row}`."""
    return b"ROW-%03d" % at


async def answered(rig: Rig, row: Row, at: int) -> tuple[tuple[str, ...], str]:
    """The codes of the frames that come back, and whether the connection stays.

    After a row whose connection stays (and whose broker answers) a last good message is sent: its
    AA shows that nothing else was to come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
    writer.write(row.sent.replace(b"{row}", marker(at)))
    probed = row.connection == "stays" and not row.away
    if probed:
        writer.write(LAST)
    if row.ends:
        writer.write_eof()
    deframer, frames = Deframer(), list[bytes]()
    open_to_the_end = False
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while data := await reader.read(65_536):
                frames += [one.data for one in deframer.feed(data) if isinstance(one, Frame)]
                done = frames and b"|LAST" in frames[-1] if probed else len(frames) == 1
                if done and row.connection == "stays":
                    open_to_the_end = True
                    break
    writer.close()
    if probed and frames:
        assert CODES.findall(frames.pop()) == [b"AA"]
    codes = [" ".join(code.decode() for code in CODES.findall(one)) for one in frames]
    return tuple(codes), "stays" if open_to_the_end else "closes"


def kept(
    row: bytes, events: Sequence[AttendanceReported], rejected: Sequence[MessageRejected]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the bus holds of a row (each event id once), and the marks of its events."""
    mine = {event.event_id: event for event in events if row in event.message}
    refused = {one.event_id: one for one in rejected if row in one.head}
    told = [event.kind.value for event in mine.values()]
    told += [f"rejected: {one.rule}" for one in refused.values()]
    return tuple(sorted(told)), tuple(sorted({mark for one in mine.values() for mark in one.marks}))


def differences(
    rows: Sequence[tuple[int, Row]],
    seen: Sequence[tuple[tuple[str, ...], str]],
    events: Sequence[AttendanceReported],
    rejected: Sequence[MessageRejected],
) -> list[str]:
    """Rows of which something else became."""
    wrong = []
    for (at, row), (codes, connection) in zip(rows, seen, strict=True):
        wanted = (row.answers, row.connection, tuple(sorted(row.kept)), tuple(sorted(row.marks)))
        found = (codes, connection, *kept(marker(at), events, rejected))
        if found != wanted:
            wrong.append(f"{row.section}: {row.what}: {found} instead of {wanted}")
    return wrong


async def test_every_row_of_the_ack_table_is_what_happens(rig: Rig) -> None:
    """Answers, connection, what is kept and what is shown, for each row with the broker there."""
    rows = [(at, row) for at, row in enumerate(ROWS) if not row.away]
    seen = await asyncio.gather(*(answered(rig, row, at) for at, row in rows))
    events, rejected = await rig.attendances(), await rig.rejected()
    assert differences(rows, seen, events, rejected) == []


async def test_every_row_without_a_broker_is_what_happens(
    kafka_bootstrap: str, namespace: str
) -> None:
    """The topics are not there: nothing is accepted, nothing is kept."""
    settings = make_settings(kafka_bootstrap, namespace, ack_timeout_seconds=0.3)
    rows = [(at, row) for at, row in enumerate(ROWS) if row.away]
    async with listening(settings, FEED, PATIENT) as rig:
        seen = await asyncio.gather(*(answered(rig, row, at) for at, row in rows))
    assert differences(rows, seen, (), ()) == []


def test_the_page_is_what_the_rows_say() -> None:
    """docs/reference/ack-table.md is up to date: ``python -m tests.support.ack_table --write``."""
    assert PAGE.read_text("utf-8") == render()


def test_the_table_has_a_row_for_every_kind_of_odd_input() -> None:
    """Each row says something else."""
    assert len({(row.section, row.what) for row in ROWS}) == len(ROWS) >= 60
