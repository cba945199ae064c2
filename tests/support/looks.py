"""Look-ups without HTTP: callers, people and plans made up, and what a look leaves behind."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flag_service.lookups import Look, Lookups, Seen
from halyard import postgres
from halyard.caller import Caller
from halyard.postgres import Pool
from halyard.settings import DatabaseSettings, HttpSettings, Settings
from policies.desk import Desk, open_desk
from policies.model import Policies
from policies.purposes import Purpose
from schemas.events import Moment, PlanType
from stores import flags, uploads, visits
from stores.flags import Flag
from stores.uploads import Line
from stores.visits import Visit
from tests.support.face import CLINIC, INFIRMARY, KEYS, NORTH, SOUTH, directory
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHILD, OTHER, UNKNOWN = "9990000018", "9990000026", "9990000034"

SYSTEM = Caller(INFIRMARY, "client:infirmary", frozenset({"hospital-system"}))
NURSE = Caller(
    INFIRMARY,
    "user:nurse",
    frozenset({"safeguarding-nurse"}),
    person=True,
    name="Nora Nurse",
    job_role="Safeguarding nurse",
    credential="access-token",
)
CLINICIAN = replace(
    NURSE,
    subject="user:clinician",
    roles=frozenset({"clinician"}),
    name="Carl Clinician",
    job_role="Doctor",
)
WORKER = replace(
    NURSE,
    organisation=NORTH,
    subject="user:worker",
    roles=frozenset({"social-worker"}),
    name="Wanda Worker",
    job_role="Social worker",
)


def ask(number: str = CHILD, caller: Caller = SYSTEM, **changes: Any) -> Look:
    """An unscheduled look."""
    made = Look(
        number=number,
        caller=caller,
        purpose=Purpose.URGENT_CARE,
        reason=None,
        unscheduled=True,
        request_id=str(uuid.uuid4()),
        interface="flags-query",
    )
    return replace(made, **changes)


def broken(number: str = CHILD, caller: Caller = CLINICIAN) -> Look:
    """A look that breaks the glass."""
    return ask(number, caller, purpose=Purpose.BREAK_GLASS, reason="unconscious, nobody with her")


@dataclass
class World:
    """Look-ups with the rights of the face; `pool` is the app role's, `now` their clock's time."""

    pool: Pool
    asking: Pool
    desk: Desk
    now: datetime = NOW
    lookups: Lookups = field(init=False)

    def __post_init__(self) -> None:
        """With a clock that a test sets."""
        self.lookups = self.more()

    def more(self, **options: Any) -> Lookups:
        """Look-ups of another process."""
        return Lookups(self.asking, self.desk, lambda: self.now, **options)

    async def look(self, *args: Any, **changes: Any) -> Seen:
        """One look (as `ask`)."""
        return await self.lookups.look(ask(*args, **changes))

    async def rows(self, text: Any, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query of the test's own."""
        async with postgres.transaction(self.pool) as connection:
            return await (await connection.execute(text, values)).fetchall()

    async def file_came(self, authority: str = NORTH) -> None:
        """An authority sent a file an hour ago: "none held" may be believed."""
        at = NOW - timedelta(hours=1)
        async with postgres.transaction(self.pool) as connection:
            await uploads.register(
                connection, [Line(uuid.uuid4(), 1, uuid.uuid4(), authority, 1, at)], []
            )

    async def plans(self, *held: Flag) -> None:
        """These are all the plans of their persons."""
        persons = {flag.person for flag in held}
        async with postgres.transaction(self.pool) as connection:
            await flags.replace(connection, persons, held, NOW)

    async def visited(self, hospital: str, at: datetime, number: str = CHILD, **more: Any) -> None:
        """A verified visit."""
        made = Visit(
            visit_id=uuid.uuid4(),
            source_patient=uuid.uuid4().hex,
            person=KEYS.person(number),
            hospital=hospital,
            live=True,
            state="departed",
            arrived=Moment(at),
            received_at=at,
            late=False,
            fresh=True,
            provisional=False,
            restricted=False,
            department="ED",
        )
        async with postgres.transaction(self.pool) as connection:
            await visits.save(connection, [replace(made, **more)], at)


def plan(number: str = CHILD, authority: str = NORTH, **changes: Any) -> Flag:
    """An active child protection plan."""
    made = Flag(
        authority=authority,
        person=KEYS.person(number),
        plan_type=PlanType.CPP,
        start=date(2025, 1, 6),
        end=None,
        sequence=1,
        line=1,
        active_since=NOW,
        restricted=False,
        nhs_number=number,
        birth_date="2017-03-04",
    )
    return replace(made, **changes)


@contextlib.asynccontextmanager
async def world(database: Database, policies: Policies | None = None) -> AsyncIterator[World]:
    """Look-ups on a database."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 4}),
        http=HttpSettings.model_validate({"database_url": database.face_url}),
    )
    pool = postgres.make_pool(settings, name="test")
    asking = postgres.make_pool(settings, name="test-face", schema="face")
    async with pool, asking:
        yield World(pool, asking, open_desk(policies, directory(), KEYS, "process:serve"))


__all__ = ["CLINIC", "INFIRMARY", "KEYS", "NORTH", "SOUTH"]
