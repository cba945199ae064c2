"""A hospital's load: invented people and their visits, and what must become of it all.

Everything follows from one seed.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.hl7v2.er7 import Message
from connectors.hl7v2.mapping import to_attendances
from halyard.clock import system_clock
from sandbox.pds.people import Person, generate
from schemas.events import AttendanceReported
from tests.support.hub_files import AUTHORITIES, FEED, HOSPITAL, NORTH, SOUTH
from tests.support.system import Hub

CONNECTIONS = 8
LONDON = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class Plan:
    """One flag of a person."""

    authority: str
    plan_type: str


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody who comes to hospital; `known`: PDS has a record."""

    person: Person = field(repr=False)
    plans: tuple[Plan, ...] = ()
    known: bool = True
    child: bool = True

    @property
    def number(self) -> str:
        """NHS number."""
        return self.person.nhs_number


@dataclass(frozen=True, slots=True)
class Told:
    """An alert that must stand: whom, which authority, which arrival, all of its plans."""

    number: str = field(repr=False)
    authority: str
    arrived_at: datetime
    plans: frozenset[str]


@dataclass(slots=True)
class World:
    """The load and what must become of it."""

    patients: list[Patient] = field(default_factory=list, repr=False)
    lanes: list[list[bytes]] = field(default_factory=list, repr=False)
    alerts: set[Told] = field(default_factory=set, repr=False)
    cancelled: set[tuple[str, str, datetime]] = field(default_factory=set, repr=False)
    about: dict[bytes, Patient] = field(default_factory=dict, repr=False)
    not_used: set[bytes] = field(default_factory=set, repr=False)
    arrivals: int = 0

    @property
    def messages(self) -> frozenset[bytes]:
        """Every distinct message."""
        return frozenset(self.about)

    def people(self) -> list[Person]:
        """Whom PDS knows."""
        return [one.person for one in self.patients if one.known]

    def flag_file(self, authority: str) -> bytes:
        """The authority's flags as JSON lines."""
        return b"".join(
            flag_line(patient.person, plan)
            for patient in self.patients
            for plan in patient.plans
            if plan.authority == authority
        )


# --- messages --------------------------------------------------------------------------------


def adt(
    trigger: str,
    person: Person,
    *,
    control_id: str,
    visit: str,
    occurred: datetime,
    recorded: datetime | None = None,
    number: str | None = "",
    patient_class: str = "E",
    method: str = "21",
    reason: str = "Fall at home",
    local_id: str | None = None,
) -> bytes:
    """One HL7 v2.4 message in the ITK shape about `person`; `number` None leaves it out."""
    shown = person.nhs_number if number == "" else number
    local = local_id or f"M{person.nhs_number[:9]}"
    identifiers = f"{shown}^^^NHS^NH~" if shown else ""
    birth = person.birth_date.replace("-", "")
    gender = {"male": "1", "female": "2"}.get(person.gender, "0")
    given = "^".join(person.given[:1])
    recorded = recorded or occurred + timedelta(minutes=1)
    moment, written = _hl7(occurred), _hl7(recorded)
    segments = [
        f"MSH|^~\\&|EDIS|{HOSPITAL}|ROUTE|ROUTE|{written}||ADT^{trigger}^ADT_A01|{control_id}|P|2.4",
        f"EVN||{written}|||CLERK01^JONES^ANN|{moment}",
        (
            f"PID|1||{identifiers}{local}^^^{HOSPITAL}^MR||{person.family.upper()}^{given.upper()}"
            f"^^^^^L||{birth}|{gender}|||1 TEST STREET^^TESTTOWN^^{person.postcode or ''}^GBR^H"
        ),
        f"PV1|1|{patient_class}|ED^^^RZ901|{method}|||||||||||||||{visit}^^^VISITID",
        f"PV2|||^{reason}",
    ]
    return ("\r".join(segments) + "\r").encode()


