"""What changes with time is asked again by itself, at low priority; what nobody resolves ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from halyard import metrics
from halyard.postgres import transaction
from schemas.events import PlanType
from streams.tracer.housekeeping import retention, worklist_gauges
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide, entry_of

NEWBORN = replace(CHILD, nhs_number=None, given=("Sam",), birth_date="2026-02-20")


async def keep(world: World) -> None:
    """A minute of housekeeping, and a round of the worklist."""
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    await world.new_resolver().keep()
    await world.new_resolver().work()


async def test_a_newborn_is_found_when_pds_has_heard_of_it(world: World) -> None:
    """Status 08; asked again after an hour, then six, once each; then found, and the flag held."""
    flag = make.flag(NEWBORN)
    await world.take(flag)
    await world.trace_all()
    assert await world.value("select indicator from worklist") == "S08"
    await keep(world)
    assert await world.value("select count(*) from resolutions") == 0
    for hours in (1, 6):
        world.now = make.NOW + timedelta(hours=1.2 * hours)
        await keep(world)
        await keep(world)
        [asked] = await world.rows(
            "select purpose, priority from trace_requests where state = 'queued'"
        )
        assert (asked["purpose"], asked["priority"]) == ("resolution", 6)
        if hours == 6:
            world.knows(person_of(replace(NEWBORN, nhs_number=make.number(4))))
        await world.trace_all()
    assert [state for state, _ in await world.states(flag)] == ["verified"]
    entry = await entry_of(world, flag)
    assert (entry.tries, entry.next_try_at, entry.ended_by) == (2, None, None)
    assert entry.closed_rule is not None
    assert entry.closed_rule.startswith("pds.search.")
    assert await world.answers() == {1: "CPR06"}
    assert await world.value("select count(*) from audit_entries") == 0


async def test_a_retry_that_finds_nothing_says_nothing_new(world: World) -> None:
    """No message, no change of the answer; after the last delay nobody is asked any more."""
    flag = make.flag(NEWBORN)
    await world.take(flag)
    await world.trace_all()
    said = len(world.sent)
    for hours in (1, 6, 24, 72, 168):
        world.now = make.NOW + timedelta(hours=1.2 * hours + 1)
        await keep(world)
        await world.trace_all()
    assert len(world.sent) == said
    entry = await entry_of(world, flag)
    assert (entry.tries, entry.next_try_at, entry.closed_at) == (5, None, None)


async def test_a_conflict_is_not_asked_again_by_itself(world: World) -> None:
    """Only somebody's word changes it; a person may have it asked again all the same."""
    flag = make.flag(replace(CHILD, birth_date="2011-01-01"))
    await world.take(flag)
    await world.trace_all()
    assert (await entry_of(world, flag)).next_try_at is None
    world.knows(person_of(CHILD, birth_date="2011-01-01"))  # PDS was corrected
    done = await decide(world, flag, "retry")
    assert done.state == "done"
    assert done.outcome is not None
    assert done.outcome.startswith("pds.get.number_birth_date")
    assert await world.answers() == {1: "CPR06"}


async def test_a_retry_parks_nothing_behind_it(world: World) -> None:
    """A worklist entry holds up nobody, nor does what is asked for its sake (rule 7)."""
    arrival = make.attendance(NEWBORN)
    await world.take(arrival)
    await world.trace_all()
    world.now = make.NOW + timedelta(hours=1.2)
    await keep(world)
    assert await world.value("select count(*) from parked_keys") == 0
    await world.take(make.attendance(CHILD, message_id="later", visit="V2", local_id="L2"))
    assert await world.value("select count(*) from trace_requests where state = 'queued'") == 2
    assert await world.value("select max(priority) from trace_requests") == 6


async def test_a_flag_is_kept_until_its_entry_ends(world: World) -> None:
    """Its body outlives the 48 hours, so that a person can resolve it in the fourth week; then the
    entry ends with its answer, and the body and what was shown go.
    """
    flag = make.flag(replace(CHILD, birth_date="2011-01-01"))
    other = make.flag(NEWBORN, line=2, local_id="C2")
    await world.take(flag, other)
    await world.trace_all()
    world.now = make.NOW + timedelta(days=29)
    await keep(world)
    number = CHILD.nhs_number
    done = await decide(world, flag, "resolve", number=number, despite=("birth_date",))
    assert done.state == "done"
    assert (await world.answers())[1] == "CPR06"
    world.now = make.NOW + timedelta(days=32)
    await keep(world)
    await keep(world)
    entry = await entry_of(world, other)
    assert (entry.closed_rule, entry.claim, entry.next_try_at) == ("expired", None, None)
    assert await world.value("select count(*) from claims where event is not null") == 0
    detail = await world.value("select detail from upload_answers where line = 2")
    assert "nobody resolved it" in detail
    assert (await world.answers())[2] == "CPR01"
    unmatched = "select unmatched_records from coverage where authority = %(gss)s"
    assert await world.value(unmatched, gss=make.AUTHORITY) == 1


async def test_an_arrival_ends_with_its_48_hours(world: World) -> None:
    """The child is not to be found in the building any more; what PDS still answers is too late."""
    arrival = make.attendance(NEWBORN)
    await world.take(arrival)
    await world.trace_all()
    world.now = make.NOW + timedelta(hours=47)
    await keep(world)
    await world.trace_all()
    assert (await entry_of(world, arrival)).closed_at is None
    world.now = make.NOW + timedelta(hours=48, minutes=1)
    await keep(world)
    entry = await entry_of(world, arrival)
    assert (entry.closed_rule, entry.claim) == ("expired", None)
    assert await world.states(arrival) == [("unresolved", "pds.search_no_match")]


async def test_what_is_open_is_counted(world: World) -> None:
    """By kind and group; age of the oldest."""
    await world.take(make.flag(NEWBORN), make.flag(replace(CHILD, given=("Alex",)), line=2))
    await world.trace_all()
    async with transaction(world.pool) as connection:
        await worklist_gauges(connection, world.now + timedelta(hours=2))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("halyard_worklist_open", kind="flag", group="nobody") == 1
    assert value("halyard_worklist_open", kind="flag", group="conflict") == 1
    assert value("halyard_worklist_age_seconds", kind="flag", group="nobody") == 7200
    assert value("halyard_worklist_open", kind="death", group="nobody") == 0


async def test_a_plan_that_is_sent_again_ends_the_entry_however_old(world: World) -> None:
    """The clerk corrects the record at home and sends it: the old entry ends, that of the child's
    other plan does not.
    """
    wrong = replace(CHILD, birth_date="2011-01-01")
    plan = make.flag(wrong)
    other = make.flag(wrong, line=2, plan_type=PlanType.LAC)
    await world.take(plan, other)
    await world.trace_all()
    world.now = make.NOW + timedelta(days=9)
    await keep(world)
    await world.take(make.flag(upload="U2", received_at=world.now))
    await world.trace_all()
    assert (await entry_of(world, plan)).closed_rule == "flag-sent-again"
    assert (await entry_of(world, other)).closed_at is None
