"""The matching stage on a real PostgreSQL: the interleavings of correctness.md, and crashes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from halyard import faults, postgres
from halyard.errors import ContractError
from halyard.faults import FaultInjected
from halyard.kafka import Incoming, header
from halyard.telemetry import new_traceparent
from schemas import codec
from schemas.events import (
    AlertChange,
    AlertChanged,
    Assertion,
    AttendanceVerified,
    FlagVerified,
    IdentityStatus,
    PlanType,
    VisitDetail,
)
from stores import alerts, inbox, outbox
from stores.alerts import ACCEPTED, RAISED, WITHDRAWN, Cursor
from streams.matching import agent
from tests.integration.matching.conftest import Hub
from tests.support.matching import (
    CHILD,
    HOSPITAL,
    LEEDS,
    NOON,
    OTHER_CHILD,
    SHEFFIELD,
    attendance,
    flagged,
    identity,
    incoming,
    person_of,
)
from tests.support.waiting import aeventually

MINUTE = timedelta(minutes=1)


def told(hub: Hub) -> list[AlertChanged]:
    """The alert events on the bus, in order."""
    return [codec.decode_as(AlertChanged, one.value) for one in hub.sent]


async def test_flag_then_arrival_alerts_with_deliveries_and_event(hub: Hub) -> None:
    """One event keyed by the alert, one delivery to the authority, one to the hospital."""
    trace = new_traceparent()
    await hub.take(flagged())
    arrival = attendance(detail=VisitDetail(department="ED", reason="fall"))
    await hub.stage().process([incoming(arrival, trace)])
    (row,) = await hub.alerts()
    assert (row.state, row.version, row.person) == (RAISED, 1, person_of(CHILD))
    assert row.content.content.department == "Emergency Department"
    (event,) = told(hub)
    assert (event.alert_id, event.change) == (row.alert_id, AlertChange.RAISED)
    assert header(hub.sent[0].headers, "traceparent") == trace
    rows = await hub.query("select * from deliveries order by position")
    assert [(one["destination"], one["kind"], one["traceparent"]) for one in rows] == [
        ("sheffield", "alert", trace),
        ("hospital-contact", "match", trace),
    ]
    assert orjson.loads(bytes(rows[0]["body"]))["visit"]["reason"] == "fall"


async def test_arrival_then_flag_alerts_too(hub: Hub) -> None:
    """The flag comes an hour later: the same alert, for the other reason."""
    await hub.take(attendance())
    assert await hub.alerts() == []
    await hub.take(flagged(received=NOON + timedelta(hours=1)))
    (row,) = await hub.alerts()
    assert row.rule == "flag-after-arrival"


async def test_others_stay_silent(hub: Hub) -> None:
    """An arrival of an unflagged person leaves a visit and no alert."""
    await hub.take(flagged())
    await hub.take(attendance(number=OTHER_CHILD, visit="V9", patient="P9"))
    assert await hub.alerts() == []
    assert hub.sent == []
    assert len(await hub.query("select * from visits")) == 1


async def test_repeats_change_nothing(hub: Hub) -> None:
    """The same events again, and in one batch twice: one alert, one event, two deliveries."""
    await hub.take(flagged(), attendance(), attendance())
    await hub.take(flagged(), attendance())
    assert len(told(hub)) == 1
    assert len(await hub.query("select * from deliveries")) == 2


async def test_both_authorities_are_told_and_see_only_their_own(hub: Hub) -> None:
    """Two plans at two authorities: two alerts; the hospital sees both."""
    await hub.take(flagged(), flagged(authority=LEEDS, plan=PlanType.LAC))
    await hub.take(attendance())
    assert [one.authority for one in await hub.alerts(SHEFFIELD)] == [SHEFFIELD]
    assert [one.authority for one in await hub.alerts(LEEDS)] == [LEEDS]
    assert len(await hub.alerts(HOSPITAL)) == 2


async def test_restricted_alerts_are_not_in_the_hospitals_list(hub: Hub) -> None:
    """Its authority sees it, without a place; the hospital does not."""
    who = identity(restricted=True)
    await hub.take(flagged(who=who), attendance(who=who, detail=VisitDetail(department="ED")))
    (row,) = await hub.alerts()
    assert row.content.content.department is None
    assert row.withheld_at is None
    assert await hub.alerts(HOSPITAL) == []


async def test_a_restriction_takes_back_what_was_not_sent_yet(hub: Hub) -> None:
    """Open rows that name a place are superseded; the new version goes to the own contact."""
    await hub.take(flagged(), attendance(detail=VisitDetail(department="ED")))
    await hub.take(attendance("A08", at=NOON + MINUTE, who=identity(restricted=True)))
    rows = await hub.query(
        "select destination, state from deliveries where state = 'open' order by position"
    )
    assert [one["destination"] for one in rows] == ["sheffield-restricted"]
    (row,) = await hub.alerts()
    assert row.withheld_at == row.changed_at  # lists that showed it close it


async def held_before_locks(
    hub: Hub, event: AttendanceVerified | FlagVerified, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Task[None], asyncio.Event, asyncio.Event]:
    """A worker that stands after its inbox, before its locks, until it is let go."""
    reached, let_go = asyncio.Event(), asyncio.Event()
    real: Callable[..., Awaitable[set[str]]] = agent._locked_persons

    async def held(*arguments: object) -> set[str]:
        reached.set()
        await let_go.wait()
        return await real(*arguments)

    monkeypatch.setattr(agent, "_locked_persons", held)
    task = asyncio.create_task(hub.take(event))
    await reached.wait()
    monkeypatch.setattr(agent, "_locked_persons", real)
    return task, reached, let_go


@pytest.mark.parametrize("flag_first", [True, False])
async def test_c01_flag_and_arrival_cross(
    hub: Hub, flag_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker A stands with its locks held and everything decided but nothing committed; worker B
    takes the other half meanwhile and must wait: together they raise exactly one alert.
    """
    arrival = attendance()
    late_flag = flagged(received=NOON + MINUTE)
    first, second = (late_flag, arrival) if flag_first else (arrival, late_flag)
    decided, commit = asyncio.Event(), asyncio.Event()
    real = agent.MatchingStage._write

    async def hold(*arguments: object) -> set[int]:
        lanes: set[int] = await real(*arguments)  # type: ignore[arg-type] # passed through
        decided.set()
        await commit.wait()
        return lanes

    monkeypatch.setattr(agent.MatchingStage, "_write", hold)
    one = asyncio.create_task(hub.take(first))
    await decided.wait()
    monkeypatch.setattr(agent.MatchingStage, "_write", real)
    other = asyncio.create_task(hub.take(second))

    async def waiting() -> bool:
        rows = await hub.query("select 1 from pg_locks where locktype = 'advisory' and not granted")
        return bool(rows)

    await aeventually(waiting, why="the second worker waits for the person's lock")
    assert not other.done()
    commit.set()
    await asyncio.gather(one, other)
    (row,) = await hub.alerts()
    assert row.version == 1


