"""Of which case an agency's report is.

A person's word comes first (`halyard cases attach`), then the request that the report answers, then
the verified child. By the child it is kept at the case whose own notification is of that child, not
where that one counts: so it goes along when a merge is taken back, and leaves a case that turns out
to be of another child, or none. Without an open case of its child it waits.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from halyard.lock_sets import LockSetGrew
from schemas.deaths import CaseChange, CaseState
from stores.case_messages import thread_of
from streams.cases.bookkeeping import Books
from streams.cases.books import CasesGrew, person_lock
from streams.cases.model import Report

PERSON: Final = "person"
MOVED: Final = "report-moved"


def home(books: Books, report: Report) -> uuid.UUID | None:
    """The case that the report is of, given the one that it was of (`case_id`); None: it waits."""
    if report.attached:
        return report.case_id
    request_id = report.report.request_id
    if request_id is not None and request_id in books.loaded.requests:
        return books.loaded.requests[request_id].case_id
    person = _person(report)
    if person is None:
        return None
    found = _open_cases(books, person)
    if report.case_id in found:
        return report.case_id
    if found:
        return found[0]
    # the notification was taken back, but a person had said that another one is of the same child
    kept = report.case_id is not None and _is_of(books, report.case_id, person)
    return report.case_id if kept else None


def renewed(books: Books, before: Report | None, report: Report) -> Report:
    """What is said anew of a report (`case_id` open yet), in its case. What a person said holds
    until another child's case turns out to be meant.
    """
    if before is None:
        return replace(report, case_id=home(books, report))
    report = replace(report, case_id=before.case_id)
    if before.attached:
        kept = replace(report, attached=True)
        if _person(report) in (None, _person(before)):
            return kept
        freed = home(books, report)
        return kept if freed is None else replace(report, case_id=freed)
    return replace(report, case_id=home(books, report))


async def settle(
    books: Books,
    case_ids: Collection[uuid.UUID],
    cause: uuid.UUID,
    *,
    persons: Collection[str | None] = (),
    by: str | None = None,
) -> None:
    """Reports about the children of these cases, and about `persons`, come to the case that they
    are of now. Called once the cases are made anew.

    Raises `LockSetGrew` for a child whose reports and other cases are not in the books.
    """
    about = {one for one in persons if one is not None}
    for case_id in case_ids:
        about.update(_children(books, case_id))
    if missing := {person_lock(one) for one in about} - books.locks:
        raise LockSetGrew(books.locks | missing)
    gained: dict[uuid.UUID, uuid.UUID] = {}
    lost: set[uuid.UUID] = set()
    for _, report in sorted(books.loaded.reports.items()):
        if _person(report) not in about or (now_of := home(books, report)) == report.case_id:
            continue
        books.put_report(replace(report, case_id=now_of))
        if now_of is not None:
            gained[now_of] = report.report.event_id
        if report.case_id is not None:
            lost.add(report.case_id)
    for case_id, event_id in sorted(gained.items()):
        await books.reassemble(case_id, CaseChange.REPORTED, rule=PERSON, cause=event_id)
    for case_id in sorted(lost):
        await books.reassemble(case_id, CaseChange.UPDATED, rule=MOVED, cause=cause, by=by)


async def attach(
    books: Books, report: Report, case_id: uuid.UUID, cause: uuid.UUID, *, by: str
) -> bool:
    """A person says that the report is of that case; False if a person had said so before.

    Raises `LockSetGrew` with what the report needs.
    """
    source, patient = thread_of(report)
    needed, old = {f"note:{source}:{patient}"}, report.case_id
    if old is not None:
        needed.add(f"case:{old}")
    if (person := _person(report)) is not None:
        needed.add(person_lock(person))
    if not needed <= books.locks:
        raise CasesGrew(books.locks | needed, frozenset() if old is None else frozenset({old}))
    if report.attached and old == case_id:
        return False
    books.put_report(replace(report, case_id=case_id, attached=True))
    await books.reassemble(case_id, CaseChange.REPORTED, rule=PERSON, cause=cause, by=by)
    if old not in (None, case_id):
        await books.reassemble(old, CaseChange.UPDATED, rule=MOVED, cause=cause, by=by)
    return True


def _person(report: Report) -> str | None:
    return None if report.identity is None else report.identity.person


def _children(books: Books, case_id: uuid.UUID) -> Iterator[str]:
    """The verified children that a tree's notifications and reports are of."""
    family = books.family(books.root(case_id))
    said = [one.identity for one in family.notifications]
    said += [one.identity for one in family.reports]
    for identity in said:
        if identity is not None:
            yield identity.person


def _open_cases(books: Books, person: str) -> list[uuid.UUID]:
    """The cases that a live notification of the child opened and that count, the oldest first."""
    found = [
        (row.opened_at, case_id)
        for case_id, note in books.loaded.notes.items()
        if note.identity is not None
        and note.identity.person == person
        and not note.voided
        and (row := books.row(case_id)) is not None
        and _counts(books, case_id)
    ]
    return [case_id for _, case_id in sorted(found)]


def _is_of(books: Books, case_id: uuid.UUID, person: str) -> bool:
    note = books.loaded.notes.get(case_id)
    of = note.identity.person if note is not None and note.identity is not None else None
    return of == person and _counts(books, case_id)


def _counts(books: Books, case_id: uuid.UUID) -> bool:
    row = books.row(books.root(case_id))
    return row is not None and row.content.state is CaseState.OPEN
