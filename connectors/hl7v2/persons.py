"""Who a message is about: PID in the shapes that English feeds really send.

An NHS number may stand in any repetition of PID-3, else in PID-2 or PID-4 (`identifiers`). Nothing
is verified here, and nothing is refused: what is odd gets a mark.
"""

from __future__ import annotations

from typing import Final

from connectors.hl7v2.er7 import Message, Segment, part
from connectors.hl7v2.identifiers import MAX_REPETITIONS, LocalId, beside, identifiers
from connectors.hl7v2.times import iso_date
from connectors.identifiers import kept
from connectors.persons import birth_order
from schemas.events import NhsNumberStatus, PersonClaim

YES: Final = frozenset({"Y", "YES", "1", "T", "TRUE"})
"""How senders write the yes of table 0136."""

_NO: Final = frozenset({"N", "NO", "0", "F", "FALSE"})
_MAX_NAMES: Final = 8
_MAX_OTHERS: Final = 4
_MAX_TEXT: Final = 250
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


def person_claim(
    message: Message, pid: Segment, marks: list[str], *, shielded: bool = False
) -> tuple[PersonClaim, LocalId | None]:
    """The claim in `pid`, and the local id that keys are made of.

    Names, birth date and postcode of who is not identified (PID-31 ``Y``) are placeholders and no
    evidence: left out, marked ``identity-unknown``. `shielded`: the address is hidden, and left
    out. Adds to `marks`; no mark holds a value.
    """
    found = identifiers(message, pid, (3, 2, 4))
    marks.extend(f"repetitions-cut:{place}" for place in found.cut)
    local = found.local()
    lone = len(found.locals) <= 1 and not pid.field(2)  # as most are: nothing stands beside it
    number = next(iter(found.numbers or found.suspect), None)
    others = tuple(dict.fromkeys(one for one in found.numbers if one != number))
    if others:
        marks.append("nhs-number-several")
    if found.untyped:
        marks.append("nhs-number-untyped")
    if number is not None and not found.numbers:
        marks.append("nhs-number-invalid")
    unknown = pid.text(31, 1).strip().upper() in YES
    family, given, birth_date = (None, (), None) if unknown else _who(message, pid, marks)
    if unknown:
        marks.append("identity-unknown")
    gender_text = pid.text(8, 1).strip().upper()
    gender = _GENDERS.get(gender_text)
    if gender_text and gender is None:
        marks.append("gender-unknown-code")
    several, order = _birth(pid, marks)
    claim = PersonClaim(
        nhs_number=bounded(number or "", "PID-3", marks, 40),
        nhs_number_status=_status(message, pid, marks),
        family=family,
        given=given,
        birth_date=birth_date,
        gender=gender,
        postcode=(
            None
            if shielded or unknown
            else bounded(_postcode(message, pid, marks), "PID-11", marks, 40)
        ),
        local_id=bounded(local.value if local else "", "PID-3", marks),
        other_numbers=others[:_MAX_OTHERS],
        identifiers=kept(
            () if lone else beside(found, message, pid), beside=local.value if local else None
        ),
        multiple_birth=several,
        birth_order=order,
    )
    return claim, local


def _who(
    message: Message, pid: Segment, marks: list[str]
) -> tuple[str | None, tuple[str, ...], str | None]:
    """Family name, given names, birth date."""
    family, given = _name(message, pid, marks)
    if family is None:
        marks.append("family-name-missing")
    birth_text = pid.text(7, 1)
    birth_date = iso_date(birth_text) if birth_text else None
    if birth_date is None:
        marks.append("birth-date-invalid" if birth_text else "birth-date-missing")
    return family, given, birth_date


def _birth(pid: Segment, marks: list[str]) -> tuple[bool | None, int | None]:
    """Whether the person is one of several (PID-24), and the order of birth (PID-25)."""
    if not pid.field(24) and not pid.field(25):
        return None, None
    told, text = pid.text(24, 1).strip().upper(), pid.text(25, 1).strip()
    several = True if told in YES else False if told in _NO else None
    number = int(text) if len(text) == 1 and text in "123456789" else None
    if (told and several is None) or (text and number is None):
        marks.append("multiple-birth-invalid")
    return several, birth_order(number)


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


def _name(message: Message, pid: Segment, marks: list[str]) -> tuple[str | None, tuple[str, ...]]:
    """Family and given names: the legal name (XPN.7 ``L``), else the first that is there."""
    index = _typed(message, pid, 5, b"L", marks)
    family = bounded(pid.text(5, 1, 1, index), "PID-5", marks)
    first = bounded(pid.text(5, 2, 1, index), "PID-5", marks)
    third = pid.text(5, 3, 1, index)
    if not third:
        return family, (first,) if first else ()
    further = (bounded(third, "PID-5", marks) or "").split()
    given = (first, *further) if first else tuple(further)
    return family, given[:_MAX_NAMES]


def _postcode(message: Message, pid: Segment, marks: list[str]) -> str:
    """Postcode of the home address (XAD.7 ``H``), else of the first."""
    return pid.text(11, 5, 1, _typed(message, pid, 11, b"H", marks))


def _typed(message: Message, pid: Segment, number: int, kind: bytes, marks: list[str]) -> int:
    """Which repetition (from 1) has this type as its seventh component; else the first."""
    repetitions = pid.repetitions(number)
    if len(repetitions) > MAX_REPETITIONS:
        marks.append(f"repetitions-cut:PID-{number}")
    for at, raw in enumerate(repetitions[:MAX_REPETITIONS], start=1):
        if part(raw, message.delimiters, 7) == kind:
            return at
    return 1
