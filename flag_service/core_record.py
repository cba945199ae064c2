"""The core demographic record as somebody is shown it: who, why, and what is written of it. Pure.

Who has nothing to do with the person is answered as if nobody knew them; an unknown person is
composed all the same, and thrown away. Nothing here has an address, a postcode or a number.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from connectors.identifiers import Scheme
from flag_service import looking
from flag_service.lookup import SEE_ATTENDANCES
from halyard.caller import Caller
from halyard.telemetry import new_traceparent
from policies import fields as field_names
from policies.desk import Asked, Desk, masked
from policies.known import KNOWN
from policies.purposes import Purpose
from policies.ruling import Flow
from schemas.events import NhsNumberStatus
from stores.accesses import Recorded
from stores.audit import AuditEntry
from stores.core_records import CoreRecord, StatedIdentifier
from stores.outbox import Entry
from streams.matching.access_notices import to_guardian
from streams.matching.disclosing import Disclosed

RECORD: Final = "record"
NOTHING: Final = "nothing-held"
INTERFACE: Final = "person-record"
BASIS: Final = "pds"
"""The index holds nobody but as PDS gave them."""

_NEVER: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Opening:
    """Somebody opens the record of one person."""

    number: str = field(repr=False)  # valid, ten digits
    caller: Caller
    purpose: Purpose
    reason: str = field(repr=False)
    request_id: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What is shown, unless `asked` does not permit it, and what must be written before it is."""

    members: dict[str, Any] = field(repr=False)
    asked: Asked
    recorded: Recorded
    audit: tuple[AuditEntry, ...]
    event: Entry | None
    notice: Disclosed | None  # to the Caldicott guardian of the asker's organisation


def opened(
    opening: Opening,
    person: str,
    found: CoreRecord,
    desk: Desk,
    *,
    now: datetime,
    access_id: uuid.UUID,
) -> Opened:
    """What `opening` shows of `person` (pseudonym, store key) and leaves behind."""
    caller, broken = opening.caller, opening.purpose is Purpose.BREAK_GLASS
    may = found.relation is not None or (broken and caller.person and not found.restricted)
    shown = found.known and may
    hidden = found.restricted and shown
    whole = _body(found, caller, desk, relation=found.relation or "break-glass", now=now)
    body = whole if shown else {"answer": NOTHING, "as_of": now.isoformat()}

    def ask(names: frozenset[str]) -> Asked:
        return desk.ask(
            Flow.PERSON_RECORD,
            caller.organisation,
            names,
            at=now,
            restricted=hidden,
            purpose=opening.purpose.value,
            roles=caller.roles,
            count=False,
        )

    # asked of every field that there is, so that a policy's answer tells nothing of the person
    asked = ask(KNOWN[Flow.PERSON_RECORD])
    told = ask(field_names.names(body))
    asked = told if asked.permitted else asked
    if broken and asked.permitted and not caller.person:
        asked = looking.of_people_alone(asked)
    left = masked(body, told) if asked.permitted else {}
    recorded = Recorded(
        access=looking.access_of(caller, opening.purpose, INTERFACE, now=now, access_id=access_id),
        person=person,
        request_id=opening.request_id,
        flagged=False,  # no plan is shown here
        listed=False,
        reason=opening.reason,
    )
    entry = looking.entry_of_look(
        recorded,
        caller,
        asked,
        left,
        desk,
        detail=(
            ("interface", INTERFACE),
            ("answer", body["answer"] if asked.permitted else "refused"),
            ("relation", found.relation or "none"),
            *((("person", "restricted"),) if found.restricted else ()),
        ),
    )
    notice, event = None, None
    if asked.permitted and broken and caller.person:
        notice = to_guardian(
            recorded,
            desk,
            nhs_number=opening.number,
            restricted=found.restricted,
            traceparent=opening.traceparent or new_traceparent(),
            now=now,
        )
        event = looking.event_of(recorded, opening.number, opening.traceparent, desk)
    ruling = asked.ruling
    members = {
        **left,
        "purpose": opening.purpose.value,
        "policy": {
            "id": ruling.policy,
            "version": ruling.version,
            "withheld": sorted(ruling.withheld),
        },
    }
    audited = (entry,) if notice is None else (entry, notice.entry)
    return Opened(members, asked, recorded, audited, event, notice)


def _body(
    found: CoreRecord, caller: Caller, desk: Desk, *, relation: str, now: datetime
) -> dict[str, Any]:
    own = [one for one in found.identifiers if one.organisation == caller.organisation]
    return {
        "answer": RECORD,
        "as_of": now.isoformat(),
        "relation": relation,
        "restricted": found.restricted,
        "deceased": found.deceased,
        "name": {"family": found.family, "given": list(found.given)},
        "birth_date": found.birth_date,
        "gender": found.gender,
        "number_status": {
            "indicator": NhsNumberStatus.VERIFIED.value,
            "verified_at": (found.verified_at or _NEVER).isoformat(),
            "basis": BASIS,
        },
        "identifiers": [_identifier(one) for one in own],
        "other_identifiers": [_identifier(one) for one in others(found, caller, desk)],
        "siblings": [{"local_id": one} for one in found.siblings],
    }


def others(found: CoreRecord, caller: Caller, desk: Desk) -> list[StatedIdentifier]:
    """What other organisations call the person, as far as the caller's role sees it: an authority
    the pupil number; a clinician or safeguarding nurse, with the person there or through broken
    glass, the numbers of hospitals whose attendances they may see. Of a restricted person nothing:
    a hospital number says where they were, a pupil number at which school.
    """
    if found.restricted:
        return []
    theirs = [one for one in found.identifiers if one.organisation != caller.organisation]
    if "authority" in desk.directory.kinds_of(caller.organisation):
        return [one for one in theirs if one.scheme == Scheme.UPN.value]
    sees = not caller.roles.isdisjoint(SEE_ATTENDANCES)
    if not sees or not (found.here or found.relation is None):
        return []
    return [
        one
        for one in theirs
        if one.scheme == Scheme.HOSPITAL_NUMBER.value
        and one.attended
        and one.assigner == one.organisation
    ]


def _identifier(one: StatedIdentifier) -> dict[str, Any]:
    return {
        "scheme": one.scheme,
        "value": one.value,
        "assigner": one.assigner or None,
        "organisation": one.organisation,
        "stated_at": one.stated_at.isoformat(),
    }
