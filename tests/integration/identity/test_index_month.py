"""The local index over a simulated month: it holds whom it must, and nobody else."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from halyard.postgres import transaction
from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from schemas.events import PersonClaim, VisitEventKind
from stores import identities
from streams.tracer.housekeeping import retention
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World, person_of
from tests.support.services import Database

VISIT = timedelta(hours=48)
SLACK = timedelta(hours=1)  # a person is not written anew for each event of a visit
MATCHED = timedelta(days=1)  # a plan counts so long after its record, until matching has folded it
SHOWN = timedelta(days=365)


@dataclass
class Reasons:
    """What the test itself knows of one person; nothing of it comes from the hub."""

    claim: PersonClaim
    adult: bool = False
    last_visit: datetime | None = None
    perhaps_visited: datetime | None = None  # an adult, known by a plan that counts no more
    plans: dict[str, date | None] = field(default_factory=dict)  # by id: its end, None: open
    flag_said: datetime | None = None
    case: uuid.UUID | None = None

    def must(self, now: datetime) -> bool:
        """A plan, or a visit of the last 48 hours, makes them known."""
        visiting = self.last_visit is not None and self.last_visit > now - VISIT
        return self._planned(now, timedelta()) or visiting or self.case is not None

    def may(self, now: datetime) -> bool:
        """As `must`, with the slack that the index is given."""
        visits = [one for one in (self.last_visit, self.perhaps_visited) if one is not None]
        visiting = any(one > now - VISIT - SLACK for one in visits)
        spoken = self.flag_said is not None and self.flag_said > now - MATCHED - SLACK
        return self._planned(now, SLACK) or visiting or spoken or self.case is not None

    def _planned(self, now: datetime, slack: timedelta) -> bool:
        oldest = (now - SHOWN - slack).date()
        return any(end is None or end >= oldest for end in self.plans.values())


class Month:
    """Drives identity, the tracer, matching and retention through days of random events."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.stages = world, BothStages(world)
        self.draw = random.Random(seed)
        self.people = [_someone(index, seed) for index in range(10)]
        world.knows(*(person_of(one.claim) for one in self.people))
        self._count = 0
        self._waits: set[str | None] = set()  # numbers of whom PDS was not asked yet

    async def step(self) -> None:
        """Some hours pass, something happens, the house is kept; then the index is looked at."""
        self.world.now += timedelta(minutes=self.draw.randint(20, 900))
        if self._waits:  # an outage ends
            await self._trace()
        for _ in range(self.draw.randint(0, 2)):
            await self._happen(self.draw.choice(self.people))
        async with transaction(self.world.pool) as connection:
            await retention(connection, self.world.now)
        await self.look()

    async def look(self) -> None:
        """Who is known may be, who must be known is, and the doctor's count agrees."""
        now = self.world.now
        held = {row["nhs_number"] for row in await self.world.rows("select * from identities")}
        allowed = {one.claim.nhs_number for one in self.people if one.may(now)}
        needed = {one.claim.nhs_number for one in self.people if one.must(now)} - self._waits
        assert held <= allowed, f"{len(held - allowed)} known without a reason at {now}"
        assert needed <= held, f"{len(needed - held)} forgotten too early at {now}"
        async with transaction(self.world.pool) as connection:
            found = await identities.held(connection, now=now)
        assert (found.people, found.without_reason) == (len(held), 0)

    async def _happen(self, one: Reasons) -> None:
        await self.draw.choices(
            (self._arrive, self._stranger, self._plan, self._end, self._delete, self._case),
            weights=(8, 3, 3, 2, 1, 2),
        )[0](one)
        if self.draw.random() < 0.2 or self._waits:  # PDS is away, until the next step
            self._waits.add(one.claim.nhs_number)
        else:
            await self._trace()

    async def _trace(self) -> None:
        await self.stages.trace()
        for one in self.people:
            if one.claim.nhs_number in self._waits and one.flag_said is not None:
                one.flag_said = self.world.now  # a plan that waited is verified now
        self._waits.clear()

    async def _arrive(self, one: Reasons) -> None:
        now, several = self.world.now, self.draw.random() < 0.3
        self._count += 1
        event = make.attendance(
            one.claim, local_id=str(one.claim.nhs_number), visit=f"V{self._count}", received_at=now
        )
        await self.stages.take(event)
        if several:  # a later message of the visit
            await self.stages.take(
                make.attendance(
                    one.claim,
                    local_id=str(one.claim.nhs_number),
                    visit=f"V{self._count}",
                    kind=VisitEventKind.UPDATE,
                    received_at=now,
                )
            )
        if not one.adult or one.must(now):  # an adult who can match no plan is never traced
            one.last_visit = now
        elif one.may(now):
            one.perhaps_visited = now

    async def _stranger(self, one: Reasons) -> None:
        """Somebody comes under the number of `one`, and is another: it makes nobody known."""
        other = replace(one.claim, family="Somebodyelse", given=("Otto",), birth_date="2011-11-11")
        self._count += 1
        await self.stages.take(
            make.attendance(
                other,
                local_id=f"S{self._count}",
                visit=f"S{self._count}",
                received_at=self.world.now,
            )
        )

    async def _plan(self, one: Reasons) -> None:
        ends = self.draw.choice((None, None, 0, 30, 340, 355, 364, 366, 380))
        end = None if ends is None else (self.world.now - timedelta(days=ends)).date()
        plan = str(len(one.plans) + 1)
        await self._say(one, plan, end=end.isoformat() if end else None)
        one.plans[plan] = end

    async def _end(self, one: Reasons) -> None:
        if one.plans:
            plan = self.draw.choice(sorted(one.plans))
            one.plans[plan] = today = self.world.now.date()
            await self._say(one, plan, end=today.isoformat())

    async def _delete(self, one: Reasons) -> None:
        if one.plans:
            plan = self.draw.choice(sorted(one.plans))
            await self._say(one, plan, end=None, delete=self.world.now.date().isoformat())
            del one.plans[plan]

    async def _say(self, one: Reasons, plan: str, **record: Any) -> None:
        self._count += 1
        start = date(2020, 1, 1) + timedelta(days=int(plan))
        one.flag_said = self.world.now
        event = make.flag(
            one.claim,
            local_id=f"C{one.claim.nhs_number}",
            line=1,
            upload=f"U{self._count}",
            received_at=self.world.now,
            start=start.isoformat(),
            **record,
        )
        await self.stages.take(replace(event, sequence=self._count))

    async def _case(self, one: Reasons) -> None:
        """The cases worker opens a case of somebody who is known, or a person ends it."""
        if one.case is not None:
            await self.world.rows(
                "update cases set state = 'VOID' where case_id = %(id)s", id=one.case
            )
            one.case = None
        elif one.must(self.world.now):
            one.case = uuid.uuid4()
            await self.world.rows(
                "insert into cases (case_id, person, state, version, content, opened_at,"
                " changed_at, eligibility) values"
                " (%(id)s, %(person)s, 'OPEN', 1, '', now(), now(), 'UNKNOWN')",
                id=one.case,
                person=make.KEYS.person(str(one.claim.nhs_number)),
            )


