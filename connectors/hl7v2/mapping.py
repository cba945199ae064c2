"""From a message and its feed to `AttendanceReported`.

Pure: the same bytes, feed and keys give the same event (but for `received_at`, and for times that
only it shows to be implausible). Refused is only what cannot be attributed (no PID); everything
else odd is taken with a mark, a rule's name that never quotes a value.

Profile: ITK HL7 v2.4 ADT (NPFIT-ELIBR-AREL-DST-0369).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from connectors.hl7v2.er7 import Er7Error, Mark, Message, Segment
from connectors.hl7v2.persons import bounded, person_claim
from connectors.hl7v2.times import moment
from halyard.ids import derive
from halyard.privacy import Keys
from schemas.events import AttendanceReported, Moment, VisitDetail, VisitEventKind
from stores.directory import Feed

KINDS: Final = {
    "A01": VisitEventKind.ADMIT,
    "A03": VisitEventKind.DISCHARGE,
    "A04": VisitEventKind.REGISTER,
    "A08": VisitEventKind.UPDATE,
    "A11": VisitEventKind.CANCEL,
    "A13": VisitEventKind.CANCEL_DISCHARGE,
}
"""Triggers that change a visit; all others are stored as `NOT_USED`."""

_MAX_FREE_TEXT: Final = 2_000

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # before it: a reset clock, or a birth date
_OCCURRED_AHEAD: Final = timedelta(hours=1)  # after receipt
_OCCURRED_BEHIND: Final = timedelta(days=366)  # before it was recorded, else sent, else received
# A clock that is hours ahead still tells the order of what it recorded
_CLOCK_AHEAD: Final = timedelta(days=1)

ARRIVAL_METHODS: Final = frozenset(
    {"21", "22", "23", "24", "25", "28", "2A", "2B", "2C", "2D", "31", "32"}
)
"""Admission methods that are an emergency or maternity arrival (NHS Data Dictionary)."""


def to_attendance(
    message: Message, *, feed: Feed, keys: Keys, received_at: datetime
) -> AttendanceReported:
    """The event that `message` reports. Raises `Er7Error` (rule ``no-pid``)."""
    pid = message.segment("PID")
    if not pid:
        raise Er7Error(
            "No PID segment; send the patient the message is about.", place="PID", rule="no-pid"
        )
    message.fallback = feed.fallback_charset
    marks: list[str] = []
    msh, evn = message.segment("MSH"), message.segment("EVN")
    pv1, pv2 = message.segment("PV1"), message.segment("PV2")
    trigger, kind = _trigger(msh, evn, marks)
    claim, local_key = person_claim(message, pid, marks)
    recorded_at, occurred_at, message_at = _times(msh, evn, feed, received_at, marks)
    detail = _detail(pv1, pv2, feed, marks)
    arrival, arrival_rule = is_arrival(kind, detail)
    message_id = msh.text(10)
    if not message_id:
        marks.append("control-id-missing")
    digest = keys.digest(message.data)
    visit = _visit(pv1)
    # who names nobody at all stands alone, or all such events would share one key
    names = (local_key, visit or (None if claim.nhs_number else digest), claim.nhs_number)
    source_patient = keys.source_patient(feed.source, *names)
    if visit is None and kind is not VisitEventKind.NOT_USED:
        marks.append("visit-number-missing")
    return AttendanceReported(
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
            else derive(
                "visit-by-day",
                source_patient,
                _day(pv1, received_at, (occurred_at, recorded_at, message_at)),
            )
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
    )


def is_arrival(kind: VisitEventKind, detail: VisitDetail) -> tuple[bool, str]:
    """The default arrival rule, and which part of it decided.

    A registration or admission of class E; an admission with an emergency or maternity method, so
    that maternity and direct-admission wards count.
    """
    if kind in (VisitEventKind.REGISTER, VisitEventKind.ADMIT) and detail.patient_class == "E":
        return True, "default.emergency-class"
    if kind is VisitEventKind.ADMIT and detail.admission_method in ARRIVAL_METHODS:
        return True, "default.admission-method"
    return False, "default.no-arrival"


def _trigger(msh: Segment, evn: Segment, marks: list[str]) -> tuple[str, VisitEventKind]:
    """The trigger and what it does.

    Read with the mark ``message-type-odd``: small letters, ``ADT_A04`` in one component, and a
    type that is missing where the trigger is one of ours.
    """
    said = msh.text(9, 1).strip(), msh.text(9, 2).strip()
    kind, trigger = (text.upper() for text in said)
    recorded = evn.text(1).strip().upper()
    odd = False
    if kind.startswith("ADT_"):
        kind, glued, odd = "ADT", kind.removeprefix("ADT_"), True
        trigger = trigger or recorded or glued
    if trigger.startswith("ADT_"):
        # EVN-1 first: this may be the structure, and an A08 has that of an A01
        trigger, odd = recorded or trigger.removeprefix("ADT_"), True
    if not trigger:
        trigger = recorded
        marks.append("trigger-missing")
    if not kind and trigger in KINDS:
        kind, odd = "ADT", True
    used = KINDS.get(trigger, VisitEventKind.NOT_USED) if kind == "ADT" else VisitEventKind.NOT_USED
    if used is VisitEventKind.NOT_USED:
        return said[1] or trigger, used
    if odd or said[0] != kind or said[1] not in (trigger, ""):
        marks.append("message-type-odd")
    return trigger, used


def _visit(pv1: Segment) -> str | None:
    """The visit number with its assigning authority; two sites may both count from 1."""
    number = pv1.text(19, 1).strip()
    if not number:
        return None
    authority = (pv1.text(19, 4, 1) or pv1.text(19, 4, 2)).strip().upper()
    return f"{authority}^{number}"


def _times(
    msh: Segment, evn: Segment, feed: Feed, received_at: datetime, marks: list[str]
) -> tuple[Moment | None, Moment | None, Moment | None]:
    """When it was recorded, occurred and was sent; None (marked) for what cannot be.

    Days late is usual, and a backlog of years is told as what it was.
    """
    recorded = _moment(evn, 2, feed, marks)
    occurred = _moment(evn, 6, feed, marks)
    sent = _moment(msh, 7, feed, marks)
    if recorded and not _EARLIEST <= recorded.utc <= received_at + _CLOCK_AHEAD:
        recorded = None
        marks.append("recorded-implausible")
    if sent and not _EARLIEST <= sent.utc <= received_at + _CLOCK_AHEAD:
        sent = None
        marks.append("message-time-implausible")
    if occurred:
        stated = recorded or sent
        earliest = max(_EARLIEST, (stated.utc if stated else received_at) - _OCCURRED_BEHIND)
        if not earliest <= occurred.utc <= received_at + _OCCURRED_AHEAD:
            occurred = None
            marks.append("occurred-implausible")
    return recorded, occurred, sent


def _moment(segment: Segment, number: int, feed: Feed, marks: list[str]) -> Moment | None:
    text = segment.text(number, 1).strip()
    if not text:
        return None
    found = moment(text, feed.timezone)
    if found is None:
        marks.append(f"time-invalid:{segment.name}-{number}")
    elif found.repeated_hour:
        marks.append(f"time-repeated-hour:{segment.name}-{number}")
    return found


def _detail(pv1: Segment, pv2: Segment, feed: Feed, marks: list[str]) -> VisitDetail:
    if not pv1:
        return VisitDetail()
    return VisitDetail(
        patient_class=bounded(pv1.text(2, 1).upper(), "PV1-2", marks, 20),
        admission_method=bounded(pv1.text(4, 1).upper(), "PV1-4", marks, 20),
        department=bounded(pv1.text(3, 1, 1) or pv1.text(3, 2, 1), "PV1-3", marks),
        site_ods=bounded(pv1.text(3, 4, 1), "PV1-3", marks, 20),
        mode_of_arrival=_coded(pv2, 38, marks),
        reason=_coded(pv2, 3, marks),
        discharged_at=_moment(pv1, 45, feed, marks),
    )


def _coded(segment: Segment, number: int, marks: list[str]) -> str | None:
    """A CE or IS: its text (CE.2), else its code."""
    text = segment.text(number, 2) or segment.text(number, 1)
    return bounded(text, f"{segment.name}-{number}", marks, _MAX_FREE_TEXT)


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
