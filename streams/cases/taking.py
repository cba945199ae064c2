"""Messages about deaths and reports, taken into the books of one transaction.

Locks beside those of `streams.cases.books`: ``note:`` a sender's notification or report,
``message:`` a sender's message id, ``dup:`` tokens of what may be one death, ``death-person:`` a
verified child (a report meets its case there), ``prompt:`` an indicated death. Both sides of every
race take them before they load.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from halyard import metrics
from halyard.errors import ContractError
from halyard.lock_sets import LockSetGrew
from halyard.postgres import Connection
from halyard.telemetry import get_logger
from schemas.deaths import (
    CaseChange,
    DeathMessageKind,
    DeathVerified,
    ReportKind,
    ReportVerified,
)
from stores import case_indications, case_messages
from stores.case_messages import DEATH, REPORT, MessageRow, Thread, stripped
from streams.cases import homes, messages, outputs, prompts, proposing
from streams.cases.bookkeeping import Books
from streams.cases.books import open_books, person_lock, write
from streams.cases.holdings import World, case_id_of
from streams.cases.messages import Answer, Live, Message, Outcome
from streams.cases.model import Report
from streams.cases.sight import Seen, Sight, look
from streams.cases.verified import Verified, message_of, notification_of, row_of, said_of

log = get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """A fresh event and the trace that it came with."""

    event: Verified
    traceparent: str


@dataclass(slots=True)
class Taking:
    """Made by `open_taking`; `write` ends it."""

    books: Books
    hold: timedelta
    sight: Sight
    by_id: dict[tuple[str, str], uuid.UUID]
    fresh: dict[str, set[uuid.UUID]] = field(default_factory=dict)  # cases of this batch, by token
    changed: dict[uuid.UUID, Thread] = field(default_factory=dict)
    answered: list[tuple[uuid.UUID, Answer]] = field(default_factory=list)

    # --- events --------------------------------------------------------------------------

    async def take(self, taken: Taken) -> None:
        """A message, or what identity says anew of one. Raises `ContractError` for a kind that this
        version does not know.
        """
        event = taken.event
        self.books.traceparent = taken.traceparent
        if isinstance(event, DeathVerified):
            if event.notified.kind is DeathMessageKind.UNKNOWN:
                raise ContractError("A death's message is of a kind that is not known; upgrade.")
            if event.notified.kind is DeathMessageKind.INDICATED:
                await self._indicated(event)
                return
        elif event.report.kind is ReportKind.UNKNOWN:
            raise ContractError("A report is of a kind that is not known; upgrade.")
        said = said_of(event)
        held = self.sight.rows.get((said.source, said.source_patient), {}).get(said.event_id)
        if held is not None:
            if event.revision > held.revision:
                await self._restated(held, event)
            return
        row = row_of(event, taken.traceparent, self.books.world.keys)
        await self._apply(row, self._decided(row, event))

    async def expire(self, thread: Thread, stream: str) -> None:
        """The ends of a thread's holds, if any is due."""
        outcome = messages.expire(self._messages(thread), now=self.books.now)
        for one in outcome.messages:
            row = self.sight.rows[thread][one.event_id]
            self.books.traceparent = row.traceparent
        await self._carry_out(thread, stream, outcome)

    async def write(self) -> set[int]:
        """Write everything; gives the lanes to publish after the commit."""
        rows = [self.sight.rows[thread][one] for one, thread in self.changed.items()]
        await case_messages.save(self.books.connection, rows)
        return await write(self.books)

    def tell(self) -> None:
        """Say in log and metrics what was decided, once it is committed."""
        for change in self.books.changes:
            changed = change.changed
            metrics.count("halyard_case_changes_total", change=changed.change.value)
            log.info(
                "case_changed",
                case_id=str(changed.case_id),
                version=changed.version,
                change=changed.change.value,
                rule=changed.rule,
            )
        for _, answer in self.answered:
            result = answer.rejection or answer.status or ""
            metrics.count("halyard_case_messages_total", answer=result)

    # --- deciding ------------------------------------------------------------------------

    def _decided(self, row: MessageRow, event: Verified) -> Outcome:
        message = message_of(row)
        used = self.by_id.setdefault((row.source, row.message_id), row.reported_event_id)
        if used != row.reported_event_id:
            return messages.refuse(message, messages.ID_REUSE)
        if isinstance(event, ReportVerified) and event.report.request_id is not None:
            request = self.books.loaded.requests.get(event.report.request_id)
            if request is not None and request.agency not in ("", event.report.organisation):
                return messages.refuse(message, messages.NOT_YOUR_REQUEST)
        thread = self._messages(row.thread)
        return messages.decide(thread, message, now=self.books.now, hold=self.hold)

    async def _apply(self, row: MessageRow, outcome: Outcome) -> None:
        self.sight.rows.setdefault(row.thread, {})[row.reported_event_id] = row
        await self._carry_out(row.thread, row.stream, outcome)

    async def _carry_out(self, thread: Thread, stream: str, outcome: Outcome) -> None:
        rows = self.sight.rows.get(thread, {})
        for one in outcome.messages:
            self._keep(
                replace(
                    rows[one.event_id],
                    standing=one.standing.value,
                    rule=one.rule,
                    due_at=one.due_at,
                )
            )
        for step in outcome.steps:
            self.books.traceparent = rows[step.cause].traceparent
            if stream == DEATH:
                await self._notify(rows, step.live, step.change, step.rule, step.cause)
            else:
                await self._report(rows, step.live, step.cause)
        for answer in outcome.answers:
            self._answer(thread, stream, answer)

    def _keep(self, row: MessageRow) -> None:
        self.sight.rows[row.thread][row.reported_event_id] = row
        self.changed[row.reported_event_id] = row.thread

    def _messages(self, thread: Thread) -> list[Message]:
        rows = self.sight.rows.get(thread, {}).values()
        return [message_of(row) for row in rows]

    def _answer(self, thread: Thread, stream: str, answer: Answer) -> None:
        row = self.sight.rows[thread][answer.event_id]
        if row.answered_at is not None:
            return  # once
        if answer.status is not None:
            more = self._report_warnings(row) if stream == REPORT else self._death_warnings(row)
            answer = replace(answer, warnings=(*answer.warnings, *more))
        reference = said_of(row.event).reference
        directory, now = self.books.world.directory, self.books.now
        self.books.letters.append(outputs.answer_letter(row, answer, reference, directory, now))
        self.answered.append((answer.event_id, answer))
        self._keep(replace(row, answered_at=now))

    def _death_warnings(self, row: MessageRow) -> Iterable[str]:
        case_id = case_id_of(row.source, row.source_patient)
        note = self.books.loaded.notes.get(case_id)
        if note is not None and not note.voided and self.books.is_void(case_id):
            yield messages.CASE_VOIDED

    def _report_warnings(self, row: MessageRow) -> Iterable[str]:
        assert isinstance(row.event, ReportVerified)
        request = row.event.report.request_id
        if request is not None and request not in self.books.loaded.requests:
            yield messages.UNKNOWN_REQUEST
        standing = self.books.loaded.reports.get(row.thread)
        if standing is not None and standing.case_id is None:
            yield messages.NO_CASE

    async def _restated(self, held: MessageRow, event: Verified) -> None:
        """Identity knows more of a message: of what it says nothing changes."""
        row = replace(held, revision=event.revision, event=stripped(event))
        self._keep(row)
        rows = self.sight.rows[row.thread]
        live = messages.fold(map(message_of, rows.values()))
        if live is None or live.content.event_id != row.reported_event_id:
            return
        if row.stream == DEATH:
            await self._notify(rows, live, CaseChange.UPDATED, event.rule, row.reported_event_id)
        else:
            await self._report(rows, live, row.reported_event_id)

    # --- notifications -------------------------------------------------------------------

    async def _notify(
        self,
        rows: dict[uuid.UUID, MessageRow],
        live: Live,
        change: CaseChange,
        rule: str,
        cause: uuid.UUID,
    ) -> None:
        event = rows[live.content.event_id].event
        assert isinstance(event, DeathVerified)
        case_id = case_id_of(event.notified.source, event.notified.source_patient)
        note = notification_of(event, case_id, live)
        before = self.books.loaded.notes.get(case_id)
        was = before.identity.person if before is not None and before.identity else None
        self.books.put(note)
        # those of this batch are in the books with what it has told of them
        shared = {
            other
            for token in proposing.tokens_of(self.books, note)
            for other in self.fresh.get(token, ())
        }
        proposing.rescore(self.books, case_id, shared | self.sight.matches.get(case_id, set()))
        for token in self.books.touched.tokens[case_id]:
            self.fresh.setdefault(token, set()).add(case_id)
        await self.books.reassemble(case_id, change, rule=rule, cause=cause)
        await homes.settle(self.books, [case_id], cause, persons=[was])

    async def _indicated(self, event: DeathVerified) -> None:
        books, reported = self.books, event.reported_event_id
        held = await case_indications.of_event(books.connection, reported)
        if held is not None and held[0] >= event.revision:
            return
        before = held[1] if held is not None else None
        if before is not None and person_lock(before) not in books.locks:
            raise LockSetGrew(books.locks | {person_lock(before)})
        told = await prompts.on_indicated(
            books.connection,
            event,
            keys=books.world.keys,
            directory=books.world.directory,
            now=books.now,
            traceparent=books.traceparent,
        )
        books.letters.extend(told.letters)
        if told.indication is None:
            return
        case_ids = [] if told.person is None else books.cases_of_person(told.person)
        person = told.person if case_ids else None
        if person is None and held is None and event.revision == 1:
            return  # nothing to keep; no lower revision can come
        await case_indications.add(
            books.connection, reported, event.revision, person, told.indication
        )
        persons = {one for one in (before, person) if one is not None}
        found = await case_indications.of_persons(books.connection, persons)
        books.loaded.indications.update({one: found.get(one, ()) for one in persons})
        rule = f"indicated:{told.indication.indication.value}"
        if before is not None and before != person:
            case_ids = [*books.cases_of_person(before), *case_ids]
        for case_id in case_ids:
            await books.reassemble(case_id, CaseChange.UPDATED, rule=rule, cause=reported)

    # --- reports -------------------------------------------------------------------------

    async def _report(
        self, rows: dict[uuid.UUID, MessageRow], live: Live, cause: uuid.UUID
    ) -> None:
        event = rows[live.content.event_id].event
        assert isinstance(event, ReportVerified)
        thread = (event.report.source, event.report.source_patient)
        before = self.books.loaded.reports.get(thread)
        said = Report(
            source=event.report.source,
            reference=event.report.reference,
            report=event.report,
            indicator=event.indicator,
            identity_rule=event.rule,
            identity=event.identity,
            revision=event.revision,
        )
        report = homes.renewed(self.books, before, said)
        self.books.put_report(report)
        if report.case_id is not None:
            rule = event.report.kind.value.lower()
            await self.books.reassemble(report.case_id, CaseChange.REPORTED, rule=rule, cause=cause)
        if before is not None and before.case_id not in (None, report.case_id):
            await self.books.reassemble(
                before.case_id, CaseChange.UPDATED, rule=homes.MOVED, cause=cause
            )


async def open_taking(
    connection: Connection,
    world: World,
    fresh: Sequence[Taken],
    threads: Collection[Thread] = (),
    *,
    hold: timedelta,
    now: datetime,
    locks: frozenset[str],
) -> Taking:
    """Lock and load all that `fresh` and the due holds of `threads` may touch.

    Raises `LockSetGrew` with the names to take in the next attempt.
    """
    events = [one.event for one in fresh]
    seen = Seen()
    first = await look(connection, world, events, threads, seen)
    books = await open_books(
        connection, first.case_ids, world, now=now, more_locks=locks | first.locks
    )
    sight = await look(connection, world, events, threads, seen)
    needed = sight.locks | {f"case:{one}" for one in sight.case_ids}
    if not needed <= books.locks:
        raise LockSetGrew(books.locks | needed)
    for thread, report in sight.reports.items():
        if thread not in books.loaded.reports:
            books.loaded.put_report(thread, report)
    ids = {(said.source, said.message_id) for said in map(said_of, events)}
    return Taking(books, hold, sight, await case_messages.by_message_id(connection, ids))
