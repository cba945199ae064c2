"""The tracer's side of `stores.trace_batches`: which lines are asked next, and their answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from halyard.postgres import Connection, load_queries, lock, one
from schemas.events import PersonClaim
from stores.trace_batches import Question, asked_by, claim_of, stored

_SQL = load_queries("stores", "trace_work.sql")

FEED_LOCK: Final = "trace-batches-feed"

PAGE: Final = 5_000
"""Lines that one transaction ends, clears or removes at most."""


@dataclass(frozen=True, slots=True)
class NextLine:
    """The first line of a batch that asks this question; `person`: a batch of one, who waits."""

    batch_id: uuid.UUID
    organisation: str
    person: bool
    line: int
    question: str
    claim: PersonClaim = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch, locked."""

    batch_id: uuid.UUID
    organisation: str
    kind: str
    state: str
    lines: int
    answered: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class AskedLine:
    """A line that waits for an answer. `of_file`: its number is a trace file's word."""

    line: int
    claim: PersonClaim = field(repr=False)
    of_file: bool = False


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What became of a line. `keep`: its details stay, for a trace file."""

    line: int
    outcome: str
    rule: str
    nhs_number: str | None = field(default=None, repr=False)
    person: str | None = None
    restricted: bool = False
    fields: Mapping[str, str] | None = None
    keep: bool = False


async def lock_feed(connection: Connection) -> None:
    """Nobody else files batches' requests, or ends them, until the transaction ends."""
    await lock(connection, [FEED_LOCK])


async def next_lines(connection: Connection, *, most: int, persons: int) -> list[NextLine]:
    """What is asked next: of each organisation's files so many questions that `most` are before
    PDS, by turns of its files; and so many persons who wait that `persons` of all organisations
    are, by turns of these. The caller holds the feed's lock.
    """
    cursor = await connection.execute(_SQL["next_lines"], {"most": most, "persons": persons})
    return [
        NextLine(
            row["batch_id"],
            row["organisation"],
            row["kind"] == "person",
            row["line"],
            row["question"],
            claim_of(row["claim"]),
        )
        for row in await cursor.fetchall()
    ]


async def asked(connection: Connection, requests: Sequence[tuple[NextLine, uuid.UUID]]) -> None:
    """Every line that asks one of these questions waits for its request now."""
    if requests:
        await connection.execute(
            _SQL["asked"],
            {
                "batch_ids": [line.batch_id for line, _ in requests],
                "questions": [line.question for line, _ in requests],
                "trace_ids": [trace_id for _, trace_id in requests],
            },
        )


async def hold_batch(connection: Connection, batch_id: uuid.UUID) -> HeldBatch | None:
    """A batch, locked until the transaction ends: its lines are answered one answer at a time."""
    row = await (await connection.execute(_SQL["hold_batch"], {"batch_id": batch_id})).fetchone()
    if row is None:
        return None
    row.pop("purpose")
    return HeldBatch(**row)


async def asked_lines(
    connection: Connection, batch_id: uuid.UUID, trace_id: uuid.UUID
) -> list[AskedLine]:
    """The lines that wait for this request."""
    given = {"batch_id": batch_id, "trace_id": trace_id}
    return _lines(await (await connection.execute(_SQL["asked_items"], given)).fetchall())


async def may_be_compared(
    connection: Connection,
    batch: HeldBatch,
    question: Question,
    *,
    most: int,
    since: datetime,
    now: datetime,
) -> bool:
    """Whether at most so many different details stand beside this question's number, in the batch
    and in what its organisation had compared since then; if so, these count from now on.
    """
    given = {
        "batch_id": batch.batch_id,
        "organisation": batch.organisation,
        "question": question.key,
        "number_token": question.number_token,
        "since": since,
        "now": now,
    }
    row = one(await (await connection.execute(_SQL["details_said"], given)).fetchone())
    if row["amount"] > most:
        return False
    await connection.execute(_SQL["say_details"], given)
    return True


async def end_question(
    connection: Connection,
    batch: HeldBatch,
    question: str,
    *,
    outcome: str,
    rule: str,
    now: datetime,
    limit: int = PAGE,
) -> int:
    """End lines that ask this question, unasked, at most so many; gives how many."""
    given = {
        "batch_id": batch.batch_id,
        "question": question,
        "outcome": outcome,
        "rule": rule,
        "now": now,
        "limit": limit,
    }
    ended = (await connection.execute(_SQL["end_question"], given)).rowcount
    counts = {**batch.counts, outcome: batch.counts.get(outcome, 0) + ended}
    answered = batch.answered + ended
    state = "done" if answered >= batch.lines else "running"
    await _progress(connection, batch, answered, counts, state, now)
    return ended


