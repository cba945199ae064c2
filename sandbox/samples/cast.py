"""The characters of demo and tests: who they are, and what is to happen to them.

Their records stand in ``pds-people.jsonl``; README.md beside it says what each is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.pds.people import Person, load_people

PEOPLE_FILE: Final = Path(__file__).with_name("pds-people.jsonl")

NOBODY: Final = Person(
    nhs_number="9990001103",  # right check digit, and PDS knows no such record
    family="Nowherefield",
    given=("Avery",),
    birth_date="2013-04-05",
    gender="female",
    postcode="ZZ9 9ZZ",
    cast="nobody",
)


@dataclass(frozen=True, slots=True)
class Cast:
    """The demo's characters. `others`: adults and children without a flag, who stay silent."""

    robin: Person  # a child with a child protection plan
    looked_after: Person  # a looked after child
    mother: Person  # an adult with a plan for her unborn child
    searched: Person  # a child who arrives without a number; only a search finds him
    restricted: Person  # a child whose whereabouts are protected
    superseded_old: Person  # the authority still has this number ...
    superseded_new: Person  # ... and PDS answers with this record
    nobody: Person  # an authority's record that matches nobody
    invalidated: Person  # a number taken out of use; what PDS held of the child is not given out
    others: tuple[Person, ...]
    everybody: dict[str, Person]  # all of the file by character, and `nobody`


def _load() -> Cast:
    by_name = {person.cast: person for person in load_people(PEOPLE_FILE) if person.cast}
    everybody = {**by_name, "nobody": NOBODY}
    return Cast(
        robin=everybody["robin"],
        looked_after=everybody["looked_after"],
        mother=everybody["mother"],
        searched=everybody["searched"],
        restricted=everybody["restricted"],
        superseded_old=everybody["superseded_old"],
        superseded_new=everybody["superseded_new"],
        nobody=NOBODY,
        invalidated=everybody["invalidated"],
        others=tuple(person for name, person in everybody.items() if name.startswith("bystander_")),
        everybody=everybody,
    )


CAST: Final = _load()
