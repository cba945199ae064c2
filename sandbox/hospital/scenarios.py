"""What a hospital sends, step by step: pure, and the same for the same seed, run and time.

    for step in play("feed-gone-mad", sender, now, count=200, seed=1):
        ...  # write step.data, expect step.answers answers, each step.code

Everybody is invented: the characters of the practice authority, and generated people.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from sandbox.hospital.adt import Place, Sender, Told, later
from sandbox.pds.people import Person, generate
from sandbox.samples.cast import CAST

_ED: Final = Place("ED", "E", "21")
_MINORS: Final = Place("MINORS", "E", "21")
_WARD: Final = Place("PAEDS", "I", "21")
_LABOUR: Final = Place("LABOUR", "I", "31")
_POSTNATAL: Final = Place("POSTNATAL", "I", "82")
_CLINIC: Final = Place("ANTENATAL", "O", "")
_REASONS: Final = ("Fall at home", "Chest pain", "Fever", "Burn", "Head injury", "Abdominal pain")
_MODES: Final = ("Ambulance", "Walked in", "Brought by police", "")
NIGHT: Final = timedelta(hours=10)


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes as they go over the wire, and what is to come back.

    `code` is what each answer says (AA, AE, AR; "" where none is to come). `closes`: the hub may
    close the connection, since it cannot know where the next message begins.
    """

    name: str
    data: bytes = field(repr=False)
    answers: int = 1
    code: str = "AA"
    closes: bool = False


def framed(message: bytes) -> bytes:
    """A message as it goes over MLLP."""
    return b"\x0b" + message + b"\x1c\r"


def play(name: str, sender: Sender, now: datetime, *, count: int, seed: int) -> Iterator[Step]:
    """At most `count` steps of a scenario that ends at `now` (aware). KeyError: no such one."""
    return SCENARIOS[name](sender, now, count, random.Random(f"{name}:{seed}"))


def night_in_ae(sender: Sender, now: datetime, count: int, chance: random.Random) -> Iterator[Step]:
    """A department's night: children and adults arrive, wait, are told more of, stay or go home;
    one in ten is a child that an authority protects.
    """
    told: list[Told] = []
    strangers = _strangers(chance, count)
    visit = 0
    while len(told) < count:
        visit += 1
        arrived = now - NIGHT * chance.random()
        told += _visit(chance, _somebody(chance, strangers), visit, arrived, now)
    return _in_order(sender, told, count)


def maternity_ward(
    sender: Sender, now: datetime, count: int, chance: random.Random
) -> Iterator[Step]:
    """Bookings, mothers admitted, births that name the mother, temporary records merged, and both
    sent home; the first mother has a plan for her unborn child.
    """
    told: list[Told] = []
    mothers = generate(
        count + 2, chance.randrange(1, 1_000), born_from=date(1985, 1, 1), born_to=date(2004, 1, 1)
    )
    number = 0
    while len(told) < count:
        number += 1
        mother = CAST.mother if number == 1 else next(mothers)
        at = now - NIGHT * chance.uniform(0.5, 1)
        local = _local(mother)
        admitted = Told("A01", at, mother, local, f"M{number:04}", _LABOUR, "Labour", "Ambulance")
        born = at + (now - at) * chance.uniform(0.3, 0.6)
        baby = Person(
            nhs_number="",
            family=mother.family,
            given=("Baby",),
            birth_date=born.date().isoformat(),
            gender=chance.choice(("female", "male")),
            postcode=mother.postcode,
        )
        birth = Told(
            "A01",
            born,
            baby,
            f"B{number:05}",
            f"B{number:04}",
            _POSTNATAL,
            number_known=False,
            mother=(local, mother.nhs_number),
        )
        home = born + (now - born) * chance.uniform(0.5, 0.95)
        told.append(admitted)
        if chance.random() < 0.4:
            booked = later(admitted, "A05", at - timedelta(minutes=30), visit=f"C{number:04}")
            told.append(replace(booked, place=_CLINIC))
        told.append(birth)
        if chance.random() < 0.3:  # the baby was first registered under another number
            merged = later(birth, "A40", born + (home - born) * 0.5)
            told.append(replace(merged, retired=f"TEMP{number:04}", mother=None))
        told += [later(birth, "A03", home), later(admitted, "A03", home)]
    return _in_order(sender, told, count)


def feed_gone_mad(
    sender: Sender, now: datetime, count: int, chance: random.Random
) -> Iterator[Step]:
    """A night through a broken interface engine: repeats, control ids that begin anew, a wrong
    order, noise, broken frames, floods, odd character sets, messages about nobody.
    """
    sane = [step.data[1:-2] for step in night_in_ae(sender, now, max(count, 4), chance)]
    made, at = 0, 0
    while made < count:
        message = sane[at % len(sane)]
        at += 1
        step = chance.choice(FAULTS)(message, sane, chance)
        made += 1
        yield step
        if step.closes and made < count:
            made += 1
            yield Step("after", framed(message))


def _in_order(sender: Sender, told: list[Told], count: int) -> Iterator[Step]:
    chosen = sorted(told[:count], key=lambda one: (one.at, one.visit, one.trigger))
    for serial, one in enumerate(chosen, start=1):
        yield Step(one.trigger, framed(sender.message(one, serial)))


