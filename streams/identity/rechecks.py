"""What PDS says of a person whom the hub knows already: as before, otherwise, merged, or inactive.

Pure, on the ledger (docs/adr/0047). What was said of the person is said again where that matters;
`streams.tracer.following` carries it to PostgreSQL. An invalidated number is left with nothing
beside it: no successor, no demographics, nothing to search with.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from connectors.deaths import surely_adult
from connectors.pds.comparison import Verdict, compare
from connectors.pds.outcomes import Superseded
from halyard import ids
from halyard.kafka import Record, cloudevent_headers
from schemas import codec, topics
from schemas.deaths import DeathIndication, DeathMessageKind, DeathNotified
from schemas.events import FlagVerified, NhsNumberStatus, PersonClaim
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.number_changes import Uploaded
from stores.outbox import Entry
from stores.trace_requests import TraceRequest
from stores.uploads import Answer
from stores.worklist import WorklistEntry
from streams.identity import answers, release, resaying
from streams.identity.evidence import Death
from streams.identity.ladder import FLAGGED
from streams.identity.ledger import Ledger
from streams.identity.resaying import Told

RECHECKED: Final = "number-rechecked"
SUPERSEDED: Final = "number-superseded"
DIFFERS: Final = "number-superseded-differs"
INVALIDATED: Final = "number-invalidated"
NOT_FOUND: Final = "number-not-found"
NO_CONTACT: Final = "flag-restricted-without-contact"

PDS: Final = "pds"
_CARRIED: Final = timedelta(hours=1)
"""In which matching and the cases take over who stands now; beyond it plans, visits and cases are
the reasons why somebody is known, as ever."""
_PROVEN: Final = NhsNumberStatus.VERIFIED


@dataclass(frozen=True, slots=True)
class Held:
    """What was said of a person and holds: by reported event, whether or not matching has taken it.
    `uploads`: of flag records, the upload that each came in. `traceparent` is that of the question.
    """

    told: Mapping[uuid.UUID, Told] = field(repr=False)
    uploads: Mapping[uuid.UUID, Uploaded]
    traceparent: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of what was said of a superseded number: the revision of each reported event
    that holds now; `taken_back`: those that are asserted of nobody until PDS has answered.
    """

    revisions: Mapping[uuid.UUID, int]
    taken_back: frozenset[uuid.UUID]


@dataclass(frozen=True, slots=True)
class Difference:
    """What PDS says otherwise than before."""

    restricted: bool = False
    birth_date: bool = False
    names: bool = False
    deceased: bool = False

    @property
    def said(self) -> bool:
        """Whether what was said of the person on the bus is so no longer."""
        return self.restricted or self.birth_date

    @property
    def anything(self) -> bool:
        """Whether anything is otherwise."""
        return self.said or self.names or self.deceased


def fingerprint(person: str, after: uuid.UUID | None = None) -> str:
    """Single-flight. `after`: a request that is being asked now, whose answer may be too old."""
    return f"recheck:{person}" if after is None else f"recheck:{person}:{after}"


def differs(known: KnownPerson, now: KnownPerson) -> Difference:
    """What is otherwise between two states of one person."""
    return Difference(
        restricted=known.restricted is not now.restricted,
        birth_date=known.birth_date != now.birth_date,
        names=known.demographic_tokens != now.demographic_tokens
        or (known.given, known.other_given) != (now.given, now.other_given),
        deceased=known.deceased is not now.deceased,
    )


def same_person(known: KnownPerson, outcome: Superseded) -> bool:
    """Whether nothing of the record that PDS names as successor contradicts what it said of the
    old number: a plan is moved to nobody else by a slip.
    """
    claim = PersonClaim(
        nhs_number=known.nhs_number,
        family=known.family,
        given=known.given,
        birth_date=known.birth_date,
        gender=known.gender,
    )
    found = compare(claim, outcome.record, requested=known.nhs_number)
    return found.verdict is not Verdict.CONFLICT


def refresh(ledger: Ledger, known: KnownPerson, person: KnownPerson, held: Held) -> Difference:
    """PDS has the record under the same number: what it says otherwise counts from now on."""
    found = differs(known, person)
    ledger.keep(person, ledger.now)
    current = ledger.person(person.person) or person
    if found.said:
        keys = set()
        for row in ledger.naming(person.person):
            if row.event is not None:
                _say_anew(ledger, row, current)
                keys.add(row.key)
        for event_id, told in held.told.items():
            row_there = ledger.find(event_id)
            if row_there is None or (row_there.event is None and row_there.person is not None):
                trace = resaying.traceparent_of(ledger, event_id, held.traceparent)
                resaying.say_of(ledger, told, current, RECHECKED, trace)
        release.settle(ledger, keys)
    if found.restricted:
        for told in held.told.values():
            if isinstance(told, FlagVerified):
                _answer(ledger, told, current, held, answers.ACCEPTED)
    if (found.names or found.birth_date) and current.flagged:
        release.backmatch(ledger, current)
    return found


