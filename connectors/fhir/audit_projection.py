"""An entry of the audit chain as a FHIR R4 AuditEvent, in the shapes of IHE BALP.

Basic Audit Log Patterns (https://profiles.ihe.net/ITI/BALP): a look-up as the query of a patient's
data, a disclosure as its export at the source, a refusal as an authorisation decision. The child is
there by pseudonym alone, as in the chain. No conformance to a profile is claimed: what the chain
does not know is not made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.fhir.detail import ODS_ORGANISATION
from connectors.fhir.parts import HUB as HUB_SYSTEM
from policies.purposes import HL7, SYSTEM, Purpose
from stores.audit import HUB

EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
BALP_ENTITY: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"

ORGANISATION: Final = "urn:halyard:organisation"
ACTOR: Final = "urn:halyard:actor"
ROLE: Final = "urn:halyard:role"
PURPOSE: Final = "urn:halyard:purpose"
PSEUDONYM: Final = "urn:halyard:pseudonym"
KIND: Final = "urn:halyard:audit-kind"
FLOW: Final = "urn:halyard:flow"
LINK: Final = "urn:halyard:audit-link"

# kind: type, subtype, action
_SHAPES: Final[Mapping[str, tuple[dict[str, str], dict[str, str], str]]] = {
    "access": (
        {"system": EVENT_TYPE, "code": "rest", "display": "Restful Operation"},
        {"system": INTERACTION, "code": "search-type", "display": "search-type"},
        "E",
    ),
    "disclosure": (
        {"system": DCM, "code": "110106", "display": "Export"},
        {"system": LIFECYCLE, "code": "disclose", "display": "Disclose"},
        "R",
    ),
    "refusal": (
        {"system": DCM, "code": "110113", "display": "Security Alert"},
        {"system": DCM, "code": "110132", "display": "Use of Restricted Function"},
        "E",
    ),
    "review": (
        {"system": DCM, "code": "110101", "display": "Audit Log Used"},
        {"system": KIND, "code": "review"},
        "R",
    ),
    "administration": (
        {"system": DCM, "code": "110100", "display": "Application Activity"},
        {"system": KIND, "code": "administration"},
        "E",
    ),
}
_ROLE: Final = re.compile(r"[a-z]+(-[a-z]+)*")
_CLIENT: Final = {"system": DCM, "code": "110153", "display": "Source Role ID"}
_SERVER: Final = {"system": DCM, "code": "110152", "display": "Destination Role ID"}
_OUTCOMES: Final = {
    "permit": ("0", "permitted"),
    "deny": ("4", "denied"),
    "review": ("4", "left to a person"),
}


def audit_event(body: Mapping[str, Any], *, seq: int | None, link: bytes | None) -> dict[str, Any]:
    """The AuditEvent of an entry's body; `seq` and `link` are its place and hash, if it is sealed.

    Pure. The id is the entry's.
    """
    kind = str(body["kind"])
    type_, subtype, action = _SHAPES[kind]
    outcome, what = _OUTCOMES[str(body["decision"])]
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": body["entry_id"],
        "type": type_,
        "subtype": [subtype, *_flow(body)],
        "action": action,
        "recorded": body["recorded_at"],
        "outcome": outcome,
        "outcomeDesc": f"{what} by rule {body['rule']}",
        "agent": _agents(body, kind),
        "source": {
            "observer": {"identifier": {"system": HUB_SYSTEM, "value": "halyard"}},
            "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": _entities(body, seq, link),
    }
    if purpose := _purpose(body):
        event["purposeOfEvent"] = purpose
    return event


def _flow(body: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"system": FLOW, "code": body["flow"]}] if body.get("flow") else []


def _purpose(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    code = body.get("purpose")
    if not code:
        return []
    codings = [{"system": PURPOSE, "code": code}]
    if code in set(Purpose):
        codings.insert(0, {"system": SYSTEM, "code": HL7[Purpose(code)]})
    return [{"coding": codings}]


def _organisation(code: str) -> dict[str, Any]:
    if code == HUB:
        return {"identifier": {"system": HUB_SYSTEM, "value": "halyard"}}
    # a GSS code (E06000001, …) has nine characters, an ODS code fewer
    system = ODS_ORGANISATION if len(code) < 9 else ORGANISATION
    return {"identifier": {"system": system, "value": code}}


def _agents(body: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Client and server of a look-up, or who released and who received; and who acted."""
    hub = {"identifier": {"system": HUB_SYSTEM, "value": "halyard"}}
    told = _organisation(body["chain"])
    asking = _organisation(body["organisation"])
    human = str(body["actor"]).startswith(("user:", "cli:"))
    client, server = (hub, told) if kind == "disclosure" else (asking, hub)
    acting = {
        "who": {"identifier": {"system": ACTOR, "value": body["actor"]}},
        "requestor": True,
        **_about(body),
    }
    agents: list[dict[str, Any]] = [
        {"type": {"coding": [_CLIENT]}, "who": client, "requestor": False},
        {"type": {"coding": [_SERVER]}, "who": server, "requestor": False},
    ]
    code = "IRCP" if human else "DEV"
    system = PARTICIPATION
    display = "information recipient" if human else "device"
    agents.append(
        {"type": {"coding": [{"system": system, "code": code, "display": display}]}, **acting}
    )
    return agents


