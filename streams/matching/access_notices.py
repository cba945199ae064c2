"""Who is told that somebody looked: the bodies ``halyard.access.v1`` and their rows (pure).

Shared by the matching stage (authorities) and the HTTP face (the asker's own Caldicott guardian, at
once when the glass is broken).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from halyard import ids
from policies.desk import Desk
from policies.purposes import Purpose
from stores.accesses import ONCE_IN, Notice, Recorded
from stores.audit import HUB
from stores.deliveries import UNADDRESSED_CALDICOTT
from stores.delivery_rows import DeliveryRow
from stores.directory import Directory
from streams.matching.disclosing import Disclosed, disclosed
from streams.matching.notices import no_endpoint
from streams.matching.payload import WITHHELD, utc

SCHEMA: Final = "halyard.access.v1"
FIRST: Final = 1
AGAIN: Final = 2
"""Version of a notice that was composed anew: the child became restricted before it was sent."""


def is_break_glass(look: Recorded) -> bool:
    """Whether the asker went against the ordinary rule."""
    return look.access.purpose == Purpose.BREAK_GLASS.value


def tells(look: Recorded) -> bool:
    """Whether an authority may have to be told: a plan was shown, and the look was not silent."""
    return look.flagged and (look.access.unscheduled or is_break_glass(look))


def told_before(look: Recorded, authority: str, notices: list[Notice]) -> bool:
    """Whether the authority was told of a look of this author at this child less than 24 h from
    this one; before or after it, for looks may come out of order. A broken glass is always told.
    """
    if is_break_glass(look):
        return False
    return any(
        one.person == look.person
        and one.authority == authority
        and (one.organisation, one.author) == (look.access.organisation, look.access.author)
        and abs(one.looked_at - look.access.looked_at) < ONCE_IN
        for one in notices
    )


def to_authority(
    look: Recorded,
    authority: str,
    desk: Desk,
    *,
    nhs_number: str | None,
    hidden: bool,
    traceparent: str,
    now: datetime,
    version: int = FIRST,
) -> Disclosed:
    """What the authority (GSS code) is told. `hidden`: the child is restricted: then the contact
    that it registered for such children alone, and not from where was looked, which may be where
    the child is; it rings the call-back.
    """
    known = desk.directory.authorities.get(authority)
    endpoint = None
    if known is not None:
        endpoint = known.restricted_endpoint if hidden else known.alert_endpoint
    body = _body(look, desk.directory, nhs_number=nhs_number, hidden=hidden, version=version)
    body["authority"] = {"gss": authority, "name": desk.directory.name_of(authority)}
    return _disclosed(
        desk,
        look,
        body,
        destination=endpoint or no_endpoint(authority, restricted=hidden),
        recipient=authority,
        hidden=hidden,
        version=version,
        traceparent=traceparent,
        now=now,
    )


def to_guardian(
    look: Recorded,
    desk: Desk,
    *,
    nhs_number: str,
    restricted: bool,
    traceparent: str,
    now: datetime,
) -> Disclosed:
    """What the Caldicott guardian of the asker's own organisation is told of a broken glass: what
    its staff did and why; nothing of what is held, and no authority. `restricted`: the person is:
    the entry alone says so, for who reports on it.
    """
    organisation = look.access.organisation or ""
    endpoint = desk.directory.caldicott_endpoints().get(organisation)
    body = _body(look, desk.directory, nhs_number=nhs_number, hidden=False)
    made = _disclosed(
        desk,
        look,
        {**body, "restricted": None, "authority": None, "flagged": None},
        destination=endpoint or f"{UNADDRESSED_CALDICOTT}{organisation}",
        recipient=organisation,
        hidden=False,
        traceparent=traceparent,
        now=now,
    )
    if not restricted:
        return made
    detail = (*made.entry.detail, ("person", "restricted"))
    return replace(made, entry=replace(made.entry, detail=detail))


def _disclosed(
    desk: Desk,
    look: Recorded,
    body: dict[str, Any],
    *,
    destination: str,
    recipient: str,
    hidden: bool,
    traceparent: str,
    now: datetime,
    version: int = FIRST,
) -> Disclosed:
    access = look.access
    draft = DeliveryRow(
        destination=destination,
        alert_id=access.access_id,
        version=version,
        round=1,
        kind="access",
        body=b"",
        event_id=ids.derive("access-notice", str(access.access_id), recipient),
        traceparent=traceparent,
        due_at=now,
        recipient=recipient,
        reviewer=access.organisation,
        person=look.person,
        restricted=hidden,
    )
    # the recipient's own chain is no way round what the body withholds; who looked stands in the
    # chain of where was looked, under the same access id
    made = disclosed(
        desk,
        draft,
        body,
        actor=None if hidden else access.author,
        organisation=HUB if hidden else access.organisation or HUB,
    )
    return replace(made, entry=replace(made.entry, subject=f"access:{access.access_id}"))


def _body(
    look: Recorded,
    directory: Directory,
    *,
    nhs_number: str | None,
    hidden: bool,
    version: int = FIRST,
) -> dict[str, Any]:
    access, organisation = look.access, look.access.organisation or ""
    hospital = directory.hospitals.get(organisation)
    own = directory.authorities.get(organisation)
    return {
        "schema": SCHEMA,
        "access_id": str(access.access_id),
        "version": version,
        "at": utc(access.looked_at),
        "purpose": access.purpose,
        "break_glass": is_break_glass(look),
        "unscheduled": access.unscheduled,
        "flagged": look.flagged,
        "restricted": hidden,
        # the author's own words may name the place
        "reason": None if hidden else look.reason,
        "organisation": {
            "code": WITHHELD if hidden else organisation,
            "name": WITHHELD if hidden else directory.name_of(organisation),
            "callback": {
                "name": hospital.callback_name if hospital else None,
                "phone": hospital.callback_phone
                if hospital
                else (own.phone_office if own else None),
            },
        },
        "by": {
            "name": None if hidden else access.author_name,
            "job_role": None if hidden else access.job_role,
            "system": not access.author_person,
        },
        "person": {"nhs_number": nhs_number},
    }
