"""``python -m bench.identity``: what the identity ladder costs, with and without PDS.

On a PostgreSQL of its own that goes with the bench; the bus is a counter. First arrivals of people
whom the local index knows, beside a bare loop that decodes the same events and runs the same
statements, but decides nothing; with few people known, and with many. Then a mix of arrivals, most
of whom nobody knows, against a practice PDS that takes 50 ms for each answer, in a process of its
own. Prints events for each CPU second of this process (one core) and of PostgreSQL, calls to PDS
for 1,000 events, and memory, and writes them to docs/performance.md. Exits 1 if an event did not
end as it must.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import psycopg

from bench import command
from bench.cpu import cpu_seconds, own_seconds
from bench.identity_load import KEYS, TOKEN, TRACE, arrivals, calls_of, practice_pds
from bench.identity_report import BEGIN, END, FEW, render
from bench.known import batched, warm
from bench.memory import memory
from connectors.pds.client import PdsClient
from halyard import telemetry
from halyard.clock import system_clock
from halyard.embedded.postgres import EmbeddedPostgres
from halyard.errors import TransientError
from halyard.kafka import Incoming, Record
from halyard.postgres import Pool, make_pool, migrate, one, transaction
from halyard.provisioning import provision
from halyard.settings import DatabaseSettings, PdsSettings, Settings
from policies.desk import open_desk
from sandbox.pds.people import Person, generate
from schemas import codec
from schemas.events import (
    Assertion,
    AttendanceReported,
    NhsNumberStatus,
)
from stores import claims, identities, inbox, outbox
from stores.claims import ClaimRow, ClaimState
from stores.directory import Directory
from streams.identity import outputs
from streams.identity.agent import STAGE, IdentityStage
from streams.identity.changes import limits_of
from streams.identity.evidence import evidence_in
from streams.tracer.release import Releaser
from streams.tracer.tracer import Tracer

BATCH: Final = 500
SIZES: tuple[command.Size, ...] = (
    ("people", int, "people whom the local index knows"),
    ("events", int, "arrivals of each run of them"),
    ("unknown", int, "people of the mix about whom PDS is asked"),
    ("calls", float, "calls to PDS a second that the mix may make"),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    people: int = 300_000
    events: int = 10_000
    unknown: int = 2_000
    calls: float = 400.0


_DIRECTORY: Final = Directory({}, (), {}, {}, ())


T = TypeVar("T")


class Wrong(TransientError):
    """An event did not end as it must; nothing that was measured counts."""


class Bus:
    """Counts what would be sent."""

    sent = 0

    async def send(self, records: Sequence[Record]) -> list[bool]:
        """All of it arrives."""
        self.sent += len(records)
        return [True] * len(records)


class Meter:
    """CPU of this process and of the database's server, by part."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.results: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str, events: int) -> Iterator[None]:
        """Measure what is done inside, for so many events."""
        wall, own, server = time.perf_counter(), own_seconds(), self._spent()
        yield
        seconds = time.perf_counter() - wall
        own, server = own_seconds() - own, self._spent() - server
        self.results[name] = {
            "events": events,
            "events_per_second": round(events / seconds),
            "events_per_cpu_second": round(events / own),
            "cpu_ms_per_1000": round(own / events * 1e6),
            "postgres_cpu_ms_per_1000": round(server / events * 1e6),
            "memory_mib": memory(os.getpid()),
        }

    def _spent(self) -> float:
        return cpu_seconds({"server": self._server})["server"]


async def _know(pool: Pool, people: Sequence[Person], now: datetime) -> None:
    """The local index holds them, as if PDS had verified them a moment ago."""
    await warm(pool, KEYS, people, now)
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("analyze identities")
        await connection.set_autocommit(False)


