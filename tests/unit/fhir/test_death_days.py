"""On which day somebody died: the day in England, whatever zone a sender writes in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.fhir.times import english_day, english_time
from tests.support.deaths import notification_bundle
from tests.unit.fhir.death_reading import event, notified, resource, value

SAID = [
    ("2019-03-31T23:30:00Z", "2019-04-01", "00:30"),
    ("2019-03-31T23:30:00+00:00", "2019-04-01", "00:30"),
    ("2019-03-30T23:30:00Z", "2019-03-30", "23:30"),  # winter
    ("2019-04-01T00:30:00+01:00", "2019-04-01", "00:30"),
    ("2019-04-01T00:30:00+02:00", "2019-03-31", "23:30"),
    ("2019-06-30T22:30:00-05:00", "2019-07-01", "04:30"),
    ("2019-03-31T23:30:00", "2019-03-31", "23:30"),  # no zone: England's
    ("2019-03-31", "2019-03-31", None),
    ("2019-03", "2019-03", None),
    ("2019", "2019", None),
    ("2019-02-30T10:00:00Z", None, None),
    ("long ago", None, None),
]


@pytest.mark.parametrize(("said", "day", "time"), SAID)
def test_a_moment_has_the_day_and_time_of_england(
    said: str, day: str | None, time: str | None
) -> None:
    """A date alone stays what it is."""
    assert (english_day(said), english_time(said)) == (day, time)


@pytest.mark.parametrize(("said", "day", "time"), SAID[:10])
def test_the_day_of_death_of_a_patient_is_englands(said: str, day: str, time: str | None) -> None:
    """Half an hour decides whether the death is one of those collected from 1 April 2019."""
    message = notification_bundle()
    resource(message, "QuestionnaireResponse")["item"] = []
    resource(message, "Patient")["deceasedDateTime"] = said
    found = notified(message)
    assert (value(found, "death.date"), value(found, "death.time")) == (day, time)
    assert found.died_at == day


def test_the_days_and_times_of_a_form_are_englands_and_birth_dates_as_written() -> None:
    """A dateTime is answered where a date is asked for."""
    message = notification_bundle()
    resource(message, "Patient").pop("deceasedDateTime", None)
    moment = "2019-03-31T23:30:00Z"
    resource(message, "QuestionnaireResponse")["item"] = [
        {"linkId": name, "answer": [{"valueDateTime": moment}]}
        for name in ("death.date", "death.time", "child.birth-date")
    ]
    resource(message, "Patient").pop("birthDate", None)
    found = notified(message)
    assert value(found, "death.date") == "2019-04-01"
    assert value(found, "death.time") == "00:30"
    assert value(found, "child.birth-date") == "2019-03-31"


def test_a_death_of_englands_today_is_not_after_its_receipt() -> None:
    """Half past midnight in summer, when in UTC it is still the day before."""
    message = notification_bundle(answers={"death.date": "2025-07-01"})
    found = event(message, datetime(2025, 6, 30, 23, 40, tzinfo=UTC))
    assert not [one for one in found.marks if "implausible" in one and "death.date" in one]
