"""Says again, of whom it is now, what was said of an event whose bytes retention has emptied.

What was said last stands with those who took it: matching and the cases; until matching has taken
it, it stands with its claim. Pure, on the ledger.
"""

from __future__ import annotations

import uuid
from collections.abc import Container
from dataclasses import replace
from typing import Final

from schemas.deaths import DeathVerified, ReportVerified
from schemas.events import (
    Assertion,
    AttendanceReported,
    AttendanceVerified,
    FlagSubmitted,
    FlagVerified,
    Identity,
    IdentityStatus,
    NhsNumberStatus,
)
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity import outputs
from streams.identity.ledger import Ledger

Told = AttendanceVerified | FlagVerified | DeathVerified | ReportVerified
"""What was said of a reported event last."""

_BASIS: Final = "pds-get"


def untaken(
    ledger: Ledger, person: KnownPerson, taken: Container[uuid.UUID]
) -> dict[uuid.UUID, AttendanceVerified | FlagVerified]:
    """What was said of `person` and is on its way to matching, which has `taken` the rest."""
    found = {}
    for row in ledger.naming(person.person):
        if row.event is None or row.reported_event_id in taken or not row.state.asserted:
            continue
        event = ledger.event(row)
        if isinstance(event, AttendanceReported | FlagSubmitted):
            said = outputs.Statement(
                row.revision,
                Assertion.ASSERTED,
                person,
                row.state,
                row.indicator,
                "",
                row.rule,
                row.decided_at,
                ledger.aliases.patient_of(event),
            )
            found[row.reported_event_id] = outputs.verified(row, event, said)
    return found


def say_of(ledger: Ledger, told: Told, person: KnownPerson, rule: str, traceparent: str) -> int:
    """Say `told` of `person`: taken back of whom it was of before, if that was another, and
    asserted. Gives the revision that holds now.
    """
    row = ledger.find(told.reported_event_id)
    if isinstance(told, DeathVerified | ReportVerified):
        identity = _identity(ledger, told.identity, person, rule)
        return _tell(ledger, row, told, identity, person, rule, traceparent)
    revision = max(told.revision, 0 if row is None else row.revision)
    identity = _identity(ledger, told.identity, person, rule)
    if told.identity.person != person.person:
        revision += 1
        _entry(ledger, told, revision, Assertion.RETRACTED, _back(ledger, told, rule), traceparent)
    revision += 1
    _entry(ledger, told, revision, Assertion.ASSERTED, identity, traceparent)
    _put(ledger, row, person, rule, identity.indicator, revision)
    return revision


def take_back(ledger: Ledger, told: Told, rule: str, traceparent: str) -> int:
    """Say that `told` is of nobody any more. Gives the revision that holds now."""
    row = ledger.find(told.reported_event_id)
    if isinstance(told, DeathVerified | ReportVerified):
        return _tell(ledger, row, told, None, None, rule, traceparent)
    revision = max(told.revision, 0 if row is None else row.revision) + 1
    _entry(ledger, told, revision, Assertion.RETRACTED, _back(ledger, told, rule), traceparent)
    _put(ledger, row, None, rule, NhsNumberStatus.NEEDS_RESOLUTION, revision)
    return revision


def _identity(ledger: Ledger, before: Identity | None, person: KnownPerson, rule: str) -> Identity:
    status = IdentityStatus.VERIFIED if before is None else before.status
    verified = status is IdentityStatus.VERIFIED
    indicator = NhsNumberStatus.VERIFIED if verified else NhsNumberStatus.IN_PROGRESS
    basis = _BASIS if verified else "candidate"
    return outputs.identity_of(person, status, indicator, basis, rule, ledger.now)


def _back(ledger: Ledger, told: AttendanceVerified | FlagVerified, rule: str) -> Identity:
    return replace(told.identity, rule=rule, decided_at=ledger.now)


def _entry(
    ledger: Ledger,
    told: AttendanceVerified | FlagVerified,
    revision: int,
    assertion: Assertion,
    identity: Identity,
    traceparent: str,
) -> None:
    ledger.changes.entries.append(
        outputs.again_entry(
            ledger.limits.keys,
            told,
            revision=revision,
            assertion=assertion,
            identity=identity,
            traceparent=traceparent,
        )
    )


def _tell(
    ledger: Ledger,
    row: ClaimRow | None,
    told: DeathVerified | ReportVerified,
    identity: Identity | None,
    person: KnownPerson | None,
    rule: str,
    traceparent: str,
) -> int:
    revision = max(told.revision, 0 if row is None else row.revision) + 1
    indicator = NhsNumberStatus.NEEDS_RESOLUTION if identity is None else identity.indicator
    ledger.changes.entries.append(
        outputs.told_again_entry(
            ledger.limits.keys,
            told,
            revision=revision,
            identity=identity,
            indicator=indicator,
            rule=rule,
            at=ledger.now,
            traceparent=traceparent,
        )
    )
    _put(ledger, row, person, rule, indicator, revision)
    return revision


def _put(
    ledger: Ledger,
    row: ClaimRow | None,
    person: KnownPerson | None,
    rule: str,
    indicator: NhsNumberStatus,
    revision: int,
) -> None:
    if row is None:  # retention has forgotten it
        return
    state = row.state if person is not None else ClaimState.UNRESOLVED
    ledger.put_again(
        replace(
            row,
            state=state,
            rule=rule,
            indicator=indicator,
            person=person.person if person is not None else None,
            restricted=person.restricted if person is not None else row.restricted,
            revision=revision,
            decided_at=ledger.now,
        )
    )


def traceparent_of(ledger: Ledger, event_id: uuid.UUID, default: str) -> str:
    """The trace that an event came with, as far as that is known."""
    row = ledger.find(event_id)
    return default if row is None else row.traceparent