async def _bare(pool: Pool, batch: Sequence[Incoming], bus: Bus, settings: Settings) -> None:
    """The same decoding, statements and bytes as a batch of local hits, without a decision."""
    limits, now = limits_of(settings, KEYS, _DIRECTORY), system_clock()
    events = [codec.decode_as(AttendanceReported, record.value) for record in batch]
    async with transaction(pool) as connection:
        await inbox.take(connection, STAGE, [event.event_id for event in events])
        known = {
            one.person: one
            for one in await identities.known(
                connection,
                persons=[KEYS.person(str(event.claim.nhs_number)) for event in events],
                demographics=[],
            )
        }
        rows, entries = [], []
        for event in events:
            evidence = evidence_in(event, keys=limits.keys, profile=limits.profile)
            person = known[str(evidence.number_token)]
            value = codec.encode(replace(event, message=b""))
            rows.append(
                ClaimRow(
                    reported_event_id=event.event_id,
                    key=event.source_patient,
                    event_kind="attendance",
                    visit_id=event.visit_id,
                    state=ClaimState.VERIFIED,
                    rule="local-index",
                    indicator=NhsNumberStatus.VERIFIED,
                    received_at=event.received_at,
                    decided_at=now,
                    traceparent=TRACE,
                    person=person.person,
                    revision=1,
                    number_token=evidence.number_token,
                    demographic_token=evidence.demographic_token,
                    event=value,
                )
            )
            said = outputs.Statement(
                1,
                Assertion.ASSERTED,
                person,
                ClaimState.VERIFIED,
                NhsNumberStatus.VERIFIED,
                "local-index",
                "local-index",
                now,
                event.source_patient,
            )
            entries.append(outputs.verified_entry(KEYS, rows[-1], event, said))
        await claims.put(connection, rows)
        lanes = await outbox.add(connection, entries)
    await outbox.publish_lanes(pool, bus.send, lanes)


class Bench:
    """One run against one database and one practice PDS."""

    def __init__(self, pool: Pool, owner: str, settings: Settings, meter: Meter, bus: Bus) -> None:
        self._pool, self._owner = pool, owner
        self._settings, self._meter, self._bus = settings, meter, bus
        self._stage = IdentityStage(pool, KEYS, settings, _DIRECTORY, bus.send, system_clock)

    async def hits(self, name: str, people: Sequence[Person]) -> None:
        """Arrivals of people who are known: the ladder, then the bare loop."""
        for run, bare in (("warm", False), (name, False), (f"{name}, bare loop", True)):
            some = people[: len(people) // 10] if run == "warm" else people
            records = list(arrivals(some, f"{name}-{run}"))
            with self._meter.part(run, len(records)):
                for batch in batched(records, BATCH):
                    if bare:
                        await _bare(self._pool, batch, self._bus, self._settings)
                    else:
                        await self._stage.process(list(batch))
            await self._must_be("verified", len(records))
        del self._meter.results["warm"]

    async def traced(self, known: Sequence[Person], unknown: Sequence[Person]) -> None:
        """Three messages each of people of whom some are known; PDS is asked about the rest."""
        records = list(arrivals([*known, *unknown], "mix", messages=3))
        with self._meter.part("mix, taken in", len(records)):
            for batch in batched(records, BATCH):
                await self._stage.process(list(batch))
        limits = limits_of(self._settings, KEYS, _DIRECTORY)
        client = PdsClient(
            self._settings.pds.base_url,
            token=TOKEN,
            end_user_organisation="RX1",
            profile="test",
        )
        desk = open_desk(None, _DIRECTORY, KEYS, "process:tracer")
        releaser = Releaser(self._pool, limits, desk, self._bus.send, system_clock)
        tracer = Tracer(
            self._pool, self._settings.pds, lambda _: client, {"claims": releaser.release}
        )
        waiting = 3 * len(unknown)
        stopping = asyncio.Event()
        with self._meter.part("mix, traced and released", waiting):
            work = asyncio.create_task(tracer.run(stopping))
            while await self._live():
                await asyncio.wait({work}, timeout=0.05)
            stopping.set()
            await work
        await client.aclose()
        await self._must_be("verified", len(records))

    async def _live(self) -> bool:
        query = "select exists (select from trace_requests where state in ('queued', 'leased'))"
        async with transaction(self._pool) as connection:
            return bool(one(await (await connection.execute(query)).fetchone())["exists"])

    async def _must_be(self, state: str, amount: int) -> None:
        query = "select state, rule, count(*) as amount from claims group by 1, 2 order by 3 desc"
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(query)).fetchall()
        if sum(row["amount"] for row in rows if row["state"] == state) != amount:
            ends = ", ".join(f"{row['amount']} {row['state']} ({row['rule']})" for row in rows)
            raise Wrong(f"{amount} events should be {state}: {ends}")
        self.clear()

    def clear(self) -> None:
        """Forget events, so that each part starts on the same tables."""
        with psycopg.connect(self._owner, autocommit=True) as connection:
            connection.execute("truncate halyard.claims, halyard.inbox, halyard.outbox")
            connection.execute("vacuum analyze")


