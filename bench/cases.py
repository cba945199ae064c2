"""``python -m bench.cases``: notifications of deaths from HTTP, or the topic, to the NCMD store.

The whole system is started; the children are in its local index already, so that PDS is asked only
about those whose number is missing or wrong. Many cases are copies that the database makes of those
that came through the system. Prints tables and writes them to docs/performance.md. Exits 0 if every
notification became a case in the store.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Final

import httpx
from aiokafka import AIOKafkaProducer

from bench import command
from bench.cases_report import BEGIN, END, render
from bench.copies import add_copies
from bench.cpu import cpu_seconds, own_seconds
from bench.echo import run_echo
from bench.known import warm
from bench.load import on_schedule
from bench.memory import forget_peak, memory
from bench.quantiles import Latency, latency
from bench.workload import BROKER, DATABASE, SENDER
from halyard.cli import practice
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError, TransientError
from halyard.ids import derive
from halyard.kafka import Record, make_producer, produce
from halyard.postgres import Pool, load_queries, make_pool, one, transaction
from halyard.privacy import load_keys
from sandbox.deaths.feeding import by_source, notified, record
from sandbox.deaths.population import Labelled, generate
from schemas.deaths import DeathNotified
from stores.directory import load_directory

WATCHED: Final = ("cases", "connector-ncmd")  # their memory
CONNECTIONS: Final = 8
PATH: Final = "/fhir/R4/$process-message"
_CHUNK: Final = 1_000
_ASK_SECONDS: Final = 0.2
_STILL_SECONDS: Final = 120.0
_SQL = load_queries("bench", "cases.sql")

SIZES: tuple[command.Size, ...] = (
    ("http", int, "notifications over HTTP, as fast as they are answered"),
    ("rate", float, "notifications a second over HTTP, in a phase of its own"),
    ("seconds", float, "length of that phase"),
    ("topic", int, "notifications at the topic, with few and with many cases in the store"),
    ("held", int, "cases in the store at the end, most of them copies"),
)


class NotMeasured(TransientError):
    """The system did not take every notification; see its logs, and measure again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    http: int = 500
    rate: float = 5.0
    seconds: float = 30.0
    topic: int = 3_000
    held: int = 100_000

    def count(self) -> int:
        """Notifications of all phases; the rest of `held` is copied."""
        return self.http + round(self.rate * self.seconds) + 2 * self.topic


