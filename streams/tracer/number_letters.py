"""Who is told that a number is no longer current, and of which of their own records (drafts)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from connectors.fhir import number_letters
from connectors.fhir.own_records import OwnRecord
from halyard.ids import derive
from policies.desk import Desk
from policies.ruling import Flow
from schemas.events import AttendanceVerified, FlagVerified
from stores.identities import KnownPerson
from stores.mailbox import Letter
from stores.number_changes import Uploaded
from streams.identity.rechecks import DIFFERS, INVALIDATED, SUPERSEDED
from streams.identity.resaying import Told
from streams.letters import Draft, may_have_number

MOST: Final = 50
"""Records of one organisation that a letter names; the rest stand in its uploads' answers."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """What is held under the number: by flag record and visit event; the plans' authorities, the
    visits that are open, and the open cases with their panels.
    """

    told: Mapping[uuid.UUID, Told] = field(repr=False)
    uploads: Mapping[uuid.UUID, Uploaded]
    authorities: frozenset[str]
    open_visits: frozenset[uuid.UUID]
    cases: Mapping[uuid.UUID, str | None]


def drafts(
    desk: Desk,
    concerned: Concerned,
    outcome: str,
    person: KnownPerson,
    *,
    cause: str,
    now: datetime,
    traceparent: str,
) -> list[Draft]:
    """Letters to authorities with a plan and to panels; of a superseded number also to hospitals
    where the person is. `person`: the successor, or whose number was invalidated.
    """
    own = _records(desk, concerned, hospitals=outcome == SUPERSEDED)
    return [
        _draft(
            desk,
            organisation,
            records[:MOST],
            outcome,
            person,
            cause=cause,
            now=now,
            traceparent=traceparent,
        )
        for organisation, records in sorted(own.items())
        if organisation
    ]


def _records(desk: Desk, concerned: Concerned, *, hospitals: bool) -> dict[str, list[OwnRecord]]:
    found: dict[str, list[OwnRecord]] = defaultdict(list)
    for event_id, told in sorted(concerned.told.items()):
        if isinstance(told, FlagVerified) and told.authority in concerned.authorities:
            came = concerned.uploads.get(event_id)
            one = OwnRecord(
                local_id=told.record.local_id or (came.local_id if came else None),
                upload_id=came.upload_id if came else None,
                line=told.line,
            )
            found[told.authority].append(one)
        elif (
            hospitals
            and isinstance(told, AttendanceVerified)
            and told.arrival
            and told.visit_id in concerned.open_visits
        ):
            found[told.organisation].append(OwnRecord(message_id=told.message_id))
    for case_id, panel in sorted(concerned.cases.items()):
        known = desk.directory.panels.get(panel or "")
        if known is not None:
            found[known.organisation].append(OwnRecord(case_id=case_id))
    return found


def _draft(
    desk: Desk,
    organisation: str,
    records: Sequence[OwnRecord],
    outcome: str,
    person: KnownPerson,
    *,
    cause: str,
    now: datetime,
    traceparent: str,
) -> Draft:
    kind = _KINDS[outcome]
    letter_id = derive("letter", kind, cause, organisation)
    if outcome == SUPERSEDED:
        may = may_have_number(
            desk, Flow.NUMBER_CHANGE, organisation, at=now, restricted=person.restricted
        )
        body = number_letters.superseded(
            letter_id=letter_id,
            at=now,
            organisation=organisation,
            records=records,
            successor=person.nhs_number if may else None,
        )
    else:
        body = _WITHOUT_NUMBER[outcome](
            letter_id=letter_id, at=now, organisation=organisation, records=records
        )
    return Draft(
        Letter(
            letter_id=letter_id,
            organisation=organisation,
            kind=kind,
            body=body,
            created_at=now,
            endpoint=desk.directory.message_endpoint(organisation),
            needs_acknowledgement=True,
            traceparent=traceparent,
        ),
        Flow.NUMBER_CHANGE,
        reviewer=organisation,
        person=person.person,
        restricted=person.restricted,
    )


_KINDS: Final[Mapping[str, str]] = {
    SUPERSEDED: number_letters.NUMBER_SUPERSEDED,
    INVALIDATED: number_letters.NUMBER_INVALIDATED,
    DIFFERS: number_letters.NUMBER_DIFFERS,
}
_WITHOUT_NUMBER: Final[Mapping[str, Callable[..., bytes]]] = {
    INVALIDATED: number_letters.invalidated,
    DIFFERS: number_letters.superseded_by_another,
}
