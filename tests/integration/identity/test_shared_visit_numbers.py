"""Children under one visit number, and what becomes of one of them: it is nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schemas.changes import PersonChangeKind
from schemas.events import AlertChange, AttendanceReported, PersonClaim, VisitEventKind
from stores.alerts import AlertRow
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of

ONE = replace(CHILD, given=("Robin", "Grace"))
TWO = replace(CHILD, given=("Robin", "Rose"), nhs_number=make.number(77))
PERSON = make.known(ONE).person
TWIN = make.known(TWO).person


@pytest.fixture
async def hub(world: World) -> BothStages:
    """Both twins have a plan."""
    made = BothStages(world)
    world.knows(person_of(ONE, multiple_birth=1), person_of(TWO, multiple_birth=2))
    await made.take(make.flag(ONE), make.flag(TWO, line=2, local_id="C2"))
    await made.trace()
    return made


def bare(local_id: str, kind: VisitEventKind, minutes: int = 5) -> AttendanceReported:
    """What names nobody but the hospital's own id."""
    return make.attendance(
        PersonClaim(),
        local_id=local_id,
        visit="V9",
        kind=kind,
        arrival=False,
        received_at=make.NOW + timedelta(minutes=minutes),
    )


def arrivals(at: datetime = make.NOW) -> tuple[AttendanceReported, AttendanceReported]:
    """Each twin's, under an id of her own and one visit number."""
    return (
        make.attendance(ONE, local_id="L1", visit="V9", received_at=at),
        make.attendance(TWO, local_id="L2", visit="V9", received_at=at),
    )


async def of(hub: BothStages, person: str) -> AlertRow:
    """The person's only alert."""
    (row,) = [one for one in await hub.alerts() if one.person == person]
    return row


@pytest.mark.parametrize("single", [False, True], ids=["together", "one-by-one"])
@pytest.mark.parametrize("traced", [False, True], ids=["while-pds-is-away", "answered"])
async def test_two_flagged_twins_have_an_alert_each(
    hub: BothStages, world: World, single: bool, traced: bool
) -> None:
    """Neither takes the visit from the other, verified or not, and no authority reads that its
    child is not there after all."""
    world.now += timedelta(days=40)  # too long ago for the index alone
    both = arrivals(world.now)
    for batch in [[one] for one in both] if single else [both]:
        await hub.take(*batch)
    if traced:
        await hub.trace()
    assert {(row.person, row.provisional) for row in await hub.live()} == {
        (PERSON, not traced),
        (TWIN, not traced),
    }
    assert AlertChange.WITHDRAWN not in [told.change for told in hub.told]


async def test_a_twins_discharge_or_cancel_is_of_her_own_visit_alone(hub: BothStages) -> None:
    """The sister under the same visit number is still there."""
    await hub.take(*arrivals())
    await hub.take(bare("L1", VisitEventKind.DISCHARGE))
    states = {row.person: row.content.content.visit_state for row in await hub.live()}
    assert states == {PERSON: "departed", TWIN: "present"}
    await hub.take(bare("L2", VisitEventKind.CANCEL))
    assert [row.person for row in await hub.live()] == [PERSON]
    assert (await of(hub, TWIN)).rule == "visit-cancelled"


@pytest.mark.parametrize("kind", [VisitEventKind.CANCEL, VisitEventKind.DISCHARGE])
async def test_what_ended_under_an_invalidated_number_ends_nobodys_visit(
    hub: BothStages, world: World, kind: VisitEventKind
) -> None:
    """The sister had left, or never come; then PDS invalidates her number, as at an adoption."""
    await hub.take(*arrivals())
    await hub.trace()
    await hub.take(bare("L1", kind))
    world.now += timedelta(minutes=10)
    world.knows(person_of(ONE, invalidated=True))
    await hub.take(make.changed(ONE.nhs_number or "", PersonChangeKind.NUMBER))
    await hub.trace()
    await hub.take(bare("L2", VisitEventKind.UPDATE, minutes=15))
    stays = await of(hub, TWIN)
    assert (stays.state, stays.content.content.visit_state) == ("raised", "present")


async def test_a_cancel_of_who_turns_out_to_be_nobody_cancels_nobody_else(
    hub: BothStages, world: World
) -> None:
    """A stranger stands provisionally for the sister, is cancelled, and PDS refutes it."""
    await hub.take(make.attendance(TWO, local_id="L2", visit="V9"))
    await hub.trace()
    stranger = replace(ONE, given=("Quentin",), family="Testchild", postcode=None, gender="male")
    await hub.take(make.attendance(stranger, local_id="L1", visit="V9"))
    await hub.take(bare("L1", VisitEventKind.CANCEL))
    await hub.trace()
    assert (await of(hub, TWIN)).state == "raised"


@pytest.mark.parametrize("how", ["restricted", "superseded"])
async def test_a_merge_on_its_way_is_not_undone_by_what_an_answer_proves(
    hub: BothStages, world: World, how: str
) -> None:
    """Matching has not taken the merge when the answer is carried to it: the visit is the surviving
    patient's all the same, and the next arrival raises no second alert."""
    partly = replace(ONE, postcode=None, given=("Grace",))
    await hub.take(make.attendance(partly, local_id="L1", visit="V9"))
    assert (await of(hub, PERSON)).provisional
    if how == "restricted":
        world.knows(person_of(ONE, restricted=True))
    else:
        new = replace(ONE, nhs_number=make.number(99))
        world.knows(person_of(new), person_of(ONE, superseded_by=make.number(99)))
    await world.take(make.merge("L1", "L2"))
    await world.trace_all()
    await hub.hand_over()
    world.now += timedelta(minutes=30)
    again = make.attendance(ONE, local_id="L2", visit="V10", received_at=world.now)
    await hub.take(again)
    await hub.trace()
    rows = await world.rows("select distinct source_patient from visits")
    survivor = make.KEYS.source_patient("feed", "L2", None, None)
    assert [row["source_patient"] for row in rows] == [survivor]
    assert len([one for one in await hub.alerts() if one.person != TWIN]) == 1


async def test_a_twin_with_her_sisters_number_takes_no_part_in_her_visit(
    hub: BothStages, world: World
) -> None:
    """PDS says that she is perhaps the twin: her department and her cancel are not the sister's."""
    first, _ = arrivals()
    await hub.take(first)
    await hub.trace()
    before = await of(hub, PERSON)
    wrong = replace(ONE, given=("Bea",))
    await hub.take(make.attendance(wrong, local_id="L2", visit="V9"))
    await hub.trace()
    (row,) = await world.rows("select rule from worklist where closed_at is null")
    assert "perhaps_a_twin" in row["rule"]
    cancel = make.attendance(
        wrong,
        local_id="L2",
        visit="V9",
        kind=VisitEventKind.CANCEL,
        received_at=make.NOW + timedelta(minutes=5),
    )
    await hub.take(cancel)
    await hub.trace()
    after = await of(hub, PERSON)
    assert (after.state, after.version) == (before.state, before.version)
