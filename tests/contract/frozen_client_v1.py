"""A receiver of version 1 as a customer wrote it once. FROZEN: never changed with the product.

It imports nothing of ours. Whatever the hub sends under version 1 must pass here for ever; a
payload that does not is a new version, with a client and examples of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json


class NotAccepted(Exception):
    """The old client would not have taken this."""


def receive(headers: dict[str, str], body: bytes, secret: str, now: int) -> dict[str, object]:
    """What the old client takes from a webhook: verifies, then picks the fields it needs."""
    lower = {name.lower(): value for name, value in headers.items()}
    signed = f"{lower['halyard-timestamp']}.{lower['halyard-delivery']}.".encode() + body
    wanted = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    given = [one.strip() for one in lower["halyard-signature"].split(",")]
    if not any(hmac.compare_digest(wanted, one) for one in given):
        raise NotAccepted("signature")
    if abs(now - int(lower["halyard-timestamp"])) > 300:
        raise NotAccepted("time")
    if lower["halyard-version"] != "1":
        raise NotAccepted("version")
    if lower["content-type"] != "application/json":
        raise NotAccepted("content type")
    fields = {"alert": _alert, "match": _match, "receipt": _receipt}[lower["halyard-event"]]
    content = json.loads(body)
    if content["schema"] != f"halyard.{lower['halyard-event']}.v1":
        raise NotAccepted("schema")
    return {
        "delivery_id": lower["halyard-delivery"],
        "alert_id": _text(content["alert_id"]),
        "version": _whole(content["version"]),
        **fields(content),
    }


def _alert(content: dict[str, object]) -> dict[str, object]:
    hospital, visit, authority = (
        _table(content[key]) for key in ("hospital", "visit", "authority")
    )
    callback = _table(hospital["callback"])
    flags = content["flags"]
    if not isinstance(flags, list):
        raise NotAccepted("flags")
    return {
        "change": _text(content["change"]),
        "changed_at": _text(content["changed_at"]),
        "rule": _text(content["rule"]),
        "provisional": _truth(content["provisional"]),
        "late": _truth(content["late"]),
        "restricted": _truth(content["restricted"]),
        "nhs_number": _text(_table(content["person"])["nhs_number"]),
        "authority": (_text(authority["gss"]), _text(authority["name"])),
        "hospital": (_text(hospital["ods"]), _text(hospital["name"])),
        "site": _perhaps(hospital["site_ods"]),
        "callback": (_perhaps(callback["name"]), _perhaps(callback["phone"])),
        "flags": [
            (
                _text(_table(flag)["plan_type"]),
                _perhaps(_table(flag)["start"]),
                _perhaps(_table(flag)["end"]),
                _truth(_table(flag)["active"]),
                _perhaps(_table(flag)["local_id"]),
            )
            for flag in flags
        ],
        "visit": (
            _text(visit["state"]),
            _perhaps(visit["arrived_at"]),
            _truth(visit["repeated_hour"]),
            _perhaps(visit["department"]),
            _perhaps(visit["mode_of_arrival"]),
            _perhaps(visit["reason"]),
            _perhaps(visit["admission_method"]),
        ),
        "earlier_attendances": _whole(content["earlier_attendances"]),
    }


def _match(content: dict[str, object]) -> dict[str, object]:
    authority, hospital, visit = (
        _table(content[key]) for key in ("authority", "hospital", "visit")
    )
    plans = content["plan_types"]
    if not isinstance(plans, list):
        raise NotAccepted("plan_types")
    return {
        "change": _text(content["change"]),
        "changed_at": _text(content["changed_at"]),
        "provisional": _truth(content["provisional"]),
        "nhs_number": _text(_table(content["person"])["nhs_number"]),
        "plans": [_text(plan) for plan in plans],
        "authority": (_text(authority["gss"]), _text(authority["name"])),
        "phones": (_perhaps(authority["phone_office"]), _perhaps(authority["phone_emergency"])),
        "hospital": (_text(hospital["ods"]), _text(hospital["name"])),
        "visit": (
            _text(visit["state"]),
            _perhaps(visit["arrived_at"]),
            _truth(visit["repeated_hour"]),
            _perhaps(visit["department"]),
        ),
    }


def _receipt(content: dict[str, object]) -> dict[str, object]:
    authority, hospital = (_table(content[key]) for key in ("authority", "hospital"))
    return {
        "rung": _text(content["rung"]),
        "at": _text(content["at"]),
        "authority": (_text(authority["gss"]), _text(authority["name"])),
        "hospital": (_text(hospital["ods"]), _text(hospital["name"])),
        "by": _perhaps(content["by"]),
        "answer": _perhaps(content["answer"]),
    }


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise NotAccepted("an object was expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise NotAccepted("a text was expected")
    return value


def _perhaps(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise NotAccepted("a text or null was expected")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise NotAccepted("true or false was expected")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotAccepted("a whole number was expected")
    return value
