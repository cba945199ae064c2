"""What a person decides about cases: merge, unmerge, reject a duplicate, assign, attach, void.

One transaction each, on the same books as the stage's. Who decided, and why, is kept with the
decision. Deciding the same again changes nothing; deciding on a version that is no longer the last
is refused, as its reasons may be gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from halyard.errors import PermanentError
from halyard.postgres import Connection, Pool
from halyard.telemetry import new_traceparent
from schemas.deaths import CaseChange, CaseState
from stores import case_commands, case_messages
from stores.case_commands import Command
from stores.proposals import MERGED, PROPOSED, REJECTED
from streams.cases import homes, proposing
from streams.cases.bookkeeping import Books
from streams.cases.books import in_books
from streams.cases.content import QUESTIONED
from streams.cases.holdings import World
from streams.cases.model import Assignment, CaseRow

RULE: Final = "person"


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, why, and when. `by` is a role or work name, never a patient's.

    `command_id`: new for each decision; the same again is the same decision.
    """

    by: str
    reason: str = field(repr=False)
    at: datetime
    command_id: uuid.UUID

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise PermanentError("Say who decides (`--by`) and why (`--reason`).")


@dataclass(frozen=True, slots=True)
class Done:
    """What a decision changed: new versions by case. `already`: it was so before."""

    command_id: uuid.UUID
    already: bool
    versions: dict[uuid.UUID, int]
    lanes: frozenset[int]


async def merge(
    pool: Pool,
    member: uuid.UUID,
    into: uuid.UUID,
    world: World,
    decider: Decider,
    *,
    versions: tuple[int, int] | None = None,
    two_numbers: bool = False,
) -> Done:
    """`member` is the same death as `into`, and counts there from now on.

    `versions`: of the two as the person saw them. Raises `PermanentError` if one of them is not
    there, void, merged already, or newer; or if they have two verified numbers, which two children
    have: `two_numbers` says that it is one child all the same.
    """

    async def work(books: Books) -> bool:
        one, other = _row(books, member), _row(books, into)
        if member == into:
            raise PermanentError("A case cannot be merged into itself; name two cases.")
        if books.root(member) == books.root(into):
            return False
        for case_id, row in ((member, one), (into, other)):
            _stands_alone(books, case_id, row)
        if versions is not None:
            _is_last(one, versions[0])
            _is_last(other, versions[1])
        numbers = {row.content.nhs_number for row in (one, other) if row.content.nhs_number}
        if len(numbers) > 1 and not two_numbers:
            raise PermanentError(
                "The two cases have different verified NHS numbers, as two children have (twins). "
                "If it is one child all the same, repeat with --two-numbers."
            )
        # proposals are found between the two trees: before they become one
        books.decide(member, into, MERGED, by=decider.by, reason=decider.reason)
        books.merge(member, into)
        await _again(books, member, CaseChange.MERGED, decider)
        await _keep(books.connection, decider, "merge", member, other=into)
        return True

    return await _carry_out(pool, (member, into), world, decider, work)


async def unmerge(
    pool: Pool, member: uuid.UUID, world: World, decider: Decider, *, version: int | None = None
) -> Done:
    """`member` was not the same death: it counts for itself again, as it was and as it has been
    added to since. The two are not proposed again unless what is told of them changes.
    """

    async def work(books: Books) -> bool:
        row = _row(books, member)
        root = books.root(member)
        if root == member:
            return False
        _is_last(row, version)
        parent = books.unmerge(member) or root
        books.decide(member, root, REJECTED, by=decider.by, reason=decider.reason)
        if books.is_void(parent):  # the void was not of this one
            await proposing.rediscover(books, member)
        await _again(books, member, CaseChange.UNMERGED, decider)
        await _again(books, parent, CaseChange.UNMERGED, decider)
        await _settle(books, (member, parent), decider)
        await _keep(books.connection, decider, "unmerge", member, other=root)
        return True

    return await _carry_out(pool, (member,), world, decider, work)


async def reject(
    pool: Pool, one: uuid.UUID, other: uuid.UUID, world: World, decider: Decider
) -> Done:
    """The two are proposed as one death, and are two. Raises `PermanentError` if they are not
    proposed.
    """

    async def work(books: Books) -> bool:
        _row(books, one), _row(books, other)
        between = [
            proposal
            for proposal in books.proposals(one)
            if {books.root(proposal.one), books.root(proposal.other)}
            == {books.root(one), books.root(other)}
        ]
        if not any(proposal.state == PROPOSED for proposal in between):
            if any(proposal.state == REJECTED for proposal in between):
                return False
            raise PermanentError(
                "These cases are not proposed as one; `halyard cases duplicates` lists what is."
            )
        books.decide(one, other, REJECTED, by=decider.by, reason=decider.reason)
        for case_id in (one, other):
            await _again(books, books.root(case_id), CaseChange.UPDATED, decider)
        await _keep(books.connection, decider, "reject", one, other=other)
        return True

    return await _carry_out(pool, (one, other), world, decider, work)


