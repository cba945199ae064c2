"""One person to be traced, strictly read: a line of an authority's file, or a body's member.

What a line must say at least is what PDS can be asked with and then compared: a number alone never
(that would be asking who somebody is). An NHS number that cannot be one is taken in: the search
goes by the other details.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from connectors.local_authority import records, tables
from connectors.local_authority.records import EARLIEST_BIRTH
from connectors.local_authority.rules import Refusal
from connectors.local_authority.tables import Part, Record, RefusedFile, Table
from schemas.events import PersonClaim

COLUMNS: Final = (
    "local_id",
    "nhs_number",
    "family",
    "given",
    "birth_date",
    "gender",
    "postcode",
)
"""What is read of a line."""

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    **{name: names for name, names in tables.ALIASES.items() if name in COLUMNS},
    "gender": ("Sex",),
    "postcode": ("Post code", "Home postcode", "Postal code"),
}
"""Other names of each column; case, spaces and punctuation do not count."""

PASSED_OVER: Final = tuple(name for name in records.COLUMNS if name not in COLUMNS)
"""Columns of a flag file that say nothing of who somebody is: the same file may be traced."""

GENDERS: Final = {
    **dict.fromkeys(("male", "m", "1"), "male"),
    **dict.fromkeys(("female", "f", "2"), "female"),
    **dict.fromkeys(("other", "indeterminate", "i", "9", "x"), "other"),
    **dict.fromkeys(("unknown", "not known", "u", "0"), "unknown"),
}

_LONGEST: Final = {"local_id": 64, "nhs_number": 40, "gender": 20, "postcode": 10}
_LONGEST_NAME: Final = 200
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be traced, as an organisation knows them."""

    local_id: str | None = field(repr=False)
    claim: PersonClaim = field(repr=False)


def _needed(seen: set[str]) -> list[str]:
    missing = [column for column in ("local_id", "birth_date") if column not in seen]
    if "family" not in seen and not {"nhs_number", "given"} <= seen:
        missing.append("family")
    return missing


HEADING: Final = tables.heading(
    (*COLUMNS, *PASSED_OVER), {**tables.ALIASES, **ALIASES}, _needed, passed_over=PASSED_OVER
)
"""The first line of a file to be traced."""


def wanted(
    columns: Mapping[str, str | None], *, today: date, local_id: bool = True
) -> Wanted | tuple[Refusal, ...]:
    """The person of these columns, or every reason why they are refused (at least one). `local_id`:
    whether it must be there.

    Never raises; no refusal holds a value.
    """
    said = {name: _said(columns.get(name)) for name in COLUMNS}
    refusals = [one for name, text in said.items() if (one := _wrong(name, text, today))]
    if local_id and said["local_id"] is None:
        refusals.append(Refusal("local_id", "column.required"))
    named = said["family"] or (said["given"] and said["nhs_number"])
    if not said["birth_date"] or not named:
        refusals.append(
            Refusal("birth_date" if not said["birth_date"] else "family", "trace.too_little")
        )
    if refusals:
        return tuple(refusals)
    return Wanted(
        said["local_id"],
        PersonClaim(
            nhs_number=said["nhs_number"],
            family=said["family"],
            given=tuple((said["given"] or "").split()),
            birth_date=said["birth_date"],
            gender=GENDERS[said["gender"].casefold()] if said["gender"] else None,
            postcode=said["postcode"],
        ),
    )


def _said(value: str | None) -> str | None:
    return (value or "").strip() or None


def _wrong(name: str, text: str | None, today: date) -> Refusal | None:
    if text is None:
        return None
    if len(text) > _LONGEST.get(name, _LONGEST_NAME):
        return Refusal(name, "column.too_long")
    if _CONTROL.search(text):
        return Refusal(name, "column.characters")
    if name == "gender" and text.casefold() not in GENDERS:
        return Refusal(name, "gender.unknown")
    if name == "birth_date":
        return _wrong_date(text, today)
    return None


def _wrong_date(text: str, today: date) -> Refusal | None:
    if not _DATE.fullmatch(text):
        return Refusal("birth_date", "date.not_iso")
    try:
        date.fromisoformat(text)
    except ValueError:
        return Refusal("birth_date", "date.no_such_day")
    if text > today.isoformat():
        return Refusal("birth_date", "date.not_before_today")
    return Refusal("birth_date", "date.not_plausible") if text < EARLIEST_BIRTH else None


@dataclass(frozen=True, slots=True)
class Read:
    """A row of the file by its first line, and its person or why it is refused. `fatal`: and the
    file with it.
    """

    line: int
    person: Wanted | tuple[Refusal, ...]
    fatal: bool = False


class Reader:
    """Reads one CSV file piece by piece, in flat memory."""

    def __init__(self, *, today: date, max_bytes: int) -> None:
        self._today = today
        self._table = Table(max_bytes, HEADING)

    def feed(self, chunk: bytes) -> Iterator[Read]:
        """What `chunk` completes."""
        return self._read(self._table.feed(chunk))

    def end(self) -> Iterator[Read]:
        """The rest. Not for a body that broke off."""
        return self._read(self._table.end())

    def _read(self, parts: Iterable[Part]) -> Iterator[Read]:
        for part in parts:
            if isinstance(part, Record):
                yield Read(part.line.number, wanted(part.columns, today=self._today))
            else:
                fatal = isinstance(part, RefusedFile)
                yield Read(part.line.number, part.refusals, fatal=fatal)
