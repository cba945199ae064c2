"""The matching stage: arrivals, flags, looks in, alerts and notices out, one transaction a batch.

In this order (DESIGN §8; correctness rules 1, 2, 5): take what is new, lock visits and records,
read whom they name, lock persons — every lock before any load —, load, decide, write state and
outbox; then publish. A lower revision of a reported event changes nothing.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from halyard import faults, metrics, postgres
from halyard.clock import Clock
from halyard.errors import ContractError
from halyard.kafka import TRACEPARENT, Incoming, header
from halyard.lock_sets import LockSetGrew, growing
from halyard.postgres import Connection, Pool
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger, new_traceparent
from policies.desk import open_desk
from policies.model import Policies
from schemas import codec
from schemas.accesses import AccessRecorded
from schemas.events import Assertion, AttendanceVerified, FlagVerified, Identity
from stores import (
    alerts,
    audit,
    delivery_rows,
    flags,
    identities,
    inbox,
    number_changes,
    outbox,
    visits,
)
from stores.directory import Directory
from stores.flags import FlagEvent
from stores.visits import VisitEvent
from streams.matching import accesses as access_rules
from streams.matching import flags as flag_rules
from streams.matching import rekeying, shares
from streams.matching import visit as visit_rules
from streams.matching.alerts import Change, reconcile
from streams.matching.desired import Deciding, PersonState
from streams.matching.disclosing import Disclosed
from streams.matching.notices import notices
from streams.outbox_publisher import with_point

STAGE = "matching"
_Taken = AttendanceVerified | FlagVerified | AccessRecorded
log = get_logger()


@dataclass(slots=True)
class _Batch:
    """What is fresh in a batch, by kind, and the trace each came with."""

    visit_events: list[VisitEvent] = field(default_factory=list)
    flag_events: list[FlagEvent] = field(default_factory=list)
    visit_traces: dict[uuid.UUID, str] = field(default_factory=dict)
    person_traces: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)  # source patients whose place is hidden
    looks: list[tuple[AccessRecorded, str]] = field(default_factory=list)

    def trace(self, person: str, visit_ids: Iterable[uuid.UUID]) -> str | None:
        """The trace of the latest event of this batch that touched the visits, else the person."""
        found = [self.visit_traces[one] for one in visit_ids if one in self.visit_traces]
        return found[-1] if found else self.person_traces.get(person)


class MatchingStage:
    """Processes batches of verified attendances and flags, and of looks; holds no state between."""

    def __init__(
        self,
        pool: Pool,
        keys: Keys,
        settings: Settings,
        directory: Directory,
        send: outbox.Send,
        clock: Clock,
        policies: Policies | None = None,
    ) -> None:
        """Without `policies`, the package's own hold."""
        self._pool, self._keys, self._settings = pool, keys, settings
        self._directory, self._clock = directory, clock
        self._desk = open_desk(policies, directory, keys, f"process:{STAGE}")
        self._send = with_point(send, "matching.after_produce")

    async def process(self, batch: Sequence[Incoming]) -> None:
        """Take `batch` whole, or nothing of it.

        Raises `TransientError` for what passes by itself, `ContractError` for a record that is
        not a verified attendance, flag or look.
        """
        decoded = {event.event_id: (event, trace) for event, trace in map(_decoded, batch)}

        async def take(connection: Connection, locks: frozenset[str]) -> set[int]:
            new = await inbox.take(connection, STAGE, decoded)
            fresh = [one for event_id, one in decoded.items() if event_id in new]
            lanes: set[int] = set()
            if fresh:
                lanes = await self._apply(connection, fresh, self._clock(), locks)
            faults.point("matching.before_commit")
            return lanes

        lanes = await growing(self._pool, take)
        faults.point("matching.after_commit")
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)

    async def _apply(
        self,
        connection: Connection,
        fresh: Sequence[tuple[_Taken, str]],
        now: datetime,
        locks: frozenset[str],
    ) -> set[int]:
        batch = _sorted_out(fresh)
        persons = await _locked_persons(connection, batch, locks)
        looked_at = {event.person for event, _ in batch.looks}
        successors = await rekeying.successors(connection, persons | looked_at)
        if successors:  # what was on its way when their numbers were superseded
            into = {one.person for one in successors.values()}
            if missing := {f"person:{one}" for one in into - persons - looked_at} - locks:
                raise LockSetGrew(locks | missing)
            batch = _sorted_out(_followed(fresh, successors))
            persons |= into
            looked_at |= into
        inactive = await number_changes.inactive(connection, persons)
        if inactive:  # what was on its way when their numbers were quarantined
            batch.visit_events = rekeying.emptied_visit_events(batch.visit_events, inactive)
            batch.flag_events = rekeying.emptied_flag_events(batch.flag_events, inactive)
        await _fold_flags(connection, batch, now)
        await _fold_visits(connection, batch, now)
        restricted = await identities.restricted(connection, persons | looked_at)
        changes = await self._decide(connection, persons, restricted, inactive, batch, now)
        lanes = await self._write(connection, changes, now)
        told = [
            *await access_rules.hidden_anew(connection, restricted, self._desk, now=now),
            *await access_rules.notices_of(
                connection,
                batch.looks,
                restricted,
                self._desk,
                now=now,
                successors={old: now_is.person for old, now_is in successors.items()},
            ),
        ]
        for one in told:
            _say_kept_back(one)
        await delivery_rows.add(connection, [one.row for one in told])
        await audit.append(connection, [one.entry for one in told])
        return lanes

    async def _decide(
        self,
        connection: Connection,
        persons: set[str],
        restricted: set[str],
        inactive: set[str],
        batch: _Batch,
        now: datetime,
    ) -> list[Change]:
        held = await alerts.lock_for_persons(connection, persons)
        known_flags = await flags.of_persons(connection, persons)
        concerned = {one.person for one in held} | {one.person for one in known_flags}
        if not concerned:
            return []
        alert_visits = {visit_id for alert in held for visit_id in alert.visit_ids}
        known_visits = await visits.of_persons(connection, concerned, alert_visits)
        deciding = Deciding(
            directory=self._directory,
            now=now,
            digest=lambda body: self._keys.token("alert-content", body.decode()),
            trace=batch.trace,
        )
        changes: list[Change] = []
        for person in sorted(concerned):
            own = tuple(one for one in held if one.person == person)
            of_alerts = {visit_id for alert in own for visit_id in alert.visit_ids}
            state = PersonState(
                person=person,
                visits=tuple(
                    one
                    for one in known_visits
                    if person in (one.person, one.also) or one.visit_id in of_alerts
                ),
                flags=tuple(one for one in known_flags if one.person == person),
                alerts=own,
                restricted=person in restricted,
                inactive=person in inactive,
            )
            changes.extend(reconcile(state, deciding))
        return changes

    async def _write(
        self, connection: Connection, changes: Sequence[Change], now: datetime
    ) -> set[int]:
        await alerts.save(connection, [change.row for change in changes])
        hidden = [change.row.alert_id for change in changes if change.became_restricted]
        await delivery_rows.drop_unsent(connection, hidden, now)
        entries: list[outbox.Entry] = []
        told_of: list[Disclosed] = []
        for change in changes:
            if change.change is None:
                continue
            told = notices(change, self._desk)
            entries.append(told.entry)
            told_of.extend(told.disclosed)
            metrics.count("halyard_alert_changes_total", change=change.change.value)
            log.info(
                "alert_changed",
                alert_id=str(change.row.alert_id),
                version=change.row.version,
                change=change.change.value,
                rule=change.row.rule,
            )
            if told.unreachable:
                log.warning(
                    "alert_without_endpoint",
                    alert_id=str(change.row.alert_id),
                    authority=change.row.authority,
                    restricted=change.row.restricted,
                )
        for one in told_of:
            _say_kept_back(one)
        await delivery_rows.add(connection, [one.row for one in told_of])
        await audit.append(connection, [one.entry for one in told_of])
        await shares.follow(connection, [change.row for change in changes], self._desk, now=now)
        return await outbox.add(connection, entries)


