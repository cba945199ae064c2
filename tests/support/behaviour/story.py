"""The words of a story: people, steps and what must be told. Nothing here knows HL7 v2 or FHIR."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from halyard.nhs_number import check_digit
from sandbox.pds.people import Person
from tests.support.hub_files import NORTH, SOUTH

GENERAL, COMMUNITY = "RZ9", "RZ8"  # two hospitals; the second has its own arrival rule
SITES = {GENERAL: "RZ901", COMMUNITY: "RZ801"}

__all__ = ["COMMUNITY", "GENERAL", "NORTH", "SOUTH"]


@dataclass(frozen=True, slots=True)
class Someone:
    """A person of a story: as PDS has them, and as the hospital's own index does."""

    person: Person = field(repr=False)
    local: str

    @property
    def number(self) -> str:
        """NHS number."""
        return self.person.nhs_number


@dataclass(frozen=True, slots=True)
class Step:
    """One message. Minutes count from the story's now; what is None is not said.

    `event` is an HL7 v2 trigger, as the name of what happened. `numbers` are the NHS numbers that
    the message gives (None: the person's own); `shows` is whose demographics it gives.
    """

    event: str
    who: Someone
    visit: str | None = "V1"
    hospital: str = GENERAL
    at: int = -30  # occurred
    recorded: int | None = None  # a minute after
    numbers: tuple[str, ...] | None = None
    shows: Someone | None = None
    anonymous: bool = False  # no name, birth date or postcode
    born: str | None = None  # as sent, if not the person's
    status: str | None = None  # NHS number status, "01" to "08"
    local: str | None = None
    patient_class: str = "E"
    method: str | None = "21"
    department: str = "ED"
    reason: str | None = "Fall at home"
    mode: str | None = None
    acuity: str | None = None
    destination: str | None = None
    ended: int | None = None
    shielded: bool = False
    mother: Someone | None = None
    retired: str | None = None  # the local id that a merge retires
    times: bool = True  # False: no time in it can be read
    english: bool = False  # of a FHIR message: the English sample's event, with a reason
    welsh: str | None = None  # of a FHIR message: this event of the Welsh standard

    @property
    def shown(self) -> Someone:
        """Whose demographics the message gives."""
        return self.shows or self.who

    @property
    def given_numbers(self) -> tuple[str, ...]:
        """NHS numbers as the message gives them."""
        return (self.who.number,) if self.numbers is None else self.numbers

    @property
    def recorded_at(self) -> int:
        """When the hospital recorded it, in the story's minutes."""
        return self.at + 1 if self.recorded is None else self.recorded


@dataclass(frozen=True, slots=True)
class Again:
    """The message before, once more, the same bytes."""


@dataclass(frozen=True, slots=True)
class Told:
    """Wait until an alert of this person stands."""

    who: Someone


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as its authority uploads it. Days count from today."""

    who: Someone
    plan: str = "CPP"
    authority: str = NORTH
    start: int = -90
    end: int | None = None
    delete: int | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of `who` to `authority`; what is None may be anything.

    `live` False: it was raised and is withdrawn.
    """

    who: Someone
    authority: str = NORTH
    live: bool = True
    hospital: str | None = GENERAL
    plans: frozenset[str] = frozenset({"CPP"})
    state: str = "present"
    birth: bool = False
    late: bool = False
    provisional: bool = False
    restricted: bool = False
    shielded: bool = False  # then neither department nor reason is told
    arrived: int | None = None
    department: str | None = None
    reason: str | None = None
    mode: str | None = None
    acuity: str | None = None
    destination: str | None = None


Move = Step | Again | Told | Flag


@dataclass(frozen=True, slots=True)
class Story:
    """Flags that are there before, what happens, and every alert that must be told of its people:
    no other is.
    """

    name: str
    flags: tuple[Flag, ...]
    steps: tuple[Move, ...]
    alerts: tuple[Alert, ...]
    people: tuple[Someone, ...]
    unknown: tuple[Someone, ...] = ()  # of them, those without a record in PDS


class People:
    """Invented people, no two alike; `series` keeps two casts apart.

    Numbers begin with 999, which is never issued; postcodes with ZZ, which no place has.
    """

    def __init__(self, series: int) -> None:
        self._numbers = _numbers(999_200_000 + series * 5_000)
        self._series = series
        self._made = itertools.count()

    def child(self, given: str = "Robin", *, born: str = "2016-03-14", **more: object) -> Someone:
        """A child, with a family name that nobody else has."""
        made = next(self._made)
        fields: dict[str, object] = {
            "family": f"Storyfield{_letters(made)}{_letters(self._series)}",
            "given": (given,),
            "birth_date": born,
            "gender": "male",
            "postcode": f"ZZ{1 + made % 9} {1 + made // 9 % 9}{_letters(made).upper()}",
            **more,
        }
        number = next(self._numbers)
        return Someone(Person(nhs_number=number, **fields), local=f"P{number[3:]}")  # type: ignore[arg-type]

    def woman(self, **more: object) -> Someone:
        """A grown-up who may be a mother."""
        return self.child("Marian", born="1994-05-20", gender="female", **more)

    def newborn(self, **more: object) -> Someone:
        """A baby born today."""
        today = date.today().isoformat()  # noqa: DTZ011 - a plain date
        return self.child("Baby", born=today, **more)

    def sibling(self, of: Someone, given: str) -> Someone:
        """A twin: the same family name, birth date and postcode."""
        known = of.person
        return self.child(
            given, born=known.birth_date, family=known.family, postcode=known.postcode
        )


def _numbers(first_nine: int) -> Iterator[str]:
    for nine in itertools.count(first_nine):
        digit = check_digit(str(nine))
        if digit is not None:
            yield f"{nine}{digit}"


def _letters(number: int) -> str:
    first, second = divmod(number, 26)
    return chr(97 + first % 26) + chr(97 + second)
