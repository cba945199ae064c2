"""From a message and its feed to `AttendanceReported`, as HL7 v2 is mapped.

Pure: the same bytes, feed, rule and keys give the same events (but for `received_at`, and for
times that only it shows to be implausible). Everything odd is taken with a mark, a rule's name and
an element that never quote a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from connectors.arrival import is_arrival
from connectors.clocks import CLOCK_AHEAD, plausible
from connectors.fhir import times
from connectors.fhir.births import birth
from connectors.fhir.detail import is_shielded, visit_detail
from connectors.fhir.events import VisitEvent
from connectors.fhir.messages import Parsed
from connectors.fhir.outcomes import CONTENT_TYPE
from connectors.fhir.persons import Identifiers, identifiers, is_confidential, person_claim
from connectors.fhir.view import Json, obj, objs, text
from connectors.hl7v2.merges import INCOMPLETE as MERGE_INCOMPLETE
from connectors.hl7v2.persons import bounded
from connectors.persons import key_names, shared_local_id
from halyard.ids import derive
from halyard.privacy import Keys
from schemas.events import AttendanceReported, Moment, VisitDetail, VisitEventKind
from stores.arrival_rules import ArrivalRule
from stores.directory import Feed

_INPATIENT: Final = "I"
_ENDED_BY_STATUS: Final = frozenset({"cancelled", "entered-in-error"})
_LEAVING: Final = frozenset({VisitEventKind.DISCHARGE})
_BEGINNING: Final = frozenset(
    {VisitEventKind.REGISTER, VisitEventKind.ADMIT, VisitEventKind.PRE_ADMIT}
)


@dataclass(slots=True)
class _Times:
    """The message's times, as far as they can be."""

    occurred: Moment | None
    recorded: Moment | None
    sent: Moment | None
    ended: Moment | None
    died: Moment | None = field(default=None, repr=False)


def to_attendances(
    message: Parsed, *, feed: Feed, rule: ArrivalRule, keys: Keys, received_at: datetime
) -> tuple[AttendanceReported, ...]:
    """The events that `message` reports: one; for a newborn a second, of the mother it names; of a
    merge one for each patient who is retired.
    """
    marks = list(message.marks)
    patient = message.patient.content
    encounter = message.encounter.content if message.encounter else {}
    claim, own = person_claim(patient, marks)
    labelled = is_confidential(message.bundle, message.header, encounter, patient)
    shielded = labelled or is_shielded(encounter)
    if shielded:
        marks.append("location-shielded")
        claim = replace(claim, postcode=None)
    event = _event(message.event, encounter, marks)
    told = _times(message, event, feed, received_at, marks)
    detail = visit_detail(message, marks, discharged_at=told.ended, shielded=shielded)
    trigger = _trigger(event, detail)
    if trigger == "A01" and event.kind is VisitEventKind.REGISTER:
        event = replace(event, kind=VisitEventKind.ADMIT)
    arrival, arrival_rule = (
        (False, "trigger.not-used")
        if event.kind is VisitEventKind.NOT_USED
        else is_arrival(event.kind, trigger, detail, rule)
    )
    message_id = _message_id(message, marks)
    digest = keys.digest(message.body)
    visit = _visit(encounter)
    names = key_names(
        local_id=own.local_id,
        local_key=own.local_key,
        visit=visit,
        number=claim.nhs_number,
        digest=digest,
    )
    source_patient = keys.source_patient(feed.source, *names)
    if visit is None and message.encounter is not None:
        marks.append("visit-number-missing:Encounter.identifier")
    first = AttendanceReported(
        event_id=derive("attendance", feed.source, message_id, digest),
        source=feed.source,
        organisation=feed.organisation,
        message_id=bounded(message_id, "Bundle.identifier", marks) or "",
        received_at=received_at,
        trigger=event.code,
        kind=event.kind,
        arrival=arrival,
        arrival_rule=arrival_rule,
        visit_id=(
            derive("visit", feed.source, visit)
            if visit
            else derive("visit-by-day", source_patient, _day(encounter, told, received_at))
        ),
        source_person=keys.source_person(feed.source, *names),
        source_patient=source_patient,
        recorded_at=told.recorded,
        occurred_at=told.occurred,
        message_at=told.sent,
        claim=claim,
        detail=detail,
        content_type=CONTENT_TYPE,
        charset=message.charset,
        message=message.body,
        death_indicated=patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient,
        died_at=told.died,
    )
    if event.kind is VisitEventKind.MERGE:
        merged = _merged(message, first, own, keys, marks)
        return tuple(replace(one, marks=tuple(dict.fromkeys(marks))) for one in merged)
    second = birth(message, first, own, visit=visit, keys=keys, marks=marks)
    first = replace(first, marks=tuple(dict.fromkeys(marks)))
    return (first,) if second is None else (first, second)


def _event(event: VisitEvent, encounter: Json, marks: list[str]) -> VisitEvent:
    """The event; an update of an Encounter that is cancelled by status is its cancellation.

    An arrival stays one whatever the status says: doubt never silences an arrival.
    """
    status = text(encounter, "status")
    if status not in _ENDED_BY_STATUS:
        return event
    if event.kind is VisitEventKind.UPDATE:
        marks.append("cancelled-by-status:Encounter.status")
        return replace(event, kind=VisitEventKind.CANCEL)
    if event.kind is not VisitEventKind.CANCEL:
        marks.append("status-contradicts:Encounter.status")
    return event


