"""`halyard doctor` says when the local index knows somebody for no reason."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from halyard.cli import doctor_identity
from halyard.cli.doctor_identity import CHECKS
from halyard.postgres import transaction
from streams.tracer.housekeeping import retention
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World, person_of


class Doctor:
    """The check on a world, at the world's time."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = world.settings
        monkeypatch.setattr(doctor_identity, "system_clock", world.clock)

    def __call__(self) -> tuple[str, str]:
        """Result and text."""
        check = dict(CHECKS)["index"]
        with ThreadPoolExecutor(1) as pool:  # a command has an event loop of its own
            return pool.submit(check, self._settings).result()


async def _case_of(world: World, state: str = "OPEN") -> uuid.UUID:
    case_id = uuid.uuid4()
    await world.rows(
        "insert into cases (case_id, person, state, version, content, opened_at, changed_at,"
        " eligibility) values (%(id)s, %(person)s, %(state)s, 1, '', now(), now(), 'UNKNOWN')",
        id=case_id,
        person=make.KEYS.person(str(make.CHILD.nhs_number)),
        state=state,
    )
    return case_id


async def _house_kept(world: World) -> None:
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)


async def test_the_doctor_fails_when_somebody_is_known_for_no_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody; a visit; the visit too long ago with nothing forgotten, which fails and says what to
    do, in numbers alone; an open case; the case closed; and well again once the house is kept.
    """
    doctor = Doctor(world, monkeypatch)
    assert doctor() == ("ok", "0 people, each with a plan, a visit, a death or an open case")
    await world.take(make.attendance(make.CHILD, received_at=world.now))
    await world.trace_all()
    assert doctor()[0] == "ok"
    world.now += timedelta(hours=48, minutes=59)  # the last visit's slack
    assert doctor()[0] == "ok"
    world.now += timedelta(minutes=2)
    result, text = doctor()
    assert (result, text.startswith("1 of 1 people have no plan")) == ("failed", True)
    assert "halyard tracer" in text
    for secret in (make.CHILD.nhs_number, make.CHILD.family, make.CHILD.birth_date):
        assert str(secret) not in text
    case_id = await _case_of(world)
    await _house_kept(world)
    assert doctor() == ("ok", "1 people, each with a plan, a visit, a death or an open case")
    await world.rows("update cases set state = 'VOID' where case_id = %(id)s", id=case_id)
    assert doctor()[0] == "failed"
    await _house_kept(world)
    assert doctor()[0] == "ok"


async def test_the_doctor_counts_a_plan_until_a_year_after_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held the whole time, ended, and a year and two days later without the house kept."""
    doctor, stages = Doctor(world, monkeypatch), BothStages(world)
    await stages.take(
        make.flag(make.CHILD, received_at=world.now, end=world.now.date().isoformat())
    )
    await stages.trace()
    ended = world.now
    for days in (3, 200, 364):
        world.now = ended + timedelta(days=days)
        await _house_kept(world)
        assert doctor() == ("ok", "1 people, each with a plan, a visit, a death or an open case")
    world.now = ended + timedelta(days=367)
    assert doctor()[0] == "failed"
    await _house_kept(world)
    assert doctor()[0] == "ok"
    assert await world.rows("select * from identities") == []


async def test_a_new_number_keeps_nobody_known_for_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visit, its number superseded 40 hours later: known under the new one until the visit's 48
    hours are over, and forgotten then.
    """
    doctor, stages, old = Doctor(world, monkeypatch), BothStages(world), make.CHILD
    await stages.take(make.attendance(old, received_at=world.now))
    await stages.trace()
    seen = world.now
    new = make.number(50)
    world.knows(
        person_of(replace(old, nhs_number=new)),
        person_of(old, superseded_by=new),
    )
    world.now = seen + timedelta(hours=40)
    await stages.take(make.changed(str(old.nhs_number)))
    await stages.trace()
    for hours, people in ((47, [make.KEYS.person(new)]), (49, [])):
        world.now = seen + timedelta(hours=hours)
        await _house_kept(world)
        rows = await world.rows("select person from identities")
        assert [row["person"] for row in rows] == people, hours
        assert doctor()[0] == "ok"
