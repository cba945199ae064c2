"""The hospital's later word about who a visit, or a merged patient, is.

Not a verification of the earlier details, which stay contradicted (ADR 0013): the hospital itself
says that they were wrong (ADR 0011, 0017). Only what was verified as nobody goes along. A function
of what the events say and when they were recorded, never of their order of arrival.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from connectors.persons import shared_local_id
from halyard.errors import ContractError
from schemas.events import AttendanceReported, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity.evidence import about_person, is_birth, is_merge
from streams.identity.ledger import Ledger

VISIT_CORRECTED: Final = "visit-corrected"
MERGED: Final = "merged"
_BY_WORD: Final = (VISIT_CORRECTED, MERGED)
_ENDED: Final = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)


def correct_visits(ledger: Ledger, key: str) -> None:
    """Give the key's events that were verified as nobody to whom their visit was corrected to.

    The last recorded word on the visit under the same id holds, a flagged person's first. A claim
    that still waits keeps its own question, and is looked at when that has ended.
    """
    rows = ledger.of_key(key)
    if any(ledger.of_old_life(row) for row in rows):
        return  # a child's old life and new one may be under it: only a person may say so
    verified = [row for row in rows if row.state is ClaimState.VERIFIED and row.event]
    for row in rows if verified else ():
        if not _unverified(ledger, row):
            continue
        told = [one for one in verified if _corrects(ledger, one, row)]
        people = [(one, ledger.person(one.person)) for one in told]
        known = [(one, person) for one, person in people if person is not None]
        if known:
            _, person = max(known, key=lambda one: (one[1].flagged, _order(_event(ledger, one[0]))))
            _give(ledger, row, person, VISIT_CORRECTED, "same-visit")


def follow_merge(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> None:
    """Give a claim of merged patients to the one whom the other id names.

    The merge speaks of what was recorded until then: a retired id may be given out again.
    """
    if not _unverified(ledger, row) or any(map(ledger.of_old_life, ledger.of_key(row.key))):
        return
    event, aliases = _event(ledger, row), ledger.aliases
    named = any(
        one.person == person.person
        and names_person(ledger, one)
        and _event(ledger, one).source_patient != event.source_patient
        for one in ledger.of_key(row.key)
    )
    merged = [one for one in aliases.merges() if aliases.survivor(one.retired_key) == row.key]
    until = max((one.recorded_at for one in merged), default=None)
    if named and until is not None and recorded(event) <= until:
        _give(ledger, row, person, MERGED, "key-evidence")


def corrected(ledger: Ledger, row: ClaimRow) -> bool:
    """Whether a claim is its person's by the hospital's word alone, against its own details."""
    person = ledger.person(row.person)
    if row.state is not ClaimState.VERIFIED or not row.event or row.rule not in _BY_WORD:
        return False
    return person is not None and not ledger.standing(row, person).uncontradicted


def names_person(ledger: Ledger, row: ClaimRow) -> bool:
    """Whether a verified claim says itself who its person is: what only follows names nobody."""
    person = ledger.person(row.person)
    if row.state is not ClaimState.VERIFIED or not row.event or person is None:
        return False
    stands = ledger.standing(row, person)
    if not stands.uncontradicted:  # a spelling that PDS itself has accepted
        return not corrected(ledger, row)
    return stands.names_and_birth_date or stands.number_and_more


def _corrects(ledger: Ledger, one: ClaimRow, row: ClaimRow) -> bool:
    if one.visit_id != row.visit_id:
        return False
    word, event = _event(ledger, one), _event(ledger, row)
    if word.source_patient != event.source_patient or about_person(word) or is_birth(word):
        return False
    return _order(word) >= _order(event) and names_person(ledger, one)


def _unverified(ledger: Ledger, row: ClaimRow) -> bool:
    """Of nobody, or only by a correction or merge before; and not of a newborn or of no visit."""
    if row.event_kind != "attendance" or not ledger.recent(row):
        return False
    if row.state not in _ENDED and not corrected(ledger, row):
        return False
    event = _event(ledger, row)
    if about_person(event) or is_merge(event) or is_birth(event):
        return False
    # a placeholder (UNKNOWN) is nobody's id: nothing ties what it says of one to another
    return not shared_local_id(event.claim.local_id)


def _give(ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, basis: str) -> None:
    if row.person == person.person and row.state is ClaimState.VERIFIED:
        return
    held = ledger.person(row.person)
    if held is not None and held.flagged and not person.flagged:
        return  # it stands of a flagged child: only a person may take that back
    status = NhsNumberStatus.VERIFIED
    ledger.transition(row, ClaimState.VERIFIED, rule, status, person=person, basis=basis)


def _event(ledger: Ledger, row: ClaimRow) -> AttendanceReported:
    event = ledger.event(row)
    if not isinstance(event, AttendanceReported):
        raise ContractError("A claim of a visit holds an event that is no attendance.")
    return event


def recorded(event: AttendanceReported) -> datetime:
    """When the sender recorded it; missing: when it sent it, or we received it."""
    return _order(event)[0]


def _order(event: AttendanceReported) -> tuple[datetime, datetime, int]:
    """As matching orders what exists: recorded, message, sequence; missing: received."""
    message = event.message_at.utc if event.message_at else event.received_at
    when = event.recorded_at.utc if event.recorded_at else message
    return when, message, event.sequence if event.sequence is not None else -1
