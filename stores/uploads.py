"""Uploads of authorities and the answer of each line (CP-ISUploadRecordResponse, CPR01–07)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "uploads.sql")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an upload as it came in."""

    upload_id: uuid.UUID
    line: int
    reported_event_id: uuid.UUID
    authority: str
    sequence: int
    received_at: datetime
    local_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one line; `detail` says in words what to do."""

    code: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Trailer:
    """What the end of a file says of it.

    `expected` lines are to be answered; `refused` ones were refused at once. `digest` (keyed) is
    None and `rule` set if the file as a whole was refused.
    """

    expected: int
    refused: int = 0
    format: str | None = None
    digest: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload: complete when `expected` (told by its trailer) lines are answered."""

    upload_id: uuid.UUID
    authority: str
    sequence: int
    received_at: datetime
    expected: int | None
    refused: int = 0
    file_format: str | None = None
    file_rule: str | None = None
    reused: bool = False  # another file came under the same sequence
    repeat_of: uuid.UUID | None = None  # an upload of the same bytes in the 30 days before
    sender_sequence: int | None = None  # the sender's own number, if the files have one
    sequence_before: int | None = None  # the highest number below it that is known
    late: bool = False  # a higher number came before
    pds_away: bool = False  # PDS does not answer at this moment
    counts: Mapping[str, int] = field(default_factory=dict)  # answers by code
    held: int = 0  # answers that mean "held"

    @property
    def answered(self) -> int:
        """Lines with an answer."""
        return sum(self.counts.values())

    @property
    def complete(self) -> bool:
        """True when every line has its answer."""
        return self.expected is not None and self.answered >= self.expected


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A line and its answer; `code` is None until it is known."""

    upload_id: uuid.UUID
    line: int
    reported_event_id: uuid.UUID
    local_id: str | None = field(repr=False)
    code: str | None
    detail: str | None
    answered_at: datetime | None
    person: str | None = field(default=None, repr=False)  # pseudonym (store key), once one is known


async def register(
    connection: Connection, lines: Sequence[Line], trailers: Sequence[Line]
) -> set[uuid.UUID]:
    """Know these uploads and lines; gives the events whose line another body has already taken.

    Harmless to repeat; waits for another transaction that registers the same line.
    """
    everything = [*lines, *trailers]
    if not everything:
        return set()
    await connection.execute(
        _SQL["register_uploads"],
        {
            "uploads": [one.upload_id for one in everything],
            "authorities": [one.authority for one in everything],
            "sequences": [one.sequence for one in everything],
            "received": [one.received_at for one in everything],
        },
    )
    if not lines:
        return set()
    uploads = [one.upload_id for one in lines]
    numbers = [one.line for one in lines]
    await connection.execute(
        _SQL["register_lines"],
        {
            "uploads": uploads,
            "lines": numbers,
            "events": [one.reported_event_id for one in lines],
            "local_ids": [one.local_id for one in lines],
        },
    )
    cursor = await connection.execute(_SQL["owners"], {"uploads": uploads, "lines": numbers})
    owners = {
        (row["upload_id"], row["line"]): row["reported_event_id"] for row in await cursor.fetchall()
    }
    return {
        one.reported_event_id
        for one in lines
        if owners[one.upload_id, one.line] != one.reported_event_id
    }


async def expect(connection: Connection, upload_id: uuid.UUID, trailer: Trailer) -> None:
    """The end of the upload has come. That of a file refused as a whole counts for nothing once a
    file was taken under the same sequence.
    """
    await connection.execute(
        _SQL["expect"],
        {
            "upload_id": upload_id,
            "expected": trailer.expected,
            "refused": trailer.refused,
            "format": trailer.format,
            "digest": trailer.digest,
            "rule": trailer.rule,
        },
    )


async def answer(
    connection: Connection, answers: dict[uuid.UUID, Answer], *, now: datetime
) -> None:
    """Set the answers of reported events; a later answer replaces an earlier one."""
    if answers:
        ids = sorted(answers)
        await connection.execute(
            _SQL["answer"],
            {
                "events": ids,
                "codes": [answers[one].code for one in ids],
                "details": [answers[one].detail for one in ids],
                "now": now,
            },
        )


async def expire(
    connection: Connection, events: Sequence[uuid.UUID], detail: str, *, now: datetime
) -> None:
    """Nobody resolved these in time: their answers keep their codes, and say so."""
    if events:
        values = {"events": sorted(events), "detail": detail, "now": now}
        await connection.execute(_SQL["expire"], values)


async def take_over(
    connection: Connection,
    lines: dict[uuid.UUID, tuple[uuid.UUID, int]],
    answer: Answer,
    *,
    now: datetime,
) -> None:
    """Give lines (event to upload and line) to later events, with this answer.

    An answer of the first event, known already or later, no longer stands for the line; one that
    was known is repeated in the detail, because its flag may be held.
    """
    for event_id, (upload_id, line) in sorted(lines.items()):
        await connection.execute(
            _SQL["take_over"],
            {
                "event_id": event_id,
                "upload_id": upload_id,
                "line": line,
                "code": answer.code,
                "detail": answer.detail,
                "now": now,
            },
        )


async def get(connection: Connection, upload_id: uuid.UUID) -> UploadRow | None:
    """An upload, None if it is not known (yet)."""
    cursor = await connection.execute(_SQL["upload"], {"upload_id": upload_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    counted = await (await connection.execute(_SQL["counts"], {"upload_id": upload_id})).fetchall()
    return UploadRow(
        **row,
        counts={one["code"]: one["amount"] for one in sorted(counted, key=itemgetter("code"))},
        held=sum(one["held"] for one in counted),
    )


async def answers(
    connection: Connection, upload_id: uuid.UUID, *, after: int = 0, limit: int = 1000
) -> list[AnswerRow]:
    """Lines of an upload after line `after`, in order."""
    cursor = await connection.execute(
        _SQL["answers"], {"upload_id": upload_id, "after": after, "limit": limit}
    )
    return [AnswerRow(**row) for row in await cursor.fetchall()]
