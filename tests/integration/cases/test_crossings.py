"""Two workers at once on one death: whoever is first, the end is the same (correctness rules)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.deaths import CaseChange, CaseState, DeathMessageKind, DeathVerified, ReportVerified
from stores.proposals import PROPOSED
from streams.cases import taking
from streams.cases.books import open_books
from streams.cases.taking import Taking
from tests.support.cases import (
    CHILD,
    OTHER_HOSPITAL,
    Hub,
    case_id,
    death,
    identity,
    report,
    restated,
)
from tests.support.waiting import aeventually

UPDATED, VOIDED = DeathMessageKind.UPDATED, DeathMessageKind.VOIDED
ONE = death(who=identity(), number=CHILD)
OTHER = death(organisation=OTHER_HOSPITAL, who=identity(), number=CHILD)

Work = Callable[[], Awaitable[Any]]


async def while_uncommitted(
    hub: Hub, first: Work, second: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`first` stands with its locks held and everything written but not committed; `second` begins
    meanwhile, and must wait for a lock.
    """
    written, commit = asyncio.Event(), asyncio.Event()
    real = Taking.write

    async def hold(self: Taking) -> set[int]:
        lanes = await real(self)
        written.set()
        await commit.wait()
        return lanes

    monkeypatch.setattr(Taking, "write", hold)
    one = asyncio.ensure_future(first())
    await written.wait()
    monkeypatch.setattr(Taking, "write", real)
    other = asyncio.ensure_future(second())

    async def waiting() -> bool:
        rows = await hub.query("select 1 from pg_locks where locktype = 'advisory' and not granted")
        return bool(rows)

    await aeventually(waiting, why="the second waits for the first's locks")
    assert not other.done()
    commit.set()
    await asyncio.gather(one, other)


async def before_its_locks(first: Work, second: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """`first` has looked what it may touch and holds no lock yet; `second` commits meanwhile."""
    looked, go_on = asyncio.Event(), asyncio.Event()
    real = open_books

    async def hold(*arguments: Any, **named: Any) -> Any:
        looked.set()
        await go_on.wait()
        return await real(*arguments, **named)

    monkeypatch.setattr(taking, "open_books", hold)
    one = asyncio.ensure_future(first())
    await looked.wait()
    monkeypatch.setattr(taking, "open_books", real)
    await second()
    go_on.set()
    await one


def take(hub: Hub, *events: DeathVerified | ReportVerified) -> Work:
    """Take events as one batch, when called."""
    return lambda: hub.take(*events)


async def both_proposed(hub: Hub) -> None:
    """The two cases propose each other, and both say so."""
    (proposal,) = await hub.proposals(case_id(ONE))
    assert proposal.state == PROPOSED
    for one, other in itertools.permutations((case_id(ONE), case_id(OTHER))):
        assert (await hub.case(one)).content.duplicates == (other,)


@pytest.mark.parametrize("uncommitted", [True, False])
async def test_c01_two_notifications_of_a_death_at_once_propose_each_other(
    hub: Hub, uncommitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither worker can miss the other's case: they lock what may make them one death."""
    if uncommitted:
        await while_uncommitted(hub, take(hub, ONE), take(hub, OTHER), monkeypatch)
    else:
        await before_its_locks(take(hub, ONE), take(hub, OTHER), monkeypatch)
    await both_proposed(hub)


@pytest.mark.parametrize("uncommitted", [True, False])
@pytest.mark.parametrize("report_first", [True, False])
async def test_c01_a_report_and_the_case_of_its_child_at_once(
    hub: Hub, report_first: bool, uncommitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is in the case, whoever commits first."""
    works = [take(hub, ONE), take(hub, report(who=identity()))]
    first, second = reversed(works) if report_first else works
    if uncommitted:
        await while_uncommitted(hub, first, second, monkeypatch)
    else:
        await before_its_locks(first, second, monkeypatch)
    assert len((await hub.case(case_id(ONE))).content.reports) == 1
    assert [one.change for one in hub.told() if one.change is CaseChange.REPORTED] == [
        CaseChange.REPORTED
    ]


async def test_c02_two_owners_of_a_partition_take_a_notification_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new owner waits in the inbox, and finds nothing new."""
    written, commit = asyncio.Event(), asyncio.Event()
    real = Taking.write

    async def hold(self: Taking) -> set[int]:
        lanes = await real(self)
        written.set()
        await commit.wait()
        return lanes

    monkeypatch.setattr(Taking, "write", hold)
    one = asyncio.ensure_future(hub.take(ONE))
    await written.wait()
    other = asyncio.ensure_future(hub.take(ONE))

    async def waiting() -> bool:
        return bool(await hub.query("select 1 from pg_locks where not granted"))

    await aeventually(waiting, why="the new owner waits in the inbox")
    commit.set()
    await asyncio.gather(one, other)
    assert [one.version for one in hub.told()] == [1]
    assert await hub.answer(ONE) == "accepted"


@pytest.mark.parametrize("sweeper_first", [True, False])
async def test_c01_the_sweeper_and_the_submission_at_once(
    hub: Hub, sweeper_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold ends while its submission comes: one of them releases it, and it is answered once."""
    update = death(UPDATED, 2, told={"death.circumstances": "two"})
    submission = death()
    await hub.take(update)
    works: list[Work] = [hub.end_holds, take(hub, submission)]
    first, second = works if sweeper_first else reversed(works)
    await while_uncommitted(hub, first, second, monkeypatch)
    row = await hub.case(case_id(submission))
    assert [one.version for one in row.content.notifications] == [2]
    answers = [await hub.answer(one) for one in (update, submission)]
    late = "accepted-without-submission+update-without-submission"
    assert answers == ([late, "superseded"] if sweeper_first else ["accepted", "accepted"])


async def test_c01_two_sweepers_at_once_end_a_hold_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds nothing that is due."""
    update = death(UPDATED, 2)
    await hub.take(update)
    await while_uncommitted(hub, hub.end_holds, hub.end_holds, monkeypatch)
    assert [one.change for one in hub.told()] == [CaseChange.OPENED]
    assert await hub.answer(update) is not None


async def test_c05_a_notification_and_its_identity_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second revision on another worker, before the first is committed: the number stays."""
    first = death(number=CHILD)
    second = restated(first, identity())
    await while_uncommitted(hub, take(hub, first), take(hub, second), monkeypatch)
    assert (await hub.case(case_id(first))).content.nhs_number == CHILD


async def test_c05_a_void_and_another_notification_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The void commits first: the new case proposes nothing to a void one."""
    await hub.take(ONE)
    gone = death(VOIDED, 2, reason="not-a-death")
    await before_its_locks(take(hub, OTHER), take(hub, gone), monkeypatch)
    assert (await hub.case(case_id(ONE))).content.state is CaseState.VOIDED
    assert (await hub.case(case_id(OTHER))).content.duplicates == ()
    assert [one for one in await hub.proposals(case_id(ONE)) if one.state == PROPOSED] == []
