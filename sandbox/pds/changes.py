"""Changes of records on demand, and the events that tell of them.

`apply_change` is what a practice does to a record: it is superseded, invalidated, restricted,
renamed, moved, registered elsewhere, or its person dies. Each gives one event in the shapes of the
Multicast Notification Service (MNS): a CloudEvent as publishers send it, and the FHIR R4 history
Bundle (subscriptions-backport) as subscribers get it. An event names nobody but the number; who
wants more reads PDS again, as the real service asks of its subscribers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from halyard.nhs_number import parse
from sandbox.pds.people import FormerHome, FormerName, Person, Register

Json = dict[str, Any]

CHANGES: Final = (
    "supersede",
    "invalidate",
    "restrict",
    "unrestrict",
    "rename",
    "move",
    "die",
    "change-practice",
)
NUMBER_CHANGE: Final = "nhs-number-change-2"
RECORD_CHANGE: Final = "pds-record-change-2"
DEATH: Final = "pds-death-notification-2"
PRACTICE_CHANGE: Final = "pds-change-of-gp-2"

_SOURCE: Final = "https://fhir.nhs.uk/Id/nhsSpineASID/477121000324"
_MNS: Final = "https://api.service.nhs.uk/multicast-notification-service/subscriptions"
_BACKPORT: Final = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
    "backport-subscription-status-r4"
)
_DATE: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", re.ASCII)
_FIELDS: Final = {
    "supersede": {"by"},
    "rename": {"family", "given", "keep"},
    "move": {"postcode"},
    "die": {"date"},
    "change-practice": {"practice"},
}


class BadChange(ValueError):
    """A change that cannot be made; the message says what to send, never what was sent."""


@dataclass(frozen=True, slots=True)
class PersonEvent:
    """What an event says of a change."""

    id: str
    type: str
    time: datetime
    nhs_number: str = field(repr=False)
    version: int
    url: str = field(repr=False)  # of the record in PDS
    filtering: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def cloud_event(self) -> Json:
        """As published: CloudEvents 1.0 with MNS's `dataref`, `versionid` and `filtering`."""
        event: Json = {
            "specversion": "1.0",
            "id": self.id,
            "source": _SOURCE,
            "type": self.type,
            "time": _instant(self.time),
            "subject": self.nhs_number,
            "dataref": self.url,
            "versionid": f'W/"{self.version}"',
        }
        return {**event, "filtering": dict(self.filtering)} if self.filtering else event

    def bundle(self) -> Json:
        """As delivered to a subscription: a FHIR R4 Bundle of type history."""
        happened = [
            {"name": "event-number", "valueString": "1"},
            {"name": "timestamp", "valueInstant": _instant(self.time)},
            {"name": "focus", "valueReference": {"reference": self.url}},
        ]
        subject = {"identifier": {"value": self.nhs_number}}
        context = [
            {"name": "event-type", "valueString": self.type},
            {"name": "source", "valueUri": _SOURCE},
            {"name": "subject", "valueReference": subject},
            {"name": "version-id", "valueString": f'W/"{self.version}"'},
        ]
        parameters = {
            "resourceType": "Parameters",
            "id": self.id,
            "meta": {"profile": [_BACKPORT]},
            "parameter": [
                {"name": "subscription", "valueReference": {"reference": _MNS}},
                {"name": "status", "valueCode": "active"},
                {"name": "type", "valueCode": "event-notification"},
                {"name": "notification-event", "part": happened},
                {"name": "additional-context", "part": context},
            ],
        }
        return {
            "resourceType": "Bundle",
            "id": self.id,
            "type": "history",
            "timestamp": _instant(self.time),
            "entry": [
                {
                    "fullUrl": f"urn:uuid:{self.id}",
                    "resource": parameters,
                    "request": {"method": "GET", "url": _MNS},
                    "response": {"status": "200"},
                }
            ],
        }


