"""From a message and its feed to `AttendanceReported`.

Pure: the same bytes, feed, rule and keys give the same events (but for `received_at`, and for times
that only it shows to be implausible). Refused is only what cannot be attributed (no PID);
everything else odd is taken with a mark, a rule's name that never quotes a value.

Profile: ITK HL7 v2.4 ADT (NPFIT-ELIBR-AREL-DST-0369).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from connectors.arrival import is_arrival
from connectors.births import Mother, birth_event, is_newborn
from connectors.clocks import CLOCK_AHEAD, plausible
from connectors.hl7v2.detail import is_shielded, read_detail
from connectors.hl7v2.er7 import Er7Error, Mark, Message, Segment
from connectors.hl7v2.identifiers import identifiers
from connectors.hl7v2.merges import INCOMPLETE, Retired, pairs, retired, visit_number
from connectors.hl7v2.persons import YES, bounded, person_claim
from connectors.hl7v2.times import read_moment
from connectors.hl7v2.triggers import WITHOUT_VISIT, read_trigger, unused_rule
from connectors.persons import key_names, shared_local_id
from halyard.ids import derive
from halyard.privacy import Keys
from schemas.events import AttendanceReported, Moment, VisitEventKind
from stores.arrival_rules import ArrivalRule
from stores.directory import Feed


class _Taken(NamedTuple):
    """The message, the feed's terms, and what of the header all of its events share."""

    message: Message
    feed: Feed
    rule: ArrivalRule
    keys: Keys
    received_at: datetime
    trigger: str
    kind: VisitEventKind
    msh: Segment
    evn: Segment
    pv1: Segment


class _Read(NamedTuple):
    """An event, and what else the mother's event of a newborn needs."""

    event: AttendanceReported
    mother: Mother | None
    visit: str | None


def to_attendances(
    message: Message, *, feed: Feed, rule: ArrivalRule, keys: Keys, received_at: datetime
) -> tuple[AttendanceReported, ...]:
    """The events that `message` reports: one; a second, of the mother, if its subject is a newborn
    whose message names her; one for each pair of a merge. All must be durable before it is
    acknowledged. Raises `Er7Error` (rules ``no-pid``, ``merges``).
    """
    pid = message.segment("PID")
    if not pid:
        raise Er7Error(
            "No PID segment; send the patient the message is about.", place="PID", rule="no-pid"
        )
    message.fallback = feed.fallback_charset
    marks: list[str] = []
    msh, evn, pv1 = message.segment("MSH"), message.segment("EVN"), message.segment("PV1")
    trigger, kind = read_trigger(msh, evn, marks)
    taken = _Taken(message, feed, rule, keys, received_at, trigger, kind, msh, evn, pv1)
    if kind is VisitEventKind.MERGE:
        return _merges(taken, pid, marks)
    read = _read(taken, pid, marks)
    if read.mother is None:
        return (read.event,)
    birth = birth_event(
        read.event, read.mother, visit=read.visit, keys=keys, creates_patient=trigger == "A28"
    )
    return (read.event,) if birth is None else (read.event, birth)


def _read(taken: _Taken, pid: Segment, marks: list[str], mrg: Segment | None = None) -> _Read:
    """The event about the person in `pid`; of a merge, the one that retires who is in `mrg`."""
    message, feed, rule, keys, received_at, trigger, kind, msh, evn, pv1 = taken
    shielded = is_shielded(message, marks)
    claim, local = person_claim(message, pid, marks, shielded=shielded)
    recorded_at, occurred_at, message_at = _times(msh, evn, feed, received_at, marks)
    detail = read_detail(message, feed, marks, shielded=shielded)
    dead, died_at = _death(pid, feed, received_at, marks)
    message_id = msh.text(10)
    if not message_id:
        marks.append("control-id-missing")
    digest = keys.digest(message.data)
    visit = visit_number(message, pv1, 19)
    names = key_names(
        local_id=local.value if local else None,
        local_key=local.key if local else None,
        visit=visit,
        number=claim.nhs_number,
        digest=digest,
    )
    source_patient = keys.source_patient(feed.source, *names)
    if visit is None and kind not in WITHOUT_VISIT:
        marks.append("visit-number-missing")
    arrival, arrival_rule = is_arrival(kind, trigger, detail, rule)
    gone: Retired | None = None
    if kind is VisitEventKind.MERGE:
        gone = retired(message, mrg, local, source=feed.source, keys=keys)
        if gone is None or gone.patient == source_patient:
            marks.append("merge-incomplete" if gone is None else "merge-of-one")
            gone, kind, arrival_rule = None, VisitEventKind.NOT_USED, INCOMPLETE
    elif kind is VisitEventKind.NOT_USED:
        arrival_rule = unused_rule(msh.text(9, 1), trigger)
    moments = (occurred_at, recorded_at, message_at)
    mother: Mother | None = None
    if pid.field(21):
        at = next((when.utc for when in moments if when), received_at)
        if is_newborn(claim, detail.admission_method, at):
            mother = _mother(message, pid, marks)
    event = AttendanceReported(
        event_id=derive("attendance", feed.source, message_id, digest),
        source=feed.source,
        organisation=feed.organisation,
        message_id=bounded(message_id, "MSH-10", marks) or "",
        received_at=received_at,
        trigger=bounded(trigger, "MSH-9", marks, 20) or "",
        kind=kind,
        arrival=arrival,
        arrival_rule=arrival_rule,
        visit_id=(
            derive("visit", feed.source, visit)
            if visit
            else derive("visit-by-day", source_patient, _day(pv1, received_at, moments))
        ),
        source_person=keys.source_person(feed.source, *names),
        source_patient=source_patient,
        recorded_at=recorded_at,
        occurred_at=occurred_at,
        message_at=message_at,
        sequence=_sequence(msh, marks),
        claim=claim,
        detail=detail,
        charset=message.charset,
        marks=_all_marks(marks, message),
        message=message.data,
        merged_person=gone.person if gone else None,
        merged_patient=gone.patient if gone else None,
        merged_visit=gone.visit if gone else None,
        death_indicated=dead,
        died_at=died_at,
    )
    return _Read(event, mother, visit)


