"""The bus key is changed by drain, on a real Kafka and PostgreSQL, and nobody's state is torn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from halyard.kafka import Record, make_producer, produce
from halyard.postgres import make_pool
from halyard.privacy import Keys, key_id, load_keys
from halyard.service import Service
from halyard.settings import DatabaseSettings, Settings
from sandbox.pds.server import PdsThread
from schemas.events import AttendanceReported, FlagSubmitted, PersonClaim
from stores import bus_key
from stores.bus_key import OtherBusKey
from streams.identity import process as identity_process
from streams.matching import process as matching_process
from streams.tracer import process as tracer_process
from tests.integration.identity.test_processes import DIRECTORY, settings_for
from tests.integration.keys.conftest import Commands
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.services import Database
from tests.support.waiting import aeventually

Event = AttendanceReported | FlagSubmitted
_ENDPOINT = """[[endpoint]]
name = "la"
url = "http://127.0.0.1:1/"
secret = "la"  # pragma: allowlist secret
"""

NOW = datetime.now(UTC)  # what is older than two days is not compared any more

FIRST = (
    make.flag(received_at=NOW),
    make.attendance(local_id="L1", visit="V1", message_id="m1", received_at=NOW),
    make.attendance(PersonClaim(), local_id="L2", visit="V2", message_id="m2", received_at=NOW),
)
# nothing but its key says whose the first is; the second says that both ids are one patient's
LATER = (
    make.attendance(PersonClaim(), local_id="L1", visit="V3", message_id="m3", received_at=NOW),
    replace(make.merge("L2", "L1", message_id="m4"), received_at=NOW),
)


def under(keys: Keys, event: Event) -> Event:
    """`event` as ingress with these keys makes it."""
    local = event.claim.local_id if event.claim else None
    person = keys.source_person(event.source, local, None, None)
    if isinstance(event, AttendanceReported) and event.merged_patient is not None:
        gone = keys.source_person(event.source, "L2", None, None)
        return replace(event, source_person=person, merged_person=gone)
    return replace(event, source_person=person)


class System:
    """Identity, tracer and matching as processes, on topics and a database of their own."""

    def __init__(self, settings: Settings, database: Database, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.database = database
        self._producer = producer
        self.services: dict[str, Service] = {}
        self.running: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """All three, with the keys that the secrets file has now."""
        for module, name in (
            (identity_process, "identity"),
            (tracer_process, "tracer"),
            (matching_process, "matching"),
        ):
            service = self.services[name] = Service(name, self.settings)
            run: Coroutine[Any, Any, None] = module.run(service, self.settings)
            self.running[name] = asyncio.create_task(run)

    async def stop(self) -> None:
        """All that run."""
        for service in self.services.values():
            service.stopping.set()
            await service.cancel_parts()
        await asyncio.wait_for(asyncio.gather(*self.running.values(), return_exceptions=True), 30)
        self.running = {}

    async def put(self, *events: Event) -> None:
        """What ingress with the present keys writes."""
        keys = load_keys(self.settings.security)
        taken = [make.incoming(under(keys, event)) for event in events]
        records = [Record(one.topic, one.key, one.value, one.headers) for one in taken]
        results = await produce(self._producer, self.settings, records)
        assert not [one for one in results if isinstance(one, Exception)]

    async def decided(self, count: int) -> None:
        """So many events are decided, and matching knows what identity said of them."""

        async def done() -> bool:
            found = rows(
                self.database,
                "select (select count(*) from claims),"
                "(select count(*) from claims where state in ('waiting', 'provisional')),"
                "(select count(*) from outbox where published_at is null),"
                "(select count(*) from outbox where topic like '%verified%')"
                " - (select count(*) from inbox where stage = 'matching')",
            )
            return found == [(count, 0, 0, 0)]

        await aeventually(done, 60, why=f"{count} events decided and told")


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Rows as the owner reads them."""
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("set search_path = halyard")
        return connection.execute(query).fetchall()


