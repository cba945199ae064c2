"""One field of a claim against the same field of a record of PDS. Pure; no field decides alone.

Names are compared by `halyard.names`: without case, accents, hyphens, apostrophes and spaces, by
any name that PDS has for the person, now or before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from halyard.given_names import (
    perhaps_a_short_form,
    same_name_otherwise_spelt,
    shared_by_brothers,
)
from halyard.names import (
    is_initial,
    is_placeholder_given,
    name_forms,
    name_parts,
    normalise_name,
    normalise_postcode,
    slips,
    telling_parts,
)
from halyard.nhs_number import check_digit

_SHORTEST_PREFIX: Final = 3
_SHORTEST_SLIP: Final = 4  # letters: Mia and Mya are two names, not a slip
_LONG_NAME: Final = 7  # letters, from which a family name may have two slips
_FULL_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NO_FAMILY: Final = frozenset({"unknown", "unk", "notknown", "nk", "none", "x", "xx", "xxx"})
_SEVERAL: Final = re.compile(r"\b(twins?|triplets?|quad(ruplet)?s?)(?![^\W\d_])", re.IGNORECASE)


class Agreement(StrEnum):
    """How one field of claim and record stand to each other."""

    AGREES = "agrees"
    PARTLY = "partly"  # a part, a prefix, the same outward code, a partial date
    NEARLY = "nearly"  # a slip of the pen away, or a short form: no agreement, and no proof against
    SWAPPED = "swapped"  # day and month (birth date); given and family (names)
    SUPERSEDED = "superseded"  # the claim has the number that was merged into the record's
    ABSENT = "absent"  # one side says nothing
    PLACEHOLDER = "placeholder"  # one side says "Baby", "Twin 1", "Unknown", ...
    DIFFERS = "differs"


class GivenFit(StrEnum):
    """How given names stand to each other, the best first."""

    WHOLE = "whole"  # the first names are the same, and further ones do not contradict
    SPELLING = "spelling"  # Mohammed, Muhammad
    SHARED = "shared"  # Mohammed, Mohammed Ali: one side has only the name that brothers share
    FORMER = "former"  # a name of before, and the one in use is another
    PREFIX = "prefix"  # Rob, Robert: three letters or more
    MIDDLE = "middle"  # one side's first name is a further one of the other
    ORDER = "order"  # the same names the other way round: twins may share them
    FURTHER = "further"  # Mohammed Hassan, Mohammed Hussain: the same first name, others differ
    SILENT = "silent"  # one side has no name, or only an initial that fits
    PLACEHOLDER = "placeholder"
    NEAR = "near"
    OTHER = "other"

    @property
    def agreement(self) -> Agreement:
        """The same in the words of every field."""
        return _AS_AGREEMENT[self]


_AS_AGREEMENT: Final = {
    GivenFit.WHOLE: Agreement.AGREES,
    GivenFit.SPELLING: Agreement.PARTLY,
    GivenFit.SHARED: Agreement.PARTLY,
    GivenFit.FORMER: Agreement.PARTLY,
    GivenFit.PREFIX: Agreement.PARTLY,
    GivenFit.MIDDLE: Agreement.PARTLY,
    GivenFit.ORDER: Agreement.PARTLY,
    GivenFit.FURTHER: Agreement.PARTLY,
    GivenFit.SILENT: Agreement.ABSENT,
    GivenFit.PLACEHOLDER: Agreement.PLACEHOLDER,
    GivenFit.NEAR: Agreement.NEARLY,
    GivenFit.OTHER: Agreement.DIFFERS,
}
_BEST_FIRST: Final = list(GivenFit)
_TOLD: Final = (GivenFit.WHOLE, GivenFit.SPELLING, GivenFit.PREFIX, GivenFit.NEAR)


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


def compare_given(
    claimed: tuple[str, ...], held: tuple[tuple[str, ...], ...], *, same_gender: bool = True
) -> Agreement:
    """Given names against each set of a record's, as an agreement: see `fit_given`."""
    return fit_given(claimed, held, same_gender=same_gender).agreement


