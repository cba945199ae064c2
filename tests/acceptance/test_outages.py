"""What the hub stands on goes away and comes back: Kafka, PostgreSQL, PDS."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from connectors.hl7v2.client import MllpClient
from halyard.cli.supervisor import Specification, Supervisor
from halyard.clock import system_clock
from halyard.embedded.kafka import EmbeddedKafka
from halyard.embedded.postgres import EmbeddedPostgres
from sandbox.pds.people import Person, generate
from sandbox.receiver import Received
from schemas import codec
from schemas.events import AttendanceVerified
from schemas.topics import ATTENDANCE_REPORTED, ATTENDANCE_VERIFIED
from tests.support.hub_files import NORTH
from tests.support.journals import on_wire, received
from tests.support.load import (
    Plan,
    World,
    adt,
    flag_line,
    load_flags,
    make_world,
    reported,
    upload_flags,
)
from tests.support.loopback import quiet_ports
from tests.support.own_hub import hub_of_its_own
from tests.support.right import check_alerts, check_outcomes
from tests.support.senders import Senders
from tests.support.system import Hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

SEED = 31
ARRIVALS = 60
SETTINGS = {
    "HALYARD_HL7V2__ACK_TIMEOUT_SECONDS": "2",
    "HALYARD_WORKER__TRANSIENT_SECONDS": "20",
    "HALYARD_PDS__CALLS_PER_SECOND": "50",
}


@dataclass(slots=True)
class Place:
    """A hub on a Kafka and a PostgreSQL of its own, and loads that share nobody."""

    hub: Hub
    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres
    worlds: dict[str, World]
    children: Iterator[Person]  # with a flag each
    unknown: Person  # a child without

    def others(self, world: World) -> frozenset[str]:
        """NHS numbers of everybody who is not in `world`."""
        mine = {one.number for one in world.patients}
        told = received(self.hub, "north") + received(self.hub, "south")
        return frozenset(one.body["person"]["nhs_number"] for one in told) - mine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything started, both authorities' flags loaded."""
    run = uuid.uuid4().hex[:6]
    worlds = {
        name: make_world(SEED, ARRIVALS, system_clock(), f"{run}{name}", skip=index * 2_400)
        for index, name in enumerate(("kafka", "postgres"))
    }
    born = generate(5_400, SEED, born_from=date(1975, 1, 1), born_to=date(2024, 6, 1))
    extra = [one for one in born if "2012" <= one.birth_date < "2020"][-20:]
    people = [*(one for world in worlds.values() for one in world.people()), *extra]
    home = Path(tmp_path_factory.mktemp("outages"))
    with hub_of_its_own(home, Hub, people=people, settings=SETTINGS) as own:
        own.hub.start()
        for world in worlds.values():
            asyncio.run(load_flags(own.hub, world))
        flags = b"".join(flag_line(one, Plan(NORTH, "CPP")) for one in extra[:10])
        asyncio.run(upload_flags(own.hub, NORTH, flags))
        own.hub.settle()
        yield Place(own.hub, own.kafka, own.postgres, worlds, iter(extra[:10]), extra[10])


@pytest.fixture(autouse=True)
def _all_well(place: Place) -> Iterator[None]:
    """After each test everything runs again, also if it failed half way."""
    yield
    for service in (place.kafka, place.postgres):
        if not service.alive():
            service.start()
    place.hub.revive()
    place.hub.set_pds_faults()
    for name in place.hub.processes:
        place.hub.wait_ready(name)


