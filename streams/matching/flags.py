"""Flags fold like visits: by (authority, person, plan; file sequence, line) (rule 14).

The last record in that order wins, whatever the order of arrival, so that a record redriven later
than its delete stays deleted. Dates are compared as days in Europe/London.
"""

from __future__ import annotations

import calendar
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from halyard.errors import ContractError
from schemas.events import Assertion, FlagVerified, PlanType
from stores.flags import UNKNOWN_START, Flag, FlagEvent

LONDON = ZoneInfo("Europe/London")
SHOWN_AFTER_END = timedelta(days=365)
ADULT_YEARS = 18

Plan = tuple[str, str, PlanType]


class Standing(Enum):
    """How a plan stands on a day."""

    ACTIVE = "active"
    ENDED = "ended"  # within 365 days: shown, not alerted
    OUT = "out"  # not begun, or ended longer ago: not shown


def day(at: datetime) -> date:
    """The day of `at` in Europe/London."""
    return at.astimezone(LONDON).date()


def event_of(event: FlagVerified) -> FlagEvent:
    """A verified record as matching keeps it. Raises `ContractError`: a date that is none."""
    record, identity = event.record, event.identity
    return FlagEvent(
        reported_event_id=event.reported_event_id,
        revision=event.revision,
        retracted=event.assertion is Assertion.RETRACTED,
        authority=event.authority,
        person=identity.person,
        plan_type=record.plan_type,
        start=_date(record.start, "start", latest=False),
        end=_date(record.end, "end", latest=True),
        delete=_date(record.delete, "delete", latest=False),
        sequence=event.sequence,
        line=event.line,
        received_at=event.received_at,
        restricted=identity.restricted,
        nhs_number=identity.nhs_number,
        birth_date=identity.birth_date,
        local_id=record.local_id,
        phone_office=record.phone_office,
        phone_emergency=record.phone_emergency,
    )


def highest_revisions(events: Iterable[FlagEvent]) -> list[FlagEvent]:
    """One entry for each reported record: its highest revision."""
    best: dict[uuid.UUID, FlagEvent] = {}
    for one in events:
        held = best.get(one.reported_event_id)
        if held is None or one.revision > held.revision:
            best[one.reported_event_id] = one
    return list(best.values())


def fold(events: Iterable[FlagEvent]) -> list[Flag]:
    """The plans that `events` make, of any persons, sorted.

    A delete removes its period, or without a start every earlier period of that plan; an end
    without a start ends the periods that are open. A record without any date is a plan with an
    unknown start, never dropped.
    """
    plans: dict[Plan, list[FlagEvent]] = defaultdict(list)
    for one in highest_revisions(events):
        if not one.retracted:
            plans[(one.authority, one.person, one.plan_type)].append(one)
    flags: list[Flag] = []
    for records in plans.values():
        flags.extend(_periods(records).values())
    return sorted(flags, key=lambda flag: (flag.person, flag.authority, flag.plan_type, flag.start))


def _periods(records: list[FlagEvent]) -> dict[date, Flag]:
    periods: dict[date, Flag] = {}
    for one in sorted(records, key=lambda one: (one.sequence, one.line, one.reported_event_id)):
        if one.delete is not None:
            if one.start is None:
                periods.clear()
            else:
                periods.pop(one.start, None)
        elif one.start is None and one.end is not None:
            for start, held in periods.items():
                if held.end is None and start <= one.end:
                    periods[start] = replace(
                        held, end=one.end, sequence=one.sequence, line=one.line
                    )
        else:
            start = one.start or UNKNOWN_START
            periods[start] = _stated(one, start, periods.get(start))
    return periods


def _stated(one: FlagEvent, start: date, held: Flag | None) -> Flag:
    """The period as `one` states it; it keeps the time since when it is active without a break."""
    since = one.received_at
    if held is not None and (held.end is None or held.end >= day(one.received_at)):
        since = held.active_since
    return Flag(
        authority=one.authority,
        person=one.person,
        plan_type=one.plan_type,
        start=start,
        end=one.end,
        sequence=one.sequence,
        line=one.line,
        active_since=since,
        restricted=one.restricted,
        nhs_number=one.nhs_number,
        birth_date=one.birth_date,
        local_id=one.local_id,
        phone_office=one.phone_office,
        phone_emergency=one.phone_emergency,
    )


def standing(flag: Flag, on: date) -> Standing:
    """How `flag` stands on the day `on`; first and last day count as active."""
    if flag.start > on:
        return Standing.OUT
    end = last_day(flag)
    if end is None or end >= on:
        return Standing.ACTIVE
    return Standing.ENDED if on - end <= SHOWN_AFTER_END else Standing.OUT


def last_day(flag: Flag) -> date | None:
    """The last day of the plan: its end, or for a child's plan the day before the 18th birthday,
    whichever comes first. An unborn plan is the mother's and never ends by age, and a plan of an
    unknown type may be one.
    """
    if flag.plan_type not in (PlanType.CPP, PlanType.LAC):
        return flag.end
    birthday = eighteenth_birthday(flag.birth_date)
    if birthday is None:
        return flag.end
    child_until = birthday - timedelta(days=1)
    return child_until if flag.end is None else min(flag.end, child_until)


def eighteenth_birthday(birth_date: str | None) -> date | None:
    """The day a person born on `birth_date` (ISO, may be partial) is 18; None if not known.

    A partial date gives the latest day it may mean, and 29 February comes of age on 1 March of a
    common year: a plan never ends early.
    """
    born = latest_day(birth_date)
    if born is None:
        return None
    year = born.year + ADULT_YEARS
    if (born.month, born.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 3, 1)
    return born.replace(year=year)


def latest_day(text: str | None) -> date | None:
    """The last day that ISO `text` (``2019``, ``2019-06``, ``2019-06-30``) may mean, if any."""
    return _day_of(text, latest=True)


def earliest_day(text: str | None) -> date | None:
    """The first day that ISO `text` may mean, if any."""
    return _day_of(text, latest=False)


def _day_of(text: str | None, *, latest: bool) -> date | None:
    parts = (text or "").split("-")
    try:
        numbers = [int(part) for part in parts]
        if len(numbers) == 1:
            return date(numbers[0], 12, 31) if latest else date(numbers[0], 1, 1)
        if len(numbers) == 2:
            last = calendar.monthrange(numbers[0], numbers[1])[1]
            return date(numbers[0], numbers[1], last if latest else 1)
        return date(*numbers) if len(numbers) == 3 else None
    except (ValueError, calendar.IllegalMonthError):
        return None


def _date(text: str | None, name: str, *, latest: bool) -> date | None:
    if not text:
        return None
    found = latest_day(text) if latest else earliest_day(text)
    if found is None:
        raise ContractError(
            f"The {name} of a verified flag is not an ISO date; inspect its upload."
        )
    return found