@dataclass(slots=True)
class Phase:
    """Some notifications from the first that was sent to the last that is in the store. CPU in ms
    for 1,000; memory in MiB at its end, and the most that was held meanwhile."""

    name: str
    notifications: int
    cases_before: int
    sent_per_second: float
    stored_per_second: float
    cpu: dict[str, float]
    memory: dict[str, float]
    peak: dict[str, float]
    stored: Latency | None = None  # at a rate: from the moment it is due to the store


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    wanted: int = 0  # notifications, and copies of their cases
    stored: int = 0
    copied: int = 0
    copying_seconds: float = 0.0
    echo_per_second: float = 0.0
    memory_before: dict[str, float] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Every notification is a case."""
        return 0 < self.wanted == self.stored


class Workload:
    """Measures; afterwards `failure` or the whole of `results` is there."""

    def __init__(self, system: System, plan: Plan, report: command.Report) -> None:
        self.failure: HalyardError | None = None
        self.results = Results()
        self._system, self._plan, self._report = system, plan, report
        self._keys = load_keys(system.data_dir / "secrets.toml")
        self._feeds = by_source(load_directory(system.data_dir / "directory.toml").feeds)
        self._tokens = practice.read_tokens(system.data_dir / "tokens.toml")
        self._expected = 0  # cases

    def run(self) -> None:
        """All of it."""
        try:
            asyncio.run(self._measure())
        except HalyardError as error:
            self.failure = error
        except (httpx.HTTPError, OSError, KeyError, ValueError, TypeError) as error:
            self.failure = NotMeasured(f"The measurement broke off ({type(error).__name__}).")

    async def _measure(self) -> None:
        plan, settings = self._plan, self._system.running_settings()
        bootstrap = self._system.addresses.bootstrap_servers
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap})
        settings = settings.model_copy(update={"kafka": kafka})
        self._report(f"{plan.count():,} notifications are made up")
        population = generate(plan.count(), 1)
        pool = make_pool(settings, name="bench", size=1)
        await pool.open()
        async with pool:
            await warm(pool, self._keys, population.people(), system_clock())
        async with run_echo(bootstrap) as echo:
            self._report("echo")
            count = max(plan.http, 100)
            await echo.at_once(count, 32)  # warm-up
            sent, last = await echo.at_once(count, 32)
            self.results.echo_per_second = round(count / (last - sent.began), 1)
        store = make_pool(settings, name="bench", size=1, schema="ncmd")
        await store.open()
        producer = make_producer(settings, client_id="bench", linger_ms=5)
        await producer.start()
        left = iter(population.notifications)
        self.results.memory_before = self._memory()
        try:
            async with store:
                await self._over_http(store, list(islice(left, plan.http)))
                some = list(islice(left, round(plan.rate * plan.seconds)))
                await self._at_rate(store, some)
                await self._at_topic(store, producer, list(islice(left, plan.topic)), "topic")
                await self._add_copies()
                last_ones = list(islice(left, plan.topic))
                await self._at_topic(store, producer, last_ones, "topic, many cases")
                self.results.stored = await _held(store)
                self.results.wanted = self._expected
        finally:
            await producer.stop()

    async def _over_http(self, store: Pool, some: Sequence[Labelled]) -> None:
        self._report(f"{len(some):,} over HTTP")
        bodies = iter([(one, json.dumps(one.message()).encode()) for one in some])

        async def sender(http: httpx.AsyncClient) -> None:
            for told, body in bodies:
                await self._post(http, told, body)

        async def send() -> None:
            async with self._client() as http:
                await asyncio.gather(*(sender(http) for _ in range(CONNECTIONS)))

        await self._phase(store, "HTTP", len(some), send)

    async def _at_rate(self, store: Pool, some: Sequence[Labelled]) -> None:
        rate = self._plan.rate
        self._report(f"{len(some):,} over HTTP at {rate:g} a second")
        bodies = [json.dumps(one.message()).encode() for one in some]
        moments = [0.0] * len(some)
        posted: list[asyncio.Task[None]] = []

        async def send() -> None:
            async with self._client() as http:

                def one_more(index: int, moment: float) -> None:
                    moments[index] = moment
                    task = self._post(http, some[index], bodies[index])
                    posted.append(asyncio.create_task(task))

                await on_schedule(len(some), rate, one_more)
                await asyncio.gather(*posted)

        await self._phase(store, f"HTTP, {rate:g} a second", len(some), send)
        case_ids = [self._case_id(one) for one in some]
        written = await _written(store, case_ids)
        phase = self.results.phases[-1]
        phase.stored = latency(
            [
                written[case_id].timestamp() - moment
                for case_id, moment in zip(case_ids, moments, strict=True)
            ]
        )

    async def _at_topic(
        self, store: Pool, producer: AIOKafkaProducer, some: Sequence[Labelled], name: str
    ) -> None:
        self._report(f"{len(some):,} at the {name}")
        records = [record(self._event(one)) for one in some]

        async def send() -> None:
            await self._produce(producer, records)

        await self._phase(store, name, len(some), send)

    async def _add_copies(self) -> None:
        """Cases until only those of the last phase are missing."""
        missing = self._plan.held - self._plan.topic - self._expected
        if missing <= 0:
            return
        self._report(f"{missing:,} copies, to have many cases")
        began = time.monotonic()
        await add_copies(self._system.environment["HALYARD_DATABASE__OWNER_URL"], missing)
        self.results.copying_seconds = round(time.monotonic() - began, 1)
        self.results.copied = missing
        self._expected += missing

    async def _phase(
        self, store: Pool, name: str, count: int, send: Callable[[], Awaitable[None]]
    ) -> None:
        for pid in self._pids(WATCHED).values():
            forget_peak(pid)
        before, spent = await _held(store), self._cpu()
        began = time.monotonic()
        await send()
        sent = time.monotonic() - began
        self._expected += count
        await self._until(store, self._expected)
        stored = time.monotonic() - began
        after = self._cpu()
        self.results.phases.append(
            Phase(
                name=name,
                notifications=count,
                cases_before=before,
                sent_per_second=round(count / sent, 1),
                stored_per_second=round(count / stored, 1),
                cpu={one: round((after[one] - spent[one]) / count * 1e6, 1) for one in after},
                memory=self._memory(),
                peak={one: memory(pid, peak=True) for one, pid in self._pids(WATCHED).items()},
            )
        )

    async def _until(self, store: Pool, count: int) -> None:
        """Wait until the store has `count` cases; give up if none comes for long."""
        last, since = -1, time.monotonic()
        while (held := await _held(store)) < count:
            if held != last:
                last, since = held, time.monotonic()
            elif time.monotonic() - since > _STILL_SECONDS:
                raise NotMeasured
            await asyncio.sleep(_ASK_SECONDS)

    async def _produce(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        for start in range(0, len(records), _CHUNK):
            some = records[start : start + _CHUNK]
            sent = await produce(producer, self._system.settings, some)
            if any(isinstance(one, Exception) for one in sent):
                raise NotMeasured

    async def _post(self, http: httpx.AsyncClient, told: Labelled, body: bytes) -> None:
        answer = await http.post(
            PATH,
            content=body,
            headers={
                "Authorization": f"Bearer {self._tokens[told.organisation]}",
                "Content-Type": "application/fhir+json",
            },
        )
        if answer.status_code != httpx.codes.ACCEPTED:
            raise NotMeasured(f"A notification was answered {answer.status_code}, not 202.")

    def _client(self) -> httpx.AsyncClient:
        url = self._system.addresses.api_url
        return httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False)

    def _event(self, told: Labelled) -> DeathNotified:
        return notified(
            told.message(),
            feed=self._feeds[told.source],
            keys=self._keys,
            received_at=told.received_at,
        )

    def _case_id(self, told: Labelled) -> uuid.UUID:
        return derive("case", told.source, self._event(told).source_patient)

    def _pids(self, names: Sequence[str] = ()) -> dict[str, int]:
        supervisor = self._system.supervisor
        return {name: supervisor.pid(name) for name in names or supervisor.names()}

    def _memory(self) -> dict[str, float]:
        return {name: memory(pid) for name, pid in self._pids(WATCHED).items()}

    def _cpu(self) -> dict[str, float]:
        services = {
            BROKER: self._system.service_pid("kafka"),
            DATABASE: self._system.service_pid("postgres"),
        }
        return {**cpu_seconds({**self._pids(), **services}), SENDER: own_seconds()}


async def _held(store: Pool) -> int:
    async with transaction(store) as connection:
        row = await (await connection.execute(_SQL["held"])).fetchone()
    return int(one(row)["amount"])


async def _written(store: Pool, case_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, datetime]:
    async with transaction(store) as connection:
        cursor = await connection.execute(_SQL["written"], {"case_ids": list(case_ids)})
        return {row["case_id"]: row["written_at"] for row in await cursor.fetchall()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    chosen = command.options("bench.cases", __doc__, arguments, sizes=SIZES, defaults=Plan())
    plan = Plan(**{one.name: getattr(chosen, one.name) for one in fields(Plan)})
    where, say = command.setting(chosen), command.reporter(chosen)
    with command.place(chosen) as place:
        workload = command.beside_system(place, say, lambda system: Workload(system, plan, say))
    if workload.failure is not None:
        return command.failed(workload.failure)
    return command.finish(
        chosen,
        where,
        render(workload.results, where),
        {"plan": asdict(plan), **asdict(workload.results)},
        markers=(BEGIN, END),
        whole=workload.results.whole,
    )


if __name__ == "__main__":
    command.run(main)
