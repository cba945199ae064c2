"""The national data opt-out: who has opted out, by pseudonym, as the last import says it.

Whether it applies is decided for each flow by its legal basis (docs/reference/sharing-policies.md),
never here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from halyard.errors import PermanentError
from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "opt_outs.sql")

MOST_GONE: Final = 0.1
"""So large a part of a list may be gone in the next one without a word."""


@dataclass(frozen=True, slots=True)
class Import:
    """The last import: when, how many, by whom."""

    imported_at: datetime
    amount: int
    by: str


async def replace(
    connection: Connection,
    persons: Iterable[str],
    *,
    at: datetime,
    by: str,
    stated: int | None = None,
) -> int:
    """Take `persons` (pseudonyms, store key) for all who have opted out; gives how many.

    Half a list would let somebody through: raises `PermanentError` for one that is empty or much
    shorter than the last, unless the caller has `stated` how many they are; and if that is wrong.
    """
    everybody = sorted(set(persons))
    before = await latest(connection)
    least = 1 if before is None else max(1, math.ceil(before.amount * (1 - MOST_GONE)))
    if stated is None and len(everybody) < least:
        raise PermanentError(
            f"The list names {len(everybody)} people; at least {least} were expected after the "
            "last one. Nothing was imported. If it is right, state the amount (--amount)."
        )
    if stated is not None and len(everybody) != stated:
        raise PermanentError(
            f"The list names {len(everybody)} people, not {stated}; nothing was imported."
        )
    await connection.execute(_SQL["clear"])
    await connection.execute(_SQL["add"], {"persons": everybody})
    await connection.execute(_SQL["note"], {"at": at, "amount": len(everybody), "by": by})
    return len(everybody)


async def latest(connection: Connection) -> Import | None:
    """The last import, if there was one."""
    row = await (await connection.execute(_SQL["latest"])).fetchone()
    return None if row is None else Import(**row)


async def among(connection: Connection, persons: Iterable[str]) -> frozenset[str]:
    """Those of `persons` who have opted out."""
    wanted = sorted(set(persons))
    cursor = await connection.execute(_SQL["among"], {"persons": wanted})
    return frozenset(row["person"] for row in await cursor.fetchall())