def _say_kept_back(one: Disclosed) -> None:
    if one.asked.permitted:
        return
    row = one.row
    # an authority that is not told protects nobody: an error, whoever wrote the policy
    (log.error if row.kind == "alert" and not one.asked.held else log.warning)(
        "delivery_held" if one.asked.held else "delivery_denied",
        alert_id=str(row.alert_id),
        version=row.version,
        kind=row.kind,
        recipient=row.recipient,
        policy=row.policy,
        policy_version=row.policy_version,
        rule=one.asked.ruling.rule,
    )


def _decoded(incoming: Incoming) -> tuple[_Taken, str]:
    event = codec.decode(incoming.value)
    if not isinstance(event, (AttendanceVerified, FlagVerified, AccessRecorded)):
        raise ContractError(
            f"{incoming.topic} holds {type(event).__name__}, which matching does not take."
        )
    return event, header(incoming.headers, TRACEPARENT) or new_traceparent()


def _followed(
    fresh: Iterable[tuple[_Taken, str]], successors: Mapping[str, Identity]
) -> Iterator[tuple[_Taken, str]]:
    for event, trace in fresh:
        if isinstance(event, AccessRecorded):
            yield event, trace
        elif (now := rekeying.followed(event, successors)) is not None:
            yield now, trace


def _sorted_out(fresh: Iterable[tuple[_Taken, str]]) -> _Batch:
    batch = _Batch()
    for event, trace in fresh:
        if isinstance(event, AccessRecorded):
            batch.looks.append((event, trace))
            continue
        batch.person_traces[event.identity.person] = trace
        if isinstance(event, AttendanceVerified):
            if event.kind in visit_rules.OF_NO_VISIT:
                if event.detail.location_shielded:
                    batch.hidden.add(event.source_patient)
                continue
            batch.visit_traces[event.visit_id] = trace
            batch.visit_events.append(_visit_event(event, trace))
        else:
            batch.flag_events.append(flag_rules.event_of(event))
    batch.visit_events = visit_rules.highest_revisions(batch.visit_events)
    batch.flag_events = flag_rules.highest_revisions(batch.flag_events)
    return batch


