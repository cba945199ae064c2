"""The second fence: what `halyard_face` can do in PostgreSQL, whatever the code above forgets."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from halyard import postgres, provisioning
from halyard.errors import PermanentError
from halyard.kafka import Record
from halyard.postgres import Connection, Pool, make_pool, scoped, transaction
from stores import (
    alerts,
    audit,
    coverage,
    flags,
    holdings,
    mailbox,
    outbox,
    trace_batches,
    uploads,
    worklist,
)
from stores.audit import AuditEntry
from stores.holdings import Ask
from stores.outbox import Entry
from tests.support.face import INFIRMARY, KEYS, NORTH, SOUTH, settings
from tests.support.services import Database, DatabaseServer
from tests.support.two_sides import AT, NUMBER, OTHER_NUMBER, alert_id, fill, own_id

OF_NOBODY = {
    *("migration", "pds_ration", "coverage", "used_tokens", "letters_gone", "policy_versions"),
}
"""What the face reads for everybody alike: not rows of an organisation."""

OWN_BOOKS = ["sessions", "used_tokens"]
"""Its own books, of which alone it removes rows."""

TABLES = (
    "uploads", "upload_answers", "worklist", "alerts", "deliveries", "letters", "outbox",
    "audit_entries", "flags", "identities", "visits", "death_notes", "claims", "trace_batches",
    "trace_items",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """A filled database, the app role's pool, and the face's two."""

    database: Database
    app: Pool
    face: Pool
    publisher: Pool


@pytest.fixture
async def sides(database: Database) -> AsyncIterator[Sides]:
    """Both sides' rows, and pools of one connection."""
    made = settings(database_url=database.url)
    async with (
        make_pool(made, name="app", size=1) as app,
        make_pool(made, name="face", size=1, schema="face") as face,
        make_pool(made, name="publisher", size=1, schema="face", publishes=True) as publisher,
    ):
        await fill(app)
        yield Sides(database, app, face, publisher)


def owner(database: Database, statement: sql.Composed | sql.SQL) -> None:
    """What only the tables' owner may do."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set search_path = halyard")
        connection.execute(statement)


async def count(connection: Connection, table: str) -> int:
    """How many rows of a table are seen."""
    found = await connection.execute(
        sql.SQL("select count(*) as n from {}").format(sql.Identifier(table))
    )
    return int(postgres.one(await found.fetchone())["n"])


async def readable(connection: Connection) -> list[str]:
    """Every table and view that the face may read some column of."""
    found = await connection.execute(
        "select relname from pg_class where relnamespace = 'halyard'::regnamespace "
        "and relkind in ('r', 'p', 'v', 'm') "
        "and has_any_column_privilege('halyard_face', oid, 'select') order by 1"
    )
    return [str(row["relname"]) for row in await found.fetchall()]


async def test_without_an_organisation_nothing_is_seen(sides: Sides) -> None:
    """A transaction that forgets to say for whom it asks sees no row of anybody: fail closed."""
    async with transaction(sides.face) as connection:
        names = await readable(connection)
        assert set(TABLES) - {"deliveries"} <= set(names)
        seen = {name: await count(connection, name) for name in set(names) - OF_NOBODY}
    assert seen == dict.fromkeys(seen, 0)


async def test_the_setting_ends_with_its_transaction(sides: Sides) -> None:
    """The next user of a pooled connection inherits nobody's rows."""
    async with scoped(sides.face, NORTH, [KEYS.person(NUMBER)]) as connection:
        assert await count(connection, "alerts") == await count(connection, "flags") == 1
    async with transaction(sides.face) as connection:
        assert await count(connection, "alerts") == await count(connection, "flags") == 0


Asking = Callable[[Connection], Any]

