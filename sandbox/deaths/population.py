"""Invented child deaths by the thousand, as several agencies notify them: with who is who.

For measuring whether notifications of one child are found, and twins told apart. Nobody here
exists: NHS numbers are of the 999 range, postcodes begin with ZZ1 to ZZ9. The same count and seed
always give the same. How often things go wrong is set in `sandbox.deaths.slips`, and is a guess:
no figures are published.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from halyard.errors import ConfigurationError
from halyard.nhs_number import check_digit
from sandbox.deaths import names
from sandbox.deaths.bundles import Answer, Child, notification
from sandbox.deaths.slips import Telling, retold
from sandbox.pds.people import Person

UNTIL: Final = date(2026, 2, 25)
_FIRST_NINE: Final = 999_200_000  # apart from the cast (999 000 xxx)
_LAST_NINE: Final = 999_999_999
AT_MOST: Final = 700_000
_A_DAY: Final = 10  # deaths of children in England


class Sender(NamedTuple):
    """A feed and its organisation, as in the directory."""

    source: str
    organisation: str
    hospital: bool = True


SENDERS: Final = (
    Sender("rz9-fhir", "RZ9"),
    Sender("rz8-fhir", "RZ8"),
    Sender("y00001-fhir", "Y00001", hospital=False),
    Sender("e06000999-fhir", "E06000999", hospital=False),
)
"""Those of the practice directory."""
AREAS: Final = ("E06000999", "E06000998")


@dataclass(frozen=True, slots=True)
class Truth:
    """A child who died, as it was. `twin_of`: the other's id."""

    child: int
    person: Person = field(repr=False)
    died: date = field(repr=False)
    middle: str = field(repr=False)
    mother: str = field(repr=False)  # her family name
    authority: str
    twin_of: int | None = None
    birth_order: int | None = None
    birth_time: str = field(default="12:00", repr=False)
    weight: int = 3300

    @property
    def born(self) -> date:
        """The day of birth."""
        return date.fromisoformat(self.person.birth_date)

    @property
    def days(self) -> int:
        """The age at death."""
        return (self.died - self.born).days


@dataclass(frozen=True, slots=True)
class Labelled:
    """A notification, and which child it is truly of. `twin_of`: the id of that child's twin.

    `slips`: what went wrong in it, by name.
    """

    child: int
    source: str
    organisation: str
    reference: str
    received_at: datetime
    patient: Child = field(repr=False)
    answers: dict[str, Answer] = field(repr=False)
    rows: dict[str, list[dict[str, Answer]]] = field(repr=False)
    twin_of: int | None = None
    duplicate: bool = False
    slips: tuple[str, ...] = ()

    def message(self) -> dict[str, Any]:
        """As it comes over the wire: a FHIR message Bundle, always the same."""
        return notification(
            reference=self.reference,
            child=self.patient,
            answers=self.answers,
            rows=self.rows,
            at=self.received_at,
        )


@dataclass(frozen=True, slots=True)
class Population:
    """Children, and the notifications of their deaths in order of receipt."""

    truths: tuple[Truth, ...]
    notifications: tuple[Labelled, ...]

    def people(self) -> list[Person]:
        """The children, for the practice PDS."""
        return [one.person for one in self.truths]


