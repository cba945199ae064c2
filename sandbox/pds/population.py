"""A population for the practice PDS: families, and everything that makes tracing hard.

Lazy and deterministic: the same seed, dates and mix give the same records in the same order, and
a shorter population is the beginning of a longer one. Shares are stated in `Mix`; they are this
sandbox's own choice, set high enough that a few thousand records hold every kind. They describe
nobody's real population.

People whom no PDS knows (a Scottish CHI or a Northern Irish number on a claim) have no record, so
nothing here makes them: `halyard.nhs_number.parse` tells them by their range.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from typing import Final

from halyard.errors import ConfigurationError
from halyard.nhs_number import check_digit
from sandbox.pds import name_lists as names
from sandbox.pds.people import FormerHome, FormerName, Person

# Nine digits each, from 920 000 000: apart from the cast, from `people.generate` and from the
# numbers of NHS England's own test packs
_FIRST_NINE: Final = 920_000_000
_NINES: Final = 20_000_000
_STRIDE: Final = 7_368_787  # no common factor with _NINES, so that neighbours are not siblings
POPULATION_AT_MOST: Final = 5_000_000
_NEWBORN_DAYS: Final = 42  # as the status "Trace postponed (baby under six weeks old)" counts


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares between 0 and 1. Of households: `twins`, `triplets`, `half_siblings` (one child has
    another family name), `restricted_households`, and the kinds of family name. All the others are
    of people. Raises `ConfigurationError` for a share out of range.
    """

    twins: float = 0.03
    triplets: float = 0.004
    half_siblings: float = 0.08
    restricted_households: float = 0.01
    hyphenated: float = 0.06
    double_barrelled: float = 0.02
    apostrophe: float = 0.03
    prefixed: float = 0.02
    accented: float = 0.04
    transliterated: float = 0.03
    other_alphabet: float = 0.005
    long_family: float = 0.01
    accented_given: float = 0.04
    transliterated_given: float = 0.03
    other_alphabet_given: float = 0.005
    compound_given: float = 0.04
    long_given: float = 0.01
    single_letter_given: float = 0.005
    second_given: float = 0.55
    third_given: float = 0.08
    newborns: float = 0.015
    old_family_name: float = 0.05
    old_given_name: float = 0.01
    nickname: float = 0.04
    temporary_name: float = 0.005
    moved: float = 0.12
    restricted: float = 0.005
    superseded: float = 0.015
    invalidated: float = 0.003
    minimal: float = 0.003
    deceased: float = 0.006
    partial_birth_date: float = 0.004
    missing_gender: float = 0.01
    no_postcode: float = 0.01
    namesakes: float = 0.004

    def __post_init__(self) -> None:
        if not all(0 <= getattr(self, each.name) <= 1 for each in fields(self)):
            raise ConfigurationError("Each share of a population is between 0 and 1; mend the mix.")


@dataclass(frozen=True, slots=True)
class _Household:
    """What the children of one household share."""

    name: str
    family: str = field(repr=False)
    postcode: str | None = field(repr=False)
    practice: str
    restricted: bool


DEFAULT_MIX: Final = Mix()


def populate(
    count: int,
    seed: int = 1,
    *,
    born_from: date = date(2008, 1, 1),
    born_to: date = date(2025, 12, 31),
    mix: Mix = DEFAULT_MIX,
) -> Iterator[Person]:
    """`count` records, household after household: for all that identity has to decide. Load tests
    have `people.generate`, where nobody is like another and everybody is found.

    Order tells what belongs together and is served by nobody: a merged record comes right after
    its successor (a chain from its end to its beginning), and the record that a child has since
    an invalidation comes right before the invalidated one, in another household.

    Raises `ConfigurationError` for more than `POPULATION_AT_MOST`, or dates the wrong way round.
    """
    if count > POPULATION_AT_MOST:
        raise ConfigurationError(f"At most {POPULATION_AT_MOST} people; ask fewer.")
    if born_to < born_from:
        raise ConfigurationError("born_to is before born_from; turn them round.")
    return _Maker(seed, born_from, born_to, mix).people(count)


