"""Bodies of the webhook payloads ``alert``, ``match`` and ``receipt`` (docs/reference/alerts.md).

JSON in UTF-8 with sorted keys: the same facts always give the same bytes. Times are ISO 8601,
the hub's own in UTC (``…Z``), an arrival with the offset its hospital meant. A field that is not
known, or that this recipient may not see, is null; fields are only ever added within a version.
What a body says is composed here; what of it leaves, a sharing policy decides
(`streams.matching.disclosing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson

from schemas.events import AlertChange, AlertChanged, AlertContent, AlertReceipt, Moment
from stores.directory import Directory

ALERT, MATCH, RECEIPT = "halyard.alert.v1", "halyard.match.v1", "halyard.receipt.v1"

_MATCH_CHANGE = {AlertChange.WITHDRAWN: "withdrawn"}

_OF_MATCH = frozenset(
    {"state", "arrived_at", "repeated_hour", "department", "departed_at", "birth"}
)

Members = dict[str, Any]

WITHHELD = "withheld"
"""In place of a restricted person's hospital, where version 1 promises a text."""


def alert_body(
    event: AlertChanged,
    directory: Directory,
    *,
    callback: tuple[str | None, str | None] | None = None,
) -> Members:
    """What the authority is told: who, where, why, and whom to ring.

    `callback` (name, phone) stands in for the content's: a restricted person's content has none,
    and only the contact registered for restricted people is told it.
    """
    content = event.content
    name, phone = callback or (content.callback_name, content.callback_phone)
    return {
        "schema": ALERT,
        "alert_id": str(event.alert_id),
        "version": event.version,
        "change": event.change.value.lower(),
        "changed_at": utc(event.changed_at),
        "rule": event.rule,
        "provisional": event.provisional,
        "late": event.late,
        "restricted": event.restricted,
        "authority": {"gss": event.authority, "name": directory.name_of(event.authority)},
        "hospital": {
            "ods": content.hospital or WITHHELD,
            "name": content.hospital_name or WITHHELD,
            "site_ods": content.site_ods,
            "callback": {"name": name, "phone": phone},
        },
        "person": {"nhs_number": content.nhs_number},
        "flags": [
            {
                "plan_type": flag.plan_type.value,
                "start": flag.start,
                "end": flag.end,
                "active": flag.active,
                "local_id": flag.local_id,
            }
            for flag in content.flags
        ],
        "visit": _visit(content),
        "earlier_attendances": content.earlier_attendances,
    }


def match_body(
    event: AlertChanged, directory: Directory, *, phones: tuple[str | None, str | None]
) -> Members:
    """What the hospital's safeguarding contact is told: this person is here and is protected by
    this authority; `phones` are the authority's (office, emergency) as the flags state them.
    """
    content = event.content
    return {
        "schema": MATCH,
        "alert_id": str(event.alert_id),
        "version": event.version,
        "change": _MATCH_CHANGE.get(event.change, "matched"),
        "changed_at": utc(event.changed_at),
        "provisional": event.provisional,
        "hospital": {"ods": content.hospital, "name": content.hospital_name},
        "person": {"nhs_number": content.nhs_number},
        "plan_types": plan_types(content),
        "authority": {
            "gss": event.authority,
            "name": directory.name_of(event.authority),
            "phone_office": phones[0],
            "phone_emergency": phones[1],
        },
        "visit": {key: value for key, value in _visit(content).items() if key in _OF_MATCH},
    }


def receipt_body(receipt: AlertReceipt, directory: Directory) -> Members:
    """What the hospital's contact is told of the answer; the alert id says which match it was."""
    return {
        "schema": RECEIPT,
        "alert_id": str(receipt.alert_id),
        "version": receipt.version,
        "rung": receipt.rung.value.lower(),
        "at": utc(receipt.at),
        "authority": {"gss": receipt.authority, "name": directory.name_of(receipt.authority)},
        "hospital": {"ods": receipt.hospital, "name": directory.name_of(receipt.hospital)},
        "by": receipt.by,
        "answer": receipt.answer,
    }


def plan_types(content: AlertContent) -> Sequence[str]:
    """Types of the active plans, each once, in order."""
    return sorted({flag.plan_type.value for flag in content.flags if flag.active})


def _visit(content: AlertContent) -> dict[str, Any]:
    return {
        "state": content.visit_state,
        "arrived_at": None if content.arrived_at is None else local_iso(content.arrived_at),
        "repeated_hour": content.arrived_at is not None and content.arrived_at.repeated_hour,
        "department": content.department,
        "mode_of_arrival": content.mode_of_arrival,
        "reason": content.reason,
        "admission_method": content.admission_method,
        "acuity": content.acuity,
        "departed_at": None if content.departed_at is None else local_iso(content.departed_at),
        "discharge_destination": content.discharge_destination,
        "birth": content.birth,
        "location_shielded": content.location_shielded,
    }


def local_iso(moment: Moment) -> str:
    """ISO text with the offset that the sender meant."""
    zone = timezone(timedelta(minutes=moment.offset_minutes))
    return moment.utc.astimezone(zone).isoformat()


def utc(at: datetime) -> str:
    """ISO text in UTC."""
    return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def dump(body: Members) -> bytes:
    """The bytes of a body."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
