"""Messages that are more than one event: all of them are on the bus before the AA."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.hl7v2.ack import parse_ack
from schemas.deaths import DeathMessageKind
from schemas.events import VisitEventKind
from tests.integration.hl7v2.rig import Rig, create_topics, listening, make_settings
from tests.unit.hl7v2.messages import FEED, OTHER_NUMBER, PID, PV1, arrival, message, trigger
from tests.unit.hl7v2.reading import events


@pytest.fixture
async def rig(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A listener with its own topics."""
    settings = make_settings(kafka_bootstrap, namespace)
    await asyncio.to_thread(create_topics, settings)
    async with listening(settings) as running:
        yield running


async def test_every_event_of_a_message_is_stored_before_its_aa_and_the_same_when_repeated(
    rig: Rig,
) -> None:
    """A newborn's and its mother's; each of a message's merges: under their own keys."""
    baby = ["PID", "1", "", "B1^^^RTEST", "", "TESTCHILD^BABY", "", "20260314", "1"] + [""] * 12
    birth = arrival(
        msh=trigger("A01", "BIRTH-1"),
        pid="|".join([*baby, f"{OTHER_NUMBER}^^^NHS~M1^^^RTEST"]),
        pv1=PV1.replace("|E|", "|I|").replace("|21|", "|82|"),
    )
    merges = message(trigger("A40", "MERGE-1"), "PID|1||T2^^^RTEST", "MRG|T1", "MRG|T3")
    async with rig.client() as client:
        for body in (birth, merges, birth):
            assert parse_ack(await client.send(body), body).accepted
    stored = await rig.attendances()
    assert len(stored) == 6
    expected = {one.event_id: one for body in (birth, merges) for one in events(body)}
    assert {one.event_id for one in stored} == expected.keys()
    for one in stored:
        assert one.source == FEED.source
        assert one.source_person == expected[one.event_id].source_person
    kinds = sorted(one.kind for one in expected.values())
    assert kinds == [
        VisitEventKind.ADMIT,
        VisitEventKind.BIRTH,
        VisitEventKind.MERGE,
        VisitEventKind.MERGE,
    ]


async def test_a_death_in_a_hospitals_record_is_stored_beside_it(rig: Rig) -> None:
    """PID-29 of an A03: the attendance, and an indication that asks the hospital to notify."""
    pid = [*PID.split("|"), *[""] * 30][:31]
    pid[29], pid[30] = "20260314214000", "Y"
    left = arrival(msh=trigger("A03", "DEATH-1"), pid="|".join(pid))
    async with rig.client() as client:
        assert parse_ack(await client.send(left), left).accepted
    (attendance,) = await rig.attendances()
    (death,) = await rig.deaths()
    assert (death.kind, death.died_at) == (DeathMessageKind.INDICATED, "2026-03-14")
    assert (death.source, death.message_id) == (attendance.source, attendance.message_id)
    assert death.source_person != attendance.source_person
