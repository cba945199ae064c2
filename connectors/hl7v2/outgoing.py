"""A match or an answer as an HL7 v2.4 message for the hospital's own system: ``ORU^R01``.

Pure: the same delivery gives the same bytes, so that a repeat is byte for byte what went before
and MSH-10 is the same. Every value of the delivery's JSON body (docs/reference/alerts.md) that is
not null is in the message, also one that a later version adds: the NHS number in PID-3, each
other in an OBX of its own, whose OBX-3 is the value's path in the body. docs/reference/
hl7-outgoing.md describes each field; docs/adr/0021 says why ORU^R01.

Built by hl7apy after the structure ORU_R01 of v2.4.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from hl7apy import load_reference
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Group
from hl7apy.core import Message as Hl7Message
from hl7apy.exceptions import HL7apyException

from connectors.sending import Message
from halyard.errors import PermanentError

APPLICATION: Final = "HALYARD"
CODING_SYSTEM: Final = "99HAL"  # HL7 table 0396: 99zzz is a local coding system
MAX_CONTROL_ID: Final = 20  # characters of MSH-10 in v2.4

_VERSION: Final = "2.4"
# hl7apy imports a version when it is first used, and not safely in two threads
load_reference("ORU_R01", "Message", _VERSION)

_KINDS: Final = {
    "match": ("SG-MATCH", "Safeguarding match"),
    "receipt": ("SG-RECEIPT", "Safeguarding answer"),
}
_NUMBER: Final = ("person", "nhs_number")

# OBX-3.2 and OBX-2 of what version 1 of the bodies holds; what is not here is told by its path
_KNOWN: Final = {
    "DELIVERY-ID": ("Delivery", "ST"),
    "SCHEMA": ("Shape and version of the notice", "ST"),
    "ALERT-ID": ("Alert", "ST"),
    "VERSION": ("Version of the alert", "NM"),
    "CHANGE": ("What happened", "ST"),
    "CHANGED-AT": ("When it happened", "TS"),
    "PROVISIONAL": ("Identity is provisional", "CE"),
    "HOSPITAL-ODS": ("Hospital code", "ST"),
    "HOSPITAL-NAME": ("Hospital", "ST"),
    "PLAN-TYPES": ("Type of plan", "ST"),
    "AUTHORITY-GSS": ("Local authority code", "ST"),
    "AUTHORITY-NAME": ("Local authority", "ST"),
    "AUTHORITY-PHONE-OFFICE": ("Local authority, office hours", "ST"),
    "AUTHORITY-PHONE-EMERGENCY": ("Local authority, emergency duty", "ST"),
    "VISIT-STATE": ("State of the visit", "ST"),
    "VISIT-ARRIVED-AT": ("Arrived", "TS"),
    "VISIT-REPEATED-HOUR": ("Arrival in the hour that October repeats", "CE"),
    "VISIT-BIRTH": ("A birth: the plan stands with the mother", "CE"),
    "VISIT-DEPARTED-AT": ("Departed", "TS"),
    "VISIT-DEPARTMENT": ("Department", "ST"),
    "RUNG": ("How far the alert has come", "ST"),
    "AT": ("When", "TS"),
    "BY": ("Accepted by", "TX"),
    "ANSWER": ("Answer of the local authority", "TX"),
}
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
_LINE = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


class UnsendableError(PermanentError):
    """This delivery cannot be told in HL7 v2; give it a webhook, or report its shape."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the wire."""

    control_id: str  # MSH-10, which MSA-2 must repeat
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who sends to whom: MSH-4, MSH-5, MSH-6, and whether MSH-11 is ``P`` or ``T``."""

    facility: str
    receiving_application: str
    receiving_facility: str
    production: bool


def short_id(text: str) -> str:
    """20 characters (A–Z, 2–7) derived from `text`: 100 bits of its SHA-256."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(digest).decode()[:MAX_CONTROL_ID]


def build(message: Message, parties: Parties) -> Outgoing:
    """`message` as ORU^R01.

    Raises `UnsendableError` for a kind that has no HL7 v2 form, or a body that is not its JSON.
    """
    if message.event not in _KINDS:
        raise UnsendableError
    try:
        body = json.loads(message.body)
        alert_id = str(body["alert_id"])
        at = _timestamp(body["changed_at"] if message.event == "match" else body["at"])
    except (ValueError, KeyError, TypeError):
        raise UnsendableError from None
    control_id = short_id(str(message.delivery_id))
    try:
        told = _told(message, body, alert_id, at, control_id, parties)
    except (HL7apyException, ValueError):
        raise UnsendableError from None  # hl7apy quotes values
    # hl7apy ends the last segment too
    return Outgoing(control_id, told.rstrip("\r").encode() + b"\r")


