"""Merged patients on a real PostgreSQL: interleavings, and through both stages to the alerts."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard.postgres import transaction
from schemas.events import PersonClaim, VisitEventKind
from stores import claims, merges
from stores.alerts import WITHDRAWN
from stores.merges import MOST, Merge
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.waiting import aeventually

PERSON = make.known().person
TWIN = replace(CHILD, nhs_number=make.number(3), given=("Jamie",))
R = make.KEYS.source_patient("feed", "R", None, None)
S = make.KEYS.source_patient("feed", "S", None, None)


@pytest.mark.parametrize("first", ["merge", "event"])
async def test_c05_a_merge_and_the_retired_patients_event_cross(world: World, first: str) -> None:
    """Two workers meet at the retired patient's key; whoever is first, the event ends under the
    surviving patient, once.
    """
    await world.take(make.flag())
    await world.trace()
    merge, event = make.merge("R", "S"), make.attendance(local_id="R")
    order = [merge, event] if first == "merge" else [event, merge]
    async with world.locked(f"key:{R}"):
        running = []
        for count, one in enumerate(order, start=1):
            running.append(asyncio.create_task(world.new_stage().process([make.incoming(one)])))
            await world.blocked(count)
    await asyncio.gather(*running)
    assert await world.value("select key from claims where visit_id = %(v)s", v=event.visit_id) == S
    assert world.holding()[event.event_id] == (PERSON, "VERIFIED")
    said = [one.revision for one in world.said() if one.event == event.event_id]
    assert said == ([1] if first == "merge" else [1, 2])


async def test_c05_a_merge_and_the_answer_of_the_retired_patients_trace_cross(
    world: World,
) -> None:
    """The tracer holds the answer to the retired id's question while a merge moves what waits: the
    answer still finds it, under the surviving id.
    """
    arrival = make.attendance(local_id="R")
    await world.take(arrival)
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    async with world.locked(f"key:{R}"):
        merging = asyncio.create_task(world.take(make.merge("R", "S")))
        await world.blocked(1)
        answering = asyncio.create_task(tracer.trace(request))
        await world.blocked(2)
    await asyncio.gather(merging, answering)
    assert await world.states(arrival) == [("verified", "pds.get.number_birth_date_names")]
    assert await world.value("select count(*) from parked_keys") == 0


async def test_c05_later_batches_find_the_merge(world: World) -> None:
    """A chain of merges in other batches than the events: all are the last survivor's."""
    await world.take(make.merge("S", "T", minutes=2))
    await world.take(make.attendance(local_id="R", visit="V1"))
    await world.take(make.merge("R", "S"))
    await world.take(make.attendance(PersonClaim(), local_id="S", visit="V2"))
    await world.trace_all()
    survivor = make.KEYS.source_patient("feed", "T", None, None)
    rows = await world.rows("select key, person from claims where rule not like 'merge%%'")
    assert {(row["key"], row["person"]) for row in rows} <= {(survivor, PERSON), (survivor, None)}
    assert await world.value("select count(*) from claims where state = 'verified'") == 2