FORGETFUL: dict[str, Asking] = {
    "alerts": lambda c: alerts.page_for_organisation(c, NORTH, after=None, limit=9, withheld=True),
    "alert": lambda c: alerts.lock_alert(c, alert_id(NORTH)),
    "upload": lambda c: uploads.get(c, own_id(NORTH, "upload")),
    "answers": lambda c: uploads.answers(c, own_id(NORTH, "upload"), after=0, limit=9),
    "worklist": lambda c: worklist.entries(c, NORTH, after=None, limit=9),
    "letters": lambda c: mailbox.page(c, NORTH, after=None, limit=9, unacknowledged=False),
    "letter": lambda c: mailbox.get(c, NORTH, own_id(NORTH, "letter")),
    "batches": lambda c: trace_batches.page(c, NORTH, before=None, limit=9),
    "batch": lambda c: trace_batches.get(c, own_id(NORTH, "batch")),
    "traced": lambda c: trace_batches.results(c, own_id(NORTH, "batch"), after=0, limit=9),
    "cancel": lambda c: trace_batches.cancel(c, own_id(NORTH, "batch")),
    "acknowledge": lambda c: mailbox.acknowledge(c, NORTH, own_id(NORTH, "letter"), AT),
    "accept": lambda c: alerts.accept(c, alert_id(NORTH), by="x", answer="y", at=AT),
}
"""What a handler would do that asks for NORTH's rows without looking who asks."""


def nothing(found: Any) -> bool:
    """Whether an answer of a store holds no row."""
    rows = getattr(found, "rows", getattr(found, "letters", found))
    rows = getattr(found, "answers", rows)
    if isinstance(rows, tuple) and len(rows) == 2 and rows[1] is False:
        rows = rows[0]  # accept: the row, and whether it changed
    return not rows


async def read(pool: Pool, organisation: str, name: str) -> Any:
    """The answer of one of `FORGETFUL`, asked for an organisation; nothing of it stays."""
    async with (
        scoped(pool, organisation) as connection,
        connection.transaction(force_rollback=True),
    ):
        return await FORGETFUL[name](connection)


async def test_a_check_that_is_forgotten_shows_no_other_organisations_row(sides: Sides) -> None:
    """SOUTH gets nothing where the code asks for NORTH's; NORTH gets it; and with the tables'
    security switched off SOUTH would have got it, so this test would have seen it.
    """
    for name in FORGETFUL:
        assert nothing(await read(sides.face, SOUTH, name)), name
        assert not nothing(await read(sides.face, NORTH, name)), name
    fenced = ("alerts", "uploads", "upload_answers", "worklist", "letters")
    for table in (*fenced, "trace_batches", "trace_items"):
        off = sql.SQL("alter table {} disable row level security")
        owner(sides.database, off.format(sql.Identifier(table)))
    for name in FORGETFUL:
        assert not nothing(await read(sides.face, SOUTH, name)), name


async def test_a_hospital_sees_its_alerts_and_changes_none(sides: Sides) -> None:
    """The alert is both sides'; accepting it is the authority's."""
    async with scoped(sides.face, INFIRMARY) as connection:
        page = await alerts.page_for_organisation(connection, INFIRMARY, after=None, limit=9)
        assert [row.alert_id for row in page.rows] == [alert_id(INFIRMARY)]
        row, changed = await alerts.accept(
            connection, alert_id(INFIRMARY), by="x", answer="y", at=AT
        )
        assert (row, changed) == (None, False) or not changed


async def test_of_flags_only_those_of_the_persons_asked_about_are_seen(sides: Sides) -> None:
    """Whoever asks, also the authority that holds another child's plan."""
    one, other = KEYS.person(NUMBER), KEYS.person(OTHER_NUMBER)
    asks = [Ask(one, "x"), Ask(other, "x")]
    async with scoped(sides.face, SOUTH, [one]) as connection:
        first, second = await holdings.of_persons(connection, SOUTH, asks, AT)
        assert (len(first.flags), len(second.flags)) == (1, 0)
    async with scoped(sides.face, SOUTH) as connection:
        first, second = await holdings.of_persons(connection, SOUTH, asks, AT)
        assert (len(first.flags), len(second.flags)) == (0, 0)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # its number is in no column
            await flags.of_persons(connection, [one])


