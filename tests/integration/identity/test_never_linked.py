"""After an adoption nothing in the hub leads from the old number to the new one, or back.

Random histories on a real PostgreSQL: records are merged, restricted and invalidated, children
arrive, plans come and end, in any order, under local ids and visits that both lives share, and
sometimes without a number. Then every row of every table, and every record on the
bus, is searched for both numbers of a child at once, in every form that they have; and no row of
the one joins a row of the other by an id, a pseudonym or a local id.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from schemas.changes import PersonChangeKind
from schemas.events import PersonClaim, VisitEventKind
from streams.tracer.housekeeping import retention
from streams.tracer.reverifying import reverify
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World, person_of

KINDS = tuple(PersonChangeKind)
NAMES = ("Avery", "Bryn", "Cleo", "Dilys", "Emrys", "Fern")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[LCV][0-9]+O?[0-9]?")
"""Ids, pseudonyms, and the local ids of these histories."""


@dataclass
class Child:
    """Two lives of one child, and what PDS says of the first. `merged`: into which the first was
    merged before, if it was."""

    index: int
    old: PersonClaim
    merged: PersonClaim
    new: PersonClaim
    invalidated: bool = False
    superseded: bool = False
    said: dict[str, object] = field(default_factory=dict)

    @property
    def olds(self) -> list[str]:
        """The numbers of the first life."""
        return [one.nhs_number or "" for one in (self.old, self.merged)]


def child(index: int) -> Child:
    """An invented child. The second life has other names, of every other child."""
    base = replace(
        make.CHILD,
        family=f"Family{index}",
        given=(NAMES[index],),
        birth_date=f"2016-0{index % 9 + 1}-11",
    )
    second = replace(base, nhs_number=make.number(302 + 3 * index))
    if index % 2 == 0:
        second = replace(second, family=f"Other{index}", given=(f"Else{NAMES[index]}",))
    return Child(
        index,
        replace(base, nhs_number=make.number(300 + 3 * index)),
        replace(base, nhs_number=make.number(301 + 3 * index)),
        second,
    )


class History:
    """Acts at random, as the world does."""

    def __init__(self, world: World, seed: int, children: int) -> None:
        self.world = world
        self.stages = BothStages(world)
        self.random = random.Random(seed)
        self.children = [child(index) for index in range(children)]
        self.count = 0
        for one in self.children:
            world.knows(person_of(one.old), person_of(one.merged))
            if one.new.family != one.old.family:
                world.knows(person_of(one.new))

    def said_of(self, one: Child) -> PersonClaim:
        """What somebody says of a child: of either life, sometimes without its number. A second
        life in the same names begins when the first has ended."""
        lives = [one.old, one.old, one.merged]
        if one.invalidated or one.new.family != one.old.family:
            lives.append(one.new)
        claim = self.random.choice(lives)
        return replace(claim, nhs_number=None) if self.random.random() < 0.25 else claim

    def publish(self, one: Child) -> None:
        """What PDS says of the child's numbers now."""
        successor = one.merged.nhs_number if one.superseded else None
        if one.superseded and not one.invalidated:
            self.world.knows(person_of(one.merged, **one.said))
        self.world.knows(
            person_of(one.old, superseded_by=successor, **({} if successor else one.said))
        )
        if one.invalidated:
            self.world.knows(person_of(one.new), person_of(one.merged, invalidated=True))
            if not one.superseded:
                self.world.knows(person_of(one.old, invalidated=True))

    async def word(self, one: Child) -> None:
        """Word of a change, sometimes asked about at once."""
        number = self.random.choice(one.olds)
        await self.stages.take(make.changed(number, self.random.choice(KINDS)))
        await self.perhaps_trace()

    async def perhaps_trace(self) -> None:
        """PDS answers now, or later."""
        if self.random.random() < 0.6:
            await self.stages.trace()

    async def supersede(self, one: Child) -> None:
        if not one.invalidated:
            one.superseded = True
            self.publish(one)
        await self.word(one)

    async def invalidate(self, one: Child) -> None:
        one.invalidated = True
        self.publish(one)
        await self.word(one)

    async def restrict(self, one: Child) -> None:
        one.said = {"restricted": not one.said.get("restricted", False)}
        self.publish(one)
        await self.word(one)

    async def arrive(self, one: Child) -> None:
        """At one of two visits, under either number, with the same or another local id."""
        self.count += 1
        claim = self.said_of(one)
        local = self.random.choice([f"L{one.index}", f"L{one.index}O"])
        visit = f"V{one.index}O{self.random.randrange(2)}"
        kind = self.random.choice([VisitEventKind.REGISTER, VisitEventKind.UPDATE])
        await self.stages.take(
            make.attendance(
                claim,
                local_id=local,
                visit=visit,
                kind=kind,
                message_id=f"m{self.count}",
                received_at=self.world.now,
            )
        )
        await self.perhaps_trace()

    async def flag(self, one: Child) -> None:
        self.count += 1
        claim = self.said_of(one)
        authority = self.random.choice([make.AUTHORITY, make.LONELY_AUTHORITY])
        end = self.random.choice([None, None, "2026-03-01"])
        await self.stages.take(
            replace(
                make.flag(
                    claim,
                    local_id=f"C{one.index}O",
                    authority=authority,
                    upload=f"U{self.count}",
                    received_at=self.world.now,
                    end=end,
                ),
                sequence=self.count,
            )
        )
        await self.perhaps_trace()

    async def wait(self, one: Child) -> None:
        self.world.now += timedelta(hours=self.random.choice([1, 10, 50]))
        async with self.world.pool.connection() as connection:
            await retention(connection, self.world.now)
            await reverify(connection, self.world.now, timedelta(days=2))

    async def run(self, steps: int) -> None:
        """So many acts; then everything that PDS has said arrives."""
        acts: list[Callable[[Child], Awaitable[None]]] = [
            *(self.arrive, self.arrive, self.flag, self.flag),
            *(self.supersede, self.invalidate, self.restrict, self.wait),
        ]
        for one in self.children:  # everybody begins with a plan and an arrival, in most histories
            await self.stages.take(
                make.flag(one.old, local_id=f"C{one.index}O", upload=f"first{one.index}"),
                make.attendance(one.old, local_id=f"L{one.index}", visit=f"V{one.index}O0"),
            )
        await self.perhaps_trace()
        for _ in range(steps):
            await self.random.choice(acts)(self.random.choice(self.children))
        for one in self.children:
            await self.invalidate(one)
            await self.stages.take(*[make.changed(number) for number in one.olds])
        await self.stages.trace()
        for one in self.children:
            # its authority and its hospital go on with the ids of the old life, in an old visit too
            common: dict[str, Any] = {"local_id": f"L{one.index}", "received_at": self.world.now}
            update = VisitEventKind.UPDATE
            await self.stages.take(
                replace(
                    make.flag(one.new, local_id=f"C{one.index}O", upload=f"last{one.index}"),
                    sequence=10_000,
                ),
                make.attendance(one.new, visit=f"V{one.index}O0", kind=update, **common),
                make.attendance(one.new, visit=f"W{one.index}N", **common),
            )
        await self.stages.trace()

    def forms(self, numbers: list[str]) -> list[str]:
        """How a number may stand in a row: itself, its pseudonyms, and each as hexadecimal."""
        plain = [
            one
            for number in numbers
            for one in (number, make.KEYS.person(number), make.KEYS.bus_person(number))
        ]
        return [*plain, *(one.encode().hex() for one in plain)]

    async def rows(self) -> list[tuple[str, str]]:
        """Every row of every table, as text."""
        tables = await self.world.rows(
            "select table_name as name from information_schema.tables "
            "where table_schema = 'halyard' and table_type = 'BASE TABLE'"
        )
        found = []
        for table in tables:
            name = table["name"]
            query = f'select row_to_json(t)::text as row from halyard."{name}" t'
            found += [(name, one["row"]) for one in await self.world.rows(query)]
        return found


