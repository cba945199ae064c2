"""The message rules on the real stage: answered once, in the sender's mailbox; the case as told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.deaths import CaseState, DeathVerified
from tests.support.case_rules import ROWS, VOIDED, Ends, Row, Say
from tests.support.cases import NOON, OTHER_HOSPITAL, Hub, case_id, death


def event_of(said: Say, number: int) -> DeathVerified:
    """The message, each with an id of its own unless the row says otherwise."""
    return death(
        said.kind,
        said.version,
        organisation=OTHER_HOSPITAL,
        source=said.source,
        message_id=said.message_id or f"m-{number}",
        told={"death.circumstances": said.words},
        reason=said.reason if said.kind is VOIDED else None,
        at=NOON + timedelta(seconds=number),
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_each_rule(hub: Hub, row: Row) -> None:
    """Every message is answered as its rule says, the case is what should be, and no repetition of
    anything changes that.
    """
    events = []
    for number, said in enumerate(row.said):
        if isinstance(said, Ends):
            await hub.end_holds()
        else:
            events.append(event_of(said, number))
            await hub.take(events[-1])
    told = hub.told()
    await hub.take(*events)
    assert hub.told() == told
    assert [await hub.answer(one) for one in events] == list(row.answers)
    first = events[0]
    ours = [one for one in told if one.case_id == case_id(first)]
    assert tuple(one.change.value for one in ours) == row.cases
    assert [one.version for one in ours] == list(range(1, len(ours) + 1))
    if row.holds is None:
        assert ours == []
        return
    state, version = row.holds
    content = (await hub.case(case_id(first))).content
    assert content.state is (CaseState.VOIDED if state == "void" else CaseState.OPEN)
    assert [one.version for one in content.notifications] == [version]
    assert (await hub.query("select count(*) as n from case_events"))[0]["n"] == len(told)