async def test_coverage_is_the_same_for_everybody_and_shows_no_row(sides: Sides) -> None:
    """Authority, time and a count: what a negative answer rests on."""
    async with scoped(sides.face, INFIRMARY) as connection:
        found = await coverage.coverage(connection)
    assert {(one.authority, one.unmatched_records) for one in found.values()} == {
        (NORTH, 1),
        (SOUTH, 1),
    }


async def test_the_outbox_is_written_by_all_and_read_by_the_publisher_alone(sides: Sides) -> None:
    """The face's own connections add and see nothing; those that publish see what waits, mark it,
    and see nothing else in the database, and not what was published before.
    """
    entry = Entry(Record("safeguarding.alert.receipt.v1", "k", b"v", ()), uuid.UUID(int=5))
    async with scoped(sides.face, NORTH) as connection:
        lanes = await outbox.add(connection, [entry])
        assert await count(connection, "outbox") == 0

    async def sent(records: Any) -> list[bool | outbox.Never]:
        return [True for _ in records]

    assert await outbox.publish_lanes(sides.face, sent, lanes) == 0
    async with transaction(sides.publisher) as connection:
        assert await count(connection, "outbox") == 1
        assert await count(connection, "alerts") == await count(connection, "flags") == 0
    assert await outbox.publish_lanes(sides.publisher, sent, lanes) == 1
    async with transaction(sides.publisher) as connection:
        assert await count(connection, "outbox") == 0
    with pytest.raises(PermanentError):
        await outbox.purge(sides.publisher)


async def test_the_audit_chain_is_added_to_and_only_ones_own_is_read(sides: Sides) -> None:
    """An entry of any chain is taken; nothing is changed or removed; others' are not seen."""
    entry = AuditEntry(
        entry_id=uuid.uuid4(),
        recorded_at=AT,
        kind="refusal",
        chain=SOUTH,
        actor="x",
        organisation=SOUTH,
        decision="deny",
        rule="r",
    )
    async with scoped(sides.face, NORTH) as connection:
        await audit.append(connection, [entry])
        assert await count(connection, "audit_entries") == 1
    async with scoped(sides.face, SOUTH) as connection:
        assert await count(connection, "audit_entries") == 2
    for statement in ("update audit_entries set actor = 'y'", "delete from audit_entries"):
        with pytest.raises(PermanentError):
            async with scoped(sides.face, SOUTH) as connection:
                await connection.execute(sql.SQL(statement))


async def test_a_delivery_of_anothers_alert_is_refused(sides: Sides) -> None:
    """What is told follows from alerts that the caller may see."""
    add = (
        "insert into deliveries (delivery_id, destination, alert_id, version, round, kind, body, "
        "event_id, traceparent) values (gen_random_uuid(), 'd', %s, 1, 1, 'receipt', '', "
        "gen_random_uuid(), 't')"
    )
    async with scoped(sides.face, NORTH) as connection:
        await connection.execute(add, (alert_id(NORTH),))
    with pytest.raises(PermanentError):
        async with scoped(sides.face, SOUTH) as connection:
            await connection.execute(add, (alert_id(NORTH),))


async def test_a_notice_of_a_look_is_to_ones_own_guardian(sides: Sides) -> None:
    """The face tells nobody else that somebody looked."""
    add = (
        "insert into deliveries (delivery_id, destination, alert_id, version, round, kind, body, "
        "event_id, traceparent, recipient, reviewer) values (gen_random_uuid(), 'd', "
        "gen_random_uuid(), 1, 1, 'access', '', gen_random_uuid(), 't', %s, %s)"
    )
    async with scoped(sides.face, INFIRMARY) as connection:
        await connection.execute(add, (INFIRMARY, INFIRMARY))
    for told, reviews in ((NORTH, INFIRMARY), (NORTH, NORTH), (INFIRMARY, NORTH), (None, None)):
        with pytest.raises(PermanentError):
            async with scoped(sides.face, INFIRMARY) as connection:
                await connection.execute(add, (told, reviews))


