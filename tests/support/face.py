"""The HTTP face for tests: a made-up directory, and applications served on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from starlette.types import ASGIApp

from connectors.local_authority.client import HubClient
from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.live import Live, Pace
from halyard import kafka_admin, telemetry
from halyard.caller import Authenticate
from halyard.clock import Clock, system_clock
from halyard.http import listen, serve
from halyard.kafka import qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import Pool, make_pool
from halyard.privacy import Keys
from halyard.settings import DatabaseSettings, HttpSettings, KafkaSettings, Settings
from halyard.settings_tracing import TracingSettings
from policies.desk import Desk, open_desk
from policies.model import Policies
from schemas.topics import ALERT_RECEIPT, FLAG_SUBMITTED, MESSAGE_REJECTED
from stores.directory import Authority, Credential, Directory, Endpoint, Hospital
from tests.support import logs
from tests.support.services import face_url

ROOT = Path(__file__).parents[2]

NORTH, SOUTH, ORDERED = "E99000001", "E99000002", "E99000003"  # authorities
INFIRMARY, CLINIC = "RX901", "RX902"  # hospitals
STRANGER = "ZZ999"  # has a token, but is neither
TOKENS = {
    code: f"practice-token-of-{code}"
    for code in (NORTH, SOUTH, ORDERED, INFIRMARY, CLINIC, STRANGER)
}
CONTACT = "infirmary-contact"

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)


def directory() -> Directory:
    """Three authorities (the last orders its own files), two hospitals."""
    return Directory(
        hospitals={
            INFIRMARY: Hospital(ods=INFIRMARY, name="Infirmary", contact_endpoint=CONTACT),
            CLINIC: Hospital(ods=CLINIC, name="Clinic"),
        },
        feeds=(),
        authorities={
            NORTH: Authority(gss=NORTH, name="North", phone_office="01632 960001"),
            SOUTH: Authority(gss=SOUTH, name="South"),
            ORDERED: Authority(gss=ORDERED, name="Ordered", file_sequence="sender"),
        },
        endpoints={CONTACT: Endpoint(name=CONTACT, url="http://127.0.0.1:9/x", secret="practice")},
        credentials=tuple(
            Credential(organisation=code, sha256=hashlib.sha256(token.encode()).hexdigest())
            for code, token in TOKENS.items()
        ),
    )


def desk_of(known: Directory, policies: Policies | None = None) -> Desk:
    """What a face asks about what may leave."""
    return open_desk(policies, known, KEYS, "process:serve")


def bearer(organisation: str) -> dict[str, str]:
    """The Authorization header of an organisation."""
    return {"Authorization": f"Bearer {TOKENS[organisation]}"}


def settings(
    *,
    bootstrap: str = "127.0.0.1:1",
    namespace: str = "",
    database_url: str = "postgresql://nobody@127.0.0.1:1/none",
    request_timeout: float = 10.0,
    **http: Any,
) -> Settings:
    """Settings of a face; by default nothing stands behind it."""
    return Settings(
        kafka=KafkaSettings(
            bootstrap_servers=bootstrap,
            namespace=namespace,
            request_timeout_seconds=request_timeout,
        ),
        database=DatabaseSettings.model_validate({"url": database_url, "pool_size": 8}),
        http=HttpSettings.model_validate({"database_url": face_url(database_url), **http}),
        # nobody answers here, if the test brings no tracer
        tracing=TracingSettings(person_wait_seconds=0),
    )


@contextlib.contextmanager
def real_logs() -> Iterator[None]:
    """Log as a process does (JSON lines on standard error), and leave no trace of it.

    As `halyard.telemetry.configure`, but pytest keeps its own handlers, and no logger is cached: it
    would outlive this test and write to its captured file.
    """
    root, handler = logging.getLogger(), telemetry._LibraryHandler()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            telemetry._without_exception_text,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever it is by then
        cache_logger_on_first_use=False,
    )
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        structlog.reset_defaults()
        logs.plain()
        structlog.contextvars.clear_contextvars()


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The base URL of `app`, served by the real server on a free port."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    stopping, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(app, listener, stopping, on_ready=ready.set, grace_seconds=1))
    try:
        async with asyncio.timeout(10):
            await ready.wait()
        yield f"http://127.0.0.1:{port}"
    finally:
        stopping.set()
        await task
        listener.close()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An HTTP answer read by hand."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def raw(base_url: str, request: bytes, *, seconds: float = 10.0) -> RawAnswer:
    """Send exactly these bytes and read one answer; nothing of an HTTP library in between."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(seconds):
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return RawAnswer(int(head[0].split(" ")[1]), headers, body)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def flag(**columns: Any) -> dict[str, Any]:
    """A good line of a flag file, with made-up values; None drops a column."""
    line = {
        "nhs_number": "9990000018",
        "family": "Testfield",
        "given": "Robin",
        "birth_date": "2017-03-04",
        "plan_type": "CPP",
        "start": "2025-01-06",
        "local_id": "C-1",
        "phone_office": "01632 960001",
        "phone_emergency": "01632 960002",
    }
    return {name: value for name, value in {**line, **columns}.items() if value is not None}