def supersede(ledger: Ledger, known: KnownPerson, successor: KnownPerson, held: Held) -> Moved:
    """Everything that was said of `known` is said of the successor, or taken back until PDS has
    verified it of them.
    """
    successor = replace(successor, former=(known.person, *known.former))
    until = max(known.keep_until, ledger.now + _CARRIED)
    newly = ledger.keep(successor, until, flagged=known.flagged)
    current = ledger.person(successor.person) or successor
    revisions: dict[uuid.UUID, int] = {}
    keys = set()
    claimed = set()
    for row in ledger.naming(known.person):
        if row.event is not None:
            _move(ledger, row, current)
            keys.add(row.key)
        elif row.reported_event_id not in held.told:
            ledger.put_again(replace(row, person=current.person))
        else:
            continue
        claimed.add(row.reported_event_id)
    for event_id, told in held.told.items():
        if event_id not in claimed:
            trace = resaying.traceparent_of(ledger, event_id, held.traceparent)
            revisions[event_id] = resaying.say_of(ledger, told, current, SUPERSEDED, trace)
    for told in held.told.values():
        if isinstance(told, FlagVerified):
            _answer(ledger, told, current, held, answers.SUPERSEDED)
    # matching takes over what stands so far; what is decided below comes by the bus, as ever
    claims = {one: ledger.claim(one) for one in claimed}
    release.settle(ledger, keys)
    if newly:
        release.backmatch(ledger, current)
    return Moved(
        revisions | {one: claim.revision for one, claim in claims.items()},
        frozenset(one for one, claim in claims.items() if claim.person != current.person),
    )


def invalidate(ledger: Ledger, known: KnownPerson, held: Held) -> dict[uuid.UUID, int]:
    """Nothing is of this number any more: what was said of it, of any age, is taken back and never
    decided again; gives the revisions.
    """
    revisions: dict[uuid.UUID, int] = {}
    keys = set()
    for row in ledger.naming(known.person):
        event_id = row.reported_event_id
        if row.event is not None:
            ledger.transition(
                row, ClaimState.UNRESOLVED, INVALIDATED, NhsNumberStatus.NEEDS_RESOLUTION
            )
            if (entry := ledger.changes.worklist.get(event_id)) is not None:
                # it is known by the sender's own id: of the old life nothing is shown any more
                ledger.changes.worklist[event_id] = replace(entry, claim=None, next_try_at=None)
            keys.add(row.key)
            revisions[event_id] = ledger.claim(event_id).revision
        elif event_id not in held.told:
            ledger.put_again(replace(row, person=None))
    for event_id, told in held.told.items():
        if event_id not in revisions:
            trace = resaying.traceparent_of(ledger, event_id, held.traceparent)
            revisions[event_id] = resaying.take_back(ledger, told, INVALIDATED, trace)
        if isinstance(told, FlagVerified):
            ledger.changes.answers[event_id] = answers.INVALIDATED
            _list(ledger, told, held, INVALIDATED)
    release.settle(ledger, keys)
    for event_id in revisions:  # nobody resolves it to another number: that would link them
        if (claim := ledger.find(event_id)) is not None:
            ledger.put_aside(claim)
    return revisions


def list_flags(
    ledger: Ledger, held: Held, rule: str, known: KnownPerson, successor: KnownPerson | None = None
) -> None:
    """A person must look at these flags; they stay held as they are. What a person has ended is not
    opened again for the same: the same rule, number and (that PDS names) successor.
    """
    cause = cause_of(ledger, rule, known, successor)
    for told in held.told.values():
        if isinstance(told, FlagVerified):
            _list(ledger, told, held, rule, cause)


def cause_of(
    ledger: Ledger, rule: str, known: KnownPerson, successor: KnownPerson | None = None
) -> str:
    """A digest of what is the matter with a number, the same at each answer that says so."""
    other = "" if successor is None else successor.person
    return ledger.limits.keys.token("number-cause", rule, known.person, other)


