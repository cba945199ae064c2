"""A file of children into a batch: read and stored a thousand lines at a time, in flat memory.

The batch starts when its last line is stored; what breaks off before is dropped. The digest of the
bytes says whether the organisation has sent the same file already: then that one's batch stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg

from connectors.local_authority.rules import Refusal
from connectors.trace_files.lines import Read, Reader, Wanted
from flag_service.tracing import ASKED_OF_LINES, Tracing, ask, denied, entry
from halyard.caller import Caller
from halyard.errors import HalyardError
from halyard.postgres import Connection, scoped
from halyard.problems import HttpProblem
from policies.desk import Asked
from stores import audit, trace_batches
from stores.audit import AuditEntry
from stores.trace_batches import NewBatch, NewItem, State

CHUNK_LINES: Final = 1_000
BREATH_LINES: Final = 100
"""So many lines are read before others of the process have their turn."""
SHOWN: Final = 1_000
"""Refused lines that an answer names; all are counted, and the result has them all."""

_TOO_LITTLE: Final[tuple[Refusal, ...]] = (Refusal("family", "trace.too_little"),)


@dataclass(slots=True)
class Loaded:
    """What became of a file. `repeat_of`: of the organisation's same file, which stands."""

    batch_id: uuid.UUID
    lines: int = 0
    refused_count: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list, repr=False)
    repeat_of: uuid.UUID | None = None
    last_line: int = 0

    def refuse(self, line: int, refusals: Iterable[Refusal]) -> None:
        """Name the line and each of its rules, as far as there is room."""
        self.refused_count += 1
        for one in refusals:
            if len(self.refused) < SHOWN:
                self.refused.append(
                    {
                        "line": line,
                        "column": one.field or None,
                        "rule": one.rule,
                        "message": one.message,
                    }
                )


async def load(
    mine: Tracing,
    asking: Caller,
    *,
    purpose: str,
    reason: str,
    chunks: AsyncIterator[bytes],
    request_id: str | None,
    max_line_bytes: int,
) -> Loaded:
    """Take a file in and start its batch.

    Raises `HttpProblem`: 403 if no policy permits it, 409 for too many batches at a time, 422 for
    a file that cannot be read or is too long; and what `chunks` raises.
    """
    batch = NewBatch(
        mine.new_id(),
        asking.organisation,
        "file",
        purpose,
        reason,
        asking.subject,
        asking.name,
    )
    await _begin(mine, asking, batch, request_id)
    loaded = Loaded(batch.batch_id)
    try:
        digest = await _lines(mine, batch, loaded, chunks, max_line_bytes)
        return await _start(mine, asking, batch, loaded, digest, request_id)
    except BaseException:
        # what is left if this fails too goes after an hour
        with contextlib.suppress(HalyardError, psycopg.Error):
            async with scoped(mine.pool, batch.organisation) as connection:
                await trace_batches.drop(connection, batch.batch_id)
        raise


async def _begin(mine: Tracing, asking: Caller, batch: NewBatch, request_id: str | None) -> None:
    asked = ask(mine, asking, ASKED_OF_LINES, batch.purpose)
    refused = None if asked.permitted else denied(asked)
    async with scoped(mine.pool, batch.organisation) as connection:
        if refused is None:
            await trace_batches.lock_organisation(connection, batch.organisation)
            # those that are traced count when the file is there: it may be one of them
            refused = await _too_many_batches(connection, mine, batch, "loading")
        if refused is None:
            await trace_batches.begin(connection, batch)
        else:
            about = _refusal(mine, asked, asking, batch, refused, request_id)
            await audit.append(connection, [about])
    if refused is not None:
        raise refused


def _refusal(
    mine: Tracing,
    asked: Asked,
    asking: Caller,
    batch: NewBatch,
    refused: HttpProblem,
    request_id: str | None,
) -> AuditEntry:
    return entry(
        mine,
        asked,
        asking,
        kind="refusal",
        subject=f"trace-batch:{batch.batch_id}",
        request_id=request_id,
        reason=batch.reason,
        detail=(("refused", refused.rule),),
    )