def _about(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of who acted: name, roles, what for, and what allowed it (policy, the token's last part)."""
    about: dict[str, Any] = {}
    if body.get("actor_name"):
        about["name"] = body["actor_name"]
    if body.get("role"):
        about["role"] = _roles(str(body["role"]))
    if purpose := _purpose(body):
        about["purposeOfUse"] = purpose
    policy = []
    if body.get("policy"):
        policy.append(f"urn:halyard:policy:{body['policy']}:{body.get('policy_version')}")
    if body.get("token_id"):
        policy.append(f"urn:halyard:token:{body['token_id']}")
    if policy:
        about["policy"] = policy
    return about


def _roles(said: str) -> list[dict[str, Any]]:
    """Codes of roles, or a job role as the issuer words it."""
    codes = said.split(",")
    if all(map(_ROLE.fullmatch, codes)):
        return [{"coding": [{"system": ROLE, "code": one}]} for one in codes]
    return [{"text": said}]


def _entities(body: Mapping[str, Any], seq: int | None, link: bytes | None) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if body.get("person"):
        entities.append(
            {
                "what": {"identifier": {"system": PSEUDONYM, "value": body["person"]}},
                "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
                "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
            }
        )
    details = [
        {"type": name, "valueString": str(value)}
        for name, value in (
            *((name, body.get(name)) for name in ("reason", "legal_basis", "payload_digest")),
            *(("field", one) for one in body.get("fields", ())),
            *sorted(body.get("detail", {}).items()),
        )
        if value
    ]
    data: dict[str, Any] = {
        "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
    }
    told = {name: body.get(name) for name in ("subject", "case_id", "message_id") if body.get(name)}
    if told:
        name, value = next(iter(told.items()))
        data["what"] = {"identifier": {"system": f"urn:halyard:{name}", "value": value}}
        details += [{"type": k, "valueString": v} for k, v in told.items() if k != name]
    if details:
        data["detail"] = details
    if told or details:
        entities.append(data)
    if body.get("request_id"):
        entities.append(
            {
                "what": {"identifier": {"value": body["request_id"]}},
                "type": {"system": BALP_ENTITY, "code": "XrequestId"},
            }
        )
    if seq is not None and link is not None:
        entities.append(
            {
                "what": {"identifier": {"system": LINK, "value": f"{body['chain']} {seq}"}},
                "type": {"system": ENTITY_TYPE, "code": "4", "display": "Other"},
                "detail": [{"type": "sha256", "valueString": link.hex()}],
            }
        )
    return entities
