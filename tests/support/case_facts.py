"""Facts and notifications of invented deaths, short to write."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from halyard.ids import derive
from schemas.deaths import NOBODY, DeathMessageKind, DeathNotified, Fact
from schemas.events import Identity, IdentityStatus, NhsNumberStatus, PersonClaim
from stores.panels import Area, Panel
from streams.cases.facts import Facts, facts_of
from streams.cases.model import Notification

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# A child of six who died at home, and everything that review asks for is told
CHILD = {
    "child.birth-date": "2019-05-04",
    "death.date": "2026-02-10",
    "child.residence-authority": "E06000001",
}
NEWBORN = CHILD | {"child.birth-date": "2026-02-10"}


def facts(*bases: dict[str, str], **changed: str | None) -> Facts:
    """Facts by field, those of later bases first; in keywords ``__`` stands for the point and
    ``_`` for a hyphen, None takes a field out.
    """
    told: dict[str, str | None] = {}
    for base in bases:
        told |= base
    told |= {name.replace("__", ".").replace("_", "-"): said for name, said in changed.items()}
    return facts_of(Fact(name, value=value) for name, value in told.items() if value is not None)


def panel(code: str, *areas: str, first: date | None = None, last: date | None = None) -> Panel:
    """A panel of some areas."""
    return Panel(
        code=code,
        name=code,
        organisation="QZ9",
        areas=tuple(Area(gss=gss, first=first, last=last) for gss in areas),
    )


def notification(
    reference: str = "n-1",
    organisation: str = "RZ9",
    *,
    claim: PersonClaim = NOBODY,
    told: dict[str, str] | None = None,
    rows: tuple[Fact, ...] = (),
    verified: str | None = None,
    **more: Any,
) -> Notification:
    """A notification as the hub holds it; `verified`: its NHS number, if that was."""
    source = f"{organisation.lower()}-fhir"
    identity = None
    if verified is not None:
        identity = Identity(
            person=f"pseudonym-{verified[-3:]}",
            status=IdentityStatus.VERIFIED,
            indicator=NhsNumberStatus.VERIFIED,
            basis="pds-get",
            rule="pds-agrees",
            decided_at=AT,
            nhs_number=verified,
        )
    event = DeathNotified(
        event_id=derive("death", source, reference),
        source=source,
        organisation=organisation,
        message_id=reference,
        digest="d",
        received_at=AT,
        kind=DeathMessageKind.SUBMITTED,
        source_person="k",
        source_patient=reference,
        reference=reference,
        version=1,
        claim=claim,
        facts=(*(Fact(name, value=value) for name, value in (told or {}).items()), *rows),
        **more,
    )
    return Notification(
        source=source,
        reference=reference,
        case_id=derive("case", source, reference),
        notified=event,
        voided=False,
        indicator=identity.indicator if identity else NhsNumberStatus.TRACE_REQUIRED,
        identity_rule="",
        first_received_at=AT,
        identity=identity,
    )
