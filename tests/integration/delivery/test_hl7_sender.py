"""What only the HL7 v2 wire has: answers out of step, connections kept, TLS."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest
import trustme

from connectors.hl7v2.er7 import Message as View
from connectors.hl7v2.framing import frame
from connectors.hl7v2.sender import Hl7v2Sender, client_tls
from connectors.sending import Delivered, Message, Refused, Retry, Target
from halyard.embedded.datadir import free_ports
from halyard.errors import ConfigurationError
from halyard.postgres import Pool
from halyard.service import Service
from halyard.settings import Settings
from sandbox.hospital_system.app import run as run_hospital
from sandbox.hospital_system.listener import HospitalSystem, listening
from stores.directory import Endpoint
from tests.integration.delivery.conftest import Dispatching
from tests.integration.delivery.practice import (
    add,
    delivery,
    directory_of,
    quick,
    raise_alert,
    states,
)
from tests.integration.delivery.test_both_senders import match
from tests.integration.delivery.test_practice_receivers import Stub
from tests.support.waiting import aeventually


def target(port: int, scheme: str = "mllp", host: str = "127.0.0.1") -> Target:
    """The practice hospital."""
    return Target("contact", f"{scheme}://{host}:{port}", None, "EPR", "RZ9")


@pytest.fixture
async def system() -> HospitalSystem:
    """A hospital's system."""
    return HospitalSystem(slow_seconds=1.4)


@asynccontextmanager
async def rig(system: HospitalSystem, **options: float) -> AsyncIterator[tuple[Hl7v2Sender, int]]:
    """A sender and the port where the system listens."""
    given = {"timeout_seconds": 1.0, **options}
    async with (
        listening(system) as port,
        Hl7v2Sender(
            timeout_seconds=given["timeout_seconds"],
            connections=int(given.get("connections", 1)),
            idle_seconds=given.get("idle_seconds", 30.0),
        ) as sender,
    ):
        yield sender, port


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("wrong-id", Retry("ack-of-another", destination_down=True)),
        ("garbage", Retry("ack-unreadable", destination_down=True)),
        ("unknown", Retry("ack-unknown-code", destination_down=True, answered=True)),
    ],
)
async def test_an_answer_out_of_step_drops_the_connection_and_comes_again(
    system: HospitalSystem, mode: str, result: Retry
) -> None:
    """An MSA-2 that names another message, no HL7 v2, a code that no table has: the answer proves
    nothing, the connection is never used again, the message is.
    """
    async with rig(system) as (sender, port):
        message = match()
        system.misbehave(mode, 1)
        assert await sender.send(target(port), message) == result
        assert await sender.send(target(port), message) == Delivered("ack-aa")
    assert [one.connection for one in system.received] == [1, 2]
    assert system.received[1].repeat


async def test_a_late_ack_is_not_taken_for_the_next_message(system: HospitalSystem) -> None:
    """After a time-out the connection is gone: what was filed late is not the next one's yes."""
    async with rig(system) as (sender, port):
        system.misbehave("slow", 1)
        assert await sender.send(target(port), match()) == Retry("timeout", destination_down=True)
        system.misbehave("ae", 1)
        assert await sender.send(target(port), match()) == Refused("ack-ae")
    assert [one.connection for one in system.received] == [1, 2]


async def test_a_connection_is_kept_and_one_answered_twice_is_not(system: HospitalSystem) -> None:
    """Five messages use one connection; a stray second ACK ends it, and costs no message."""
    async with rig(system) as (sender, port):
        for _ in range(5):
            assert await sender.send(target(port), match()) == Delivered("ack-aa")
        assert {one.connection for one in system.received} == {1}
        system.misbehave("twice", 1)
        for _ in range(2):
            assert await sender.send(target(port), match()) == Delivered("ack-aa")
    assert system.received[-1].connection == 2


async def test_an_idle_connection_is_closed(system: HospitalSystem) -> None:
    """A firewall may forget it silently: what is not used is closed by us."""
    async with rig(system, idle_seconds=0.05) as (sender, port):
        assert await sender.send(target(port), match()) == Delivered("ack-aa")
        await aeventually(lambda: system.open == 0)
        assert await sender.send(target(port), match()) == Delivered("ack-aa")
    assert [one.connection for one in system.received] == [1, 2]


