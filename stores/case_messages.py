"""Messages about deaths and reports, and what stands of them: notifications and reports.

Every message is kept, also what did not count; the live state of a notification folds from them
(`streams.cases.messages`). A notification and a report are of the sender's `source`: nobody else's
message reaches them. Events are stored as identity said them last, without the sender's bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from halyard.postgres import Connection, load_queries
from schemas import codec
from schemas.deaths import DeathVerified, ReportVerified
from stores.case_model import Notification, Report

_SQL = load_queries("stores", "case_messages.sql")

DEATH: Final = "death"
REPORT: Final = "report"

Thread = tuple[str, str]
"""(source, pseudonym of the reference): one notification, or one report, over its versions."""


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as it stands; `standing` and `rule` are of `streams.cases.messages`."""

    reported_event_id: uuid.UUID
    stream: str  # DEATH, REPORT
    source: str
    source_patient: str
    message_id: str
    organisation: str
    kind: str
    version: int
    content_digest: str
    standing: str
    rule: str
    received_at: datetime
    due_at: datetime | None
    revision: int
    answered_at: datetime | None
    traceparent: str
    event: DeathVerified | ReportVerified = field(repr=False)

    @property
    def thread(self) -> Thread:
        """What it is a version of."""
        return (self.source, self.source_patient)


def stripped(event: DeathVerified | ReportVerified) -> DeathVerified | ReportVerified:
    """The event without the sender's bytes: those stay on the bus."""
    if isinstance(event, DeathVerified):
        return replace(event, notified=replace(event.notified, message=b""))
    return replace(event, report=replace(event.report, message=b""))


async def of_threads(
    connection: Connection, threads: Iterable[Thread]
) -> dict[Thread, list[MessageRow]]:
    """Every message of these threads, as received; the caller holds their ``note:`` locks."""
    found: dict[Thread, list[MessageRow]] = {}
    wanted = sorted(set(threads))
    if not wanted:
        return found
    cursor = await connection.execute(
        _SQL["of_threads"],
        {"sources": [one for one, _ in wanted], "patients": [one for _, one in wanted]},
    )
    for row in await cursor.fetchall():
        message = _message(row)
        found.setdefault(message.thread, []).append(message)
    return found