def test_the_broker_stopped_while_sending(place: Place) -> None:
    """While Kafka is dead nobody gets AA; what was answered before is on the bus; when it is back
    everything flows, and the alerts are right.
    """
    hub, world = place.hub, place.worlds["kafka"]
    with Senders(hub.mllp_port, world.lanes, rate=25.0) as senders:
        journal = senders.journal
        third = len(world.messages) // 3
        eventually(lambda: len(journal.acked) >= third, 60, why="a third is answered")
        place.kafka.kill()
        eventually(lambda: journal.lost >= len(world.lanes), 30, why="the connections close")
        before = journal.acked
        cut = journal.lost
        eventually(lambda: journal.lost >= cut + len(world.lanes), 30, why="they close again")
        assert journal.acked == before, "AA was given for what no broker had"
        assert len(before) < len(world.messages), "the outage came too late to show anything"
        place.kafka.start()

        def all_answered() -> bool:
            hub.revive()  # a process gives an outage up after a while, and its supervisor does this
            return senders.done

        eventually(all_answered, 90, why="every message is answered AA")
    hub.settle(90)
    assert journal.refused == []
    assert journal.acked == world.messages
    on_bus = {one.event_id for one in on_wire(hub, ATTENDANCE_REPORTED)}
    assert {str(reported(hub, body).event_id) for body in before} <= on_bus
    check_outcomes(hub, world, journal.acked)
    check_alerts(hub, world, others=place.others(world))


def test_postgresql_restarted_while_sending(place: Place) -> None:
    """Taking in needs no database: AA goes on while PostgreSQL is down; when it is back
    everything flows, and the alerts are right.
    """
    hub, world = place.hub, place.worlds["postgres"]
    with Senders(hub.mllp_port, world.lanes, rate=25.0) as senders:
        journal = senders.journal
        third = len(world.messages) // 3
        eventually(lambda: len(journal.acked) >= third, 60, why="a third is answered")
        place.postgres.stop()
        before = len(journal.acked)
        more = (len(world.messages) - before) // 2
        assert more, "the outage came too late to show anything"
        eventually(lambda: len(journal.acked) >= before + more, 60, why="AA goes on")
        assert not place.postgres.alive()
        place.postgres.start()
        senders.join(90)
    assert journal.lost == 0
    hub.settle(90)
    assert journal.acked == world.messages
    check_outcomes(hub, world, journal.acked)
    check_alerts(hub, world, others=place.others(world))


def test_pds_down_sends_provisional_alerts_and_parks_the_rest_in_order(place: Place) -> None:
    """While PDS is down AA continues. Arrivals that agree in part with a flagged child alert at
    once, marked provisional, and a cancel withdraws at once. When PDS is back each is confirmed
    or withdrawn, and what waited flows in the order in which it was sent.
    """
    hub = place.hub
    renamed, wrong, cancelled, numberless = (next(place.children) for _ in range(4))
    unknown = place.unknown
    hub.set_pds_faults(down=True)
    confirmed = _arrival(replace(renamed, family="Newname"), renamed)
    refuted = _arrival(replace(wrong, family="Other", given=("Somebody",)), wrong)
    undone = _arrival(replace(cancelled, family="Newname"), cancelled)
    searched = _arrival(numberless, numberless, number=None)
    waiting = [
        _arrival(unknown, unknown, trigger=trigger, minute=minute, visit="P")
        for minute, trigger in enumerate(("A04", "A08", "A08", "A03"))
    ]
    _send(hub, confirmed, refuted, undone, searched, *waiting)

    def provisional() -> bool:
        told = [_alerts(hub, one) for one in (renamed, wrong, cancelled, numberless)]
        return all(some and some[-1].body["provisional"] for some in told)

    eventually(provisional, 40, why="provisional alerts are delivered")
    _send(hub, _arrival(replace(cancelled, family="Newname"), cancelled, trigger="A11", minute=5))
    eventually(
        lambda: _alerts(hub, cancelled)[-1].body["change"] == "withdrawn",
        20,
        why="the cancelled visit's alert is withdrawn while PDS is down",
    )
    assert hub.count("select count(*) from claims where state = 'waiting'") == len(waiting)

    hub.set_pds_faults()
    hub.settle(60)
    for child in (renamed, numberless):
        last = _alerts(hub, child)[-1]
        assert (last.body["provisional"], last.body["change"]) == (False, "updated")
        assert len({one.alert_id for one in _alerts(hub, child)}) == 1
    for child in (wrong, cancelled):
        assert _alerts(hub, child)[-1].body["change"] == "withdrawn"
    assert _alerts(hub, unknown) == []
    expected = [reported(hub, body).event_id for body in waiting]
    released = [
        event.reported_event_id
        for event in (codec.decode(one.value) for one in on_wire(hub, ATTENDANCE_VERIFIED))
        if isinstance(event, AttendanceVerified) and event.reported_event_id in expected
    ]
    assert released == expected


