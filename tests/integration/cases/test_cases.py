"""Cases on the real stage: identity, duplicates, merges, indications, and what leaves."""

from __future__ import annotations

import uuid

import pytest

from halyard import faults
from halyard.faults import FaultInjected
from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseState,
    DeathIndication,
    DeathMessageKind,
    DeathVerified,
)
from stores.proposals import MERGED, PROPOSED, REJECTED, WITHDRAWN
from streams.cases.books import Books, in_books
from streams.cases.holdings import world_of
from tests.support.cases import (
    CHILD,
    DIRECTORY,
    KEYS,
    NOON,
    OTHER_CHILD,
    OTHER_HOSPITAL,
    Hub,
    case_id,
    death,
    identity,
    indicated,
    restated,
)

UPDATED, VOIDED = DeathMessageKind.UPDATED, DeathMessageKind.VOIDED
CAUSE = uuid.UUID(int=1)


def pair() -> tuple[DeathVerified, DeathVerified]:
    """Two hospitals notify one child."""
    who = identity()
    return death(who=who, number=CHILD), death(organisation=OTHER_HOSPITAL, who=who, number=CHILD)


async def merged(hub: Hub, member: uuid.UUID, into: uuid.UUID) -> list[CaseChanged]:
    """A person merges two cases."""

    async def work(books: Books) -> list[CaseChanged]:
        books.merge(member, into)
        books.decide(member, into, MERGED, by="reviewer", reason="one child")
        return await books.reassemble(
            member, CaseChange.MERGED, rule="person", cause=CAUSE, by="reviewer"
        )

    made, _ = await in_books(
        hub.pool,
        [member, into],
        world_of(hub.settings, KEYS, DIRECTORY),
        work,
        now=hub.clock(),
    )
    return made


async def unmerged(hub: Hub, member: uuid.UUID) -> None:
    """A person takes the merge back."""

    async def work(books: Books) -> None:
        parent = books.unmerge(member)
        assert parent is not None
        books.decide(member, parent, REJECTED, by="reviewer", reason="twins")
        for one in (member, parent):
            await books.reassemble(one, CaseChange.UNMERGED, rule="person", cause=CAUSE)

    world = world_of(hub.settings, KEYS, DIRECTORY)
    await in_books(hub.pool, [member], world, work, now=hub.clock())


async def test_a_number_that_is_verified_later_changes_the_case_alone(hub: Hub) -> None:
    """The case opens at once and needs a number; identity's second word gives it; its first, if it
    comes late, changes nothing.
    """
    first = death(number=CHILD)
    await hub.take(first)
    assert "number" in (await hub.case(case_id(first))).content.needs
    await hub.take(restated(first, identity(), 3))
    await hub.take(restated(first, identity(OTHER_CHILD), 2))
    row = await hub.case(case_id(first))
    assert (row.version, row.content.nhs_number, row.person) == (2, CHILD, KEYS.person(CHILD))
    assert [one.change for one in hub.told()] == [CaseChange.OPENED, CaseChange.UPDATED]
    assert await hub.answer(first) == "accepted"


async def test_a_notification_and_its_identity_the_wrong_way_round(hub: Hub) -> None:
    """The second revision comes first: it opens the case, and the first changes nothing."""
    first = death(number=CHILD)
    await hub.take(restated(first, identity()))
    await hub.take(first)
    row = await hub.case(case_id(first))
    assert (row.version, row.content.nhs_number) == (1, CHILD)
    assert await hub.answer(first) == "accepted"


async def test_two_notifications_of_a_death_are_proposed_to_each_other(hub: Hub) -> None:
    """Both cases show the other; a person's merge makes one of them, and it can be taken back."""
    one, other = pair()
    await hub.take(one)
    await hub.take(other)
    a, b = case_id(one), case_id(other)
    (proposal,) = await hub.proposals(a)
    assert proposal.state == PROPOSED
    assert (await hub.case(a)).content.duplicates == (b,)
    assert (await hub.case(b)).content.duplicates == (a,)

    await merged(hub, b, a)
    survivor, member = (await hub.case(a)).content, await hub.case(b)
    assert (member.content.state, member.content.merged_into) == (CaseState.MERGED, a)
    assert (survivor.absorbed, survivor.duplicates) == ((b,), ())
    assert len(survivor.notifications) == 2
    assert {one.organisation for one in survivor.facts} == {"RXX01", "RXX02"}

    # a later version of the member's notification counts in the survivor
    later = death(
        UPDATED,
        2,
        organisation=OTHER_HOSPITAL,
        who=identity(),
        number=CHILD,
        told={"death.circumstances": "told later"},
    )
    await hub.take(later)
    told = [one.fact.value for one in (await hub.case(a)).content.facts]
    assert "told later" in told

    await unmerged(hub, b)
    assert (await hub.case(a)).content.absorbed == ()
    again = await hub.case(b)
    assert (again.content.state, again.content.duplicates) == (CaseState.OPEN, ())
    (proposal,) = await hub.proposals(a)
    assert proposal.state == REJECTED
    # the same evidence again proposes nothing
    await hub.take(death(UPDATED, 3, organisation=OTHER_HOSPITAL, who=identity(), number=CHILD))
    assert [one.state for one in await hub.proposals(a)] == [REJECTED]


