"""Reads notifications of changes at PDS: CloudEvents 1.0 JSON, and FHIR R4 subscription bundles.

Shapes: the examples and OpenAPI specification of NHSDigital/multicast-notification-service. Of
either form only the type, the subject's number, the id and the time are read. What version 1 says
of the number's status, and what `filtering` and `dataref` say, is not: MNS warns against changing
demographics by such metadata, and PDS is asked in any case. Pure; nothing sent is ever repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from schemas.changes import PersonChangeKind

MAX_ENTRIES: Final = 100
MAX_ID: Final = 200
PROFILE: Final = "backport-subscription-status"

KINDS: Final[Mapping[str, PersonChangeKind]] = {
    "nhs-number-change": PersonChangeKind.NUMBER,
    "pds-record-change": PersonChangeKind.RECORD,
    "pds-death-notification": PersonChangeKind.DEATH,
}
"""Event types that a person is asked about again for, without their version."""
_VERSIONS: Final = ("1", "2")
_NO_CHANGE: Final = "pds-change-of-gp"

CHANGE_OF_GP: Final = "a change of practice changes nothing that the hub holds"
OTHER_TYPE: Final = "the hub does not use events of this type; subscribe to none of them here"
NO_EVENT: Final = "a handshake or heartbeat carries no event"


@dataclass(frozen=True, slots=True)
class Signal:
    """One event that counts."""

    message_id: str
    kind: PersonChangeKind
    nhs_number: str = field(repr=False)
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """One event that was read and is of no use here; `why` in words."""

    message_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why nothing of the body is taken: a rule, where, and what to do."""

    rule: str
    place: str
    advice: str
    status: int = 422


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self.fault = fault


Read = list[Signal | Ignored]


def read(body: bytes) -> Read | Fault:
    """The events of one body; a `Fault` if any of it cannot be read: then none is taken."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Fault("mns.not_json", "", "Send one JSON object in UTF-8.", 400)
    try:
        whole = _object(document, "")
        if whole.get("resourceType") == "Bundle":
            return list(_bundle(whole))
        return [_cloud_event(whole)]
    except _Refused as refused:
        return refused.fault


def _cloud_event(event: Mapping[str, Any]) -> Signal | Ignored:
    if event.get("specversion") != "1.0":
        raise _refused(
            "mns.specversion",
            "specversion",
            "Send a CloudEvent of specversion 1.0, or a FHIR Bundle of type history.",
        )
    message_id = _identifier(event.get("id"), "id")
    _text(event.get("source"), "source")
    kind = _text(event.get("type"), "type")
    occurred_at = _time(event.get("time"), "time")
    return _signal(message_id, kind, event.get("subject"), "subject", occurred_at)


def _bundle(bundle: Mapping[str, Any]) -> Iterator[Signal | Ignored]:
    if bundle.get("type") != "history":
        raise _refused("mns.bundle_type", "Bundle.type", "A notification is of type history.")
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not entries:
        raise _refused("mns.no_entry", "Bundle.entry", "Send at least one entry.")
    if len(entries) > MAX_ENTRIES:
        raise _refused(
            "mns.too_many_entries", "Bundle.entry", f"Send at most {MAX_ENTRIES} entries at a time."
        )
    found = False
    for index, entry in enumerate(entries):
        place = f"Bundle.entry[{index}].resource"
        resource = _object(_object(entry, f"Bundle.entry[{index}]").get("resource"), place)
        if resource.get("resourceType") != "Parameters":
            continue  # a resource that a full-resource payload brings along: never read
        if not any(PROFILE in one for one in _profiles(resource)):
            raise _refused(
                "mns.profile",
                f"{place}.meta.profile",
                "Parameters are of the profile backport-subscription-status-r4.",
            )
        found = True
        yield from _status(resource, _identifier(resource.get("id"), f"{place}.id"), place)
    if not found:
        raise _refused("mns.no_status", "Bundle.entry", "The first entry is the Parameters.")


def _status(resource: Mapping[str, Any], message_id: str, place: str) -> Iterator[Signal | Ignored]:
    parameters = _named(resource.get("parameter"), f"{place}.parameter")
    what = [one for name, one in parameters if name == "type"]
    if what and what[0].get("valueCode") != "event-notification":
        yield Ignored(message_id, NO_EVENT)
        return
    occurred_at = None
    for name, one in parameters:
        if name == "notification-event":
            for part, value in _named(one.get("part"), f"{place}.notification-event"):
                if part == "timestamp":
                    occurred_at = _time(value.get("valueInstant"), f"{place}.timestamp")
    contexts = [one for name, one in parameters if name == "additional-context"]
    if not contexts:
        raise _refused(
            "mns.no_context",
            f"{place}.additional-context",
            "The parameter additional-context has event-type and subject.",
        )
    for index, context in enumerate(contexts):
        where = f"{place}.additional-context"
        parts = dict(_named(context.get("part"), where))
        kind = _text(parts.get("event-type", {}).get("valueString"), f"{where}.event-type")
        subject = parts.get("subject", {}).get("valueReference")
        identifier = subject.get("identifier") if isinstance(subject, dict) else None
        number = identifier.get("value") if isinstance(identifier, dict) else None
        own = message_id if index == 0 else f"{message_id}:{index}"
        yield _signal(own, kind, number, f"{where}.subject", occurred_at)


def _signal(
    message_id: str, kind: str, number: object, place: str, occurred_at: datetime | None
) -> Signal | Ignored:
    name, _, version = kind.rpartition("-")
    if name == _NO_CHANGE:
        return Ignored(message_id, CHANGE_OF_GP)
    if name not in KINDS or version not in _VERSIONS:
        return Ignored(message_id, OTHER_TYPE)
    text = number if isinstance(number, str) else ""
    if len(text) != 10 or not (text.isascii() and text.isdecimal()):
        raise _refused("mns.subject", place, "The subject is an NHS number: ten digits.")
    return Signal(message_id, KINDS[name], text, occurred_at)


def _profiles(resource: Mapping[str, Any]) -> list[str]:
    meta = resource.get("meta")
    found = meta.get("profile") if isinstance(meta, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _named(value: object, place: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, list):
        raise _refused("mns.list", place, "This is a list of named parameters.")
    return [
        (one["name"], one)
        for one in value
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refused("mns.object", place, "This is a JSON object.")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _refused("mns.missing", place, "This member is needed, and is text.")
    return value


def _identifier(value: object, place: str) -> str:
    text = _text(value, place)
    if len(text) > MAX_ID or not text.isprintable():
        raise _refused("mns.id", place, f"An id has at most {MAX_ID} printable characters.")
    return text


def _time(value: object, place: str) -> datetime | None:
    """A time with its zone; None if there is none."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(_text(value, place))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # said below
    raise _refused("mns.time", place, "A time is as RFC 3339 says, with its zone.")


def _refused(rule: str, place: str, advice: str) -> _Refused:
    return _Refused(Fault(rule, place, advice))
