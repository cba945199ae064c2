"""What stands of cases after decisions that come late, are taken back, or cross one another."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import DeathIndication, DeathMessageKind, DeathVerified
from stores import case_indications, cases, proposals
from stores.proposals import PROPOSED, REJECTED, Proposal
from streams.cases import agent, commands
from streams.cases.agent import CasesStage
from streams.cases.books import open_books
from streams.cases.content import QUESTIONED
from streams.cases.taking import Taking
from tests.support.case_desk import (
    KEYS,
    NOW,
    NUMBER,
    OTHER_NUMBER,
    SECOND_HOSPITAL,
    Desk,
    case_of,
    death,
    identity,
    indicated,
)
from tests.support.services import Database

UPDATED = DeathMessageKind.UPDATED
OTTO = {"child.given": "Otto", "child.family": "Quist", "child.birth-date": "2018-01-01"}


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 2})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


def restated(event: DeathVerified, number: str | None, revision: int = 2) -> DeathVerified:
    """What identity says later."""
    who = None if number is None else identity(number)
    return replace(event, event_id=uuid.uuid4(), revision=revision, identity=who)


async def between(desk: Desk, case_id: uuid.UUID) -> list[Proposal]:
    """Every proposal of a case."""
    async with transaction(desk.pool) as connection:
        return await proposals.of_cases(connection, [case_id])


async def test_times_of_versions_never_run_backwards(desk: Desk) -> None:
    """A person decided before a message that was taken first: the later version is later."""
    one = death("A")
    await desk.take(one)
    decider = desk.decider()
    desk.now += timedelta(seconds=5)
    await desk.take(death("A", version=2, kind=UPDATED, told={"child.sex": "male"}))
    await commands.assign(desk.pool, case_of(one), "south", desk.world, decider)
    async with transaction(desk.pool) as connection:
        history = await cases.history(connection, case_of(one))
        held = await cases.case(connection, case_of(one))
    times = [each.changed_at for each in history]
    assert len(times) == 3
    assert times == sorted(set(times))
    assert held is not None
    assert held.changed_at == times[-1]


async def test_a_void_that_is_taken_back_finds_what_came_meanwhile(desk: Desk) -> None:
    """A notification that came while the case was void is proposed once it is none."""
    a, b = death("A"), death("B", organisation=SECOND_HOSPITAL)
    await desk.take(a)
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider())
    await desk.take(b)
    assert (await desk.content(case_of(b))).duplicates == ()
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider(), undo=True)
    assert (await desk.content(case_of(a))).duplicates == (case_of(b),)
    assert (await desk.content(case_of(b))).duplicates == (case_of(a),)


async def test_what_was_proposed_before_a_void_is_proposed_after_it(desk: Desk) -> None:
    """Withdrawn by the void, proposed by its undo; what a person rejected stays rejected."""
    a, b = death("A"), death("B", organisation=SECOND_HOSPITAL)
    c = death("C", organisation="RXX03")
    await desk.take(a, b, c)
    await commands.reject(desk.pool, case_of(a), case_of(c), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider())
    states = {one.state for one in await between(desk, case_of(a))}
    assert PROPOSED not in states
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider(), undo=True)
    found = {
        end: one.state
        for one in await between(desk, case_of(a))
        for end in (one.one, one.other)
        if end != case_of(a)
    }
    assert found == {case_of(b): PROPOSED, case_of(c): REJECTED}


async def test_a_member_that_leaves_a_void_case_is_proposed_again(desk: Desk) -> None:
    """The void was of the case that it counted in, not of it."""
    a = death("A", number=None)
    b = death("B", organisation=SECOND_HOSPITAL, number=None)
    c = death("C", organisation="RXX03")
    await desk.take(a, b)
    await commands.merge(desk.pool, case_of(b), case_of(a), desk.world, desk.decider())
    await commands.void(desk.pool, case_of(a), desk.world, desk.decider())
    await desk.take(c)
    assert (await desk.content(case_of(c))).duplicates == ()
    await commands.unmerge(desk.pool, case_of(b), desk.world, desk.decider())
    assert (await desk.content(case_of(c))).duplicates == (case_of(b),)


async def test_an_indication_follows_the_last_word_on_whom_it_is_of(desk: Desk) -> None:
    """The child that it was not of is no longer questioned; a late, older word changes nothing."""
    a = death("A")
    b = death("B", organisation=SECOND_HOSPITAL, number=OTHER_NUMBER, told=OTTO)
    await desk.take(a, b)
    at = NOW + timedelta(hours=1)
    one = indicated(DeathIndication.PDS_REMOVED, at=at, effective_at=at)
    await desk.take(one)
    assert QUESTIONED in (await desk.content(case_of(a))).needs
    await desk.take(restated(one, OTHER_NUMBER))
    assert QUESTIONED not in (await desk.content(case_of(a))).needs
    assert QUESTIONED in (await desk.content(case_of(b))).needs
    await desk.take(restated(one, None, 3))
    assert QUESTIONED not in (await desk.content(case_of(b))).needs


async def test_an_older_word_on_an_indication_that_comes_late_changes_nothing(desk: Desk) -> None:
    """Revision 2 says of Otto, or of nobody; then revision 1 comes."""
    a = death("A")
    b = death("B", organisation=SECOND_HOSPITAL, number=OTHER_NUMBER, told=OTTO)
    await desk.take(a, b)
    at = NOW + timedelta(hours=1)
    one = indicated(DeathIndication.PDS_REMOVED, at=at, effective_at=at)
    await desk.take(restated(one, OTHER_NUMBER), one)
    assert QUESTIONED not in (await desk.content(case_of(a))).needs
    assert QUESTIONED in (await desk.content(case_of(b))).needs
    other = indicated(DeathIndication.PDS_REMOVED, "I-2", at=at, effective_at=at)
    await desk.take(restated(other, None), other)
    assert QUESTIONED not in (await desk.content(case_of(a))).needs
    async with transaction(desk.pool) as connection:
        found = await case_indications.of_persons(connection, [KEYS.person(NUMBER)])
    assert found == {}


async def test_a_case_is_found_by_the_child_that_it_is_of_at_last(desk: Desk) -> None:
    """Several changes in one transaction: the last says whose case it is, also of those above."""
    a = death("A", number=None)
    b = death("B", organisation=SECOND_HOSPITAL, number=None)
    await desk.take(a, b)
    await commands.merge(desk.pool, case_of(b), case_of(a), desk.world, desk.decider())
    stage = CasesStage(desk.pool, KEYS, desk.settings, desk.directory, desk._send, lambda: desk.now)
    from tests.support.case_desk import _incoming

    more = death(
        "B",
        organisation=SECOND_HOSPITAL,
        number=None,
        version=2,
        kind=UPDATED,
        told={"child.sex": "male"},
    )
    await stage.process(
        [_incoming(more), _incoming(restated(more, OTHER_NUMBER)), _incoming(restated(a, NUMBER))]
    )
    async with transaction(desk.pool) as connection:
        rows = await cases.rows(connection, [case_of(a), case_of(b)])
    assert rows[case_of(a)].person == KEYS.person(NUMBER)
    assert rows[case_of(b)].person == KEYS.person(OTHER_NUMBER)


async def test_holds_that_are_stuck_starve_no_later_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of holds that cannot be decided are passed over in the same sweep."""
    from halyard.errors import ContractError

    monkeypatch.setattr(agent, "SWEEP_PAGE", 2)
    held = [death(f"H-{k}", version=2, kind=UPDATED, number=None) for k in range(5)]
    await desk.take(*held)
    real = Taking.expire
    bad = {one.notified.source_patient for one in held[:3]}

    async def stuck(self: Taking, thread: tuple[str, str], stream: str) -> None:
        if thread[1] in bad:
            raise ContractError("stuck")
        await real(self, thread, stream)

    monkeypatch.setattr(Taking, "expire", stuck)
    desk.now += timedelta(hours=25)
    stage = CasesStage(desk.pool, KEYS, desk.settings, desk.directory, desk._send, lambda: desk.now)
    assert await stage.sweep() == 2


async def test_a_pair_that_a_person_decided_costs_no_later_change_anything(desk: Desk) -> None:
    """Only open proposals reach into other trees: a rejected pair is not locked nor loaded."""
    a, b = death("A"), death("B", organisation=SECOND_HOSPITAL)
    await desk.take(a, b)
    async with transaction(desk.pool) as connection:
        books = await open_books(connection, [case_of(a)], desk.world, now=desk.now)
        assert case_of(b) in books.loaded.notes
    await commands.reject(desk.pool, case_of(a), case_of(b), desk.world, desk.decider())
    async with transaction(desk.pool) as connection:
        books = await open_books(connection, [case_of(a)], desk.world, now=desk.now)
        assert set(books.loaded.notes) == {case_of(a)}
        assert f"case:{case_of(b)}" not in books.locks
    # and it is still compared when the evidence grows
    more = {"child.given": "Lily", "death.place-words": "ward 3"}
    await desk.take(death("A", version=2, kind=UPDATED, told=more))
    assert [one.state for one in await between(desk, case_of(a))] == [REJECTED]
