"""The last accesses to a person's flags as FHIR R4: AuditEvent and PractitionerRole. Pure.

As the CP-IS interface shows them: when, whose name, in which role, of which organisation. What goes
in are the JSON members of a look-up's answer after the sharing policy. These are the accesses that
are shown with a flag, not the hub's audit chain.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from connectors.fhir.flag_projection import Members, entry, patient, searchset
from connectors.fhir.writing import ORGANISATION, Pen, Resource, pruned
from policies import purposes
from policies.purposes import Purpose

AUDIT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE_CLASS: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"

WITHHELD: Final = {"display": "withheld"}
SYSTEM: Final = "a system"


def access_bundle(cause: uuid.UUID, number: str, members: Members, *, with_roles: bool) -> Resource:
    """A searchset of AuditEvents, newest first; `with_roles` includes the PractitionerRoles."""
    pen = Pen(cause, with_number=True)
    subject = patient(number)
    told = members.get("accesses") or []
    # FHIR demands a time; one whose time is withheld is left out, and the outcome says so
    timed = (one for one in told if isinstance(one, Mapping) and one.get("at"))
    numbered = list(enumerate(timed, 1))
    matched = [
        entry(pen, f"access-{at}", _audit_event(pen, one, subject, at, with_roles), "match")
        for at, one in numbered
    ]
    included = [
        entry(pen, f"author-{at}", _practitioner_role(pen, one), "include")
        for at, one in numbered
        if with_roles
    ]
    return searchset(pen, members, matched, included)


def _audit_event(pen: Pen, one: Members, subject: Resource, at: int, with_roles: bool) -> Resource:
    author = pen.refer(f"author-{at}") if with_roles else _who(pen, one)
    return pruned(
        {
            "resourceType": "AuditEvent",
            "type": {"system": AUDIT_TYPE, "code": "rest"},
            "subtype": [{"system": INTERACTION, "code": "search-type"}],
            "action": "E",
            "recorded": one.get("at"),
            "outcome": "0",
            "purposeOfEvent": [_purpose(one)],
            "agent": [{"who": author, "requestor": True}],
            "source": {"observer": {"display": "Halyard"}},
            "entity": [
                {"what": subject, "type": {"system": ENTITY_TYPE, "code": "1"}},
                {"what": author, "type": {"system": ROLE_CLASS, "code": "ASSIGNED"}},
            ],
        }
    )


def _practitioner_role(pen: Pen, one: Members) -> Resource:
    """Name, role and organisation, as far as they are told; a system is named as such."""
    role = pen.text(one.get("job_role"))
    return pruned(
        {
            "resourceType": "PractitionerRole",
            "practitioner": _name(pen, one) or WITHHELD,
            "organization": _organisation(pen, one) or WITHHELD,
            "code": [{"coding": [{"display": role}], "text": role}] if role else [],
        }
    )


def _who(pen: Pen, one: Members) -> Resource:
    """The author, where no PractitionerRole goes along."""
    return _name(pen, one) or _organisation(pen, one) or WITHHELD


def _name(pen: Pen, one: Members) -> Resource | None:
    told = pen.text(one.get("name")) or (SYSTEM if one.get("system") else None)
    return {"display": told} if told else None


def _organisation(pen: Pen, one: Members) -> Resource | None:
    code, name = one.get("organisation"), pen.text(one.get("organisation_name"))
    known = pen.identifier(ORGANISATION, code) if code else None
    return pruned({"identifier": known, "display": name}) or None


def _purpose(one: Mapping[str, Any]) -> Resource | None:
    try:
        stated = Purpose(str(one.get("purpose")))
    except ValueError:
        return None
    return {
        "coding": [{"system": purposes.SYSTEM, "code": purposes.HL7[stated]}],
        "text": stated.value,
    }
