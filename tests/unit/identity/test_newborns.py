"""Children without a name of their own, and of whom the index alone is asked: no twin's record."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from connectors.pds.outcomes import Found
from streams.identity.answers import TraceAnswer, judge
from streams.identity.evidence import evidence_in, evidence_of, standing, under_six_weeks
from tests.support import identity as make
from tests.support.identity import CHILD

BORN = date.fromisoformat(CHILD.birth_date or "")
BABY = replace(CHILD, given=("Baby",))


@pytest.mark.parametrize(
    ("days", "single", "rule"),
    [
        (0, None, "given_unknown_perhaps_a_twin"),
        (41, None, "given_unknown_perhaps_a_twin"),
        (42, None, "number_birth_date_family"),
        (0, False, "number_birth_date_family"),
        (0, True, "given_unknown_perhaps_a_twin"),
    ],
)
def test_an_unnamed_baby_is_its_number_only_after_six_weeks(
    days: int, single: bool | None, rule: str
) -> None:
    """Until then nobody may have said that there are two, unless the sender says that there are
    not."""
    claim = replace(BABY, multiple_birth=single)
    on = BORN + timedelta(days=days)
    evidence = evidence_of(claim, keys=make.KEYS, profile="test", on=on)
    answer = TraceAnswer(Found(make.record()))
    assert judge(answer, evidence).rule == f"pds.get.{rule}"


def test_an_events_day_is_that_of_its_receipt() -> None:
    """The age is that at which it was said."""
    event = make.attendance(BABY)
    assert not evidence_in(event, keys=make.KEYS, profile="test").newborn
    young = replace(BABY, birth_date=event.received_at.date().isoformat())
    assert evidence_in(make.attendance(young), keys=make.KEYS, profile="test").newborn


def test_the_day_after_counts_and_no_day_does_not() -> None:
    """A birth just after midnight elsewhere; a birth date that is partial or none."""
    assert under_six_weeks("2026-03-02", date(2026, 3, 1))
    for born in ("2026-03-03", "2026-03", "2026-02-30", "", None):
        assert not under_six_weeks(born, date(2026, 3, 1))


@pytest.mark.parametrize(
    ("claimed", "held", "full"),
    [
        ("Anna", "Anna Maria", True),
        ("Anna Maria", "Anna Maria", True),
        ("Anna Maria", "Anna", False),
        ("Anna Maria", "Anna Louise", False),
        ("Mohammed Ali Khan", "Mohammed Hassan Khan", False),
        ("Mohammed", "Mohammed Ali", False),
        ("Rob", "Robert", False),
        ("TwinA", "TwinB", False),
        ("MaleInfant", "MaleInfant", False),
        ("Baby 2", "Baby 2", False),
    ],
)
def test_the_index_alone_verifies_no_twin(claimed: str, held: str, full: bool) -> None:
    """It does not know the order of birth: what may be a twin's is left to PDS."""
    person = make.known(replace(CHILD, given=tuple(held.split())))
    claim = replace(CHILD, given=tuple(claimed.split()))
    evidence = evidence_of(claim, keys=make.KEYS, profile="test")
    assert standing(evidence, person).full is full
