"""The cases that one transaction may change: locked, loaded, decided, written.

    async def work(books):
        books.merge(one, into)                                  # what is decided, in memory
        await books.reassemble(one, change, rule=…, cause=…)    # a new version, if content changed
    result, lanes = await in_books(pool, case_ids, world, work, now=now)

Locks are advisory: ``case:`` each case of every tree that may change, and of the cases with which
one of them has a proposal. What may be touched is read first without locks; if the load then finds
more than is locked, `LockSetGrew` says so and the transaction starts again with the larger set.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from halyard import faults, postgres
from halyard.lock_sets import LockSetGrew, growing
from halyard.postgres import Connection, Pool
from halyard.telemetry import new_traceparent
from stores import (
    audit,
    case_indications,
    case_messages,
    cases,
    outbox,
    proposals,
    report_requests,
)
from stores.case_messages import thread_of
from stores.cases import Decided
from stores.proposals import PROPOSED, Proposal
from streams.cases import notices, outputs, prompts
from streams.cases.bookkeeping import Books
from streams.cases.holdings import Loaded, World, case_id_of, world_of
from streams.cases.model import Notification
from streams.letters import write as write_letters

T = TypeVar("T")

_PERSON: Final = "death-person:"


class CasesGrew(LockSetGrew):
    """More cases are concerned, to be opened too."""

    def __init__(self, names: frozenset[str], case_ids: frozenset[uuid.UUID]) -> None:
        super().__init__(names)
        self.case_ids = case_ids


def person_lock(person: str) -> str:
    """The lock of a verified child: who holds it has the child's cases and reports in the books."""
    return _PERSON + person


def locks_of_person(person: str) -> frozenset[str]:
    """The locks that guard what is held of a person: cases, reports, indications and prompts."""
    return frozenset({person_lock(person), f"prompt:person:{person}"})


@dataclass(frozen=True, slots=True)
class _Reach:
    """`near`: the trees asked for and those of their open proposals' other ends: they may change,
    and are locked. `decided` knows the ends of the latter's proposals too, which only are named.
    """

    near: frozenset[uuid.UUID]
    decided: dict[uuid.UUID, Decided]
    proposals: list[Proposal]

    @property
    def locks(self) -> frozenset[str]:
        return frozenset(f"case:{one}" for one in self.near)


async def open_books(
    connection: Connection,
    case_ids: Collection[uuid.UUID],
    world: World,
    *,
    now: datetime,
    traceparent: str = "",
    more_locks: frozenset[str] = frozenset(),
) -> Books:
    """Lock and load the trees of `case_ids` (unknown ones are new: locked, and empty).

    `more_locks` are taken in the same statement, in one order with the others; of each verified
    child among them the cases are opened too, and the reports that wait for one. Raises
    `LockSetGrew` with the names to take in the next attempt.
    """
    persons = {one.removeprefix(_PERSON) for one in more_locks if one.startswith(_PERSON)}
    held = more_locks | (await _reach(connection, case_ids, persons)).locks
    await postgres.lock(connection, held)
    reach = await _reach(connection, case_ids, persons)
    if not reach.locks <= held:
        raise LockSetGrew(reach.locks | held)
    loaded = await _load(connection, reach)
    for report in await case_messages.waiting_reports(connection, persons):
        loaded.put_report(thread_of(report), report)
    return Books(connection, world, now, traceparent or new_traceparent(), loaded, held)


async def write(books: Books) -> set[int]:
    """Write what was decided: state, history, outbox, letters; gives the lanes to publish.

    Raises `TransientError` if a version of a case was written by another transaction meanwhile,
    `LockSetGrew` if prompts may be answered that are not locked.
    """
    connection, loaded, touched = books.connection, books.loaded, books.touched
    answering, void = _answering(books)
    needed = prompts.locks_of(books.world.keys, answering)
    if not needed <= books.locks:
        raise LockSetGrew(books.locks | needed)
    notes = [loaded.notes[one] for one in sorted(touched.notes)]
    await case_messages.save_notifications(connection, {thread_of(one): one for one in notes})
    await case_messages.save_reports(
        connection, {one: loaded.reports[one] for one in sorted(touched.reports)}
    )
    changed = {one.changed.case_id for one in books.changes}
    persons = {one: books.person(one) for one in books.above(changed | touched.written)}
    values = await cases.append(connection, [one.changed for one in books.changes], persons=persons)
    await cases.set_persons(connection, persons)
    await cases.decide(connection, [loaded.decided[one] for one in sorted(touched.decided)])
    await proposals.save_tokens(connection, touched.tokens)
    await proposals.save(connection, [loaded.proposals[one] for one in sorted(touched.proposals)])
    await report_requests.save(
        connection, [loaded.requests[one] for one in sorted(touched.requests)], books.now
    )
    await prompts.on_notified(
        connection, answering, void=void, keys=books.world.keys, now=books.now
    )
    letters = await notices.tell(
        connection,
        books.changes,
        books.requested,
        desk=books.world.desk,
        now=books.now,
        numbers={
            event.case_id: notices.numbers_of(books.family(books.root(event.case_id)))
            for event, _, _, _ in books.requested
        },
    )
    desk = books.world.desk
    await write_letters(connection, [*books.letters, *letters], desk, books.now)
    await audit.append(connection, outputs.ncmd_entries(books.changes, desk))
    return await outbox.add(
        connection,
        [
            *outputs.changed_entries(books.changes, values),
            *outputs.requested_entries(books.requested),
        ],
    )


