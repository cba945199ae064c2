"""A flag file onto the bus: line by line, durable before the answer, no database needed.

Each good line becomes a `FlagSubmitted`, each broken one a `MessageRejected` and a place in the
answer; then a trailer carries the counts and a digest of the file, or the rule by which all of it
is refused. Ids are derived from authority, upload, line and bytes, so that the same file sent
again under the same sequence is the same to everybody behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from starlette.requests import ClientDisconnect

from connectors.local_authority.answers import FILE_TEXTS, FileCode
from connectors.local_authority.lines import Line
from connectors.local_authority.pipeline import IN_FLIGHT, Pipeline
from connectors.local_authority.reading import Format, Read, make_reader
from connectors.local_authority.records import RULES, Accepted, Refusal
from halyard import ids, metrics
from halyard.clock import Clock
from halyard.errors import BrokerUnavailable
from halyard.http import HttpProblem
from halyard.kafka import Record, cloudevent_headers
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger, new_traceparent
from schemas import codec
from schemas.events import FlagSubmitted, MessageRejected, SubmissionKind
from schemas.topics import FLAG_SUBMITTED, MESSAGE_REJECTED

MAX_REFUSALS: Final = 1_000  # named in one answer; all are counted


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as its request states it."""

    gss: str
    upload_id: uuid.UUID
    sequence: int  # orders the authority's files
    received_at: datetime
    traceparent: str
    format: Format = "jsonl"


class _FileRefused(Exception):
    """The file as a whole cannot be read."""

    def __init__(self, line: int, refusals: Sequence[Refusal]) -> None:
        super().__init__()
        self.line = line
        self.refusals = refusals


@dataclass(slots=True)
class Taken:
    """What became of the lines."""

    upload_id: uuid.UUID
    accepted: int = 0  # on the bus, confirmed by the broker
    refused_lines: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list, repr=False)
    last_line: int = 0
    digest: str | None = None  # keyed, of the whole file
    file_rule: str | None = None  # by which the file as a whole is refused

    def refuse(self, line: int, refusals: Sequence[Refusal]) -> None:
        """Name the line and each of its rules, as far as the answer has room."""
        self.refused_lines += 1
        for one in refusals[: MAX_REFUSALS - len(self.refused)]:
            self.refused.append(
                {"line": line, "field": one.field, "rule": one.rule, "message": one.message}
            )

    def answer(self) -> dict[str, Any]:
        """As the sender gets it."""
        return {
            "upload_id": str(self.upload_id),
            "accepted": self.accepted,
            "refused_count": self.refused_lines,
            "refused": self.refused,
        }


def identify(
    *, gss: str, given: int | None, sender_orders: bool, received_at: datetime, request_id: str
) -> tuple[uuid.UUID, int]:
    """(upload id, sequence) of a file.

    A sender's number makes the id, so that a repeat is one. It orders the files only where the
    directory says so (``file_sequence = "sender"``); else the time of receipt does, in
    microseconds: two measures never mix.
    """
    micros = (received_at - datetime.fromtimestamp(0, received_at.tzinfo)) // timedelta(
        microseconds=1
    )
    if given is None:
        return ids.derive("upload", gss, micros, request_id), micros
    return ids.derive("upload", gss, given), given if sender_orders else micros


