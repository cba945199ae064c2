"""What a look shows beside the flag: earlier looks, and earlier attendances; and broken glass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from halyard.caller import Caller
from halyard.kafka import Incoming, Record
from halyard.problems import HttpProblem
from halyard.settings import Settings
from policies.purposes import Purpose
from stores import outbox
from stores.deliveries import UNADDRESSED_CALDICOTT
from streams.matching.agent import MatchingStage
from tests.support.face import directory
from tests.support.looks import (
    CHILD,
    CLINIC,
    CLINICIAN,
    INFIRMARY,
    KEYS,
    NORTH,
    NOW,
    NURSE,
    SYSTEM,
    UNKNOWN,
    WORKER,
    World,
    ask,
    broken,
    plan,
    world,
)
from tests.support.services import Database

DAY = timedelta(hours=24)
SILENT: dict[str, Any] = {"unscheduled": False}
LOUD: dict[str, Any] = {"unscheduled": True}
BROKEN: dict[str, Any] = {"purpose": Purpose.BREAK_GLASS, "reason": "unconscious"}


@pytest.fixture
async def here(database: Database) -> AsyncIterator[World]:
    """A child with a plan of North, whose files are fresh."""
    async with world(database) as made:
        await made.file_came()
        await made.plans(plan())
        yield made


def numbered(number: int) -> Caller:
    """One of many nurses."""
    return replace(NURSE, subject=f"user:{number}", name=f"Nurse {number}")


async def test_the_last_25_looks_are_shown_the_newest_first(here: World) -> None:
    """With who looked, as what, from where, when, and whether the child attended."""
    for number in range(30):
        here.now = NOW + timedelta(minutes=number)
        await here.look(caller=numbered(number))
    seen = await here.look(caller=WORKER)
    shown = seen.members["accesses"]
    assert [one["name"] for one in shown] == [f"Nurse {n}" for n in range(29, 4, -1)]
    assert shown[0] == {
        "at": (NOW + timedelta(minutes=29)).isoformat(),
        "organisation": INFIRMARY,
        "organisation_name": "Infirmary",
        "name": "Nurse 29",
        "job_role": "Safeguarding nurse",
        "system": False,
        "purpose": "urgent-care",
        "unscheduled": True,
    }
    assert [one.access_id for one in seen.accesses[:1]] != []


@pytest.mark.parametrize(
    ("later", "shown"), [(DAY - timedelta(microseconds=1), 1), (DAY, 2), (DAY * 3, 2)]
)
async def test_of_one_author_the_first_look_in_24_hours_is_shown(
    here: World, later: timedelta, shown: int
) -> None:
    """The whole of the day after it is one look; another author's is another."""
    await here.look(caller=NURSE)
    here.now = NOW + later
    await here.look(caller=NURSE)
    seen = await here.look(caller=WORKER)
    assert [one["name"] for one in seen.members["accesses"]] == ["Nora Nurse"] * shown


@pytest.mark.parametrize(
    ("looks", "shown"),
    [
        # silent, then the child came: the look that matters stands
        ([SILENT, LOUD], ["urgent-care, unscheduled"]),
        ([LOUD, SILENT], ["urgent-care, unscheduled"]),
        ([SILENT, SILENT], ["urgent-care"]),
        ([SILENT, LOUD, LOUD], ["urgent-care, unscheduled"]),
        ([LOUD, BROKEN, BROKEN], ["break-glass, unscheduled"] * 2 + ["urgent-care, unscheduled"]),
        ([SILENT, BROKEN], ["break-glass, unscheduled"]),
        ([BROKEN, LOUD], ["break-glass, unscheduled"]),
    ],
)
@pytest.mark.parametrize("apart", [timedelta(hours=1), timedelta(0)])
async def test_a_silent_look_hides_no_other_of_its_author(
    here: World, looks: list[dict[str, Any]], shown: list[str], apart: timedelta
) -> None:
    """Broken glass is shown each time, and an unscheduled look in place of a silent one; one after
    another, or together in a batch.
    """
    made = [ask(caller=CLINICIAN, **one) for one in looks]
    if apart:
        for one in made:
            await here.lookups.look(one)
            here.now += apart
    else:
        await asyncio.gather(*map(here.lookups.look, made))
        here.now += timedelta(hours=1)
    seen = await here.look(caller=WORKER)
    told = [
        f"{one['purpose']}{', unscheduled' if one['unscheduled'] else ''}"
        for one in seen.members["accesses"]
    ]
    assert (told if apart else sorted(told)) == shown


