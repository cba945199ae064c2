"""A changed number that the hub learns from an answer it asked for something else, and an answer
that is older than what is known by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.pds.outcomes import Found
from halyard.postgres import transaction
from schemas.changes import PersonChangeKind
from schemas.events import AlertChange
from stores import trace_requests
from stores.alerts import RAISED, AlertRow
from stores.trace_requests import TracePurpose, TraceRequest
from streams.identity.answers import TraceAnswer, answer_of
from streams.tracer.rechecks import ASKED_AGAIN_AT_MOST
from tests.support import identity as make
from tests.support import tracing
from tests.support import worklist as desk
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

OLD = CHILD.nhs_number or ""
NEW = make.number(50)
OLD_PERSON, NEW_PERSON = make.KEYS.person(OLD), make.KEYS.person(NEW)


@pytest.fixture
def stages(world: World) -> BothStages:
    """Identity, tracer and matching on one database."""
    return BothStages(world)


def supersede(world: World, **changes: object) -> None:
    """PDS merges the child's record into another."""
    world.knows(
        person_of(replace(CHILD, nhs_number=NEW), **changes),
        person_of(CHILD, superseded_by=NEW),
    )


async def flagged(stages: BothStages) -> None:
    """A plan, of which PDS was asked yesterday."""
    await stages.take(make.flag())
    await stages.trace()
    stages.world.now += timedelta(hours=30)


async def provisional_alert(stages: BothStages) -> AlertRow:
    """The plan, and an arrival that alerts before PDS has answered."""
    await flagged(stages)
    await stages.take(make.attendance())
    (alert,) = await stages.live()
    assert alert.provisional
    stages.told.clear()
    return alert


async def leased(world: World) -> dict[TracePurpose, TraceRequest]:
    """What a tracer asks now, by purpose."""
    return {one.purpose: one for one in await world.new_tracer().lease()}


async def answered(world: World, request: TraceRequest) -> TraceAnswer:
    """What PDS says to it now."""
    said = answer_of(await world.client().get(OLD, request.request_ids[0]))
    assert isinstance(said, TraceAnswer)
    return said


async def test_an_arrivals_own_answer_moves_the_plan_with_the_alert(
    stages: BothStages, world: World
) -> None:
    """Superseded, by the answer to the arrival: one alert, the same, confirmed under the number
    that stands; never withdrawn, and no word of the change was needed."""
    before = await provisional_alert(stages)
    supersede(world)
    await stages.trace()
    (after,) = await stages.alerts()
    assert (after.alert_id, after.person, after.state, after.provisional) == (
        before.alert_id,
        NEW_PERSON,
        RAISED,
        False,
    )
    assert AlertChange.WITHDRAWN not in [one.change for one in stages.told]
    assert await world.rows("select person from flags") == [{"person": NEW_PERSON}]
    assert await world.rows("select person, successor from number_successors") == [
        {"person": OLD_PERSON, "successor": NEW_PERSON}
    ]
    assert await world.rows("select person from identities") == [{"person": NEW_PERSON}]
    assert await world.answers() == {1: "CPR05"}
    letters = await world.rows("select kind, organisation from letters")
    told = [row["kind"] for row in letters if row["organisation"] == make.AUTHORITY]
    assert told == ["number-superseded"]


async def test_an_arrivals_own_answer_quarantines_the_number(
    stages: BothStages, world: World
) -> None:
    """Invalidated, by the answer to the arrival: the alert that was told stays, the plan is taken
    back, and its authority is written to."""
    before = await provisional_alert(stages)
    world.knows(person_of(CHILD, invalidated=True))
    await stages.trace()
    (after,) = await stages.alerts()
    assert (after.alert_id, after.state, stages.told) == (before.alert_id, RAISED, [])
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from identities") == 0
    assert await world.rows("select person from inactive_numbers") == [{"person": OLD_PERSON}]
    assert await world.answers() == {1: "CPR07"}
    letters = await world.rows("select kind, organisation from letters")
    assert [tuple(row.values()) for row in letters] == [("number-invalidated", make.AUTHORITY)]
    assert await world.value("select count(*) from trace_requests where state = 'queued'") == 0


async def test_a_restricted_successor_is_verified_before_it_is_told(
    stages: BothStages, world: World
) -> None:
    """The same answer verifies the arrival: the alert goes on, without its place."""
    await provisional_alert(stages)
    supersede(world, restricted=True)
    await stages.trace()
    (after,) = await stages.live()
    assert (after.person, after.restricted, after.provisional, after.content.hospital) == (
        NEW_PERSON,
        True,
        False,
        "",
    )


