"""Look-ups in batches, each on record before its answer leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from flag_service import lookup
from halyard.errors import DatabaseUnavailable
from halyard.postgres import scoped
from policies.ruling import Decision, Flow
from schemas import codec
from schemas.accesses import AccessRecorded
from stores import holdings
from stores.holdings import Ask
from tests.support.disclosing import changed
from tests.support.face import STRANGER
from tests.support.looks import (
    CHILD,
    CLINIC,
    INFIRMARY,
    KEYS,
    NORTH,
    NOW,
    NURSE,
    OTHER,
    SOUTH,
    SYSTEM,
    UNKNOWN,
    WORKER,
    World,
    ask,
    broken,
    plan,
    world,
)
from tests.support.services import Database
from tests.support.waiting import aeventually

SLOW_COMMIT = """
set search_path = halyard;
create function slow() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.9); return null; end $$;
create constraint trigger slow after insert on outbox
    deferrable initially deferred for each row execute function slow();
"""


@pytest.fixture
async def here(database: Database) -> AsyncIterator[World]:
    """A child with a plan of North, whose files are fresh."""
    async with world(database) as made:
        await made.file_came()
        await made.plans(plan())
        yield made


async def test_c26_a_look_is_on_record_before_its_answer_leaves(here: World) -> None:
    """Access, audit entry with its rule and the names of what was shown, and the event for the
    bus: all committed when the answer is there.
    """
    seen = await here.look(caller=NURSE)
    assert seen.answer == lookup.FLAGGED
    (access,) = await here.rows("select * from accesses")
    (entry,) = await here.rows("select chain, person, actor, body from audit_entries")
    (event,) = await here.rows("select topic, key, value from outbox")
    assert (access["organisation"], access["author_name"], access["job_role"]) == (
        INFIRMARY,
        "Nora Nurse",
        "Safeguarding nurse",
    )
    assert (access["flagged"], access["listed"], access["unscheduled"]) == (True, True, True)
    body = entry["body"]
    assert (entry["chain"], entry["actor"], entry["person"]) == (
        INFIRMARY,
        "user:nurse",
        KEYS.person(CHILD),
    )
    assert (body["kind"], body["decision"], body["policy"]) == ("access", "permit", "flag-lookup")
    assert (body["purpose"], body["subject"]) == ("urgent-care", f"access:{access['access_id']}")
    assert {"answer", "flags.authority", "flags.phone_office"} <= set(body["fields"])
    told = codec.decode_as(AccessRecorded, bytes(event["value"]))
    assert (told.access_id, event["key"]) == (access["access_id"], KEYS.bus_person(CHILD))
    assert seen.members["policy"] == {"id": "flag-lookup", "version": 1, "withheld": []}


async def test_c26_an_answer_that_cannot_be_recorded_is_not_given(
    here: World, database: Database
) -> None:
    """The audit chain refuses: the look could not be checked, and nothing of it stands anywhere."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "alter table halyard.audit_entries add constraint never check (actor is null) not valid"
        )
    seen = await here.look()
    assert (seen.answer, seen.members["reason"]) == (
        lookup.NOT_CHECKED,
        "the-store-did-not-answer",
    )
    assert "flags" not in seen.members
    assert await here.rows("select from accesses union all select from outbox") == []


async def test_looks_that_wait_go_together(here: World) -> None:
    """A hundred at once take a few transactions, no more than 64 looks in each."""
    seen = await asyncio.gather(*(here.look() for _ in range(100)))
    assert {one.answer for one in seen} == {lookup.FLAGGED}
    batches = await here.rows("select count(*) as n from audit_entries group by xid order by n")
    assert sum(row["n"] for row in batches) == 100
    assert len(batches) <= 4
    assert max(row["n"] for row in batches) <= 64


async def test_a_look_that_cannot_be_stored_fails_alone(here: World) -> None:
    """A name that PostgreSQL does not take: its neighbours in the batch are answered."""
    poison = replace(NURSE, name="Nul\x00", subject="user:poison")
    looks = [ask(caller=poison if number == 5 else NURSE) for number in range(12)]
    seen = await asyncio.gather(*map(here.lookups.look, looks))
    answers = [one.answer for one in seen]
    assert answers[5] == lookup.NOT_CHECKED
    assert answers[:5] + answers[6:] == [lookup.FLAGGED] * 11
    (count,) = await here.rows("select count(*) as n from accesses")
    assert count["n"] == 11


async def test_organisations_do_not_share_a_batch(here: World) -> None:
    """Each look is written under its own organisation, as row-level security wants it."""
    callers = [SYSTEM, WORKER, replace(SYSTEM, organisation=CLINIC, subject="client:clinic")]
    await asyncio.gather(*(here.look(caller=callers[n % 3]) for n in range(30)))
    rows = await here.rows("select organisation, count(*) as n from accesses group by 1 order by 1")
    assert {row["organisation"]: row["n"] for row in rows} == {INFIRMARY: 10, CLINIC: 10, NORTH: 10}
    mixed = await here.rows(
        "select xid from audit_entries group by xid having count(distinct chain) > 1"
    )
    assert mixed == []