async def assign(
    pool: Pool,
    case_id: uuid.UUID,
    panel: str | None,
    world: World,
    decider: Decider,
    *,
    version: int | None = None,
) -> Done:
    """The panel reviews this death; None: it is not one to be reviewed. Stands until the next."""
    if panel is not None and panel not in world.directory.panels:
        raise PermanentError(
            "The directory has no panel of this code; it has: "
            f"{', '.join(sorted(world.directory.panels)) or 'none'}."
        )

    async def work(books: Books) -> bool:
        row = _row(books, case_id)
        _stands_alone(books, case_id, row)
        held = books.family(case_id).assignment
        if (
            held is not None
            and held.panel == (panel or "")
            and QUESTIONED not in row.content.needs  # to assign it anew answers that
        ):
            return False
        _is_last(row, version)
        books.assign(
            case_id,
            Assignment(panel=panel or "", reason=decider.reason, by=decider.by, at=decider.at),
        )
        await _again(books, case_id, CaseChange.ASSIGNED, decider)
        await _keep(books.connection, decider, "assign", case_id, panel=panel or "")
        return True

    return await _carry_out(pool, (case_id,), world, decider, work)


async def attach(
    pool: Pool, reported: uuid.UUID, case_id: uuid.UUID, world: World, decider: Decider
) -> Done:
    """The report (`reported`: the event of any of its versions) is about that case, until a person
    attaches it to another or it turns out to be of another child that has one.
    """

    async def work(books: Books) -> bool:
        _row(books, case_id)
        root = books.root(case_id)
        if _row(books, root).content.state is CaseState.VOIDED:
            raise PermanentError(f"Case {root} is void; attach the report to one that stands.")
        report = await case_messages.report_of_event(books.connection, reported)
        if report is None:
            raise PermanentError(
                f"There is no report {reported}; `halyard cases reports` and `show` list them."
            )
        if not await homes.attach(books, report, case_id, decider.command_id, by=decider.by):
            return False
        await _keep(books.connection, decider, "attach", case_id, other=reported)
        return True

    return await _carry_out(pool, (case_id,), world, decider, work)


async def void(
    pool: Pool,
    case_id: uuid.UUID,
    world: World,
    decider: Decider,
    *,
    version: int | None = None,
    undo: bool = False,
) -> Done:
    """The case is none (a mistake, a living child): it becomes a tombstone, and everyone who got
    something of it, or told of it, is told and must acknowledge. `undo` takes a person's void back.
    """

    async def work(books: Books) -> bool:
        row = _row(books, case_id)
        if books.root(case_id) != case_id:
            raise PermanentError(
                f"The case counts in {books.root(case_id)}; void that one, or unmerge this one "
                "first."
            )
        family = books.family(case_id)
        if undo and not family.live:
            raise PermanentError(
                "Its senders voided every notification of this case; a new version of one of them "
                "reinstates it."
            )
        if family.voided_by_person is not undo or (not undo and not family.live):
            return False
        _is_last(row, version)
        books.void(case_id, voided=not undo)
        if undo:
            await proposing.rediscover(books, case_id)
        else:
            for one in family.live:
                proposing.rescore(books, one.case_id, ())
        change = CaseChange.REINSTATED if undo else CaseChange.VOIDED
        await _again(books, case_id, change, decider)
        await _settle(books, (case_id,), decider)
        await _keep(books.connection, decider, "reinstate" if undo else "void", case_id)
        return True

    return await _carry_out(pool, (case_id,), world, decider, work)


Work = Callable[[Books], Awaitable[bool]]


async def _carry_out(
    pool: Pool, case_ids: tuple[uuid.UUID, ...], world: World, decider: Decider, work: Work
) -> Done:
    versions: dict[uuid.UUID, int] = {}

    async def noted(books: Books) -> bool:
        versions.clear()  # the transaction may have started again
        changed = await work(books)
        versions.update((one.changed.case_id, one.changed.version) for one in books.changes)
        return changed

    changed, lanes = await in_books(
        pool, case_ids, world, noted, now=decider.at, traceparent=new_traceparent()
    )
    return Done(decider.command_id, not changed, dict(versions), frozenset(lanes))


async def _again(books: Books, case_id: uuid.UUID, change: CaseChange, decider: Decider) -> None:
    await books.reassemble(case_id, change, rule=RULE, cause=decider.command_id, by=decider.by)


async def _settle(books: Books, case_ids: tuple[uuid.UUID, ...], decider: Decider) -> None:
    await homes.settle(books, case_ids, decider.command_id, by=decider.by)


async def _keep(
    connection: Connection,
    decider: Decider,
    kind: str,
    case_id: uuid.UUID,
    *,
    other: uuid.UUID | None = None,
    panel: str | None = None,
) -> None:
    await case_commands.add(
        connection,
        Command(
            command_id=decider.command_id,
            kind=kind,
            case_id=case_id,
            by=decider.by,
            reason=decider.reason,
            decided_at=decider.at,
            other=other,
            panel=panel,
        ),
    )


def _row(books: Books, case_id: uuid.UUID) -> CaseRow:
    row = books.row(case_id)
    if row is None:
        raise no_case(case_id)
    return row


def no_case(case_id: uuid.UUID) -> PermanentError:
    """What is said of a case that is not there."""
    return PermanentError(f"There is no case {case_id}; `halyard cases list` shows them.")


def _stands_alone(books: Books, case_id: uuid.UUID, row: CaseRow) -> None:
    root = books.root(case_id)
    if root != case_id:
        raise PermanentError(
            f"Case {case_id} counts in {root} already; decide about that one, or unmerge it first."
        )
    if row.content.state is CaseState.VOIDED:
        raise PermanentError(f"Case {case_id} is void; nothing is to be decided about it.")


def _is_last(row: CaseRow, version: int | None) -> None:
    if version is not None and version != row.version:
        raise PermanentError(
            f"Case {row.case_id} has version {row.version} by now, not {version}; look at it again "
            "(`halyard cases show`), then repeat with that version."
        )
