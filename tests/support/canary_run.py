"""Everything that carries personal data, done to one system, with every part failing once.

The values are looked for afterwards: tests/acceptance/test_privacy.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from connectors.hl7v2.client import MllpClient, MllpError
from connectors.local_authority.client import HubRefused, HubUnavailable
from halyard.clock import system_clock
from halyard.kafka import Record, cloudevent_headers, make_producer, produce
from halyard.telemetry import new_traceparent
from sandbox.pds.people import Person
from sandbox.receiver import Received
from schemas import codec
from schemas.topics import (
    ATTENDANCE_REPORTED,
    ATTENDANCE_VERIFIED,
    CASE_CHANGED,
    DEATH_NOTIFIED,
    DEATH_VERIFIED,
)
from tests.support.canary_deaths import die
from tests.support.deaths_system import DeathsHub
from tests.support.hub_files import CONTACT, NORTH, SOUTH
from tests.support.journals import all_alerts, received
from tests.support.load import Plan, adt, flag_line, reported, upload_flags
from tests.support.own_hub import Own, hub_of_its_own
from tests.support.system import COMMANDS, Hub
from tests.support.waiting import eventually

CANARY = Person("9991230017", "Quizzlewhite", ("Xanthippe",), "2016-07-19", "female", "ZZ8 7QX")
RESTRICTED = Person(
    "9991230033", "Vexborough", ("Ottoline",), "2015-03-28", "female", "ZZ6 5QJ", restricted=True
)
UNKNOWN = Person("9991230041", "Wyvernshaw", ("Peregrine",), "2017-10-23", "male", "ZZ4 3QV")
PEOPLE = (CANARY, RESTRICTED, UNKNOWN)
BESIDE = {"upn": "B801200005001", "siblings": "QZXSIBLING1;QZXSIBLING2"}
HOSPITALS_OWN = "QZXHOSPITAL77"
"""What agencies call the canary, beside her number."""

# each with the group that cannot read what is put there
POISONED = {
    ATTENDANCE_REPORTED: "identity",
    ATTENDANCE_VERIFIED: "matching",
    DEATH_NOTIFIED: "identity",
    DEATH_VERIFIED: "cases",
    CASE_CHANGED: "ncmd",
}


@dataclass(slots=True)
class Aftermath:
    """The system after everything was done to it, and the messages to look at."""

    own: Own[DeathsHub]
    first: bytes  # the canary's first arrival
    restricted: bytes  # the restricted child's, while PDS was down
    during: list[Received]  # what had been received when PDS came back
    waited: list[dict[str, object]]  # the restricted child's claims at that time

    @property
    def hub(self) -> DeathsHub:
        return self.own.hub


@contextlib.contextmanager
def everything_done(home: Path) -> Iterator[Aftermath]:
    """Everything that carries personal data, good and bad, with every part failing once."""
    with hub_of_its_own(home, DeathsHub, people=PEOPLE) as own:
        hub = own.hub
        hub.start(COMMANDS)
        asyncio.run(upload_flags(hub, NORTH, flag_line(CANARY, Plan(NORTH, "CPP"), **BESIDE)))
        flag = flag_line(RESTRICTED, Plan(NORTH, "LAC"))
        asyncio.run(upload_flags(hub, NORTH, flag, expected="CPR02"))
        first = _message(CANARY, "A04", "V1")
        asyncio.run(_messages(hub, first))
        hub.settle()
        asyncio.run(_broken_messages(hub))
        asyncio.run(_face(hub))
        asyncio.run(_poison(hub))
        _receivers_fail(hub)
        _database_fails(own)
        restricted, during, waited = _pds_fails(hub)
        hub.settle(90)
        asyncio.run(die(hub, CANARY, RESTRICTED))
        hub.settle(60)
        yield Aftermath(own, first, restricted, during, waited)


def _message(person: Person, trigger: str, visit: str, minute: int = 0) -> bytes:
    at = system_clock().replace(second=0, microsecond=0) - timedelta(minutes=40)
    return adt(
        trigger,
        person,
        control_id=f"{visit}-{trigger}-{minute}",
        visit=f"{visit}{person.nhs_number[4:6]}",
        occurred=at,
        recorded=at + timedelta(minutes=1 + minute),
        local_id=f"M{PEOPLE.index(person) if person in PEOPLE else 'X'}^^^RZ9^MR~{HOSPITALS_OWN}",
        reason=f"{person.given[0]} {person.family} fell",
    )


async def _messages(hub: Hub, *bodies: bytes) -> None:
    async with MllpClient("127.0.0.1", hub.mllp_port) as client:
        for body in bodies:
            assert b"\rMSA|AA|" in await client.send(body)


async def _broken_messages(hub: Hub) -> None:
    """What is taken with marks, what is refused, and what is no message at all."""
    good = _message(CANARY, "A08", "V1", 3)
    await _messages(
        hub,
        good.replace(b"|20160719|", b"|19/07/2016|").replace(b"V1-A08-3", b"V1-A08-4"),
        good.replace(b"|20160719|", b"|20161319|").replace(b"V1-A08-3", b"V1-A08-5"),
        good.replace(b"9991230017", b"9991230018").replace(b"V1-A08-3", b"V1-A08-6"),
        good.replace(b"XANTHIPPE", b"XANTHIPP\xc9\xff").replace(b"V1-A08-3", b"V1-A08-7"),
        good.replace(b"ADT^A08", b"ADT^A31").replace(b"V1-A08-3", b"V1-A31-8"),
    )
    header, _, rest = good.partition(b"\r")
    no_patient = b"\r".join(line for line in good.split(b"\r") if not line.startswith(b"PID"))
    refused = (
        no_patient + b"NK1|1|QUIZZLEWHITE^XANTHIPPE|9991230017|ZZ8 7QX\r",
        header.replace(b"MSH|^~\\&|", b"MSH||||") + b"\r" + rest,
        header.replace(b"|EDIS|RZ9|", b"|QUIZZLEWHITE|XANTHIPPE|") + b"\r" + rest,
        b"PID|1||9991230017||QUIZZLEWHITE^XANTHIPPE||20160719\r",
        good + b"NTE|1||" + b"9991230017 Xanthippe Quizzlewhite " * 40_000 + b"\r",
    )
    for body in refused:
        with contextlib.suppress(MllpError):
            async with MllpClient("127.0.0.1", hub.mllp_port, timeout=10) as client:
                assert b"\rMSA|AA|" not in await client.send(body)
    async with MllpClient("127.0.0.1", hub.mllp_port) as client:
        client.write_raw(b"noise 9991230017 Quizzlewhite 2016-07-19\r\n")
        client.write_raw(b"\x0b" + good[:200])


async def _face(hub: Hub) -> None:
    """The HTTP face, used well and badly."""
    broken = [
        flag_line(CANARY, Plan(NORTH, "CPP"), plan_type="Quizzlewhite"),
        flag_line(CANARY, Plan(NORTH, "CPP"), birth_date="19/07/2016"),
        flag_line(CANARY, Plan(NORTH, "CPP"), nhs_number=9991230017),
        flag_line(CANARY, Plan(NORTH, "CPP"), start="ZZ8 7QX"),
        flag_line(CANARY, Plan(NORTH, "CPP"), **{"Xanthippe 9991230017": "x"}),
        b'{"nhs_number": "9991230017", "family": "Quizzlewhite"\n',
        b"9991230017 Quizzlewhite \xff\xfe\n",
    ]
    async with hub.client(NORTH) as client:
        receipt = await client.upload(b"".join(broken))
        assert (receipt.accepted, receipt.refused_count) == (0, len(broken))
    await upload_flags(
        hub, NORTH, flag_line(CANARY, Plan(NORTH, "LAC"), nhs_number="9991230018"), expected="CPR04"
    )
    await upload_flags(
        hub,
        NORTH,
        flag_line(replace(CANARY, given=("Rosamund",)), Plan(NORTH, "LAC")),
        expected=None,
    )
    hub.settle()
    (alert, *_) = (one for one in all_alerts(hub) if one.body["change"] == "raised")
    async with hub.client(NORTH) as client:
        assert (await client.query_flags(CANARY.nhs_number))["answer"] == "flagged"
        with contextlib.suppress(HubRefused):
            await client.query_flags("999 123 001X Quizzlew")
        await client.accept(
            alert.alert_id, by="Duty desk", answer="Xanthippe Quizzlewhite, 9991230017, is known"
        )
    headers = {"Authorization": f"Bearer {hub.token(NORTH)}"}
    async with httpx.AsyncClient(base_url=hub.url("serve"), headers=headers) as http:
        await http.post("/flags/query", json={"nhs_number": ["9991230017"], "Xanthippe": 1})
        await http.post("/flags/query", content=b'{"nhs_number": "9991230017')
        await http.get("/flags/query", params={"nhs_number": "9991230017"})
        await http.get("/patients/9991230017")
        record = {"nhs_number": "9991230017", "purpose": "child-protection", "reason": "visit"}
        shown = (await http.post("/people/record", json=record)).json()
        assert BESIDE["upn"] in str(shown["identifiers"])
        await http.post("/people/record", json={**record, "upn": BESIDE["upn"], "reason": 1})
        await http.get("/reports/shared-numbers", params={"upn": BESIDE["upn"]})
        await http.get("/alerts", params={"after": "Quizzlewhite", "state": "Xanthippe"})
        await http.post("/alerts/9991230017/accept", json={"by": "Xanthippe", "answer": 1})
        await http.post(
            f"/alerts/{alert.alert_id}/accept", json={"by": "x", "family": "Quizzlewhite"}
        )
        await http.get("/worklist", headers={"Authorization": "Bearer 9991230017"})
        in_url = {"patient:identifier": "https://fhir.nhs.uk/Id/nhs-number|9991230017"}
        await http.get("/cpis/FHIR/R4/CareTeam", params=in_url)
        await http.get("/cpis/FHIR/R4/AuditEvent", params={**in_url, "Xanthippe": "Quizzlewhite"})
        await http.get("/patient-flags/FHIR/R4/PatientFlag/9991230017")
        await http.post("/cpis/FHIR/R4/CareTeam/_search", data=in_url)


async def _poison(hub: Hub) -> None:
    """Records that the stages cannot take, with the canary in their bytes."""
    producer = make_producer(hub.settings, client_id="canary")
    await producer.start()
    try:
        for topic in POISONED:
            event = reported(hub, _message(CANARY, "A04", "V9"))
            headers = cloudevent_headers(
                event_id=event.event_id,
                event_type="AttendanceReported",
                source="canary",
                time=system_clock(),
                traceparent=new_traceparent(),
            )
            cut = codec.encode(event)[:-40]  # right schema, wrong bytes
            for value in (cut, b"9991230017 Quizzlewhite", b"\0\0\0\0\x01Xanthippe 2016-07-19"):
                (sent,) = await produce(
                    producer, hub.settings, [Record(topic, "canary", value, headers)]
                )
                assert not isinstance(sent, Exception)
    finally:
        await producer.stop()


def _receivers_fail(hub: Hub) -> None:
    """The authority answers badly in every way, and refuses one alert for good."""
    for minute, mode in enumerate(("500", "close", "refuse"), start=10):
        hub.misbehave("north", mode, 1)
        asyncio.run(_messages(hub, _message(CANARY, "A04", f"V{minute}", minute)))
        hub.settle()


def _database_fails(own: Own[DeathsHub]) -> None:
    """Sessions are cut in the middle of work, and a statement with the canary is refused."""
    hub = own.hub
    asyncio.run(_messages(hub, *(_message(CANARY, "A08", "V1", 20 + n) for n in range(5))))
    with psycopg.connect(own.postgres.admin_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'halyard-%%'"
        )
    with pytest.raises(psycopg.errors.UniqueViolation):
        hub.query(
            "insert into identities select person, %s, names, %s, gender, postcode, restricted,"
            " deceased, demographic_tokens, verified_at, flagged, flagged_at, keep_until"
            " from identities",
            CANARY.nhs_number,
            CANARY.birth_date,
        )
    hub.settle()


def _pds_fails(hub: Hub) -> tuple[bytes, list[Received], list[dict[str, object]]]:
    """PDS is away in several ways while children arrive, the restricted one among them."""
    bad: tuple[dict[str, object], ...] = ({"status": 401}, {"garbage": True}, {"status": 429})
    for number, faults in enumerate(bad):
        hub.set_pds_faults(**faults, times=2)
        asyncio.run(_messages(hub, _message(UNKNOWN, "A04", f"U{number}", number)))
    hub.settle(60)
    hub.set_pds_faults(down=True)
    restricted = _message(replace(RESTRICTED, family="Someoneelse"), "A04", "R1")
    provisional = _message(replace(CANARY, family="Someoneelse"), "A04", "P1", 30)
    asyncio.run(_messages(hub, restricted, provisional))
    eventually(
        lambda: any(one.body["provisional"] for one in all_alerts(hub)),
        30,
        why="the other child's provisional alert is delivered",
    )
    during = [*all_alerts(hub), *received(hub, CONTACT)]
    waited = hub.query(
        "select state, person from claims where reported_event_id = %s",
        reported(hub, restricted).event_id,
    )
    asyncio.run(_unavailable(hub))
    hub.set_pds_faults()
    return restricted, during, waited


async def _unavailable(hub: Hub) -> None:
    """A look-up of a child who is not known, while PDS is down."""
    async with hub.client(SOUTH) as client:
        with contextlib.suppress(HubUnavailable, HubRefused):
            await client.query_flags(UNKNOWN.nhs_number)
