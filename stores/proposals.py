"""Proposals that two cases are one death, and the keyed tokens by which candidates are found.

A person decides. A proposal is stored for the cases themselves (not for what they were merged
into); the pair is ordered. `WITHDRAWN`: the evidence went (a correction, a void) before anybody
decided; it opens again when the evidence comes back. What a person decided is never opened again
by the hub, unless what agrees or differs has changed since.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "proposals.sql")

PROPOSED: Final = "proposed"
WITHDRAWN: Final = "withdrawn"
MERGED: Final = "merged"
REJECTED: Final = "rejected"


MOST_SHARING: Final = 200
"""Cases that may share a token: one that more have is a habit of typing, and no trace."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two cases that may be one death, and what became of it; ``one < other``."""

    one: uuid.UUID
    other: uuid.UUID
    score: float
    rule: str
    agreements: tuple[str, ...]
    differences: tuple[str, ...]
    state: str
    proposed_at: datetime
    changed_at: datetime
    decided_by: str | None = None
    decided_reason: str | None = field(default=None, repr=False)
    decided_at: datetime | None = None


def pair(one: uuid.UUID, other: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """The two in the order in which a proposal has them."""
    return (one, other) if one < other else (other, one)


async def save_tokens(connection: Connection, tokens: Mapping[uuid.UUID, Iterable[str]]) -> None:
    """The tokens of these cases from now on, whole; the caller holds their ``dup:`` locks."""
    case_ids = sorted(tokens)
    if not case_ids:
        return
    pairs = sorted({(token, case_id) for case_id in case_ids for token in tokens[case_id]})
    await connection.execute(_SQL["drop_tokens"], {"case_ids": case_ids})
    if pairs:
        await connection.execute(
            _SQL["add_tokens"],
            {"tokens": [one for one, _ in pairs], "case_ids": [one for _, one in pairs]},
        )


async def candidates(connection: Connection, tokens: Iterable[str]) -> dict[str, set[uuid.UUID]]:
    """The cases that have a token, by token, at most one more than `MOST_SHARING` of each; the
    caller holds their ``dup:`` locks.
    """
    wanted = sorted(set(tokens))
    found: dict[str, set[uuid.UUID]] = {}
    if not wanted:
        return found
    cursor = await connection.execute(
        _SQL["candidates"], {"tokens": wanted, "limit": MOST_SHARING + 1}
    )
    for row in await cursor.fetchall():
        found.setdefault(row["token"], set()).add(row["case_id"])
    return found


async def of_cases(connection: Connection, case_ids: Iterable[uuid.UUID]) -> list[Proposal]:
    """Every proposal of these cases, whatever its state."""
    cursor = await connection.execute(_SQL["of_cases"], {"case_ids": sorted(set(case_ids))})
    return [_proposal(row) for row in await cursor.fetchall()]


async def open_proposals(
    connection: Connection, *, after: datetime | None = None, limit: int = 100
) -> list[Proposal]:
    """Proposals that nobody has decided yet, the oldest first; for lists."""
    cursor = await connection.execute(_SQL["open"], {"after": after, "limit": limit})
    return [_proposal(row) for row in await cursor.fetchall()]


async def count_open(connection: Connection) -> int:
    """How many proposals nobody has decided yet."""
    row = await (await connection.execute(_SQL["count_open"])).fetchone()
    return int(row["amount"]) if row else 0


async def save(connection: Connection, proposals: Sequence[Proposal]) -> None:
    """Write proposals whole; the caller holds the ``case:`` locks of both."""
    if not proposals:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["save"],
            [
                {
                    "one": each.one,
                    "other": each.other,
                    "score": each.score,
                    "rule": each.rule,
                    "agreements": list(each.agreements),
                    "differences": list(each.differences),
                    "state": each.state,
                    "proposed_at": each.proposed_at,
                    "changed_at": each.changed_at,
                    "decided_by": each.decided_by,
                    "decided_reason": each.decided_reason,
                    "decided_at": each.decided_at,
                }
                for each in proposals
            ],
        )


def _proposal(row: dict[str, Any]) -> Proposal:
    return Proposal(
        **{
            **row,
            "agreements": tuple(row["agreements"]),
            "differences": tuple(row["differences"]),
        }
    )
