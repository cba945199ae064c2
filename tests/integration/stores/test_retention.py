"""The end of what is kept no longer: what goes, what stays, and that a fold never sees half."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from halyard.postgres import Connection, Pool, lock, transaction
from stores import audit, months, retention
from stores.audit import AuditEntry
from stores.retention import ROWS, DataClass
from tests.support.services import Database

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PERSON = "0" * 32
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def data_class(name: str) -> DataClass:
    """The class of this name."""
    return next(one for one in ROWS if one.name == name)


async def ended(pool: Pool, name: str) -> int:
    """What `drop` ends of a class by its own days."""
    found = data_class(name)
    limit = retention.before(found, {}, NOW)
    assert limit is not None
    async with transaction(pool) as connection:
        due = await retention.due(connection, found, limit)
    gone = await retention.drop(pool, found, limit, batch=2)
    async with transaction(pool) as connection:
        assert (await retention.due(connection, found, limit)).count == 0
    assert (due.count > 0) == (gone > 0)
    return gone


async def put(pool: Pool, table: str, **values: Any) -> None:
    """One row."""
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    async with transaction(pool) as connection:
        await connection.execute(f"insert into {table} ({names}) values ({places})", values)


async def count(pool: Pool, table: str) -> int:
    """Rows of a table."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(f"select count(*) as n from {table}")
        row = await cursor.fetchone()
        assert row is not None
        return int(row["n"])


async def flag(
    pool: Pool,
    *,
    age: int,
    end: date | None,
    plan: str = "CPP",
    birth: str | None = None,
    heard: int | None = None,
    person: str = PERSON,
) -> None:
    """A plan of one record, heard `heard` days ago (`age` if not given)."""
    at = NOW - timedelta(days=age if heard is None else heard)
    common = {
        "authority": "E08000019",
        "person": person,
        "plan_type": plan,
        "start_date": (NOW - timedelta(days=age)).date(),
        "end_date": end,
        "nhs_number": "9990000018",
        "birth_date": birth,
        "restricted": False,
        "sequence": 1,
        "line": 1,
    }
    await put(pool, "flags", **common, active_since=at, changed_at=at)
    await put(
        pool,
        "flag_events",
        **common,
        reported_event_id=uuid.uuid4(),
        revision=0,
        retracted=False,
        received_at=at,
    )


async def visit(pool: Pool, *, age: int) -> uuid.UUID:
    """A visit with one event, received `age` days ago."""
    visit_id, at = uuid.uuid4(), NOW - timedelta(days=age)
    await put(
        pool,
        "visits",
        visit_id=visit_id,
        source_patient="patient",
        person=PERSON,
        hospital="RCB55",
        live=True,
        state="present",
        received_at=at,
        late=False,
        fresh=True,
        provisional=False,
        restricted=False,
        reason="Fall",
        changed_at=at,
    )
    await put(
        pool,
        "visit_events",
        reported_event_id=uuid.uuid4(),
        revision=0,
        retracted=False,
        visit_id=visit_id,
        source_patient="patient",
        person=PERSON,
        received_at=at,
        traceparent=PARENT,
        event=b"event",
    )
    return visit_id


async def alert(pool: Pool, visit_id: uuid.UUID, *, age: int, state: str) -> uuid.UUID:
    """An alert of a visit, changed `age` days ago, with a delivery."""
    alert_id, at = uuid.uuid4(), NOW - timedelta(days=age)
    await put(
        pool,
        "alerts",
        alert_id=alert_id,
        person=PERSON,
        authority="E08000019",
        hospital="RCB55",
        source_patient="patient",
        visit_ids=[visit_id],
        version=1,
        state=state,
        provisional=False,
        late=False,
        restricted=False,
        rule="match",
        content=b"content",
        content_digest="digest",
        raised_at=at,
        changed_at=at,
        arrival_received_at=at,
        traceparent=PARENT,
    )
    await put(
        pool,
        "deliveries",
        delivery_id=uuid.uuid4(),
        destination="council",
        alert_id=alert_id,
        version=1,
        round=1,
        kind="alert",
        body=b"body",
        state="delivered",
        event_id=uuid.uuid4(),
        traceparent=PARENT,
        created_at=at,
        done_at=at,
    )
    return alert_id


async def test_a_plan_goes_whole_when_it_ended_long_ago(pool: Pool) -> None:
    """Its records and its periods go together; one that ended lately, or is open, stays."""
    long_ago = (NOW - timedelta(days=500)).date()
    await flag(pool, age=900, end=long_ago, person="a" * 32)
    await flag(pool, age=900, end=(NOW - timedelta(days=300)).date(), person="b" * 32)
    await flag(pool, age=900, end=None, person="c" * 32)
    assert await ended(pool, "flags") == 1
    assert (await count(pool, "flags"), await count(pool, "flag_events")) == (2, 2)


async def test_a_plan_of_which_a_young_record_speaks_stays(pool: Pool) -> None:
    """A record that came late about a plan of long ago keeps the whole of it."""
    await flag(pool, age=900, heard=10, end=(NOW - timedelta(days=500)).date())
    assert await ended(pool, "flags") == 0
    assert await count(pool, "flag_events") == 1