class Intake:
    """Takes flag files in."""

    def __init__(self, producer: Any, settings: Settings, keys: Keys, clock: Clock) -> None:
        self._producer = producer  # an AIOKafkaProducer: the library has no types
        self._settings = settings
        self._keys = keys
        self._clock = clock

    @property
    def oldest_client(self) -> str | None:
        """The oldest version of a client that is still taken, if one that says its version."""
        return self._settings.http.oldest_client_version

    async def take(self, upload: Upload, chunks: AsyncIterator[bytes]) -> Taken:
        """Put every line of `chunks` on the bus, then the trailer.

        Raises `HttpProblem` that says what was taken: 422 for a file that cannot be read at all
        (its trailer stands on the bus), 503 if the broker did not confirm, and what the edge
        raises for a body that is too large or stops coming.
        """
        taken = Taken(upload.upload_id)
        pipeline = Pipeline(self._producer, self._settings)
        unreadable: _FileRefused | None = None
        try:
            try:
                await self._lines(upload, chunks, taken, pipeline)
            except _FileRefused as refused:
                unreadable = refused
                taken.file_rule = refused.refusals[0].rule
            await pipeline.confirm_all()
            taken.accepted = pipeline.confirmed_lines
            await pipeline.put(self._trailer(upload, taken))
            await pipeline.confirm_all()
        except BrokerUnavailable:
            taken.accepted = await pipeline.abandon()
            raise _stopped(503, "Kafka did not confirm in time", "upload.broker", taken) from None
        except HttpProblem as problem:
            taken.accepted = await pipeline.abandon()
            raise _stopped(problem.status_code, problem.title, problem.rule, taken) from None
        except ClientDisconnect:
            taken.accepted = await pipeline.abandon()
            raise _stopped(400, "The file broke off", "upload.broke_off", taken) from None
        finally:
            _count(taken)
        if unreadable is not None:
            raise _not_read(unreadable, taken)
        return taken

    async def _lines(
        self,
        upload: Upload,
        chunks: AsyncIterator[bytes],
        taken: Taken,
        pipeline: Pipeline,
    ) -> None:
        reader = make_reader(
            upload.format,
            gss=upload.gss,
            today=_today(upload),
            max_bytes=self._settings.http.max_upload_line_bytes,
        )
        content = hashlib.sha256()
        async for chunk in chunks:
            content.update(chunk)
            for read in reader.feed(chunk):
                await self._line(upload, read, taken, pipeline)
            taken.last_line = reader.number
            await asyncio.sleep(0)  # parsing is work: let others in between
        for read in reader.end():
            await self._line(upload, read, taken, pipeline)
        taken.last_line = reader.number
        # under the key that does not rotate: files are compared over weeks
        taken.digest = self._keys.token("upload-file", content.hexdigest())

    async def _line(self, upload: Upload, read: Read, taken: Taken, pipeline: Pipeline) -> None:
        line, parsed = read.line, read.parsed
        if isinstance(parsed, Accepted):
            await pipeline.put(self._submitted(upload, line, parsed), counts=True)
            return
        taken.refuse(line.number, parsed)
        await pipeline.put(self._rejected(upload, line, parsed[0]))
        metrics.count("halyard_rejected_total", transport="http", rule=parsed[0].rule)
        if read.fatal:
            taken.last_line = line.number
            raise _FileRefused(line.number, parsed)

    def _submitted(self, upload: Upload, line: Line, parsed: Accepted) -> Record:
        event_id = ids.derive(
            "flag",
            upload.gss,
            str(upload.upload_id),
            line.number,
            self._keys.digest(line.context + line.content),
        )
        person = (upload.gss, parsed.record.local_id, None, parsed.claim.nhs_number)
        event = FlagSubmitted(
            event_id=event_id,
            source=upload.gss,
            organisation=upload.gss,
            upload_id=upload.upload_id,
            line=line.number,
            sequence=upload.sequence,
            kind=SubmissionKind.RECORD,
            received_at=upload.received_at,
            source_person=self._keys.source_person(*person),
            source_patient=self._keys.source_patient(*person),
            record=parsed.record,
            claim=parsed.claim,
            siblings=parsed.siblings or (),
            siblings_stated=parsed.siblings is not None,
            marks=parsed.marks,
            message=line.content,
        )
        # The first line goes on with the sender's trace; each other one is a story of its own
        traceparent = upload.traceparent if line.number == 1 else new_traceparent()
        return self._record(FLAG_SUBMITTED, event.source_person, event, upload, traceparent)

    def _trailer(self, upload: Upload, taken: Taken) -> Record:
        name = (upload.gss, f"upload:{upload.upload_id}", None, None)
        event = FlagSubmitted(
            event_id=ids.derive(
                "flag-trailer",
                upload.gss,
                str(upload.upload_id),
                taken.last_line,
                taken.accepted,
                taken.digest or taken.file_rule or "",
            ),
            source=upload.gss,
            organisation=upload.gss,
            upload_id=upload.upload_id,
            line=taken.last_line + 1,
            sequence=upload.sequence,
            kind=SubmissionKind.TRAILER,
            received_at=upload.received_at,
            source_person=self._keys.source_person(*name),
            source_patient=self._keys.source_patient(*name),
            count=taken.accepted,
            marks=(taken.file_rule,) if taken.file_rule else (),
            file_digest=taken.digest,
            refused=taken.refused_lines,
            file_format=upload.format,
        )
        return self._record(FLAG_SUBMITTED, event.source_person, event, upload, upload.traceparent)

    def _rejected(self, upload: Upload, line: Line, refusal: Refusal) -> Record:
        digest = self._keys.digest(line.context + line.content)
        event = MessageRejected(
            event_id=ids.derive("rejected", upload.gss, str(upload.upload_id), line.number, digest),
            source=upload.gss,
            transport="http",
            received_at=upload.received_at,
            rule=refusal.rule,
            place=f"line {line.number}" + (f", {refusal.field}" if refusal.field else ""),
            length=line.length,
            digest=digest,
            truncated=line.cut,
            head=line.content,
        )
        return self._record(MESSAGE_REJECTED, upload.gss, event, upload, upload.traceparent)

    def _record(
        self,
        topic: str,
        key: str,
        event: FlagSubmitted | MessageRejected,
        upload: Upload,
        traceparent: str,
    ) -> Record:
        return Record(
            topic=topic,
            key=key,
            value=codec.encode(event),
            headers=cloudevent_headers(
                event_id=event.event_id,
                event_type=type(event).__name__,
                source=upload.gss,
                time=upload.received_at,
                traceparent=traceparent,
            ),
            timestamp_ms=int(upload.received_at.timestamp() * 1000),
        )


