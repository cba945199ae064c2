"""The people of the labelled claims: a population, sorted by what makes each of use."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Final

from bench.labelled.slips import NICKNAMES, formal_name
from bench.labelled.twins import Alike, families
from halyard.names import normalise_name
from halyard.nhs_number import check_digit
from sandbox.pds.people import FormerName, Person
from sandbox.pds.population import Mix, populate

PEOPLE: Final = 6_000
BORN_FROM: Final = date(2009, 1, 1)  # a child for as long as the set is of use
MIX: Final = Mix(
    twins=0.10,
    restricted=0.03,
    restricted_households=0.0,
    newborns=0.04,
    superseded=0.03,
    invalidated=0.02,
    namesakes=0.02,
    minimal=0.005,
    partial_birth_date=0.01,
)
# Nine digits each; the population's begin with 92 and 93
_MOTHERS: Final = 941_000_000


@dataclass(frozen=True, slots=True)
class Cast:
    """`everybody` is what PDS knows. The rest are parts of it: `plain` people have nothing unusual;
    `chains` pair an old number with who stands for it now; `adopted` pair who a child is now with
    the record that was taken out of use; `same_name` share name and birth date; `alike` are
    families of their own, of whom PDS knows all but some.
    """

    everybody: tuple[Person, ...] = field(repr=False)
    plain: tuple[Person, ...] = field(repr=False)
    lettered: tuple[Person, ...] = field(repr=False)
    formal: tuple[Person, ...] = field(repr=False)
    renamed: tuple[Person, ...] = field(repr=False)
    twins: tuple[tuple[Person, Person], ...] = field(repr=False)
    siblings: tuple[tuple[Person, Person], ...] = field(repr=False)
    newborns: tuple[tuple[Person, Person], ...] = field(repr=False)
    """With their mothers."""
    restricted: tuple[Person, ...] = field(repr=False)
    chains: tuple[tuple[Person, Person], ...] = field(repr=False)
    adopted: tuple[tuple[Person, Person], ...] = field(repr=False)
    same_name: tuple[tuple[Person, Person], ...] = field(repr=False)
    thin: tuple[Person, ...] = field(repr=False)
    alike: Alike = field(repr=False)


def assemble(seed: int, count: int = PEOPLE) -> Cast:
    """The people of a seed."""
    rng = random.Random(f"cast {seed}")
    made = list(populate(count, seed, born_from=BORN_FROM, mix=MIX))
    successors = {one.superseded_by for one in made}
    people = [
        one if one.nhs_number in successors else _settled(rng, one, at)
        for at, one in enumerate(made)
    ]
    current = [one for one in people if one.superseded_by is None and not one.invalidated]
    by_number = {one.nhs_number: one for one in people}
    whole = [one for one in current if not _thin(one)]
    open_records = [one for one in whole if not one.restricted and one.given != ("Baby",)]
    named: dict[tuple[str, str, str], list[Person]] = defaultdict(list)
    for one in whole:
        named[_name(one)].append(one)
    alone = [
        one for one in open_records if len(named[_name(one)]) == 1 and one.multiple_birth is None
    ]
    babies = [one for one in whole if one.given == ("Baby",) and not one.restricted]
    mothers = [_mother(rng, baby, at) for at, baby in enumerate(babies)]
    alike = families(seed, people)
    return Cast(
        everybody=(*people, *mothers, *alike.known),
        alike=alike,
        plain=tuple(one for one in alone if not one.former_names and not one.former_homes),
        lettered=tuple(one for one in alone if _lettered(one)),
        formal=tuple(one for one in alone if one.household == _FORMAL),
        renamed=tuple(one for one in alone if any(former.family for former in one.former_names)),
        twins=tuple(_together(whole, twins=True)),
        siblings=tuple(_together(open_records, twins=False)),
        newborns=tuple(zip(babies, mothers, strict=True)),
        restricted=tuple(one for one in whole if one.restricted and one.given != ("Baby",)),
        chains=tuple(
            (one, now)
            for one in people
            if one.superseded_by and not _thin(now := _now(one, by_number))
        ),
        adopted=tuple(
            (now, before)
            for now, before in pairwise(people)
            if before.invalidated and not _thin(now) and now.given != ("Baby",)
            # A namesake of theirs would be found in their place: measured apart (`strangers`)
            if not named[_name(before)]
        ),
        same_name=tuple(
            (group[0], group[1]) for group in named.values() if len(group) > 1 and _two(group)
        ),
        thin=tuple(one for one in current if _thin(one) and not named[_name(one)]),
    )


_FORMAL: Final = "formal"


def _settled(rng: random.Random, person: Person, at: int) -> Person:
    """Some get a name with a short form; restricted ones a postcode that is theirs alone."""
    if person.restricted and person.postcode is not None:
        letters = "ABDEFGHJLNPQRSTUWXYZ"
        first, second = divmod(at % 400, 20)
        person = replace(
            person, postcode=f"ZZ{10 + at // 400 % 89} {at % 10}{letters[first]}{letters[second]}"
        )
    ordinary = not (
        person.restricted or person.multiple_birth or person.superseded_by or person.invalidated
        or person.former_names or _thin(person) or person.given == ("Baby",)
    )  # fmt: skip
    if ordinary and at % 10 == 0:
        given = formal_name(rng, person.gender)
        person = replace(person, given=(given, *person.given[1:]), household=_FORMAL)
        if at % 3 == 0:  # PDS knows the nickname
            known = FormerName(use="nickname", given=(NICKNAMES[given],))
            person = replace(person, former_names=(known,))
    return person


def _mother(rng: random.Random, baby: Person, at: int) -> Person:
    nine = _MOTHERS + at * 7
    while (digit := check_digit(str(nine))) is None:
        nine += 1
    return Person(
        nhs_number=f"{nine}{digit}",
        family=baby.family,
        given=(rng.choice(("Ann", "Joan", "Ruth", "Carol")),),
        birth_date=f"{rng.randint(1983, 2005)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        gender="female",
        postcode=baby.postcode,
        household=baby.household,
    )


def _thin(person: Person) -> bool:
    return person.minimal or len(person.birth_date) != 10 or person.gender not in ("male", "female")


def _name(person: Person) -> tuple[str, str, str]:
    return normalise_name(person.family), normalise_name(person.given[0]), person.birth_date


def _two(group: list[Person]) -> bool:
    return group[0].household != group[1].household and group[0].given != ("Baby",)


def _lettered(person: Person) -> bool:
    name = f"{person.family}{person.given[0]}"
    return not (name.isascii() and name.isalpha())


def _together(people: list[Person], *, twins: bool) -> list[tuple[Person, Person]]:
    return [
        (one, other)
        for one, other in pairwise(people)
        if one.household == other.household
        and one.household != _FORMAL
        and (one.multiple_birth is not None and other.multiple_birth is not None) is twins
        and (one.birth_date == other.birth_date) is twins
        and normalise_name(one.given[0]) != normalise_name(other.given[0])
    ]


def _now(person: Person, by_number: dict[str, Person]) -> Person:
    while person.superseded_by is not None:
        person = by_number[person.superseded_by]
    return person
