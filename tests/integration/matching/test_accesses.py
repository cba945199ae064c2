"""Notices that somebody looked: to each authority once of an author and child in 24 h."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pytest

from flag_service.releasing import decide
from halyard import postgres
from halyard.actor import Actor
from halyard.kafka import Incoming, cloudevent_headers
from halyard.telemetry import new_traceparent
from policies.desk import open_desk
from policies.ruling import Flow
from schemas import codec
from schemas.accesses import AccessRecorded
from schemas.topics import ACCESS_RECORDED
from stores import accesses, held, identities, number_changes
from stores.accesses import Access, Recorded
from stores.identities import KnownPerson
from streams.matching.agent import MatchingStage
from tests.integration.matching.conftest import Hub
from tests.support.disclosing import DENY, REVIEW, changed
from tests.support.matching import (
    CHILD,
    DIRECTORY,
    HOSPITAL,
    KEYS,
    LEEDS,
    NOON,
    OTHER_CHILD,
    SHEFFIELD,
    flagged,
    identity,
)

DAY = timedelta(hours=24)


def look(at: datetime = NOON, author: str = "user:1", **changes: Any) -> Recorded:
    """An unscheduled look at the child's flag, as the face keeps it."""
    members: dict[str, Any] = {
        "access_id": uuid.uuid4(),
        "looked_at": at,
        "organisation": HOSPITAL,
        "author": author,
        "author_name": "Nora Nurse",
        "author_person": True,
        "job_role": "Nurse",
        "roles": ("safeguarding-nurse",),
        "purpose": "urgent-care",
        "unscheduled": True,
        "interface": "flags-query",
    }
    flagged_then = changes.pop("flagged", True)
    return Recorded(
        access=Access(**{**members, **changes}),
        person=KEYS.person(CHILD),
        request_id="r",
        flagged=flagged_then,
        listed=True,
        reason="a reason that names the ward",
    )


def recorded(made: Recorded) -> Incoming:
    """Its event on the bus."""
    access = made.access
    event = AccessRecorded(
        event_id=uuid.uuid5(uuid.NAMESPACE_OID, str(access.access_id)),
        access_id=access.access_id,
        person=made.person,
        looked_at=access.looked_at,
        purpose=access.purpose,
        unscheduled=access.unscheduled,
        interface=access.interface,
    )
    return Incoming(
        topic=ACCESS_RECORDED,
        partition=0,
        offset=0,
        key=KEYS.bus_person(CHILD),
        value=codec.encode(event),
        headers=cloudevent_headers(
            event_id=event.event_id,
            event_type="AccessRecorded",
            source="serve",
            time=event.looked_at,
            traceparent=new_traceparent(),
        ),
    )


async def kept(hub: Hub, *looks: Recorded) -> list[Incoming]:
    """The looks as the face keeps them; gives their events."""
    async with postgres.transaction(hub.pool) as connection:
        await accesses.add(connection, looks)
    return [recorded(one) for one in looks]


async def looked(hub: Hub, *looks: Recorded) -> None:
    """The stage hears of each in a batch of its own."""
    for event in await kept(hub, *looks):
        await hub.stage().process([event])


async def told(hub: Hub) -> list[dict[str, Any]]:
    """The notices written, with their destinations."""
    rows = await hub.query(
        "select destination, body, restricted, recipient from deliveries where kind = 'access' "
        "order by position"
    )
    return [{**row, "body": json.loads(bytes(row["body"]))} for row in rows]


def successor() -> KnownPerson:
    """Whom PDS names instead of the child's number, as the index has them."""
    return KnownPerson(
        person=KEYS.person(OTHER_CHILD),
        nhs_number=OTHER_CHILD,
        family="Smith",
        given=("Anne",),
        other_families=(),
        other_given=(),
        birth_date="2015-05-01",
        gender="female",
        postcode=None,
        restricted=False,
        deceased=False,
        demographic_tokens=(),
        verified_at=NOON,
        keep_until=NOON + 400 * DAY,
        flagged=True,
    )


async def test_a_look_before_the_number_was_superseded_is_told(hub: Hub) -> None:
    """The look was on its way; the plan is the successor's by now, and its authority is told once,
    with the number that stands."""
    await hub.take(flagged(number=OTHER_CHILD))
    events = await kept(hub, look(), look(NOON + DAY / 2))
    async with postgres.transaction(hub.pool) as connection:
        await identities.put(connection, [successor()])
        await number_changes.supersede(
            connection, KEYS.person(CHILD), KEYS.person(OTHER_CHILD), NOON
        )
    for event in events:
        await hub.stage().process([event])
    (notice,) = await told(hub)
    assert notice["body"]["person"] == {"nhs_number": OTHER_CHILD}


