"""The generated population holds everything that makes tracing hard, and is always the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import fields
from datetime import date
from itertools import islice, pairwise
from pathlib import Path

import pytest
from fhir.resources.R4B.patient import Patient
from hypothesis import given, settings
from hypothesis import strategies as st

from halyard.errors import ConfigurationError
from halyard.nhs_number import parse
from sandbox.pds import bodies
from sandbox.pds.people import Person, Register
from sandbox.pds.population import Mix, populate
from sandbox.samples.cast import CAST

PEOPLE = tuple(populate(6_000, seed=7))
CURRENT = tuple(p for p in PEOPLE if p.superseded_by is None)
BY_NUMBER = {person.nhs_number: person for person in PEOPLE}


def households(people: tuple[Person, ...]) -> dict[str, list[Person]]:
    """People by household, without those whose record has ended."""
    grouped = defaultdict[str, list[Person]](list)
    for person in people:
        if person.household is not None and not person.invalidated:
            grouped[person.household].append(person)
    return grouped


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_same_seed_same_people_and_a_shorter_one_is_its_beginning(seed: int, count: int) -> None:
    """Whatever the seed: deterministic, a prefix of the longer one, as many as asked."""
    longer = list(populate(200, seed))
    assert list(populate(count, seed)) == longer[:count]
    if seed:
        assert longer != list(populate(200, seed - 1))


def test_every_number_is_valid_unique_and_never_issued() -> None:
    """Numbers are usable in the test profile alone, none twice, none of the cast's."""
    numbers = [person.nhs_number for person in PEOPLE]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert parse(number, profile="test").usable
        assert not parse(number, profile="production").usable
    assert not set(numbers) & {person.nhs_number for person in CAST.everybody.values()}


def test_postcodes_are_nowhere() -> None:
    """Every postcode, former ones too, is in an area that no place has, and none is ZZ99."""
    places = [person.postcode for person in PEOPLE if person.postcode]
    places += [home.postcode for person in PEOPLE for home in person.former_homes]
    assert all(re.fullmatch(r"ZZ[1-9] [0-9][A-Z]{2}", place) for place in places)


def test_siblings_share_name_and_postcode_but_for_some_half_siblings() -> None:
    """In a household of several most have one family name and all one postcode."""
    several = [group for group in households(CURRENT).values() if len(group) > 1]
    assert len(several) > 1_000
    other = [group for group in several if len({person.family for person in group}) > 1]
    assert 0.01 < len(other) / len(several) < 0.2
    assert all(len({person.postcode for person in group}) == 1 for group in several)


def test_twins_and_triplets_are_born_together() -> None:
    """Who is one of several shares birth date and household with the others; given names differ."""
    groups = [
        [person for person in group if person.multiple_birth is not None]
        for group in households(CURRENT).values()
    ]
    sizes = [len(group) for group in groups if len(group) > 1]
    assert {2, 3} <= set(sizes)
    for group in groups:
        assert len({person.birth_date for person in group}) <= 1
        assert len({person.given[0] for person in group}) == len(group)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w+-\w+", r"[A-Z][a-z]+ [A-Z][a-z]+", r"\w'\w+", r"\w’\w+", r".*[éøłñüçžşóßńčþ].*",
        r"[\u0400-\u04ff]+", r"[\u0600-\u06ff]+", r".{20,}", r"(Mac|Mc|St |Van |de |Al-|bin ).+",
    ],
)  # fmt: skip
def test_family_names_of_every_kind(pattern: str) -> None:
    """Hyphens, two words, both apostrophes, accents, other alphabets, long names and prefixes."""
    assert any(re.fullmatch(pattern, person.family) for person in PEOPLE)


@pytest.mark.parametrize(
    "pattern",
    [r"Baby", r"[A-Z]", r"\w+-\w+", r"\w+ \w+", r".*[éëøłñåóü].*", r"[\u0400-\u04ff]+", r".{15,}"],
)
def test_given_names_of_every_kind(pattern: str) -> None:
    """Newborns, single letters, compound, accented, other alphabets and long names."""
    assert any(re.fullmatch(pattern, person.given[0]) for person in PEOPLE)


def test_babies_are_newborn() -> None:
    """Who is registered as Baby was born in the last six weeks."""
    babies = [p for p in CURRENT if p.given == ("Baby",) and len(p.birth_date) == 10]
    assert len(babies) > 30
    assert all(date.fromisoformat(baby.birth_date) >= date(2025, 11, 19) for baby in babies)


def test_histories_of_every_kind() -> None:
    """Old, maiden, nickname and temporary names with their periods, and former homes."""
    former = [name for person in PEOPLE for name in person.former_names]
    assert {"old", "maiden", "nickname", "temp"} == {name.use for name in former}
    for name in former:
        assert name.start is None or name.end is None or name.start <= name.end
    assert sum(1 for person in PEOPLE if person.former_homes) > 300