def state(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What stands of the child."""
    return {
        "claims": rows(
            database, "select reported_event_id, key, state, rule, person from claims order by 1"
        ),
        "visits": rows(
            database, "select visit_id, source_patient, person, state from visits order by 1"
        ),
        "flags": rows(database, "select authority, person, plan_type from flags order by 1, 2, 3"),
        "alerts": rows(
            database, "select alert_id, person, state, visit_ids from alerts order by alert_id"
        ),
    }


@asynccontextmanager
async def system(settings: Settings, database: Database) -> AsyncIterator[System]:
    """A system; what runs is stopped at the end."""
    producer = make_producer(settings, client_id="test")
    await producer.start()
    made = System(settings, database, producer)
    try:
        yield made
    finally:
        await made.stop()
        await producer.stop()


def prepared(
    bootstrap: str, namespace: str, database: Database, pds: PdsThread, folder: Path
) -> Settings:
    """Settings with a directory that matching can use."""
    folder.mkdir()
    settings = settings_for(bootstrap, namespace, database, pds, folder)
    text = DIRECTORY.replace('name = "Authority"', 'name = "Authority"\nalert_endpoint = "la"')
    settings.directory_file.write_text(text + _ENDPOINT)
    return settings


@pytest.fixture
def pds() -> Iterator[PdsThread]:
    """A practice PDS that knows the child."""
    with PdsThread([person_of(CHILD)]) as thread:
        yield thread


@pytest.fixture
def rotating(
    keys: Commands,
    kafka_bootstrap: str,
    namespace: str,
    pds: PdsThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings of a system whose key the commands change."""
    settings = prepared(kafka_bootstrap, namespace, keys.database, pds, tmp_path / "a")
    file = settings.security.secrets_file
    assert file is not None
    keys.file = file
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(file))
    monkeypatch.setenv("HALYARD_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HALYARD_KAFKA__NAMESPACE", namespace)
    return settings


async def rotated(keys: Commands) -> Any:
    """What `halyard keys rotate bus` says, beside the system that runs."""
    return await asyncio.to_thread(keys, "keys", "rotate", "bus", "--reason", "drill", "--json")


async def test_a_person_with_events_before_and_after_ends_as_without_a_change(
    keys: Commands,
    rotating: Settings,
    pds: PdsThread,
    make_database: Callable[[], Database],
) -> None:
    """Flag and arrivals, then the change, then an event that only its key names and a merge:
    claims, visits and alerts are as in a hub whose key was never changed. Processes with the old
    key end by themselves, and the change stands in the audit chain.
    """
    before = load_keys(rotating.security)
    async with system(rotating, keys.database) as hub:
        hub.start()
        await hub.put(*FIRST)
        await hub.decided(len(FIRST))

        async def done() -> bool:
            result = await rotated(keys)
            if result.exit_code:  # offsets are committed a moment after the decision
                assert "records to take" in str(result.exception)
            return bool(result.exit_code == 0)

        await aeventually(done, 30, 0.1, why="rotated")
        after = load_keys(rotating.security)
        assert after.bus != before.bus
        assert (after.store, after.retired) == (before.store, {before.bus_id: before.bus})
        assert after.was_digest(before.bus_id, b"x") == before.digest(b"x")
        tracer = hub.services["tracer"].until_part_dies()
        with pytest.raises(OtherBusKey):
            await asyncio.wait_for(tracer, 10)
        await hub.put(*LATER)
        with pytest.raises(OtherBusKey):
            await asyncio.wait_for(hub.running["identity"], 10)
        await hub.stop()
        hub.start()
        await hub.decided(len(FIRST + LATER))
    world = World(make_database(), pds)
    world.now = NOW
    await world.open()
    try:
        plain = BothStages(world)
        await plain.take(*FIRST)
        await plain.trace()
        await plain.take(*LATER)
        assert state(keys.database) == state(world.database)
    finally:
        await world.close()
    found = state(keys.database)
    assert {row[2] for row in found["visits"]} == {make.known(CHILD).person}
    assert (len(found["visits"]), len(found["alerts"])) == (3, 1)
    (entry,) = (one for one in keys.entries() if one["rule"] == "keys.bus")
    assert (entry["reason"], entry["detail"]) == (
        "drill",
        {"before": before.bus_id, "after": after.bus_id},
    )