async def test_c25_each_authority_with_an_active_plan_is_told(hub: Hub) -> None:
    """Who looked, as what, from where and when, of whom, and whom to ring; each entry in the chain
    of the authority told.
    """
    await hub.take(flagged(), flagged(authority=LEEDS))
    await looked(hub, look())
    notices = await told(hub)
    assert [one["destination"] for one in notices] == ["sheffield", "leeds"]
    body = notices[0]["body"]
    assert body == {
        "schema": "halyard.access.v1",
        "access_id": body["access_id"],
        "version": 1,
        "at": "2026-03-10T12:00:00Z",
        "purpose": "urgent-care",
        "break_glass": False,
        "unscheduled": True,
        "flagged": True,
        "restricted": False,
        "reason": "a reason that names the ward",
        "authority": {"gss": SHEFFIELD, "name": "Sheffield City Council"},
        "organisation": {
            "code": HOSPITAL,
            "name": "Northern Children's Hospital",
            "callback": {"name": "Safeguarding nurse", "phone": "0114 496 0001"},
        },
        "by": {"name": "Nora Nurse", "job_role": "Nurse", "system": False},
        "person": {"nhs_number": CHILD},
    }
    chains = await hub.query(
        "select chain, actor from audit_entries where body->>'flow' = 'access-notice' order by 1"
    )
    assert chains == [
        {"chain": SHEFFIELD, "actor": "user:1"},
        {"chain": LEEDS, "actor": "user:1"},
    ]


@pytest.mark.parametrize(
    ("later", "count"),
    [(timedelta(0), 1), (DAY - timedelta(microseconds=1), 1), (DAY, 2), (2 * DAY, 2)],
)
async def test_c25_of_one_author_once_in_24_hours(hub: Hub, later: timedelta, count: int) -> None:
    """The day counts from the look that was told; in either order of arrival."""
    await hub.take(flagged())
    first, second = look(), look(NOON + later)
    await looked(hub, second, first)
    assert len(await told(hub)) == count


async def test_c25_another_author_or_organisation_is_told_anew(hub: Hub) -> None:
    """The same id at another organisation is somebody else."""
    await hub.take(flagged())
    await looked(hub, look(), look(author="user:2"), look(organisation="RZZ99"))
    assert len(await told(hub)) == 3


async def test_c25_two_workers_tell_once(hub: Hub) -> None:
    """Two looks of one author at the same time, each heard by a worker of its own; and each event
    heard twice, as after a crash between the commit and the offset, or a rebalance.
    """
    await hub.take(flagged())
    events = await kept(hub, *(look(NOON + timedelta(seconds=n)) for n in range(4)))
    await asyncio.gather(*(hub.stage().process([one]) for one in [*events, *events]))
    await hub.stage().process(events)
    assert len(await told(hub)) == 1
    (count,) = await hub.query("select count(*) as n from access_notices")
    assert count["n"] == 1


@pytest.mark.parametrize(
    "how",
    [
        {"unscheduled": False},  # silent
        {"flagged": False},  # nothing was shown
        {"organisation": SHEFFIELD},  # its own look
    ],
)
async def test_c25_nobody_is_told_of(hub: Hub, how: dict[str, Any]) -> None:
    """A silent look, one that showed no plan, and an authority's own."""
    await hub.take(flagged())
    await looked(hub, look(**how))
    assert await told(hub) == []


async def test_a_plan_that_had_ended_or_not_begun_tells_nobody(hub: Hub) -> None:
    """The day of the look decides, not the day on which it is heard of."""
    await hub.take(flagged(end=date(2026, 3, 9).isoformat()))
    await looked(hub, look(), look(NOON - 2 * DAY, author="user:2"))
    (notice,) = await told(hub)
    assert notice["body"]["at"] == "2026-03-08T12:00:00Z"