@pytest.mark.parametrize(
    ("plan", "birth", "goes"),
    [
        ("CPP", "2004-01-01", 1),
        ("LAC", "2004", 1),
        ("CPP", "2010-01-01", 0),
        ("CPP", None, 0),
        ("CPP", "unknown", 0),
        ("UCPP", "1990-01-01", 0),
    ],
)
async def test_a_childs_plan_without_an_end_goes_after_it_has_grown_up(
    pool: Pool, plan: str, birth: str | None, goes: int
) -> None:
    """A child's plan ends at 18; a mother's has no such age, nor has who has no birth date."""
    await flag(pool, age=2_000, end=None, plan=plan, birth=birth)
    assert await ended(pool, "flags") == goes


async def test_a_plan_that_is_spoken_of_while_it_is_dropped_is_not_torn(pool: Pool) -> None:
    """Matching holds the person's lock and adds a record: the drop waits, looks again, and leaves
    the plan whole.
    """
    await flag(pool, age=900, end=(NOW - timedelta(days=500)).date())
    limit = NOW - timedelta(days=400)
    async with transaction(pool) as connection:
        await lock(connection, [f"person:{PERSON}"])
        dropping = asyncio.create_task(retention.drop(pool, data_class("flags"), limit))
        waiting = await connection.execute(
            "select 1 from pg_locks where locktype = 'advisory' and not granted"
        )
        async with asyncio.timeout(5):
            while await waiting.fetchone() is None:
                await asyncio.sleep(0.01)
                waiting = await connection.execute(
                    "select 1 from pg_locks where locktype = 'advisory' and not granted"
                )
        await connection.execute("update flag_events set received_at = %s", (NOW,))
    assert await dropping == 0
    assert await count(pool, "flag_events") == 1


@pytest.mark.parametrize(
    ("state", "age", "goes"), [("accepted", 500, 1), ("raised", 500, 0), ("accepted", 300, 0)]
)
async def test_an_alert_goes_with_its_deliveries_once_it_was_accepted_long_ago(
    pool: Pool, state: str, age: int, goes: int
) -> None:
    """Its visits go with it. One that nobody accepted stays, however old."""
    await alert(pool, await visit(pool, age=age), age=age, state=state)
    assert await ended(pool, "alerts") == goes
    tables = ("deliveries", "visits", "visit_events")
    assert {await count(pool, one) for one in tables} == {1 - goes}


async def test_an_alert_stays_as_long_as_anything_of_its_visit_is_young(pool: Pool) -> None:
    """A visit that stayed without its alert would raise it again, years after."""
    told, lately = await visit(pool, age=500), await visit(pool, age=100)
    await alert(pool, told, age=500, state="closed")
    await alert(pool, lately, age=500, state="closed")
    assert await ended(pool, "alerts") == 1
    assert (await count(pool, "alerts"), await count(pool, "visits")) == (1, 1)
    async with transaction(pool) as connection:
        await connection.execute("update visits set received_at = %s", (NOW - timedelta(days=500),))
    assert await ended(pool, "alerts") == 0
    assert await count(pool, "visit_events") == 1


async def test_a_visit_that_another_alert_names_stays(pool: Pool) -> None:
    """Of two authorities one has not accepted yet: its alert keeps all that it stands on."""
    shared = await visit(pool, age=500)
    await alert(pool, shared, age=500, state="accepted")
    async with transaction(pool) as connection:
        await connection.execute("update alerts set authority = 'E08000020'")
    await alert(pool, shared, age=500, state="raised")
    assert await ended(pool, "alerts") == 1
    assert (await count(pool, "visits"), await count(pool, "visit_events")) == (1, 1)


async def test_a_visit_with_an_alert_stays_whole(pool: Pool) -> None:
    """A correction that comes late must find all of its events, or it would withdraw the alert."""
    await alert(pool, await visit(pool, age=800), age=800, state="accepted")
    assert await ended(pool, "visit-bodies") == 0
    assert await ended(pool, "visits") == 0
    assert await count(pool, "visit_events") == 1


async def test_a_visit_without_an_alert_keeps_place_and_time_for_a_year(pool: Pool) -> None:
    """Its events and reason go after a month, the rest after a year."""
    await visit(pool, age=10)
    await visit(pool, age=100)
    await visit(pool, age=400)
    assert await ended(pool, "visit-bodies") == 2
    assert (await count(pool, "visits"), await count(pool, "visit_events")) == (3, 1)
    assert await count(pool, "visits where reason is null") == 2
    assert await ended(pool, "visits") == 1