def flag_line(person: Person, plan: Plan, **changes: object) -> bytes:
    """One line of an authority's flag file."""
    record = {
        "nhs_number": person.nhs_number,
        "family": person.family,
        "given": " ".join(person.given),
        "birth_date": person.birth_date,
        "plan_type": plan.plan_type,
        "start": (date.today() - timedelta(days=90)).isoformat(),  # noqa: DTZ011 - a plain date
        "end": None,
        "delete": None,
        "la_gss": plan.authority,
        "local_id": f"L{plan.plan_type}{person.nhs_number[4:9]}",
        "phone_office": None,
        "phone_emergency": None,
        **changes,
    }
    return (json.dumps(record) + "\n").encode()


def reported(hub: Hub, body: bytes) -> AttendanceReported:
    """The event that the hub must make of `body` (its id is a function of the bytes)."""
    feed = next(one for one in hub.registry.feeds if one.source == FEED)
    message = Message.parse(body)
    (event,) = to_attendances(
        message,
        feed=feed,
        rule=hub.registry.arrival_rule(feed),
        keys=hub.keys,
        received_at=system_clock(),
    )
    return event


def _hl7(at: datetime) -> str:
    return at.astimezone(LONDON).strftime("%Y%m%d%H%M%S")


# --- the world -------------------------------------------------------------------------------

_SHAPES: tuple[tuple[str, int], ...] = (
    ("simple", 34),
    ("repeated", 10),
    ("updated", 16),
    ("cancelled", 10),
    ("revived", 6),
    ("admitted", 6),
    ("two-visits", 12),
    ("two-episodes", 6),
)
_ROLES: tuple[tuple[tuple[Plan, ...], str, int], ...] = (
    ((Plan(NORTH, "CPP"),), "child", 10),
    ((Plan(NORTH, "CPP"), Plan(NORTH, "LAC")), "child", 7),
    ((Plan(NORTH, "LAC"), Plan(SOUTH, "CPP")), "child", 7),
    ((Plan(SOUTH, "LAC"),), "child", 4),
    ((Plan(NORTH, "UCPP"),), "mother", 3),
    ((Plan(SOUTH, "UCPP"),), "mother", 2),
    ((), "child", 24),
    ((), "stranger", 3),
    ((), "adult", 40),
)


def make_world(seed: int, arrivals: int, now: datetime, run: str, *, skip: int = 0) -> World:
    """People and messages with at least `arrivals` arrivals, the same ones for the same seed.

    `skip` leaves out so many of the people: worlds of one seed that share nobody.
    """
    rng = random.Random(seed)
    world = World(lanes=[[] for _ in range(CONNECTIONS)])
    count = skip + 40 * arrivals
    people = generate(count, seed, born_from=date(1975, 1, 1), born_to=date(2024, 6, 1))
    ages = _Ages(itertools.islice(people, skip, None))
    while world.arrivals < arrivals:
        plans, kind, _ = rng.choices(_ROLES, [weight for *_, weight in _ROLES])[0]
        patient = Patient(
            ages.take(kind), plans=plans, known=kind != "stranger", child=kind not in _GROWN
        )
        world.patients.append(patient)
        shape = "simple" if kind == "stranger" else rng.choices(*zip(*_SHAPES, strict=True))[0]
        _Visits(world, patient, rng, now, run, mother=kind == "mother").add(shape)
    return world


_GROWN = frozenset({"mother", "adult"})


