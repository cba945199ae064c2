"""Flag files of any length, made while they are sent, and the people in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import date
from itertools import islice
from typing import Final

from bench.known import batched
from connectors.local_authority.reading import Format
from halyard.cli.practice import AUTHORITY
from sandbox.pds.people import Person, generate

FORMATS: Final[tuple[Format, ...]] = ("jsonl", "csv")
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


async def file(format_: Format, first: int, count: int, today: date) -> AsyncIterator[bytes]:
    """The file as it is sent, some records at a time."""
    for some in batched(records(format_, people(first, count), today), 200):
        yield b"".join(some)
