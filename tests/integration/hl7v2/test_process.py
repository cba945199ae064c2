"""The connector as a process: start, stop, crash points, a broker that goes and comes back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.client import MllpClient, MllpError
from halyard.embedded.datadir import free_ports
from halyard.embedded.kafka import EmbeddedKafka
from halyard.settings import Settings
from schemas.codec import decode_as
from schemas.events import AttendanceReported
from schemas.topics import ATTENDANCE_REPORTED
from tests.integration.hl7v2.rig import connector, create_topics, make_settings, records
from tests.support.waiting import aeventually
from tests.unit.hl7v2.messages import arrival, trigger


async def _stored(settings: Settings) -> list[AttendanceReported]:
    found = await records(settings, ATTENDANCE_REPORTED)
    return [decode_as(AttendanceReported, record.value) for record in found]


async def _send(port: int, message: bytes) -> bytes:
    """The answer to a message; no answer is an AssertionError ("not yet")."""
    try:
        async with MllpClient("127.0.0.1", port, timeout=10) as client:
            return await client.send(message)
    except MllpError as error:
        raise AssertionError(type(error).__name__) from None


async def _answered(port: int, message: bytes) -> bytes:
    """The answer, as soon as the process gives one."""
    probe: Callable[[], Awaitable[bytes]] = lambda: _send(port, message)  # noqa: E731
    return await aeventually(probe, timeout=40)


@pytest.fixture
def settings(kafka_bootstrap: str, namespace: str) -> Settings:
    """A place on the shared Kafka with the connector's topics."""
    made = make_settings(kafka_bootstrap, namespace)
    create_topics(made)
    return made


async def test_the_process_takes_messages_and_stops_cleanly(
    settings: Settings, tmp_path: Path
) -> None:
    """AA from a real process; SIGTERM ends it with 0; its log holds nothing of the patient."""
    (port,) = free_ports(1)
    with connector(settings, tmp_path, port) as process:
        answer = await _answered(port, arrival())
        assert parse_ack(answer, arrival()).accepted
        assert parse_ack(await _send(port, arrival(pid=""))).code == "AE"
        assert await asyncio.to_thread(process.terminate) == 0
        log = process.log_text()
    assert '"event": "mllp_listening"' in log
    assert '"event": "hl7v2_rejected"' in log
    for secret in ("9990000018", "TESTCHILD", "ROBIN", "YO1", "T123456"):
        assert secret not in log


@pytest.mark.parametrize(
    ("fault", "before"), [("hl7v2.before_produce", 0), ("hl7v2.after_produce", 1)]
)
async def test_a_crash_around_produce_loses_nothing(
    settings: Settings, tmp_path: Path, fault: str, before: int
) -> None:
    """Killed before or after the produce: no answer; sent again it is the same event."""
    (port,) = free_ports(1)
    with connector(settings, tmp_path, port, HALYARD_FAULT=f"{fault}:kill:1") as process:
        await asyncio.to_thread(process.wait_for, "mllp_listening", 20)
        with pytest.raises(AssertionError):
            await _send(port, arrival())
        assert await asyncio.to_thread(process.wait, 10) == -signal.SIGKILL
    first = await _stored(settings)
    assert len(first) == before
    with connector(settings, tmp_path, port):
        answer = await _answered(port, arrival())
        assert parse_ack(answer, arrival()).accepted
    events = await _stored(settings)
    assert len(events) == before + 1
    assert len({event.event_id for event in events}) == 1


async def test_without_a_broker_the_process_does_not_listen(namespace: str, tmp_path: Path) -> None:
    """A wrong address: connections are refused and readiness says why; SIGTERM still ends it."""
    port, nothing = free_ports(2)
    settings = make_settings(f"127.0.0.1:{nothing}", namespace)
    with connector(settings, tmp_path, port) as process:
        await asyncio.to_thread(process.wait_for, "hl7v2_broker_away", 20)
        with pytest.raises(AssertionError, match="CannotConnect"):
            await _send(port, arrival())
        assert await asyncio.to_thread(process.terminate) == 0


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of the test's own, to be killed."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("own-kafka"), heap_mb=192)
    with kafka:
        yield kafka


async def test_broker_killed_while_sending_no_aa_for_what_is_not_stored(
    own_kafka: EmbeddedKafka, namespace: str, tmp_path: Path
) -> None:
    """While the broker is away nothing is accepted; when it is back everything flows."""
    settings = make_settings(own_kafka.bootstrap_servers, namespace, ack_timeout_seconds=0.5)
    await asyncio.to_thread(create_topics, settings)
    (port,) = free_ports(1)
    accepted: list[str] = []
    stop = asyncio.Event()

    async def sender(name: str) -> None:
        number = 0
        while not stop.is_set():
            control_id = f"{name}-{number}"
            message = arrival(msh=trigger("A04", control_id))
            answer = await _answered(port, message)  # the same message again until it is taken
            assert parse_ack(answer, message).accepted
            accepted.append(control_id)
            number += 1

    with connector(settings, tmp_path, port) as process:
        await asyncio.to_thread(process.wait_for, "mllp_listening", 20)
        senders = [asyncio.create_task(sender(f"S{at}")) for at in range(4)]
        await aeventually(lambda: len(accepted) > 50, timeout=20)
        own_kafka.kill()
        # one message a sender may have been confirmed just before
        before = len(accepted)
        await asyncio.to_thread(process.wait_for, "hl7v2_broker_away", 20)
        assert len(accepted) <= before + 4
        still = len(accepted)
        with pytest.raises(AssertionError):
            await _send(port, arrival())
        assert len(accepted) == still
        own_kafka.start()  # from the main thread: the child is tied to it
        await aeventually(lambda: len(accepted) > still + 50, timeout=30)
        stop.set()
        await asyncio.gather(*senders)
        assert await asyncio.to_thread(process.terminate) == 0
    stored = {event.message_id for event in await _stored(settings)}
    assert set(accepted) <= stored