def _today(upload: Upload) -> date:
    """The latest day it can be for the sender: London is ahead of UTC in summer."""
    return (upload.received_at + timedelta(hours=1)).date()


def _stopped(status: int, title: str, rule: str, taken: Taken) -> HttpProblem:
    headers = {"Retry-After": "5"} if status == 503 else {}
    get_logger().warning(
        "upload_stopped", rule=rule, accepted=taken.accepted, last_line=taken.last_line
    )
    return HttpProblem(
        status,
        title,
        f"{taken.accepted} records are confirmed; whether more were taken is not known. Send the "
        "whole file again: what was taken already is harmless.",
        rule=rule,
        headers=headers,
        extras={"complete": False, **taken.answer()},
    )


def _not_read(refused: _FileRefused, taken: Taken) -> HttpProblem:
    first = refused.refusals[0]
    errors = [
        {
            "place": f"line {refused.line}" + (f", {one.field}" if one.field else ""),
            "rule": one.rule,
            "message": one.message,
        }
        for one in refused.refusals
    ]
    return HttpProblem(
        422,
        "The file cannot be read",
        "Nothing of it was taken; correct the file and send it again.",
        rule=first.rule,
        place=str(errors[0]["place"]),
        extras={
            "file_code": FileCode.CORRUPT,
            "file_text": FILE_TEXTS[FileCode.CORRUPT],
            "errors": errors,
            **taken.answer(),
        },
    )


def _count(taken: Taken) -> None:
    for result, amount in (("accepted", taken.accepted), ("refused", taken.refused_lines)):
        if amount:
            metrics.count("halyard_upload_lines_total", amount, result=result)


__all__ = ["IN_FLIGHT", "MAX_REFUSALS", "RULES", "Intake", "Taken", "Upload", "identify"]
