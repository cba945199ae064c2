"""Deaths and reports through identity and tracer on PostgreSQL: told at once, then numbered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard import faults
from halyard.errors import TransientError
from halyard.kafka import header
from halyard.postgres import transaction
from schemas import topics
from schemas.events import PersonClaim
from stores import outbox, worklist
from streams.identity.evidence import Death
from streams.tracer.housekeeping import retention
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.death_identity import UPDATED, VOIDED, Told
from tests.support.identity import CHILD
from tests.support.identity_world import HOURS_49, World, person_of
from tests.support.waiting import aeventually

PERSON = make.known().person
UNNUMBERED = replace(CHILD, nhs_number=None)
TWIN = replace(CHILD, nhs_number=make.number(2), given=("Jamie",))
NAMELESS = PersonClaim()
ADULT = replace(CHILD, nhs_number=make.number(9), birth_date="1980-01-01")
BY_NUMBER = "pds.get.number_birth_date_names"


def told(world: World, *events: Death) -> list[Told]:
    """What was told of these messages (of all, if none is given), in order."""
    wanted = {event.event_id for event in events}
    return [one for one in say.told(world.sent) if not wanted or one.event in wanted]


def brief(world: World, *events: Death) -> list[tuple[int, str | None, str]]:
    return [(one.revision, one.person, one.rule) for one in told(world, *events)]


async def open_entries(world: World) -> list[tuple[str, str]]:
    async with transaction(world.pool) as connection:
        found = await worklist.entries(connection, make.HOSPITAL)
    return [(one.event_kind, one.rule) for one in found]


async def test_a_death_and_a_report_are_told_at_once_then_traced(world: World) -> None:
    """Both on the bus before PDS is asked; one question for both, of the priority of deaths; then
    both again with the number, keyed by the child. Trace context and source go along."""
    death, report = say.death(), say.report()
    await world.take(death, report)
    assert brief(world) == [(1, None, "death-number")] * 2
    assert [record.key for record in world.sent] == [death.source_person, report.source_person]
    assert await world.rows("select kind, priority from trace_requests") == [
        {"kind": "get", "priority": 2}
    ]
    await world.trace()
    assert brief(world)[2:] == [(2, PERSON, BY_NUMBER)] * 2
    key = make.KEYS.bus_person(CHILD.nhs_number or "")
    assert [record.key for record in world.sent[2:]] == [key, key]
    assert {record.topic for record in world.sent} == {
        topics.DEATH_VERIFIED,
        topics.REPORT_VERIFIED,
    }
    for record in world.sent:
        assert header(record.headers, "traceparent") == make.TRACE
        assert header(record.headers, "ce_source") == "/halyard/identity"
    assert not await open_entries(world)


async def test_the_second_notification_is_verified_by_the_index(world: World) -> None:
    """Another agency's notification of the same child costs no call to PDS."""
    await world.take(say.death())
    await world.trace()
    other = say.death(reference="N2")
    await world.take(other)
    assert brief(world, other) == [(1, PERSON, "local-index")]
    assert world.pds.pds.calls()["calls"] == 1


async def test_a_search_finds_a_deceased_and_restricted_child(world: World) -> None:
    """Neither hinders; that the record is restricted is told with the identity."""
    world.knows(person_of(CHILD, deceased="2026-03-01", restricted=True))
    death = say.death(UNNUMBERED)
    await world.take(death)
    await world.trace()
    identity = say.identity_of(world.sent, death.event_id)
    assert identity is not None
    assert (identity.person, identity.restricted, identity.status) == (PERSON, True, "VERIFIED")


async def test_a_number_of_another_child_goes_to_a_person(world: World) -> None:
    """PDS contradicts: told without a number, with the rule, and on the sender's worklist."""
    world.knows(person_of(TWIN))
    death = say.death(replace(CHILD, nhs_number=TWIN.nhs_number))
    await world.take(death)
    await world.trace()
    rule = "pds.get.given_differs_perhaps_a_twin"
    assert brief(world) == [(1, None, "death-number"), (2, None, rule)]
    assert told(world)[-1].indicator == "NEEDS_RESOLUTION"
    assert await open_entries(world) == [("death", rule)]