def _trigger(event: VisitEvent, detail: VisitDetail) -> str:
    """The HL7 v2 trigger by which the arrival rule is asked: an inpatient's arrival is an
    admission.
    """
    if event.code == "arrival" and detail.patient_class == _INPATIENT:
        return "A01"
    return event.trigger


def _times(
    message: Parsed, event: VisitEvent, feed: Feed, received_at: datetime, marks: list[str]
) -> _Times:
    encounter = message.encounter.content if message.encounter else {}
    provenance = next((one.content for one in message.of_kind("Provenance")), {})
    started = _moment(encounter, ("period", "start"), "Encounter", feed, marks)
    ended = _moment(encounter, ("period", "end"), "Encounter", feed, marks)
    stated = _moment(provenance, ("occurredDateTime",), "Provenance", feed, marks)
    recorded = _moment(provenance, ("recorded",), "Provenance", feed, marks) or _moment(
        message.header, ("meta", "lastUpdated"), "MessageHeader", feed, marks
    )
    sent = _moment(message.bundle, ("timestamp",), "Bundle", feed, marks)
    patient = message.patient.content
    died = _moment(patient, ("deceasedDateTime",), "Patient", feed, marks)
    if died and died.utc > received_at + CLOCK_AHEAD:
        died = None
        marks.append("death-time-implausible:Patient.deceasedDateTime")
    # the visit's start is the time of what began it, and of nothing that came later
    own = ended if event.kind in _LEAVING else started if event.kind in _BEGINNING else None
    occurred = stated or own
    recorded, occurred, sent = plausible(
        recorded=recorded, occurred=occurred, sent=sent, received_at=received_at, marks=marks
    )
    return _Times(occurred, recorded, sent, ended, died)


def _moment(
    node: Json, path: tuple[str, ...], kind: str, feed: Feed, marks: list[str]
) -> Moment | None:
    said = text(node, *path)
    if not said:
        return None
    place = ".".join((kind, *path))
    found = times.moment(said, feed.timezone)
    if found is None:
        marks.append(f"time-invalid:{place}")
        return None
    if not times.has_zone(said):
        marks.append(f"time-without-zone:{place}")
    if found.repeated_hour:
        marks.append(f"time-repeated-hour:{place}")
    return found


def _message_id(message: Parsed, marks: list[str]) -> str:
    """``Bundle.identifier`` (the same when it is sent again), else ids of header or Bundle."""
    found = (
        text(message.bundle, "identifier", "value")
        or text(message.header, "id")
        or text(message.bundle, "id")
    )
    if not found:
        marks.append("message-id-missing:Bundle.identifier")
    return found


def _visit(encounter: Json) -> str | None:
    """The visit's number with its system; two systems may both count from 1."""
    for one in sorted(objs(encounter, "identifier"), key=lambda one: text(one, "use") == "old"):
        value = text(one, "value")
        if value and not shared_local_id(value):  # "0", "UNKNOWN": many people's, no visit's
            return f"{text(one, 'system')}^{value}"
    return None


def _retired(message: Parsed) -> list[Identifiers]:
    """Whom the patient replaces: each ``link`` of type replaces, to a Patient of the message or by
    identifier; and each Patient of the message who says ``replaced-by`` (them, as far as told).
    """
    survivor = message.patient.content
    found = []
    for link in objs(survivor, "link"):
        if text(link, "type") == "replaces":
            other = obj(link, "other")
            named = message.resolve(other, survivor)
            found.append(identifiers(named or {"identifier": [obj(other, "identifier")]}))
    for one in message.of_kind("Patient"):
        for link in objs(one.content, "link"):
            by = message.resolve(obj(link, "other"), one.content) or survivor
            if text(link, "type") == "replaced-by" and by is survivor is not one.content:
                found.append(identifiers(one.content))
    return found


def _merged(
    message: Parsed, event: AttendanceReported, own: Identifiers, keys: Keys, marks: list[str]
) -> list[AttendanceReported]:
    """`event` once for each patient who is retired, with the keys that their own events had; once
    and not used if there is none but the survivor. The first keeps the event's own id.
    """
    found: dict[str, AttendanceReported] = {}
    broken: list[str] = []
    for gone in _retired(message):
        number = next(iter(gone.numbers), None)
        names = (gone.local_as(own), None, number)
        if not any(names):
            broken.append("merge-incomplete")
            continue
        retired = keys.source_patient(event.source, *names)
        if retired == event.source_patient:
            broken.append("merge-of-one")
        elif retired not in found:
            event_id = derive("attendance-merge", str(event.event_id), len(found))
            found[retired] = replace(
                event,
                event_id=event_id if found else event.event_id,
                merged_person=keys.source_person(event.source, *names),
                merged_patient=retired,
            )
    if not found and not broken:
        broken.append("merge-incomplete")
    marks.extend(f"{one}:Patient.link" for one in broken)
    if found:
        return list(found.values())
    return [replace(event, kind=VisitEventKind.NOT_USED, arrival_rule=MERGE_INCOMPLETE)]


def _day(encounter: Json, told: _Times, received_at: datetime) -> str:
    """Without a visit number a visit is the patient's day: of its start, else of the event, else
    of receipt.
    """
    start = text(encounter, "period", "start")[:10]
    if start:
        return start
    return next(
        (
            when.utc.date().isoformat()
            for when in (told.occurred, told.recorded, told.sent)
            if when is not None
        ),
        received_at.date().isoformat(),
    )
