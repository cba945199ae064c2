"""Practice hospitals against a real listener: each answer is the one that the scenario expects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from halyard.cli.send_scenario import NoReceiver, Played, play
from sandbox.hospital import scenarios
from sandbox.hospital.adt import Sender
from tests.integration.hl7v2.rig import Rig, create_topics, listening, make_settings
from tests.support.loopback import quiet_ports
from tests.unit.hl7v2.messages import FEED

SENDER = Sender(FEED.application or "", FEED.facility or "", "it")


@pytest.fixture
async def rig(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A listener with its own topics."""
    settings = make_settings(kafka_bootstrap, namespace)
    await asyncio.to_thread(create_topics, settings)
    async with listening(settings) as running:
        yield running


async def played(rig: Rig, name: str, count: int) -> Played:
    """The scenario as `halyard send --scenario` sends it."""
    steps = scenarios.play(name, SENDER, datetime.now(UTC), count=count, seed=3)
    return await play("127.0.0.1", rig.server.port, steps, answer_seconds=10)


@pytest.mark.parametrize("name", ["night-in-ae", "maternity-ward"])
async def test_a_quiet_ward_is_accepted_throughout(rig: Rig, name: str) -> None:
    """Every message gets AA, and is on the bus."""
    done = await played(rig, name, 30)
    assert not done.surprises
    assert done.answers == {"AA": 30}
    assert len({event.message_id for event in await rig.attendances()}) == 30


async def test_a_feed_gone_mad_gets_the_answers_that_it_deserves(rig: Rig) -> None:
    """AA for whatever can be attributed, AE and AR for the rest, nothing for what is no frame; and
    the sane messages among them are all there.
    """
    done = await played(rig, "feed-gone-mad", 90)
    assert not done.surprises
    assert done.answers["AA"] > 60
    assert done.answers["AE"] > 0
    assert done.answers["AR"] > 0
    assert done.answers["none"] > 0
    rules = {event.rule for event in await rig.rejected()}
    assert rules >= {"no-msh", "no-pid", "unknown-feed", "oversize", "truncated", "noise"}


async def test_without_a_receiver_it_says_so() -> None:
    """Not a scenario full of surprises."""
    steps = scenarios.play("night-in-ae", SENDER, datetime.now(UTC), count=1, seed=1)
    with pytest.raises(NoReceiver):
        await play("127.0.0.1", quiet_ports(1)[0], steps)