def _told(
    message: Message,
    body: dict[str, Any],
    alert_id: str,
    at: str,
    control_id: str,
    parties: Parties,
) -> str:
    told = Hl7Message("ORU_R01", version=_VERSION, validation_level=VALIDATION_LEVEL.TOLERANT)
    _header(told, control_id, at, parties)
    result = told.add_group("ORU_R01_PATIENT_RESULT")
    if number := _person(body):
        pid = result.add_group("ORU_R01_PATIENT").add_segment("PID")
        pid.pid_1 = "1"
        pid.pid_3 = f"{_escaped(number)}^^^NHS^NH"
        # ITK's word for a name that is not told (the hub does not hold it); U: unspecified
        pid.pid_5 = "Unknown^^^^^^U"
    status = _status(body)
    order = result.add_group("ORU_R01_ORDER_OBSERVATION")
    _order(order, message.event, alert_id, at, status)
    leaves = [("DELIVERY-ID", "", str(message.delivery_id)), *_leaves(body)]
    for place, (code, sub_id, value) in enumerate(leaves, start=1):
        _observation(order, place, code, sub_id, value, status)
    return str(told.to_er7())


def _header(told: Hl7Message, control_id: str, at: str, parties: Parties) -> None:
    msh = told.msh
    msh.msh_3 = APPLICATION
    msh.msh_4 = _escaped(parties.facility)
    if parties.receiving_application:
        msh.msh_5 = _escaped(parties.receiving_application)
    if parties.receiving_facility:
        msh.msh_6 = _escaped(parties.receiving_facility)
    # of the change, not of the attempt: repeats are the same bytes
    msh.msh_7 = at
    msh.msh_9 = "ORU^R01^ORU_R01"
    msh.msh_10 = control_id
    msh.msh_11 = "P" if parties.production else "T"
    msh.msh_12 = _VERSION
    msh.msh_17 = "GBR"
    msh.msh_18 = "UNICODE"
    msh.msh_19 = "EN"


def _order(order: Group, kind: str, alert_id: str, at: str, status: str) -> None:
    """OBR: of a match the alert; of an answer a result of its own, whose parent is the match."""
    code, text = _KINDS[kind]
    obr = order.add_segment("OBR")
    obr.obr_1 = "1"
    match = short_id(alert_id)
    obr.obr_3 = match if kind == "match" else short_id(f"{alert_id}.{kind}")
    obr.obr_4 = f"{code}^{text}^{CODING_SYSTEM}"
    obr.obr_7 = at
    obr.obr_22 = at
    obr.obr_25 = status
    if kind != "match":
        obr.obr_29 = f"^{match}"


def _observation(order: Group, place: int, code: str, sub_id: str, value: Any, status: str) -> None:
    name, kind = _KNOWN.get(
        code, (code.replace("-", " ").capitalize(), "TS" if code.endswith("-AT") else "TX")
    )
    kind, texts = _encoded(value, kind)
    obx = order.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
    obx.obx_1 = str(place)
    obx.obx_2 = kind
    obx.obx_3 = f"{code}^{name}^{CODING_SYSTEM}"
    if sub_id:
        obx.obx_4 = sub_id
    for text in texts:
        obx.add_field("OBX_5").value = text
    obx.obx_11 = status


def _encoded(value: Any, kind: str) -> tuple[str, list[str]]:
    """OBX-2 and the repetitions of OBX-5. A value that does not fit its type is text."""
    if isinstance(value, bool):
        return "CE", ["Y^Yes^HL70136" if value else "N^No^HL70136"]
    if isinstance(value, int | float):
        return "NM", [json.dumps(value)]
    text = str(value)
    if kind == "TS":
        try:
            return "TS", [_timestamp(text)]
        except ValueError:
            kind = "TX"
    if kind == "ST":
        return "ST", [_escaped(text)]
    # TX: a repetition is a line (HL7 v2.4, 2.9.47)
    return "TX", [_escaped(line) for line in _LINE.split(text)]


def _leaves(
    value: Any, path: tuple[str, ...] = (), sub_id: str = ""
) -> Iterator[tuple[str, str, Any]]:
    """(OBX-3.1, OBX-4, value) of everything that is told, in the body's order."""
    if value is None or path == _NUMBER:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)), sub_id)
    elif isinstance(value, list):
        for place, inner in enumerate(value, start=1):
            yield from _leaves(inner, path, f"{sub_id}.{place}" if sub_id else str(place))
    else:
        yield _code(path), sub_id, value


def _code(path: tuple[str, ...]) -> str:
    return re.sub("[^A-Z0-9]+", "-", "-".join(path).upper())


def _person(body: dict[str, Any]) -> str:
    person = body.get(_NUMBER[0])
    return str(person.get(_NUMBER[1]) or "") if isinstance(person, dict) else ""


def _status(body: dict[str, Any]) -> str:
    """OBR-25 and OBX-11 (tables 0123, 0085): a withdrawal corrects what was told before."""
    if body.get("change") == "withdrawn":
        return "C"
    return "P" if body.get("provisional") is True else "F"


def _timestamp(iso: str) -> str:
    """ISO 8601 as TS, with its offset. Raises `ValueError`."""
    return datetime.fromisoformat(iso).strftime("%Y%m%d%H%M%S%z")


def _escaped(text: str) -> str:
    r"""`text` on one line, its delimiters as ``\F\ \S\ \T\ \R\ \E\``."""
    text = _CONTROL.sub(" ", text).replace("\\", "\\E\\")
    for mark, name in (("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        text = text.replace(mark, f"\\{name}\\")
    return text
