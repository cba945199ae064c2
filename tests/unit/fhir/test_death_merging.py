"""Patient and form of one message: what belongs together comes from one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.deaths import bundles
from tests.support.deaths import CHILD
from tests.unit.fhir.death_reading import notified, value

DAY_AND_TIME = [
    # Patient, form's day, form's time -> day, time
    ("2026-02-28T23:50:00+00:00", "2026-03-01", None, "2026-03-01", None),
    ("2026-03-01T23:50:00+00:00", "2026-03-01", None, "2026-03-01", "23:50"),
    ("2026-02-28T23:50:00+00:00", None, "00:10", "2026-02-28", "23:50"),
    ("2026-02-28T23:50:00+00:00", "2026-03-01", "00:10", "2026-03-01", "00:10"),
    ("2026-03-01", None, "00:10", "2026-03-01", "00:10"),
    ("2026-06-30T23:30:00Z", None, None, "2026-07-01", "00:30"),
    ("2026-07-01T01:30:00+02:00", None, None, "2026-07-01", "00:30"),
    ("2026-02-28T23:30:00Z", None, None, "2026-02-28", "23:30"),
]


@pytest.mark.parametrize(("patient", "day", "hour", "died", "at"), DAY_AND_TIME)
def test_a_time_of_death_goes_with_its_own_day(
    patient: str, day: str | None, hour: str | None, died: str, at: str | None
) -> None:
    """Never the one's time on the other's day; of a time with a zone as the clock in England."""
    answers = {"death.expected": True, "death.date": day, "death.time": hour}
    child = replace(CHILD, died=patient)
    told = {name: one for name, one in answers.items() if one is not None}
    found = notified(bundles.notification(reference="N", child=child, answers=told))
    assert (value(found, "death.date"), value(found, "death.time")) == (died, at)


@pytest.mark.parametrize(
    ("patient", "form_of", "home", "other"),
    [
        (("1 A", "ZZ1 1AA"), ("2 B", "ZZ2 2BB"), ("1 A", "ZZ1 1AA"), ("2 B", "ZZ2 2BB")),
        (("1 A", "ZZ1 1AA"), ("2 B", None), ("1 A", "ZZ1 1AA"), ("2 B", None)),
        (("1 A", "ZZ1 1AA"), ("One, A", "zz11aa"), ("1 A", "ZZ1 1AA"), (None, None)),
        ((None, "ZZ1 1AA"), ("1 A", "ZZ1 1AA"), ("1 A", "ZZ1 1AA"), (None, None)),
        ((None, "ZZ1 1AA"), ("2 B", "ZZ2 2BB"), (None, "ZZ1 1AA"), ("2 B", "ZZ2 2BB")),
        ((None, None), ("2 B", "ZZ2 2BB"), ("2 B", "ZZ2 2BB"), (None, None)),
        (("1 A", None), (None, "ZZ1 1AA"), ("1 A", "ZZ1 1AA"), (None, None)),
    ],
)
def test_an_address_goes_with_its_own_postcode(
    patient: tuple[str | None, str | None],
    form_of: tuple[str | None, str | None],
    home: tuple[str | None, str | None],
    other: tuple[str | None, str | None],
) -> None:
    """The form's other home is the alternative one; a postcode is never the other address's."""
    child = replace(CHILD, address=patient[0], postcode=patient[1])
    names = ("child.address", "child.postcode")
    told = {name: one for name, one in zip(names, form_of, strict=True) if one}
    found = notified(bundles.notification(reference="N", child=child, answers=dict(told)))
    assert tuple(value(found, name) for name in names) == home
    assert (
        value(found, "child.alternative-address"),
        value(found, "child.alternative-postcode"),
    ) == other
    assert any(mark.startswith("form-differs:child.") for mark in found.marks) is bool(any(other))