class _Ages:
    """People by what they are needed for."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._people = iter(people)
        self._kept: dict[str, deque[Person]] = {"child": deque(), "mother": deque()}

    def take(self, kind: str) -> Person:
        wanted = "mother" if kind in _GROWN else "child"
        while not self._kept[wanted]:
            one = next(self._people)
            if one.birth_date >= "2011":
                self._kept["child"].append(one)
            elif one.birth_date < "2004" and one.gender == "female":
                self._kept["mother"].append(one)
        return self._kept[wanted].popleft()


class _Visits:
    """Writes one patient's messages and what they must lead to."""

    def __init__(
        self,
        world: World,
        patient: Patient,
        rng: random.Random,
        now: datetime,
        run: str,
        *,
        mother: bool,
    ) -> None:
        self._world = world
        self._patient = patient
        self._rng = rng
        # whole seconds, and no two arrivals of one patient alike
        self._now = now.replace(microsecond=0) - timedelta(minutes=rng.randrange(10, 60))
        self._run = f"{run}-{len(world.patients)}"
        self._arrive = "A01" if mother else "A04"
        self._how = {"patient_class": "I", "method": "31"} if mother else {}
        self._number = 0
        self._lane = rng.randrange(CONNECTIONS)
        # some patients' messages overtake each other on different connections
        self._scattered = rng.random() < 0.25

    def add(self, shape: str) -> None:
        hour = timedelta(hours=1)
        if shape == "two-visits":
            first = self._arrival("V1", self._now - 6 * hour)
            self._send(self._message("A03", "V1", first + 2 * hour))
            self._told(self._arrival("V2", self._now))
            return
        if shape == "two-episodes":
            self._told(self._arrival("V1", self._now - 72 * hour))
            self._told(self._arrival("V2", self._now))
            return
        at = self._arrival("V1", self._now)
        recorded = at + timedelta(minutes=1)
        if shape == "repeated":
            self._send(self._last)
        elif shape == "updated":
            self._send(self._message("A08", "V1", at, recorded=recorded + timedelta(minutes=2)))
            self._unused(self._message("A38", "V1", at, recorded=recorded))
        elif shape == "admitted":
            self._send(self._message("A01", "V1", at, recorded=recorded + timedelta(minutes=3)))
        elif shape in {"cancelled", "revived"}:
            later = recorded + timedelta(minutes=2)
            self._send(self._message("A11", "V1", at, recorded=later))
            if shape == "cancelled":
                for plan in self._patient.plans:
                    self._world.cancelled.add((self._patient.number, plan.authority, at))
                return
            again = later + timedelta(minutes=2)
            self._send(self._message(self._arrive, "V1", at, recorded=again))
        self._told(at)

    def _arrival(self, visit: str, at: datetime) -> datetime:
        self._world.arrivals += 1
        self._send(self._message(self._arrive, visit, at))
        return at

    def _told(self, at: datetime) -> None:
        for authority in {plan.authority for plan in self._patient.plans}:
            plans = frozenset(
                one.plan_type for one in self._patient.plans if one.authority == authority
            )
            told = Told(self._patient.number, authority, at.astimezone(UTC), plans)
            self._world.alerts.add(told)

    def _message(
        self, trigger: str, visit: str, at: datetime, recorded: datetime | None = None
    ) -> bytes:
        self._number += 1
        return adt(
            trigger,
            self._patient.person,
            control_id=f"{self._run}-{self._number}",
            visit=f"{self._run}{visit}",
            occurred=at,
            recorded=recorded,
            reason=f"Reason {self._number}",
            **self._how,
        )

    def _send(self, body: bytes) -> None:
        lane = self._rng.randrange(CONNECTIONS) if self._scattered else self._lane
        self._world.lanes[lane].append(body)
        self._world.about[body] = self._patient
        self._last = body

    def _unused(self, body: bytes) -> None:
        self._send(body)
        self._world.not_used.add(body)


# --- flags ----------------------------------------------------------------------------------


async def load_flags(hub: Hub, world: World) -> None:
    """Both authorities upload; every record must be held."""
    for authority in AUTHORITIES:
        if body := world.flag_file(authority):
            await upload_flags(hub, authority, body)


async def upload_flags(
    hub: Hub, authority: str, body: bytes, *, expected: str | None = "CPR06"
) -> list[str]:
    """Upload a flag file and wait for all its answers; gives the codes by line."""
    async with hub.client(authority) as client:
        receipt = await client.upload(body)
        answers = [one async for one in client.follow_answers(receipt.upload_id, seconds=60)]
    codes = [one.code for one in sorted(answers, key=lambda one: one.line)]
    assert len(codes) == receipt.accepted
    if expected is not None:
        assert set(codes) == {expected}, sorted(set(codes))
    return codes
