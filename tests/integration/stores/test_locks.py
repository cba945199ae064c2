"""What happens when a transaction asks for more locks than PostgreSQL has."""

from __future__ import annotations

import psycopg
import pytest

from halyard.errors import DatabaseUnavailable
from halyard.postgres import MANY_LOCKS, MAX_LOCKS, Pool, TooManyLocks, lock, transaction
from streams.resolution import is_transient
from tests.support.services import Database


async def test_nobody_locks_more_than_leaves_others_some(pool: Pool) -> None:
    """The transaction is refused before it takes any; what it was for can be taken in halves."""
    async with transaction(pool) as connection:
        with pytest.raises(TooManyLocks):
            await lock(connection, [f"person:{number}" for number in range(MAX_LOCKS + 1)])
        cursor = await connection.execute("select count(*) as n from pg_locks where mode = 'x'")
        assert await cursor.fetchone() == {"n": 0}
        await lock(connection, [f"person:{number}" for number in range(MAX_LOCKS // 8)] * 9)


@pytest.mark.parametrize(
    ("asked", "transient"), [(1, True), (MANY_LOCKS, True), (MANY_LOCKS + 1, False)]
)
async def test_a_full_lock_table_splits_who_asks_for_many_and_holds_up_who_asks_for_few(
    pool: Pool, database: Database, asked: int, transient: bool
) -> None:
    """SQLSTATE 53200: many locks are its own fault (a batch is split), few are another's."""
    with psycopg.connect(database.admin_url, autocommit=True) as owner:
        owner.execute(
            "create function halyard.pg_advisory_xact_lock(bigint) returns void "
            "language plpgsql as $$ begin "
            "raise exception 'out of shared memory' using errcode = '53200'; end $$"
        )

    async def take() -> None:
        async with transaction(pool) as connection:
            await connection.execute("set local search_path = halyard, pg_catalog")
            await lock(connection, [f"person:{number}" for number in range(asked)])

    with pytest.raises(DatabaseUnavailable if transient else TooManyLocks) as caught:
        await take()
    assert is_transient(caught.value) is transient
