"""What a merge says of who stays, as evidence for what lacks its person.

An unidentified arrival is often merged into its record, and nothing else says who it was. The two
ids are two patients, on two partitions: the merge may be read before the arrival.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from connectors.persons import shared_local_id
from halyard.ids import derive
from schemas.codec import Event
from schemas.events import AttendanceReported, VisitEventKind
from stores.claims import ClaimRow
from stores.merges import Merge
from streams.identity import attendances
from streams.identity.corrections import MERGED, recorded
from streams.identity.evidence import Evidence
from streams.identity.ledger import Ledger

TOO_MANY: Final = "merge-too-many"
"""Rule of a merge that is not followed: more ids are linked than can be one patient's."""
COUNT: Final = (MERGED, TOO_MANY)
"""Rules of the claims of merges whose word counts."""


def merge_of(event: AttendanceReported) -> Merge | None:
    """The merge that an event tells of; None if it names no two patients.

    A placeholder local id (UNKNOWN) is nobody's: what is merged into it is not followed.
    """
    retired = event.merged_patient
    if retired is None or retired == event.source_patient:
        return None
    if shared_local_id(event.claim.local_id):
        return None
    return Merge(
        retired_key=retired,
        retired_patient=retired,
        surviving_key=event.source_patient,
        surviving_patient=event.source_patient,
        recorded_at=recorded(event),
        message_at=event.message_at.utc if event.message_at else event.received_at,
        event_id=event.event_id,
    )


def word_of(event: Event | None) -> AttendanceReported | None:
    """A merge's own word of who stays, as an event of that patient; None if it is no merge."""
    if not isinstance(event, AttendanceReported) or merge_of(event) is None:
        return None
    return replace(
        event,
        event_id=derive("merge-evidence", str(event.event_id)),
        kind=VisitEventKind.DEMOGRAPHICS,
        merged_person=None,
        merged_patient=None,
        merged_visit=None,
    )


def for_lacking(ledger: Ledger, event: AttendanceReported) -> list[AttendanceReported]:
    """The words to take now that `event` was taken, for what of its patient lacks a person: of
    `event` itself, if it is a merge, and of earlier merges by which an id that lacks one was
    retired, where it was recorded no later than that (an id may be given out again).

    None where they name different people: who it was is for a person to say, in whatever order
    they were read.
    """
    rows = ledger.of_key(ledger.aliases.key_of(event))
    lacking = [row for row in rows if row.event is not None and attendances.lacks(ledger, row)]
    if not lacking:
        return []
    retiring = {merge.event_id for row in lacking for merge in _retired_by(ledger, row)}
    words = {
        told.event_id: told
        for row in rows
        if _counts(ledger, row)
        and row.reported_event_id in {event.event_id, *retiring}
        and (told := word_of(ledger.event(row))) is not None
    }
    evidence = [ledger.weigh(told) for told in words.values()]
    known = {row.reported_event_id for row in rows}
    if _contradict(evidence):
        return []
    return [
        told
        for told, says in zip(words.values(), evidence, strict=True)
        if told.event_id not in known and _traceable(says)
    ]


def _counts(ledger: Ledger, row: ClaimRow) -> bool:
    return row.rule in COUNT and row.person is None and ledger.recent(row)


def _retired_by(ledger: Ledger, row: ClaimRow) -> list[Merge]:
    """The merges that lead from a claim's own id to who stays, if it was recorded before them."""
    event = ledger.event(row)
    path = ledger.aliases.path(event.source_patient)
    before = (
        isinstance(event, AttendanceReported) and path and recorded(event) <= path[0].recorded_at
    )
    return path if before else []


def _traceable(evidence: Evidence) -> bool:
    return bool(evidence.number_token or evidence.demographic_token)


def _contradict(evidence: list[Evidence]) -> bool:
    told = [one for one in evidence if _traceable(one)]
    numbers = {one.number_token for one in told}
    demographics = {one.demographic_token for one in told}
    if None not in numbers:  # a family name may change
        return len(numbers) > 1
    return len(numbers - {None}) > 1 or len(demographics - {None}) > 1