def apply_change(
    body: Any, register: Register, *, base_url: str, now: datetime, new_id: Callable[[], str]
) -> PersonEvent:
    """Change one record as a decoded JSON object says, and give the event of it.

    `{"change": …, "nhs_number": …}` and, by change: `by` (the number that stands now), `family`,
    `given` (a list) and `keep` (false: the old name is not kept), `postcode`, `date` (may be
    partial), `practice`. Raises `BadChange`; then nothing was changed.
    """
    if not isinstance(body, dict) or body.get("change") not in CHANGES:
        raise BadChange(f"Send a JSON object with nhs_number and change: {', '.join(CHANGES)}.")
    change: str = body["change"]
    if unknown := body.keys() - {"change", "nhs_number"} - _FIELDS.get(change, set()):
        allowed = ", ".join(sorted(_FIELDS.get(change, set()))) or "nothing more"
        raise BadChange(f"{len(unknown)} fields are not known; {change} takes {allowed}.")
    person = register.get(_text(body, "nhs_number"))
    if person is None:
        raise BadChange("No record has that nhs_number; add it first (POST /sandbox/people).")
    changed, kind = _changed(change, body, person, register, now)
    changed = replace(changed, version=person.version + 1)
    register.put(changed)
    return PersonEvent(
        id=new_id(),
        type=kind,
        time=now,
        nhs_number=person.nhs_number,
        version=changed.version,
        url=f"{base_url}/Patient/{person.nhs_number}",
        filtering=_filtering(change, kind, changed),
    )


def _changed(
    change: str, body: Json, person: Person, register: Register, now: datetime
) -> tuple[Person, str]:
    match change:
        case "supersede":
            by = _text(body, "by")
            following = register.get(by)
            if following is None or following.nhs_number == person.nhs_number:
                raise BadChange("by is the number of another record.")
            after = register.successor(following)
            if after is not None and after.nhs_number == person.nhs_number:
                raise BadChange("That record was itself superseded by this one.")
            return replace(person, superseded_by=by), NUMBER_CHANGE
        case "invalidate":
            return replace(person, invalidated=True, superseded_by=None), NUMBER_CHANGE
        case "restrict" | "unrestrict":
            return replace(person, restricted=change == "restrict"), RECORD_CHANGE
        case "rename":
            return _renamed(body, person, now), RECORD_CHANGE
        case "move":
            homes = person.former_homes
            if person.postcode:
                homes = (*homes, FormerHome(person.postcode, end=now.date().isoformat()))
            moved = replace(person, postcode=_text(body, "postcode"), former_homes=homes)
            return moved, RECORD_CHANGE
        case "die":
            day = _text(body, "date") if "date" in body else now.date().isoformat()
            if not _DATE.fullmatch(day):
                raise BadChange("date is a date as yyyy-mm-dd, yyyy-mm or yyyy.")
            return replace(person, deceased=day), DEATH
        case _:
            practice = _text(body, "practice")
            if not re.fullmatch(r"[0-9A-Z]{3,10}", practice, re.ASCII):
                raise BadChange("practice is an ODS code: capitals and digits.")
            return replace(person, practice=practice), PRACTICE_CHANGE


def _renamed(body: Json, person: Person, now: datetime) -> Person:
    family = _text(body, "family") if "family" in body else person.family
    given = body.get("given", list(person.given))
    if not (
        isinstance(given, list) and given and all(isinstance(each, str) and each for each in given)
    ):
        raise BadChange("given is a list of names.")
    before = FormerName(
        use="old", family=person.family, given=person.given, end=now.date().isoformat()
    )
    keep = body.get("keep", True)
    if type(keep) is not bool:
        raise BadChange("keep is true or false.")
    former = (*person.former_names, before) if keep else person.former_names
    return replace(person, family=family, given=tuple(given), former_names=former)


def _filtering(change: str, kind: str, person: Person) -> Json:
    if kind not in (RECORD_CHANGE, PRACTICE_CHANGE):
        return {}
    filtering: Json = {"nhsnumber": person.nhs_number}
    if kind == RECORD_CHANGE:
        filtering["changed_name"] = change == "rename"
    if not person.restricted:  # where somebody is registered tells where they are
        filtering["registeredgpodscode"] = person.practice
    return filtering


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise BadChange(f"{name} is a text of 1 to 100 letters.")
    if name in ("nhs_number", "by") and parse(value, profile="test").number != value:
        raise BadChange(f"{name} is ten digits of a number that is never issued (9…).")
    return value


def _instant(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds")
