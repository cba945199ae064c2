"""A hospital's load while workers are killed, stopped, joined, left, and raise."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid

import pytest

from halyard.clock import system_clock
from schemas.topics import (
    ALERT_CHANGED,
    ALERT_RECEIPT,
    ATTENDANCE_REPORTED,
    ATTENDANCE_VERIFIED,
    FLAG_VERIFIED,
    IDENTITY_UNRESOLVED,
    dead_letter,
)
from tests.support.hub_files import AUTHORITIES, CONTACT
from tests.support.journals import on_wire, received, repeats, webhook_repeats
from tests.support.load import World, load_flags, make_world
from tests.support.right import check_alerts, check_outcomes
from tests.support.senders import Senders
from tests.support.system import Hub, MakeHub
from tests.support.waiting import eventually

SEED = 20_261_122
FAULTS = ("kill", "stop", "join-and-leave", "join-and-die", "raise")
RAISES = {
    "identity": "identity.before_commit",
    "matching": "matching.before_commit",
    "dispatcher": "dispatcher.after_send",
}


@pytest.mark.timeout(240)
def test_two_hundred_arrivals_survive_five_faults(make_hub: MakeHub) -> None:
    """200 arrivals over 8 connections while identity, matching and dispatcher suffer 5 faults:
    one outcome each, one alert for each flagged child's episode and authority, nobody else told.
    """
    _survive(make_hub, arrivals=200, faults=5, rate=40.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_thousand_arrivals_survive_twenty_faults(make_hub: MakeHub) -> None:
    """The same with 2,000 arrivals and 20 faults."""
    _survive(make_hub, arrivals=2_000, faults=20, rate=40.0)


def _survive(make_hub: MakeHub, *, arrivals: int, faults: int, rate: float) -> None:
    print(f"seed {SEED}")
    world = make_world(SEED, arrivals, system_clock(), uuid.uuid4().hex[:6])
    with make_hub(world.people()) as hub:
        hub.start()
        asyncio.run(load_flags(hub, world))
        started = time.monotonic()
        with Senders(hub.mllp_port, world.lanes, rate=rate) as senders:
            told = _suffer(hub, world, senders, faults)
            senders.join(120 + arrivals / 10)
        hub.settle(60 + arrivals / 20)
        print(f"{time.monotonic() - started:.0f} s; faults: {', '.join(told)}")
        assert senders.journal.refused == []
        assert senders.journal.acked == world.messages
        check_outcomes(hub, world, senders.journal.acked)
        check_alerts(hub, world)
        _check_wire(hub)


def _suffer(hub: Hub, world: World, senders: Senders, faults: int) -> list[str]:
    """Faults spread over the load by what has been answered; returns when the last is over."""
    rng = random.Random(SEED)
    victims = list(RAISES)
    kinds = [FAULTS[index % len(FAULTS)] for index in range(faults)]
    rng.shuffle(kinds)
    told: list[str] = []
    for index, kind in enumerate(kinds):
        due = len(world.messages) * (index + 1) // (faults + 2)
        eventually(
            lambda due=due: senders.done or len(senders.journal.acked) >= due,  # type: ignore[misc]
            120,
            why=f"{due} messages are answered",
        )
        victim = victims[index % len(victims)] if index < len(victims) else rng.choice(victims)
        told.append(f"{victim} {kind}")
        _fault(hub, victim, kind, rng, f"{victim}-{index + 2}")
    return told


def _fault(hub: Hub, victim: str, kind: str, rng: random.Random, second: str) -> None:
    if kind in {"kill", "stop"}:
        hub.restart(victim, how=kind)
    elif kind == "raise":
        hub.restart(victim, how="stop", fault=f"{RAISES[victim]}:raise:{rng.randrange(1, 4)}")
    else:
        hub.launch(second)
        hub.wait_ready(second)
        if kind == "join-and-die":
            hub.kill(second)
        else:
            assert hub.stop(second) == 0


def _check_wire(hub: Hub) -> None:
    """Repeats have the id and the bytes of the first, on the bus and at the receivers; and no
    fault was taken for poison.
    """
    repeats(
        on_wire(
            hub,
            ATTENDANCE_VERIFIED,
            FLAG_VERIFIED,
            IDENTITY_UNRESOLVED,
            ALERT_CHANGED,
            ALERT_RECEIPT,
        )
    )
    everything = itertools.chain.from_iterable(
        received(hub, name) for name in (*AUTHORITIES.values(), CONTACT)
    )
    webhook_repeats(everything)
    assert on_wire(hub, dead_letter(ATTENDANCE_REPORTED, "identity")) == []
    assert on_wire(hub, dead_letter(ATTENDANCE_VERIFIED, "matching")) == []
