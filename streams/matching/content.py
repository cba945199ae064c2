"""What an alert says: one episode, one person, one authority, as facts stand (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from schemas.events import AlertContent, AlertFlag, PlanType
from stores.directory import Directory
from stores.flags import UNKNOWN_START, Flag
from stores.visits import Visit
from streams.matching.episodes import Arrival, Episode
from streams.matching.flags import Standing, day, last_day, standing

FLAG_WINDOW = timedelta(hours=24)
"""A flag received up to this long after an arrival was received still alerts for it."""
EARLIER = timedelta(days=365)


def alert_flags(flags: Iterable[Flag], episode: Episode) -> tuple[AlertFlag, ...]:
    """One authority's `flags` as an alert on `episode` shows them, active and ended.

    A function of the facts alone, never of the present: a plan that ends next month, or is made
    next week, leaves a past alert as it is.
    """
    shown = []
    for flag in flags:
        standings = {standing_at(flag, arrival) for arrival in episode.arrivals}
        if standings == {Standing.OUT}:
            continue
        active = Standing.ACTIVE in standings
        shown.append(_shown(flag, active=active))
    return tuple(sorted(shown, key=_place))


def flags_on(flags: Iterable[Flag], on: date) -> tuple[AlertFlag, ...]:
    """One authority's `flags` as a withdrawal on the day `on` shows them: as they are then."""
    standings = [(flag, standing(flag, on)) for flag in flags]
    shown = [
        _shown(flag, active=stands is Standing.ACTIVE)
        for flag, stands in standings
        if stands is not Standing.OUT
    ]
    return tuple(sorted(shown, key=_place))


def _shown(flag: Flag, *, active: bool) -> AlertFlag:
    # the last day by age is shown only once it has come: it would tell the birth date
    end = flag.end if active else last_day(flag)
    return AlertFlag(
        plan_type=flag.plan_type,
        start=None if flag.start == UNKNOWN_START else flag.start.isoformat(),
        end=None if end is None else end.isoformat(),
        active=active,
        local_id=flag.local_id,
    )


def _place(shown: AlertFlag) -> tuple[PlanType, str]:
    return shown.plan_type, shown.start or ""


def standing_at(flag: Flag, arrival: Arrival) -> Standing:
    """How `flag` stands at `arrival`: active on its day, on the day on which we heard of it (of one
    recorded within 24 h before: the time of arrival that was typed may be wrong), or, for a flag
    that came later, on the day it came; else as on the day of the arrival.
    """
    received = arrival.visit.received_at
    if flag.active_since - received > FLAG_WINDOW:
        return Standing.OUT
    days: list[date] = [day(arrival.at.utc)]
    if arrival.visit.fresh:
        days.append(day(received))
    if flag.active_since > received:
        days.append(day(flag.active_since))
    standings = [standing(flag, one) for one in days]
    return Standing.ACTIVE if Standing.ACTIVE in standings else standings[0]


def alert_content(
    episode: Episode,
    nhs_number: str,
    flags: tuple[AlertFlag, ...],
    visits: Sequence[Visit],
    directory: Directory,
    *,
    restricted: bool,
) -> AlertContent:
    """The content for `episode`: its latest arrival's, with gaps filled from those before it;
    `visits` are all the person's, for the count of earlier attendances.
    """
    latest = episode.leading
    hospital = directory.hospitals.get(latest.visit.hospital)
    department = _last(episode, "department")
    content = AlertContent(
        nhs_number=nhs_number,
        flags=flags,
        arrived_at=latest.at,
        visit_state=latest.visit.state,
        hospital=latest.visit.hospital,
        hospital_name=directory.name_of(latest.visit.hospital),
        department=hospital.departments.get(department, department)
        if hospital and department
        else department,
        site_ods=_last(episode, "site_ods"),
        mode_of_arrival=_last(episode, "mode_of_arrival"),
        reason=_last(episode, "reason"),
        admission_method=_last(episode, "admission_method"),
        earlier_attendances=_earlier(episode, visits),
        callback_name=hospital.callback_name if hospital else None,
        callback_phone=hospital.callback_phone if hospital else None,
        acuity=_last(episode, "acuity"),
        departed_at=latest.visit.departed,
        discharge_destination=latest.visit.discharge_destination,
        birth=episode.birth,
        location_shielded=any(visit.location_shielded for visit in episode.visits),
    )
    if content.location_shielded:
        content = shielded(content)
    return redacted(content) if restricted else content


def shielded(content: AlertContent) -> AlertContent:
    """`content` of a visit whose hospital hides where the person is: neither department, site nor
    reason, nor how they came or where they went. The hospital's name and whom to ring there stay.
    """
    return replace(
        content,
        location_shielded=True,
        department=None,
        site_ods=None,
        mode_of_arrival=None,
        reason=None,
        admission_method=None,  # it tells of a maternity ward
        discharge_destination=None,
    )


def redacted(content: AlertContent) -> AlertContent:
    """`content` without anything that says where a restricted person is, or why: not even at which
    hospital. Whom to ring is told in the body to the registered contact alone.
    """
    return replace(
        content,
        hospital="",
        hospital_name="",
        callback_name=None,
        callback_phone=None,
        department=None,
        site_ods=None,
        mode_of_arrival=None,
        reason=None,
        admission_method=None,
        acuity=None,
        discharge_destination=None,
    )


def phones(
    flags: Iterable[Flag], directory: Directory, authority: str
) -> tuple[str | None, str | None]:
    """(office, emergency) phone of `authority`: its latest record's, else the directory's."""
    office = emergency = None
    for flag in sorted(flags, key=lambda one: (one.sequence, one.line)):
        office = flag.phone_office or office
        emergency = flag.phone_emergency or emergency
    known = directory.authorities.get(authority)
    if known is not None:
        office, emergency = office or known.phone_office, emergency or known.phone_emergency
    return office, emergency


def _by_weight(visits: Sequence[Visit]) -> list[Visit]:
    latest_first = visits[::-1]
    return sorted(latest_first, key=lambda one: one.birth)


def _last(episode: Episode, name: str) -> str | None:
    # a birth's values fill gaps only: the mother's own visits say where she is
    for visit in _by_weight(episode.visits):
        value: str | None = getattr(visit, name)
        if value is not None:
            return value
    return None


def _earlier(episode: Episode, visits: Sequence[Visit]) -> int:
    first = episode.arrivals[0].at.utc
    own = {visit.visit_id for visit in episode.visits}
    return sum(
        1
        for visit in visits
        if visit.arrived is not None
        and visit.visit_id not in own
        and not visit.provisional
        and not visit.birth
        and first - EARLIER <= visit.arrived.utc <= first
    )