def _strangers(chance: random.Random, count: int) -> Iterator[Person]:
    return generate(
        count + 2, chance.randrange(1, 1_000), born_from=date(1940, 1, 1), born_to=date(2024, 1, 1)
    )


def _somebody(chance: random.Random, strangers: Iterator[Person]) -> Person:
    if chance.random() < 0.1:
        return chance.choice((CAST.robin, CAST.looked_after, CAST.searched, CAST.superseded_new))
    return next(strangers)


def _visit(
    chance: random.Random, person: Person, number: int, arrived: datetime, now: datetime
) -> list[Told]:
    place = chance.choice((_ED, _ED, _MINORS))
    known = person is not CAST.searched and chance.random() < 0.95
    first = Told(
        "A04",
        arrived,
        person,
        _local(person),
        f"{number:05}",
        place,
        mode=chance.choice(_MODES),
        number_known=known,
    )
    if chance.random() < 0.08:
        return [first, later(first, "A11", arrived + (now - arrived) * 0.2)]
    triage = later(first, "A08", arrived + (now - arrived) * 0.1, reason=chance.choice(_REASONS))
    told = [first, triage]
    if chance.random() < 0.15:
        told.append(replace(later(triage, "A01", arrived + (now - arrived) * 0.5), place=_WARD))
    elif chance.random() < 0.7:
        told.append(later(triage, "A03", arrived + (now - arrived) * 0.6))
    return told


def _local(person: Person) -> str:
    return f"T{person.nhs_number[-6:-1]}" if person.nhs_number else "T00000"


# --- What a feed does that has gone mad --------------------------------------------------------

Fault = Callable[[bytes, list[bytes], random.Random], Step]
_OVER: Final = 1_100_000  # bytes: more than the hub takes


def _header(message: bytes, number: int, value: bytes) -> bytes:
    head, _, rest = message.partition(b"\r")
    fields = head.split(b"|")
    fields[number - 1] = value
    return b"|".join(fields) + b"\r" + rest


def _sane(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("as it should be", framed(message))


def _repeat(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("the same again at once", framed(message) * 3, answers=3)


def _restarted(message: bytes, _all: list[bytes], chance: random.Random) -> Step:
    control_id = b"%05d" % chance.randrange(3)
    return Step("control ids begin anew", framed(_header(message, 10, control_id)))


def _wrong_order(_message: bytes, sane: list[bytes], chance: random.Random) -> Step:
    return Step("a later one first", framed(chance.choice(sane)))


def _flood(_message: bytes, sane: list[bytes], chance: random.Random) -> Step:
    some = [chance.choice(sane) for _ in range(20)]
    return Step("twenty without waiting", b"".join(map(framed, some)), answers=20)


def _noise(message: bytes, _all: list[bytes], chance: random.Random) -> Step:
    noise = bytes(chance.choice(b"abc \x00\xff{}") for _ in range(chance.randrange(1, 400)))
    return Step("noise before a frame", noise + framed(message))


def _truncated(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    cut = b"\x0b" + message[: len(message) // 2] + framed(message)
    return Step("given up half way", cut, answers=0, code="", closes=True)


def _oversize(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    large = message + b"NTE|1||" + b"x" * _OVER + b"\r"
    return Step("too large", framed(large), code="AR", closes=True)


def _no_message(_message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("a frame without MSH", framed(b"<html>503 Service Unavailable</html>"), code="AE")


def _nobody(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    kept = [line for line in message.split(b"\r") if not line.startswith(b"PID")]
    return Step("about nobody", framed(b"\r".join(kept)), code="AE")


def _stranger(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("of a feed nobody knows", framed(_header(message, 4, b"NOBODY")), code="AR")


def _odd_charset(message: bytes, _all: list[bytes], chance: random.Random) -> Step:
    declared = chance.choice((b"UNICODE", b"8859/1", b"KLINGON", b""))
    body = _header(message, 18, declared).replace(b"TEST STREET", b"CAF\xc9 STREET \x96")
    return Step("letters of another character set", framed(body))


def _month_13(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    body = message.replace(b"EVN||20", b"EVN||2026139912|20", 1)
    return Step("a day that there is not", framed(body))


def _unknown_trigger(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("a trigger nobody uses", framed(_header(message, 9, b"ADT^A99^ADT_A01")))


def _line_feeds(message: bytes, _all: list[bytes], _chance: random.Random) -> Step:
    return Step("lines end in CR LF", framed(message.replace(b"\r", b"\r\n")))


FAULTS: Final[tuple[Fault, ...]] = (
    *(_sane,) * 6,
    _repeat,
    _restarted,
    _wrong_order,
    _flood,
    _noise,
    _truncated,
    _oversize,
    _no_message,
    _nobody,
    _stranger,
    _odd_charset,
    _month_13,
    _unknown_trigger,
    _line_feeds,
)

SCENARIOS: Final[dict[str, Callable[[Sender, datetime, int, random.Random], Iterator[Step]]]] = {
    "night-in-ae": night_in_ae,
    "maternity-ward": maternity_ward,
    "feed-gone-mad": feed_gone_mad,
}
