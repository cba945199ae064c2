"""Flag files of any length, made while they are sent, and the people in them, known already."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from connectors.local_authority.reading import Format
from connectors.pds.outcomes import PdsRecord
from halyard.cli.practice import AUTHORITY
from halyard.postgres import Pool, transaction
from halyard.privacy import Keys
from sandbox.pds.people import Person, generate
from stores import identities
from streams.identity.evidence import known_person

FORMATS: Final[tuple[Format, ...]] = ("jsonl", "csv")
T = TypeVar("T")
_AT_ONCE: Final = 1_000
_HEADER: Final = (
    "NHS Number,Surname,Forenames,Date of birth,Plan type,Start date,End date,GSS code,Local ID,"
    "Office phone,Emergency phone\r\n"
)


def people(first: int, count: int) -> Iterator[Person]:
    """`count` people from the `first` on, always the same; all at once would be a lot of memory."""
    return islice(generate(first + count), first, None)


def size_of(format_: Format, first: int, count: int, today: date) -> int:
    """Bytes of a file."""
    return sum(map(len, records(format_, people(first, count), today)))


def records(format_: Format, who: Iterable[Person], today: date) -> Iterator[bytes]:
    """A child protection plan for each, a line at a time."""
    start = date(today.year - 1, 1, 1)
    if format_ == "csv":
        yield _HEADER.encode()
    for serial, one in enumerate(who, start=1):
        yield _csv(one, start, serial) if format_ == "csv" else _json(one, start, serial)


def _json(one: Person, start: date, serial: int) -> bytes:
    record = {
        "nhs_number": one.nhs_number,
        "family": one.family,
        "given": " ".join(one.given),
        "birth_date": one.birth_date,
        "plan_type": "CPP",
        "start": start.isoformat(),
        "end": None,
        "la_gss": AUTHORITY,
        "local_id": _local_id(one, serial),
        "phone_office": "01632 960 201",
        "phone_emergency": "01632 960 202",
    }
    return json.dumps(record).encode() + b"\n"


def _csv(one: Person, start: date, serial: int) -> bytes:
    number = one.nhs_number
    born = date.fromisoformat(one.birth_date)
    cells = (
        f"{number[:3]} {number[3:6]} {number[6:]}",
        f'"{one.family}"' if serial % 10 == 0 else one.family,
        " ".join(one.given),
        born.strftime("%d/%m/%Y"),
        "CPP",
        start.strftime("%d/%m/%Y"),
        "",
        AUTHORITY,
        _local_id(one, serial),
        "01632 960 201",
        "01632 960 202",
    )
    return ",".join(cells).encode() + b"\r\n"


def _local_id(one: Person, serial: int) -> str:
    return f"BENCH-{serial}-{one.nhs_number[3:8]}"


def _batched(items: Iterable[T], amount: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while some := tuple(islice(iterator, amount)):
        yield some


async def file(format_: Format, first: int, count: int, today: date) -> AsyncIterator[bytes]:
    """The file as it is sent, some records at a time."""
    for some in _batched(records(format_, people(first, count), today), 200):
        yield b"".join(some)


async def warm(pool: Pool, keys: Keys, who: Iterable[Person], now: datetime) -> None:
    """Put people into the local index, as if PDS had verified them lately."""
    for some in _batched(who, _AT_ONCE):
        async with transaction(pool) as connection:
            await identities.put(connection, _known(keys, some, now))


def _known(keys: Keys, some: Sequence[Person], now: datetime) -> list[identities.KnownPerson]:
    return [
        known_person(
            PdsRecord(
                nhs_number=one.nhs_number,
                family=one.family,
                given=one.given,
                birth_date=one.birth_date,
                gender=one.gender,
                postcode=one.postcode,
                restricted=False,
            ),
            keys=keys,
            verified_at=now,
            keep_until=now + timedelta(days=2),
        )
        for one in some
    ]