async def test_a_contradicting_successor_takes_no_alert_back(
    stages: BothStages, world: World
) -> None:
    """PDS leads from the child's number to another child: the arrival fits the plan as before, and
    its alert stands until a person has looked."""
    before = await provisional_alert(stages)
    supersede(world, family="Somebody", given=("Else",), birth_date="2011-01-01")
    await stages.trace()
    (after,) = await stages.live()
    assert (after.alert_id, after.person) == (before.alert_id, OLD_PERSON)
    assert await world.rows("select person from flags") == [{"person": OLD_PERSON}]
    rows = await world.rows("select event_kind, rule from worklist where closed_at is null")
    assert ("flag", "number-superseded-differs") in [tuple(row.values()) for row in rows]


async def test_a_plan_that_ends_under_the_old_number_ends(stages: BothStages, world: World) -> None:
    """The end and the plan go to the successor: none stays open under the number that is dead."""
    await flagged(stages)
    world.now += timedelta(days=40)
    supersede(world)
    ended = make.flag(line=1, upload="U2", received_at=world.now, end="2026-03-01")
    await stages.take(replace(ended, sequence=9))
    await stages.trace()
    rows = await world.rows("select person, end_date is null as open from flags")
    assert [tuple(row.values()) for row in rows] == [(NEW_PERSON, False)]


async def test_a_persons_resolution_moves_the_plan_first(stages: BothStages, world: World) -> None:
    """Who resolves an arrival to the old number has the plan come along."""
    await flagged(stages)
    unnamed = make.attendance(replace(CHILD, nhs_number=None, family="Unlike"))
    await stages.take(unnamed)
    await stages.trace()
    assert await stages.live() == []
    supersede(world)
    decided = await desk.decide(world, unnamed, "resolve", number=OLD, despite=("family",))
    await stages.hand_over()
    assert decided.state == "done"
    (alert,) = await stages.live()
    assert alert.person == NEW_PERSON
    assert await world.rows("select person from flags") == [{"person": NEW_PERSON}]


async def test_a_line_of_a_batch_has_the_known_person_asked_about(world: World) -> None:
    """A file's question learns that a flagged child's number was superseded: a recheck follows."""
    await world.take(make.flag())
    await world.trace_all()
    supersede(world)
    mine = tracing.batches(world)
    await tracing.put(world, [CHILD])
    assert await mine.feed() == 1
    [asked] = await world.new_tracer().lease()
    await tracing.tracer(world, mine).trace(asked)
    rows = await world.rows(
        "select token, priority from trace_requests where purpose = 'recheck' and state = 'queued'"
    )
    assert [tuple(row.values()) for row in rows] == [(OLD_PERSON, 2)]


async def test_an_older_answer_undoes_no_supersession(stages: BothStages, world: World) -> None:
    """ "Found", from before the merge, comes after it: PDS is asked again, and what it says then
    counts."""
    before = await provisional_alert(stages)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    older = await answered(world, asked["claims"])
    assert isinstance(older.outcome, Found)
    supersede(world)
    tracer = world.new_tracer()
    await tracer.trace(asked["recheck"])
    assert not await tracer._releases["claims"](asked["claims"], older)
    await stages.hand_over()
    await stages.trace()
    assert await world.value("select successor from number_successors") == NEW_PERSON
    (after,) = await stages.alerts()
    assert (after.alert_id, after.person, after.state, after.provisional) == (
        before.alert_id,
        NEW_PERSON,
        RAISED,
        False,
    )
    assert await world.value("select count(*) from claims where person = %(p)s", p=OLD_PERSON) == 0


async def test_an_older_answer_undoes_no_quarantine(stages: BothStages, world: World) -> None:
    """A plan that another authority sent is not held by an answer from before."""
    await flagged(stages)
    world.now += timedelta(days=40)
    second = make.flag(line=2, local_id="C2", authority=make.LONELY_AUTHORITY, upload="U9")
    await stages.take(second)
    await stages.take(make.changed(OLD))
    asked = await leased(world)
    older = await answered(world, asked["claims"])
    world.knows(person_of(CHILD, invalidated=True))
    tracer = world.new_tracer()
    await tracer.trace(asked["recheck"])
    assert not await tracer._releases["claims"](asked["claims"], older)
    await stages.trace()
    assert await world.rows("select person from inactive_numbers") == [{"person": OLD_PERSON}]
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from identities") == 0


