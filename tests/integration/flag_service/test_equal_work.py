"""Every look does the same work, whatever is held: counted, without a clock.

`bench/flag_lookup` measures that the time tells nothing; this says why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from flag_service import looking, lookup
from halyard import nhs_number, postgres
from stores import holdings, identities
from stores.holdings import Ask
from tests.support import hidden
from tests.support.looks import CLINIC, CLINICIAN, KEYS, NOW, World, plan, world
from tests.support.services import Database

KINDS = ("unknown", "known", "flagged", "restricted", "restricted plan")


def number(index: int) -> str:
    """A number of the test range."""
    nine = 999_200_000 + index * 7
    while (digit := nhs_number.check_digit(str(nine))) is None:
        nine += 1
    return f"{nine}{digit}"


NUMBERS = {kind: number(index) for index, kind in enumerate(KINDS)}


async def fill(here: World) -> None:
    """A person of each kind, the restricted ones with a visit elsewhere."""
    await here.file_came()
    await here.plans(plan(NUMBERS["flagged"]), plan(NUMBERS["restricted plan"], restricted=True))
    known = [
        replace(hidden.known(NUMBERS[kind]), restricted=kind.startswith("restricted"))
        for kind in KINDS[1:]
    ]
    async with postgres.transaction(here.pool) as connection:
        await identities.put(connection, known)
    for kind in ("restricted", "restricted plan"):
        await here.visited(CLINIC, NOW - timedelta(days=3), NUMBERS[kind], restricted=True)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement was sent."""
    sent: Counter[str] = Counter()
    execute = psycopg.AsyncConnection.execute

    async def counted(self: Any, query: Any, *args: Any, **more: Any) -> Any:
        sent[str(query)] += 1
        return await execute(self, query, *args, **more)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)
    return sent


async def test_every_look_sends_the_same_statements(
    database: Database, statements: Counter[str]
) -> None:
    """The same texts as often, and planned once for all: for nobody known as for a restricted
    child with a plan.
    """
    async with world(database) as here:
        await fill(here)
        await here.look(NUMBERS["unknown"], caller=CLINICIAN)  # reads the coverage
        seen = {}
        for kind, one in NUMBERS.items():
            statements.clear()
            await here.look(one, caller=CLINICIAN)
            seen[kind] = dict(statements)
        assert len(seen["unknown"]) >= 4
        assert [kind for kind in KINDS if seen[kind] != seen["unknown"]] == []


async def test_every_look_asks_and_tells_the_same_in_python(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is judged and told where none is held, and thrown away."""
    calls: Counter[str] = Counter()
    for module, name in ((lookup, "standing"), (lookup, "_flags"), (looking, "masked")):
        called = getattr(module, name)

        def counted(*args: Any, _name: str = name, _called: Any = called, **more: Any) -> Any:
            calls[_name] += 1
            return _called(*args, **more)

        monkeypatch.setattr(module, name, counted)
    async with world(database) as here:
        await fill(here)
        seen = {}
        for kind, one in NUMBERS.items():
            calls.clear()
            await here.look(one, caller=CLINICIAN)
            seen[kind] = dict(calls)
        once = {"standing": 1, "_flags": 1, "masked": 1}
        assert [kind for kind in KINDS if seen[kind] != once] == []


async def test_one_plan_serves_whoever_is_asked_about(database: Database) -> None:
    """PostgreSQL does not plan anew for each number."""
    async with (
        world(database) as here,
        postgres.scoped(here.asking, CLINIC, ["x"], pipelined=True) as connection,
    ):
        (row,) = await (await connection.execute("show plan_cache_mode")).fetchall()
        assert row == {"plan_cache_mode": "force_generic_plan"}


async def test_what_a_look_reads_does_not_grow_with_the_days_looks(database: Database) -> None:
    """Whether this author looked before is read by person, never by going through everything that
    the author's organisation looked at since yesterday.
    """
    async with world(database) as here:
        await fill(here)
        await here.rows(
            "insert into accesses select gen_random_uuid(), 'p' || n, %(at)s, %(organisation)s, "
            "'a', null, false, null, '{}', 'urgent-care', null, true, 'flags-query', 'r', "
            "true, true from generate_series(1, 3000) n returning 1",
            at=NOW,
            organisation=CLINICIAN.organisation,
        )
        asked = [Ask(KEYS.person(one), "a") for one in NUMBERS.values()]
        explained = _Explained()
        async with postgres.scoped(
            here.asking, CLINICIAN.organisation, [one.person for one in asked]
        ) as connection:
            await connection.execute("set local plan_cache_mode = force_generic_plan")
            explained.connection = connection
            with pytest.raises(_Seen) as seen:
                await holdings.of_persons(explained, CLINICIAN.organisation, asked, NOW)  # type: ignore[arg-type]
        plan_text = str(seen.value)
        assert "Index Scan" in plan_text
        assert "organisation_looked_at" not in plan_text
        assert "Seq Scan on visits" not in plan_text


class _Seen(Exception):
    """The plan of a statement, instead of its rows."""


class _Explained:
    """A connection that explains what it is to execute."""

    connection: postgres.Connection

    async def execute(self, query: str, values: Any) -> None:
        cursor = await self.connection.execute(f"explain {query}", values)
        raise _Seen("\n".join(row["QUERY PLAN"] for row in await cursor.fetchall()))
