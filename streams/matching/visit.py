"""A visit folds its events, whatever their order of arrival (correctness rule 12).

Two orders, never by offset:

- *existence* (is there an arrival, was it cancelled, has the person left, whom is it about) by
  (recorded, message time, sequence, rank of the kind, event id);
- *values* (department, reason, …) by (occurred, then the same).

A time that the sender left out falls back: recorded → message → received; message → received;
occurred → recorded → message → received. A missing sequence comes first.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from schemas.events import AttendanceVerified, IdentityStatus, Moment, VisitDetail, VisitEventKind
from stores.visits import Visit, VisitEvent

LATE = timedelta(hours=24)
"""An arrival older than this when it is received alerts as late."""

Order = tuple[datetime, datetime, int, int, uuid.UUID]

# Within one minute and one message time: what opens a visit, what fills it, what ends it
_RANK = {
    VisitEventKind.REGISTER: 0,
    VisitEventKind.ADMIT: 1,
    VisitEventKind.UPDATE: 2,
    VisitEventKind.UNKNOWN: 2,
    VisitEventKind.NOT_USED: 2,
    VisitEventKind.DISCHARGE: 3,
    VisitEventKind.CANCEL_DISCHARGE: 4,
    VisitEventKind.CANCEL: 5,
}
_OPENING = frozenset({VisitEventKind.REGISTER, VisitEventKind.ADMIT})


def highest_revisions(events: Iterable[VisitEvent]) -> list[VisitEvent]:
    """One entry for each reported event: its highest revision."""
    best: dict[uuid.UUID, VisitEvent] = {}
    for one in events:
        held = best.get(one.reported_event_id)
        if held is None or _revision(one) > _revision(held):
            best[one.reported_event_id] = one
    return list(best.values())


def fold(events: Iterable[VisitEvent]) -> Visit:
    """The visit that `events` (at least one, all of one visit) make.

    A retracted event says nothing of who the visit is about, but what happened still happened:
    its arrival, its cancellation and its values count.
    """
    ordered = sorted(highest_revisions(events), key=existence)
    arrivals, cancelled, departed = _exist(ordered)
    person, provisional, restricted, also = _named(ordered)
    detail = _values(ordered)
    live = bool(arrivals)
    if live:
        state = "departed" if departed else "present"
    else:
        state = "cancelled" if cancelled else "none"
    last = ordered[-1]
    return Visit(
        visit_id=last.visit_id,
        source_patient=last.source_patient,
        person=person,
        hospital=last.event.organisation,
        live=live,
        state=state,
        arrived=min((_occurred(one) for one in arrivals), key=lambda at: at.utc, default=None),
        received_at=min(one.received_at for one in (arrivals or ordered)),
        late=live and all(one.received_at - _occurred(one).utc > LATE for one in arrivals),
        fresh=live and any(_fresh(one) for one in arrivals),
        provisional=provisional,
        restricted=restricted,
        department=detail.department,
        site_ods=detail.site_ods,
        admission_method=detail.admission_method,
        mode_of_arrival=detail.mode_of_arrival,
        reason=detail.reason,
        also=also,
        also_restricted=any(
            one.event.identity.restricted
            for one in ordered
            if not one.retracted and one.person == also
        ),
    )


def _exist(ordered: Sequence[VisitEvent]) -> tuple[list[VisitEvent], bool, bool]:
    """(arrivals not cancelled, whether the last word is a cancel, whether the person left)."""
    arrivals: list[VisitEvent] = []
    cancelled = departed = False
    for one in ordered:
        event = one.event
        if event.arrival:
            if cancelled:  # recorded after the cancel: it revives, as a visit begun anew
                cancelled = False
            arrivals.append(one)
        if event.kind is VisitEventKind.CANCEL:
            arrivals, cancelled, departed = [], True, False
        elif event.kind is VisitEventKind.DISCHARGE:
            departed = True
        elif event.kind is VisitEventKind.CANCEL_DISCHARGE or event.kind in _OPENING:
            departed = False
    return arrivals, cancelled, departed


def _named(
    ordered: Sequence[VisitEvent],
) -> tuple[str | None, bool, bool, str | None]:
    """(person, whether only provisionally, whether restricted, whom the fold names besides).

    The latest verified assertion names the person, without one the latest of all. What is not
    verified never displaces what is: a later provisional assertion names its person besides, until
    the trace answers.
    """
    asserted = [one for one in ordered if not one.retracted]
    if not asserted:
        return None, True, any(one.event.identity.restricted for one in ordered), None
    verified = [one for one in asserted if one.event.identity.status is IdentityStatus.VERIFIED]
    person = (verified or asserted)[-1].person
    also = asserted[-1].person if asserted[-1].person != person else None
    same = [one.event.identity for one in asserted if one.person == person]
    return person, not verified, any(identity.restricted for identity in same), also


def _values(ordered: Sequence[VisitEvent]) -> VisitDetail:
    """Each value as last stated; an event without it leaves it. A cancel states nothing."""
    stating = [one for one in ordered if one.event.kind is not VisitEventKind.CANCEL]
    values: dict[str, str] = {}
    for one in sorted(stating, key=lambda one: (_occurred(one).utc, *existence(one))):
        for name in ("department", "site_ods", "admission_method", "mode_of_arrival", "reason"):
            value = getattr(one.event.detail, name)
            if value is not None:
                values[name] = value
    return VisitDetail(
        department=values.get("department"),
        site_ods=values.get("site_ods"),
        admission_method=values.get("admission_method"),
        mode_of_arrival=values.get("mode_of_arrival"),
        reason=values.get("reason"),
    )


def existence(one: VisitEvent) -> Order:
    """Where `one` stands in the order of what was recorded."""
    event = one.event
    message = _message(event)
    return (
        event.recorded_at.utc if event.recorded_at else message,
        message,
        -1 if event.sequence is None else event.sequence,
        _RANK[event.kind],
        one.reported_event_id,
    )


def _fresh(one: VisitEvent) -> bool:
    """Whether it reached us within 24 h of being recorded, whatever time it says it occurred."""
    return one.received_at - existence(one)[0] <= LATE


def _message(event: AttendanceVerified) -> datetime:
    return event.message_at.utc if event.message_at else event.received_at


def _occurred(one: VisitEvent) -> Moment:
    event = one.event
    stated = event.occurred_at or event.recorded_at or event.message_at
    return stated or Moment(event.received_at)


def _revision(one: VisitEvent) -> tuple[int, uuid.UUID]:
    return one.revision, one.event.event_id