def _answer(
    ledger: Ledger, told: FlagVerified, person: KnownPerson, held: Held, answer: Answer
) -> None:
    """What the authority reads of a plan that goes on; of a restricted child nobody can be told
    who has no contact for it, and the plan's authority has it on its worklist. The plan stays: an
    alert then waits, in sight, until there is one.
    """
    authority = ledger.limits.directory.authorities.get(told.authority)
    superseded = answer == answers.SUPERSEDED
    said, reached = answers.acceptance(
        restricted=person.restricted, superseded=superseded, authority=authority
    )
    if not reached:
        said = answers.RESTRICTED_UNTOLD
        _list(ledger, told, held, NO_CONTACT, cause_of(ledger, NO_CONTACT, person))
    ends = bool(told.record.end)
    ledger.changes.answers[told.reported_event_id] = answers.worded(said, told.record, ends=ends)


def _list(
    ledger: Ledger, told: FlagVerified, held: Held, rule: str, cause: str | None = None
) -> None:
    event_id = told.reported_event_id
    came = held.uploads.get(event_id)
    ledger.changes.worklist[event_id] = WorklistEntry(
        entry_id=ids.derive("worklist", str(event_id)),
        reported_event_id=event_id,
        event_kind="flag",
        organisation=told.authority,
        source=told.authority,
        rule=rule,
        indicator=NhsNumberStatus.NEEDS_RESOLUTION,
        local_id=told.record.local_id or (came.local_id if came else None),
        upload_id=came.upload_id if came else None,
        line=told.line,
        opened_at=ledger.now,
        cause=cause,
    )
    ledger.changes.closed.pop(event_id, None)


def _say_anew(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> None:
    """The same person, of whom something is otherwise. Who is restricted is never named before
    PDS has verified them.
    """
    if row.state is ClaimState.VERIFIED:
        if isinstance(ledger.event(row), Death):
            ledger.transition(row, row.state, RECHECKED, _PROVEN, person=person, basis="pds-get")
        else:
            ledger.say_again(replace(row, restricted=person.restricted), "pds-get")
    elif not person.restricted:
        ledger.say_again(row, "candidate")
    elif row.state is ClaimState.PROVISIONAL:
        ledger.transition(
            row,
            ClaimState.WAITING,
            "restricted-waits",
            NhsNumberStatus.IN_PROGRESS,
            priority=row.priority,
        )
    else:
        ledger.transition(row, row.state, row.rule, row.indicator)


def _move(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> None:
    if row.state is ClaimState.VERIFIED:
        ledger.transition(row, row.state, SUPERSEDED, _PROVEN, person=person, basis="pds-get")
        return
    state = ClaimState.WAITING if person.restricted else ClaimState.PROVISIONAL
    ledger.transition(
        row,
        state,
        "restricted-waits" if person.restricted else SUPERSEDED,
        NhsNumberStatus.IN_PROGRESS,
        person=None if person.restricted else person,
        basis="candidate",
        priority=row.priority or FLAGGED,
    )


def death_entries(
    ledger: Ledger, trace: TraceRequest, person: KnownPerson, traceparent: str
) -> Iterable[Entry]:
    """PDS says that a child has died, or has not after all: told to the cases as an indication,
    by the way that hospitals' words of a death go. Nothing of an adult.
    """
    if surely_adult(person.birth_date, ledger.now.date()):
        return
    keys = ledger.limits.keys
    local_id = f"indicated:{person.person}"
    indication = DeathIndication.PDS_FORMAL if person.deceased else DeathIndication.PDS_REMOVED
    event = DeathNotified(
        event_id=ids.derive("death-indicated", PDS, str(trace.trace_id)),
        source=PDS,
        organisation=trace.organisation,
        message_id=str(trace.trace_id),
        digest=keys.token("pds-death", str(trace.trace_id)),
        received_at=ledger.now,
        kind=DeathMessageKind.INDICATED,
        source_person=keys.source_person(PDS, local_id, None, None),
        source_patient=keys.source_patient(PDS, local_id, None, None),
        sent_at=ledger.now,
        claim=PersonClaim(
            nhs_number=person.nhs_number,
            family=person.family,
            given=person.given,
            birth_date=person.birth_date,
            gender=person.gender,
        ),
        indication=indication,
        effective_at=ledger.now,
    )
    headers = cloudevent_headers(
        event_id=event.event_id,
        event_type="DeathNotified",
        source=PDS,
        time=ledger.now,
        traceparent=traceparent,
    )
    record = Record(topics.DEATH_NOTIFIED, event.source_person, codec.encode(event), headers)
    yield Entry(record, event.event_id)
