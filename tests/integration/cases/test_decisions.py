"""What a person decides about cases, on PostgreSQL: once, on the last version, and undone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from halyard.errors import PermanentError
from halyard.postgres import make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from schemas.deaths import (
    CaseChange,
    CaseState,
    DeathMessageKind,
    Eligibility,
    Fact,
    RequestState,
)
from stores import case_commands
from streams.cases import commands, republishing
from tests.support.case_desk import (
    CHILD,
    HOSPITAL,
    OFFICE,
    OTHER_NUMBER,
    POLICE,
    SECOND_HOSPITAL,
    SECOND_OFFICE,
    SURGERY,
    Desk,
    case_of,
    death,
    row,
)
from tests.support.services import Database

GP = row("professional", 1, role="general-practitioner", organisation_code=SURGERY)
OFFICERS = row("professional", 2, role="police", organisation_code=POLICE)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A stage and a person on a database of their own."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 3})
    )
    async with make_pool(settings, name="test") as pool:
        yield Desk(pool, settings)


async def two_cases(desk: Desk) -> tuple[uuid.UUID, uuid.UUID]:
    """The same death, notified by two hospitals."""
    one = death("N-1", rows=(GP, OFFICERS))
    two = death("N-2", organisation=SECOND_HOSPITAL, told={"child.family": "Jessup"}, rows=(GP,))
    await desk.take(one, two)
    return case_of(one), case_of(two)


async def test_two_notifications_become_one_case_and_two_again(desk: Desk) -> None:
    """Merged: one content from both, conflicts listed, double requests cancelled. Unmerged: each
    says what it said, its requests are open again, and the pair is not proposed anew.
    """
    one, two = await two_cases(desk)
    assert (await desk.content(one)).duplicates == (two,)
    before = await desk.content(two)

    done = await commands.merge(desk.pool, two, one, desk.world, desk.decider())
    assert set(done.versions) == {one, two}
    merged, gone = await desk.content(one), await desk.content(two)
    assert (merged.absorbed, merged.duplicates) == ((two,), ())
    assert merged.conflicts == ("child.family",)
    assert {link.organisation for link in merged.notifications} == {HOSPITAL, SECOND_HOSPITAL}
    assert (gone.state, gone.merged_into, gone.facts) == (CaseState.MERGED, one, ())
    states = sorted((link.agency, link.state) for link in merged.requests)
    assert states == [
        (POLICE, RequestState.REQUESTED),
        (SURGERY, RequestState.CANCELLED),
        (SURGERY, RequestState.REQUESTED),
    ]
    again = await commands.merge(desk.pool, two, one, desk.world, desk.decider())
    assert again.already
    assert again.versions == {}

    await commands.unmerge(desk.pool, two, desk.world, desk.decider("two children"))
    assert (await desk.content(one)).absorbed == ()
    back = await desk.content(two)
    assert (back.state, back.facts) == (CaseState.OPEN, before.facts)
    assert [link.state for link in back.requests] == [RequestState.REQUESTED]
    assert back.duplicates == ()
    async with transaction(desk.pool) as connection:
        kept = await case_commands.of_case(connection, two)
    assert [(command.kind, command.reason) for command in kept] == [
        ("merge", "looked at both"),
        ("unmerge", "two children"),
    ]
    await desk.publish()
    changes = [each.change for each in desk.changed() if each.case_id == two]
    assert changes[-2:] == [CaseChange.MERGED, CaseChange.UNMERGED]
    assert all(
        each.by == "Designated doctor" for each in desk.changed() if each.change in changes[-2:]
    )


async def test_an_update_of_a_merged_notification_counts_where_it_was_merged(desk: Desk) -> None:
    """The case that it counts in gets a new version."""
    one, two = await two_cases(desk)
    await commands.merge(desk.pool, two, one, desk.world, desk.decider())
    await desk.take(
        death(
            "N-2",
            organisation=SECOND_HOSPITAL,
            version=2,
            kind=DeathMessageKind.UPDATED,
            told={"death.cause-1a": "Pneumonia"},
        )
    )
    said = await desk.content(one)
    assert said.conflicts == ()  # the correction took the other family name back
    assert "Pneumonia" in [each.fact.value for each in said.facts]


async def test_two_verified_numbers_are_not_merged_by_a_slip(desk: Desk) -> None:
    """Twins have two: a person says so explicitly, or it is refused and nothing changes."""
    one = death("N-1")
    two = death("N-2", number=OTHER_NUMBER, told={"child.given": "Rose"})
    await desk.take(one, two)
    first, second = case_of(one), case_of(two)
    with pytest.raises(PermanentError, match="two-numbers"):
        await commands.merge(desk.pool, second, first, desk.world, desk.decider())
    assert (await desk.content(second)).state is CaseState.OPEN
    await commands.merge(desk.pool, second, first, desk.world, desk.decider(), two_numbers=True)
    assert "child.nhs-number" in (await desk.content(first)).conflicts


async def test_a_decision_on_an_old_version_is_refused(desk: Desk) -> None:
    """What the person looked at is not what there is."""
    one, two = await two_cases(desk)
    seen = await desk.version(one)
    await desk.take(death("N-1", version=2, kind=DeathMessageKind.UPDATED, rows=(GP,)))
    decider = desk.decider()
    with pytest.raises(PermanentError, match="has version"):
        await commands.void(desk.pool, one, desk.world, decider, version=seen)
    with pytest.raises(PermanentError, match="has version"):
        await commands.assign(desk.pool, one, "south", desk.world, decider, version=seen)
    with pytest.raises(PermanentError, match="has version"):
        await commands.merge(
            desk.pool, two, one, desk.world, decider, versions=(await desk.version(two), seen)
        )
    assert (await desk.content(one)).state is CaseState.OPEN


async def test_what_cannot_be_decided_says_what_to_do(desk: Desk) -> None:
    """Unknown, merged, void cases; a panel that is not there; no reason."""
    one, two = await two_cases(desk)
    decider = desk.decider()
    nobody = uuid.UUID(int=7)
    with pytest.raises(PermanentError, match="cases list"):
        await commands.void(desk.pool, nobody, desk.world, decider)
    with pytest.raises(PermanentError, match="north, south"):
        await commands.assign(desk.pool, one, "east", desk.world, decider)
    with pytest.raises(PermanentError, match="itself"):
        await commands.merge(desk.pool, one, one, desk.world, decider)
    with pytest.raises(PermanentError, match="why"):
        replace(decider, reason=" ")
    await commands.merge(desk.pool, two, one, desk.world, decider)
    for refused in (
        commands.void(desk.pool, two, desk.world, desk.decider()),
        commands.assign(desk.pool, two, "south", desk.world, desk.decider()),
    ):
        with pytest.raises(PermanentError, match=str(one)):
            await refused
    await commands.void(desk.pool, one, desk.world, desk.decider())
    with pytest.raises(PermanentError, match="is void"):
        await commands.assign(desk.pool, one, "south", desk.world, desk.decider())


async def test_a_rejected_pair_is_not_proposed_any_more(desk: Desk) -> None:
    """Both cases stop showing it; rejecting again changes nothing; others were never proposed."""
    one, two = await two_cases(desk)
    await commands.reject(desk.pool, one, two, desk.world, desk.decider("twins"))
    assert (await desk.content(one)).duplicates == ()
    assert (await desk.content(two)).duplicates == ()
    assert (await commands.reject(desk.pool, two, one, desk.world, desk.decider())).already
    other = death(
        "N-9",
        number=OTHER_NUMBER,
        told={
            "child.family": "Mirrorfield",
            "child.given": "Casey",
            "child.birth-date": "2011-01-01",
            "death.date": "2026-01-05",
            "child.postcode": "ZZ9 9ZZ",
        },
    )
    await desk.take(other)
    with pytest.raises(PermanentError, match="duplicates"):
        await commands.reject(desk.pool, one, case_of(other), desk.world, desk.decider())


async def test_a_case_given_to_another_panel_is_told_to_both(desk: Desk) -> None:
    """The requests follow; ruling it out of scope ends them; a repeat changes nothing."""
    one, _ = await two_cases(desk)
    await commands.assign(desk.pool, one, "south", desk.world, desk.decider())
    said = await desk.content(one)
    assert (said.panel, said.panel_rule, said.panels_informed) == (
        "south",
        "person",
        ("south", "north"),
    )
    assert (await commands.assign(desk.pool, one, "south", desk.world, desk.decider())).already
    await commands.assign(desk.pool, one, None, desk.world, desk.decider("born abroad"))
    said = await desk.content(one)
    assert said.eligibility is Eligibility.OUT_OF_SCOPE
    assert {link.state for link in said.requests} == {RequestState.CANCELLED}


async def test_a_void_reaches_everyone_who_got_the_case_and_waits_for_each(desk: Desk) -> None:
    """Panels, of every version; agencies that were asked. Each must acknowledge; the tombstone has
    no clinical fact; taken back, the case stands and asks again.
    """
    one, _ = await two_cases(desk)
    await commands.assign(desk.pool, one, "south", desk.world, desk.decider())
    await commands.assign(desk.pool, one, "north", desk.world, desk.decider())
    await commands.void(desk.pool, one, desk.world, desk.decider("a living child"))
    said = await desk.content(one)
    assert (said.state, said.facts, said.nhs_number) == (CaseState.VOIDED, (), None)
    for organisation in (OFFICE, SECOND_OFFICE, SURGERY, POLICE):
        (letter,) = await desk.letters(organisation, "case-voided")
        assert letter.needs_acknowledgement
        assert b"Jessop" not in letter.body
    assert len(await desk.letters(SURGERY, "report-request-cancelled")) == 1
    assert (await commands.void(desk.pool, one, desk.world, desk.decider())).already
    await commands.void(desk.pool, one, desk.world, desk.decider(), undo=True)
    assert (await desk.content(one)).state is CaseState.OPEN
    assert (
        len(await desk.letters(SURGERY, "report-request")) == 5
    )  # two cases, two panels more, again
    await desk.publish()
    changes = [each.change for each in desk.changed() if each.case_id == one]
    assert changes[-2:] == [CaseChange.VOIDED, CaseChange.REINSTATED]


async def test_what_its_senders_voided_no_person_reinstates(desk: Desk) -> None:
    """Only a new version of a notification does."""
    one, _ = await two_cases(desk)
    await desk.take(death("N-1", version=2, kind=DeathMessageKind.VOIDED))
    assert (await desk.content(one)).state is CaseState.VOIDED
    with pytest.raises(PermanentError, match="new version"):
        await commands.void(desk.pool, one, desk.world, desk.decider(), undo=True)
    assert (await commands.void(desk.pool, one, desk.world, desk.decider())).already


async def test_two_people_who_decide_at_once_do_not_both_win(desk: Desk) -> None:
    """Opposite merges of one pair: one is done, the other is told what there is."""
    one, two = await two_cases(desk)
    results = await asyncio.gather(
        commands.merge(desk.pool, one, two, desk.world, desk.decider()),
        commands.merge(desk.pool, two, one, desk.world, desk.decider()),
    )
    assert sorted(each.already for each in results) == [False, True]
    states = {(await desk.content(each)).state for each in (one, two)}
    assert states == {CaseState.OPEN, CaseState.MERGED}


async def test_republishing_sends_the_same_bytes_again(desk: Desk) -> None:
    """The last version of each case, as it was; an unknown case is an error."""
    one, two = await two_cases(desk)
    last = {each.case_id: each for each in desk.changed()}
    desk.sent.clear()
    assert await republishing.republish(desk.pool, None) == 2
    assert await republishing.republish(desk.pool, [one]) == 1
    await desk.publish()
    assert [each.case_id for each in desk.changed()].count(one) == 2
    assert all(each == last[each.case_id] for each in desk.changed())
    assert {each.case_id for each in desk.changed()} == {one, two}
    with pytest.raises(PermanentError, match="no case"):
        await republishing.republish(desk.pool, [uuid.UUID(int=3)])


async def test_facts_of_unlisted_kinds_survive_every_decision(desk: Desk) -> None:
    """A field of a newer form is kept in the case, through merge and unmerge."""
    odd = (Fact("unlisted.new-question", value="yes"),)
    one = death("N-1", rows=(odd,))
    two = death("N-2", organisation=SECOND_HOSPITAL, told=CHILD)
    await desk.take(one, two)
    first, second = case_of(one), case_of(two)
    await commands.merge(desk.pool, first, second, desk.world, desk.decider())
    names = [each.fact.name for each in (await desk.content(second)).facts]
    assert "unlisted.new-question" in names
    await commands.unmerge(desk.pool, first, desk.world, desk.decider())
    names = [each.fact.name for each in (await desk.content(second)).facts]
    assert "unlisted.new-question" not in names
