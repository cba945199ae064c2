"""The practice PDS's people are invented, valid, and always the same."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halyard.errors import ConfigurationError
from halyard.nhs_number import parse
from sandbox.pds.people import Person, Register, generate, load_people, person_from
from sandbox.samples.cast import CAST, NOBODY, PEOPLE_FILE


def test_every_sample_number_is_valid_and_never_issued() -> None:
    """Every number of the samples is usable in the test profile, and none twice."""
    people = load_people(PEOPLE_FILE)
    numbers = [person.nhs_number for person in people]
    assert len(people) >= 40
    assert max(Counter(numbers).values()) == 1
    for number in (*numbers, NOBODY.nhs_number):
        assert number.startswith("9990001")
        assert parse(number, profile="test").number == number
    assert NOBODY.nhs_number not in numbers


def test_sample_postcodes_are_nowhere() -> None:
    """Every postcode of the samples is in an area that no place has."""
    places = [person.postcode for person in CAST.everybody.values() if person.postcode]
    assert all(place.startswith("ZZ") and not place.startswith("ZZ99") for place in places)


def test_the_cast_is_complete() -> None:
    """The demo's characters are who the samples say they are."""
    assert CAST.restricted.restricted
    assert CAST.invalidated.invalidated
    assert CAST.superseded_old.superseded_by == CAST.superseded_new.nhs_number
    assert len(CAST.others) == 20
    assert (CAST.robin.family, CAST.robin.given) == ("Testchild", ("Robin",))


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_generated_people_are_the_same_for_the_same_seed(seed: int) -> None:
    """Same seed, same people; valid numbers; no two with the same names and birth date."""
    people = list(generate(500, seed))
    assert people == list(generate(500, seed))
    assert all(parse(person.nhs_number, profile="test").usable for person in people)
    assert len({(p.family, p.given, p.birth_date) for p in people}) == 500
    assert (
        len({p.nhs_number for p in people} - {p.nhs_number for p in CAST.everybody.values()}) == 500
    )


def test_generating_is_lazy() -> None:
    """The first of a million people are there at once."""
    assert len(list(islice(generate(1_000_000), 3))) == 3


def test_too_many_to_generate() -> None:
    """More people than the numbers set aside is refused with what to do."""
    with pytest.raises(ConfigurationError, match="ask fewer"):
        next(generate(5_000_001))


def test_errors_name_the_line_not_its_content(tmp_path: Path) -> None:
    """A broken line, and a field that is not known, are named without what they say."""
    path = tmp_path / "people.jsonl"
    path.write_text('\n{"nhs_number": "9990001014"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"people\.jsonl line 2") as caught:
        load_people(path)
    assert "9990001014" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="not known") as caught:
        person_from({"nhs_number": "9990001014", "surname": "Canary"})
    assert "Canary" not in str(caught.value)


def test_register_follows_chains_and_refuses_doubles() -> None:
    """A chain of mergers ends at its last record; a ring or a hole at none; no doubles."""
    a, b, c = (
        Person(n, birth_date="2010-01-01") for n in ("9990001014", "9990001022", "9990001030")
    )
    register = Register([Person(a.nhs_number, superseded_by=b.nhs_number)])
    first = register.get(a.nhs_number)
    assert first is not None
    assert register.successor(first) is None
    register.put(Person(b.nhs_number, superseded_by=c.nhs_number))
    register.put(c)
    assert register.successor(first) == c
    register.put(Person(c.nhs_number, superseded_by=a.nhs_number))
    assert register.successor(first) is None
    with pytest.raises(ConfigurationError, match="share a number"):
        Register([a, a])


def test_samples_are_one_json_object_a_line() -> None:
    """The file is JSON lines in UTF-8, so that others can read it too."""
    for line in PEOPLE_FILE.read_text(encoding="utf-8").splitlines():
        assert isinstance(json.loads(line), dict)