async def test_a_change_is_refused_while_anything_is_under_way(
    keys: Commands, rotating: Settings
) -> None:
    """Each reason is named: lag, outbox, parked records, traces, ingress that runs."""
    file = keys.file.read_bytes()
    async with system(rotating, keys.database) as hub:
        await hub.put(*FIRST)  # and nobody takes them
        with psycopg.connect(keys.database.owner_url) as connection:
            connection.execute("set search_path = halyard")
            connection.execute(
                "insert into outbox (lane, topic, key, headers, value, event_id, parked_at) values "
                "(1, 't', 'k', '[]', '', gen_random_uuid(), null),"
                "(1, 't', 'k', '[]', '', gen_random_uuid(), now())"
            )
            connection.execute(
                "insert into parked_keys (key, trace_id) values ('k', gen_random_uuid())"
            )
        pool = make_pool(rotating, name="serve", size=1)
        await pool.open()
        try:
            done = await rotated(keys)
        finally:
            await pool.close()
    said = str(done.exception)
    for text in (
        "serve runs: stop it",
        "identity has 3 records to take",
        "1 records wait in the outbox",
        "1 records of the outbox are parked",
        "1 patients' events wait for a trace",
    ):
        assert text in said
    assert keys.file.read_bytes() == file
    assert keys.entries() == []


async def test_a_change_that_was_broken_off_is_finished_by_the_next_run(
    keys: Commands, rotating: Settings
) -> None:
    """The file has the new key and the old one, the database still the old id: nothing starts, and
    the next run switches without making a third key.
    """
    before = load_keys(rotating.security)
    assert json.loads((await rotated(keys)).stdout)["before"] == before.bus_id
    after = load_keys(rotating.security)
    with psycopg.connect(keys.database.owner_url) as connection:
        connection.execute("update halyard.bus_key set key_id = %s", (before.bus_id,))
    with pytest.raises(OtherBusKey):
        await identity_process.run(Service("identity", rotating), rotating)
    again = json.loads((await rotated(keys)).stdout)
    assert (again["before"], again["after"], again["finished"]) == (
        before.bus_id,
        after.bus_id,
        True,
    )
    assert load_keys(rotating.security) == after


async def test_a_key_of_somebody_else_is_refused(
    keys: Commands, rotating: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secrets file that the system does not use changes nothing; a new key that was a key before
    is none.
    """
    await rotated(keys)
    old = next(iter(keys.table()["retired"].values()))
    used = tmp_path / "used.hex"
    used.write_text(old)
    used.chmod(0o600)
    arguments = ("keys", "rotate", "bus", "--reason", "x", "--new-key-file", str(used))
    done = await asyncio.to_thread(keys, *arguments)
    assert "no new key" in str(done.exception)
    other = tmp_path / "other.toml"
    other.write_text(f'bus_key = "{"c3" * 32}"\nstore_key = "{"d4" * 32}"\n')
    other.chmod(0o600)
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(other))
    assert "not the one in use" in str((await rotated(keys)).exception)


async def test_a_key_with_a_place_of_its_own_is_changed_from_a_file(
    keys: Commands, rotating: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this command cannot write, it switches to the key that will be put in place."""
    monkeypatch.setenv("HALYARD_SECURITY__BUS_KEY", "c3" * 32)
    assert "--new-key-file" in str((await rotated(keys)).exception)
    new = tmp_path / "new.hex"
    new.write_text("ab" * 32)
    new.chmod(0o600)
    arguments = ("keys", "rotate", "bus", "--reason", "x", "--new-key-file", str(new), "--json")
    done = await asyncio.to_thread(keys, *arguments)
    assert json.loads(done.stdout)["after"] == key_id(bytes.fromhex("ab" * 32))
    assert "c3" * 32 not in keys.printed
    assert "ab" * 32 not in keys.printed


async def test_ingress_needs_no_database_and_ends_when_the_key_was_changed(
    keys: Commands, rotating: Settings
) -> None:
    """Taking in goes on without a database; with one, another key ends it within a moment, and
    meanwhile the command sees it run.
    """
    mine = load_keys(rotating.security).bus_id
    away = rotating.model_copy(
        update={
            "database": DatabaseSettings.model_validate(
                {"url": "postgresql://halyard_app@127.0.0.1:1/none"}
            )
        }
    )
    lost = bus_key.FromIngress(away, "connector-hl7v2", mine)
    await bus_key.at_start(lost.check)
    ingress = bus_key.FromIngress(rotating, "connector-hl7v2", mine)
    try:
        await ingress.check()
        assert "connector-hl7v2 runs: stop it" in str((await rotated(keys)).exception)
        with psycopg.connect(keys.database.owner_url) as connection:
            connection.execute("update halyard.bus_key set key_id = 'other'")
        with pytest.raises(OtherBusKey):
            await asyncio.wait_for(bus_key.watch(ingress.check), 10)
    finally:
        await ingress.close()
