"""What a batch of messages may touch: read once without locks, and once more with them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from halyard.postgres import Connection
from schemas.deaths import DeathMessageKind, DeathVerified, ReportVerified
from stores import case_messages, proposals, report_requests
from stores.case_messages import MessageRow, Thread
from stores.proposals import MOST_SHARING
from streams.cases import prompts
from streams.cases.books import person_lock
from streams.cases.duplicates import compare, tokens
from streams.cases.holdings import Statement, World, case_id_of
from streams.cases.model import Notification, Report
from streams.cases.verified import Verified, notification_of, said_of

STRIPES: Final = 1_024
"""Locks that all tokens together have: a batch of many notifications takes no more than these."""


def lock_name(token: str) -> str:
    """The lock of a token, one of `STRIPES`: whoever shares the token shares the lock."""
    return f"dup:{int(token, 16) % STRIPES}"


@dataclass(slots=True)
class Seen:
    """What was worked out of statements, which never change."""

    tokens: dict[Statement, tuple[str, ...]] = field(default_factory=dict)
    proposed: dict[tuple[Statement, Statement | None], bool] = field(default_factory=dict)


@dataclass(slots=True)
class Sight:
    """What a batch may touch, read once without locks and once with them."""

    rows: dict[Thread, dict[uuid.UUID, MessageRow]]
    matches: dict[uuid.UUID, set[uuid.UUID]]  # cases that a case of the batch may be proposed with
    reports: dict[Thread, Report]  # that stand under the batch's references
    case_ids: set[uuid.UUID]
    locks: set[str]


async def look(
    connection: Connection,
    world: World,
    events: Sequence[Verified],
    threads: Collection[Thread],
    seen: Seen,
) -> Sight:
    """See the module. `seen` keeps what was worked out from one look to the next."""
    said = [said_of(one) for one in events]
    wanted = {*threads, *((one.source, one.source_patient) for one in said)}
    rows = await case_messages.of_threads(connection, wanted)
    every = [*events, *(row.event for of_thread in rows.values() for row in of_thread)]
    deaths = [one for one in every if isinstance(one, DeathVerified)]
    notified = [one for one in deaths if one.notified.kind is not DeathMessageKind.INDICATED]
    reported = [one.report for one in every if isinstance(one, ReportVerified)]
    persons = {one.identity.person for one in every if one.identity is not None}
    variants = [
        notification_of(one, case_id_of(one.notified.source, one.notified.source_patient))
        for one in notified
        if one.notified.kind is not DeathMessageKind.VOIDED
    ]
    matches, tokens_locked = await find_matches(connection, world, variants, seen)
    reports = await case_messages.reports_of_threads(
        connection, {(one.source, one.source_patient) for one in reported}
    )
    case_ids = {case_id_of(one.notified.source, one.notified.source_patient) for one in notified}
    case_ids.update(*matches.values())
    case_ids.update(one.case_id for one in reports.values() if one.case_id is not None)
    for request_id in sorted({one.request_id for one in reported if one.request_id is not None}):
        request = await report_requests.get(connection, request_id)
        if request is not None:
            case_ids.add(request.case_id)
    locks = {f"note:{source}:{patient}" for source, patient in wanted}
    locks |= {f"message:{one.source}:{one.message_id}" for one in said}
    locks |= {person_lock(one) for one in persons}
    locks |= {lock_name(token) for token in tokens_locked}
    for one in deaths:
        person = one.identity.person if one.identity is not None else None
        locks |= prompts.locks(world.keys, one.notified, person)
    return Sight(
        rows={
            thread: {row.reported_event_id: row for row in found} for thread, found in rows.items()
        },
        matches=matches,
        reports=reports,
        case_ids=case_ids,
        locks=locks,
    )


async def find_matches(
    connection: Connection, world: World, variants: Sequence[Notification], seen: Seen
) -> tuple[dict[uuid.UUID, set[uuid.UUID]], set[str]]:
    """The cases with which each variant of a notification would be proposed, by the variant's case;
    and the tokens by which they were looked for. What very many cases share finds none of them,
    and is not locked: it says nothing of two.

    Who holds a token's lock may compare without the other case's: nobody changes a notification
    without the locks of the tokens that any version of it has.
    """
    for one in variants:
        statement = (one.notified.event_id, one.revision)
        if statement not in seen.tokens:
            seen.tokens[statement] = tokens(world.profiles.of(one), world.keys)
    found_by = {token for made in seen.tokens.values() for token in made}
    candidates = await proposals.candidates(connection, found_by)
    crowded = {token for token, sharing in candidates.items() if len(sharing) > MOST_SHARING}
    found_by -= crowded
    for token in crowded:
        del candidates[token]
    others = set().union(*candidates.values())
    statements = await case_messages.statements(connection, others)
    profiles = {
        case_id: profile
        for case_id, statement in statements.items()
        if (profile := world.profiles.get(statement)) is not None
    }
    for note in await case_messages.notifications(connection, statements.keys() - profiles.keys()):
        profiles[note.case_id] = world.profiles.of(note)
    matches: dict[uuid.UUID, set[uuid.UUID]] = {}
    for one in variants:
        statement = (one.notified.event_id, one.revision)
        own = world.profiles.of(one)
        near = set().union(*(candidates.get(token, ()) for token in seen.tokens[statement]))
        for other in near - {one.case_id}:
            pair = (statement, statements.get(other))
            if pair not in seen.proposed:
                profile = profiles.get(other)
                # a notification that is not there (any more) is no candidate
                seen.proposed[pair] = profile is not None and compare(own, profile).proposed
            if seen.proposed[pair]:
                matches.setdefault(one.case_id, set()).add(other)
    return matches, found_by
