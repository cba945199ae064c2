"""Identity and tracer on a real PostgreSQL and a practice PDS; the bus is a list."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString

from connectors.pds.client import PdsClient
from halyard.kafka import Record
from halyard.postgres import Connection, lock_id, make_pool, transaction
from halyard.settings import DatabaseSettings, PdsSettings, Settings
from policies.desk import open_desk
from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import Faults
from schemas.changes import PersonChanged
from stores.directory import Directory, Hospital
from stores.trace_requests import TracePurpose
from streams.identity.agent import IdentityStage
from streams.identity.changes import limits_of
from streams.identity.evidence import Reported
from streams.tracer.rechecks import Rechecker
from streams.tracer.release import Releaser
from streams.tracer.resolutions import Resolver
from streams.tracer.tracer import Release, Tracer
from tests.support import identity as make
from tests.support.services import Database
from tests.support.waiting import aeventually


class World:
    """See the module. `sent` is what reached the bus, in order; `now` is the hub's clock."""

    def __init__(
        self,
        database: Database,
        pds: PdsThread,
        *,
        calls_per_second: float = 500,
        breaker_seconds: float = 0.3,
    ) -> None:
        self.database = database
        self.pds = pds
        self.sent: list[Record] = []
        self.broker_up = True
        self.now = make.NOW
        self.settings = Settings(
            database=DatabaseSettings(url=database.url, pool_size=8),
            pds=PdsSettings(
                base_url=pds.url,
                token="practice-token",  # pragma: allowlist secret
                calls_per_second=calls_per_second,
                breaker_seconds=breaker_seconds,
                lease_seconds=30,
            ),
        )
        self.limits = limits_of(self.settings, make.KEYS, make.directory())
        self.desk = open_desk(None, make.directory(), make.KEYS, "process:tracer")
        self.pool = make_pool(self.settings, name="test", size=8)
        self.stage = self.new_stage()
        self._client = PdsClient(
            pds.url, token="practice-token", end_user_organisation="X26", profile="test"
        )

    async def open(self) -> None:
        await self.pool.open()

    async def close(self) -> None:
        await self._client.aclose()
        await self.pool.close()

    def new_stage(self) -> IdentityStage:
        """An identity worker."""
        return IdentityStage(
            self.pool, make.KEYS, self.settings, make.directory(), self.send, self.clock
        )

    def new_tracer(self) -> Tracer:
        """A tracer process's work."""
        releaser = Releaser(self.pool, self.limits, self.desk, self.send, self.clock)
        releases: dict[TracePurpose, Release] = {
            "claims": releaser.release,
            "resolution": self.new_resolver().release,
            "recheck": self.new_rechecker().release,
        }
        return Tracer(self.pool, self.settings.pds, lambda _: self._client, releases)

    def new_rechecker(self) -> Rechecker:
        """What carries PDS's word of people who are known already."""
        return Rechecker(self.pool, self.limits, self.desk, self.send, self.clock)

    def new_resolver(self) -> Resolver:
        """What carries out what is decided about worklist entries."""
        limits = limits_of(self.settings, make.KEYS, make.directory())
        identity = self.settings.identity
        return Resolver(self.pool, limits, identity, self.send, self.clock, self.desk)

    def clock(self) -> datetime:
        return self.now

    def client(self) -> PdsClient:
        """With which its tracers ask."""
        return self._client

    async def send(self, records: Sequence[Record]) -> list[bool]:
        """The bus."""
        if self.broker_up:
            self.sent.extend(records)
        return [self.broker_up] * len(records)

    async def take(self, *events: Reported | PersonChanged) -> None:
        """One batch through the stage."""
        await self.stage.process([make.incoming(event) for event in events])

    async def trace(self, times: int = 1) -> None:
        """Lease and answer what is due, so many rounds; the ration's refill is waited for."""
        for _ in range(times):
            tracer = self.new_tracer()
            leased = await aeventually(tracer.lease, 5, 0.02, why="a due trace request")
            for request in leased:
                await tracer.trace(request)

    async def trace_all(self) -> None:
        """Until no request is live."""
        while await self.value(
            "select exists(select from trace_requests where state in ('queued', 'leased'))"
        ):
            await self.trace()

    async def pass_time(self, seconds: float) -> None:
        """So much time passes for the hub. What its tracers compare with the database's clock,
        which cannot be moved, becomes so much older instead."""
        self.now += timedelta(seconds=seconds)
        async with transaction(self.pool) as connection:
            await connection.execute(
                "update pds_ration set refilled_at = refilled_at - make_interval(secs => %(s)s), "
                "breaker_until = breaker_until - make_interval(secs => %(s)s), "
                "paused_until = paused_until - make_interval(secs => %(s)s), "
                "slowed_at = slowed_at - make_interval(secs => %(s)s)",
                {"s": seconds},
            )
            await connection.execute(
                "update trace_requests set due_at = due_at - make_interval(secs => %(s)s), "
                "lease_until = lease_until - make_interval(secs => %(s)s) "
                "where state in ('queued', 'leased') and (due_at > now() or lease_until > now())",
                {"s": seconds},
            )

    def knows(self, *people: Person) -> None:
        """PDS knows these people too."""
        for person in people:
            self.pds.pds.register.put(person)

    def writes_to_the_hospital(self) -> None:
        """The directory names the hospital, and where its letters go."""
        plain = make.directory()
        hospital = Hospital(ods=make.HOSPITAL, name="Hospital", message_endpoint="la")
        directory = Directory({make.HOSPITAL: hospital}, (), plain.authorities, plain.endpoints, ())
        self.desk = open_desk(None, directory, make.KEYS, "process:tracer")

    def fault(self, **faults: Any) -> None:
        """PDS misbehaves; without arguments it is well again."""
        self.pds.pds.faults = Faults(**faults)

    async def rows(self, query: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        async with transaction(self.pool) as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def value(self, query: LiteralString, **parameters: Any) -> Any:
        (row,) = await self.rows(query, **parameters)
        (found,) = row.values()
        return found

    async def states(self, *events: Reported) -> list[tuple[str, str]]:
        """(state, rule) of each event."""
        found = {
            row["reported_event_id"]: (row["state"], row["rule"])
            for row in await self.rows("select reported_event_id, state, rule from claims")
        }
        return [found[event.event_id] for event in events]

    async def answers(self) -> dict[int, str | None]:
        """Answer code by line."""
        rows = await self.rows("select line, code from upload_answers order by line")
        return {row["line"]: row["code"] for row in rows}

    def said(self) -> list[make.Said]:
        """Assertions and retractions on the bus, in order."""
        return make.said([record.value for record in self.sent])

    def holding(self) -> dict[uuid.UUID, tuple[str, str] | None]:
        """Whom the bus names in the end for each reported event."""
        return make.holding([record.value for record in self.sent])

    @asynccontextmanager
    async def locked(self, *names: str) -> AsyncIterator[Connection]:
        """A connection of somebody else that holds these advisory locks."""
        async with self.pool.connection() as connection, connection.transaction():
            for name in names:
                await connection.execute("select pg_advisory_xact_lock(%s)", (lock_id(name),))
            yield connection

    async def blocked(self, count: int) -> None:
        """Wait until so many transactions wait for an advisory lock."""

        async def waiting() -> bool:
            found = await self.value(
                "select count(*) from pg_stat_activity "
                "where wait_event = 'advisory' and datname = current_database()"
            )
            return bool(found >= count)

        await aeventually(waiting, 10, 0.02, why=f"{count} transactions at a lock")


def person_of(claim: Any, **changes: Any) -> Person:
    """The practice PDS's record of whom `claim` states truly."""
    fields: dict[str, Any] = {
        "nhs_number": claim.nhs_number,
        "family": claim.family,
        "given": claim.given,
        "birth_date": claim.birth_date,
        "gender": claim.gender or "unknown",
        "postcode": claim.postcode,
    }
    return Person(**{**fields, **changes})


async def both(*parts: Any) -> None:
    """Run side by side; the first error is raised."""
    await asyncio.gather(*parts)


HOURS_49 = timedelta(hours=49)
