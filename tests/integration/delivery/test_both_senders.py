"""One suite for both wires: a webhook and an HL7 v2 listener behave alike towards the hub.

Each case runs on a real receiver of each kind over a real socket.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest

from connectors.hl7v2.sender import Hl7v2Sender
from connectors.sending import Delivered, Message, Refused, Result, Retry, Sender, Target
from connectors.webhook.sender import WebhookSender
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.telemetry import new_traceparent
from sandbox.hospital_system.listener import HospitalSystem, listening
from sandbox.receiver import Receiver
from tests.integration.delivery.practice import SECRET, receiving

SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Seen:
    """One arrival on the wire as its receiver noted it."""

    alert_id: str
    repeat: bool
    digest: str


@dataclass(frozen=True, slots=True)
class Rig:
    """A sender, where it sends to, and what is there."""

    sender: Sender
    target: Target
    misbehave: Callable[[str, int | None], None]
    seen: Callable[[], Sequence[Seen]]
    words: dict[str, str]  # behaviour: the receiver's mode

    async def send(self, message: Message) -> Result:
        """One attempt."""
        return await self.sender.send(self.target, message)


@asynccontextmanager
async def webhook() -> AsyncIterator[Rig]:
    """JSON by HTTP."""
    receiver = Receiver(secret=SECRET, slow_seconds=3 * SECONDS)
    async with (
        receiving(receiver) as running,
        WebhookSender(system_clock, timeout_seconds=SECONDS, max_connections=2) as sender,
    ):
        yield Rig(
            sender,
            Target("contact", running.url, SECRET),
            receiver.misbehave,
            lambda: [Seen(one.alert_id, one.repeat, one.body_sha256) for one in receiver.received],
            {"refused": "refuse", "down": "500", "slow": "slow", "lost": "close"},
        )


@asynccontextmanager
async def hl7() -> AsyncIterator[Rig]:
    """HL7 v2 by MLLP."""
    system = HospitalSystem(slow_seconds=3 * SECONDS)
    async with (
        listening(system) as port,
        Hl7v2Sender(timeout_seconds=SECONDS) as sender,
    ):
        yield Rig(
            sender,
            Target("contact", f"mllp://127.0.0.1:{port}", None, "EPR", "RZ9"),
            system.misbehave,
            lambda: [Seen(one.alert_id, one.repeat, one.message_sha256) for one in system.received],
            {"refused": "ae", "down": "ar", "slow": "slow", "lost": "close"},
        )


@pytest.fixture(params=[webhook, hl7], ids=["webhook", "hl7v2"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Each kind of sender with its receiver."""
    async with request.param() as made:
        yield made


def match(version: int = 1) -> Message:
    """A match of an invented person."""
    body = orjson.dumps(
        {
            "schema": "halyard.match.v1",
            "alert_id": str(uuid.uuid4()),
            "version": version,
            "change": "matched",
            "changed_at": "2026-03-01T12:00:00Z",
            "provisional": False,
            "person": {"nhs_number": "9990000018"},
        }
    )
    return Message(uuid.uuid4(), "match", "1", body, new_traceparent())


def alert_of(message: Message) -> str:
    """Its alert."""
    return str(orjson.loads(message.body)["alert_id"])


async def test_what_is_taken_is_delivered(rig: Rig) -> None:
    """A receiver that says yes has the delivery, and it is delivered; so is the next one."""
    first, second = match(), match()
    assert isinstance(await rig.send(first), Delivered)
    assert isinstance(await rig.send(second), Delivered)
    assert [one.alert_id for one in rig.seen()] == [alert_of(first), alert_of(second)]


async def test_what_is_refused_is_parked_and_the_next_goes_on(rig: Rig) -> None:
    """The content is wrong (422, AE): this delivery alone is refused for good."""
    rig.misbehave(rig.words["refused"], 1)
    assert isinstance(await rig.send(match()), Refused)
    assert isinstance(await rig.send(match()), Delivered)


async def test_a_receiver_that_cannot_now_is_asked_again(rig: Rig) -> None:
    """Not now (500, AR): this delivery comes again, and the destination is in question."""
    rig.misbehave(rig.words["down"], 1)
    message = match()
    result = await rig.send(message)
    assert isinstance(result, Retry)
    assert result.destination_down
    assert isinstance(await rig.send(message), Delivered)


async def test_nobody_there_is_asked_again(rig: Rig) -> None:
    """A refused connection questions the destination."""
    closed = Target("contact", rig.target.url.replace("127.0.0.1", "127.255.0.9"), SECRET)
    assert await rig.sender.send(closed, match()) == Retry("connect", destination_down=True)


async def test_c16_a_slow_answer_is_a_time_out_and_the_repeat_is_known(rig: Rig) -> None:
    """The receiver took it and answered too late: it is sent again under the same id with the same
    bytes, and the receiver knows it.
    """
    rig.misbehave(rig.words["slow"], 1)
    message = match()
    started = asyncio.get_running_loop().time()
    assert await rig.send(message) == Retry("timeout", destination_down=True)
    assert asyncio.get_running_loop().time() - started < 3 * SECONDS
    assert isinstance(await rig.send(message), Delivered)
    first, second = rig.seen()
    assert (first.repeat, second.repeat) == (False, True)
    assert first.digest == second.digest


async def test_c16_a_lost_answer_gives_a_repeat_that_is_known(rig: Rig) -> None:
    """The receiver took it and died before it answered: as above."""
    message = match()
    rig.misbehave(rig.words["lost"], 1)
    assert await rig.send(message) == Retry("broken", destination_down=True)
    assert isinstance(await rig.send(message), Delivered)
    first, second = rig.seen()
    assert (first.repeat, second.repeat) == (False, True)
    assert first.digest == second.digest


async def test_a_wrong_address_is_asked_again(rig: Rig) -> None:
    """An address that is none waits for whoever keeps the directory."""
    scheme = rig.target.url.partition(":")[0]
    wrong = Target("contact", f"{scheme}://", SECRET)
    assert await rig.sender.send(wrong, match()) == Retry("address", destination_down=True)


async def test_nothing_secret_is_shown(rig: Rig) -> None:
    """What a traceback or log line could print of an attempt holds no address, secret or body."""
    message = match()
    shown = repr((rig.target, message, await rig.send(message)))
    assert "127.0.0.1" not in shown
    assert SECRET not in shown
    assert "9990000018" not in shown


def test_a_practice_hospital_knows_its_modes() -> None:
    """An unknown misbehaviour is refused."""
    with pytest.raises(ConfigurationError):
        HospitalSystem().misbehave("sulk")