def test_gaps_of_every_kind() -> None:
    """Minimal records, missing genders and postcodes, partial dates of birth and death."""
    assert any(person.minimal for person in PEOPLE)
    assert {"", "unknown", "other"} <= {person.gender for person in PEOPLE}
    assert any(person.postcode is None for person in PEOPLE)
    assert {4, 7, 10} == {len(person.birth_date) for person in PEOPLE}
    assert {4, 7, 10} == {len(person.deceased) for person in PEOPLE if person.deceased}


def test_chains_of_one_to_three_end_at_a_record() -> None:
    """Merged records lead over one to three hops to a record that stands."""
    register = Register(PEOPLE)
    lengths = set()
    for person in PEOPLE:
        hops = 0
        while person.superseded_by is not None:
            person, hops = BY_NUMBER[person.superseded_by], hops + 1
        lengths.add(hops)
    assert lengths == {0, 1, 2, 3}
    for person in PEOPLE:
        if person.superseded_by is not None:
            assert register.successor(person) is not None


def test_nothing_links_an_invalidated_record_with_the_new_one() -> None:
    """The new record comes right before it: same birth date, other household, name and number;
    neither record says anything of the other."""
    pairs = [(new, old) for new, old in pairwise(PEOPLE) if old.invalidated]
    assert len(pairs) > 5
    for new, old in pairs:
        assert new.birth_date == old.birth_date
        assert new.household != old.household
        assert new.superseded_by is None is old.superseded_by
        assert new.former_names == ()
        assert old.nhs_number not in repr_of(new)
        assert old.household is not None
        assert old.household not in repr_of(new)
        assert new.nhs_number not in repr_of(old)


def repr_of(person: Person) -> str:
    """Everything that a record holds."""
    return " ".join(str(getattr(person, each.name)) for each in fields(person))


def test_every_record_is_valid_fhir_and_restricted_ones_have_no_place() -> None:
    """What would be served is a FHIR Patient; a restricted one says nothing of where."""
    hard = [p for p in PEOPLE if p.former_names or p.deceased or p.gender == "" or p.minimal]
    for person in hard[:250]:
        Patient.model_validate(bodies.patient(person))
    restricted = [person for person in PEOPLE if person.restricted]
    assert len(restricted) > 30
    for person in restricted:
        served = str(bodies.patient(person))
        assert person.postcode is None or person.postcode not in served
        assert not any(home.postcode in served for home in person.former_homes)


def test_namesakes_are_in_other_households() -> None:
    """Some share names and birth date with somebody else, so that a search finds too many."""
    seen: dict[tuple[str, tuple[str, ...], str], str | None] = {}
    found = 0
    for person in CURRENT:
        key = (person.family, person.given, person.birth_date)
        found += key in seen and seen[key] != person.household
        seen[key] = person.household
    assert found > 5


def test_shares_are_settable_and_checked() -> None:
    """A mix without a kind has none of it, one with it alone has nothing else; no share over 1."""
    plain = Mix(**dict.fromkeys((each.name for each in fields(Mix)), 0.0))
    for person in populate(500, mix=plain):
        assert person.family.isascii()
        assert person.family.isalpha()
        assert not any((person.restricted, person.superseded_by, person.former_names))
        assert len(person.given) == 1
    assert all(person.restricted for person in populate(50, mix=Mix(restricted=1.0)))
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Mix(twins=1.5)


def test_bounds_are_said() -> None:
    """Too many people, and dates the wrong way round, are refused with what to do."""
    with pytest.raises(ConfigurationError, match="ask fewer"):
        populate(5_000_001)
    with pytest.raises(ConfigurationError, match="turn them round"):
        populate(1, born_from=date(2020, 1, 2), born_to=date(2020, 1, 1))
    assert len({p.birth_date for p in populate(9, born_from=date(2020, 1, 1),
                                               born_to=date(2020, 1, 1)) if len(p.birth_date) == 10
                }) == 1  # fmt: skip


def test_it_is_lazy() -> None:
    """The first of a million are there at once."""
    assert len(list(islice(populate(1_000_000), 3))) == 3


_MEASURE = """
from bench.memory import memory
import os
import sandbox.pds.server
from sandbox.pds.people import Register
from sandbox.pds.population import populate
before = memory(os.getpid())
register = Register(populate(20_000))
print(memory(os.getpid()) - before, len(register))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is told on Linux alone")
def test_twenty_thousand_people_are_small() -> None:
    """20,000 people add less than 20 MiB to a process: 100,000 are far below 300 MB."""
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    grown, people = run.stdout.split()
    assert people == "20000"
    assert float(grown) < 20
