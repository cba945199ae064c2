"""What practice hospitals send: repeatable, about invented people, and read as intended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import Broken, Deframer, Frame
from connectors.hl7v2.mapping import to_attendances
from halyard.cli.send import Scenario
from halyard.privacy import Keys
from sandbox.hospital.adt import Sender
from sandbox.hospital.scenarios import FAULTS, SCENARIOS, Step, play
from sandbox.samples.cast import CAST
from schemas.events import AttendanceReported, VisitEventKind
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed

NOW = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
SENDER = Sender("EDIS", "RZ9", "unit")
FEED = Feed(source="rz9", organisation="RZ9", facility="RZ9")
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)


def steps(name: str, count: int = 80, seed: int = 1) -> list[Step]:
    """A scenario played."""
    return list(play(name, SENDER, NOW, count=count, seed=seed))


def events(body: bytes) -> tuple[AttendanceReported, ...]:
    """What the hub reads in a message."""
    return to_attendances(
        Message.parse(body), feed=FEED, rule=DEFAULT_RULE, keys=KEYS, received_at=NOW
    )


def read(step: Step) -> tuple[list[str], list[AttendanceReported]]:
    """The codes that the hub answers a step with, and the events it reads in it."""
    codes: list[str] = []
    found: list[AttendanceReported] = []
    deframer = Deframer()
    for item in deframer.feed(step.data):
        if isinstance(item, Broken):
            codes += ["AR"] if item.kind == "oversize" else []
            continue
        assert isinstance(item, Frame)
        try:
            message = Message.parse(item.data)
            if message.segment("MSH").text(4) != FEED.facility:
                codes.append("AR")
                continue
            found += events(item.data)
            codes.append("AA")
        except Er7Error:
            codes.append("AE")
    assert not deframer.closed or step.closes
    assert not deframer.incomplete
    return codes, found


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    """And another seed others."""
    assert steps(name) == steps(name)
    assert steps(name) != steps(name, seed=2)


@pytest.mark.parametrize("count", [1, 2, 7, 61])
@pytest.mark.parametrize("name", SCENARIOS)
def test_as_many_steps_as_asked_for(name: str, count: int) -> None:
    """Whatever the scenario."""
    assert len(steps(name, count)) == count


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_step_is_answered_as_it_says(name: str) -> None:
    """Each step's expectation is what the hub's own reading of it gives."""
    for step in steps(name, 200):
        codes, _ = read(step)
        assert codes == [step.code] * step.answers, step.name


def test_a_mad_feed_does_everything_that_it_can() -> None:
    """In a few hundred steps each fault comes up."""
    chosen = {step.name for step in steps("feed-gone-mad", 400)}
    assert len(chosen - {"after"}) == len(set(FAULTS))


def test_a_night_has_arrivals_updates_and_ends_and_a_protected_child() -> None:
    """In order of time, none ahead of the clock."""
    found = [event for step in steps("night-in-ae", 200) for event in read(step)[1]]
    kinds = {event.kind for event in found}
    assert kinds >= {
        VisitEventKind.REGISTER,
        VisitEventKind.UPDATE,
        VisitEventKind.DISCHARGE,
        VisitEventKind.CANCEL,
    }
    assert sum(event.arrival for event in found) > 40
    assert not any(mark for event in found for mark in event.marks)
    times = [event.recorded_at.utc for event in found if event.recorded_at]
    assert times == sorted(times)
    assert times[-1] <= NOW
    assert CAST.robin.nhs_number in {event.claim.nhs_number for event in found}


def test_a_ward_has_births_that_name_their_mothers() -> None:
    """The first mother is the one with a plan; a birth is her event too; bookings never arrive."""
    found = [event for step in steps("maternity-ward") for event in read(step)[1]]
    births = [event for event in found if event.kind is VisitEventKind.BIRTH]
    assert CAST.mother.nhs_number in {event.claim.nhs_number for event in births}
    assert {event.arrival for event in births if event.trigger == "A01"} == {True}
    booked = [event for event in found if event.kind is VisitEventKind.PRE_ADMIT]
    assert booked
    assert not any(event.arrival for event in booked)
    merged = [event for event in found if event.kind is VisitEventKind.MERGE]
    assert merged
    assert all(event.merged_person for event in merged)


def test_the_command_offers_every_scenario() -> None:
    """`halyard send --scenario`."""
    assert {one.value for one in Scenario} == set(SCENARIOS)