def _merges(taken: _Taken, pid: Segment, marks: list[str]) -> tuple[AttendanceReported, ...]:
    """One event for each pair; without any, the message as one that is not used. Raises `Er7Error`
    (rule ``merges``) for more than are taken.
    """
    found = pairs(taken.message)
    if not found:
        return (_read(taken, pid, marks).event,)
    events = []
    for number, (survivor, mrg) in enumerate(found):
        event = _read(taken, survivor, list(marks), mrg).event
        if number:  # the first is the message's own event
            event_id = derive("attendance-merge", str(event.event_id), number)
            event = replace(event, event_id=event_id)
        events.append(event)
    return tuple(events)


def _mother(message: Message, pid: Segment, marks: list[str]) -> Mother | None:
    """The mother whom PID-21 names, if it names anybody."""
    named = identifiers(message, pid, (21,))
    marks.extend(f"repetitions-cut:{place}" for place in named.cut)
    local = named.local_as(identifiers(message, pid, (3,)).local())
    if local is not None and shared_local_id(local.value):
        local = None
    number = next(iter(named.numbers), None)
    if named.suspect and number is None:
        marks.append("mother-number-invalid")
    if local is None and number is None:
        return None
    return Mother(
        nhs_number=bounded(number or "", "PID-21", marks, 40),
        local_id=bounded(local.value if local else "", "PID-21", marks),
        local_key=local.key if local else None,
    )


def _death(
    pid: Segment, feed: Feed, received_at: datetime, marks: list[str]
) -> tuple[bool, Moment | None]:
    """PID-30 and PID-29, recorded as told; a date alone indicates a death unless PID-30 denies."""
    said, dated = pid.text(30, 1).strip().upper(), bool(pid.text(29, 1).strip())
    if not said and not dated:
        return False, None
    died_at = read_moment(pid, 29, feed.timezone, marks)
    if died_at and died_at.utc > received_at + CLOCK_AHEAD:
        died_at = None
        marks.append("death-time-implausible")
    if dated and said and said not in YES:
        marks.append("death-contradicted")
    return (said in YES) if said else dated, died_at


def _times(
    msh: Segment, evn: Segment, feed: Feed, received_at: datetime, marks: list[str]
) -> tuple[Moment | None, Moment | None, Moment | None]:
    """When it was recorded, occurred and was sent; None (marked) for what cannot be."""
    recorded = read_moment(evn, 2, feed.timezone, marks)
    occurred = read_moment(evn, 6, feed.timezone, marks)
    sent = read_moment(msh, 7, feed.timezone, marks)
    return plausible(
        recorded=recorded, occurred=occurred, sent=sent, received_at=received_at, marks=marks
    )


def _sequence(msh: Segment, marks: list[str]) -> int | None:
    text = msh.text(13, 1).strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    marks.append("sequence-invalid")
    return None


def _day(pv1: Segment, received_at: datetime, moments: tuple[Moment | None, ...]) -> str:
    """Without a visit number a visit is the patient's day: of admission, else of the event, else
    of receipt (or all such visits of a patient would be one).
    """
    admitted = pv1.text(44, 1).strip()[:8]
    if admitted:
        return admitted
    return next(
        (when.utc.date().isoformat() for when in moments if when is not None),
        received_at.date().isoformat(),
    )


def _all_marks(marks: list[str], message: Message) -> tuple[str, ...]:
    if not message.marks and not message.controls:
        return tuple(marks)
    return (
        *marks,
        *(f"{mark}:{place}" for place, mark in _sorted(message.marks)),
        *(f"control-characters:{place}" for place in sorted(message.controls)),
    )


def _sorted(marks: dict[str, Mark]) -> list[tuple[str, Mark]]:
    return sorted(marks.items())
