"""Children whom little tells apart: twins with names alike, and those born, it is said, on
1 January.

Their names are written down here, a family a line, because a population drawn by chance has none:
twins of one first name, names that begin alike, records that say "Twin 2". Nobody here exists.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from halyard.names import normalise_name
from halyard.nhs_number import check_digit
from sandbox.pds.people import Person

# How two names stand to each other
FURTHER: Final = "other further names"
NEAR_FURTHER: Final = "further names a letter apart"
PARTLY: Final = "further names partly shared"
BEGINS: Final = "one begins the other"
BEGINS_MIXED: Final = "one begins the other, boy and girl"
NEAR: Final = "first names a letter apart"
SHARED_FIRST: Final = frozenset({FURTHER, NEAR_FURTHER, PARTLY})
# And their records, where PDS has a number for a name
BOTH_NAMED: Final = "both named in PDS"
BOTH_NUMBERED: Final = "both numbered in PDS"
ONE_NUMBERED: Final = "one numbered in PDS"

_FIRST_NINE: Final = 943_000_000
_MALE: Final = "male"
_FEMALE: Final = "female"

_Names = tuple[str, str, str, str]
"""How they stand to each other, the second one's gender unless it is the first's too, the names."""

_BOYS: Final[tuple[_Names, ...]] = (
    (FURTHER, "", "Mohammed Ali", "Mohammed Hassan"),
    (NEAR_FURTHER, "", "Mohammed Zain", "Mohammed Zaid"),
    (PARTLY, "", "Mohammed Ali Khan", "Mohammed Hassan Khan"),
    (BEGINS, "", "Ali", "Alistair"),
    (BEGINS_MIXED, _FEMALE, "Daniel", "Danielle"),
    (FURTHER, "", "Abdul Rahman", "Abdul Karim"),
    (NEAR_FURTHER, "", "Mohammed Ali", "Mohammed Alistair"),
    (PARTLY, "", "Abdul Rahman Noor", "Abdul Karim Noor"),
    (NEAR, "", "Zain", "Zaid"),
    (BEGINS_MIXED, _FEMALE, "Paul", "Paula"),
    (FURTHER, "", "John Paul", "John Henry"),
    (NEAR_FURTHER, "", "Syed Amir", "Syed Amin"),
    (PARTLY, "", "Muhammad Adam Yusuf", "Muhammad Adil Yusuf"),
    (BEGINS, "", "Zain", "Zainul"),
    (BEGINS_MIXED, _FEMALE, "Gabriel", "Gabriella"),
    (FURTHER, "", "Rob James", "Robert Michael"),
)
_GIRLS: Final[tuple[_Names, ...]] = (
    (NEAR_FURTHER, "", "Lily Mae", "Lily May"),
    (BEGINS, "", "Ann", "Annabel"),
    (FURTHER, "", "Maria Elena", "Maria Teresa"),
    (PARTLY, "", "Lily Grace Jane", "Lily Rose Jane"),
    (NEAR_FURTHER, "", "Maria Eva", "Maria Ava"),
    (FURTHER, "", "Ann Marie", "Anna Louise"),
    (NEAR, "", "Keira", "Kiera"),
    (BEGINS, "", "Ella", "Ellamae"),
    (PARTLY, "", "Maria Eva Rose", "Maria Ava Rose"),
    (NEAR_FURTHER, "", "Grace Joy", "Grace Joya"),
    (FURTHER, "", "Syeda Amina", "Syeda Fatima"),
    (NEAR, "", "Maryam", "Mariam"),
    (BEGINS, "", "Eva", "Evangeline"),
    (FURTHER, "", "Bibi Nasreen", "Bibi Shabnam"),
    (PARTLY, "", "Noor Hiba Jan", "Noor Huda Jan"),
)
_FAMILIES: Final = (
    "Akhtar", "Ashdown", "Begley", "Brackenbury", "Chowdhury", "Cotterill", "Dalrymple", "Eastaugh",
    "Farooqi", "Goodenough", "Haidari", "Inkpen", "Jalali", "Kitchener", "Lovelock", "Malikzai",
    "Nightingale", "Oakeshott", "Popalzai", "Quartermain", "Rahimi", "Sotheby", "Tankerville",
    "Underhay", "Vavasour", "Wardaki", "Yearwood",
)  # fmt: skip

COUNTED: Final = (
    ("Twin 1", "Twin 2"), ("TwinA", "TwinB"), ("Baby 1", "Baby 2"), ("Baby A", "Baby B"),
    ("1st Twin", "2nd Twin"), ("BabyA", "BabyB"), ("Baby One", "Baby Two"), ("T1", "T2"),
    ("First Baby", "Second Baby"), ("TwinOne", "TwinTwo"), ("B1", "B2"), ("Infant 1", "Infant 2"),
    ("Triplet A", "Triplet B"), ("Tw1", "Tw2"), ("TripletA", "TripletB"), ("BabyOne", "BabyTwo"),
)  # fmt: skip
"""What stands for the first and the second of several: each says that there is another."""
_OF_BOYS: Final = (("Boy 1", "Boy 2"), ("Boy One", "Boy Two"), ("Baby Boy 1", "Baby Boy 2"))
_OF_GIRLS: Final = (("Girl 1", "Girl 2"), ("Girlone", "Girltwo"), ("Baby Girl A", "Baby Girl B"))
UNCOUNTED: Final = (
    "MaleInfant", "Baby", "InfantMale", "B/O Ann", "NewbornBoy", "BabyBoy", "Liveborn", "Jane Baby",
    "Baby Jack", "Live Birth",
)  # fmt: skip
UNCOUNTED_GIRLS: Final = (
    "FemaleInfant", "Baby", "InfantFemale", "B/O Ann", "NewbornGirl", "Liveborn", "Jane Baby",
    "Baby Ruth", "FI",
)  # fmt: skip

# Who came alone, as it is written down at a port: few names, and a year
_ALONE: Final = (
    ("Hassan", "Ahmed"), ("Ahmadi", "Ali"), ("Khan", "Mohammed"), ("Ibrahim", "Omar"),
    ("Haile", "Samuel"), ("Tesfay", "Yonas"), ("Hussein", "Mahmoud"), ("Nguyen", "Minh"),
    ("Stanikzai", "Abdul Rahman"), ("Mohamed", "Adam"), ("Abdi", "Mohammed Ali"),
    ("Gebre", "Filmon"), ("Karimi", "Reza"), ("Tran", "Linh"), ("Osman", "Ahmed Nur"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Twins, and how their names stand to each other. `second`: their places are exchanged."""

    one: Person = field(repr=False)
    other: Person = field(repr=False)
    how: str
    second: bool = False

    @property
    def told(self) -> bool:
        """Whether PDS holds their order of birth."""
        return self.one.multiple_birth is not None

    def turned(self) -> Pair:
        """The same twins, told from the other's side."""
        return Pair(self.other, self.one, self.how, not self.second)