async def test_a_superseded_number_is_told_as_its_successor(world: World) -> None:
    """The identity has the successor's number; the rule says that it was superseded."""
    old = replace(CHILD, nhs_number=make.number(6))
    world.knows(person_of(old, superseded_by=CHILD.nhs_number))
    death = say.death(old)
    await world.take(death)
    await world.trace()
    identity = say.identity_of(world.sent, death.event_id)
    assert identity is not None
    assert (identity.nhs_number, identity.rule) == (CHILD.nhs_number, f"{BY_NUMBER}.superseded")


async def test_an_update_brings_the_number_to_the_whole_notification(world: World) -> None:
    """Two weeks later, after retention: the update verifies, and the old entry is closed."""
    first = say.death(NAMELESS)
    await world.take(first)
    assert await open_entries(world) == [("death", "death-without-evidence")]
    world.now = make.NOW + timedelta(days=14)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    second = say.death(version=2, kind=UPDATED, received_at=world.now)
    await world.take(second)
    await world.trace()
    assert brief(world, second) == [(1, None, "death-number"), (2, PERSON, BY_NUMBER)]
    assert not await open_entries(world)
    assert await world.value("select closed_rule from worklist") == BY_NUMBER


async def test_a_child_with_an_open_case_is_remembered(world: World) -> None:
    """Weeks later a void without any evidence is told of the child, while the case is open; once
    it is not, the child is forgotten."""
    await world.take(say.death())
    await world.trace()
    await world.rows(
        "insert into cases (case_id, person, state, version, content, opened_at, changed_at,"
        " eligibility) values (%(id)s, %(person)s, 'OPEN', 1, '', now(), now(), 'IN_SCOPE')",
        id=make.new_ids()(),
        person=PERSON,
    )
    world.now = make.NOW + timedelta(days=30)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    void = say.death(NAMELESS, version=2, kind=VOIDED, received_at=world.now)
    await world.take(void)
    assert brief(world, void) == [(1, PERSON, "same-notification")]
    assert await world.value("select count(*) from identities") == 1
    await world.rows("update cases set state = 'VOIDED'")
    world.now += timedelta(days=17)  # the void was taken by no cases: it stays as long as the bus
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    assert await world.value("select count(*) from identities") == 0


async def test_a_void_is_told_and_asks_nobody(world: World) -> None:
    """A void of what nobody knows: no trace, no worklist entry; that of an unresolved
    notification closes its entry, however old."""
    await world.take(say.death(NAMELESS))
    world.now = make.NOW + HOURS_49
    void = say.death(NAMELESS, version=2, kind=VOIDED, received_at=world.now)
    alone = say.death(reference="N2", kind=VOIDED, received_at=world.now)
    await world.take(void, alone)
    assert brief(world, void, alone) == [(1, None, "death-voided")] * 2
    assert not await open_entries(world)
    assert await world.value("select count(*) from trace_requests") == 0


async def test_an_indicated_death_passes_if_it_may_be_a_childs(world: World) -> None:
    """The child's is told and traced; of the adult's nothing is left but that it was taken."""
    child = say.indicated()
    adult = say.indicated(ADULT, local_id="L2", message_id="I2")
    await world.take(child, adult)
    await world.trace_all()
    assert brief(world) == [(1, None, "death-number"), (2, PERSON, BY_NUMBER)]
    assert await world.states(adult) == [("not_used", "death-of-adult")]
    left = await world.rows(
        "select event, number_token, demographic_token, person from claims where state = 'not_used'"
    )
    assert left == [dict.fromkeys(("event", "number_token", "demographic_token", "person"))]


