"""What a labelled claim is, and what may come of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.events import PersonClaim


class Kind(StrEnum):
    """What is hard about a claim; a row of the confusion table."""

    CLEAN = "clean"
    LETTERS = "letters: accents, hyphens, apostrophes"
    MISSING = "postcode or gender missing"
    TYPO = "typo in a name"
    DIGITS = "typo in the number"
    NICKNAME = "nickname"
    SWAPPED = "day and month swapped"
    OLD_FAMILY = "old surname"
    MOVED = "moved"
    TWIN = "twin, own names"
    TWIN_UNNAMED = "twin, placeholder name"
    TWIN_MIXED = "twin, the other's number"
    TWIN_ALIKE = "twins of one first name, or whose names begin alike"
    TWIN_UNTOLD = "such twins, no order of birth in PDS"
    TWIN_UNGENDERED = "such twins, gender missing"
    TWIN_NUMBERED = "twins, numbered or glued placeholder"
    TWIN_ALONE = "twin whom PDS does not know, the other it does"
    NEWBORN = "newborn"
    MOTHER = "newborn, mother's number"
    SIBLING = "sibling's number"
    RESTRICTED = "restricted"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated (adopted, old details)"
    ADOPTED = "adopted, new details"
    SAME_NAME = "two of one name and birth date"
    NAMESAKE = "namesake whom PDS does not know"
    NEW_YEAR = "born on 1 January"
    NEW_YEAR_NAMESAKE = "born on 1 January, namesake whom PDS does not know"
    BORDER = "Scottish or Northern Irish number"
    THIN = "record with gaps"


class Outcome(StrEnum):
    """What the hub says of a claim."""

    VERIFIED = "verified"
    WRONG = "verified as another"
    POTENTIAL = "potential"
    CONFLICT = "conflict"  # also a potential match with a restricted record, which names nobody
    UNRESOLVED = "no match, or several"
    QUARANTINED = "quarantined"
    NOT_ASKED = "not asked"


SAFE: Final = frozenset(Outcome) - {Outcome.WRONG, Outcome.QUARANTINED}
"""Anything but somebody else."""
UNPROVEN: Final = SAFE - {Outcome.VERIFIED}
VERIFIED: Final = frozenset({Outcome.VERIFIED})


@dataclass(frozen=True, slots=True)
class Labelled:
    """A claim and its truth.

    `person`: the number under which PDS holds, now, whom the claim is about; None if PDS does not
    know them, or nobody may be named. `may`: what a right hub may say. `never`: whom it must not
    name even as a potential match: who an adopted child is now. `hidden`: a restricted person's
    postcode, if the claim does not state it; it must appear nowhere. `counted`: whether it is of
    the recall; not where the claim names nobody, or names another's number, and only a person can
    find out whose it is. `resembles`: the number of who it is most easily taken for.
    """

    claim: PersonClaim = field(repr=False)
    kind: Kind
    variant: str
    person: str | None = field(repr=False)
    may: frozenset[Outcome]
    restricted: bool = False
    never: str | None = field(default=None, repr=False)
    hidden: str | None = field(default=None, repr=False)
    counted: bool = True
    resembles: str | None = field(default=None, repr=False)