async def test_a_listener_that_closes_after_each_answer_is_no_fault() -> None:
    """The kept connection is found closed; the message goes over a new one at once."""

    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readuntil(b"\x1c\r")
        control_id = View.parse(data[1:-2]).get("MSH-10").encode()
        writer.write(frame(b"MSH|^~\\&|EPR||||||ACK|1|P|2.4\rMSA|AA|" + control_id + b"\r"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one_each, "127.0.0.1", 0)
    async with server, Hl7v2Sender(timeout_seconds=2) as sender:
        port = server.sockets[0].getsockname()[1]
        for _ in range(3):
            assert await sender.send(target(port), match()) == Delivered("ack-aa")


async def test_one_message_at_a_time_on_no_more_connections_than_allowed(
    system: HospitalSystem,
) -> None:
    """Six at once share two connections."""
    async with rig(system, connections=2, timeout_seconds=5.0) as (sender, port):
        results = await asyncio.gather(*(sender.send(target(port), match()) for _ in range(6)))
        assert results == [Delivered("ack-aa")] * 6
        assert system.connections == 2


async def test_an_alert_has_no_hl7_form(system: HospitalSystem) -> None:
    """What is for authorities is never told to a hospital's system."""
    async with rig(system) as (sender, port):
        alert = replace(match(), event="alert")
        assert await sender.send(target(port), alert) == Refused("no-hl7-form")
        broken = Message(uuid.uuid4(), "match", "1", b"{", "")
        assert await sender.send(target(port), broken) == Refused("no-hl7-form")
    assert system.received == []


async def test_tls_goes_only_to_whom_the_authority_vouches_for(
    system: HospitalSystem, tmp_path: Path
) -> None:
    """``mllps``: the certificate must be the configured authority's and of that name; the
    receiver may ask for ours.
    """
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    ours = ca.issue_cert("hub.example.org")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "ours.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    known = client_tls(tmp_path / "ca.pem", tmp_path / "ours.pem", None)
    strange = client_tls(tmp_path / "other.pem", tmp_path / "ours.pem", None)
    async with listening(system, tls=server) as port:
        async with Hl7v2Sender(timeout_seconds=2, tls=known) as sender:
            assert await sender.send(target(port, "mllps"), match()) == Delivered("ack-aa")
            named = target(port, "mllps", "localhost")
            assert await sender.send(named, match()) == Retry("tls", destination_down=True)
            plain = await sender.send(target(port), match())
            assert isinstance(plain, Retry)
        async with Hl7v2Sender(timeout_seconds=2, tls=strange) as sender:
            result = await sender.send(target(port, "mllps"), match())
            assert result == Retry("tls", destination_down=True)
    assert len(system.received) == 1


def test_tls_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    """Missing, no PEM, or a key without certificate: told at the start."""
    (tmp_path / "no.pem").write_text("no certificate")
    for files in (
        (tmp_path / "absent.pem", None, None),
        (tmp_path / "no.pem", None, None),
        (None, tmp_path / "no.pem", None),
        (None, None, tmp_path / "no.pem"),
    ):
        with pytest.raises(ConfigurationError):
            client_tls(*files)


async def test_c15_matches_of_an_alert_go_to_the_listener_in_order_and_a_refused_one_is_parked(
    pool: Pool, dispatching: Dispatching, system: HospitalSystem
) -> None:
    """Through the dispatcher: a match that is not answered is sent again before its receipt; one
    that the hospital calls wrong is parked alone.
    """
    first, second = await raise_alert(pool), await raise_alert(pool)
    async with listening(system) as port:
        directory = directory_of()
        directory.endpoints["contact"] = Endpoint(name="contact", url=f"mllp://127.0.0.1:{port}")
        system.misbehave("ar", 2)
        await add(
            pool,
            delivery(first, destination="contact", kind="match"),
            delivery(first, 2, destination="contact", kind="receipt"),
        )
        await dispatching(directory, quick(), hears=True)
        await aeventually(lambda: len(system.received) == 4)
        system.misbehave("ae", 1)
        await add(pool, delivery(second, destination="contact", kind="match"))

        async def parked() -> bool:
            return await states(pool, second.alert_id) == [(1, "match", "parked")]

        await aeventually(parked)
    assert [one.kind for one in system.received[:4]] == ["SG-MATCH"] * 3 + ["SG-RECEIPT"]
    assert len({one.control_id for one in system.received[:3]}) == 1
    assert await states(pool, first.alert_id) == [
        (1, "match", "delivered"),
        (2, "receipt", "delivered"),
    ]


async def test_a_listener_is_claimed_no_more_than_it_has_connections(
    pool: Pool, dispatching: Dispatching
) -> None:
    """Many matches wait for one slow listener: one is claimed at a time, the others cost no
    attempt, and all arrive.
    """
    system = HospitalSystem(slow_seconds=0.05)
    system.misbehave("slow")
    rows = [await raise_alert(pool) for _ in range(5)]
    async with listening(system) as port:
        directory = directory_of()
        directory.endpoints["contact"] = Endpoint(name="contact", url=f"mllp://127.0.0.1:{port}")
        await add(pool, *(delivery(row, destination="contact", kind="match") for row in rows))
        await dispatching(directory, quick(), hears=True)

        async def delivered() -> bool:
            found = [await states(pool, row.alert_id) for row in rows]
            return found == [[(1, "match", "delivered")]] * 5

        await aeventually(delivered)
    assert system.connections == 1
    assert len(system.received) == 5


async def test_the_practice_hospital_shows_and_steers_over_http(tmp_path: Path) -> None:
    """`halyard sandbox hospital`: GET /received, POST /sandbox/faults, and a journal on disc."""
    system = HospitalSystem(journal_path=tmp_path / "hospital.jsonl")
    ports = free_ports(2)
    stub = Stub()
    work = asyncio.create_task(
        run_hospital(
            cast("Service", stub), Settings(), port=ports[0], control_port=ports[1], system=system
        )
    )
    await aeventually(lambda: stub.ready or work.done())
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[1]}") as http,
        Hl7v2Sender(timeout_seconds=2) as sender,
    ):
        assert (await http.post("/sandbox/faults", json={"mode": "sulk"})).status_code == 422
        await http.post("/sandbox/faults", json={"mode": "ae", "count": 1})
        message = match()
        assert await sender.send(target(ports[0]), message) == Refused("ack-ae")
        shown = (await http.get("/received", params={"kind": "SG-MATCH"})).json()["received"]
        assert [(one["answer"], one["version"]) for one in shown] == [("ae", 1)]
        assert (await http.get("/received", params={"kind": "SG-RECEIPT"})).json()["received"] == []
        assert (await http.get("/livez")).status_code == 200
    stub.stopping.set()
    await work
    assert len((tmp_path / "hospital.jsonl").read_text().splitlines()) == 1
