"""Identifiers (CX) in the shapes that English feeds really send: PID-3, PID-21, MRG-1.

An NHS number is told by its assigning authority (CX.4: ``NHS``, ``NHSNMBR``, ``NHSNBR``, or its
OID) or its type (CX.5: ``NH``, ``NHS``…). ``HN``, which some use for "hospital number", and an
authority with NHS somewhere in its name, which many trusts have, count only with the form of an NHS
number, the latter not with a record number's type. One without either in PID-2, where older systems
put it, counts with that form too (`Identifiers.untyped`). Every other one is the hospital's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from connectors.hl7v2.er7 import HL7_NULL, Message, Segment
from connectors.identifiers import Scheme, made
from connectors.persons import shared_local_id, usable_number
from halyard import nhs_number
from halyard.nhs_number import NhsNumberOutcome
from schemas.events import Identifier

MAX_REPETITIONS: Final = 64
"""Of a repeating field that are looked at; more are left out, marked."""

_LOCAL_TYPES: Final = frozenset({b"MR", b"MRN", b"MEDREC", b"PI"})
_RECORD_TYPES: Final = frozenset({"", "MR", "MRN", "MEDREC", "PI", "PT", "HN"})
_AUTHORITIES: Final = frozenset({b"NHS", b"NHSNMBR", b"NHSNBR"})
_OID: Final = b"2.16.840.1.113883.2.1.4.1"  # of the NHS number


@dataclass(frozen=True, slots=True)
class LocalId:
    """A hospital's own identifier and who assigned it (capitals; empty when not said)."""

    value: str = field(repr=False)
    authority: str = ""
    rank: int = 1  # 0: typed as a record number
    kind: str = ""  # CX.5, in capitals

    @property
    def key(self) -> str:
        """What patient keys are made of; two authorities may both count from 1."""
        return f"{self.authority}^{self.value}"


@dataclass(slots=True)
class Identifiers:
    """What was found, each list in the sender's order."""

    numbers: list[str] = field(default_factory=list, repr=False)  # usable as NHS numbers
    suspect: list[str] = field(default_factory=list, repr=False)  # said to be, but cannot be
    locals: list[LocalId] = field(default_factory=list, repr=False)
    untyped: bool = False  # the number stands where one may be expected, and is not said to be one
    cut: list[str] = field(default_factory=list)  # fields of which not all was looked at

    def local(self) -> LocalId | None:
        """The patient's record number: the first that is typed as one, else the first; one that is
        nobody's (UNKNOWN) only if there is no other.
        """
        return min(self.locals, key=_rank, default=None)

    def local_as(self, own: LocalId | None) -> LocalId | None:
        """The local id of another patient of the message whose own local id is `own`, with the
        authority that this patient's own messages give it.

        Both name one: each its own (two sites behind one engine). Only one of the two does: as
        `own` is written, for PID-3 is the field by which that patient was known before. Among
        several of equal rank the one of the same authority is preferred.
        """
        if own is None:
            return self.local()
        found = min(
            self.locals, key=lambda one: (*_rank(one), one.authority != own.authority), default=None
        )
        if found is None or (found.authority and own.authority):
            return found
        return replace(found, authority=own.authority)


def _rank(one: LocalId) -> tuple[bool, int]:
    return shared_local_id(one.value), one.rank


def identifiers(message: Message, segment: Segment, numbers: tuple[int, ...]) -> Identifiers:
    """What the fields `numbers` of `segment` hold.

    Local ids come from the first field alone, NHS numbers from the first field that has any.
    """
    found = Identifiers()
    for at, number in enumerate(numbers):
        repetitions = segment.repetitions(number)
        if len(repetitions) > MAX_REPETITIONS:
            found.cut.append(f"{segment.name}-{number}")
        for raw in repetitions[:MAX_REPETITIONS]:
            _identifier(found, message, segment.name, number, raw, local=at == 0)
        if found.numbers and at == 0:
            break
    return found


def _identifier(
    found: Identifiers, message: Message, name: str, number: int, raw: bytes, *, local: bool
) -> None:
    """One CX: id, check digit, its scheme, assigning authority, type."""
    parts = raw.split(message.delimiters.component)
    if not parts[0] or parts[0] == HL7_NULL:
        return
    value = message.decode(parts[0], name, number).strip()
    if not value:
        return
    authority = _code(message, parts, 3)
    kind = _code(message, parts, 4)
    universal = _code(message, parts, 3, 1)
    number_here = usable_number(value)
    said = _OID in (authority, universal) or authority in _AUTHORITIES
    said = said or kind == b"NH" or kind.startswith(b"NHS")
    # a trust's own name may hold the letters too: it says less than the form of what stands there
    perhaps = b"NHS" in authority and kind not in _LOCAL_TYPES
    if number_here and (said or perhaps or kind == b"HN"):
        found.numbers.append(number_here)
        return
    if said or (perhaps and _of_ten_digits(value)):
        found.suspect.append(value)
        return
    if name == "PID" and number == 2 and not (authority or kind or found.suspect):
        if number_here:
            found.numbers.append(number_here)
            found.untyped = True
        return
    if local:
        # two authorities may be told apart by their universal ids alone
        site = (authority or universal).decode("latin-1")
        rank = 0 if kind in _LOCAL_TYPES else 1
        found.locals.append(LocalId(value, site, rank, kind.decode("latin-1")))


def beside(found: Identifiers, message: Message, pid: Segment) -> Iterator[Identifier | None]:
    """The person's other identifiers: those of PID-3, and those of PID-2 whose authority is said.

    Record numbers alone, and unique pupil numbers: what is typed as anything else (a passport, a
    National Insurance number, an account, a visit) is not kept.
    """
    for one in (*found.locals, *(_second(message, pid) if pid.field(2) else ())):
        if one.kind in _RECORD_TYPES:
            yield made(Scheme.HOSPITAL_NUMBER, one.value, one.authority)
        elif one.kind == "UPN":
            yield made(Scheme.UPN, one.value, one.authority)


def _second(message: Message, pid: Segment) -> list[LocalId]:
    found = Identifiers()
    for raw in pid.repetitions(2)[:MAX_REPETITIONS]:
        _identifier(found, message, pid.name, 2, raw, local=True)
    return [one for one in found.locals if one.authority]


def _of_ten_digits(value: str) -> bool:
    return nhs_number.parse(value, profile="test").outcome is not NhsNumberOutcome.MALFORMED


def _code(message: Message, parts: list[bytes], index: int, sub: int = 0) -> bytes:
    """A subcomponent (the first) of a component, in capitals."""
    if index >= len(parts):
        return b""
    mark = message.delimiters.subcomponent
    subs = parts[index].split(mark) if mark else parts[index : index + 1]
    return subs[sub].strip().upper() if sub < len(subs) else b""