async def test_a_repeat_says_nothing_new(world: World) -> None:
    """The same messages again, before and after the answer: no record, no trace, no entry."""
    batch = (say.death(), say.report(NAMELESS), say.indicated(ADULT))
    await world.take(*batch)
    await world.take(*batch)
    await world.trace()
    before = [record.value for record in world.sent]
    await world.take(*batch, *batch)
    assert [record.value for record in world.sent] == before
    assert await world.value("select count(*) from trace_requests") == 1
    assert await open_entries(world) == [("report", "death-without-evidence")]


@pytest.mark.parametrize("point", ["identity.before_commit", "identity.after_commit"])
async def test_a_worker_cut_off_tells_each_death_once(world: World, point: str) -> None:
    """Before the commit nothing is there and the batch is taken again; after it the sweeper
    publishes what was written. Either way one statement, under the id of its revision."""
    death = say.death()
    faults.arm(f"{point}:raise")
    try:
        with pytest.raises(TransientError):
            await world.take(death)
    finally:
        faults.arm(None)
    assert not world.sent
    await world.take(death)
    await outbox.sweep(world.pool, world.send, older_than_seconds=0)
    assert brief(world) == [(1, None, "death-number")]
    (statement,) = say.statements(world.sent)
    assert statement.event_id == say.told_id(death.event_id, 1)


async def test_a_tracer_cut_off_after_its_commit_tells_the_number_once(world: World) -> None:
    """The release is committed and not published: the sweeper publishes it, under its id."""
    death = say.death()
    await world.take(death)
    faults.arm("tracer.after_commit:raise")
    try:
        with pytest.raises(TransientError):
            await world.trace()
    finally:
        faults.arm(None)
    await outbox.sweep(world.pool, world.send, older_than_seconds=0)
    assert brief(world) == [(1, None, "death-number"), (2, PERSON, BY_NUMBER)]
    assert say.statements(world.sent)[-1].event_id == say.told_id(death.event_id, 2)


async def test_c06_a_death_is_told_while_its_keys_trace_is_in_flight(world: World) -> None:
    """The answer is held at the key's lock, then the update comes; and while PDS is asked, another
    update comes: each is told at once, without a number, and has it in the end."""
    first = say.death()
    await world.take(first)
    tracer = world.new_tracer()
    (request,) = await aeventually(tracer.lease)
    during = say.death(NAMELESS, version=2, kind=UPDATED)
    await world.take(during)
    assert brief(world, during) == [(1, None, "behind-trace")]
    late = say.death(NAMELESS, version=3, kind=UPDATED)
    async with world.locked(f"key:{first.source_patient}"):
        take = asyncio.create_task(world.take(late))
        await world.blocked(1)
        release = asyncio.create_task(tracer.trace(request))
        await world.blocked(2)
    await asyncio.gather(take, release)
    assert brief(world, late)[0] == (1, None, "behind-trace")
    assert [one.person for one in told(world)[-3:]] == [PERSON] * 3
    assert await world.value("select count(*) from parked_keys") == 0


async def test_deaths_are_told_while_pds_is_away(world: World) -> None:
    """An outage holds up no death; when PDS is back the number follows."""
    world.fault(down=True)
    death = say.death()
    await world.take(death)
    await world.trace()
    assert brief(world) == [(1, None, "death-number")]
    world.fault()
    await world.trace()
    assert brief(world)[-1] == (2, PERSON, BY_NUMBER)


async def test_a_twins_two_notifications_never_mix(world: World) -> None:
    """Twins with two references, one without a number: each is its own child."""
    world.knows(person_of(TWIN))
    one = say.death(reference="N1")
    other = say.death(replace(TWIN, nhs_number=None), reference="N2")
    wrong = say.death(replace(TWIN, nhs_number=CHILD.nhs_number), reference="N3")
    await world.take(one, other, wrong)
    await world.trace_all()
    last = {item.event: item.person for item in told(world)}
    assert last == {
        one.event_id: PERSON,
        other.event_id: make.known(TWIN).person,
        wrong.event_id: None,
    }
