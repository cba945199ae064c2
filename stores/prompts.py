"""Deaths that somebody's record indicates and nobody has notified: who was asked to (DESIGN §6)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from halyard.postgres import Connection, load_queries
from schemas.deaths import DeathIndication

_SQL = load_queries("stores", "prompts.sql")

State = Literal["open", "answered", "cancelled"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it stands. `organisation` is None while nobody is known who could be asked."""

    prompt_id: uuid.UUID
    person: str | None  # pseudonym (store key)
    source: str
    indication: DeathIndication
    rule: str
    organisation: str | None
    state: State
    event_id: uuid.UUID
    indicated_at: datetime
    opened_at: datetime
    changed_at: datetime
    case_id: uuid.UUID | None = None  # of the notification that answered it


async def of_tokens(connection: Connection, tokens: Iterable[str]) -> list[Prompt]:
    """The prompts that share one of these tokens, the oldest first."""
    cursor = await connection.execute(_SQL["of_tokens"], {"tokens": sorted(set(tokens))})
    return [_prompt(row) for row in await cursor.fetchall()]


async def notified(connection: Connection, tokens: Iterable[str]) -> uuid.UUID | None:
    """A case of a live notification that shares one of these tokens, if there is one."""
    cursor = await connection.execute(_SQL["notified"], {"tokens": sorted(set(tokens))})
    row = await cursor.fetchone()
    return None if row is None else row["case_id"]


async def save(connection: Connection, prompt: Prompt, tokens: Iterable[str]) -> None:
    """Write a prompt and the tokens it is found by; the caller holds their locks."""
    await connection.execute(
        _SQL["save"], {**asdict(prompt), "indication": prompt.indication.value}
    )
    await connection.execute(
        _SQL["save_tokens"], {"prompt_id": prompt.prompt_id, "tokens": sorted(set(tokens))}
    )


async def note_notified(
    connection: Connection, tokens: Sequence[tuple[str, uuid.UUID]], at: datetime
) -> None:
    """Live notifications have these (token, case): they answer the open prompts of the tokens."""
    if tokens:
        values = {
            "tokens": [token for token, _ in tokens],
            "case_ids": [case_id for _, case_id in tokens],
            "at": at,
        }
        await connection.execute(_SQL["remember"], values)
        await connection.execute(_SQL["answer"], values)


async def forget_notified(connection: Connection, case_ids: Iterable[uuid.UUID]) -> None:
    """What the notifications of these cases said before counts no more."""
    await connection.execute(_SQL["forget"], {"case_ids": sorted(set(case_ids))})


async def reopen(connection: Connection, case_ids: Iterable[uuid.UUID], at: datetime) -> None:
    """The prompts that these cases answered, and no longer do, are answered by another live
    notification of the same tokens; if there is none they are open again.
    """
    await connection.execute(_SQL["reopen"], {"case_ids": sorted(set(case_ids)), "at": at})


async def purge(connection: Connection, *, before: datetime, limit: int = 1_000) -> int:
    """Delete prompts (with their tokens) that were closed before, the oldest first."""
    values = {"before": before, "limit": limit}
    return (await connection.execute(_SQL["purge"], values)).rowcount


async def page(connection: Connection, *, all_states: bool, limit: int) -> list[Prompt]:
    """Prompts that are open (or of every state), newest first."""
    cursor = await connection.execute(_SQL["page"], {"all": all_states, "limit": limit})
    return [_prompt(row) for row in await cursor.fetchall()]


async def count(connection: Connection, *, all_states: bool) -> int:
    """How many prompts are open (or there are, of every state)."""
    row = await (await connection.execute(_SQL["count"], {"all": all_states})).fetchone()
    return int(row["amount"]) if row else 0


def _prompt(row: dict[str, Any]) -> Prompt:
    return Prompt(**{**row, "indication": DeathIndication(row["indication"])})
