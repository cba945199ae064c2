"""Processes killed between the lines where a crash would hurt most."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.hl7v2.client import MllpClient, MllpError
from connectors.local_authority.client import HubUnavailable
from halyard.clock import system_clock
from sandbox.pds.people import Person, generate
from sandbox.receiver import Received
from schemas.topics import (
    ALERT_CHANGED,
    ALERT_RECEIPT,
    ATTENDANCE_REPORTED,
    ATTENDANCE_VERIFIED,
)
from tests.support.hub_files import CONTACT, NORTH
from tests.support.journals import OnWire, on_wire, received, repeats, webhook_repeats
from tests.support.load import Plan, adt, flag_line, reported, upload_flags
from tests.support.system import Hub, MakeHub

pytestmark = pytest.mark.timeout(180)

KILLED = -signal.SIGKILL
HOPS = (ATTENDANCE_REPORTED, ATTENDANCE_VERIFIED, ALERT_CHANGED, ALERT_RECEIPT)


class Scene:
    """A running hub, and people nobody has used yet."""

    def __init__(self, hub: Hub, flagged: list[Person], unknown: list[Person]) -> None:
        self.hub = hub
        self._flagged, self._unknown = iter(flagged), iter(unknown)
        self._run = uuid.uuid4().hex[:8]
        self._number = 0

    def flagged(self) -> bytes:
        """The arrival of a flagged child."""
        return self._arrival(next(self._flagged))

    def unknown(self) -> bytes:
        """The arrival of a child without a flag, who must be traced."""
        return self._arrival(next(self._unknown))

    def send(self, *bodies: bytes) -> None:
        """Send each message and get AA."""

        async def all_of_them() -> None:
            async with MllpClient("127.0.0.1", self.hub.mllp_port) as client:
                for body in bodies:
                    assert b"\rMSA|AA|" in await client.send(body)

        asyncio.run(all_of_them())

    def hops(self, body: bytes) -> dict[str, list[OnWire]]:
        """What stands on the bus because of a message, by topic."""
        event_id = str(reported(self.hub, body).event_id)
        everything = on_wire(self.hub, *HOPS)
        (trace,) = {one.headers["traceparent"] for one in everything if one.event_id == event_id}
        return {
            topic: [
                one
                for one in everything
                if one.topic == topic and one.headers["traceparent"] == trace
            ]
            for topic in HOPS
        }

    def alerts(self, body: bytes) -> list[Received]:
        """What the authority received about a message's person."""
        number = reported(self.hub, body).claim.nhs_number
        return [
            one for one in received(self.hub, "north") if one.body["person"]["nhs_number"] == number
        ]

    def _arrival(self, person: Person) -> bytes:
        self._number += 1
        return adt(
            "A04",
            person,
            control_id=f"{self._run}-{self._number}",
            visit=f"{self._run}V{self._number}",
            occurred=system_clock() - timedelta(minutes=20),
        )


@pytest.fixture(scope="module")
def scene(make_hub: MakeHub) -> Iterator[Scene]:
    """A hub that knows twenty flagged children."""
    people = list(generate(40, 7, born_from=date(2012, 1, 1), born_to=date(2020, 12, 31)))
    with make_hub(people) as hub:
        hub.start()
        flags = b"".join(flag_line(one, Plan(NORTH, "CPP")) for one in people[:20])
        asyncio.run(upload_flags(hub, NORTH, flags))
        hub.settle()
        yield Scene(hub, people[:20], people[20:])


@pytest.fixture
def hub(scene: Scene) -> Iterator[Hub]:
    """The hub; afterwards every process runs again without a fault."""
    yield scene.hub
    for name, process in list(scene.hub.processes.items()):
        if process.exit_code is not None:
            scene.hub.launch(name)
            scene.hub.wait_ready(name)


def _arm(hub: Hub, **faults: str) -> None:
    """Start processes again, each with its fault."""
    for name in faults:
        hub.processes[name].send_signal(signal.SIGTERM)
    for name, fault in faults.items():
        hub.processes[name].wait(20)
        hub.launch(name, fault=fault)
    for name in faults:
        hub.wait_ready(name)


def _back(hub: Hub, *names: str) -> None:
    """Each process must have been killed by its fault; start it again without one."""
    for name in names:
        assert hub.wait_ended(name, 60) == KILLED, f"{name} was not killed by its fault"
        hub.launch(name)
    for name in names:
        hub.wait_ready(name)