@dataclass(frozen=True, slots=True)
class Alike:
    """Families by what they are for.

    PDS knows all of them but the first of each of `alone`. It holds the order of birth of `twins`,
    and of every second of `numbered` and `alone`; of `untold` it holds none. `new_year` have 1
    January for a birth date.
    """

    twins: tuple[Pair, ...] = field(repr=False)
    untold: tuple[Pair, ...] = field(repr=False)
    numbered: tuple[Pair, ...] = field(repr=False)
    alone: tuple[Pair, ...] = field(repr=False)
    new_year: tuple[Person, ...] = field(repr=False)

    @property
    def known(self) -> Iterator[Person]:
        """Whom PDS knows."""
        for pair in (*self.twins, *self.untold, *self.numbered):
            yield from (pair.one, pair.other)
        yield from (pair.other for pair in self.alone)
        yield from self.new_year


def families(seed: int, taken: Sequence[Person]) -> Alike:
    """The families of a seed: none has a family name and birth date of one who is `taken`."""
    maker = _Maker(seed, {(normalise_name(one.family), one.birth_date) for one in taken})
    # Each list is of a length that shares no factor with the ways in which a claim is made of it
    return Alike(
        twins=tuple(maker.pairs(2, lambda at: True)),
        untold=tuple(maker.pairs(2, lambda at: False)),
        numbered=tuple(maker.numbered(61)),
        alone=tuple(maker.pairs(2, lambda at: at % 2 == 0)),
        new_year=tuple(maker.new_year(4)),
    )


