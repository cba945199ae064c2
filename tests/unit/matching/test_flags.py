"""Flags fold by (file sequence, line), with tombstones, and stand by the day (rule 14)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import PlanType
from stores.flags import UNKNOWN_START, FlagEvent
from streams.matching.flags import (
    Standing,
    day,
    earliest_day,
    eighteenth_birthday,
    fold,
    last_day,
    latest_day,
    standing,
)
from tests.support.matching import LEEDS, NOON, flag, record

JAN, FEB, MARCH = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 5)


def test_c14_a_create_redriven_after_its_delete_stays_deleted() -> None:
    """Create in the dead letters, delete processed, create redriven: the flag stays away."""
    create, delete = record(1, start=JAN), record(2, start=JAN, delete=FEB)
    assert fold([delete]) == []
    assert fold([delete, create]) == []
    assert fold([create, delete]) == []


def test_a_delete_without_start_removes_every_earlier_period() -> None:
    """Earlier periods go, one stated later in the order stays, whatever came first."""
    events = [
        record(3, start=MARCH),
        record(2, delete=FEB),
        record(1, 1, start=JAN),
        record(1, 2, start=FEB, end=FEB),
    ]
    assert [one.start for one in fold(events)] == [MARCH]


def test_an_end_without_start_ends_the_open_periods() -> None:
    """The open period gets the end; an ended one keeps its own, a later one is untouched."""
    events = [
        record(1, 1, start=date(2025, 1, 1), end=date(2025, 6, 1)),
        record(1, 2, start=JAN),
        record(2, end=FEB),
        record(3, start=MARCH),
    ]
    assert [(one.start, one.end) for one in fold(events)] == [
        (date(2025, 1, 1), date(2025, 6, 1)),
        (JAN, FEB),
        (MARCH, None),
    ]


def test_the_last_line_of_a_file_wins() -> None:
    """Order is (sequence, line) as numbers: line 10 is after line 9."""
    flags = fold([record(1, 10, start=JAN, end=MARCH), record(1, 9, start=JAN, end=FEB)])
    assert [one.end for one in flags] == [MARCH]


def test_plans_types_and_authorities_are_apart() -> None:
    """A delete touches the plan of its own authority and type alone."""
    events = [
        record(1, 1, start=JAN),
        record(1, 2, PlanType.LAC, start=JAN),
        record(1, 3, authority=LEEDS, start=JAN),
        record(2, 1, delete=FEB),
    ]
    assert [(one.authority, one.plan_type) for one in fold(events)] == [
        (record().authority, PlanType.LAC),
        (LEEDS, PlanType.CPP),
    ]


def test_a_retracted_record_says_nothing_and_the_higher_revision_holds() -> None:
    """The retraction takes the flag away, even when its assertion is seen afterwards."""
    first = record(1, start=JAN)
    retracted = record(1, start=JAN, revision=2, retracted=True)
    assert fold([retracted, first]) == []


def test_a_record_without_any_date_is_held_as_of_unknown_start() -> None:
    """Never dropped: it counts as active."""
    (held,) = fold([record(1)])
    assert held.start == UNKNOWN_START
    assert standing(held, day(NOON)) is Standing.ACTIVE


def test_active_since_is_kept_over_updates_and_renewed_after_a_break() -> None:
    """The time is that of the record which began the unbroken run of activity."""
    first = record(1, start=JAN)
    update = record(2, start=JAN, phone_office="1")
    assert fold([update, first])[0].active_since == first.received_at
    ended = record(2, start=JAN, end=JAN)
    again = record(3, start=JAN)
    assert fold([first, ended, again])[0].active_since == again.received_at
    deleted = record(2, start=JAN, delete=FEB)
    assert fold([first, deleted, again])[0].active_since == again.received_at


def test_first_and_last_day_count_and_a_year_of_showing() -> None:
    """Active from start to end inclusive; shown as ended for 365 days; then no more."""
    held = flag(start=JAN, end=FEB)
    assert standing(held, JAN - timedelta(days=1)) is Standing.OUT
    assert standing(held, JAN) is Standing.ACTIVE
    assert standing(held, FEB) is Standing.ACTIVE
    assert standing(held, FEB + timedelta(days=1)) is Standing.ENDED
    assert standing(held, FEB + timedelta(days=365)) is Standing.ENDED
    assert standing(held, FEB + timedelta(days=366)) is Standing.OUT


def test_days_are_london_days() -> None:
    """23:30 UTC in summer is the next day in London, in winter the same."""
    assert day(datetime(2026, 7, 1, 23, 30, tzinfo=UTC)) == date(2026, 7, 2)
    assert day(datetime(2026, 1, 1, 23, 30, tzinfo=UTC)) == date(2026, 1, 1)


@pytest.mark.parametrize("plan", [PlanType.CPP, PlanType.LAC])
def test_a_childs_plan_ends_the_day_before_the_eighteenth_birthday(plan: PlanType) -> None:
    """Active at 17, ended on the birthday."""
    held = flag(plan, birth_date="2008-03-10")
    assert standing(held, date(2026, 3, 9)) is Standing.ACTIVE
    assert standing(held, date(2026, 3, 10)) is Standing.ENDED


@pytest.mark.parametrize("plan", [PlanType.UCPP, PlanType.UNKNOWN])
def test_an_unborn_or_unknown_plan_never_ends_by_age(plan: PlanType) -> None:
    """The mother is an adult; a type that is not known yet needs a person."""
    assert standing(flag(plan, birth_date="1990-01-01"), day(NOON)) is Standing.ACTIVE
    assert last_day(flag(plan, birth_date="1990-01-01")) is None


@pytest.mark.parametrize(
    ("born", "adult"),
    [
        ("2008-03-10", date(2026, 3, 10)),
        ("2008-02-29", date(2026, 3, 1)),
        ("2008-06", date(2026, 6, 30)),
        ("2008-02", date(2026, 3, 1)),
        ("2008", date(2026, 12, 31)),
        (None, None),
        ("", None),
        ("not a date", None),
        ("2008-13", None),
        ("2008-02-30", None),
    ],
)
def test_partial_and_leap_birth_dates_never_end_a_plan_early(
    born: str | None, adult: date | None
) -> None:
    """The latest day it may be; 29 February comes of age on 1 March."""
    assert eighteenth_birthday(born) == adult


def test_partial_dates_have_a_first_and_a_last_day() -> None:
    """A partial start begins as early, a partial end as late as it may mean."""
    assert earliest_day("2024-02") == date(2024, 2, 1)
    assert latest_day("2024-02") == date(2024, 2, 29)
    assert earliest_day("2024") == date(2024, 1, 1)


RECORDS = st.builds(
    lambda sequence, line, start, end, delete, plan, revision, retracted: record(
        sequence,
        line,
        plan,
        start=start,
        end=end,
        delete=delete,
        revision=revision,
        retracted=retracted,
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([None, JAN, FEB]),
    st.sampled_from([None, FEB, MARCH]),
    st.sampled_from([None, None, MARCH]),
    st.sampled_from([PlanType.CPP, PlanType.LAC]),
    st.integers(1, 2),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_permutation_and_repetition_folds_the_same(data: st.DataObject) -> None:
    """Any order of arrival, with repeats, gives the same plans."""
    drawn: list[FlagEvent] = data.draw(st.lists(RECORDS, min_size=1, max_size=8))
    events = list({(one.reported_event_id, one.revision): one for one in drawn}.values())
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=3))
    shuffled = data.draw(st.permutations([*events, *repeats]))
    assert fold(shuffled) == fold(events)