def generate(
    count: int,
    seed: int,
    *,
    duplicates: float = 0.08,
    twins: float = 0.05,
    missing_numbers: float = 0.10,
    senders: Sequence[Sender] = SENDERS,
    areas: Sequence[str] = AREAS,
) -> Population:
    """`count` notifications: a share of `duplicates` are of a child of whom one came already,
    a share of `twins` are first notifications of twins who both died, and a share of
    `missing_numbers` has no NHS number. Raises `ConfigurationError` for more than `AT_MOST`.
    """
    if not 0 < count <= AT_MOST:
        raise ConfigurationError(f"From 1 to {AT_MOST} notifications can be generated.")
    chance = random.Random(seed)  # not for secrets
    again = round(count * duplicates)
    truths = _children(chance, count - again, round(count * twins / 2), areas)
    first = [_tell(chance, one, chance.choice(senders), 0, missing_numbers) for one in truths]
    more: dict[int, list[Labelled]] = {}
    for _ in range(again):
        truth = chance.choice(truths)
        told = more.setdefault(truth.child, [])
        said = [first[truth.child].organisation, *(one.organisation for one in told)]
        others = [one for one in senders if one.organisation not in said]
        # now and then a sender forgets, and notifies anew under another reference
        if others and chance.random() < 0.85:
            sender = chance.choice(others)
        else:
            sender = next(one for one in senders if one.organisation == said[0])
        told.append(_tell(chance, truth, sender, len(told) + 1, missing_numbers))
    everything = [*first, *(one for several in more.values() for one in several)]
    return Population(
        tuple(truths), tuple(sorted(everything, key=lambda one: (one.received_at, one.reference)))
    )


def _numbers() -> Iterator[str]:
    for nine in range(_FIRST_NINE, _LAST_NINE):
        digit = check_digit(str(nine))
        if digit is not None:
            yield f"{nine}{digit}"


