"""How many duplicates are found among notifications whose truth is known."""

from __future__ import annotations

import pytest

from bench.duplicates import Class, Figures, as_notification, measure
from sandbox.deaths.population import generate
from streams.cases.profiles import profile_of

COUNT, SEED = 300, 2026
PRECISION, RECALL = 0.95, 0.95


@pytest.fixture(scope="module")
def figures() -> Figures:
    """300 notifications over the wire format: 8 % duplicates, 5 % twins, 10 % without a number."""
    return measure(generate(COUNT, SEED))


def test_duplicates_are_found_and_little_else_is_proposed(figures: Figures) -> None:
    """Precision and recall of the proposals stand above their floors."""
    print(f"precision {figures.precision:.3f}, recall {figures.recall:.3f} of {figures.duplicates}")
    assert figures.duplicates >= round(COUNT * 0.08)
    assert figures.precision >= PRECISION
    assert figures.recall >= RECALL


def test_no_twins_are_proposed_without_a_difference(figures: Figures) -> None:
    """They are compared, and what may be a twin says so."""
    assert any(pair.truth is Class.TWINS for pair in figures.pairs)
    assert figures.twins_without_difference == []


def test_a_population_is_what_was_asked_for() -> None:
    """The shares asked for, numbers of the 999 range that nobody shares, the same for the same
    seed.
    """
    population = generate(2000, 5, duplicates=0.08, twins=0.05, missing_numbers=0.10)
    told = population.notifications
    assert population == generate(2000, 5)
    assert len(told) == 2000
    assert len({one.reference for one in told}) == 2000
    assert sum(one.duplicate for one in told) == 160
    assert sum(one.twin_of is not None for one in population.truths) == 100
    assert 0.07 < sum(one.patient.nhs_number is None for one in told) / 2000 < 0.13
    numbers = [one.nhs_number for one in population.people()]
    assert len(set(numbers)) == len(numbers)
    assert all(number.startswith("999") for number in numbers)


def test_twins_point_at_each_other() -> None:
    """Who is whose twin holds both ways, and both are of another name."""
    truths = {one.child: one for one in generate(500, 3).truths}
    twins = [one for one in truths.values() if one.twin_of is not None]
    assert twins
    for one in twins:
        assert one.twin_of is not None
        assert truths[one.twin_of].twin_of == one.child
        assert truths[one.twin_of].person.given != one.person.given


def test_a_generated_message_says_what_was_generated() -> None:
    """The reader of messages finds the same facts that the generator put in."""
    for one in generate(40, 9).notifications:
        profile = profile_of(as_notification(one))
        assert profile.organisation == one.organisation
        assert profile.local_id == one.patient.local_id
        assert (profile.born is None) is (one.patient.birth_date is None)
        assert profile.sex == one.patient.sex
        assert profile.birth_time == one.answers.get("child.birth-time")
        assert bool(profile.numbers) is (
            one.patient.nhs_number is not None and "number-slip" not in one.slips
        )
