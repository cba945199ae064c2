"""The identity stage: a batch of reported events in, decisions and assertions out.

The anatomy of every stage: take what is new, lock, load what is known, decide, write, hand over;
one transaction for it all. PDS is never called here: what it must be asked is filed for the
tracer in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final

from halyard import faults, telemetry
from halyard.clock import Clock
from halyard.errors import ContractError
from halyard.kafka import TRACEPARENT, Incoming, header
from halyard.lock_sets import growing
from halyard.postgres import Connection, Pool, transaction
from halyard.privacy import Keys
from halyard.settings import Settings
from schemas import codec
from schemas.changes import PersonChanged
from schemas.events import AttendanceReported, FlagSubmitted, SubmissionKind
from stores import inbox, outbox, uploads
from stores.directory import Directory
from streams.identity import deaths, flags, merging, watching
from streams.identity.apply import Seeds, open_ledger, write
from streams.identity.changes import Limits, limits_of
from streams.identity.evidence import (
    Death,
    Evidence,
    Reported,
    evidence_in,
    hides_place,
    is_birth,
    is_merge,
)
from streams.outbox_publisher import with_point

STAGE: Final = "identity"


class IdentityStage:
    """See the module. `send` publishes; `new_id` gives random ids (of trace requests)."""

    def __init__(
        self,
        pool: Pool,
        keys: Keys,
        settings: Settings,
        directory: Directory,
        send: outbox.Send,
        clock: Clock,
        *,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._pool = pool
        self._limits = limits_of(settings, keys, directory)
        self._send = with_point(send, "identity.after_produce")
        self._clock = clock
        self._new_id = new_id

    async def process(self, batch: Sequence[Incoming]) -> None:
        """Bring a batch to safety and publish what it decided.

        Raises `TransientError` if the batch is to be taken again as it is, `ContractError` for an
        event that cannot be decided.
        """
        events: dict[uuid.UUID, tuple[Reported, str]] = {}
        changed: dict[uuid.UUID, PersonChanged] = {}
        for record in batch:
            event = _decode(record)
            if isinstance(event, PersonChanged):
                changed.setdefault(event.event_id, event)
                continue
            traceparent = header(record.headers, TRACEPARENT) or telemetry.new_traceparent()
            events.setdefault(event.event_id, (event, traceparent))
        if changed:
            await self._watch(changed)
        if not events:
            return

        async def decide(connection: Connection, locks: frozenset[str]) -> set[int]:
            lanes = await self._decide(connection, events, locks)
            faults.point("identity.before_commit")
            return lanes

        lanes = await growing(self._pool, decide)
        faults.point("identity.after_commit")
        if lanes:
            await outbox.publish_lanes(self._pool, self._send, lanes)

    async def _watch(self, changed: dict[uuid.UUID, PersonChanged]) -> None:
        """In a transaction of its own: its locks are taken in no order with the others'."""
        async with transaction(self._pool) as connection:
            fresh = await inbox.take(connection, STAGE, changed)
            events = [event for event_id, event in changed.items() if event_id in fresh]
            if events:
                await watching.take(connection, self._limits, events, self._new_id)

    async def _decide(
        self,
        connection: Connection,
        events: dict[uuid.UUID, tuple[Reported, str]],
        locks: frozenset[str],
    ) -> set[int]:
        fresh_ids = await inbox.take(connection, STAGE, events)
        taken = await _register(connection, [event for event, _ in events.values()])
        fresh = [
            (event, traceparent)
            for event_id, (event, traceparent) in events.items()
            if event_id in fresh_ids and not _is_trailer(event)
        ]
        if not fresh:
            return set()
        ledger = await open_ledger(
            connection,
            self._limits,
            seeds_of(self._limits, [event for event, _ in fresh]),
            now=self._clock(),
            new_id=self._new_id,
            more_locks=locks,
        )
        for event, traceparent in fresh:
            if isinstance(event, AttendanceReported):
                merging.hear(ledger, event, traceparent)
            elif isinstance(event, Death):
                deaths.take(ledger, event, traceparent)
            else:
                line_taken = event.event_id in taken
                flags.take(ledger, event, traceparent, line_taken=line_taken)
            merging.settle(ledger)
        return await write(connection, ledger)


def seeds_of(limits: Limits, events: Sequence[Reported]) -> Seeds:
    """What to lock and load for new events."""
    evidence: dict[uuid.UUID, Evidence] = {
        event.event_id: evidence_in(event, keys=limits.keys, profile=limits.profile)
        for event in events
    }
    flagging = [evidence[event.event_id] for event in events if isinstance(event, FlagSubmitted)]
    attended = [event for event in events if isinstance(event, AttendanceReported)]
    retired = [event.merged_patient for event in attended if event.merged_patient is not None]
    return Seeds(
        keys=frozenset([*(event.source_patient for event in events), *retired]),
        visits=frozenset(event.visit_id for event in attended),
        mothers=frozenset(event.source_patient for event in attended if is_birth(event)),
        named=frozenset(
            [
                *retired,
                *(one.source_patient for one in attended if is_merge(one) or hides_place(one)),
            ]
        ),
        numbers=frozenset(
            token for one in evidence.values() for token in (one.number_token, *one.others) if token
        ),
        demographics=frozenset(
            one.demographic_token for one in evidence.values() if one.demographic_token
        ),
        words=bool(attended),
        flag_numbers=frozenset(one.number_token for one in flagging if one.number_token),
        flag_demographics=frozenset(
            one.demographic_token for one in flagging if one.demographic_token
        ),
        evidence=evidence,
    )


def _decode(record: Incoming) -> Reported | PersonChanged:
    event = codec.decode(record.value)
    if not isinstance(event, Reported | PersonChanged):
        raise ContractError(f"A record holds {type(event).__name__}, which identity does not take.")
    return event


def _is_trailer(event: Reported) -> bool:
    return isinstance(event, FlagSubmitted) and event.kind is SubmissionKind.TRAILER


async def _register(connection: Connection, events: Sequence[Reported]) -> set[uuid.UUID]:
    """Know the uploads and lines of flags, repeats too: an upload sent again shows its answers."""
    submitted = [event for event in events if isinstance(event, FlagSubmitted)]
    if not submitted:
        return set()
    trailers = [event for event in submitted if _is_trailer(event)]
    records = [event for event in submitted if not _is_trailer(event)]
    taken = await uploads.register(
        connection, [_line(event) for event in records], [_line(event) for event in trailers]
    )
    for trailer in sorted(trailers, key=lambda one: one.upload_id):
        if trailer.count is None:
            raise ContractError("A trailer has no count; inspect it in the dead-letter topic.")
        await uploads.expect(
            connection,
            trailer.upload_id,
            uploads.Trailer(
                expected=trailer.count,
                refused=trailer.refused or 0,
                format=trailer.file_format,
                digest=trailer.file_digest,
                rule=trailer.marks[0] if trailer.marks else None,
            ),
        )
    return taken


def _line(event: FlagSubmitted) -> uploads.Line:
    return uploads.Line(
        upload_id=event.upload_id,
        line=event.line,
        reported_event_id=event.event_id,
        authority=event.source,
        sequence=event.sequence,
        received_at=event.received_at,
        local_id=event.claim.local_id if event.claim else None,
    )
