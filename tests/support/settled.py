"""Wait until lists that go on by transaction know the place of all that was committed so far.

Any transaction that runs elsewhere in the same PostgreSQL holds them back, another test's too.
"""

from __future__ import annotations

from halyard.postgres import Pool, transaction
from tests.support.waiting import aeventually


async def settled(pool: Pool) -> None:
    """Return when no transaction runs that began before now."""
    async with transaction(pool) as connection:
        found = await connection.execute("select pg_current_xact_id()::text as now")
        row = await found.fetchone()
    assert row is not None

    async def passed() -> bool:
        async with transaction(pool) as connection:
            found = await connection.execute(
                "select pg_snapshot_xmin(pg_current_snapshot()) > %(now)s::xid8 as yes", row
            )
            answer = await found.fetchone()
        return answer is not None and bool(answer["yes"])

    await aeventually(passed, timeout=60, why="earlier transactions have ended")