async def test_a_store_that_does_not_answer_in_time_is_no_answer(
    here: World, database: Database
) -> None:
    """A table that somebody holds: could-not-be-checked after the time a person waits."""
    impatient = here.more(seconds=0.3)
    async with await psycopg.AsyncConnection.connect(database.owner_url) as other:
        await other.execute("lock table halyard.flags in access exclusive mode")
        seen = await impatient.look(ask())
        assert seen.answer == lookup.NOT_CHECKED
        assert seen.permitted
    assert (await here.look()).answer == lookup.FLAGGED


async def test_every_look_leaves_the_same_behind(here: World) -> None:
    """Restricted, flagged or nobody known: as many rows each, so that the time tells nothing."""
    await here.plans(plan(OTHER, restricted=True))
    for number in (CHILD, OTHER, UNKNOWN):
        await here.look(number)
    for table in ("accesses", "audit_entries", "outbox"):
        (count,) = await here.rows(f"select count(*) as n from {table}")
        assert count["n"] == 3, table


async def test_of_a_restricted_child_no_place_is_shown(here: World) -> None:
    """A restricted plan is held: nobody else's look, no attendance, no authority; and the audit
    names no field that was not shown.
    """
    await here.plans(plan(restricted=True))
    await here.visited(CLINIC, NOW - timedelta(days=3))
    await here.visited(INFIRMARY, NOW - timedelta(hours=1))
    await here.look(caller=replace(NURSE, organisation=CLINIC))
    seen = await here.look(caller=NURSE)
    (shown,) = seen.members["flags"]
    assert shown["restricted"] is True
    assert {shown[name] for name in ("authority", "phone_office", "start", "plan_type")} == {None}
    assert (seen.members["accesses"], seen.accesses) == (None, ())
    assert seen.members["accesses_rule"] == "withheld"
    assert seen.members["earlier_attendances"] is None
    entries = await here.rows("select body from audit_entries")
    assert not any("flags.authority" in row["body"]["fields"] for row in entries)


async def test_the_authority_of_a_restricted_plan_sees_when_somebody_looked(here: World) -> None:
    """Not where from: that is where the child may be."""
    await here.plans(plan(restricted=True))
    await here.look(caller=NURSE)
    seen = await here.look(caller=WORKER)
    (access,) = seen.members["accesses"]
    assert access["at"] == NOW.isoformat()
    assert {access[one] for one in ("organisation", "organisation_name", "name", "job_role")} == {
        None
    }


async def test_who_no_policy_covers_is_shown_nothing_and_it_is_on_record(here: World) -> None:
    """An organisation of no known sector: refused, with the refusal in its chain."""
    seen = await here.look(caller=replace(SYSTEM, organisation=STRANGER))
    assert (seen.permitted, seen.ruling.decision) == (False, Decision.DENY)
    assert "flags" not in seen.members
    (entry,) = await here.rows("select chain, body from audit_entries")
    assert (entry["chain"], entry["body"]["kind"]) == (STRANGER, "refusal")
    assert await here.rows("select from outbox") == []
    (access,) = await here.rows("select flagged, listed from accesses")
    assert access == {"flagged": False, "listed": False}


async def test_the_face_reads_plans_of_those_asked_about_alone(here: World) -> None:
    """Without the check of the application: row-level security shows no other person's, and lets
    nobody record a look of another organisation.
    """
    async with scoped(here.asking, INFIRMARY, [KEYS.person(OTHER)]) as connection:
        found = await (await connection.execute("select from flags")).fetchall()
        assert found == []
    await here.look()
    async with scoped(here.asking, INFIRMARY, [KEYS.person(OTHER)]) as connection:
        assert await (await connection.execute("select from accesses")).fetchall() == []
    with pytest.raises(Exception, match="42501"):
        async with scoped(here.asking, CLINIC, [KEYS.person(CHILD)]) as connection:
            await connection.execute(
                "insert into accesses select %s, person, looked_at, organisation, author, "
                "author_name, author_person, job_role, roles, purpose, reason, unscheduled, "
                "interface, request_id, flagged, listed from accesses limit 1",
                (uuid.uuid4(),),
            )


async def test_a_silent_look_is_recorded_and_published_to_nobody(here: World) -> None:
    """Scheduled care: on record like any other, and no event that could tell an authority."""
    await here.look(unscheduled=False)
    (access,) = await here.rows("select unscheduled, listed from accesses")
    assert access == {"unscheduled": False, "listed": True}
    assert await here.rows("select from outbox") == []


async def test_an_authority_that_says_that_the_child_is_there_is_not_silent(here: World) -> None:
    """Of one's look at another's child that other is told; matching tells none of its own."""
    await here.look(caller=replace(WORKER, organisation=SOUTH), unscheduled=True)
    (access,) = await here.rows("select unscheduled from accesses")
    assert access["unscheduled"] is True
    assert len(await here.rows("select from outbox")) == 1


