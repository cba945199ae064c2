"""Which accesses a person looks at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from halyard.settings_audit import AuditSettings
from stores.audit_reviews import Hour
from stores.audit_seals import Unsealed
from streams.audit.reviewing import Look, reviews_of
from tests.support.audit import HOSPITAL, NOW, entry

SETTINGS = AuditSettings(sample_one_in=0)


def rules(
    settings: AuditSettings = SETTINGS, hour: Hour | None = None, number: int = 1, **members: Any
) -> list[str]:
    """Names of the rules that an entry falls under."""
    made = entry(number, **{"actor": "user:1", **members})
    taken = Unsealed(made.entry_id, made.recorded_at, made.chain, 1, made.body())
    return [one.rule for one in reviews_of(Look(taken, hour or Hour()), settings, NOW)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, []),
        ({"purpose": "break-glass"}, ["break-glass"]),
        ({"detail": (("restricted", "yes"),)}, ["restricted"]),
        ({"detail": (("person", "restricted"),)}, ["restricted"]),  # who was told of nobody
        ({"detail": (("restricted", "yes"),), "actor": "client:x"}, []),
        ({"kind": "disclosure", "purpose": "break-glass"}, []),
        ({"kind": "review"}, []),
        ({"decision": "deny", "kind": "refusal"}, []),
    ],
)
def test_an_entry_is_reviewed_for_what_it_says(
    members: dict[str, Any], expected: list[str]
) -> None:
    """Break-glass by anybody; a restricted child by a human being; nothing that is no look."""
    assert rules(**members) == expected


def test_what_an_actor_did_in_the_hour_counts_beyond_the_limit() -> None:
    """Limits are what is still usual; systems look at any number of children."""
    limits = AuditSettings(sample_one_in=0, children_an_hour=5, refusals_an_hour=2)
    assert rules(limits, Hour(children=5)) == []
    assert rules(limits, Hour(children=6)) == ["many-children"]
    assert rules(limits, Hour(children=600), actor="client:x") == []
    assert rules(limits, Hour(refusals=3)) == []  # this one was not refused
    assert rules(limits, Hour(refusals=3), decision="deny") == ["refused-often"]


def test_hours_are_those_of_the_organisation_by_english_clocks() -> None:
    """In summer 07:30 there is 06:30 UTC; who states no hours has none that are unusual."""
    hours = AuditSettings(sample_one_in=0, usual_hours={HOSPITAL: "07:00-19:00"})
    summer = datetime(2026, 7, 1, 6, 30, tzinfo=UTC)
    assert rules(hours, recorded_at=summer) == []
    assert rules(hours, recorded_at=summer - timedelta(hours=1)) == ["out-of-hours"]
    assert rules(SETTINGS, recorded_at=summer - timedelta(hours=1)) == []
    night = AuditSettings(sample_one_in=0, usual_hours={HOSPITAL: "20:00-07:00"})
    assert rules(night, recorded_at=summer) == ["out-of-hours"]
    assert rules(night, recorded_at=summer - timedelta(hours=3)) == []


def test_the_sample_is_the_same_whoever_takes_it() -> None:
    """One in ten or so, by the entry's id alone."""
    sample = AuditSettings(sample_one_in=10)
    taken = [number for number in range(1_000) if rules(sample, number=number)]
    assert 60 < len(taken) < 140
    assert taken == [number for number in range(1_000) if rules(sample, number=number)]


def test_hours_that_cannot_be_read_stop_the_start() -> None:
    """With how to write them."""
    with pytest.raises(ValueError, match="07:00-20:00"):
        AuditSettings(usual_hours={HOSPITAL: "7-20"})
