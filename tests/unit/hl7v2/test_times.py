"""HL7 times: zones, the hours that clocks skip and repeat, partial and wrong dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.times import iso_date, moment
from schemas.events import Moment

LONDON = "Europe/London"


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260314214233", Moment(_utc(2026, 3, 14, 21, 42, 33), 0)),
        ("202607142142", Moment(_utc(2026, 7, 14, 20, 42), 60)),
        ("2026071421", Moment(_utc(2026, 7, 14, 20), 60)),
        ("20260314", Moment(_utc(2026, 3, 14), 0)),
        ("20260314214233.25", Moment(_utc(2026, 3, 14, 21, 42, 33, 250_000), 0)),
        ("20260714214233+0000", Moment(_utc(2026, 7, 14, 21, 42, 33), 0)),
        ("202607142142-0530", Moment(_utc(2026, 7, 15, 3, 12), -330)),
        # the first of the two is taken, and it is said
        ("20261025013000", Moment(_utc(2026, 10, 25, 0, 30), 60, repeated_hour=True)),
        ("20261025020000", Moment(_utc(2026, 10, 25, 2), 0)),
        ("20261025013000+0000", Moment(_utc(2026, 10, 25, 1, 30), 0)),
        # the hour that March skips, read as if the clock had not moved
        ("20260329013000", Moment(_utc(2026, 3, 29, 1, 30), 0)),
    ],
)
def test_local_times_become_utc_with_their_offset(text: str, expected: Moment) -> None:
    """Without a zone it is London's; the repeated hour of October is marked."""
    assert moment(text, LONDON) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "202603",
        "20261314",
        "20260230",
        "2026031425",
        "202603142160",
        "today",
        "２０２６０３１４",
    ],
)
def test_what_names_no_moment_is_none(text: str) -> None:
    """Too coarse, impossible, not ASCII digits: no moment, and no error."""
    assert moment(text, LONDON) is None


@given(st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)), st.integers(-840, 840))  # noqa: DTZ001
def test_a_time_with_an_offset_comes_back(when: datetime, offset: int) -> None:
    """Any time with a zone is that moment."""
    when = when.replace(microsecond=0)
    hours, minutes = divmod(abs(offset), 60)
    text = f"{when:%Y%m%d%H%M%S}{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"
    found = moment(text, LONDON)
    assert found is not None
    assert found.utc == when.replace(tzinfo=UTC) - timedelta(minutes=offset)
    assert found.offset_minutes == offset


@given(st.text(max_size=20))
def test_no_text_raises(text: str) -> None:
    """Any text gives a value or None."""
    moment(text, LONDON)
    iso_date(text)


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)))
def test_dates_come_back(when: date) -> None:
    """A whole date, with or without a time behind it."""
    assert iso_date(f"{when:%Y%m%d}") == when.isoformat()
    assert iso_date(f"{when:%Y%m%d}1515") == when.isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019", "2019"),
        ("201906", "2019-06"),
        ("20190602", "2019-06-02"),
        ("196513121515", None),  # month 13
        ("20190230", None),
        ("00010101", None),
        ("02/06/2019", None),
        ("", None),
    ],
)
def test_partial_and_wrong_birth_dates(text: str, expected: str | None) -> None:
    """Partial dates are kept as such; a month 13 is no date."""
    assert iso_date(text) == expected
