"""What is left of log-ins and tokens ends by class."""

from __future__ import annotations

from datetime import timedelta

import psycopg

from halyard.postgres import Pool
from stores import retention
from stores.retention import ROWS
from tests.integration.stores.test_retention import NOW, count
from tests.support.services import Database


async def test_expired_sessions_and_used_tokens_end_and_others_stay(
    pool: Pool, database: Database
) -> None:
    """Also of an organisation where nobody logs in any more."""
    with psycopg.connect(database.owner_url) as connection:  # workers write none of them
        for place, at in enumerate((NOW - timedelta(days=2), NOW)):
            connection.execute(
                "insert into halyard.sessions (session_hash, organisation, subject, roles, "
                "created_at, seen_at, ends_at) values (%s, 'RCB55', 'user:a', '{}', %s, %s, %s)",
                (f"{place:064x}", at, at, at),
            )
            connection.execute(
                "insert into halyard.used_tokens (digest, expires_at) values (%s, %s)",
                (bytes([place]) * 32, at),
            )
    limit = NOW - timedelta(days=1)
    for data in ROWS:
        if data.name in ("sessions", "used-tokens"):
            assert await retention.drop(pool, data, limit) == 1
    assert (await count(pool, "sessions"), await count(pool, "used_tokens")) == (1, 1)
