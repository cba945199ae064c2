"""The other route: lines without a number go out as a trace file, and its response comes back.

A file's word is not our verification. A number that it gives is asked of PDS and compared with the
line as any number is, unless the operator trusts the file (`HALYARD_TRACING__TRUST_TRACE_FILE`);
one that contradicts what was sent (code 33) is always asked. Of a response nothing is kept but the
number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.local_authority.rules import Refusal
from connectors.trace_files.layout import Layout
from connectors.trace_files.request import line_of
from connectors.trace_files.response import Meaning, Reader, RefusedRow, Returned
from flag_service.tracing import ASKED_OF_LINES, Tracing, ask, denied, entry
from halyard.caller import Caller
from halyard.errors import PermanentError
from halyard.postgres import Connection, scoped
from policies.desk import Asked
from schemas.events import PersonClaim
from stores import audit, trace_batches, trace_work
from stores.audit import AuditEntry
from stores.trace_batches import Batch, Question
from stores.trace_work import LineAnswer
from streams.tracer.batch_outcomes import NO_MATCH, SUPERSEDED, TOO_MANY, UNTRACED, VERIFIED
from streams.tracer.batch_questions import question_of

CHUNK: Final = 500
SHOWN: Final = 1_000

_ENDS: Final = {Meaning.NOBODY: NO_MATCH, Meaning.MANY: TOO_MANY}


class NotOpen(PermanentError):
    """The batch is being loaded, was cancelled, or its lines are not kept any more; send the
    authority's file again.
    """


@dataclass(slots=True)
class Imported:
    """What a response did. `results`: rows by what became of their lines: asked of PDS by the
    number, taken as verified, without a match. `refused` names rows, as far as there is room.
    """

    results: Counter[str] = field(default_factory=Counter)
    refused_count: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, row: int, refusal: Refusal) -> None:
        """Name a row and its rule."""
        self.refused_count += 1
        if len(self.refused) < SHOWN:
            self.refused.append(
                {
                    "row": row,
                    "column": refusal.field or None,
                    "rule": refusal.rule,
                    "message": refusal.message,
                }
            )


async def untraced(
    mine: Tracing, asking: Caller, batch: Batch, *, reason: str | None
) -> list[tuple[int, PersonClaim]]:
    """The lines that have no number, for a trace file; that they went out is on record.

    Raises `NotOpen`, and `HttpProblem` 403 if no policy permits it.
    """
    _check(batch)
    asked = ask(mine, asking, ASKED_OF_LINES, batch.purpose)
    found: list[tuple[int, PersonClaim]] = []
    async with scoped(mine.pool, batch.organisation) as connection:
        after = 0
        while page := await trace_batches.untraced(
            connection, batch.batch_id, after=after, limit=10_000
        ):
            found += page
            after = page[-1][0]
        counted = ("count", str(len(found)))
        about = _entry(mine, asked, asking, batch, reason, ("act", "trace-file-written"), counted)
        await audit.append(connection, [about])
    if not asked.permitted:
        raise denied(asked)
    return found


async def take_response(
    mine: Tracing,
    asking: Caller,
    batch: Batch,
    layout: Layout,
    read: Callable[[], Iterable[bytes]],
    *,
    reason: str | None,
) -> Imported:
    """Take the response to a trace file of `batch`; `read` gives its bytes, each time anew.

    Each transaction that applies rows has its own audit entry, which counts them: what a hub that
    dies has applied is on record. Taking the same response again changes nothing. Raises `NotOpen`,
    and `HttpProblem` 403.
    """
    _check(batch)
    asked = ask(mine, asking, ASKED_OF_LINES, batch.purpose)
    imported = Imported()
    noted = (0, 0)  # rows applied and refused that an entry counts already

    async def take(chunk: list[tuple[int, Returned]]) -> None:
        nonlocal noted
        async with scoped(mine.pool, batch.organisation) as connection:
            if chunk:
                await _apply(connection, mine, batch, chunk, imported)
            applied, refused = sum(imported.results.values()), imported.refused_count
            about = _entry(
                mine,
                asked,
                asking,
                batch,
                reason,
                ("act", "trace-file-read"),
                ("count", str(applied - noted[0])),
                ("refused", str(refused - noted[1])),
            )
            await audit.append(connection, [about])
        noted = applied, refused

    chunk: list[tuple[int, Returned]] = []
    if asked.permitted:
        times = Counter(
            one.reference.lower()
            for one in _rows(layout, mine, read())
            if isinstance(one, Returned)
        )
        for one in _rows(layout, mine, read()):
            if isinstance(one, RefusedRow):
                imported.refuse(one.row, one.refusal)
                continue
            line = line_of(batch.batch_id, one.reference)
            if line is None:
                imported.refuse(one.row, Refusal("reference", "trace_file.reference"))
            elif times[one.reference.lower()] > 1:
                imported.refuse(one.row, Refusal("reference", "trace_file.twice"))
            else:
                chunk.append((line, one))
            if len(chunk) > CHUNK:  # so that the last entry has rows, if any has
                await take(chunk[:CHUNK])
                chunk = chunk[CHUNK:]
    await take(chunk)
    if not asked.permitted:
        raise denied(asked)
    return imported


def _check(batch: Batch) -> None:
    if batch.state not in ("running", "done") or batch.emptied_at is not None:
        raise NotOpen


def _entry(
    mine: Tracing,
    asked: Asked,
    asking: Caller,
    batch: Batch,
    reason: str | None,
    *detail: tuple[str, str],
) -> AuditEntry:
    return entry(
        mine,
        asked,
        asking,
        kind="access" if asked.permitted else "refusal",
        subject=f"trace-batch:{batch.batch_id}",
        request_id=None,
        reason=reason,
        detail=detail,
    )


def _rows(
    layout: Layout, mine: Tracing, chunks: Iterable[bytes]
) -> Iterator[Returned | RefusedRow]:
    reader = Reader(layout, mine.profile)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.end()


async def _apply(
    connection: Connection,
    mine: Tracing,
    batch: Batch,
    rows: list[tuple[int, Returned]],
    imported: Imported,
) -> None:
    now = mine.clock()
    held = await trace_work.hold_batch(connection, batch.batch_id)
    if held is None or held.state not in ("running", "done"):
        raise NotOpen
    standing = await trace_batches.lines_for_update(
        connection, batch.batch_id, [line for line, _ in rows]
    )
    answers: list[tuple[str, LineAnswer]] = []
    again: list[tuple[str, tuple[int, Question, PersonClaim]]] = []
    for line, row in rows:
        found = standing.get(line)
        if refusal := _refused(row, found):
            imported.refuse(row.row, refusal)
            continue
        assert found is not None
        before = str(found["outcome"])
        answer = _answer(mine, line, row, found["claim"])
        if answer is not None:
            if (answer.outcome, answer.rule) != (before, found["rule"]):
                answers.append((before, answer))
            imported.results[answer.outcome] += 1
            continue
        claim = replace(found["claim"], nhs_number=row.nhs_number)
        question = question_of(mine.keys, mine.profile, claim)
        assert question is not None  # the reader gives numbers that can be one alone
        again.append((before, (line, question, claim)))
        imported.results["asked"] += 1
    if answers:
        await trace_work.answer(
            connection,
            held,
            [one for _, one in answers],
            now=now,
            before=[name for name, _ in answers],
        )
        held = await trace_work.hold_batch(connection, batch.batch_id)
        assert held is not None
    await trace_work.ask_again(
        connection,
        held,
        [one for _, one in again],
        before=[name for name, _ in again],
        now=now,
    )


def _refused(row: Returned, found: dict[str, Any] | None) -> Refusal | None:
    if found is None:
        return Refusal("reference", "trace_file.reference")
    open_ = found["state"] == "done" and found["outcome"] in UNTRACED
    if not open_ or found["claim"] == PersonClaim():
        return Refusal("reference", "trace_file.settled")
    born = found["claim"].birth_date or ""
    if row.birth_date and not born.startswith(row.birth_date):
        return Refusal("birth_date", "trace_file.birth_date")
    return None


def _answer(mine: Tracing, line: int, row: Returned, claim: PersonClaim) -> LineAnswer | None:
    """The end of a line by the file's word alone; None: PDS is asked by the number."""
    rule = f"trace-file.{row.code}"
    if row.meaning in _ENDS:
        return LineAnswer(line, _ENDS[row.meaning], rule, keep=True)
    if not mine.settings.trust_trace_file or row.meaning is Meaning.OTHER:
        return None
    # a row that has slipped to another line has another birth date, or it cannot be told
    if row.birth_date is None or row.birth_date != claim.birth_date:
        return None
    number = row.nhs_number or ""
    return LineAnswer(
        line,
        SUPERSEDED if row.meaning is Meaning.SUCCESSOR else VERIFIED,
        rule,
        nhs_number=number,
        person=mine.keys.person(number),
        restricted=True,  # nobody has looked: it is told as of somebody who is
    )
