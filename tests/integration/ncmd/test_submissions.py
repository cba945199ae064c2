"""Submissions to a practice receiver that loses answers, breaks down and refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from connectors.ncmd.message import builder
from halyard.clock import system_clock
from halyard.postgres import transaction
from stores import ncmd_submissions
from tests.integration.ncmd.adapters import OverHttp, over_http, pool_of, project
from tests.integration.ncmd.rig import Rig
from tests.integration.ncmd.test_port import batch
from tests.support.ncmd_cases import case_id, changed, voided


@pytest.fixture
def rig(store_rig: Rig) -> Rig:
    """A store without a bus."""
    return store_rig


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[OverHttp]:
    """The store, the sender, the receiver; it stands at 0 of partition 0."""
    async with over_http(rig) as made:
        await made.port.begin([0], "log")
        yield made


async def test_of_what_was_not_sent_the_newest_alone_goes(http: OverHttp) -> None:
    """Three versions before the first attempt: one submission; then an update, a void, and a
    submission again when the case comes back."""
    await http.port.apply(batch(0, changed(1)))
    await http.port.apply(batch(1, changed(1, 2), changed(1, 3)))
    await http.drain()
    await http.port.apply(batch(3, changed(1, 4)))
    await http.drain()
    await http.port.apply(batch(4, voided(1, 5)))
    await http.drain()
    await http.port.apply(batch(5, changed(1, 6)))
    await http.drain()
    assert [(one.version, one.kind) for one in http.inbox.received] == [
        (3, "submission"),
        (4, "update"),
        (5, "void"),
        (6, "submission"),
    ]
    assert http.states() == [
        (1, "superseded"),
        (3, "acknowledged"),
        (4, "acknowledged"),
        (5, "acknowledged"),
        (6, "acknowledged"),
    ]
    assert http.inbox.received[2].bundle["entry"][1]["resource"]["parameter"][2] == {
        "name": "reason",
        "valueCode": "entered-in-error",
    }


@pytest.mark.parametrize("mode", ["503", "lost", "slow"])
async def test_a_retry_is_the_same_message(http: OverHttp, mode: str) -> None:
    """A receiver that is down, that cuts the connection after it took the message, or that answers
    too late gets the same bytes under the same id until it answers; the case is taken once."""
    http.inbox.misbehave(mode, 2)
    await http.port.apply(batch(0, changed(1)))
    await http.drain()
    assert http.states() == [(1, "acknowledged")]
    assert len({(one.message_id, one.digest) for one in http.inbox.received}) == 1
    assert len(http.inbox.received) == (1 if mode == "503" else 3)
    assert await http.held() == {case_id(1): (1, "held")}


async def test_a_newer_version_waits_for_what_is_under_way(http: OverHttp) -> None:
    """A message that may have arrived is settled before anything newer of its case goes; other
    cases do not wait."""
    http.inbox.misbehave("lost", 1)
    await http.port.apply(batch(0, changed(1)))
    assert await http.sender.once() == 1
    await http.port.apply(batch(1, changed(1, 2), changed(2)))
    await http.drain()
    order = [one.version for one in http.inbox.received if one.case_id == str(case_id(1))]
    assert order == [1, 1, 2]
    assert {state for _, state in http.states()} == {"acknowledged"}


async def test_a_message_on_its_way_is_not_superseded(http: OverHttp, rig: Rig) -> None:
    """A newer version comes while the first message is posted: the first keeps its answer, and the
    newer one goes after it, as an update."""
    await http.port.apply(batch(0, changed(1)))
    (row,) = await _claim(rig)
    await http.port.apply(batch(1, changed(1, 2)))
    assert http.states() == [(1, "pending"), (2, "pending")]
    assert await http.sender.once() == 0
    async with pool_of(rig, 1) as pool, transaction(pool) as connection:
        answered = ncmd_submissions.Settled("acknowledged", "acknowledged")
        await ncmd_submissions.settle(connection, row, answered, system_clock())
    await http.drain()
    assert http.states() == [(1, "acknowledged"), (2, "acknowledged")]
    assert [(one.version, one.kind) for one in http.inbox.received] == [(2, "update")]


async def test_a_message_that_was_made_and_not_sent_goes_first(http: OverHttp, rig: Rig) -> None:
    """The process ended between making a message and its answer: nobody knows whether it left, so
    it is sent, with its id, before what came after it."""
    await http.port.apply(batch(0, changed(1)))
    (row,) = await _claim(rig)
    await http.port.apply(batch(1, changed(1, 2)))
    rig.query("update ncmd.submissions set due_at = now() - interval '1 second'")
    await http.drain()
    sent = [(one.version, one.kind, one.message_id) for one in http.inbox.received]
    assert sent[0] == (1, "submission", str(row.message_id))
    assert [one[:2] for one in sent[1:]] == [(2, "update")]


async def _claim(rig: Rig) -> list[ncmd_submissions.Claimed]:
    """What is due, with messages, as the sender takes it before it posts."""
    async with pool_of(rig, 1) as pool, transaction(pool) as connection:
        return await ncmd_submissions.claim(
            connection,
            system_clock(),
            lease=timedelta(seconds=30),
            limit=8,
            build=builder(project),
        )


async def test_an_answer_that_comes_later_is_asked_for(http: OverHttp) -> None:
    """202 without an answer: the message is not sent again, its answer is polled."""
    http.inbox.misbehave("later", 1)
    await http.port.apply(batch(0, changed(1)))
    assert await http.sender.once() == 1
    assert http.states() == [(1, "sent")]
    await http.drain()
    assert http.states() == [(1, "acknowledged")]
    assert len(http.inbox.received) == 1


async def test_without_an_answer_it_is_sent_again_and_fails_in_the_end(rig: Rig) -> None:
    """A receiver that takes and never answers: the message is repeated, then it stands as failed
    until a person redrives it, and a newer version does not wait for it."""
    async with over_http(rig, submit_answer_seconds=0.02, submit_max_attempts=2) as http:
        await http.port.begin([0], "log")
        http.inbox.misbehave("silent", 2)
        await http.port.apply(batch(0, changed(1)))
        await http.drain()
        assert http.states() == [(1, "failed")]
        assert len(http.inbox.received) == 2
        await http.port.apply(batch(1, changed(1, 2)))
        await http.drain()
        assert http.states() == [(1, "failed"), (2, "acknowledged")]
        done = await _redrive(rig)
        assert (done.opened, done.superseded) == ((), ((case_id(1), 1),))


async def test_a_rejected_message_is_redriven_under_another_id(http: OverHttp, rig: Rig) -> None:
    """A rejection ends the attempt with its rule; redriven, the version goes as a new message."""
    http.inbox.misbehave("reject", 1)
    await http.port.apply(batch(0, changed(1)))
    await http.drain()
    (row,) = rig.query("select state, last_reason, attempts from ncmd.submissions")
    assert row == {"state": "rejected", "last_reason": "practice-rule", "attempts": 1}
    done = await _redrive(rig)
    assert done.opened == ((case_id(1), 1),)
    await http.drain()
    assert http.states() == [(1, "acknowledged")]
    assert len({one.message_id for one in http.inbox.received}) == 2


async def test_a_refusal_without_an_answer_is_a_rejection(http: OverHttp, rig: Rig) -> None:
    """422 speaks of the message and ends it: the row is set aside for a person."""
    http.inbox.misbehave("refuse", 1)
    await http.port.apply(batch(0, changed(1)))
    await http.drain()
    assert http.states() == [(1, "rejected")]
    (row,) = rig.query("select last_reason from ncmd.submissions")
    assert row["last_reason"] == "status-422"


async def test_while_the_receiver_is_down_nothing_is_sent(rig: Rig) -> None:
    """The breaker opens at the first failure: no second message is tried before it closes."""
    async with over_http(rig, submit_breaker_seconds=60.0) as http:
        await http.port.begin([0], "log")
        http.inbox.misbehave("503")
        await http.port.apply(batch(0, changed(1)))
        assert await http.sender.once() == 1
        await http.port.apply(batch(1, changed(2)))
        assert await http.sender.once() == 0


async def _redrive(rig: Rig) -> ncmd_submissions.Redriven:
    async with pool_of(rig, 1) as pool, transaction(pool) as connection:
        return await ncmd_submissions.redrive(
            connection, case_id=None, reason="redriven by a test", now=system_clock()
        )