async def measure(
    urls: tuple[str, str],
    server: int,
    pds: str,
    people: Sequence[Person],
    sizes: Sizes,
) -> Mapping[str, dict[str, float]]:
    """All parts."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": urls[1], "pool_size": 10}),
        pds=PdsSettings.model_validate(
            {"base_url": pds, "token": TOKEN, "calls_per_second": sizes.calls}
        ),
    )
    known, unknown = people[: sizes.people], people[sizes.people :]
    meter, bus = Meter(server), Bus()
    async with make_pool(settings, name="bench", size=10) as pool:
        bench = Bench(pool, urls[0], settings, meter, bus)
        now = system_clock()
        for name, amount in (("few known", min(FEW, sizes.people)), ("many known", sizes.people)):
            await _know(pool, known[:amount], now)
            # the last of them: they are known in both runs, and nobody arrives twice
            await bench.hits(name, known[max(0, amount - sizes.events) : amount])
        await bench.traced(known[: sizes.unknown], unknown)
        calls = calls_of(pds)
        meter.results["calls"] = {
            "calls": calls,
            "calls_per_1000_events": round(calls / (6 * sizes.unknown) * 1000, 1),
        }
    return meter.results


def _server(admin: str) -> int:
    """The process of PostgreSQL's server."""
    with psycopg.connect(admin, autocommit=True) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        stat = Path(f"/proc/{row[0]}/stat").read_text("ascii")
        return int(stat.rpartition(")")[2].split()[1])


def _database(place: Path, work: Callable[[str, str, str], T]) -> T:
    """`work` with a server (admin, owner and app URL): one of its own that goes afterwards."""
    server = EmbeddedPostgres(place / "postgres")
    server.start()
    try:
        owner, url = provision(
            server.admin_url,
            database="bench",
            owner_password=secrets.token_urlsafe(12),
            app_password=secrets.token_urlsafe(12),
        )
        migrate(owner)
        return work(server.admin_url, owner, url)
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    chosen = command.options("bench.identity", __doc__, arguments, sizes=SIZES, defaults=Sizes())
    where = command.setting(chosen)
    sizes = Sizes(chosen.people, chosen.events, chosen.unknown, chosen.calls)
    people = list(generate(sizes.people + sizes.unknown, 1))
    telemetry.configure("bench", "WARNING")
    with command.place(chosen) as place:

        def work(admin: str, owner: str, url: str) -> Mapping[str, dict[str, float]]:
            process, pds = practice_pds(people[sizes.people :], place)
            try:
                return asyncio.run(measure((owner, url), _server(admin), pds, people, sizes))
            finally:
                process.terminate()
                process.wait(10)

        figures = _database(place, work)
    return command.finish(
        chosen, where, render(figures, sizes, where), dict(figures),
        markers=(BEGIN, END), whole=True,
    )  # fmt: skip


if __name__ == "__main__":
    command.run(main)
