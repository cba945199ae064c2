"""The identity stage on PostgreSQL: one outcome for each event, once, whatever is repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from halyard import faults
from halyard.errors import ContractError, TransientError
from halyard.kafka import header
from halyard.postgres import transaction
from schemas.events import PersonClaim, PlanType, VisitEventKind
from stores import outbox
from streams.tracer.housekeeping import gauges, retention
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import HOURS_49, World, person_of

UNNUMBERED = replace(CHILD, nhs_number=None)
OTHER = replace(CHILD, nhs_number=make.number(2), family="Visitor", given=("Una",))
TWO_NUMBERS = replace(
    CHILD, nhs_number=OTHER.nhs_number, other_numbers=(CHILD.nhs_number or "",), postcode=None
)
REUSED = "line was sent before with other content; send it under a new sequence"
ADULT = PersonClaim(
    nhs_number=make.number(9), family="Elder", given=("Pat",), birth_date="1980-01-01"
)


async def test_a_flag_then_an_arrival(world: World) -> None:
    """The flag is traced and answered CPR06; the child's arrival is then verified without PDS."""
    submitted, arrival = make.flag(), make.attendance()
    await world.take(submitted, make.trailer(1))
    await world.trace()
    await world.take(arrival)
    assert await world.states(submitted, arrival) == [
        ("verified", "pds.get.number_birth_date_names"),
        ("verified", "local-index"),
    ]
    assert await world.answers() == {1: "CPR06"}
    assert await world.value("select expected from uploads") == 1
    person = make.known().person
    assert world.holding() == {
        submitted.event_id: (person, "VERIFIED"),
        arrival.event_id: (person, "VERIFIED"),
    }


async def test_every_record_carries_its_headers(world: World) -> None:
    """CloudEvents headers and the reported event's trace go along; the key is a pseudonym."""
    await world.take(make.flag(), make.attendance(PersonClaim()))
    await world.trace()
    assert len(world.sent) == 2
    for record in world.sent:
        assert header(record.headers, "traceparent") == make.TRACE
        assert header(record.headers, "ce_source") == "/halyard/identity"
        assert (CHILD.nhs_number or "") not in record.key


async def test_a_batch_taken_twice_says_nothing_new(world: World) -> None:
    """The same batch again: no record, no trace request, no change."""
    batch = (make.flag(), make.attendance(message_id="a"), make.attendance(ADULT, message_id="b"))
    await world.take(*batch)
    before = (len(world.sent), await world.rows("select * from claims order by position"))
    requests = await world.value("select count(*) from trace_requests")
    await world.take(*batch, *batch)
    assert (len(world.sent), await world.rows("select * from claims order by position")) == before
    assert await world.value("select count(*) from trace_requests") == requests


async def test_an_upload_sent_again_keeps_its_answers(world: World) -> None:
    """Repeats of flags and trailer are registered and change no answer."""
    await world.take(make.flag(), make.trailer(1))
    await world.trace()
    await world.take(make.flag(), make.trailer(1))
    assert await world.answers() == {1: "CPR06"}


async def test_another_body_under_a_line_is_refused(world: World) -> None:
    """The line's answer says so, before and after the first is known; a worklist entry stands."""
    other = make.flag(body="other", local_id="C2")
    await world.take(make.flag())
    await world.take(other)
    assert await world.answers() == {1: "CPR07"}
    await world.trace()
    assert await world.answers() == {1: "CPR07"}
    assert await world.value("select detail from upload_answers") == REUSED
    assert await world.states(other) == [("unresolved", "flag-line-reused")]
    assert await world.rows("select line, rule from worklist") == [
        {"line": 1, "rule": "flag-line-reused"}
    ]


async def test_another_body_under_an_answered_line_tells_the_first_answer(world: World) -> None:
    """CPR07, and the detail repeats that what was sent first is held."""
    await world.take(make.flag())
    await world.trace()
    await world.take(make.flag(body="other", local_id="C2"))
    await world.take(make.flag(body="third", local_id="C2"))
    assert await world.answers() == {1: "CPR07"}
    detail = await world.value("select detail from upload_answers")
    assert detail == f"{REUSED}; what was sent first was answered CPR06"


