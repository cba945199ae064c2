"""Takes word that a person has changed at PDS: whom the hub knows is asked about again.

The word itself is never a fact. Of people whom the hub does not know nothing is kept but that the
event was taken (DESIGN: no second ContactPoint).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from halyard import metrics, nhs_number, postgres
from halyard.postgres import Connection
from schemas.changes import PersonChanged
from schemas.events import PersonClaim
from stores import identities, trace_requests
from stores.identities import KnownPerson
from stores.trace_requests import TraceRequest
from streams.identity.changes import Limits
from streams.identity.rechecks import fingerprint

URGENT: Final = 2
"""Of a flagged person: before flags, after arrivals that agree with one."""
LATER: Final = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A person to be asked about again, on whose behalf, and how urgently."""

    person: str
    nhs_number: str = field(repr=False)
    organisation: str
    priority: int


async def take(
    connection: Connection,
    limits: Limits,
    events: Sequence[PersonChanged],
    new_id: Callable[[], uuid.UUID],
) -> int:
    """File what `events` call for; gives how many requests are new."""
    tokens: dict[uuid.UUID, str] = {}
    for event in events:
        judged = nhs_number.parse(event.nhs_number, profile=limits.profile)
        if judged.number is not None:
            tokens[event.event_id] = limits.keys.person(judged.number)
    await postgres.lock(connection, {f"tok:{one}" for one in tokens.values()})
    found = await identities.known(connection, persons=tokens.values(), demographics=[])
    known = {token: one for one in found for token in (one.person, *one.former)}
    # who is not known may become so by an answer that is older than this word
    unknown = set(tokens.values()) - set(known)
    asking = await trace_requests.asking(connection, unknown)
    await trace_requests.word(connection, unknown - asking)
    questions: dict[str, Question] = {}
    for event in events:
        token = tokens.get(event.event_id, "")
        person = known.get(token)
        metrics.count(
            "halyard_person_changes_total",
            kind=event.kind.value,
            known="no" if person is None and token not in asking else "yes",
        )
        if person is not None:
            questions[person.person] = _question(person, event.organisation)
        elif token in asking:
            number = nhs_number.parse(event.nhs_number, profile=limits.profile).number or ""
            questions[token] = Question(token, number, event.organisation, URGENT)
    return await file(connection, questions.values(), new_id)


async def file(
    connection: Connection, questions: Iterable[Question], new_id: Callable[[], uuid.UUID]
) -> int:
    """File requests, one for each person; one that is asked already becomes as urgent as this. If
    PDS is answering it right now, its answer may be older than the change: another follows it.
    """
    wanted = {one.person: one for one in questions}
    await postgres.lock(connection, {f"tok:{one}" for one in wanted})
    live = await _live(connection, [fingerprint(one) for one in wanted])
    after = {
        one: fingerprint(one, live[fingerprint(one)].trace_id)
        for one in wanted
        if fingerprint(one) in live and live[fingerprint(one)].state == "leased"
    }
    live |= await _live(connection, list(after.values()))
    new: list[TraceRequest] = []
    raised: dict[uuid.UUID, int] = {}
    for person, question in sorted(wanted.items()):
        print_ = after.get(person, fingerprint(person))
        if (there := live.get(print_)) is not None:
            raised[there.trace_id] = question.priority
            continue
        new.append(
            TraceRequest(
                trace_id=new_id(),
                fingerprint=print_,
                token=person,
                kind="get",
                priority=question.priority,
                claim=PersonClaim(nhs_number=question.nhs_number),
                organisation=question.organisation,
                request_ids=(new_id(),),
                purpose="recheck",
            )
        )
    await trace_requests.add(connection, new)
    await trace_requests.raise_priorities(connection, raised)
    return len(new)


async def check(
    connection: Connection, requests: Sequence[TraceRequest], new_id: Callable[[], uuid.UUID]
) -> int:
    """PDS has said of the numbers of `requests`, by the way, that they stand no more: whom the hub
    knows by one is asked about at once.
    """
    asked = {one.token: one for one in requests}
    await postgres.lock(connection, {f"tok:{one}" for one in asked})
    found = await identities.known(connection, persons=asked, demographics=[])
    questions = [
        Question(one.person, one.nhs_number, asked[one.person].organisation, URGENT)
        for one in found
        if one.person in asked
    ]
    return await file(connection, questions, new_id)


async def again_if_word(
    connection: Connection,
    trace: TraceRequest,
    person: KnownPerson | None,
    new_id: Callable[[], uuid.UUID],
) -> None:
    """A search has just made `person` known: if word of them came while it was asked, its answer
    may be older, and another follows. `trace`: as it is under its lock.
    """
    if person is not None and trace_requests.came_word(trace, person.person):
        await file(connection, [_question(person, trace.organisation)], new_id)


async def _live(connection: Connection, prints: Sequence[str]) -> dict[str, TraceRequest]:
    found = await trace_requests.load(connection, ids=[], fingerprints=prints)
    return {one.fingerprint: one for one in found}


def _question(person: KnownPerson, organisation: str) -> Question:
    priority = URGENT if person.flagged else LATER
    return Question(person.person, person.nhs_number, organisation, priority)