async def test_a_look_that_found_no_plan_is_not_shown_with_one_later(here: World) -> None:
    """It was no look at a flag; that it was made stands in the record all the same."""
    await here.look(UNKNOWN, NURSE)
    await here.plans(plan(UNKNOWN))
    assert (await here.look(UNKNOWN, CLINICIAN)).members["accesses"] == []
    seen = await here.look(UNKNOWN, WORKER)
    assert [one["name"] for one in seen.members["accesses"]] == ["Carl Clinician"]


@pytest.mark.parametrize(
    ("caller", "arrived", "rule"),
    [
        (CLINICIAN, NOW - timedelta(hours=47, minutes=59), "shown"),
        (NURSE, NOW - timedelta(minutes=1), "shown"),
        (CLINICIAN, NOW - timedelta(hours=48), "no-visit-here"),
        (CLINICIAN, None, "no-visit-here"),
        (SYSTEM, NOW - timedelta(minutes=1), "not-your-role"),
        (WORKER, NOW - timedelta(minutes=1), "not-your-role"),
    ],
)
async def test_earlier_attendances_are_for_those_who_have_the_child_with_them(
    here: World, caller: Caller, arrived: datetime | None, rule: str
) -> None:
    """A clinician or nurse of the hospital where the child is, or was in the last 48 hours; and
    the present visit is none of the earlier ones.
    """
    await here.visited(CLINIC, NOW - timedelta(days=20), department="ED")
    await here.visited(CLINIC, NOW - timedelta(days=366))
    if arrived is not None:
        await here.visited(INFIRMARY, arrived)
    seen = await here.look(caller=caller)
    assert seen.members["earlier_attendances_rule"] == rule
    if rule != "shown":
        assert seen.members["earlier_attendances"] is None
        assert CLINIC not in json.dumps(seen.members)
        return
    assert seen.members["earlier_attendances"] == [
        {
            "hospital": CLINIC,
            "hospital_name": "Clinic",
            "department": "ED",
            "arrived_at": (NOW - timedelta(days=20)).isoformat(),
        }
    ]


@pytest.mark.parametrize(
    "how", [{"location_shielded": True}, {"provisional": True}, {"live": False}, {"birth": True}]
)
async def test_an_attendance_that_is_hidden_or_not_sure_is_not_shown(
    here: World, how: dict[str, Any]
) -> None:
    """A place that its hospital hides, a visit that may be somebody else's, one that was not."""
    await here.visited(INFIRMARY, NOW - timedelta(hours=1))
    await here.visited(CLINIC, NOW - timedelta(days=3), **how)
    assert (await here.look(caller=NURSE)).members["earlier_attendances"] == []


async def test_a_visit_that_is_not_verified_makes_nobody_part_of_the_care(here: World) -> None:
    """It may be another child."""
    await here.visited(INFIRMARY, NOW - timedelta(hours=1), provisional=True)
    seen = await here.look(caller=NURSE)
    assert seen.members["earlier_attendances_rule"] == "no-visit-here"