async def test_c09_a_merge_answers_for_what_only_stood_provisionally(world: World) -> None:
    """The retired id went provisionally to one child, the survivor is verified as another whom
    nothing contradicts: retraction and assertion, with the next revisions.
    """
    namesake = replace(CHILD, nhs_number=make.number(4))
    world.knows(person_of(namesake))
    await world.take(make.flag(), make.flag(namesake, line=2, local_id="C2"))
    await world.trace_all()
    world.fault(down=True)
    maybe = make.attendance(replace(CHILD, nhs_number=None), local_id="R", visit="V1")
    await world.take(maybe)
    before = world.holding()[maybe.event_id]
    assert before is not None
    assert before[1] == "PROVISIONAL"
    other = namesake if before[0] == PERSON else CHILD
    await world.take(make.attendance(other, local_id="S", visit="V2"), make.merge("R", "S"))
    assert world.holding()[maybe.event_id] == (make.known(other).person, "VERIFIED")
    said = [one for one in world.said() if one.event == maybe.event_id]
    assert [(one.revision, one.assertion) for one in said[-2:]] == [
        (said[-2].revision, "RETRACTED"),
        (said[-2].revision + 1, "ASSERTED"),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_c05_one_child_under_two_ids_has_one_live_alert_after_the_merge(
    world: World, order: tuple[int, ...]
) -> None:
    """Two registrations of one child, and their merge, in every order: exactly one live alert,
    about both visits; a second was joined to it.
    """
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    events = [
        make.attendance(local_id="R", visit="V1"),
        make.attendance(local_id="S", visit="V2"),
        make.merge("R", "S"),
    ]
    for place in order:
        await hub.take(events[place])
    (row,) = await hub.live()
    assert set(row.visit_ids) == {events[0].visit_id, events[1].visit_id}
    joined = [one.rule for one in await hub.alerts() if one.state == WITHDRAWN]
    assert joined == (["episode-joined"] if order[2] == 2 else [])
    cancel = make.attendance(PersonClaim(), local_id="R", visit="V1", kind=VisitEventKind.CANCEL)
    await hub.take(cancel)
    (row,) = await hub.live()
    assert row.visit_ids == (events[1].visit_id,)


async def test_an_unresolved_arrival_alerts_once_its_id_is_merged_into_a_known_one(
    world: World,
) -> None:
    """A child without a number was on the worklist; the hospital merges the id: the alert."""
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    lost = make.attendance(PersonClaim(family="Testchild"), local_id="R", visit="V1")
    known = make.attendance(local_id="S", visit="V2", kind=VisitEventKind.UPDATE)
    await hub.take(lost, known)
    assert await hub.live() == []
    await hub.take(make.merge("R", "S"))
    (row,) = await hub.live()
    assert row.visit_ids == (lost.visit_id,)
    assert await world.value("select closed_rule from worklist") == "merged"


async def test_a_merge_itself_says_who_an_unidentified_arrival_was(world: World) -> None:
    """Nobody was known under either id: the merge's own patient is the evidence for the alert."""
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    lost = make.attendance(PersonClaim(family="Unknown"), local_id="R", visit="V1")
    await hub.take(lost)
    assert await hub.live() == []
    known = make.attendance(local_id="S").claim
    await hub.take(replace(make.merge("R", "S"), claim=known))
    (row,) = await hub.live()
    assert row.visit_ids == (lost.visit_id,)
    assert not row.provisional


async def test_an_unidentified_arrival_alerts_once_the_merge_says_who_it_was(world: World) -> None:
    """Nothing else is known of the surviving id: the merge message's own number and names are
    evidence for what waits under the retired one, and leave no worklist entry or visit.
    """
    hub = BothStages(world)
    await hub.take(make.flag())
    await hub.trace()
    lost = make.attendance(PersonClaim(family="Unknown"), local_id="R", visit="V1")
    await hub.take(lost)
    merge = make.merge("R", "S")
    await hub.take(replace(merge, claim=replace(CHILD, local_id="S")))
    (row,) = await hub.live()
    assert row.visit_ids == (lost.visit_id,)
    assert await world.value("select count(*) from worklist where closed_at is null") == 0
    assert await world.value("select count(*) from visits") == 1


async def test_two_children_merged_by_mistake_keep_both_alerts(world: World) -> None:
    """Twins under one id: no alert is withdrawn, and the worklist says that a person must look."""
    hub = BothStages(world)
    world.knows(person_of(TWIN))
    await hub.take(make.flag(), make.flag(TWIN, line=2, local_id="C2"))
    await hub.trace()
    merge = make.merge("R", "S")
    await hub.take(
        make.attendance(local_id="R", visit="V1"), make.attendance(TWIN, local_id="S", visit="V2")
    )
    await hub.take(merge)
    assert {one.person for one in await hub.live()} == {PERSON, make.known(TWIN).person}
    rows = await world.rows("select rule, reported_event_id from worklist where closed_at is null")
    assert rows == [{"rule": "merge-conflict", "reported_event_id": merge.event_id}]


@pytest.mark.parametrize("retained", [False, True])
async def test_a_wrong_merge_is_noticed_however_old_the_evidence(
    world: World, retained: bool
) -> None:
    """One twin was seen 60 hours ago, and cannot be compared: the merge is on the worklist, and
    a bare arrival under that id is not given to the other twin.
    """
    hub = BothStages(world)
    world.knows(person_of(TWIN))
    await hub.take(make.flag(), make.flag(TWIN, line=2, local_id="C2"))
    await hub.trace()
    old = make.NOW - timedelta(hours=60)
    await hub.take(make.attendance(local_id="R", visit="V1", received_at=old))
    if retained:
        async with world.pool.connection() as connection:
            await claims.retain(connection, before=make.NOW - timedelta(hours=48))
    await hub.take(make.attendance(TWIN, local_id="S", visit="V2"))
    merge, bare = make.merge("R", "S"), make.attendance(PersonClaim(), local_id="R", visit="V3")
    await hub.take(merge)
    await hub.take(bare)
    assert await world.states(merge, bare) == [
        ("unresolved", "merge-conflict"),
        ("unresolved", "child-without-evidence"),
    ]


async def test_a_bin_of_merges_holds_nobody_up(world: World) -> None:
    """Thousands of patients merged into one: an event of one of them is decided by itself, without
    taking the locks of all, and a further merge is on the worklist.
    """
    survivor = make.merge("J0", "BIN")
    binned = [
        Merge(
            retired_key=make.KEYS.source_patient("feed", f"J{one}", None, None),
            retired_patient=f"patient {one}",
            surviving_key=survivor.source_patient,
            surviving_patient=survivor.source_patient,
            recorded_at=make.NOW,
            message_at=make.NOW,
            event_id=survivor.event_id,
        )
        for one in range(MOST + 50)
    ]
    async with transaction(world.pool) as connection:
        await merges.put(connection, binned)
        assert len(await merges.family(connection, [binned[0].retired_key])) <= MOST + 2
    arrival, further = make.attendance(local_id="J5"), make.merge("J9999", "BIN")
    await world.take(arrival, further)
    assert await world.value(
        "select key from claims where visit_id = %(v)s", v=arrival.visit_id
    ) == (arrival.source_patient)
    assert await world.states(further) == [("unresolved", "merge-too-many")]