@pytest.mark.parametrize(("point", "copies"), [("after_commit", 1), ("after_produce", 2)])
def test_a_worker_killed_after_its_commit_loses_nothing(
    scene: Scene, hub: Hub, point: str, copies: int
) -> None:
    """Identity, matching, dispatcher and tracer are each killed between commit and produce (then
    each event is on the bus once), or between produce and mark (then twice, with the same id,
    key, headers and bytes): one alert all the same, and its receipt.
    """
    workers = ("identity", "matching", "dispatcher", "tracer")
    _arm(hub, **{name: f"{name}.{point}:kill" for name in workers})
    flagged, traced = scene.flagged(), scene.unknown()
    scene.send(flagged, traced)
    _back(hub, "identity", "matching", "dispatcher")
    _back(hub, "tracer")
    hub.settle()

    hops = scene.hops(flagged)
    assert {
        topic: len({one.event_id for one in some}) for topic, some in hops.items()
    } == dict.fromkeys(HOPS, 1)
    assert len(hops[ATTENDANCE_REPORTED]) == 1
    for topic in HOPS[1:]:
        assert len(hops[topic]) == copies, topic
        assert repeats(hops[topic]) == copies - 1
    by_tracer = scene.hops(traced)[ATTENDANCE_VERIFIED]
    assert len(by_tracer) == copies
    assert repeats(by_tracer) == copies - 1
    alerts = scene.alerts(flagged)
    assert len({one.alert_id for one in alerts}) == 1
    assert len({one.delivery_id for one in alerts}) == 1
    webhook_repeats(alerts)
    assert scene.alerts(traced) == []


def test_a_dispatcher_killed_after_sending_repeats_the_same_webhook(scene: Scene, hub: Hub) -> None:
    """The authority has it, the hub has not written it down: it is sent again when the lease has
    run out, under the same delivery id, with the same bytes, and taken once.
    """
    _arm(hub, dispatcher="dispatcher.after_send:kill")
    body = scene.flagged()
    scene.send(body)
    _back(hub, "dispatcher")
    hub.settle()
    alerts = scene.alerts(body)
    assert len(alerts) in {1, 2}  # the killed attempt may have been the hospital's notice
    notices = [one for one in received(hub, CONTACT) if one.alert_id == alerts[0].alert_id]
    assert webhook_repeats([*alerts, *notices]) >= 1
    assert len({one.delivery_id for one in alerts}) == 1
    assert [one.repeat for one in alerts][1:] in ([], [True])


@pytest.mark.parametrize("point", ["before_commit", "channel.before_commit_offsets"])
def test_a_worker_killed_before_it_commits_takes_the_batch_again(
    scene: Scene, hub: Hub, point: str
) -> None:
    """Identity and matching die before their transaction commits, or with their work done and
    their offsets not committed: they take the batch again, and nothing is lost or said twice.
    """
    for_stage = {
        name: point if "." in point else f"{name}.{point}" for name in ("identity", "matching")
    }
    _arm(hub, **{name: f"{fault}:kill" for name, fault in for_stage.items()})
    body = scene.flagged()
    scene.send(body)
    _back(hub, "identity", "matching")
    hub.settle()
    assert {topic: len(some) for topic, some in scene.hops(body).items()} == dict.fromkeys(HOPS, 1)
    assert len(scene.alerts(body)) == 1


def test_a_connector_killed_before_its_ack_is_sent_the_message_again(
    scene: Scene, hub: Hub
) -> None:
    """The broker has it but no AA was given, so the sender repeats: the same id, one outcome."""
    _arm(hub, hl7v2="hl7v2.after_produce:kill")
    body = scene.flagged()
    with pytest.raises(MllpError):
        scene.send(body)
    _back(hub, "hl7v2")
    scene.send(body)
    hub.settle()
    event = reported(hub, body)
    on_bus = [
        one for one in on_wire(hub, ATTENDANCE_REPORTED) if one.event_id == str(event.event_id)
    ]
    assert len(on_bus) == 2
    rows = hub.query("select state from claims where reported_event_id = %s", event.event_id)
    assert [row["state"] for row in rows] == ["verified"]
    assert len({one.delivery_id for one in scene.alerts(body)}) == 1


@pytest.mark.parametrize(
    ("point", "copies"),
    [("accept.after_commit", 1), ("accept.after_produce", 2)],
)
def test_an_accept_cut_off_by_a_crash_is_accepted_once(
    scene: Scene, hub: Hub, point: str, copies: int
) -> None:
    """The caller hears nothing and accepts again: one acceptance, one receipt for the hospital;
    on the bus it stands once, or twice with the same id and bytes.
    """
    body = scene.flagged()
    scene.send(body)
    hub.settle()
    (alert,) = scene.alerts(body)
    _arm(hub, serve=f"{point}:kill")
    with pytest.raises(HubUnavailable):
        _accept(hub, alert.alert_id, "first answer")
    _back(hub, "serve")
    again = _accept(hub, alert.alert_id, "second answer")
    assert again["state"] == "accepted"
    assert again["answer"] == "first answer"
    hub.settle()
    receipts = [
        one
        for one in received(hub, CONTACT)
        if one.alert_id == alert.alert_id and one.kind == "receipt"
    ]
    assert [one.body["answer"] for one in receipts] == ["first answer"]
    accepted = [
        one
        for one in on_wire(hub, ALERT_RECEIPT)
        if one.key.decode() == alert.alert_id and one.headers["ce_source"] == "/halyard/serve"
    ]
    assert len(accepted) == copies
    assert repeats(accepted) == copies - 1


def _accept(hub: Hub, alert_id: str, answer: str) -> dict[str, Any]:
    async def call() -> dict[str, Any]:
        async with hub.client(NORTH) as client:
            return await client.accept(alert_id, by="Duty social worker", answer=answer)

    return asyncio.run(call())
