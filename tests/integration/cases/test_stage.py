"""The stage itself: big batches, holds that cannot be decided, and the guard of the history."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from halyard import postgres
from halyard.errors import ContractError, TransientError
from halyard.kafka import Incoming
from schemas.deaths import CaseChange, DeathMessageKind
from stores import cases
from streams.cases import agent
from streams.cases.messages import Live
from streams.cases.taking import Taking
from tests.support.cases import CHILD, OTHER_HOSPITAL, Hub, case_id, death, identity, incoming

UPDATED = DeathMessageKind.UPDATED


async def test_a_batch_is_cut_into_transactions(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What shares a chunk or does not ends as if taken one by one; a batch of which a part was
    taken is taken from there.
    """
    monkeypatch.setattr(agent, "CHUNK", 3)
    events = [death(reference=f"N-{number}") for number in range(7)]
    await hub.take(*events[:4])
    await hub.take(*events)
    assert Counter(one.case_id for one in hub.told() if one.change is CaseChange.OPENED) == Counter(
        case_id(one) for one in events
    )
    pairs = await hub.query("select count(*) as n from case_proposals where state = 'proposed'")
    assert pairs[0]["n"] == 7 * 6 // 2
    for event in events:
        others = {case_id(one) for one in events} - {case_id(event)}
        assert set((await hub.case(case_id(event))).content.duplicates) == others


async def test_a_version_that_is_there_already_is_not_written_again(hub: Hub) -> None:
    """The history refuses, the transaction is to be tried again, and nothing of it is left."""
    first = death(who=identity(), number=CHILD)
    await hub.take(first)
    (told,) = hub.told()
    with pytest.raises(TransientError):
        async with postgres.transaction(hub.pool) as connection:
            await cases.append(connection, [told], persons={told.case_id: None})
    row = await hub.case(case_id(first))
    assert row.person is not None


async def test_a_hold_that_cannot_be_decided_holds_up_no_other(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, and is looked at again; the others end."""
    stuck, good = death(UPDATED, 2), death(UPDATED, 2, organisation=OTHER_HOSPITAL)
    await hub.take(stuck, good)
    real = Taking._notify

    async def refuse(
        self: Taking, rows: dict[uuid.UUID, object], live: Live, *more: object
    ) -> None:
        if live.content.event_id == stuck.reported_event_id:
            raise ContractError("This one cannot be decided.")
        await real(self, rows, live, *more)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(Taking, "_notify", refuse)
    assert await hub.end_holds() == 1
    assert await hub.answer(good) is not None
    assert await hub.answer(stuck) is None
    monkeypatch.setattr(Taking, "_notify", real)
    assert await hub.stage().sweep() == 1
    assert await hub.answer(stuck) is not None


async def test_what_is_no_verified_death_or_report_is_poison(hub: Hub) -> None:
    """It goes to the dead letters, alone."""
    good = incoming(death())
    foreign = Incoming(good.topic, 0, 1, good.key, b"\x00\x00\x00\x00\x00")
    with pytest.raises(ContractError):
        await hub.stage().process([foreign])
    with pytest.raises(ContractError):
        await hub.take(death(DeathMessageKind.UNKNOWN))
    assert hub.told() == []