def _visit_event(event: AttendanceVerified, trace: str) -> VisitEvent:
    return VisitEvent(
        reported_event_id=event.reported_event_id,
        revision=event.revision,
        retracted=event.assertion is Assertion.RETRACTED,
        visit_id=event.visit_id,
        source_patient=event.source_patient,
        person=event.identity.person,
        received_at=event.received_at,
        traceparent=trace,
        event=event,
    )


async def _locked_persons(connection: Connection, batch: _Batch, locks: frozenset[str]) -> set[str]:
    """Lock everything that the batch may touch, and `locks` of persons; give its persons: those it
    names, and those that its visits and records named until now.
    """
    visit_ids = {one.visit_id for one in batch.visit_events}
    record_ids = {one.reported_event_id for one in batch.flag_events}
    await postgres.lock(
        connection,
        {
            *(f"visit:{one}" for one in visit_ids),
            *(f"patient:{one.source_patient}" for one in batch.visit_events),
            *(f"patient:{one}" for one in batch.hidden),
            *(f"record:{one}" for one in record_ids),
        },
    )
    named = {one.person for one in batch.visit_events} | {one.person for one in batch.flag_events}
    if visit_ids:
        named |= await visits.persons_of_visits(connection, visit_ids)
    if batch.hidden:
        named |= await visits.persons_of_patients(connection, batch.hidden)
    if record_ids:
        stored = await flags.persons_of_events(connection, record_ids)
        named.update(person for person, _ in stored.values())
    looked_at = {event.person for event, _ in batch.looks}
    await postgres.lock(connection, {f"person:{one}" for one in named | looked_at} | locks)
    return named


async def _fold_flags(connection: Connection, batch: _Batch, now: datetime) -> None:
    if not batch.flag_events:
        return
    record_ids = {one.reported_event_id for one in batch.flag_events}
    before = await flags.persons_of_events(connection, record_ids)
    persons = {person for person, _ in before.values()} | {one.person for one in batch.flag_events}
    await flags.save_events(connection, batch.flag_events)
    events = await flags.events_of_persons(connection, persons)
    await flags.replace(connection, persons, flag_rules.fold(events), now)


async def _fold_visits(connection: Connection, batch: _Batch, now: datetime) -> None:
    if batch.hidden:
        await visits.hide(connection, batch.hidden, now)
    if not batch.visit_events:
        return
    by_visit: dict[uuid.UUID, list[VisitEvent]] = defaultdict(list)
    visit_ids = {one.visit_id for one in batch.visit_events}
    stored = await visits.events_of_visits(connection, visit_ids)
    for event in [*stored, *batch.visit_events]:
        by_visit[event.visit_id].append(event)
    await visits.save_events(connection, batch.visit_events)
    folded = [visit for one in sorted(by_visit) for visit in visit_rules.folds(by_visit[one])]
    hidden = batch.hidden | await visits.hidden(connection, {one.source_patient for one in folded})
    folded = [
        replace(one, location_shielded=True) if one.source_patient in hidden else one
        for one in folded
    ]
    await visits.save(connection, folded, now)