def fit_given(
    claimed: tuple[str, ...], held: tuple[tuple[str, ...], ...], *, same_gender: bool = True
) -> GivenFit:
    """The best fit of given names with a set of a record's; the first set is the one in use.

    Rob and Robert fit (a prefix of three letters or more) unless the genders differ: Daniel and
    Danielle may be twins. An initial says nothing, unless it is a wrong one, or further names
    differ. A further name that both have (Casey Marie, Corey Marie) is no fit. A name of before
    counts only by what it says: an initial among old names does not outvote the name in use.
    """
    held = tuple(names for names in held if names)
    if not any(each.strip() for each in claimed) or not held:
        return GivenFit.SILENT
    if is_placeholder_given(" ".join(claimed)) or is_placeholder_given(" ".join(held[0])):
        return GivenFit.PLACEHOLDER
    now, *before = (_fit(claimed, names, same_gender) for names in held)
    former = min((fit for fit in before if fit in _TOLD), key=_BEST_FIRST.index, default=now)
    if _BEST_FIRST.index(former) >= _BEST_FIRST.index(now):
        return now
    replaced = now in (GivenFit.NEAR, GivenFit.OTHER) and former is not GivenFit.NEAR
    return GivenFit.FORMER if replaced else former


def _fit(claimed: tuple[str, ...], held: tuple[str, ...], same_gender: bool) -> GivenFit:
    ours, theirs = name_parts(" ".join(claimed)), name_parts(" ".join(held))
    if not ours or not theirs:
        return GivenFit.SILENT
    one, other = ours[0], theirs[0]
    if "".join(ours) == "".join(theirs) and not is_initial("".join(ours)):
        return GivenFit.WHOLE
    differ = _contradict(ours[1:], theirs[1:])
    if one == other or _forms_meet(claimed[0], held[0]):
        if differ:
            return GivenFit.FURTHER
        if is_initial(one):
            return GivenFit.SILENT
        one_sided = (len(ours) > 1) != (len(theirs) > 1)
        return GivenFit.SHARED if one_sided and shared_by_brothers(one) else GivenFit.WHOLE
    if is_initial(one) or is_initial(other):
        if one[0] != other[0]:
            return GivenFit.OTHER
        return GivenFit.FURTHER if differ else GivenFit.SILENT
    if one in theirs or other in ours:
        return _fit_elsewhere(ours, theirs)
    if same_name_otherwise_spelt(one, other):
        return GivenFit.FURTHER if differ else GivenFit.SPELLING
    shorter, longer = sorted((one, other), key=len)
    if longer.startswith(shorter) and same_gender:
        return GivenFit.PREFIX if len(shorter) >= _SHORTEST_PREFIX else GivenFit.NEAR
    if perhaps_a_short_form(one, other) and same_gender:
        return GivenFit.NEAR
    slipped = len(shorter) >= _SHORTEST_SLIP and slips(one, other, at_most=1) is not None
    return GivenFit.NEAR if slipped and not longer.startswith(shorter) else GivenFit.OTHER


def _forms_meet(one: str, other: str) -> bool:
    return bool(name_forms(one) & name_forms(other))


def _fit_elsewhere(ours: tuple[str, ...], theirs: tuple[str, ...]) -> GivenFit:
    """One side's first name is a further one of the other."""
    if set(ours) == set(theirs):
        return GivenFit.ORDER
    within = set(ours) <= set(theirs) or set(theirs) <= set(ours)
    return GivenFit.MIDDLE if within else GivenFit.OTHER


def _contradict(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether further names are told on both sides, and none fits one of the other side."""
    pairs = [(one, other) for one in ours for other in theirs]
    return bool(pairs) and not any(
        one.startswith(other)
        or other.startswith(one)
        or same_name_otherwise_spelt(one, other)
        or slips(one, other, at_most=1) is not None
        for one, other in pairs
    )


def tells_of_several(given: tuple[str, ...]) -> bool:
    """Whether a given name says that its child is one of twins or more ("Twin 2")."""
    return any(_SEVERAL.search(name) for name in given)


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