async def _lines(
    mine: Tracing,
    batch: NewBatch,
    loaded: Loaded,
    chunks: AsyncIterator[bytes],
    max_line_bytes: int,
) -> str:
    # London is ahead of UTC in summer: the latest day that it can be for the sender
    today = (mine.clock() + timedelta(hours=1)).date()
    reader = Reader(today=today, max_bytes=max_line_bytes)
    content = hashlib.sha256()
    items: list[NewItem] = []
    async for chunk in chunks:
        content.update(chunk)
        for read in reader.feed(chunk):
            items.append(_item(mine, loaded, read))
            if len(items) % BREATH_LINES == 0:
                await asyncio.sleep(0)
            if len(items) >= CHUNK_LINES:
                await _store(mine, batch, items)
    items.extend(_item(mine, loaded, read) for read in reader.end())
    for start in range(0, len(items), CHUNK_LINES):
        await _store(mine, batch, items[start : start + CHUNK_LINES])
    # without a first line there is nothing that could be read or refused
    if loaded.lines + loaded.refused_count == 0:
        raise _not_read(1, (Refusal("", "header.none"),))
    # for another purpose it is another file: its purpose stands with each answer
    return mine.keys.token("trace-file", batch.purpose, content.hexdigest())


def _item(mine: Tracing, loaded: Loaded, read: Read) -> NewItem:
    loaded.last_line = read.line
    if isinstance(read.person, Wanted):
        item = mine.item(read.line, read.person)
        refusals = _TOO_LITTLE
    elif read.fatal:
        raise _not_read(read.line, read.person)
    else:
        item, refusals = None, read.person
    if loaded.lines + loaded.refused_count >= mine.settings.max_lines:
        raise HttpProblem(
            422,
            "The file has too many lines",
            f"At most {mine.settings.max_lines} are taken; send it in several parts.",
            rule="trace.too_many_lines",
            place=f"line {read.line}",
        )
    if item is not None:
        loaded.lines += 1
        return item
    loaded.refuse(read.line, refusals)
    return NewItem(read.line, None, rule=refusals[0].rule, place=refusals[0].field or None)


async def _store(mine: Tracing, batch: NewBatch, items: list[NewItem]) -> None:
    async with scoped(mine.pool, batch.organisation) as connection:
        await trace_batches.add(connection, batch.batch_id, items)
    items.clear()


async def _start(
    mine: Tracing,
    asking: Caller,
    batch: NewBatch,
    loaded: Loaded,
    digest: str,
    request_id: str | None,
) -> Loaded:
    asked = ask(mine, asking, ASKED_OF_LINES, batch.purpose)
    async with scoped(mine.pool, batch.organisation) as connection:
        await trace_batches.lock_organisation(connection, batch.organisation)
        same = await trace_batches.same_file(connection, batch, digest)
        refused = None
        if same is not None:
            loaded.repeat_of = loaded.batch_id = same
        else:
            refused = await _too_many_batches(connection, mine, batch, "running")
        if same is not None or refused is not None:
            await trace_batches.drop(connection, batch.batch_id)
        else:
            await trace_batches.start(
                connection, batch, digest, lines=loaded.lines, refused=loaded.refused_count
            )
        about = entry(
            mine,
            asked,
            asking,
            kind="access",
            subject=f"trace-batch:{loaded.batch_id}",
            request_id=request_id,
            reason=batch.reason,
            detail=(
                ("count", str(loaded.lines)),
                ("refused", str(loaded.refused_count)),
                ("repeat", "yes" if same is not None else "no"),
            ),
        )
        if refused is not None:
            about = _refusal(mine, asked, asking, batch, refused, request_id)
        await audit.append(connection, [about])
    if refused is not None:
        raise refused
    return loaded


async def _too_many_batches(
    connection: Connection, mine: Tracing, batch: NewBatch, state: State
) -> HttpProblem | None:
    amount = await trace_batches.open_batches(connection, batch.organisation, state)
    if amount < mine.settings.open_batches:
        return None
    return HttpProblem(
        409,
        "Too many of your files are being traced",
        f"{amount} are not done; wait for one, or cancel it (DELETE /trace-batches/…).",
        rule="trace.too_many_batches",
    )


def _not_read(line: int, refusals: tuple[Refusal, ...]) -> HttpProblem:
    errors = [
        {
            "place": f"line {line}" + (f", {one.field}" if one.field else ""),
            "rule": one.rule,
            "message": one.message,
        }
        for one in refusals
    ]
    return HttpProblem(
        422,
        "The file cannot be read",
        "Nothing of it is traced; correct the file and send it again.",
        rule=refusals[0].rule,
        place=str(errors[0]["place"]),
        extras={"errors": errors},
    )
