"""What an entry shows of a record that was not proven, and when PDS is asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.pds.outcomes import Found, NotFound
from schemas.events import NhsNumberStatus, PersonClaim
from streams.identity import doubts
from streams.identity.answers import TraceAnswer, judge
from streams.identity.evidence import evidence_of
from tests.support import identity as make
from tests.support.identity import CHILD

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DELAYS = tuple(timedelta(hours=one) for one in (1, 6, 24, 72, 168))
_TEXTS = st.sampled_from(["Testchild", "Other", "Unknown", "", "Testchild-Other"])
_DATES = st.sampled_from(["2017-03-14", "2017-03-15", "2009-01-01", "2017", ""])


def shown(claim: PersonClaim, **record: Any) -> doubts.Shown:
    """What the entry of a claim shows of PDS's record under its number."""
    evidence = evidence_of(claim, keys=make.KEYS, profile="test")
    said = TraceAnswer(Found(make.record(**record)))
    return doubts.shown(said, judge(said, evidence))


@given(family=_TEXTS, given_name=_TEXTS, birth_date=_DATES)
def test_a_restricted_record_looks_like_a_strangers(
    family: str, given_name: str, birth_date: str
) -> None:
    """Whatever was sent: no candidate, and the rule that a number of somebody else shows too."""
    claim = replace(CHILD, family=family, given=(given_name,), birth_date=birth_date)
    stranger = {"family": "Elsewhere", "given": ("Kim",), "birth_date": "1999-09-09"}
    assert shown(claim, restricted=True) == shown(CHILD, **stranger)
    assert shown(claim, restricted=True) == doubts.Shown(rule=doubts.NOT_CONFIRMED)


@given(family=_TEXTS, given_name=_TEXTS, birth_date=_DATES)
def test_a_candidate_has_nothing_of_the_record(
    family: str, given_name: str, birth_date: str
) -> None:
    """Names of fields and how they stand to each other; no value, no postcode."""
    claim = replace(CHILD, family=family, given=(given_name,), birth_date=birth_date)
    told = shown(claim)
    for candidate in told.candidates:
        assert set(candidate) == {"rule", "found_by", "fields"}
        assert set(candidate["fields"]) == set(doubts.FIELDS)
        text = str(candidate)
        for value in (CHILD.nhs_number, CHILD.family, "Robin", CHILD.birth_date, "ZZ1"):
            assert value is not None
            assert value not in text


def test_of_nobody_nothing_is_shown() -> None:
    """PDS named no record: the claim's own rule stands."""
    evidence = evidence_of(CHILD, keys=make.KEYS, profile="test")
    said = TraceAnswer(NotFound())
    assert doubts.shown(said, judge(said, evidence)) == doubts.Shown()


def test_tries_stand_at_their_distance_from_the_opening() -> None:
    """1, 6, 24 hours, 3 and 7 days; then none. A conflict: never."""
    at, found = NOW, []
    for tries in range(7):
        again = doubts.next_try("pds.search_no_match", tries, at, DELAYS)
        if again is None:
            break
        at = again
        found.append((at - NOW) / timedelta(hours=1))
    assert found == [1, 6, 24, 72, 168]
    for rule in ("pds.get.birth_date_differs", "pds.invalidated", "flag-without-evidence"):
        assert doubts.next_try(rule, 0, NOW, DELAYS) is None


@pytest.mark.parametrize(
    ("born", "number", "postponed"),
    [
        ("2026-02-20", None, True),
        ("2026-01-19", None, False),  # 42 days
        ("2026-01-20", None, True),
        ("2026-02-20", CHILD.nhs_number, False),
        ("2026-02", None, False),
        ("2026-02-31", None, False),
        (None, None, False),
    ],
)
def test_a_baby_under_six_weeks_is_postponed(
    born: str | None, number: str | None, postponed: bool
) -> None:
    """Status 08, where no number was sent and PDS has no one match."""
    claim = replace(CHILD, nhs_number=number, birth_date=born)
    evidence = evidence_of(claim, keys=make.KEYS, profile="test")
    found = doubts.postponed(TraceAnswer(NotFound()), evidence, NOW)
    assert found == (NhsNumberStatus.POSTPONED if postponed else None)


def test_every_rule_has_a_group() -> None:
    """A bounded few."""
    for rule in ("pds.search_no_match", "pds.get.names_differ", "pds.bug.unreadable_answer", "x"):
        assert doubts.group_of(rule) in doubts.GROUPS