def _someone(index: int, seed: int) -> Reasons:
    adult = index >= 7
    claim = PersonClaim(
        nhs_number=make.number(100 + index),
        family=f"Month{'abcdefghij'[index]}",
        given=("Robin",),
        birth_date="1980-05-05" if adult else f"201{index}-03-0{1 + seed % 9}",
        gender="female",
        postcode=f"ZZ1 {index}AA",
    )
    return Reasons(claim, adult)


@pytest.fixture
def pds() -> Iterator[PdsThread]:
    """A practice PDS; the month's people are put into it."""
    with PdsThread([Person(nhs_number=make.number(99), family="Nobody")]) as thread:
        yield thread


@pytest.mark.parametrize("seed", [1])
async def test_a_month_of_events_makes_nobody_known_without_a_reason(
    world: World, seed: int
) -> None:
    """Plans open, ended and taken back, visits, cases, strangers under known numbers: after each
    step the index holds exactly whom it may (docs/reference/identity.md)."""
    month = Month(world, seed)
    while world.now < make.NOW + timedelta(days=31):
        await month.step()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
async def test_twenty_more_months(database: Database, pds: PdsThread, seed: int) -> None:
    """The same, with other draws."""
    world = World(database, pds)
    await world.open()
    try:
        await test_a_month_of_events_makes_nobody_known_without_a_reason(world, seed)
    finally:
        await world.close()
