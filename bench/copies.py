"""Many cases at once: copies of those that are there, made by the database."""

from __future__ import annotations

from typing import Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from halyard.errors import PermanentError
from halyard.postgres import load_queries, one, translated

TABLES: Final[tuple[LiteralString, ...]] = (
    "cases",
    "case_events",
    "case_notifications",
    "case_messages",
    "claims",
    "worklist",
    "case_tokens",
    "death_notified_tokens",
    "death_notes",
    "case_told",
    "case_proposals",
    "report_requests",
    "letters",
    "inbox",
    "ncmd_cases",
    "ncmd_history",
    "ncmd_facts",
    "ncmd_links",
    "ncmd_submissions",
)
"""Named as their statements are: cases before what refers to them."""
_SQL: Final = load_queries("bench", "copies.sql")


async def add_copies(owner_url: str, missing: int) -> None:
    """`missing` more cases in the hub's tables and in the store's, copied from those that are
    there, all in one transaction; then every table is vacuumed and its statistics are taken.

    `owner_url`: of the role that owns both schemas. Raises `DatabaseUnavailable` or
    `PermanentError`, as `halyard.postgres.transaction` does.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            owner_url, autocommit=True, row_factory=dict_row, options="-c jit=off"
        ) as connection:
            await _copy(connection, missing)
            for name in TABLES:
                schema = "ncmd" if name.startswith("ncmd_") else "halyard"
                table = sql.Identifier(schema, name.removeprefix("ncmd_"))
                await connection.execute(sql.SQL("vacuum (analyze) {}").format(table))
    except psycopg.Error as error:
        raise translated(error) from None


async def _copy(connection: psycopg.AsyncConnection[dict[str, object]], missing: int) -> None:
    async with connection.transaction():
        # one state of both schemas: versions that are written meanwhile are not seen
        await connection.execute("set transaction isolation level repeatable read")
        there = one(await (await connection.execute(_SQL["counted"])).fetchone())
        if not 0 < there["hub"] == there["store"]:
            raise PermanentError("The hub and the store hold different cases; measure again.")
        sizes = {"missing": missing, "rounds": -(-missing // there["hub"])}
        await connection.execute(_SQL["begin"])
        await connection.execute(_SQL["plan"], sizes)
        await connection.execute(_SQL["planned"])
        for name in TABLES:
            await connection.execute(_SQL[name], sizes)
        after = one(await (await connection.execute(_SQL["counted"])).fetchone())
        if any(after[side] != there[side] + missing for side in after):
            raise PermanentError("Not every case was copied; measure again.")