async def test_a_letter_that_is_shared_goes_to_whom_it_is_shared_with(sides: Sides) -> None:
    """The row of the share, or of the held letter, says to whom."""
    share = (
        "insert into alert_shares (alert_id, recipient, version, letter_id, authority, shared_at, "
        "shared_by, state, fields, withheld, policy, policy_version) "
        "values (%s, 'S1', 1, %s, %s, now(), 'user:1', 'shared', '{}', '{}', 'share', 1)"
    )
    letter = (
        "insert into letters (letter_id, organisation, kind, body, created_at, "
        "needs_acknowledgement, traceparent) values (%s, %s, 'share', '', now(), false, 't')"
    )
    for told in ("S1", "S2"):
        letter_id = uuid.uuid4()
        try:
            async with scoped(sides.face, NORTH) as connection:
                await connection.execute(share, (alert_id(NORTH), letter_id, NORTH))
                await connection.execute(letter, (letter_id, told))
                raise _Undone
        except PermanentError:
            assert told == "S2"
        except _Undone:
            assert told == "S1"


class _Undone(Exception):
    """Nothing is kept of it."""


async def test_no_policy_reads_a_whole_table_for_one_row(sides: Sides) -> None:
    """``x in (select …)`` makes PostgreSQL hash all that the organisation may see, for each row
    that is added; ``exists (… where …)`` looks one up by its key.
    """
    async with transaction(sides.app) as connection:
        found = await connection.execute(
            "select tablename, policyname from pg_policies where schemaname = 'halyard' "
            r"and concat(qual, with_check) ~* '\m(in|any) ?\(\s*select'"
        )
        assert await found.fetchall() == []


async def test_the_role_has_no_power_of_its_own(sides: Sides) -> None:
    """No superuser, no way round row security, no other role's rights; it removes and makes
    nothing but its own books, and the workers' tables and the NCMD store are not there for it.
    """
    async with transaction(sides.face) as connection:
        found = await connection.execute(
            "select rolsuper or rolbypassrls or rolcreatedb or rolcreaterole as any, "
            "has_schema_privilege('halyard', 'create') or has_schema_privilege('ncmd', 'usage') "
            "or has_schema_privilege('public', 'usage') as schemas, "
            "array(select relname::text from pg_class c "
            "where relnamespace = 'halyard'::regnamespace and relkind in ('r', 'p') "
            "and has_table_privilege(c.oid, 'delete, truncate') order by 1) as removes "
            "from pg_roles where rolname = current_user"
        )
        assert postgres.one(await found.fetchone()) == {
            "any": False,
            "schemas": False,
            "removes": OWN_BOOKS,
        }
        names = set(await readable(connection))
    assert names.isdisjoint(
        {"trace_requests", "visit_events", "flag_events", "cases", "case_events", "inbox",
         "case_messages", "report_requests", "journal", "merges", "breakers"}
    )  # fmt: skip


async def test_the_app_role_sees_everything_as_before(sides: Sides) -> None:
    """Workers are not held by the policies."""
    async with transaction(sides.app) as connection:
        assert await count(connection, "alerts") == await count(connection, "flags") == 2
        assert await count(connection, "letters") == await count(connection, "worklist") == 4


def test_provisioning_the_face_twice_keeps_its_rights(
    database: Database, database_server: DatabaseServer
) -> None:
    """`halyard up` provisions at each start: the role logs in as before."""
    url = provisioning.provision_face(
        database_server.admin_url, database=database.name, password="practice-face"
    )
    assert url == database.face_url