async def answer(
    connection: Connection,
    batch: HeldBatch,
    answers: Sequence[LineAnswer],
    *,
    now: datetime,
    before: Iterable[str] = (),
) -> bool:
    """Write lines' answers and the batch's progress; True if it is done now. `before`: outcomes
    that these lines had (they are counted once).
    """
    counts = dict(batch.counts)
    old = list(before)
    for name in old:
        counts[name] = counts.get(name, 0) - 1
    for each in answers:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    answered = batch.answered - len(old) + len(answers)
    done = answered >= batch.lines
    rows = [
        {
            "line": each.line,
            "outcome": each.outcome,
            "rule": each.rule,
            "nhs_number": each.nhs_number,
            "person": each.person,
            "restricted": each.restricted,
            "fields": dict(each.fields) if each.fields is not None else None,
            "keep": each.keep,
        }
        for each in answers
    ]
    await connection.execute(
        _SQL["answer"], {"batch_id": batch.batch_id, "answers": Jsonb(rows), "now": now}
    )
    await _progress(connection, batch, answered, counts, "done" if done else "running", now)
    return done


async def ask_again(
    connection: Connection,
    batch: HeldBatch,
    lines: Sequence[tuple[int, Question, PersonClaim]],
    *,
    before: Sequence[str],
    now: datetime,
) -> None:
    """Lines (with question and claim) wait again; `before`: the outcomes that they had."""
    if not lines:
        return
    counts = dict(batch.counts)
    for name in before:
        counts[name] = counts.get(name, 0) - 1
    rows = [
        {"line": line, **asked_by(question), "claim": stored(claim)}
        for line, question, claim in lines
    ]
    await connection.execute(_SQL["ask_again"], {"batch_id": batch.batch_id, "items": Jsonb(rows)})
    await _progress(connection, batch, batch.answered - len(before), counts, "running", now)


async def end_batches(
    connection: Connection, *, persons_before: datetime, loading_before: datetime, now: datetime
) -> None:
    """What was cancelled, and traces of a person that were asked for before then, are told nobody
    any more, and PDS is not asked for them; files that broke off are dropped. Their lines are still
    there (`to_clear`, `to_remove`). The caller holds the feed's lock.
    """
    await connection.execute(_SQL["end_persons"], {"before": persons_before, "now": now})
    await connection.execute(_SQL["end_cancelled"], {"now": now})
    await connection.execute(_SQL["stop_requests"])
    await connection.execute(_SQL["drop_broken"], {"loading_before": loading_before})


async def to_clear(connection: Connection, *, limit: int = 100) -> list[uuid.UUID]:
    """Batches that are told nobody any more, and still have their lines' content."""
    rows = await (await connection.execute(_SQL["to_clear"], {"limit": limit})).fetchall()
    return [row["batch_id"] for row in rows]


async def clear_page(
    connection: Connection, batch_id: uuid.UUID, *, after: int, limit: int = PAGE
) -> int | None:
    """Take the content of lines after this one away; gives the last, None if there was none. Nobody
    else writes them: no batch that is told nobody is held (`hold_batch`).
    """
    given = {"batch_id": batch_id, "after": after, "limit": limit}
    row = one(await (await connection.execute(_SQL["clear_page"], given)).fetchone())
    if row["last"] is None:
        await connection.execute(_SQL["cleared"], {"batch_id": batch_id})
        return None
    return int(row["last"])


async def to_remove(connection: Connection, *, limit: int = 100) -> list[uuid.UUID]:
    """Batches that were dropped."""
    rows = await (await connection.execute(_SQL["to_remove"], {"limit": limit})).fetchall()
    return [row["batch_id"] for row in rows]


async def remove_page(
    connection: Connection, batch_id: uuid.UUID, *, after: int, limit: int = PAGE
) -> int | None:
    """Remove lines of a dropped batch after this one; gives the last, None if there was none: then
    the batch went.
    """
    given = {"batch_id": batch_id, "after": after, "limit": limit}
    row = one(await (await connection.execute(_SQL["remove_page"], given)).fetchone())
    if row["last"] is None:
        await connection.execute(_SQL["remove"], {"batch_id": batch_id})
        return None
    return int(row["last"])


async def forget_details(connection: Connection, *, before: datetime) -> None:
    """Details that were compared before then count no more (`may_be_compared`)."""
    await connection.execute(_SQL["forget_details"], {"before": before})


async def waiting(connection: Connection) -> int:
    """How many lines of all batches are not answered."""
    return int(one(await (await connection.execute(_SQL["waiting"])).fetchone())["waiting"])


async def _progress(
    connection: Connection,
    batch: HeldBatch,
    answered: int,
    counts: Mapping[str, int],
    state: str,
    now: datetime,
) -> None:
    left = {name: amount for name, amount in counts.items() if amount}
    await connection.execute(
        _SQL["progress"],
        {
            "batch_id": batch.batch_id,
            "answered": answered,
            "counts": Jsonb(left),
            "state": state,
            "now": now,
        },
    )


def _lines(rows: Iterable[dict[str, Any]]) -> list[AskedLine]:
    return [
        AskedLine(row["line"], claim_of(row["claim"]), row["basis"] == "trace-file") for row in rows
    ]