async def test_c01_locks_come_before_the_load(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker A has taken its event but no lock yet; B commits the other half; A must see it."""
    task, _, let_go = await held_before_locks(hub, attendance(), monkeypatch)
    await hub.take(flagged())
    assert await hub.alerts() == []
    let_go.set()
    await task
    assert len(await hub.alerts()) == 1


async def test_c02_two_owners_of_a_partition_take_an_event_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old owner stands before its commit; the new one waits in the inbox, then finds nothing
    new.
    """
    await hub.take(flagged())
    task, _, let_go = await held_before_locks(hub, attendance(), monkeypatch)
    other = asyncio.create_task(hub.take(attendance()))

    async def waiting() -> bool:
        rows = await hub.query("select 1 from pg_locks where not granted")
        return bool(rows)

    await aeventually(waiting, why="the new owner waits in the inbox")
    let_go.set()
    await asyncio.gather(task, other)
    assert [one.version for one in told(hub)] == [1]


async def test_c05_a_visit_moves_to_another_person(hub: Hub) -> None:
    """A08 names the other child: the first alert is withdrawn, the second raised; whichever
    partition's event comes first.
    """
    await hub.take(flagged(), flagged(number=OTHER_CHILD, line=2))
    await hub.take(attendance())
    await hub.take(attendance("A08", at=NOON + MINUTE, number=OTHER_CHILD))
    rows = {one.person: one for one in await hub.alerts()}
    assert rows[person_of(CHILD)].state == WITHDRAWN
    assert rows[person_of(CHILD)].rule == "person-retracted"
    assert rows[person_of(OTHER_CHILD)].state == RAISED


@pytest.mark.parametrize("retraction_first", [True, False])
async def test_c05_an_assertion_moved_to_another_person_in_any_order(
    hub: Hub, retraction_first: bool
) -> None:
    """Identity takes the first person back (revision 2) and names another (revision 3), on two
    partitions: in either order only the second is alerted.
    """
    await hub.take(flagged(), flagged(number=OTHER_CHILD, line=2))
    await hub.take(attendance())
    retraction = attendance(revision=2, assertion=Assertion.RETRACTED)
    assertion = attendance(revision=3, who=identity(OTHER_CHILD))
    for event in (retraction, assertion) if retraction_first else (assertion, retraction):
        await hub.take(event)
    standing = [one.person for one in await hub.alerts() if one.state != WITHDRAWN]
    assert standing == [person_of(OTHER_CHILD)]


@pytest.mark.parametrize("retraction_first", [True, False])
async def test_c05_a_flag_moved_to_another_person_in_any_order(
    hub: Hub, retraction_first: bool
) -> None:
    """The same for a flag record: it is held on the person named last, on nobody else."""
    await hub.take(flagged(), attendance())
    retraction = flagged(revision=2, assertion=Assertion.RETRACTED)
    assertion = flagged(revision=3, who=identity(OTHER_CHILD))
    for event in (retraction, assertion) if retraction_first else (assertion, retraction):
        await hub.take(event)
    rows = await hub.query("select person from flags")
    assert [one["person"] for one in rows] == [person_of(OTHER_CHILD)]
    (row,) = await hub.alerts()
    assert (row.state, row.rule) == (WITHDRAWN, "flag-withdrawn")


async def test_c12_cancel_then_same_visit_again_revives(hub: Hub) -> None:
    """A04, A11, A04 re-sent: one alert id, raised, withdrawn, raised."""
    await hub.take(flagged(), attendance(message="1"))
    await hub.take(attendance("A11", at=NOON + 5 * MINUTE, message="2"))
    await hub.take(attendance(recorded=NOON + 9 * MINUTE, message="3"))
    assert [(one.version, one.change) for one in told(hub)] == [
        (1, AlertChange.RAISED),
        (2, AlertChange.WITHDRAWN),
        (3, AlertChange.RAISED),
    ]
    assert len({one.alert_id for one in told(hub)}) == 1


async def test_c13_two_visits_of_one_episode_are_one_alert(hub: Hub) -> None:
    """The ward's A01 before the A&E's earlier A04: one alert id, two versions."""
    await hub.take(flagged())
    await hub.take(attendance("A01", visit="V2", at=NOON + 60 * MINUTE, arrival=True))
    await hub.take(attendance())
    (row,) = await hub.alerts()
    assert len(row.visit_ids) == 2
    assert len({one.alert_id for one in told(hub)}) == 1


async def test_c14_a_create_redriven_after_its_delete_alerts_nobody(hub: Hub) -> None:
    """Create was dead-lettered, delete processed, create redriven: no flag, no alert."""
    await hub.take(flagged(sequence=2, delete="2026-03-01"))
    await hub.take(flagged(sequence=1))
    await hub.take(attendance())
    assert await hub.query("select * from flags") == []
    assert await hub.alerts() == []


async def test_c17_accept_implies_delivered_and_delivered_afterwards_changes_nothing(
    hub: Hub,
) -> None:
    """Accepted before the dispatcher could mark: accept sets both; mark_delivered finds it set."""
    await hub.take(flagged(), attendance())
    (row,) = await hub.alerts()
    async with postgres.transaction(hub.pool) as connection:
        accepted, changed = await alerts.accept(
            connection, row.alert_id, by="EDT", answer="seen", at=NOON
        )
        assert changed
        assert accepted is not None
        assert (accepted.state, accepted.version) == (ACCEPTED, 2)
        assert accepted.delivered_at == accepted.seen_at == accepted.accepted_at == NOON
    async with postgres.transaction(hub.pool) as connection:
        assert (
            await alerts.mark_delivered(connection, row.alert_id, NOON + MINUTE, of_round=1) is None
        )
        assert await alerts.mark_seen(connection, row.alert_id, NOON + MINUTE) is None
        again, changed = await alerts.accept(
            connection, row.alert_id, by="other", answer="no", at=NOON + MINUTE
        )
        assert (again, changed) == (accepted, False)


async def test_c17_two_acceptances_at_once_are_one(hub: Hub) -> None:
    """The second waits for the row, then finds it accepted."""
    await hub.take(flagged(), attendance())
    (row,) = await hub.alerts()

    async def accept(by: str) -> bool:
        async with postgres.transaction(hub.pool) as connection:
            return (await alerts.accept(connection, row.alert_id, by=by, answer="", at=NOON))[1]

    assert sorted(await asyncio.gather(accept("a"), accept("b"))) == [False, True]
    assert (await hub.alerts())[0].version == 2


async def test_c17_an_update_after_rungs_takes_the_next_version_and_a_flag_a_new_round(
    hub: Hub,
) -> None:
    """Delivered (2), accepted (3), another flag (4): raised anew, to be delivered anew."""
    await hub.take(flagged(), attendance())
    (row,) = await hub.alerts()
    async with postgres.transaction(hub.pool) as connection:
        assert await alerts.mark_delivered(connection, row.alert_id, NOON, of_round=1)
        await alerts.accept(connection, row.alert_id, by="EDT", answer="", at=NOON)
    await hub.take(flagged(plan=PlanType.LAC, line=2, received=NOON + MINUTE))
    (row,) = await hub.alerts()
    assert (row.state, row.version, row.round) == (RAISED, 4, 2)
    assert (row.accepted_at, row.delivered_at, row.seen_at) == (None, None, None)
    assert told(hub)[-1].version == 4


async def test_c17_a_withdrawn_alert_cannot_be_accepted(hub: Hub) -> None:
    """The row says that it is withdrawn; nothing changes; an unknown id gives none."""
    await hub.take(flagged(), attendance(), attendance("A11", at=NOON + MINUTE))
    assert await hub.alerts() == []  # raised and cancelled in one batch: never told
    await hub.take(attendance(recorded=NOON + 2 * MINUTE, message="again"))
    await hub.take(attendance("A11", at=NOON + 3 * MINUTE))
    (row,) = await hub.alerts()
    async with postgres.transaction(hub.pool) as connection:
        same, changed = await alerts.accept(connection, row.alert_id, by="EDT", answer="", at=NOON)
        assert (same, changed) == (row, False)
        nothing, _ = await alerts.accept(connection, uuid.uuid4(), by="EDT", answer="", at=NOON)
        assert nothing is None


async def test_provisional_then_verified_is_one_alert_confirmed(hub: Hub) -> None:
    """Identity asserts provisionally, then verified in the next revision."""
    await hub.take(flagged())
    await hub.take(attendance(who=identity(status=IdentityStatus.PROVISIONAL)))
    assert (await hub.alerts())[0].provisional
    await hub.take(attendance(revision=2))
    (row,) = await hub.alerts()
    assert (row.provisional, row.version, row.rule) == (False, 2, "identity-confirmed")


async def test_c05_a_later_provisional_person_is_alerted_beside_the_verified_one(hub: Hub) -> None:
    """Verified A, then provisional B: A's alert stands and B's goes out provisionally; the trace
    says A: B's is withdrawn. A trace that says B moves the visit to B.
    """
    await hub.take(flagged(), flagged(number=OTHER_CHILD, line=2))
    await hub.take(attendance())

    def second(number: str, status: IdentityStatus, **changes: Any) -> AttendanceVerified:
        return attendance("A08", at=NOON + MINUTE, who=identity(number, status=status), **changes)

    async def stand() -> dict[str, bool]:
        rows = [one for one in await hub.alerts() if one.state != WITHDRAWN]
        return {one.person: one.provisional for one in rows}

    await hub.take(second(OTHER_CHILD, IdentityStatus.PROVISIONAL))
    assert await stand() == {person_of(CHILD): False, person_of(OTHER_CHILD): True}
    assert len(told(hub)) == 2  # nothing was withdrawn meanwhile
    await hub.take(
        second(OTHER_CHILD, IdentityStatus.PROVISIONAL, revision=2, assertion=Assertion.RETRACTED)
    )
    await hub.take(second(CHILD, IdentityStatus.VERIFIED, revision=3))
    assert await stand() == {person_of(CHILD): False}
    await hub.take(second(OTHER_CHILD, IdentityStatus.VERIFIED, revision=4))
    assert await stand() == {person_of(OTHER_CHILD): False}


async def test_a_newer_snapshot_supersedes_one_that_waits_out_its_back_off(hub: Hub) -> None:
    """v1 waits 300 s: v2 puts it away at once. A row under way stays, and so do receipts."""
    await hub.take(flagged(), attendance())
    async with postgres.transaction(hub.pool) as connection:
        await connection.execute(
            "update deliveries set due_at = now() + interval '300 s',"
            " lease_until = case when kind = 'match' then now() + interval '60 s' end"
        )
    await hub.take(attendance("A11", at=NOON + MINUTE))
    rows = await hub.query("select kind, version, state from deliveries order by kind, version")
    assert [(one["kind"], one["version"], one["state"]) for one in rows] == [
        ("alert", 1, "superseded"),
        ("alert", 2, "open"),
        ("match", 1, "open"),
        ("match", 2, "open"),
    ]


async def test_the_list_pages_by_cursor_and_state(hub: Hub) -> None:
    """Two alerts, one a page; a state that none has gives none."""
    await hub.take(flagged(), attendance())
    await hub.take(flagged(number=OTHER_CHILD, line=2))
    await hub.take(attendance(number=OTHER_CHILD, visit="V2", patient="P2"))
    async with postgres.transaction(hub.pool) as connection:
        seen: list[uuid.UUID] = []
        cursor: Cursor | None = None
        while page := await alerts.list_for_organisation(
            connection, SHEFFIELD, after=cursor, limit=1, states=[RAISED]
        ):
            seen += [one.alert_id for one in page]
            cursor = Cursor.after(page[-1])
        assert len(set(seen)) == len(seen) == 2
        closed = await alerts.list_for_organisation(connection, SHEFFIELD, states=["closed"])
        assert closed == []


@pytest.mark.parametrize(
    ("point", "committed"),
    [
        ("matching.before_commit", False),
        ("matching.after_commit", True),
        ("matching.after_produce", True),
    ],
)
async def test_a_crash_at_any_line_loses_nothing_and_repeats_nothing(
    hub: Hub, point: str, committed: bool
) -> None:
    """Cut off at each point: all or nothing is committed; the batch taken again and the sweeper
    end in one event and two deliveries, with the same id and bytes.
    """
    await hub.take(flagged())
    faults.arm(f"{point}:raise")
    try:
        with pytest.raises(FaultInjected):
            await hub.take(attendance())
    finally:
        faults.arm(None)
    assert bool(await hub.alerts()) is committed
    await hub.take(attendance())
    await outbox.sweep(hub.pool, hub.send, older_than_seconds=0)
    assert len({(one.key, one.value) for one in hub.sent}) == 1
    assert len(await hub.query("select * from deliveries")) == 2


async def test_a_broker_that_is_away_costs_nothing(hub: Hub) -> None:
    """The batch is done; the event stays in the outbox and the sweeper sends it."""
    hub.broker_away = True
    await hub.take(flagged(), attendance())
    assert hub.sent == []
    hub.broker_away = False
    assert await outbox.sweep(hub.pool, hub.send, older_than_seconds=0) == 1
    assert len(told(hub)) == 1


async def test_c04_poison_leaves_no_inbox_row(hub: Hub) -> None:
    """A batch with a record that is none of ours fails whole; the good ones are taken alone."""
    good = incoming(attendance())
    bad = Incoming(good.topic, 0, 1, good.key, b"\x00broken", good.headers)
    with pytest.raises(ContractError):
        await hub.stage().process([good, bad])
    odd = flagged(start="not a date")
    with pytest.raises(ContractError) as raised:
        await hub.take(odd)
    assert "not a date" not in str(raised.value)
    assert await hub.query("select * from inbox") == []
    await hub.take(flagged(), attendance())
    assert len(await hub.alerts()) == 1


async def test_many_workers_at_once_end_in_one_alert_each(hub: Hub) -> None:
    """Thirty children's flags and arrivals by six workers at once: thirty alerts, no deadlock."""
    numbers = [f"99900{index:05d}" for index in range(30)]  # keys only; never checked here
    flags = [flagged(number=number, line=index) for index, number in enumerate(numbers)]
    visits = [
        attendance(number=number, visit=f"V{number}", patient=f"P{number}") for number in numbers
    ]
    batches: list[list[FlagVerified] | list[AttendanceVerified]] = [
        flags[::2],
        visits[::-2],
        flags[1::2],
        visits[-2::-2],
        flags[::-3],
        visits[::4],
    ]
    await asyncio.gather(*(hub.take(*batch) for batch in batches))
    rows = await hub.alerts()
    assert len({one.person for one in rows}) == len(rows) == 30
    assert all(one.version == 1 for one in rows)


async def test_the_transaction_hints_the_dispatcher(hub: Hub) -> None:
    """A listener hears of new rows after the commit, without payload."""
    async with hub.pool.connection() as connection:
        await connection.execute("listen halyard_deliveries")
        await hub.take(flagged(), attendance())
        async for notice in connection.notifies(timeout=5, stop_after=1):
            assert notice.payload == ""
            break
        else:
            pytest.fail("no hint was heard")


async def test_the_inbox_of_other_stages_is_their_own(hub: Hub) -> None:
    """The same event id taken by another stage does not hide it from matching."""
    event = flagged()
    async with postgres.transaction(hub.pool) as connection:
        assert await inbox.take(connection, "other", [event.event_id]) == {event.event_id}
    await hub.take(event, attendance())
    assert len(await hub.alerts()) == 1