async def test_bodies_of_deliveries_end_and_what_waits_keeps_its_own(pool: Pool) -> None:
    """A parked delivery must still be sent as it was."""
    alert_id = await alert(pool, await visit(pool, age=50), age=50, state="accepted")
    await put(
        pool,
        "deliveries",
        delivery_id=uuid.uuid4(),
        destination="council",
        alert_id=alert_id,
        version=2,
        round=1,
        kind="alert",
        body=b"body",
        state="parked",
        event_id=uuid.uuid4(),
        traceparent=PARENT,
        done_at=NOW - timedelta(days=50),
    )
    assert await ended(pool, "delivery-bodies") == 1
    assert await count(pool, "deliveries where body = ''") == 1


async def test_the_last_file_of_an_authority_stays(pool: Pool) -> None:
    """How old it is says what its silence is worth."""
    for age in (500, 450):
        upload_id = uuid.uuid4()
        at = NOW - timedelta(days=age)
        await put(
            pool,
            "uploads",
            upload_id=upload_id,
            authority="E08000019",
            sequence=1_000 - age,
            received_at=at,
        )
        await put(
            pool,
            "upload_answers",
            upload_id=upload_id,
            line=1,
            reported_event_id=uuid.uuid4(),
        )
    assert await ended(pool, "uploads") == 1
    assert (await count(pool, "uploads"), await count(pool, "upload_answers")) == (1, 1)


async def test_the_rest_of_the_classes_end_by_age(pool: Pool) -> None:
    """Closed worklist entries, notices, taken ids."""
    old = NOW - timedelta(days=900)
    entry = {
        "event_kind": "flag",
        "organisation": "E08000019",
        "source": "s",
        "rule": "r",
        "indicator": "04",
        "opened_at": old,
    }
    for closed in (old, None):
        await put(
            pool,
            "worklist",
            entry_id=uuid.uuid4(),
            reported_event_id=uuid.uuid4(),
            closed_at=closed,
            **entry,
        )
    for taken in (old, NOW):
        await put(pool, "inbox", stage="matching", event_id=uuid.uuid4(), taken_at=taken)
        await put(
            pool,
            "access_notices",
            access_id=uuid.uuid4(),
            authority="E08000019",
            person=PERSON,
            organisation="RCB55",
            author="user:a",
            looked_at=taken,
        )
    assert [await ended(pool, one) for one in ("worklist", "inbox", "access-notices")] == [1, 1, 1]
    assert [await count(pool, one) for one in ("worklist", "inbox", "access_notices")] == [1, 1, 1]


async def test_every_class_can_be_counted(pool: Pool) -> None:
    """Also those that are kept by default."""
    async with transaction(pool) as connection:
        found = [await retention.due(connection, one, NOW) for one in ROWS]
    assert {one.count for one in found} == {0}


def test_no_class_is_kept_for_less_than_it_needs() -> None:
    """The defaults hold their own floors, and the inbox outlives every topic and dead letter."""
    assert [one.name for one in ROWS if one.days is not None and one.days < one.least] == []


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """A connection of the tables' owner."""
    async with await psycopg.AsyncConnection.connect(
        database.owner_url,
        autocommit=True,
        row_factory=dict_row,
        options="-c search_path=halyard -c timezone=UTC",
    ) as connection:
        yield connection


def entry(at: datetime) -> AuditEntry:
    """An entry recorded then."""
    return AuditEntry(
        entry_id=uuid.uuid4(),
        recorded_at=at,
        kind="access",
        chain="RCB55",
        actor="user:a",
        organisation="RCB55",
        decision="permit",
        rule="test",
    )


async def test_a_month_is_made_with_the_rows_it_should_have_held_and_dropped_whole(
    pool: Pool, owner: Connection
) -> None:
    """Rows that came before their month was made are in the default partition, and move."""
    inside = datetime(2031, 5, 31, 23, 59, 59, tzinfo=UTC)
    after = datetime(2031, 6, 1, tzinfo=UTC)
    async with transaction(pool) as connection:
        await audit.append(connection, [entry(inside), entry(after)])
    async with owner.transaction():
        await months.make(owner, "audit_entries", date(2031, 5, 1))
    async with transaction(pool) as connection:
        await audit.append(connection, [entry(inside)])
    assert await count(pool, "audit_entries") == 3
    made = await months.there(owner, ["audit_entries"])
    (month,) = [one for one in made if one.first == date(2031, 5, 1)]
    assert (month.partition, month.first, month.end) == (
        "audit_entries_y2031m05",
        date(2031, 5, 1),
        date(2031, 6, 1),
    )
    async with owner.transaction():
        await months.drop(owner, month)
    assert await count(pool, "audit_entries") == 1
    assert await months.there(owner, ["audit_entries"]) == [one for one in made if one != month]


async def test_an_app_role_reaches_no_month_but_through_its_table(
    pool: Pool, owner: Connection
) -> None:
    """A partition has no rights of its own: the table's hold."""
    async with owner.transaction():
        await months.make(owner, "accesses", date(2031, 5, 1))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with pool.connection() as connection:
            await connection.execute("select from accesses_y2031m05")


def test_months_follow_each_other_over_the_year() -> None:
    """Each begins where the last ends."""
    found = months.wanted(date(2026, 11, 22), 3)
    assert found == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1)]
    assert months.name("accesses", found[2]) == "accesses_y2027m01"