async def test_an_answer_to_an_earlier_lease_counts_no_more(world: World) -> None:
    """Whoever was given the request later has the newer answer."""
    await world.take(make.flag())
    asked = await leased(world)
    await world.rows("update trace_requests set lease_until = now() - interval '1 second'")
    again = await leased(world)
    async with transaction(world.pool) as connection:
        assert await trace_requests.hold(connection, asked["claims"]) is None
        assert await trace_requests.hold(connection, again["claims"]) is not None


async def test_an_outage_is_no_word_that_there_is_no_record(
    stages: BothStages, world: World
) -> None:
    """Leases that ended without an answer count for nothing: "no record" is asked for three times,
    ten minutes apart and more, before a person looks."""
    await stages.take(make.flag())
    await stages.trace()
    world.pds.pds.register = type(world.pds.pds.register)([])
    await world.take(make.changed(OLD))
    await world.rows("update trace_requests set attempts = 30 where state = 'queued'")
    for asked in range(1, ASKED_AGAIN_AT_MOST):
        await world.trace()
        wait = await world.value(
            "select extract(epoch from due_at - now()) from trace_requests where state = 'queued'"
        )
        assert 590 * asked < wait <= 600 * asked
        assert await world.value("select count(*) from worklist") == 0
        await world.rows("update trace_requests set due_at = now() where state = 'queued'")
    await world.trace()
    assert await world.rows("select rule from worklist") == [{"rule": "number-not-found"}]


async def test_a_word_about_whom_a_flag_just_asks_is_kept(world: World) -> None:
    """The answer under way may be older than the word: once the child is known, PDS is asked
    again."""
    await world.take(make.flag())
    asked = await leased(world)
    older = await answered(world, asked["claims"])
    await world.take(make.changed(OLD, PersonChangeKind.RECORD))
    world.knows(person_of(CHILD, restricted=True))
    tracer = world.new_tracer()
    recheck = (await leased(world))["recheck"]
    await tracer.trace(recheck)  # sooner than the flag's: it waits for that
    assert await world.value("select state from trace_requests where purpose = 'recheck'") == (
        "queued"
    )
    assert await tracer._releases["claims"](asked["claims"], older)
    assert not await world.value("select restricted from identities")
    await world.rows("update trace_requests set due_at = now() where state = 'queued'")
    await world.trace_all()
    assert await world.value("select restricted from identities")


async def test_a_merge_that_matching_hears_of_first_alerts_once(
    stages: BothStages, world: World
) -> None:
    """Superseded before matching has taken plan or visit: one alert, of the successor."""
    await world.take(make.flag())
    await world.trace_all()
    await world.take(make.attendance())
    await world.trace_all()
    supersede(world)
    await world.take(make.changed(OLD))
    await world.trace_all()
    await stages.hand_over()
    (alert,) = await stages.alerts()
    assert (alert.person, alert.state, alert.version) == (NEW_PERSON, RAISED, 1)
    assert await world.rows("select person from flags") == [{"person": NEW_PERSON}]


async def test_a_visit_that_matching_has_not_taken_follows_its_plan(
    stages: BothStages, world: World
) -> None:
    """The plan is matching's already, the visit is still on the bus when the number changes."""
    await stages.take(make.flag())
    await stages.trace()
    await world.take(make.attendance())
    await world.trace_all()
    supersede(world)
    await world.take(make.changed(OLD))
    await world.trace_all()
    await stages.hand_over()
    (alert,) = await stages.alerts()
    assert (alert.person, alert.state) == (NEW_PERSON, RAISED)


async def test_a_quarantine_that_matching_hears_of_first_tells_nobody(
    stages: BothStages, world: World
) -> None:
    """Nothing was told under the number, and nothing is from now on."""
    await world.take(make.flag())
    await world.trace_all()
    await world.take(make.attendance())
    await world.trace_all()
    world.knows(person_of(CHILD, invalidated=True))
    await world.take(make.changed(OLD))
    await world.trace_all()
    await stages.hand_over()
    assert await stages.alerts() == []
    assert await world.value("select count(*) from flags") == 0
    assert await world.value("select count(*) from visits where person is not null") == 0