async def test_a_void_withdraws_the_proposal_and_a_reinstatement_brings_it_back(hub: Hub) -> None:
    """Nobody is asked whether a void notification is of the same child."""
    one, other = pair()
    await hub.take(one, other)
    a, b = case_id(one), case_id(other)
    await hub.take(death(VOIDED, 2, reason="duplicate"))
    assert [each.state for each in await hub.proposals(a)] == [WITHDRAWN]
    assert (await hub.case(b)).content.duplicates == ()
    await hub.take(death(version=3, who=identity(), number=CHILD))
    assert [each.state for each in await hub.proposals(a)] == [PROPOSED]
    assert (await hub.case(b)).content.duplicates == (a,)


async def test_a_void_of_one_notification_of_a_merged_case_leaves_the_case(hub: Hub) -> None:
    """The case goes on with the other; only when both are void is it a tombstone."""
    one, other = pair()
    await hub.take(one, other)
    a, b = case_id(one), case_id(other)
    await merged(hub, b, a)
    await hub.take(death(VOIDED, 2, reason="duplicate"))
    content = (await hub.case(a)).content
    assert content.state is CaseState.OPEN
    assert {each.organisation for each in content.facts} == {"RXX02"}
    await hub.take(death(VOIDED, 2, organisation=OTHER_HOSPITAL, reason="not-a-death"))
    content = (await hub.case(a)).content
    assert (content.state, content.facts) == (CaseState.VOIDED, ())
    assert [each.reason for each in content.notifications] == ["duplicate", "not-a-death"]


async def test_a_death_that_pds_takes_back_marks_the_case(hub: Hub) -> None:
    """It is a person's to look at; the case stays."""
    first = death(who=identity(), number=CHILD)
    await hub.take(first)
    await hub.take(indicated(DeathIndication.PDS_REMOVED, identity(), hub.clock()))
    content = (await hub.case(case_id(first))).content
    assert content.state is CaseState.OPEN
    assert "death-questioned" in content.needs


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "after_produce"])
async def test_a_crash_at_any_line_loses_and_doubles_nothing(hub: Hub, point: str) -> None:
    """The batch is taken again: one case, one answer, one event id."""
    first = death(who=identity(), number=CHILD)
    faults.arm(f"cases.{point}:raise:1")
    try:
        with pytest.raises(FaultInjected):
            await hub.take(first)
    finally:
        faults.arm(None)
    await hub.take(first)
    row = await hub.case(case_id(first))
    assert row.version == 1
    assert await hub.answer(first) == "accepted"
    waiting = await hub.query(
        "select count(*) as n from outbox where strpos(topic, 'case.changed') > 0"
    )
    assert waiting[0]["n"] == 1


async def test_batches_do_not_show_in_the_history(hub: Hub) -> None:
    """Three versions in one batch are three versions of the case."""
    await hub.take(
        death(at=NOON),
        death(UPDATED, 2, told={"death.circumstances": "two"}),
        death(UPDATED, 3, told={"death.circumstances": "three"}),
    )
    assert [(one.version, one.change) for one in hub.told()] == [
        (1, CaseChange.OPENED),
        (2, CaseChange.UPDATED),
        (3, CaseChange.UPDATED),
    ]


async def test_a_rejected_pair_opens_again_only_when_its_evidence_grows(hub: Hub) -> None:
    """The same again stays rejected; something that agrees now and did not then is shown."""
    elsewhere = {"child.postcode": "ZZ9 9ZZ"}
    one, other = death(), death(organisation=OTHER_HOSPITAL, told=elsewhere)
    await hub.take(one, other)
    a, b = case_id(one), case_id(other)

    async def reject(books: Books) -> None:
        books.decide(a, b, REJECTED, by="reviewer", reason="cousins")
        for each in (a, b):
            await books.reassemble(each, CaseChange.UPDATED, rule="person", cause=CAUSE)

    world = world_of(hub.settings, KEYS, DIRECTORY)
    await in_books(hub.pool, [a, b], world, reject, now=hub.clock())
    assert (await hub.case(a)).content.duplicates == ()
    words = {"death.circumstances": "told later"}
    await hub.take(death(UPDATED, 2, organisation=OTHER_HOSPITAL, told=elsewhere | words))
    assert [each.state for each in await hub.proposals(a)] == [REJECTED]
    await hub.take(death(UPDATED, 3, organisation=OTHER_HOSPITAL))
    (proposal,) = await hub.proposals(a)
    assert (proposal.state, proposal.decided_by) == (PROPOSED, "reviewer")
    assert "postcode" in proposal.agreements
    assert (await hub.case(b)).content.duplicates == (a,)