def joinable(
    rows: list[tuple[str, str]], forms: list[str], *, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """What rows with one of `forms` could be joined by, each with a table that has it: ids,
    pseudonyms and local ids, as whole values or members of a list. Not what an organisation itself
    sends under the old number afterwards, which stands under its own ids as long as it is decided.
    """
    found = {}
    for place, row in rows:
        if place in without:
            continue
        if place in ("claims", "worklist") and orjson.loads(row)["rule"] != "number-invalidated":
            continue
        if any(form in row for form in forms):
            values = orjson.loads(row).values()
            flat = [
                one for given in values for one in (given if isinstance(given, list) else [given])
            ]
            found.update({one: place for one in flat if isinstance(one, str) and ID.fullmatch(one)})
    return {value: place for value, place in found.items() if value not in forms}


async def proven(
    world: World, seed: int, *, children: int, steps: int, without: tuple[str, ...] = ()
) -> None:
    history = History(world, seed, children)
    await history.run(steps)
    stored = await history.rows()
    rows = list(stored)
    rows += [(one.topic, f"{one.key} {one.value.hex()} {one.headers}") for one in world.sent]
    for one in history.children:
        first, second = history.forms(one.olds), history.forms([one.new.nhs_number or ""])
        for place, row in rows:
            both = any(form in row for form in first) and any(form in row for form in second)
            assert not both, f"a row of {place} holds both numbers of a child (seed {seed})"
        ours, theirs = (joinable(stored, life, without=without) for life in (first, second))
        common = {(ours[value], theirs[value]) for value in ours.keys() & theirs.keys()}
        assert not common, f"two rows join the lives of a child: {common} (seed {seed})"
        people = {row for place, row in rows if place == "identities"}
        assert not any(form in row for form in first for row in people)
        live = await history.stages.live()
        new = make.KEYS.person(one.new.nhs_number or "")
        assert any(alert.person == new for alert in live), "the second life is not protected"
    assert await world.value("select count(*) from number_successors") == 0
    assert await world.value("select count(*) from flags join inactive_numbers using (person)") == 0


@pytest.mark.parametrize("seed", [7, 11])
async def test_no_row_holds_both_numbers_of_an_adopted_child(world: World, seed: int) -> None:
    """Short histories of three children."""
    await proven(world, seed, children=3, steps=14)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
async def test_no_row_holds_both_numbers_after_long_histories(world: World, seed: int) -> None:
    """The same for more children and longer histories. Of whom the index knew nothing any more when
    the number was invalidated the hub never hears it: their visits keep their pseudonym (ADR 0047).
    """
    forgotten = ("visits", "visit_events")
    await proven(world, 1000 + seed, children=6, steps=80, without=forgotten)