class _Maker:
    def __init__(self, seed: int, taken: set[tuple[str, str]]) -> None:
        self._rng = random.Random(f"twins {seed}")
        self._taken = taken
        self._made = 0

    def pairs(self, times: int, told: Callable[[int], bool]) -> Iterator[Pair]:
        """Every line of names `times`, in mixed order, the last of them left out."""
        lines = [(_MALE, line) for line in _BOYS] + [(_FEMALE, line) for line in _GIRLS]
        lines = lines * times
        self._rng.shuffle(lines)
        for at, (gender, (how, other_gender, one, other)) in enumerate(lines[: 1 - times or None]):
            first = self._person(gender, one, 1 if told(at) else None)
            second = self._twin(first, other_gender or gender, other)
            yield Pair(first, second, how)

    def numbered(self, count: int) -> Iterator[Pair]:
        """Twins of one gender: named in PDS, or one or both of them by a number alone."""
        for at in range(count):
            gender = (_MALE, _FEMALE)[at % 2]
            names = [line for line in (_BOYS, _GIRLS)[at % 2] if not line[1]]
            _, _, one, other = names[at % len(names)]
            held = counted(gender, at)
            how = (BOTH_NAMED, BOTH_NUMBERED, ONE_NUMBERED)[at // 2 % 3]
            first = self._person(
                gender, held[0] if how == BOTH_NUMBERED else one, 1 if at // 6 % 2 else None
            )
            second = self._twin(first, gender, other if how == BOTH_NAMED else held[1])
            yield Pair(first, second, how)

    def new_year(self, times: int) -> Iterator[Person]:
        """Who came alone: 1 January of a year, a boy or nobody knows, of no place or of one."""
        for at in range(times * len(_ALONE) + 1):
            family, given = _ALONE[at % len(_ALONE)]
            person = self._person(("male", "unknown")[at % 4 == 3], given, None)
            year = 2009 + at // len(_ALONE)
            yield replace(person, family=family, birth_date=f"{year}-01-01", household=None)

    def _person(self, gender: str, given: str, order: int | None) -> Person:
        rng, at = self._rng, self._made
        while True:
            family = rng.choice(_FAMILIES)
            born = f"{rng.randint(2009, 2025)}-{rng.randint(1, 12):02}-{rng.randint(2, 28):02}"
            if (normalise_name(family), born) not in self._taken:
                break
        self._taken.add((normalise_name(family), born))
        letters = "ABDEFGHJLNPQRSTUWXYZ"
        first, second = divmod(at % 400, 20)
        return Person(
            nhs_number=self._number(),
            family=family,
            given=tuple(given.split()),
            birth_date=born,
            gender=gender,
            postcode=f"ZZ{91 + at // 4000 % 8} {at // 400 % 10}{letters[first]}{letters[second]}",
            multiple_birth=order,
            household=f"T{at:05}",
        )

    def _twin(self, first: Person, gender: str, given: str) -> Person:
        return replace(
            first,
            nhs_number=self._number(),
            given=tuple(given.split()),
            gender=gender,
            multiple_birth=None if first.multiple_birth is None else 2,
        )

    def _number(self) -> str:
        self._made += 1
        nine = _FIRST_NINE + self._made * 7
        while (digit := check_digit(str(nine))) is None:
            nine += 1
        return f"{nine}{digit}"


def counted(gender: str, at: int) -> tuple[str, str]:
    """What stands for the first and the second of several, the `at`-th way."""
    ways = (*COUNTED, *(_OF_GIRLS if gender == _FEMALE else _OF_BOYS))
    return ways[at % len(ways)]


def uncounted(gender: str, at: int) -> str:
    """What stands for any child without a name, the `at`-th way."""
    ways = UNCOUNTED_GIRLS if gender == _FEMALE else UNCOUNTED
    return ways[at % len(ways)]