def _children(chance: random.Random, count: int, pairs: int, areas: Sequence[str]) -> list[Truth]:
    numbers = _numbers()
    span = max(60, count // _A_DAY)
    made: list[Truth] = []
    while len(made) < count:
        one = _child(chance, len(made), next(numbers), span, areas)
        made.append(one)
        if pairs and len(made) < count:
            pairs -= 1
            # newborn twins get numbers one after the other
            twin = _twin(chance, one, len(made), next(numbers), span)
            made[-1] = replace(one, twin_of=twin.child, birth_order=1)
            made.append(twin)
        elif chance.random() < 0.01 and len(made) < count:
            # brothers and sisters who died in one incident
            made.append(_sibling(chance, one, len(made), next(numbers)))
    return made


def _age(chance: random.Random) -> int:
    """Days: two in five within four weeks, half of these on the first two days."""
    kind = chance.random()
    if kind < 0.2:
        return chance.randrange(2)
    if kind < 0.4:
        return chance.randrange(2, 28)
    if kind < 0.6:
        return chance.randrange(28, 365)
    return chance.randrange(365, 18 * 365)


def _child(
    chance: random.Random, child: int, number: str, span: int, areas: Sequence[str]
) -> Truth:
    sex = chance.choice(("female", "male"))
    died = UNTIL - timedelta(days=chance.randrange(span))
    family = names.family(chance)
    born = died - timedelta(days=_age(chance))
    postcode = (
        f"ZZ{chance.randrange(1, 10)} {chance.randrange(1, 10)}"
        f"{chance.choice('ABDEFGHJLN')}{chance.choice('PQRSTUWXYZ')}"
    )
    person = Person(
        nhs_number=number,
        family=family,
        given=(names.given(chance, sex),),
        birth_date=born.isoformat(),
        gender=sex,
        postcode=postcode,
        deceased=died.isoformat(),
    )
    return Truth(
        child,
        person,
        died,
        middle=names.given(chance, sex),
        mother=family if chance.random() < 0.6 else names.family(chance),
        authority=chance.choice(areas),
        birth_time=f"{chance.randrange(24):02}:{chance.randrange(60):02}",
        weight=max(500, round(chance.gauss(2600, 900))),
    )


def _twin(chance: random.Random, one: Truth, child: int, number: str, span: int) -> Truth:
    person = one.person
    sex = person.gender
    if chance.random() < 0.33:
        sex = "male" if sex == "female" else "female"
    given = names.given(chance, sex)
    while given == person.given[0]:
        given = names.given(chance, sex)
    if chance.random() < 0.1:  # names that differ by little
        pair = names.alike(chance, sex)
        given = pair[0] if pair[0] != person.given[0] else pair[1]
    later = chance.randrange(1, 60)
    minutes = int(one.birth_time[:2]) * 60 + int(one.birth_time[3:]) + later
    born = one.born + timedelta(days=minutes // 1440)
    died = max(born, one.died)
    if chance.random() < 0.5:
        died = min(max(born, one.died + timedelta(days=chance.randrange(-20, 60))), UNTIL)
    return replace(
        one,
        child=child,
        person=replace(
            person,
            nhs_number=number,
            given=(given,),
            gender=sex,
            birth_date=born.isoformat(),
            deceased=died.isoformat(),
            multiple_birth=2,
        ),
        died=died,
        middle=names.given(chance, sex),
        twin_of=one.child,
        birth_order=2,
        birth_time=f"{minutes // 60 % 24:02}:{minutes % 60:02}",
        weight=max(500, one.weight + round(chance.gauss(0, 300))),
    )


def _sibling(chance: random.Random, one: Truth, child: int, number: str) -> Truth:
    sex = chance.choice(("female", "male"))
    born = one.died - timedelta(days=chance.randrange(400, 17 * 365))
    person = replace(
        one.person,
        nhs_number=number,
        given=(names.given(chance, sex),),
        gender=sex,
        birth_date=born.isoformat(),
    )
    return replace(
        one,
        child=child,
        person=person,
        middle=names.given(chance, sex),
        birth_time=f"{chance.randrange(24):02}:{chance.randrange(60):02}",
        weight=max(500, round(chance.gauss(2600, 900))),
    )


def _tell(
    chance: random.Random, truth: Truth, sender: Sender, time: int, missing: float
) -> Labelled:
    person = truth.person
    newborn = truth.days < 28
    born_here = f"{sender.organisation[:3]}-{truth.child:06}"
    telling = Telling(
        patient=Child(
            family=person.family,
            given=(person.given[0], truth.middle),
            birth_date=person.birth_date,
            sex=person.gender,
            nhs_number=person.nhs_number,
            local_id=born_here if sender.hospital else None,
            postcode=person.postcode,
            died=truth.died.isoformat(),
        ),
        birth_order=truth.birth_order,
        birth_time=truth.birth_time if newborn else None,
        weight=truth.weight if newborn else None,
        mother=truth.mother,
        newborn=newborn,
        days=truth.days,
        hospital=sender.hospital,
    )
    told = retold(chance, telling, missing)
    received = datetime(truth.died.year, truth.died.month, truth.died.day, tzinfo=UTC)
    received += timedelta(hours=24, minutes=chance.randrange(48 * 60))
    return Labelled(
        child=truth.child,
        source=sender.source,
        organisation=sender.organisation,
        reference=f"{sender.organisation}-{truth.child:06}-{time}",
        received_at=received,
        patient=told.patient,
        answers=_answers(truth, told),
        rows=_rows(chance, sender),
        twin_of=truth.twin_of,
        duplicate=time > 0,
        slips=told.slips,
    )


def _answers(truth: Truth, told: Telling) -> dict[str, Answer]:
    answers: dict[str, Answer] = {
        "child.residence-authority": truth.authority,
        "death.place": "acute-hospital.neonatal-unit" if told.newborn else "home",
        "death.expected": False,
    }
    if told.patient.nhs_number is None:
        answers["child.nhs-number-absent"] = "not-available"
    if told.newborn:
        answers["birth.signs-of-life"] = True
        answers["birth.attended"] = True
    if told.birth_order is not None:
        answers["child.multiple-birth"] = True
        answers["child.birth-order"] = told.birth_order
    if told.birth_time is not None:
        answers["child.birth-time"] = told.birth_time
    if told.weight is not None:
        answers["child.birth-weight-grams"] = told.weight
    return answers


def _rows(chance: random.Random, sender: Sender) -> dict[str, list[dict[str, Answer]]]:
    surgery: dict[str, Answer] = {"role": "general-practitioner", "organisation-code": "Y00001"}
    ward: dict[str, Answer] = {"role": "hospital", "organisation-code": "RZ9"}
    chosen = [surgery, ward] if chance.random() < 0.5 else [surgery]
    return {
        "professional": [one for one in chosen if one["organisation-code"] != sender.organisation]
    }