async def test_broken_glass_shows_the_attendances_and_is_noticed_at_once(here: World) -> None:
    """In the same transaction: the asker's own Caldicott guardian is to be told who, why and of
    whom; nothing of what is held. Without a registered endpoint the notice waits.
    """
    await here.visited(CLINIC, NOW - timedelta(days=3))
    seen = await here.lookups.look(broken())
    assert seen.members["earlier_attendances_rule"] == "shown"
    assert [one["hospital"] for one in seen.members["earlier_attendances"]] == [CLINIC]
    (row,) = await here.rows("select * from deliveries")
    body = json.loads(bytes(row["body"]))
    (access,) = seen_ids = await here.rows("select access_id from accesses")
    assert (row["kind"], row["destination"], row["state"]) == (
        "access",
        f"{UNADDRESSED_CALDICOTT}{INFIRMARY}",
        "open",
    )
    assert (row["recipient"], row["alert_id"]) == (INFIRMARY, access["access_id"])
    assert body["schema"] == "halyard.access.v1"
    assert (body["break_glass"], body["reason"]) == (True, "unconscious, nobody with her")
    assert (body["by"]["name"], body["person"]) == ("Carl Clinician", {"nhs_number": CHILD})
    assert (body["authority"], body["flagged"], body["restricted"]) == (None, None, None)
    assert len(seen_ids) == 1
    chains = await here.rows("select chain, body->>'flow' as flow from audit_entries order by 2")
    assert [(one["chain"], one["flow"]) for one in chains] == [
        (INFIRMARY, "access-notice"),
        (INFIRMARY, "flag-lookup"),
    ]


async def test_broken_glass_shows_no_place_of_a_restricted_child(here: World) -> None:
    """Neither attendance nor authority; the notice is made all the same."""
    await here.plans(plan(restricted=True))
    await here.visited(CLINIC, NOW - timedelta(days=3))
    seen = await here.lookups.look(broken())
    assert (seen.members["earlier_attendances"], seen.members["earlier_attendances_rule"]) == (
        None,
        "withheld",
    )
    assert seen.members["flags"][0]["authority"] is None
    assert len(await here.rows("select from deliveries")) == 1
    entries = await here.rows("select body from audit_entries")
    assert [one["body"]["detail"]["person"] for one in entries] == ["restricted"] * 2


@pytest.mark.parametrize("caller", [SYSTEM, WORKER])
async def test_only_clinicians_and_nurses_break_the_glass(here: World, caller: Caller) -> None:
    """Anybody else is refused, with the refusal on record, and nobody is told of a look that was
    none.
    """
    seen = await here.lookups.look(broken(caller=caller))
    assert (seen.permitted, seen.ruling.rule) == (False, "break-glass-role")
    assert await here.rows("select from deliveries union all select from outbox") == []
    (entry,) = await here.rows("select body from audit_entries")
    assert entry["body"]["kind"] == "refusal"


async def test_a_system_breaks_no_glass_whatever_its_role(here: World) -> None:
    """A machine that somebody made a nurse is refused, with the refusal on record."""
    machine = replace(SYSTEM, roles=NURSE.roles)
    seen = await here.lookups.look(broken(caller=machine))
    assert (seen.permitted, seen.ruling.rule) == (False, "break-glass-people-alone")
    assert await here.rows("select from deliveries union all select from outbox") == []
    (entry,) = await here.rows("select body from audit_entries")
    assert (entry["body"]["kind"], entry["body"]["actor"]) == ("refusal", SYSTEM.subject)


async def test_broken_glass_needs_a_reason(here: World) -> None:
    """Refused before anything is read."""
    with pytest.raises(HttpProblem) as caught:
        await here.lookups.look(replace(broken(), reason=" "))
    assert (caught.value.status_code, caught.value.rule) == (422, "flags.reason_needed")
    assert await here.rows("select from accesses") == []


async def test_c25_a_look_that_its_process_did_not_live_to_publish_is_told_once(
    here: World,
) -> None:
    """The face dies between its commit and the bus: whoever sweeps publishes the event, and if it
    comes again, a second worker finds nothing new.
    """
    published: list[Record] = []

    async def send(records: Sequence[Record]) -> Sequence[bool]:
        published.extend(records)
        return [True] * len(records)

    await here.look(caller=NURSE)
    await outbox.sweep(here.pool, send, older_than_seconds=-1.0)
    (event,) = published
    incoming = Incoming(event.topic, 0, 0, event.key, event.value, event.headers)
    for _ in range(2):
        stage = MatchingStage(here.pool, KEYS, Settings(), directory(), send, lambda: NOW)
        await stage.process([incoming])
    (row,) = await here.rows("select kind, destination, recipient from deliveries")
    assert row == {"kind": "access", "destination": f"none:{NORTH}", "recipient": NORTH}
