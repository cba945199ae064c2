"""Who takes part in a measurement: flagged children, adults nobody asks about, and their messages.

Everybody is invented (`sandbox.pds.people.generate`); no two have the same number.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from halyard.cli.practice import AUTHORITY, FACILITY
from sandbox.pds.people import Person, generate

_LONDON = ZoneInfo("Europe/London")
_MESSAGE = (
    "MSH|^~\\&|EDIS|{facility}|ROUTE|ROUTE|{at}||ADT^A04^ADT_A01|{run}-{serial}|P|2.4|{serial}"
    "||||GBR|UNICODE|EN||ITKv1.0\r"
    "EVN||{at}|||CLERK01^JONES^ANN|{at}\r"
    "PID|1||{number}^^^NHS^NH~B{serial}^^^{facility}^MR||{family}^{given}^^^^^L||{born}|{sex}"
    "|||1 TEST STREET^^TESTTOWN^^{postcode}^GBR^H|||||||||||||||||||||NSTS01\r"
    "PV1|1|E|ED^^^{facility}01|21||||||180||||19|||||{run}V{serial}^^^VISITID"
    "|||||||||||||||||||||||||{at}\r"
    "PV2|||^Fall at home|||||||||||||||||||||||||||||||||||Ambulance\r"
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who is to arrive; `number` only for those who must raise an alert."""

    person: Person
    flagged: bool


@dataclass(slots=True)
class Crowd:
    """Arrivals by the batch: nobody arrives twice, and a seed fixes who is flagged."""

    children: Sequence[Person]
    adults: Sequence[Person]
    chance: random.Random
    _used_children: int = 0
    _used_adults: int = 0

    def take(self, count: int, flagged_share: float) -> list[Arrival]:
        """`count` arrivals in random order; exactly the share of them is flagged."""
        flagged = flagged_of(count, flagged_share)
        first_child, first_adult = self._used_children, self._used_adults
        self._used_children += flagged
        self._used_adults += count - flagged
        arrivals = [
            *(Arrival(one, True) for one in self.children[first_child : self._used_children]),
            *(Arrival(one, False) for one in self.adults[first_adult : self._used_adults]),
        ]
        if len(arrivals) != count:
            raise ValueError("the crowd was made too small for what is measured")
        self.chance.shuffle(arrivals)
        return arrivals


def flagged_of(count: int, share: float) -> int:
    """How many of `count` arrivals are flagged."""
    return round(count * share)


def make_crowd(children: int, adults: int, seed: int = 1) -> Crowd:
    """Children to be flagged, and adults who agree with none of them."""
    grown = generate(
        children + adults, seed, born_from=date(1950, 1, 1), born_to=date(1989, 12, 31)
    )
    return Crowd(
        children=list(generate(children, seed)),
        adults=list(islice(grown, children, None)),  # the numbers of the first are the children's
        chance=random.Random(seed),
    )


def flag_file(children: Sequence[Person], today: date) -> bytes:
    """A child protection plan for each, as the authority's upload (JSON lines)."""
    start = date(today.year - 1, 1, 1).isoformat()
    return b"".join(
        json.dumps(
            {
                "nhs_number": child.nhs_number,
                "family": child.family,
                "given": " ".join(child.given),
                "birth_date": child.birth_date,
                "plan_type": "CPP",
                "start": start,
                "end": None,
                "delete": None,
                "la_gss": AUTHORITY,
                "local_id": f"BENCH-{serial}",
                "phone_office": "01632 960 201",
                "phone_emergency": "01632 960 202",
            }
        ).encode()
        + b"\n"
        for serial, child in enumerate(children, start=1)
    )


def message(arrival: Arrival, *, run: str, serial: int, now: datetime) -> bytes:
    """An A&E arrival (ADT^A04, ITK shape) that happens at `now`."""
    person = arrival.person
    return _MESSAGE.format(
        facility=FACILITY,
        at=now.astimezone(_LONDON).strftime("%Y%m%d%H%M%S"),
        run=run,
        serial=serial,
        number=person.nhs_number,
        family=person.family.upper(),
        given=person.given[0].upper(),
        born=person.birth_date.replace("-", ""),
        sex="1" if person.gender == "male" else "2",
        postcode=person.postcode or "",
    ).encode()