def lines(*records: Mapping[str, Any] | bytes) -> bytes:
    """A flag file of these records; bytes stand as they are."""
    return b"".join(
        (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in records
    )


@dataclass(slots=True)
class Hub:
    """A face on a real bus (and a real database, if one was given), served on loopback.

    It works with the rights of its own role; `pool` is the app role's, for tests to look and write.
    """

    settings: Settings
    url: str
    bus: Bus
    pool: Pool
    lists: Live
    asking: Pool  # with which it serves

    def client(self, organisation: str) -> HubClient:
        """A client with the token of `organisation`; use it as a context manager."""
        return HubClient(self.url, TOKENS[organisation])

    async def records(self, topic: str) -> list[ConsumerRecord]:
        """Everything that stands on `topic` now."""
        return await topic_records(self.settings, topic)


async def topic_records(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Everything that stands on `topic` now, partition by partition."""
    consumer = AIOKafkaConsumer(
        qualified(settings, topic),
        bootstrap_servers=settings.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for some in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(some)
        return found
    finally:
        await consumer.stop()


def make_topics(settings: Settings) -> None:
    """The topics that a face writes."""
    kafka_admin.apply(
        settings.kafka.bootstrap_servers,
        [
            TopicSpec(qualified(settings, name), partitions, 1)
            for name, partitions in ((FLAG_SUBMITTED, 3), (MESSAGE_REJECTED, 1), (ALERT_RECEIPT, 1))
        ],
    )


@contextlib.asynccontextmanager
async def hub(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    connect: bool = True,
    pace: Pace = Pace(poll=0.05),  # noqa: B008 - frozen
    known: Directory | None = None,
    policies: Policies | None = None,
    door: Authenticate | None = None,
) -> AsyncIterator[Hub]:
    """The face with these settings; `connect` False leaves the broker away for ever. `known` is its
    directory (`directory()`, if not given), `policies` its sharing policies (the package's), `door`
    lets people in (practice tokens are systems).
    """
    known = known or directory()
    pool = make_pool(settings, name="test")
    asking = make_pool(settings, name="test-face", schema="face")
    publisher = make_pool(settings, name="test-publisher", size=2, schema="face", publishes=True)
    bus = Bus(settings, client_id="test")
    stopping = asyncio.Event()
    try:
        if "127.0.0.1:1/" not in settings.database.url.get_secret_value():
            for one in (pool, asking, publisher):
                await one.open()
        if connect:
            await asyncio.to_thread(make_topics, settings)
            await bus.connect(stopping)
        lists = Live(asking, desk_of(known, policies), stopping, pace)
        app = create_app(
            settings,
            asking,
            KEYS,
            known,
            bus,
            clock,
            live_lists=lists,
            publisher=publisher,
            policies=policies,
            door=door,
        )
        async with served(app) as url:
            yield Hub(settings, url, bus, pool, lists, asking)
            stopping.set()  # or the live lists would be waited for
    finally:
        stopping.set()
        await bus.stop()
        for one in (publisher, asking, pool):
            await one.close()


def environment(settings: Settings, place: Path, **extra: str) -> dict[str, str]:
    """Variables of `halyard serve` as a process; writes its directory and secrets to `place`."""
    (place / "directory.toml").write_text(directory_toml())
    secrets = place / "secrets.toml"
    secrets.write_text(f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n')
    secrets.chmod(0o600)
    return {
        "PYTHONPATH": str(ROOT),
        "HALYARD_DATA_DIR": str(place),
        "HALYARD_DIRECTORY_FILE": str(place / "directory.toml"),
        "HALYARD_SECURITY__SECRETS_FILE": str(secrets),
        "HALYARD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HALYARD_KAFKA__NAMESPACE": settings.kafka.namespace,
        "HALYARD_DATABASE__URL": settings.database.url.get_secret_value(),
        "HALYARD_HTTP__DATABASE_URL": settings.http.database_url.get_secret_value(),
        "HALYARD_HTTP__PORT": "0",
        **extra,
    }


def directory_toml() -> str:
    """`directory()` as the file that processes read."""
    made = directory()
    parts = (
        ("hospital", made.hospitals.values()),
        ("authority", made.authorities.values()),
        ("endpoint", made.endpoints.values()),
        ("credential", made.credentials),
    )
    return "\n".join(
        f"[[{name}]]\n"
        + "".join(
            f"{key} = {json.dumps(value)}\n"
            for key, value in entry.model_dump(exclude_none=True).items()
            if value != {}
        )
        for name, entries in parts
        for entry in entries
    )
