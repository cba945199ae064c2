"""From an authority's file to the look-up, through identity and matching as they are.

The people of the files are known to the local index, so PDS is not asked; the bus between the
stages is a list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.local_authority.client import AnswerPage
from connectors.pds.outcomes import PdsRecord
from halyard.kafka import Incoming, Record
from halyard.postgres import transaction
from halyard.settings import Settings
from schemas.topics import FLAG_SUBMITTED
from stores import identities
from streams.identity.agent import IdentityStage
from streams.identity.evidence import known_person
from streams.matching.agent import MatchingStage
from tests.support.face import KEYS, NORTH, SOUTH, Hub, directory, hub, settings
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
CHILD, MOTHER = "9990000018", "9990000026"
HEADER = "NHS Number,Surname,Forenames,DOB,Plan type,Start date,End date,Delete date,Local ID"


@dataclass
class Clock:
    """The hub's: it goes on by a second whenever it is looked at."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """The present."""
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Line:
    """A hub and the stages behind it."""

    hub: Hub
    settings: Settings
    clock: Clock
    verified: list[Record] = field(default_factory=list)

    async def upload(self, *rows: str, authority: str = NORTH) -> AnswerPage:
        """Send these rows as CSV and let identity and matching work."""
        body = "\r\n".join([HEADER, *rows]).encode()
        async with self.hub.client(authority) as client:
            receipt = await client.upload(body, file_format="csv")
            assert receipt.refused_count == 0, receipt.refused
            await self._work()
            page = await client.answers(receipt.upload_id)
        assert page is not None
        return page

    async def shown(self, number: str) -> list[dict[str, Any]]:
        """The person's plans as a look-up tells them."""
        async with self.hub.client(NORTH) as client:
            found = await client.query_flags(number)
        return list(found.get("flags", []))

    async def _work(self) -> None:
        records = sorted(
            (one for one in await self.hub.records(FLAG_SUBMITTED)), key=lambda one: one.timestamp
        )
        fresh = [
            Incoming(FLAG_SUBMITTED, 0, 0, one.key.decode(), one.value, tuple(one.headers))
            for one in records
        ]  # all of them each time: repeats are harmless
        identity = IdentityStage(
            self.hub.pool, KEYS, self.settings, directory(), self._send, self.clock
        )
        await identity.process(fresh)
        matching = MatchingStage(
            self.hub.pool, KEYS, self.settings, directory(), _swallow, self.clock
        )
        passed, self.verified = self.verified, []
        await matching.process(
            [Incoming(one.topic, 0, 0, one.key, one.value, tuple(one.headers)) for one in passed]
        )

    async def _send(self, records: Sequence[Record]) -> Sequence[bool]:
        self.verified.extend(records)
        return [True] * len(records)


async def _swallow(records: Sequence[Record]) -> Sequence[bool]:
    return [True] * len(records)


@pytest.fixture
async def line(kafka_bootstrap: str, namespace: str, database: Database) -> AsyncIterator[Line]:
    """A hub that knows a child and a mother."""
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace, database_url=database.url)
    clock = Clock()
    async with hub(made, clock=clock) as running:
        people = [
            PdsRecord(CHILD, "Testfield", ("Robin",), birth_date="2017-03-04", restricted=False),
            PdsRecord(MOTHER, "Testfield", ("Marian",), birth_date="1990-05-20", restricted=False),
        ]
        until = NOW + timedelta(days=30)
        async with transaction(running.pool) as connection:
            await identities.put(
                connection,
                [known_person(one, keys=KEYS, verified_at=NOW, keep_until=until) for one in people],
            )
        yield Line(running, made, clock)


def child(plan: str, start: str, end: str = "", delete: str = "", local_id: str = "C-1") -> str:
    """A row about the child."""
    return f"{CHILD},Testfield,Robin,04/03/2017,{plan},{start},{end},{delete},{local_id}"


async def test_a_file_states_changes_start_end_and_delete(line: Line) -> None:
    """What a file does not name stays; what ended is shown as ended; what was deleted is not."""
    page = await line.upload(child("CPP", "06/01/2025"), child("LAC", "01/02/2025"))
    assert (page.file.code, page.file.counts) == ("CPF02", {"CPR06": 2})
    assert {one["plan_type"] for one in await line.shown(CHILD)} == {"CPP", "LAC"}
    await line.upload(child("CPP", "06/01/2025", end="09/03/2026"))
    shown = {one["plan_type"]: one["active"] for one in await line.shown(CHILD)}
    assert shown == {"CPP": False, "LAC": True}
    await line.upload(child("LAC", "01/02/2025", delete="10/03/2026"))
    assert [one["plan_type"] for one in await line.shown(CHILD)] == ["CPP"]


async def test_an_ended_plan_is_shown_for_365_days(line: Line) -> None:
    """On the 365th day after its end it still is, a day later not any more."""
    last, gone = TODAY - timedelta(days=365), TODAY - timedelta(days=366)
    await line.upload(child("CPP", "2020-01-06", end=gone.isoformat()))
    assert await line.shown(CHILD) == []
    await line.upload(child("LAC", "2021-01-06", end=last.isoformat()))
    assert [(one["plan_type"], one["active"]) for one in await line.shown(CHILD)] == [
        ("LAC", False)
    ]


async def test_an_unborn_plan_is_the_mothers(line: Line) -> None:
    """Held on her number, whatever her age; the child's number knows nothing of it."""
    page = await line.upload(f"{MOTHER},Testfield,Marian,20/05/1990,UCP,01/02/2026,,,M-1")
    assert page.file.code == "CPF02"
    assert [(one["plan_type"], one["active"]) for one in await line.shown(MOTHER)] == [
        ("UCPP", True)
    ]
    assert await line.shown(CHILD) == []


async def test_plans_that_overlap_are_all_shown(line: Line) -> None:
    """Of one authority, two periods; of two authorities, each its own."""
    await line.upload(child("CPP", "2025-01-06", end="2025-06-30"), child("CPP", "2025-06-01"))
    await line.upload(child("CPP", "2025-03-01"), authority=SOUTH)
    shown = [(one["authority"], one["start"], one["active"]) for one in await line.shown(CHILD)]
    assert sorted(shown) == [
        (NORTH, "2025-01-06", False),
        (NORTH, "2025-06-01", True),
        (SOUTH, "2025-03-01", True),
    ]


async def test_a_file_sent_again_changes_nothing_and_is_recognised(line: Line) -> None:
    """Between them the plan was deleted: the repeat is a statement of its own, and holds."""
    first = await line.upload(child("CPP", "06/01/2025"))
    assert first.file.repeat_of is None
    await line.upload(child("CPP", "06/01/2025", delete="10/03/2026"))
    assert await line.shown(CHILD) == []
    again = await line.upload(child("CPP", "06/01/2025"))
    assert again.file.repeat_of is not None
    assert [one["plan_type"] for one in await line.shown(CHILD)] == ["CPP"]