async def test_a_cancel_after_the_window_still_follows_its_visit(world: World) -> None:
    """49 hours after the visit's last event a cancel without number withdraws its arrival."""
    await world.take(make.flag())
    await world.trace()
    arrival = make.attendance()
    await world.take(arrival)
    world.now = make.NOW + HOURS_49
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    cancel = make.attendance(PersonClaim(), kind=VisitEventKind.CANCEL, received_at=world.now)
    await world.take(cancel)
    assert await world.states(cancel) == [("verified", "same-visit")]


async def test_two_plans_in_one_batch_are_one_call(world: World) -> None:
    """Single-flight per person: two lines, one GET, two answers."""
    await world.take(make.flag(), make.flag(line=2, plan_type=PlanType.LAC))
    await world.trace()
    assert await world.answers() == {1: "CPR06", 2: "CPR06"}
    assert world.pds.pds.calls()["calls"] == 1


async def test_a_flag_and_its_arrival_in_one_batch(world: World) -> None:
    """Both in one batch: the arrival shares the flag's question at the flag's urgency."""
    submitted, arrival = make.flag(), make.attendance()
    await world.take(arrival, submitted)
    (request,) = await world.rows("select kind, priority from trace_requests")
    assert request == {"kind": "get", "priority": 3}
    await world.trace()
    assert [state for state, _ in await world.states(submitted, arrival)] == ["verified"] * 2


async def test_poison_raises_and_leaves_nothing(world: World) -> None:
    """A record that is no reported event: ContractError, and its batch left no trace."""
    good = make.incoming(make.attendance())
    with pytest.raises(ContractError):
        await world.stage.process([good, replace(good, value=b"\x00\x00\x00\x00\x01x")])
    assert await world.value("select count(*) from inbox") == 0


@pytest.mark.parametrize("point", ["identity.before_commit", "identity.after_commit"])
async def test_a_crash_loses_nothing(world: World, point: str) -> None:
    """Cut off before or after the commit and taken again: each assertion once, the same ids."""
    await world.take(make.flag())
    await world.trace()
    before = len(world.sent)
    arrival = make.attendance()
    faults.arm(f"{point}:raise")
    try:
        with pytest.raises(TransientError):
            await world.take(arrival)
        await world.take(arrival)
        await outbox.sweep(world.pool, world.send, older_than_seconds=0)
    finally:
        faults.arm(None)
    assert [one.event for one in world.said()[before:]] == [arrival.event_id]


async def test_a_broker_that_is_away_stops_no_decision(world: World) -> None:
    """Decisions are kept in the outbox and published when the broker is back, in order."""
    world.broker_up = False
    events = [make.attendance(PersonClaim(), visit=f"V{index}") for index in range(3)]
    await world.take(*events)
    world.broker_up = True
    await outbox.sweep(world.pool, world.send, older_than_seconds=0)
    assert len(world.sent) == 3


async def test_an_adult_leaves_nothing_after_the_window(world: World) -> None:
    """After 48 hours a not-traced event is forgotten, and an ended one holds no claim."""
    adult, child = make.attendance(ADULT), make.attendance(PersonClaim(), visit="V2", local_id="L2")
    await world.take(adult, child)
    async with transaction(world.pool) as connection:
        await retention(connection, make.NOW + HOURS_49)
        await gauges(connection)
    assert await world.rows("select reported_event_id, event from claims") == [
        {"reported_event_id": child.event_id, "event": None}
    ]


async def test_what_waits_outlives_the_window(world: World) -> None:
    """A claim behind a trace keeps its event until PDS answers, however long that takes."""
    arrival = make.attendance()
    await world.take(arrival)
    world.now = make.NOW + HOURS_49
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    await world.trace()
    assert await world.states(arrival) == [("verified", "pds.get.number_birth_date_names")]


