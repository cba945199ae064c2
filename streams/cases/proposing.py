"""Which cases may be one death: scored against all that share a token, proposed to a person.

A pair is scored anew whenever one of its notifications changes. What nobody has decided follows
the score: proposed while it holds, withdrawn when it does not, or when a side is void. What a
person rejected stays rejected, unless the evidence for it has grown since: something agrees that
did not then, or a difference that was shown then has gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from stores.proposals import PROPOSED, REJECTED, WITHDRAWN, Proposal, pair
from streams.cases.bookkeeping import Books
from streams.cases.books import CasesGrew
from streams.cases.duplicates import Likeness, compare, tokens
from streams.cases.model import Notification
from streams.cases.sight import Seen, find_matches, lock_name

DECIMALS: Final = 3  # of a score, as stored


def tokens_of(books: Books, notification: Notification) -> tuple[str, ...]:
    """The tokens under which others find the notification; none while it is void."""
    if notification.voided:
        return ()
    return tokens(books.world.profiles.of(notification), books.world.keys)


def rescore(books: Books, case_id: uuid.UUID, candidates: Collection[uuid.UUID]) -> None:
    """Score the case's notification against `candidates` and all it was ever proposed with, and
    note its tokens. Candidates that are not in the books are passed over; the caller holds the
    locks of the tokens and of the cases.
    """
    own = books.loaded.notes[case_id]
    books.touched.tokens[case_id] = tokens_of(books, own)
    known = {end for key in books.loaded.pairs_of.get(case_id, ()) for end in key}
    for other in sorted((known | set(candidates)) - {case_id}):
        note = books.loaded.notes.get(other)
        if note is None:
            continue
        held = books.loaded.proposals.get(pair(case_id, other))
        void = own.voided or note.voided or books.is_void(case_id) or books.is_void(other)
        likeness = compare(books.world.profiles.of(own), books.world.profiles.of(note))
        made = _scored(books, pair(case_id, other), held, likeness, void=void)
        if made is not None and made != held:
            books.put_proposal(made)


async def rediscover(books: Books, case_id: uuid.UUID) -> None:
    """Score the live notifications of a case's tree against all that share a token with them by
    now: the case was void, and what came meanwhile was not proposed.

    Raises `LockSetGrew` with the tokens and cases that it takes.
    """
    notes = [
        note
        for one in books.tree(case_id)
        if (note := books.loaded.notes.get(one)) is not None and not note.voided
    ]
    matches, found_by = await find_matches(books.connection, books.world, notes, Seen())
    others = frozenset().union(*matches.values())
    needed = {lock_name(one) for one in found_by} | {f"case:{one}" for one in others}
    if not needed <= books.locks:
        raise CasesGrew(books.locks | needed, others)
    for note in notes:
        rescore(books, note.case_id, matches.get(note.case_id, ()))


def _scored(
    books: Books,
    key: tuple[uuid.UUID, uuid.UUID],
    held: Proposal | None,
    likeness: Likeness,
    *,
    void: bool,
) -> Proposal | None:
    proposed = likeness.proposed and not void
    if held is None:
        if not proposed or books.root(key[0]) == books.root(key[1]):
            return None
        return _new(books, key, likeness)
    if not proposed:
        if held.state != PROPOSED:
            return held
        return replace(held, state=WITHDRAWN, changed_at=books.now)
    if held.state == REJECTED and not _grown(held, likeness):
        return held
    state = PROPOSED if held.state in (REJECTED, WITHDRAWN) else held.state
    fresh = replace(_new(books, key, likeness), state=state, proposed_at=held.proposed_at)
    if held.state == REJECTED:
        fresh = replace(fresh, proposed_at=books.now)
    said = replace(
        fresh,
        changed_at=held.changed_at,
        decided_by=held.decided_by,
        decided_reason=held.decided_reason,
        decided_at=held.decided_at,
    )
    return held if said == held else replace(said, changed_at=books.now)


def _grown(held: Proposal, likeness: Likeness) -> bool:
    gained = set(likeness.agreements) - set(held.agreements)
    return bool(gained) or bool(set(held.differences) - set(likeness.differences))


def _new(books: Books, key: tuple[uuid.UUID, uuid.UUID], likeness: Likeness) -> Proposal:
    return Proposal(
        one=key[0],
        other=key[1],
        score=round(likeness.score, DECIMALS),
        rule=likeness.rule,
        agreements=likeness.agreements,
        differences=likeness.differences,
        state=PROPOSED,
        proposed_at=books.now,
        changed_at=books.now,
    )
