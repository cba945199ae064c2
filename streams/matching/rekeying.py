"""Carries what matching holds of a person to their successor; empties what an invalid one has.

Called in the transaction that says so on the bus (`streams.tracer.following`), so that no alert is
ever without its visit or its plan between two records: an alert keeps its id, its rung and its
acceptance. What then comes from the bus has the revision that is stored already.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from halyard import ids, postgres
from halyard.postgres import Connection
from schemas.events import (
    Assertion,
    AttendanceVerified,
    FlagRecord,
    FlagVerified,
    Identity,
    IdentityStatus,
    NhsNumberStatus,
)
from stores import flags, identities, number_changes, visits
from stores.flags import FlagEvent
from stores.identities import KnownPerson
from stores.number_changes import Uploaded
from stores.visits import VisitEvent
from streams.identity.rechecks import SUPERSEDED
from streams.matching import flags as flag_rules
from streams.matching import visit as visit_rules


@dataclass(frozen=True, slots=True)
class Holding:
    """What matching holds of one person; the caller has `lock`ed it before it was read."""

    visit_events: tuple[VisitEvent, ...]  # that name the person, of all their visits
    visit_ids: frozenset[uuid.UUID]
    flag_events: tuple[FlagEvent, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """What an answer proves of an event: the revision in which it is said, and of which patient."""

    revision: int
    source_patient: str


async def lock(
    connection: Connection,
    person: str,
    others: Iterable[str],
    visit_patients: Iterable[tuple[uuid.UUID, str]],
    record_ids: Iterable[uuid.UUID],
) -> None:
    """The locks that a batch of matching takes about these, in its order."""
    names = {f"record:{one}" for one in record_ids}
    for visit_id, patient in visit_patients:
        names |= {f"visit:{visit_id}", f"patient:{patient}"}
    await postgres.lock(connection, names)
    await postgres.lock(connection, {f"person:{one}" for one in (person, *others)})


async def holding(connection: Connection, person: str) -> Holding:
    """What is held of `person` now."""
    naming = await number_changes.visits_naming(connection, person)
    visit_ids = frozenset(visit_id for visit_id, _ in naming)
    events = await visits.events_of_visits(connection, visit_ids)
    records = await flags.events_of_persons(connection, [person])
    return Holding(
        tuple(one for one in events if one.person == person and not one.retracted),
        visit_ids,
        tuple(one for one in records if not one.retracted),
    )


def told(
    held: Holding, person: KnownPerson, uploads: Mapping[uuid.UUID, Uploaded]
) -> dict[uuid.UUID, AttendanceVerified | FlagVerified]:
    """What was said of the person on the bus, as matching has it. `uploads`: of flag records."""
    found: dict[uuid.UUID, AttendanceVerified | FlagVerified] = {}
    for visit in held.visit_events:
        found[visit.reported_event_id] = visit.event
    for flag in held.flag_events:
        found[flag.reported_event_id] = _flag_verified(
            flag, person, uploads.get(flag.reported_event_id)
        )
    return found


async def move(
    connection: Connection,
    held: Holding,
    person: str,
    successor: Identity,
    revisions: Mapping[uuid.UUID, int],
    now: datetime,
    *,
    taken_back: Collection[uuid.UUID] = (),
    proven: Collection[uuid.UUID] = (),
) -> None:
    """Everything held of `person` is the successor's, in the revisions that were said; events
    `taken_back` are asserted of nobody, until they are said again; `proven` ones are verified now.
    """
    moved = [
        replace(
            one,
            revision=revisions[one.reported_event_id],
            retracted=one.reported_event_id in taken_back,
            person=successor.person,
            event=_said_of(
                one.event,
                successor,
                revisions[one.reported_event_id],
                proven=one.reported_event_id in proven,
            ),
        )
        for one in held.visit_events
        if one.reported_event_id in revisions
    ]
    await visits.save_events(connection, moved)
    await _fold_visits(connection, {one.visit_id for one in moved}, now)
    records = [
        replace(
            one,
            revision=revisions[one.reported_event_id],
            person=successor.person,
            restricted=successor.restricted,
            nhs_number=successor.nhs_number,
            birth_date=successor.birth_date,
        )
        for one in held.flag_events
        if one.reported_event_id in revisions
    ]
    await flags.save_events(connection, records)
    await _fold_flags(connection, (person, successor.person), now)
    await number_changes.move_alerts(connection, person, successor.person)


async def confirm(
    connection: Connection,
    held: Holding,
    identity: Identity,
    proven: Mapping[uuid.UUID, Proven],
    now: datetime,
) -> None:
    """Events of `held` that are `proven` are verified of their person, as they were said."""
    events = []
    for one in held.visit_events:
        if (said := proven.get(one.reported_event_id)) is not None:
            event = _said_of(one.event, identity, said.revision, proven=True)
            patient = said.source_patient
            events.append(
                replace(
                    one,
                    revision=said.revision,
                    source_patient=patient,
                    event=replace(event, source_patient=patient),
                )
            )
    await visits.save_events(connection, events)
    await _fold_visits(connection, {one.visit_id for one in events}, now)


async def quarantine(
    connection: Connection,
    held: Holding,
    person: str,
    revisions: Mapping[uuid.UUID, int],
    now: datetime,
) -> None:
    """What is held of a quarantined number is taken back, and leads to nobody any more: whoever
    comes to one of its visits, or is known by one of its ids, later is another (ADR 0047).
    """
    events = await visits.events_of_visits(connection, held.visit_ids)
    own = [one for one in events if one.person == person]
    await number_changes.empty_visit_events(
        connection,
        [
            (
                one.reported_event_id,
                revisions.get(one.reported_event_id, 0),
                _nobody(one.reported_event_id),
                _of_nobody(one.event),
            )
            for one in own
        ],
    )
    await _fold_visits(connection, {one.visit_id for one in own}, now)
    of_flags = {
        one.reported_event_id: revisions[one.reported_event_id]
        for one in held.flag_events
        if one.reported_event_id in revisions
    }
    await number_changes.empty_person(connection, person, of_flags, now)
    await _fold_flags(connection, (person,), now)


async def successors(connection: Connection, persons: Iterable[str]) -> dict[str, Identity]:
    """Who stands now for those of `persons` whose number was superseded, as PDS has them."""
    links = await number_changes.successors(connection, persons)
    if not links:
        return {}
    known = await identities.known(connection, persons=links.values(), demographics=[])
    standing = {one.person: one for one in known}
    return {
        person: Identity(
            person=now.person,
            status=IdentityStatus.VERIFIED,
            indicator=NhsNumberStatus.VERIFIED,
            basis="pds-get",
            rule=SUPERSEDED,
            decided_at=now.verified_at,
            nhs_number=now.nhs_number,
            birth_date=now.birth_date,
            restricted=now.restricted,
        )
        for person, successor in links.items()
        if (now := standing.get(successor)) is not None
    }


def followed(
    event: AttendanceVerified | FlagVerified, successors: Mapping[str, Identity]
) -> AttendanceVerified | FlagVerified | None:
    """`event`, said of the successor where its person has one; None if nothing is to be taken: the
    word that takes it back because of the new number (what was held was moved, what comes goes on),
    and what was not proven of somebody who is restricted now (identity asks, and says it again).
    """
    successor = successors.get(event.identity.person)
    if successor is None:
        return event
    retracted = event.assertion is Assertion.RETRACTED
    if retracted and event.identity.rule == SUPERSEDED:
        return None
    proven = event.identity.status is IdentityStatus.VERIFIED
    if successor.restricted and not proven and not retracted:
        return None
    identity = replace(successor, status=event.identity.status, indicator=event.identity.indicator)
    return replace(event, identity=identity)


def emptied_visit_events(
    events: Iterable[VisitEvent], inactive: AbstractSet[str]
) -> list[VisitEvent]:
    """`events`, of which those taken back of an `inactive` number say no more of whom they were."""
    return [
        replace(
            one,
            person=_nobody(one.reported_event_id),
            source_patient=_nobody(one.reported_event_id),
            event=_of_nobody(one.event),
        )
        if one.retracted and one.person in inactive
        else one
        for one in events
    ]


def emptied_flag_events(events: Iterable[FlagEvent], inactive: AbstractSet[str]) -> list[FlagEvent]:
    """The same of flag records."""
    return [
        replace(
            one,
            person=_nobody(one.reported_event_id),
            nhs_number="",
            birth_date=None,
            local_id=None,
            phone_office=None,
            phone_emergency=None,
        )
        if one.retracted and one.person in inactive
        else one
        for one in events
    ]


async def _fold_visits(
    connection: Connection, visit_ids: Iterable[uuid.UUID], now: datetime
) -> None:
    by_visit: dict[uuid.UUID, list[VisitEvent]] = defaultdict(list)
    for event in await visits.events_of_visits(connection, visit_ids):
        by_visit[event.visit_id].append(event)
    folded = [visit for one in sorted(by_visit) for visit in visit_rules.folds(by_visit[one])]
    hidden = await visits.hidden(connection, {one.source_patient for one in folded})
    await visits.save(
        connection,
        [
            replace(one, location_shielded=True) if one.source_patient in hidden else one
            for one in folded
        ],
        now,
    )


async def _fold_flags(connection: Connection, persons: Sequence[str], now: datetime) -> None:
    events = await flags.events_of_persons(connection, persons)
    await flags.replace(connection, persons, flag_rules.fold(events), now)


def _nobody(reported_event_id: uuid.UUID) -> str:
    """Stands for a person or a patient, and joins nothing."""
    return f"none:{reported_event_id}"


def _of_nobody(event: AttendanceVerified) -> AttendanceVerified:
    nobody = _nobody(event.reported_event_id)
    identity = replace(event.identity, person=nobody, nhs_number="", birth_date=None)
    return replace(event, identity=identity, source_patient=nobody)


def _said_of(
    event: AttendanceVerified, successor: Identity, revision: int, *, proven: bool
) -> AttendanceVerified:
    was = successor if proven else event.identity
    identity = replace(successor, status=was.status, indicator=was.indicator)
    return replace(
        event,
        event_id=ids.derive("verified", str(event.reported_event_id), revision, Assertion.ASSERTED),
        revision=revision,
        identity=identity,
    )


def _flag_verified(flag: FlagEvent, person: KnownPerson, came: Uploaded | None) -> FlagVerified:
    """The record as it was said last; matching keeps all of it but how it was decided."""
    return FlagVerified(
        event_id=ids.derive(
            "verified", str(flag.reported_event_id), flag.revision, Assertion.ASSERTED
        ),
        reported_event_id=flag.reported_event_id,
        revision=flag.revision,
        assertion=Assertion.ASSERTED,
        identity=Identity(
            person=flag.person,
            status=IdentityStatus.VERIFIED,
            indicator=NhsNumberStatus.VERIFIED,
            basis="",
            rule="",
            decided_at=person.verified_at,
            nhs_number=flag.nhs_number,
            birth_date=flag.birth_date,
            restricted=flag.restricted,
        ),
        authority=flag.authority,
        upload_id=came.upload_id if came is not None else uuid.UUID(int=0),
        line=flag.line,
        sequence=flag.sequence,
        received_at=flag.received_at,
        record=FlagRecord(
            plan_type=flag.plan_type,
            start=flag.start.isoformat() if flag.start else None,
            end=flag.end.isoformat() if flag.end else None,
            delete=flag.delete.isoformat() if flag.delete else None,
            la_gss=flag.authority,
            local_id=flag.local_id,
            phone_office=flag.phone_office,
            phone_emergency=flag.phone_emergency,
        ),
    )
