"""One field of a claim against the same field of a record of PDS. Pure; no field decides alone.

Names are compared by `halyard.names`: without case, accents, hyphens, apostrophes and spaces, by
any name that PDS has for the person, now or before. Given names have a module of their own,
`connectors.pds.given_fit`.
"""

from __future__ import annotations

import re
from typing import Final

from connectors.pds.agreement import Agreement
from halyard.names import (
    name_forms,
    normalise_name,
    normalise_postcode,
    slips,
    telling_parts,
)
from halyard.nhs_number import check_digit

_FIRST_TRUSTED_YEAR: Final = "1905"
_SHORTEST_SLIP: Final = 4  # letters
_LONG_NAME: Final = 7  # letters, from which a family name may have two slips
_FULL_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NO_FAMILY: Final = frozenset({"unknown", "unk", "notknown", "nk", "none", "x", "xx", "xxx"})


def compare_number(claimed: str | None, held: str, requested: str | None) -> Agreement:
    """A number with a wrong check digit is a slip of the pen: it says nothing."""
    digits = re.sub(r"[ \-]", "", claimed or "")
    if not re.fullmatch(r"[0-9]{10}", digits, re.ASCII) or check_digit(digits[:9]) != int(
        digits[9]
    ):
        return Agreement.ABSENT
    if digits == held:
        return Agreement.AGREES
    return Agreement.SUPERSEDED if digits == requested else Agreement.DIFFERS


def compare_birth_date(claimed: str | None, held: str | None) -> Agreement:
    """ISO dates, either of them perhaps partial. Symmetric.

    Neither day and month swapped nor one wrong digit (or two neighbours exchanged) is agreement.
    """
    if not claimed or not held:
        return Agreement.ABSENT
    if not (_FULL_DATE.fullmatch(claimed) and _FULL_DATE.fullmatch(held)):
        shorter, longer = sorted((claimed, held), key=len)
        return Agreement.PARTLY if longer.startswith(shorter) else Agreement.DIFFERS
    if claimed == held:
        return Agreement.AGREES
    if f"{claimed[:4]}-{claimed[8:]}-{claimed[5:7]}" == held:
        return Agreement.SWAPPED
    one_slip = slips(claimed.replace("-", ""), held.replace("-", ""), at_most=1)
    return Agreement.DIFFERS if one_slip is None else Agreement.NEARLY


def stands_for_unknown(birth_date: str | None) -> bool:
    """True for 1 January, and for what is before 1905: written where nobody knows the day.

    Children who came without papers have the first; systems that want a date have the others.
    """
    text = birth_date or ""
    return text.endswith("-01-01") or text[:4] < _FIRST_TRUSTED_YEAR


def compare_family(claimed: str | None, held: tuple[str | None, ...]) -> Agreement:
    """A family name against those of a record, now and before.

    Part of a double-barrelled name agrees in part, unless it is one that very many share (van,
    bin, Kaur).
    """
    name = normalise_name(claimed)
    forms = name_forms(claimed)
    names = {form for family in held for form in name_forms(family)}
    if not name or name in _NO_FAMILY or not names - _NO_FAMILY:
        return Agreement.ABSENT
    if forms & names:
        return Agreement.AGREES
    parts = {part for family in held for part in telling_parts(family)}
    if parts.intersection(telling_parts(claimed)):
        return Agreement.PARTLY
    near = any(_nearly_family(form, other) for form in forms for other in names)
    return Agreement.NEARLY if near else Agreement.DIFFERS


def _nearly_family(one: str, other: str) -> bool:
    shorter = min(len(one), len(other))
    at_most = 2 if shorter >= _LONG_NAME else 1
    return shorter >= _SHORTEST_SLIP and slips(one, other, at_most=at_most) is not None


def names_swapped(
    family: str | None, given: tuple[str, ...], held_family: str | None, held: tuple[str, ...]
) -> bool:
    """Whether given and family name stand in each other's place."""
    ours, theirs = name_forms(" ".join(given)), name_forms(held_family)
    firsts = name_forms(given[0] if given else None)
    held_given = {form for name in (*held, " ".join(held)) for form in name_forms(name)}
    return bool((ours | firsts) & theirs) and bool(name_forms(family) & held_given)


def compare_gender(claimed: str | None, held: str | None) -> Agreement:
    """Only male and female say anything; HL7's M and F and the NHS's 1 and 2 are understood."""
    ours, theirs = _GENDERS.get((claimed or "").casefold()), _GENDERS.get((held or "").casefold())
    if ours is None or theirs is None:
        return Agreement.ABSENT
    return Agreement.AGREES if ours == theirs else Agreement.DIFFERS


def known_gender(text: str | None) -> str | None:
    """``male`` or ``female`` in the API's words, else None."""
    return _GENDERS.get((text or "").casefold())


_GENDERS: Final = {
    "male": "male", "m": "male", "1": "male",
    "female": "female", "f": "female", "2": "female",
}  # fmt: skip


def compare_postcode(claimed: str | None, held: str | None) -> Agreement:
    """Full postcodes; the same outward half agrees in part. Symmetric."""
    ours, theirs = normalise_postcode(claimed), normalise_postcode(held)
    if ours is None or theirs is None:
        return Agreement.ABSENT
    if ours == theirs:
        return Agreement.AGREES
    return Agreement.PARTLY if ours.split()[0] == theirs.split()[0] else Agreement.DIFFERS