async def test_people_without_a_reason_are_forgotten(world: World) -> None:
    """A visitor without a plan is known for 48 hours, a flagged child for as long as the plan."""
    other = replace(CHILD, nhs_number=make.number(2), family="Visitor")
    world.knows(person_of(other))
    await world.take(make.flag(), make.attendance(other, local_id="L2"))
    await world.trace_all()
    assert await world.value("select count(*) from identities") == 2
    async with transaction(world.pool) as connection:
        await retention(connection, make.NOW + HOURS_49)
    assert await world.rows("select person, flagged from identities") == [
        {"person": make.known().person, "flagged": True}
    ]


async def test_an_ended_plan_is_forgotten_after_its_year(world: World) -> None:
    """The authority ended the plan: its person stays for 365 days beyond the end, no longer."""
    await world.take(make.flag(end="2026-02-01"))
    await world.trace()
    for days, kept in ((300, 1), (400, 0)):
        async with transaction(world.pool) as connection:
            await retention(connection, make.NOW + timedelta(days=days))
        assert await world.value("select count(*) from identities") == kept


async def test_an_invalidated_number_is_quarantined(world: World) -> None:
    """CPR07 and the worklist; no person is known, and nothing was searched for."""
    gone = replace(CHILD, nhs_number=make.number(4))
    world.knows(person_of(gone, invalidated=True))
    submitted = make.flag(gone)
    await world.take(submitted)
    await world.trace()
    assert await world.answers() == {1: "CPR07"}
    assert await world.states(submitted) == [("unresolved", "pds.invalidated")]
    assert await world.value("select count(*) from identities") == 0
    assert world.pds.pds.calls()["kind"] == {"retrieve": 1}


async def test_a_superseded_flag_is_found_by_its_successors_arrival(world: World) -> None:
    """CPR05; the child arrives under the new number and is verified by the index."""
    old = replace(CHILD, nhs_number=make.number(4))
    world.knows(person_of(old, superseded_by=CHILD.nhs_number))
    arrival = make.attendance()
    await world.take(make.flag(old))
    await world.trace()
    await world.take(arrival)
    assert await world.answers() == {1: "CPR05"}
    assert await world.states(arrival) == [("verified", "local-index")]


async def test_an_arrival_without_a_number_is_found_by_search(world: World) -> None:
    """The search resolves the child, and a discharge of the same visit follows."""
    arrival = make.attendance(UNNUMBERED)
    leave = make.attendance(PersonClaim(), kind=VisitEventKind.DISCHARGE)
    await world.take(arrival, leave)
    await world.trace()
    assert await world.states(arrival, leave) == [
        ("verified", "pds.search.birth_date_names"),
        ("verified", "key-evidence"),
    ]
    assert [one.event for one in world.said()] == [arrival.event_id, leave.event_id]


@pytest.mark.parametrize(
    ("birth_date", "rule"), [(None, "birth_date_absent"), ("2016-03", "birth_date_partly")]
)
async def test_what_pds_neither_proves_nor_contradicts_keeps_its_provisional_alert(
    world: World, birth_date: str | None, rule: str
) -> None:
    """Own number and names, birth date empty or partial: on the worklist, nothing taken back; the
    visit's cancel follows; a complete birth date verifies them all and closes the entry."""
    if birth_date is not None:
        birth_date = (CHILD.birth_date or "")[:7]
    await world.take(make.flag())
    await world.trace()
    claim = replace(CHILD, birth_date=birth_date)
    arrival = make.attendance(claim)
    cancel = make.attendance(PersonClaim(), kind=VisitEventKind.CANCEL)
    await world.take(arrival)
    await world.trace()
    person = make.known().person
    assert await world.states(arrival) == [("unresolved", f"pds.get.{rule}")]
    assert world.holding()[arrival.event_id] == (person, "PROVISIONAL")
    await world.take(cancel)
    assert world.holding()[cancel.event_id] == (person, "PROVISIONAL")
    assert {one.assertion for one in world.said()} == {"ASSERTED"}
    await world.take(make.attendance(kind=VisitEventKind.UPDATE))
    assert world.holding()[arrival.event_id] == (person, "VERIFIED")
    assert world.holding()[cancel.event_id] == (person, "VERIFIED")
    assert await world.value("select count(*) from worklist where closed_rule is null") == 0