async def in_books(
    pool: Pool,
    case_ids: Collection[uuid.UUID],
    world: World,
    work: Callable[[Books], Awaitable[T]],
    *,
    now: datetime,
    traceparent: str = "",
) -> tuple[T, set[int]]:
    """One transaction: open, `work`, write; started again with more locks where that is needed.

    Gives what `work` gave, and the lanes to publish (`outbox.publish_lanes`) after the commit.
    """
    wanted = set(case_ids)

    async def decide(connection: Connection, locks: frozenset[str]) -> tuple[T, set[int]]:
        books = await open_books(
            connection,
            frozenset(wanted),
            world,
            now=now,
            traceparent=traceparent,
            more_locks=locks,
        )
        try:
            result = await work(books)
            lanes = await write(books)
        except CasesGrew as grew:
            wanted.update(grew.case_ids)
            raise
        faults.point("cases.before_commit")
        return result, lanes

    return await growing(pool, decide)


def _answering(books: Books) -> tuple[list[Notification], set[uuid.UUID]]:
    """The notifications that may answer other prompts now, or none: those that changed, and those
    of the cases that a person decided about. And the cases of them that a person voided.
    """
    touched, loaded = books.touched, books.loaded
    near = touched.notes | {one for each in touched.decided for one in books.tree(each)}
    notes = [loaded.notes[one] for one in sorted(near) if one in loaded.notes]
    roots = {one.case_id: loaded.decided.get(books.root(one.case_id)) for one in notes}
    return notes, {one for one, root in roots.items() if root is not None and root.voided}


async def _reach(
    connection: Connection, case_ids: Collection[uuid.UUID], persons: Collection[str]
) -> _Reach:
    wanted = set(case_ids).union(*(await cases.case_ids_of_persons(connection, persons)).values())
    decided = await cases.trees(connection, wanted)
    own = wanted | set(decided)
    found = await proposals.of_cases(connection, own) if own else []
    # what is decided or withdrawn is scored again only if its tokens find it again
    ends = {end for one in found if one.state == PROPOSED for end in (one.one, one.other)} - own
    if not ends:
        return _Reach(frozenset(own), decided, found)
    others = await cases.trees(connection, ends)
    near = own | ends | set(others)
    found = await proposals.of_cases(connection, near)
    named = {end for one in found for end in (one.one, one.other)} - near
    far = await cases.trees(connection, named)
    return _Reach(frozenset(near), {**far, **others, **decided}, found)


async def _load(connection: Connection, reach: _Reach) -> Loaded:
    notes = await case_messages.notifications(connection, reach.near)
    reports = await case_messages.reports(connection, reach.near)
    requests = await report_requests.load(connection, reach.near)
    persons = {one.identity.person for one in notes if one.identity is not None}
    loaded = Loaded(
        rows=await cases.rows(connection, reach.near),
        notes={one.case_id: one for one in notes},
        indications=await case_indications.of_persons(connection, persons),
    )
    for decided in reach.decided.values():
        loaded.put_decided(decided)
    for report in reports:
        loaded.put_report(thread_of(report), report)
    for request in requests:
        loaded.put_request(request)
    for proposal in reach.proposals:
        loaded.put_proposal(proposal)
    return loaded


__all__ = [
    "Books",
    "CasesGrew",
    "World",
    "case_id_of",
    "in_books",
    "open_books",
    "person_lock",
    "world_of",
    "write",
]
