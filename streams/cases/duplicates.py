"""Whether two notifications may be of one child: scored, and proposed to a person; never merged.

Each feature adds points (`FEATURES`), about what an agreement or difference is worth in bits of
evidence; a pair is proposed from `PROPOSE` points, with what agrees and what differs. Twins agree
in nearly all: what is proposed without any difference rests on something that tells twins apart.
Names of rules and features never contain what was told. Pure and symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streams.cases import comparison
from streams.cases.ages import ages
from streams.cases.comparison import Compared, one_slip, similar
from streams.cases.profiles import Profile, profile_of, tokens

PROPOSE: Final = 20.0
"""Points from which a pair is proposed: birth date, death date and both names agree (28), or all
but one of them with postcode or sex."""

NEWBORN_DAYS: Final = 7
NEWBORN_LESS: Final = 3.0
"""Points less: a death date says little beside a birth date, of who died in the first week."""

SAME_GRAMS: Final = 20
OTHER_GRAMS: Final = 60

TWIN_NOT_RULED_OUT: Final = "twin-not-ruled-out"
"""Shown as a difference where nothing that twins do not share agrees."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two notifications are: points, whether that is proposed, why, and what agrees and
    differs (``…-nearly`` counts as a difference to look at).
    """

    score: float
    proposed: bool
    rule: str
    agreements: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """Points where a feature is alike, nearly so, or different.

    `telling`: twins differ in it, so that it tells them apart.
    """

    name: str
    alike: float
    nearly: float
    different: float
    compared: Callable[[Profile, Profile], Compared]
    telling: bool = False


def _numbers(one: Profile, other: Profile) -> Compared:
    plain = comparison.sets(one.numbers, other.numbers)
    if plain is not Compared.UNTOLD:
        return plain
    slips = (
        any(one_slip(left.slipped, number) for number in right.numbers)
        for left, right in ((one, other), (other, one))
        if left.slipped is not None
    )
    return Compared.NEARLY if any(slips) else Compared.UNTOLD


def _families(one: Profile, other: Profile) -> Compared:
    if not one.families or not other.families:
        return Compared.UNTOLD
    if set(one.families) & set(other.families):
        return Compared.ALIKE
    near = (
        one.family_parts & other.family_parts
        or any(similar(left, right) for left in one.families for right in other.families)
        or _exchanged(one, other)
    )
    return Compared.NEARLY if near else Compared.DIFFERENT


def _givens(one: Profile, other: Profile) -> Compared:
    if not one.givens or not other.givens:
        return Compared.UNTOLD
    if set(one.givens) & set(other.givens):
        return Compared.ALIKE
    near = (
        any(left in other.middles for left in one.givens)
        or any(right in one.middles for right in other.givens)
        or any(similar(left, right) for left in one.givens for right in other.givens)
        or _exchanged(one, other)
    )
    return Compared.NEARLY if near else Compared.DIFFERENT


def _exchanged(one: Profile, other: Profile) -> bool:
    """Whether one has the family name where the other has the given name, both ways."""
    return bool(set(one.families) & set(other.givens) and set(other.families) & set(one.givens))


def _local_ids(one: Profile, other: Profile) -> Compared:
    if one.organisation != other.organisation:
        return Compared.UNTOLD
    return comparison.exact(one.local_id, other.local_id)


def _tracking(one: Profile, other: Profile) -> Compared:
    if set(one.tracking) & set(other.tracking):
        return Compared.ALIKE
    both = {system for system, _ in one.tracking} & {system for system, _ in other.tracking}
    return Compared.DIFFERENT if both else Compared.UNTOLD


def _weights(one: Profile, other: Profile) -> Compared:
    if one.birth_weight is None or other.birth_weight is None:
        return Compared.UNTOLD
    apart = abs(one.birth_weight - other.birth_weight)
    if apart <= SAME_GRAMS:
        return Compared.ALIKE
    return Compared.NEARLY if apart <= OTHER_GRAMS else Compared.DIFFERENT


FEATURES: Final = (
    Feature("number", 20, 8, -10, _numbers, telling=True),
    Feature("local-id", 14, 0, -6, _local_ids, telling=True),  # of one organisation
    Feature("tracking-number", 8, 0, -2, _tracking),  # one incident may have several deaths
    Feature("birth-date", 8, 4, -8, lambda a, b: comparison.days(a.born, b.born)),
    Feature("death-date", 6, 3, -6, lambda a, b: comparison.days(a.died, b.died)),
    Feature("family-name", 7, 4, -3, _families),
    Feature("given-name", 7, 4, -7, _givens, telling=True),
    Feature("sex", 1, 0, -4, lambda a, b: comparison.exact(a.sex, b.sex)),
    Feature("postcode", 6, 3, -1, lambda a, b: comparison.postcodes(a.postcodes, b.postcodes)),
    Feature(
        "birth-order",
        2,
        0,
        -12,
        lambda a, b: comparison.exact(a.birth_order, b.birth_order),
        telling=True,
    ),
    Feature("multiple-birth", 1, 0, -4, lambda a, b: comparison.exact(a.multiple, b.multiple)),
    Feature(
        "birth-time",
        5,
        0,
        -3,
        lambda a, b: comparison.exact(a.birth_time, b.birth_time),
        telling=True,
    ),
    Feature("birth-weight", 3, 0, -4, _weights),
)

BESIDE_LOCAL_ID: Final = frozenset({"birth-date", "death-date", "family-name"})
"""One of these must agree, too: two systems of a hospital may give one id to two children."""

TELLING: Final = frozenset(one.name for one in FEATURES if one.telling) | {"sex"}


def compare(one: Profile, other: Profile) -> Likeness:
    """How alike they are, by the first of `RULES` that applies; the same whichever comes first."""
    found = {feature.name: feature.compared(one, other) for feature in FEATURES}
    score = _score(found, one, other)
    agreements = tuple(name for name, how in found.items() if how is Compared.ALIKE)
    differences = [name for name, how in found.items() if how is Compared.DIFFERENT]
    differences += [f"{name}-nearly" for name, how in found.items() if how is Compared.NEARLY]
    certain = "number" in agreements or (
        "local-id" in agreements and not BESIDE_LOCAL_ID.isdisjoint(agreements)
    )
    apart = [name for name in differences if name in TELLING]
    if not any(feature.telling and feature.name in agreements for feature in FEATURES):
        differences.append(TWIN_NOT_RULED_OUT)
    if certain:
        rule = "shared-id"
    elif len(apart) > 1:
        rule = "told-apart"
    elif score < PROPOSE:
        rule = "too-little-alike"
    else:
        rule = "alike-with-differences" if differences else "alike"
    return Likeness(score, RULES[rule][0], rule, agreements, tuple(differences))


RULES: Final = {
    "shared-id": (
        True,
        "an NHS number is shared; or a local id, and birth date, death date or family name agree",
    ),
    "told-apart": (False, "two or more of the features that tell twins apart differ"),
    "too-little-alike": (False, f"fewer than {PROPOSE:g} points"),
    "alike": (True, f"{PROPOSE:g} points or more, nothing differs"),
    "alike-with-differences": (True, f"{PROPOSE:g} points or more, and what differs is listed"),
}
"""Each rule: whether it proposes, and when it applies; in order."""


def _score(found: dict[str, Compared], one: Profile, other: Profile) -> float:
    points = 0.0
    for feature in FEATURES:
        how = found[feature.name]
        if how is Compared.ALIKE:
            points += feature.alike
        elif how is Compared.NEARLY:
            points += feature.nearly
        elif how is Compared.DIFFERENT:
            points += feature.different
    both = found["birth-date"] is found["death-date"] is Compared.ALIKE
    if both and one.born is not None and one.died is not None and one.died.full:
        newborn = ages(one.born, one.died).oldest_days < NEWBORN_DAYS
        points -= NEWBORN_LESS if newborn else 0.0
    return points


__all__ = [
    "BESIDE_LOCAL_ID",
    "FEATURES",
    "PROPOSE",
    "RULES",
    "TELLING",
    "TWIN_NOT_RULED_OUT",
    "Feature",
    "Likeness",
    "Profile",
    "compare",
    "profile_of",
    "tokens",
]
