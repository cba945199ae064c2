"""SIGTERM to a real process under load: what it has taken is answered, what is not whole is not."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.framing import Deframer, Frame, frame
from halyard.embedded.datadir import free_ports
from schemas.codec import decode_as
from schemas.events import AttendanceReported
from schemas.topics import ATTENDANCE_REPORTED, MESSAGE_REJECTED
from tests.integration.hl7v2.rig import connector, create_topics, make_settings, records
from tests.unit.hl7v2.messages import arrival, trigger


async def _pipeline(port: int, name: str, count: int, begun: asyncio.Event) -> set[str]:
    """Send `count` messages and half of another at once; the control ids that were accepted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies = [arrival(msh=trigger("A04", f"{name}-{number}")) for number in range(count)]
    writer.write(b"".join(frame(body) for body in bodies) + frame(arrival())[:100])
    deframer, accepted = Deframer(), set[str]()
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            for item in deframer.feed(data):
                assert isinstance(item, Frame)
                ack = parse_ack(item.data)
                assert ack.accepted
                accepted.add(ack.control_id)
            begun.set()
    writer.close()
    return accepted


async def test_sigterm_leaves_no_accepted_message_without_its_answer(
    kafka_bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    """Four senders with everything on the wire: after SIGTERM every message on the bus has had its
    AA, every AA is on the bus, the unfinished frame is neither, and the exit code is 0."""
    settings = make_settings(kafka_bootstrap, namespace)
    await asyncio.to_thread(create_topics, settings)
    (port,) = free_ports(1)
    begun = asyncio.Event()
    with connector(settings, tmp_path, port) as process:
        await asyncio.to_thread(process.wait_for, "mllp_listening", 20)
        senders = [
            asyncio.create_task(_pipeline(port, f"S{number}", 500, begun)) for number in range(4)
        ]
        await begun.wait()
        process.send_signal(signal.SIGTERM)
        accepted = set[str]().union(*await asyncio.gather(*senders))
        assert await asyncio.to_thread(process.wait, 12) == 0
    stored = {
        decode_as(AttendanceReported, record.value).message_id
        for record in await records(settings, ATTENDANCE_REPORTED)
    }
    assert accepted == stored
    assert len(accepted) >= 4
    assert await records(settings, MESSAGE_REJECTED) == []