@pytest.mark.parametrize("unplanned", [True, False])
async def test_a_restricted_person_without_a_plan_is_answered_as_nobody(
    here: World, unplanned: bool
) -> None:
    """To a nurse elsewhere, also through broken glass, and whatever a policy says of restricted
    people: nothing differs from a number that nobody knows, but for the record that a Caldicott
    guardian reviews.
    """
    here.desk.policies = changed(Flow.FLAG_LOOKUP, restricted=())
    await here.visited(CLINIC, NOW - timedelta(hours=5), OTHER, restricted=True)
    await here.visited(CLINIC, NOW - timedelta(days=50), OTHER)
    look = ask if unplanned else broken
    hidden, nobody = [await here.lookups.look(look(one, NURSE)) for one in (OTHER, UNKNOWN)]
    assert (hidden.members, hidden.accesses) == (nobody.members, nobody.accesses)
    assert hidden.answer == lookup.NONE_HELD
    entries = await here.rows(
        "select body from audit_entries where body->>'kind' = 'access' order by recorded_at"
    )
    details = [row["body"]["detail"] for row in entries]
    assert [one.get("person") for one in details if one.get("person")] == ["restricted"]


async def test_of_a_restricted_person_what_is_not_shown_is_not_read(here: World) -> None:
    """So that how long an answer takes does not tell how often somebody is seen or looked at."""
    await here.look(caller=NURSE)
    await here.visited(CLINIC, NOW - timedelta(days=3))
    await here.plans(plan(restricted=True))
    found = []
    for organisation in (INFIRMARY, NORTH):
        async with scoped(here.asking, organisation, [KEYS.person(CHILD)]) as connection:
            asks = [Ask(KEYS.person(CHILD), "user:x")]
            (held,) = await holdings.of_persons(connection, organisation, asks, NOW)
            found.append((len(held.accesses), len(held.attendances), held.restricted))
    assert found == [(0, 0, True), (1, 0, True)]


async def test_who_gave_up_is_not_on_record_as_shown(here: World, database: Database) -> None:
    """One look waits behind another's slow commit; its own would end too late: it leaves nothing
    behind that says it was answered.
    """
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(SLOW_COMMIT)
    impatient = here.more(seconds=1.5)
    first = asyncio.create_task(impatient.look(ask(caller=SYSTEM)))
    await aeventually(lambda: bool(impatient._lanes) and not impatient._lanes[INFIRMARY].waiting)
    second = await impatient.look(ask(caller=NURSE))
    assert (await first).answer == lookup.FLAGGED
    assert second.answer == lookup.NOT_CHECKED
    await aeventually(lambda: not impatient._lanes)
    rows = await here.rows("select actor, body->>'rule' as rule from audit_entries")
    assert rows == [{"actor": SYSTEM.subject, "rule": "permitted"}]


async def test_a_record_that_stands_though_nobody_was_answered_says_so(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the commit: an entry about that look, in the same chain."""
    made = here.more()
    answered = made._answered

    async def lost(*args: Any) -> Any:
        await answered(*args)
        raise DatabaseUnavailable("lost")

    monkeypatch.setattr(made, "_answered", lost)
    assert (await made.look(ask(caller=NURSE))).answer == lookup.NOT_CHECKED
    await aeventually(lambda: not made._lanes)
    shown, not_shown = await here.rows(
        "select chain, body from audit_entries order by body->>'kind'"
    )
    assert (shown["body"]["rule"], not_shown["body"]["rule"]) == ("permitted", "not-shown")
    assert not_shown["body"]["subject"] == shown["body"]["subject"]
    assert not_shown["body"]["detail"] == {"answer": lookup.NOT_CHECKED}
    assert not_shown["chain"] == INFIRMARY


async def test_whoever_gave_up_during_the_commit_is_on_record_as_not_shown(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to read the answer of a look that was committed: an entry says so."""
    made = here.more()
    answered = made._answered

    async def just_too_late(organisation: str, batch: Any) -> Any:
        seen = await answered(organisation, batch)
        made._give_up(batch)
        return seen

    monkeypatch.setattr(made, "_answered", just_too_late)
    assert (await made.look(ask(caller=NURSE))).answer == lookup.NOT_CHECKED
    await aeventually(lambda: not made._lanes)
    rows = await here.rows("select body->>'rule' as rule from audit_entries")
    assert sorted(row["rule"] for row in rows) == ["not-shown", "permitted"]


async def test_what_covers_a_negative_answer_is_read_once_a_second(here: World) -> None:
    """With the time that it is of."""
    first = await here.look(UNKNOWN)
    here.now = NOW + timedelta(seconds=30)
    second = await here.look(UNKNOWN)
    assert (first.answer, second.answer) == (lookup.NONE_HELD, lookup.NONE_HELD)
    assert second.members["as_of"] != first.members["as_of"]
    assert second.members["coverage_as_of"] == NOW.isoformat()