def test_c24_a_worker_exits_for_a_dead_database_and_is_restarted(
    place: Place, tmp_path: Path
) -> None:
    """A worker without database exits non-zero when its patience is over; the supervisor starts
    it again with a growing wait, says why, and it works as soon as the database is back.
    """
    hub = place.hub
    (port,) = quiet_ports(1)
    told: list[str] = []
    supervisor = Supervisor(told.append)
    supervisor.start(
        Specification(
            name="identity",
            argv=(sys.executable, "-m", "halyard.cli.main", "worker", "identity"),
            environment={
                **{name: value for name, value in os.environ.items() if name != "HALYARD_FAULT"},
                **hub.environment,
                "HALYARD_WORKER__TRANSIENT_SECONDS": "2",
                "HALYARD_HTTP__HEALTH_PORT": str(port),
            },
            log_file=tmp_path / "identity.log",
            ready_url=f"http://127.0.0.1:{port}/readyz",
        )
    )

    def ticked(condition: Callable[[], bool]) -> Callable[[], bool]:
        def probe() -> bool:
            supervisor.tick()
            return condition()

        return probe

    try:
        hub.stop("identity")  # the supervised one alone
        eventually(lambda: supervisor.is_ready("identity"), 40, why="the worker is ready")
        first = supervisor.pid("identity")
        place.postgres.stop()
        child = next(place.children)
        _send(hub, _arrival(child, child))  # AA without a database
        eventually(
            ticked(lambda: "identity restarted" in told), 60, why="the supervisor restarts it"
        )
        assert supervisor.pid("identity") != first
        reasons = [line for line in told if line.startswith("identity ended (exit code 1: ")]
        assert reasons, told
        assert "; it restarts in 0.5 s" in reasons[0]
        assert "identity could not go on for" in reasons[0]
        place.postgres.start()
        eventually(
            ticked(lambda: supervisor.is_ready("identity")),
            60,
            why="the worker is ready again",
        )
        eventually(
            ticked(lambda: not hub.revive(("identity",)) and bool(_alerts(hub, child))),
            60,
            why="the alert of the child who came meanwhile arrives",
        )
    finally:
        supervisor.stop()


def _arrival(
    shown: Person,
    person: Person,
    *,
    trigger: str = "A04",
    minute: int = 0,
    visit: str = "V",
    number: str | None = "",
) -> bytes:
    """A message that shows `shown` for what is `person`'s visit."""
    at = system_clock().replace(second=0, microsecond=0) - timedelta(minutes=30)
    return adt(
        trigger,
        shown,
        control_id=f"{visit}{person.nhs_number[4:]}-{trigger}-{minute}",
        visit=f"{visit}{person.nhs_number[4:9]}",
        occurred=at,
        recorded=at + timedelta(minutes=1 + minute),
        number=number,
    )


def _send(hub: Hub, *bodies: bytes) -> None:
    async def all_of_them() -> None:
        async with MllpClient("127.0.0.1", hub.mllp_port) as client:
            for body in bodies:
                assert b"\rMSA|AA|" in await client.send(body)

    asyncio.run(all_of_them())


def _alerts(hub: Hub, person: Person) -> list[Received]:
    return [
        one
        for one in received(hub, "north")
        if one.body["person"]["nhs_number"] == person.nhs_number
    ]