async def by_message_id(
    connection: Connection, ids: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], uuid.UUID]:
    """(source, message id) to the reported event that has it; callers hold ``message:`` locks."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    cursor = await connection.execute(
        _SQL["by_message_id"],
        {"sources": [one for one, _ in wanted], "ids": [one for _, one in wanted]},
    )
    return {
        (row["source"], row["message_id"]): row["reported_event_id"]
        for row in await cursor.fetchall()
    }


@dataclass(frozen=True, slots=True)
class Due:
    """A thread with a hold that has ended."""

    due_at: datetime
    thread: Thread
    stream: str


async def held_due(
    connection: Connection, now: datetime, *, after: Due | None = None, limit: int = 200
) -> list[Due]:
    """Whose holds have ended, the longest ago first; those after `after`."""
    source, patient = after.thread if after else (None, None)
    cursor = await connection.execute(
        _SQL["held_due"],
        {
            "now": now,
            "limit": limit,
            "after_at": after.due_at if after else None,
            "after_source": source,
            "after_patient": patient,
        },
    )
    return [
        Due(row["due_at"], (row["source"], row["source_patient"]), row["stream"])
        for row in await cursor.fetchall()
    ]


async def held(connection: Connection) -> int:
    """How many messages wait for the one that they follow."""
    cursor = await connection.execute(_SQL["held"])
    row = await cursor.fetchone()
    return int(row["amount"]) if row else 0


async def save(connection: Connection, messages: Sequence[MessageRow]) -> None:
    """Write messages whole. One that has been answered stays answered."""
    if not messages:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(_SQL["save"], [_parameters(one) for one in messages])


async def notifications(
    connection: Connection, case_ids: Iterable[uuid.UUID]
) -> list[Notification]:
    """The notifications that opened these cases."""
    wanted = sorted(set(case_ids))
    if not wanted:
        return []
    cursor = await connection.execute(_SQL["notifications"], {"case_ids": wanted})
    return [_notification(row) for row in await cursor.fetchall()]


async def statements(
    connection: Connection, case_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, tuple[uuid.UUID, int]]:
    """What each case's notification rests on: a reported event, and the revision of its identity.
    The same two are always the same notification, but for its void.
    """
    wanted = sorted(set(case_ids))
    if not wanted:
        return {}
    cursor = await connection.execute(_SQL["statements"], {"case_ids": wanted})
    return {
        row["case_id"]: (row["current_event_id"], row["revision"])
        for row in await cursor.fetchall()
    }


async def notification(
    connection: Connection, source: str, source_patient: str
) -> Notification | None:
    """The notification of that source under the pseudonym of its reference, if it is known."""
    cursor = await connection.execute(
        _SQL["notification"], {"source": source, "source_patient": source_patient}
    )
    row = await cursor.fetchone()
    return None if row is None else _notification(row)


async def save_notifications(
    connection: Connection, standing: Mapping[Thread, Notification]
) -> None:
    """Write notifications; the messages whose content they have are saved, or will be."""
    if not standing:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["save_notification"],
            [
                {
                    "source": source,
                    "source_patient": patient,
                    "case_id": one.case_id,
                    "current": one.notified.event_id,
                    "voided": one.voided,
                    "reason": one.void_reason,
                    "first": one.first_received_at,
                }
                for (source, patient), one in sorted(standing.items())
            ],
        )


async def reports(connection: Connection, case_ids: Iterable[uuid.UUID]) -> list[Report]:
    """The reports of these cases."""
    wanted = sorted(set(case_ids))
    if not wanted:
        return []
    cursor = await connection.execute(_SQL["reports"], {"case_ids": wanted})
    return [_report(row) for row in await cursor.fetchall()]


async def reports_of_threads(
    connection: Connection, threads: Iterable[Thread]
) -> dict[Thread, Report]:
    """The reports that stand under these references."""
    wanted = sorted(set(threads))
    if not wanted:
        return {}
    cursor = await connection.execute(
        _SQL["reports_of_threads"],
        {"sources": [one for one, _ in wanted], "patients": [one for _, one in wanted]},
    )
    return {(row["source"], row["source_patient"]): _report(row) for row in await cursor.fetchall()}


async def waiting_reports(connection: Connection, persons: Iterable[str]) -> list[Report]:
    """Reports about these children that belong to no case yet, the oldest first."""
    wanted = sorted(set(persons))
    if not wanted:
        return []
    cursor = await connection.execute(_SQL["waiting_reports"], {"persons": wanted})
    return [_report(row) for row in await cursor.fetchall()]


async def unattached(connection: Connection, *, limit: int = 100) -> list[Report]:
    """Reports of which no case is known: a person must find the case. The oldest first."""
    cursor = await connection.execute(_SQL["unattached"], {"limit": limit})
    return [_report(row) for row in await cursor.fetchall()]


async def count_unattached(connection: Connection) -> int:
    """How many reports there are of which no case is known."""
    row = await (await connection.execute(_SQL["count_unattached"])).fetchone()
    return int(row["amount"]) if row else 0


async def report_of_event(connection: Connection, event_id: uuid.UUID) -> Report | None:
    """The report of which an event was a version, as it stands."""
    cursor = await connection.execute(_SQL["report_of_event"], {"event_id": event_id})
    row = await cursor.fetchone()
    return None if row is None else _report(row)


async def save_reports(connection: Connection, standing: Mapping[Thread, Report]) -> None:
    """Write reports; the messages whose content they have are saved, or will be."""
    if not standing:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _SQL["save_report"],
            [
                {
                    "source": source,
                    "source_patient": patient,
                    "current": one.report.event_id,
                    "case_id": one.case_id,
                    "person": one.identity.person if one.identity else None,
                    "request_id": one.report.request_id,
                    "attached": one.attached,
                }
                for (source, patient), one in sorted(standing.items())
            ],
        )


def thread_of(one: Notification | Report) -> Thread:
    """The thread that a notification or report stands for."""
    said = one.notified if isinstance(one, Notification) else one.report
    return (one.source, said.source_patient)


def _parameters(message: MessageRow) -> dict[str, Any]:
    return {
        "reported_event_id": message.reported_event_id,
        "stream": message.stream,
        "source": message.source,
        "source_patient": message.source_patient,
        "message_id": message.message_id,
        "organisation": message.organisation,
        "kind": message.kind,
        "version": message.version,
        "content_digest": message.content_digest,
        "standing": message.standing,
        "rule": message.rule,
        "received_at": message.received_at,
        "due_at": message.due_at,
        "revision": message.revision,
        "answered_at": message.answered_at,
        "traceparent": message.traceparent,
        "event": codec.encode(stripped(message.event)),
    }


def _message(row: dict[str, Any]) -> MessageRow:
    return MessageRow(**{**row, "event": _event(row["event"])})


def _event(value: bytes) -> DeathVerified | ReportVerified:
    event = codec.decode(bytes(value))
    if not isinstance(event, DeathVerified):
        return codec.decode_as(ReportVerified, bytes(value))
    return event


def _notification(row: dict[str, Any]) -> Notification:
    event = codec.decode_as(DeathVerified, bytes(row["event"]))
    return Notification(
        source=row["source"],
        reference=event.notified.reference,
        case_id=row["case_id"],
        notified=event.notified,
        voided=row["voided"],
        indicator=event.indicator,
        identity_rule=event.rule,
        first_received_at=row["first_received_at"],
        identity=event.identity,
        revision=event.revision,
        void_reason=row["void_reason"],
    )


def _report(row: dict[str, Any]) -> Report:
    event = codec.decode_as(ReportVerified, bytes(row["event"]))
    return Report(
        source=row["source"],
        reference=event.report.reference,
        report=event.report,
        indicator=event.indicator,
        identity_rule=event.rule,
        identity=event.identity,
        revision=event.revision,
        case_id=row["case_id"],
        attached=row["attached"],
    )
