"""What nobody decides: few asked at a time, one failure stops nothing, no alert stays for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from halyard.postgres import transaction
from stores.coverage import coverage
from streams.tracer.housekeeping import retention
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World
from tests.support.worklist import decide, ended, entry_of, order

SLIP = replace(CHILD, birth_date="2016-03-14")
SWAPPED = replace(CHILD, family=CHILD.given[0], given=(CHILD.family or "",))


async def unmatched(world: World) -> int:
    """What a negative look-up says of the authority."""
    async with transaction(world.pool) as connection:
        return (await coverage(connection))[make.AUTHORITY].unmatched_records


async def test_unmatched_records_are_counted_by_an_index(world: World) -> None:
    """Each look-up counts them: among very many entries the plan reads no table."""
    async with world.pool.connection() as connection:
        await connection.execute(
            "insert into uploads (upload_id, authority, sequence, received_at) "
            "select gen_random_uuid(), 'E0800000' || (i % 9), i, now() "
            "from generate_series(1, 90) i"
        )
        await connection.execute(
            "insert into worklist (entry_id, reported_event_id, event_kind, organisation, source, "
            "rule, indicator, opened_at, closed_at, closed_rule) "
            "select gen_random_uuid(), gen_random_uuid(), "
            "case when i % 3 = 0 then 'flag' else 'attendance' end, 'E0800000' || (i % 9), 'x', "
            "'pds.not_found', 'S04', now(), case when i > 1000 then now() end, "
            "case when i > 1000 then case when i % 50 = 0 then 'expired' else 'x' end end "
            "from generate_series(1, 50000) i"
        )
        await connection.execute("analyze worklist")
        cursor = await connection.execute(
            "explain select authority, last_file_at, unmatched_records from coverage"
        )
        plan = "\n".join(str(row) for row in await cursor.fetchall())
    assert "worklist_unmatched" in plan, plan
    assert "Seq Scan on worklist" not in plan


async def test_scheduled_questions_hold_up_no_arrival(world: World) -> None:
    """Of 25 that are due ten are asked, the least urgent of all; an arrival goes before them, and
    the rest follow as these end. Their times are spread.
    """
    nobody = replace(CHILD, nhs_number=None, given=("Sam",), birth_date="2014-02-20")
    await world.take(
        *(
            make.flag(replace(nobody, family=f"Nobody{chr(97 + i)}"), line=i + 1, local_id=f"C{i}")
            for i in range(25)
        )
    )
    await world.trace_all()
    times = {row["next_try_at"] for row in await world.rows("select next_try_at from worklist")}
    assert len(times) > 15
    world.now = make.NOW + timedelta(hours=1.2)
    resolver = world.new_resolver()
    for _ in range(2):
        await resolver.keep()
        await resolver.work()
    waiting = "select priority, count(*) from trace_requests where state = 'queued' group by 1"
    assert await world.rows(waiting) == [{"priority": 6, "count": 10}]
    await world.take(make.attendance(message_id="later", visit="V2", local_id="L2"))
    first = (await world.new_tracer().lease())[0]
    assert first.purpose == "claims"
    await world.rows("update trace_requests set state = 'queued' where state = 'leased'")
    await world.trace_all()
    await resolver.keep()
    await resolver.work()
    assert await world.rows(waiting) == [{"priority": 6, "count": 10}]


async def test_one_bad_decision_stops_no_other(world: World) -> None:
    """What fails in the same way each time ends refused, and the next is carried out."""
    one = make.flag(SLIP)
    two = make.flag(replace(SLIP, family="Zz"), line=2, local_id="C2")
    await world.take(one, two)
    await world.trace_all()
    bad = await order(world, one, "reject", code="nobody")
    good = await order(world, two, "reject", code="nobody")
    await world.rows(
        "update claims set event = '\\x0000000001ff'::bytea where reported_event_id = %(event)s",
        event=one.event_id,
    )
    assert await world.new_resolver().work() == 2
    failed = await ended(world, bad)
    assert (failed.state, failed.outcome) == ("refused", "resolution.failed")
    assert (await ended(world, good)).state == "done"
    asked = await order(world, one, "retry")
    await world.new_resolver().work()
    assert (await ended(world, asked)).outcome == "resolution.failed"


async def test_an_alert_stands_as_long_as_somebody_may_decide_it(world: World) -> None:
    """Nobody worked the list over a week-end: the provisional alert stands, and can still be
    resolved; after thirty days it is taken back with the entry, not left for ever.
    """
    stages = BothStages(world)
    await stages.take(make.flag())
    await stages.trace()
    arrival = make.attendance(SWAPPED)
    await stages.take(arrival)
    await stages.trace()
    assert len(await stages.live()) == 1
    for hours in (49, 29 * 24):
        world.now = make.NOW + timedelta(hours=hours)
        async with transaction(world.pool) as connection:
            await retention(connection, world.now)
        await world.new_resolver().keep()
        await world.new_resolver().work()
        await stages.hand_over()
        assert (await entry_of(world, arrival)).closed_at is None
        assert len(await stages.live()) == 1
    world.now = make.NOW + timedelta(days=31)
    await world.new_resolver().keep()
    await world.new_resolver().work()
    await stages.hand_over()
    assert (await entry_of(world, arrival)).closed_rule == "expired"
    assert await world.states(arrival) == [("not_traced", "expired")]
    assert world.holding()[arrival.event_id] is None
    assert await stages.live() == []


async def test_an_alert_that_stood_can_be_resolved_in_the_third_week(world: World) -> None:
    """Body and person are there as long as the alert is."""
    await world.take(make.flag())
    await world.trace_all()
    arrival = make.attendance(SWAPPED)
    await world.take(arrival)
    await world.trace_all()
    world.now = make.NOW + timedelta(days=16)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    await world.new_resolver().keep()
    despite = ("family", "given")
    done = await decide(world, arrival, "resolve", number=CHILD.nhs_number, despite=despite)
    assert done.state == "done", done.outcome


async def test_what_matched_nobody_counts_until_it_is_sent_again(world: World) -> None:
    """Expired, or closed because nobody was found: a negative look-up says so, until the plan is
    held. A test record is none.
    """
    wrong = replace(CHILD, birth_date="2011-01-01")
    other = replace(wrong, nhs_number=make.number(3))
    expired = make.flag(wrong)
    nobody = make.flag(wrong, upload="U3", start="2026-02-02")
    test = make.flag(other, upload="U4", local_id="C7")
    await world.take(expired, nobody, test)
    await world.trace_all()
    assert await unmatched(world) == 3
    await decide(world, test, "reject", code="test-record")
    await decide(world, nobody, "reject", code="nobody")
    assert await unmatched(world) == 2
    world.now = make.NOW + timedelta(days=31)
    await world.new_resolver().keep()
    assert (await entry_of(world, expired)).closed_rule == "expired"
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    assert await unmatched(world) == 2
    await world.take(make.flag(upload="U2", received_at=world.now))
    await world.trace_all()
    assert await unmatched(world) == 0
    assert (await entry_of(world, nobody)).closed_rule == "flag-sent-again"


async def test_what_a_person_has_asked_again_is_no_try(world: World) -> None:
    """Its own schedule goes on as it stood, and it is asked after arrivals."""
    nobody = replace(CHILD, nhs_number=None, given=("Sam",), birth_date="2014-02-20")
    flag = make.flag(nobody)
    await world.take(flag)
    await world.trace_all()
    before = await entry_of(world, flag)
    done = await decide(world, flag, "retry")
    assert done.state == "done"
    asked = "select priority from trace_requests where purpose = 'resolution'"
    assert await world.value(asked) == 4
    after = await entry_of(world, flag)
    assert (after.tries, after.next_try_at) == (0, before.next_try_at)


async def test_what_has_ended_is_not_asked_of_pds(world: World) -> None:
    """The decision is told, and no call is spent."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    late = await order(world, flag, "resolve", number=CHILD.nhs_number)
    await world.rows("update worklist set closed_at = now(), closed_rule = 'expired'")
    await world.new_resolver().work()
    assert (await ended(world, late)).outcome == "resolution.overtaken"
    purposes = await world.rows("select purpose from trace_requests where purpose = 'resolution'")
    assert purposes == []