async def test_of_a_restricted_child_the_registered_contact_alone_is_told(hub: Hub) -> None:
    """That somebody looked, and whom to ring; not from where, by whom, or in what words: the child
    may be there.
    """
    await hub.take(flagged(who=identity(restricted=True)))
    await looked(hub, look())
    (notice,) = await told(hub)
    assert (notice["destination"], notice["restricted"]) == ("sheffield-restricted", True)
    body = notice["body"]
    assert (body["organisation"]["code"], body["organisation"]["name"]) == ("withheld", "withheld")
    assert body["organisation"]["callback"]["phone"] == "0114 496 0001"
    assert (body["reason"], body["by"]["name"], body["by"]["job_role"]) == (None, None, None)
    assert HOSPITAL not in json.dumps(body)


async def test_a_notice_that_waits_when_the_child_becomes_restricted_is_composed_anew(
    hub: Hub,
) -> None:
    """What was not sent yet names the place: it is taken back, and the contact for restricted
    children is told instead; what was sent stays sent.
    """
    await hub.take(flagged())
    await looked(hub, look())
    await hub.take(flagged(who=identity(restricted=True), revision=2))
    rows = await hub.query(
        "select state, destination, body, version from deliveries where kind = 'access' "
        "order by position"
    )
    assert [(row["state"], row["destination"], row["version"]) for row in rows] == [
        ("superseded", "sheffield", 1),
        ("open", "sheffield-restricted", 2),
    ]
    assert HOSPITAL not in bytes(rows[1]["body"]).decode()


async def test_broken_glass_is_told_each_time(hub: Hub) -> None:
    """Whatever was told before."""
    await hub.take(flagged())
    minutes = [NOON + timedelta(minutes=n) for n in range(3)]
    await looked(hub, look(), *(look(at, purpose="break-glass") for at in minutes))
    assert [one["body"]["break_glass"] for one in await told(hub)] == [False, True, True, True]


async def test_a_look_that_is_not_kept_any_more_is_passed_over(hub: Hub) -> None:
    """Its month was dropped; the bus is not held up."""
    await hub.take(flagged())
    await hub.stage().process([recorded(look())])
    assert await told(hub) == []


@pytest.mark.parametrize("together", [True, False])
async def test_c25_a_notice_that_a_policy_denied_is_no_telling(hub: Hub, together: bool) -> None:
    """The author's next look is told, once the policy permits it; and was never told before."""
    await hub.take(flagged())
    policies = changed(Flow.ACCESS_NOTICE, **DENY)
    denies = MatchingStage(hub.pool, KEYS, hub.settings, DIRECTORY, hub.send, hub.clock, policies)
    minutes = [NOON + timedelta(minutes=n) for n in range(3)]
    first, second, third = await kept(hub, *map(look, minutes))
    for batch in [[first, second]] if together else [[first], [second]]:
        await denies.process(batch)
    await hub.stage().process([third])
    assert await states(hub) == ["refused", "refused", "open"]


@pytest.mark.parametrize(
    ("word", "after"),
    [("refuse", ["refused", "open"]), ("release", ["open"]), (None, ["held"])],
)
async def test_c25_a_notice_that_a_person_refused_is_no_telling(
    hub: Hub, word: Literal["refuse", "release"] | None, after: list[str]
) -> None:
    """What waits for a person, or was released by one, is."""
    policies = changed(Flow.ACCESS_NOTICE, **REVIEW)
    holds = MatchingStage(hub.pool, KEYS, hub.settings, DIRECTORY, hub.send, hub.clock, policies)
    await hub.take(flagged())
    first, second = await kept(hub, look(), look(NOON + timedelta(minutes=1)))
    await holds.process([first])
    (row,) = await hub.query("select delivery_id from deliveries where kind = 'access'")
    if word is not None:
        async with postgres.transaction(hub.pool) as connection:
            desk = open_desk(policies, DIRECTORY, KEYS, "process:test")
            whose = await held.reviewer(connection, row["delivery_id"])
            assert whose is not None
            actor = Actor("user:r", whose)
            await decide(
                connection, row["delivery_id"], word, actor, desk, hub.now, reason="a reason"
            )
    await hub.stage().process([second])
    assert await states(hub) == after


async def states(hub: Hub) -> list[str]:
    """What became of the notices."""
    rows = await hub.query("select state from deliveries where kind = 'access' order by position")
    return [row["state"] for row in rows]


async def test_a_look_changes_no_alert(hub: Hub) -> None:
    """It raises, updates and withdraws nothing."""
    await hub.take(flagged())
    await looked(hub, look())
    assert await hub.alerts() == []
    assert hub.sent == []
