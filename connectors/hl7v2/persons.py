"""Who a message is about: PID in the shapes that English feeds really send.

An NHS number may stand in any repetition of PID-3, else in PID-2 or PID-4, told by its assigning
authority (CX.4) or its type (CX.5): ``NHS``, ``NH``, ``NHSNMBR``, ``NHSNBR``, or ``HN``, which
some use for "hospital number", so that it counts only with the form of an NHS number. Nothing is
verified here, and nothing is refused: what is odd gets a mark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from connectors.hl7v2.er7 import HL7_NULL, Message, Segment
from connectors.hl7v2.times import iso_date
from halyard import nhs_number
from halyard.nhs_number import NhsNumberOutcome
from schemas.events import NhsNumberStatus, PersonClaim

_MAX_NAMES: Final = 8
_MAX_OTHERS: Final = 4
_MAX_TEXT: Final = 250
_LOCAL_TYPES: Final = frozenset({b"MR", b"MRN", b"MEDREC", b"PI"})
_UNUSABLE: Final = frozenset(
    {NhsNumberOutcome.ABSENT, NhsNumberOutcome.MALFORMED, NhsNumberOutcome.BAD_CHECK_DIGIT}
)
# HL7 table 0001 and the NHS Data Dictionary's person gender codes
_GENDERS: Final = {
    "1": "male",
    "M": "male",
    "2": "female",
    "F": "female",
    "O": "other",
    "A": "other",
    "I": "other",
    "9": "unknown",
    "0": "unknown",
    "U": "unknown",
    "X": "unknown",
    "N": "unknown",
}


def bounded(text: str, place: str, marks: list[str], limit: int = _MAX_TEXT) -> str | None:
    """`text` stripped and cut to `limit` characters (marked); None if nothing is left.

    An event holds the message and its fields, and must fit Kafka's largest record all the same.
    """
    text = text.strip()
    if len(text) > limit:
        marks.append(f"text-cut:{place}")
        text = text[:limit]
    return text or None


@dataclass(slots=True)
class _Identifiers:
    numbers: list[str] = field(default_factory=list)  # in order of preference
    suspect: list[str] = field(default_factory=list)  # said to be NHS numbers, but cannot be
    local_id: str | None = None
    local_key: str | None = None  # with its assigning authority
    local_rank: int = 9


def person_claim(
    message: Message, pid: Segment, marks: list[str]
) -> tuple[PersonClaim, str | None]:
    """The claim in `pid`, and the local id with its assigning authority (for keys).

    Adds to `marks`; no mark holds a value.
    """
    found = _identifiers(message, pid)
    number = next(iter(found.numbers or found.suspect), None)
    others = tuple(dict.fromkeys(one for one in found.numbers if one != number))
    if others:
        marks.append("nhs-number-several")
    if number is not None and not found.numbers:
        marks.append("nhs-number-invalid")
    family, given = _name(pid, marks)
    if family is None:
        marks.append("family-name-missing")
    birth_text = pid.text(7, 1)
    birth_date = iso_date(birth_text) if birth_text else None
    if birth_date is None:
        marks.append("birth-date-invalid" if birth_text else "birth-date-missing")
    gender_text = pid.text(8, 1).strip().upper()
    gender = _GENDERS.get(gender_text)
    if gender_text and gender is None:
        marks.append("gender-unknown-code")
    claim = PersonClaim(
        nhs_number=bounded(number or "", "PID-3", marks, 40),
        nhs_number_status=_status(message, pid, marks),
        family=family,
        given=given,
        birth_date=birth_date,
        gender=gender,
        postcode=bounded(_postcode(pid), "PID-11", marks, 40),
        local_id=bounded(found.local_id or "", "PID-3", marks),
        other_numbers=others[:_MAX_OTHERS],
    )
    return claim, found.local_key


def _identifiers(message: Message, pid: Segment) -> _Identifiers:
    found = _Identifiers()
    for number in (3, 2, 4):
        for raw in pid.repetitions(number):
            _identifier(found, message, number, raw)
        if number == 3 and found.numbers:
            break
    return found


def _identifier(found: _Identifiers, message: Message, number: int, raw: bytes) -> None:
    """One CX: id, check digit, its scheme, assigning authority, type."""
    parts = raw.split(message.delimiters.component)
    if not parts[0] or parts[0] == HL7_NULL:
        return
    value = message.decode(parts[0], "PID", number).strip()
    if not value:
        return
    authority = _code(message, parts, 3)
    kind = _code(message, parts, 4)
    said = b"NHS" in authority or kind == b"NH" or kind.startswith(b"NHS")
    if said or kind == b"HN":
        form = nhs_number.parse(value, profile="test").outcome
        if form not in _UNUSABLE:
            found.numbers.append(value)
            return
        if said:
            found.suspect.append(value)
            return
    if number == 3:
        rank = 0 if kind in _LOCAL_TYPES else 1
        if rank < found.local_rank:
            found.local_rank, found.local_id = rank, value
            # two authorities may be told apart by their universal ids alone
            site = authority or _code(message, parts, 3, 1)
            found.local_key = f"{site.decode('latin-1')}^{value}"


def _code(message: Message, parts: list[bytes], index: int, sub: int = 0) -> bytes:
    """A subcomponent (the first) of a component, in capitals."""
    if index >= len(parts):
        return b""
    mark = message.delimiters.subcomponent
    subs = parts[index].split(mark) if mark else parts[index : index + 1]
    return subs[sub].strip().upper() if sub < len(subs) else b""


def _status(message: Message, pid: Segment, marks: list[str]) -> NhsNumberStatus:
    """NSTS01..08 anywhere in PID-32 (table 0445 has no order)."""
    raw = pid.field(32)
    if not raw:
        return NhsNumberStatus.UNKNOWN
    told = [
        text for text in raw.split(message.delimiters.repetition or b"~") if text[:4] == b"NSTS"
    ]
    if len(told) > 1:
        marks.append("nhs-number-status-several")
        return NhsNumberStatus.UNKNOWN
    if not told:
        return NhsNumberStatus.UNKNOWN
    try:
        return NhsNumberStatus("S" + told[0][4:].strip().decode("latin-1"))
    except ValueError:
        marks.append("nhs-number-status-unknown")
        return NhsNumberStatus.UNKNOWN


def _name(pid: Segment, marks: list[str]) -> tuple[str | None, tuple[str, ...]]:
    """Family and given names: the legal name (XPN.7 ``L``), else the first that is there."""
    repetitions = pid.repetitions(5)
    index = 1
    if len(repetitions) > 1:
        kinds = [pid.component(5, 7, 0, at) for at in range(1, len(repetitions) + 1)]
        if b"L" in kinds:
            index = kinds.index(b"L") + 1
    family = bounded(pid.text(5, 1, 1, index), "PID-5", marks)
    first = bounded(pid.text(5, 2, 1, index), "PID-5", marks)
    third = pid.text(5, 3, 1, index)
    if not third:
        return family, (first,) if first else ()
    further = (bounded(third, "PID-5", marks) or "").split()
    given = (first, *further) if first else tuple(further)
    return family, given[:_MAX_NAMES]


def _postcode(pid: Segment) -> str:
    """Postcode of the home address (XAD.7 ``H``), else of the first."""
    repetitions = pid.repetitions(11)
    index = 1
    if len(repetitions) > 1:
        kinds = [pid.component(11, 7, 0, at) for at in range(1, len(repetitions) + 1)]
        if b"H" in kinds:
            index = kinds.index(b"H") + 1
    return pid.text(11, 5, 1, index)