class _Maker:
    """One population on its way: the random numbers and the last number given."""

    def __init__(self, seed: int, born_from: date, born_to: date, mix: Mix) -> None:
        self._rng = random.Random(seed)
        self._from = born_from
        self._to = born_to
        self._mix = mix
        self._given_out = 0
        self._households = 0
        self._namesake: Person | None = None

    def people(self, count: int) -> Iterator[Person]:
        made = 0
        while made < count:
            for person in self._household():
                yield person
                made += 1
                if made == count:
                    return

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _pick(self, of: Sequence[str]) -> str:
        return self._rng.choice(of)

    def _number(self) -> str:
        while True:
            nine = str(_FIRST_NINE + self._given_out * _STRIDE % _NINES)
            self._given_out += 1
            digit = check_digit(nine)
            if digit is not None:
                return f"{nine}{digit}"

    def _family(self) -> str:
        mix, draw = self._mix, self._rng.random()
        plain = self._pick(names.PLAIN_FAMILIES)
        for joint, share in (("-", mix.hyphenated), (" ", mix.double_barrelled)):
            if draw < share:
                return f"{plain}{joint}{self._pick(names.PLAIN_FAMILIES)}"
            draw -= share
        for share, of in (
            (mix.apostrophe, names.APOSTROPHE_FAMILIES),
            (mix.prefixed, names.PREFIXED_FAMILIES),
            (mix.accented, names.ACCENTED_FAMILIES),
            (mix.transliterated, names.TRANSLITERATED_FAMILIES),
            (mix.other_alphabet, names.OTHER_ALPHABET_FAMILIES),
            (mix.long_family, names.LONG_FAMILIES),
        ):
            if draw < share:
                return self._pick(of)
            draw -= share
        return plain

    def _one_given(self, gender: str) -> str:
        mix, draw = self._mix, self._rng.random()
        for share, of in (
            (mix.accented_given, names.ACCENTED_GIVEN),
            (mix.transliterated_given, names.TRANSLITERATED_GIVEN),
            (mix.other_alphabet_given, names.OTHER_ALPHABET_GIVEN),
            (mix.compound_given, names.COMPOUND_GIVEN),
            (mix.long_given, names.LONG_GIVEN),
        ):
            if draw < share:
                return self._pick(of[gender])
            draw -= share
        if draw < mix.single_letter_given:
            return self._pick("ABDEJKLMRST")
        return self._pick(names.GIVEN[gender])

    def _given(self, gender: str, taken: set[str]) -> tuple[str, ...]:
        first = self._one_given(gender)
        for _ in range(20):  # siblings rarely share a first name; twins never do
            if first not in taken:
                break
            first = self._pick(names.GIVEN[gender])
        taken.add(first)
        given = [first]
        for share in (self._mix.second_given, self._mix.third_given):
            if not self._chance(share):
                break
            given.append(self._pick(names.GIVEN[gender]))
        return tuple(given)

    def _postcode(self) -> str:
        letters = "ABDEFGHJLNPQRSTUWXYZ"
        outward = f"ZZ{self._rng.randint(1, 9)}"
        return f"{outward} {self._rng.randint(0, 9)}{self._pick(letters)}{self._pick(letters)}"

    def _new_household(self) -> _Household:
        self._households += 1
        return _Household(
            name=f"H{self._households:07}",
            family=sys.intern(self._family()),
            postcode=None if self._chance(self._mix.no_postcode) else self._postcode(),
            practice=sys.intern(f"Y9{self._rng.randint(0, 399):04}"),
            restricted=self._chance(self._mix.restricted_households),
        )

    def _household(self) -> Iterator[Person]:
        home = self._new_household()
        children = self._rng.choices((1, 2, 3, 4), (45, 37, 13, 5))[0]
        together = 1
        if self._chance(self._mix.twins):
            together = 2
        elif self._chance(self._mix.triplets):
            together = 3
        other = self._family() if self._chance(self._mix.half_siblings) else None
        taken: set[str] = set()
        born = self._from + timedelta(days=self._rng.randrange((self._to - self._from).days + 1))
        for place in range(max(children, together)):
            if place >= together:
                born = self._sibling_born(born)
            half = other is not None and place == max(children, together) - 1 and place >= together
            family = other if half and other is not None else home.family
            multiple = place + 1 if together > 1 and place < together else None
            yield from self._child(home, family, born, multiple, taken)

    def _sibling_born(self, born: date) -> date:
        apart = timedelta(days=self._rng.randint(330, 2_000))
        for when in (born + apart, born - apart):
            if self._from <= when <= self._to:
                return when
        return born + (self._to - born) / 2 if born < self._to else self._from

    def _child(
        self, home: _Household, family: str, born: date, multiple: int | None, taken: set[str]
    ) -> Iterator[Person]:
        mix = self._mix
        gender = self._pick(("female", "male"))
        person = Person(
            nhs_number=self._number(),
            family=sys.intern(family),
            given=self._given(gender, taken),
            birth_date=sys.intern(born.isoformat()),
            gender=gender,
            postcode=home.postcode,
            practice=home.practice,
            restricted=home.restricted or self._chance(mix.restricted),
            multiple_birth=multiple,
            household=home.name,
        )
        if multiple is None:
            if self._chance(mix.newborns):
                person = self._newborn(person)
            elif self._namesake is not None and self._chance(mix.namesakes):
                same = self._namesake
                person = replace(
                    person, family=same.family, given=same.given, birth_date=same.birth_date,
                    gender=same.gender,
                )  # fmt: skip
        person = self._with_history(person)
        person = self._with_gaps(person)
        if not person.minimal and len(person.birth_date) == 10 and not person.restricted:
            self._namesake = person
        if self._chance(mix.invalidated):
            yield from self._invalidated(person)
        else:
            yield person
            if self._chance(mix.superseded):
                yield from self._merged(person)

    def _newborn(self, person: Person) -> Person:
        earliest = max(self._from, self._to - timedelta(days=_NEWBORN_DAYS))
        born = earliest + timedelta(days=self._rng.randrange((self._to - earliest).days + 1))
        return replace(person, given=("Baby",), birth_date=sys.intern(born.isoformat()))

    def _some_day(self, person: Person) -> str:
        born = date.fromisoformat(person.birth_date)
        lived = max((self._to - born).days, 1)
        return (born + timedelta(days=self._rng.randrange(lived))).isoformat()

    def _with_history(self, person: Person) -> Person:
        mix, former = self._mix, list[FormerName]()
        if self._chance(mix.old_family_name):
            use = "maiden" if person.gender == "female" and self._grown(person) else "old"
            former.append(
                FormerName(
                    use="maiden" if use == "maiden" else "old",
                    family=self._family(), start=person.birth_date, end=self._some_day(person),
                )
            )  # fmt: skip
        if self._chance(mix.old_given_name):
            former.append(
                FormerName(given=("Baby",), start=person.birth_date, end=self._some_day(person))
            )
        if person.given[0] in names.NICKNAMES and self._chance(mix.nickname * 4):
            former.append(FormerName(use="nickname", given=(names.NICKNAMES[person.given[0]],)))
        if self._chance(mix.temporary_name):
            former.append(
                FormerName(use="temp", family=self._family(), start=self._some_day(person))
            )
        homes: tuple[FormerHome, ...] = ()
        if self._chance(mix.moved):
            homes = tuple(
                FormerHome(self._postcode(), end=self._some_day(person))
                for _ in range(self._rng.choice((1, 1, 2)))
            )
        if not former and not homes:
            return person
        return replace(
            person, former_names=tuple(former), former_homes=homes, version=1 + len(former)
        )

    def _grown(self, person: Person) -> bool:
        return (self._to - date.fromisoformat(person.birth_date)).days > 16 * 366

    def _with_gaps(self, person: Person) -> Person:
        mix = self._mix
        if self._chance(mix.minimal):
            return replace(person, minimal=True)
        if self._chance(mix.deceased):
            died = self._some_day(person)
            person = replace(person, deceased=died[: self._rng.choice((4, 7, 10, 10, 10))])
        if person.multiple_birth is None and self._chance(mix.partial_birth_date):
            person = replace(person, birth_date=person.birth_date[: self._rng.choice((4, 7))])
        if self._chance(mix.missing_gender):
            person = replace(person, gender=self._pick(("", "unknown", "other")))
        return person

    def _merged(self, current: Person) -> Iterator[Person]:
        """Records merged into one, 1 to 3 hops: each a little older and a little other."""
        into = current
        for _ in range(self._rng.choices((1, 2, 3), (70, 20, 10))[0]):
            before = replace(
                current,
                nhs_number=self._number(),
                family=self._family() if self._chance(0.3) else current.family,
                given=current.given[:1],
                postcode=self._postcode() if self._chance(0.5) else current.postcode,
                former_names=(),
                former_homes=(),
                superseded_by=into.nhs_number,
                version=into.version + 1,
            )
            yield before
            into = before

    def _invalidated(self, person: Person) -> Iterator[Person]:
        """Who somebody is now, then the record that was taken out of use. Nothing links them."""
        home = self._new_household()
        given = person.given
        if self._chance(0.5):
            given = (self._pick(names.GIVEN[person.gender or "female"])
                     if person.gender in names.GIVEN else person.given[0],)  # fmt: skip
        yield replace(
            person,
            nhs_number=self._number(),
            family=home.family,
            given=given,
            postcode=home.postcode,
            practice=home.practice,
            household=home.name,
            former_names=(),
            former_homes=(),
            restricted=home.restricted or self._chance(0.5),
            version=1,
        )
        yield replace(person, invalidated=True)