async def test_a_conflict_takes_back_what_stood_in_doubt(world: World) -> None:
    """The visit's next message has another birth date under that number: a person looks, the
    provisional assertion is taken back."""
    await world.take(make.flag())
    await world.trace()
    arrival = make.attendance(replace(CHILD, birth_date=None))
    await world.take(arrival)
    await world.trace()
    update = make.attendance(replace(CHILD, birth_date="2013-01-01"), kind=VisitEventKind.UPDATE)
    await world.take(update)
    await world.trace_all()
    assert world.holding()[arrival.event_id] is None
    assert [state for state, _ in await world.states(arrival)] == ["unresolved"]


async def test_another_person_in_the_visit_does_not_end_the_doubt(world: World) -> None:
    """Somebody else under the same local id and visit decides nothing about the child."""
    await world.take(make.flag())
    await world.trace()
    arrival = make.attendance(replace(CHILD, birth_date=None))
    await world.take(arrival)
    await world.trace()
    world.knows(person_of(OTHER))
    await world.take(make.attendance(OTHER, kind=VisitEventKind.UPDATE))
    await world.trace_all()
    assert world.holding()[arrival.event_id] == (make.known().person, "PROVISIONAL")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"delete": "2026-02-01"}, "deleted: the plan is no longer held"),
        (
            {"end": "2026-02-01"},
            "held: the NHS number is verified; the plan ends on the date given",
        ),
    ],
)
async def test_an_answer_says_what_a_deleting_or_ending_record_did(
    world: World, changes: dict[str, Any], detail: str
) -> None:
    """CPR06, worded by what was done."""
    await world.take(make.flag(**changes))
    await world.trace()
    assert await world.answers() == {1: "CPR06"}
    assert await world.value("select detail from upload_answers") == detail


@pytest.mark.parametrize("other_flagged", [False, True])
async def test_the_own_number_behind_another_childs_is_found(
    world: World, other_flagged: bool
) -> None:
    """Another's number first, the flagged child's own second: the child's, the other nobody's."""
    world.knows(person_of(OTHER))
    await world.take(make.flag(), *([make.flag(OTHER, line=2)] if other_flagged else []))
    await world.trace_all()
    arrival = make.attendance(TWO_NUMBERS)
    await world.take(arrival)
    assert await world.states(arrival) == [("verified", "local-index")]
    assert world.holding()[arrival.event_id] == (make.known().person, "VERIFIED")


async def test_the_own_number_is_asked_for_when_the_verification_is_old(world: World) -> None:
    """Provisionally of the flagged child at once, by the second number; the GET confirms it."""
    world.knows(person_of(OTHER))
    await world.take(make.flag())
    await world.trace()
    world.now = make.NOW + HOURS_49
    arrival = make.attendance(TWO_NUMBERS, received_at=world.now)
    await world.take(arrival)
    assert world.holding()[arrival.event_id] == (make.known().person, "PROVISIONAL")
    await world.trace()
    assert world.holding()[arrival.event_id] == (make.known().person, "VERIFIED")


@pytest.mark.parametrize("traced", [False, True])
async def test_a_later_flag_finds_the_own_number_behind_another(world: World, traced: bool) -> None:
    """The arrival waits for, or was refused by, the other child's number: the flag releases it."""
    world.knows(person_of(OTHER))
    arrival = make.attendance(TWO_NUMBERS)
    await world.take(arrival)
    if traced:
        await world.trace()
        assert [state for state, _ in await world.states(arrival)] == ["unresolved"]
    await world.take(make.flag())
    await world.trace_all()
    assert world.holding()[arrival.event_id] == (make.known().person, "VERIFIED")
