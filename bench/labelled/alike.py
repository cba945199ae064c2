"""Labelled claims of children whom little tells apart (`bench.labelled.twins`).

Of each kind nobody may be verified as another. To be verified as themselves is right where the
claim has their own number and names: that alone is of the recall, with claims that have the names
and no number. A claim with the other's number, or with a placeholder, may come to anything but the
other child; it is not of the recall, because only a person can find out whose it is. Of a child
whom PDS does not know nobody at all may be verified.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bench.labelled.cast import Cast
from bench.labelled.making import DOUBT, labelled, named, pick
from bench.labelled.model import SAFE, UNPROVEN, VERIFIED, Kind, Labelled
from bench.labelled.twins import (
    BOTH_NAMED,
    BOTH_NUMBERED,
    SHARED_FIRST,
    Pair,
    counted,
    uncounted,
)

_OF_MANY: Final = frozenset({"Mohammed", "Muhammad", "Abdul", "Syed", "Syeda", "Bibi"})
"""First names that several children of a family have: the next one tells who it is."""
_UNNAMED: Final = ("Unknown", "NK", "")


def known(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """Twins of whom PDS holds the order of birth."""
    pair = _pair(cast.alike.twins, at, 5)
    if at % 5 < 4:
        return _of(rng, pair, Kind.TWIN_ALIKE, _WAYS[at % 4])
    # Who sends the first name alone: it is both twins'. That a child was born first says nothing,
    # because only children are too (`unmarked`)
    only = pair.how in SHARED_FIRST and not pair.second
    made = _of(rng, pair, Kind.TWIN_ALIKE, _OTHERS)
    if only:
        made = replace(made, claim=replace(made.claim, given=pair.one.given[:1]))
    return replace(made, variant=named(made.variant, "first name alone" if only else ""))


def untold(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """Twins of whom PDS does not hold that they are."""
    pair = _pair(cast.alike.untold, at, 4)
    return _of(rng, pair, Kind.TWIN_UNTOLD, _WAYS[at % 4])


def ungendered(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """Both sorts of twins; the claim has no gender, which would tell Daniel from Danielle."""
    pairs = cast.alike.twins if at // 4 % 2 else cast.alike.untold
    made = _of(rng, _pair(pairs, at, 4), Kind.TWIN_UNGENDERED, _WAYS[at % 4])
    return replace(made, claim=replace(made.claim, gender=None))


def numbered(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """ "Twin 2", "BabyB", "MaleInfant" in the claim, in PDS or in both, with either's number."""
    pair = _pair(cast.alike.numbered, at, 12)
    gender = pair.one.gender
    other_numbered = pair.how == BOTH_NUMBERED or (pair.how != BOTH_NAMED and not pair.second)
    given = counted(gender, rng.randrange(10_000))[pair.second]
    if at // 3 % 4 == 1 and (pair.told or other_numbered):
        given = uncounted(gender, rng.randrange(10_000))
    elif at // 3 % 4 == 2 and other_numbered:
        given = "Robin Lee"  # has a name since, of which PDS knows nothing
    number = (pair.one.nhs_number, pair.other.nhs_number, None)[at % 3]
    words = tuple(given.split()) if at % 2 else (given,)
    made = labelled(pair.one, Kind.TWIN_NUMBERED, SAFE, given=words, nhs_number=number)
    variant = named(pair.how, ("own number", "the other's number", "no number")[at % 3])
    return replace(made, variant=variant, counted=False, resembles=pair.other.nhs_number)


def alone(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """Their own record is not in PDS, the twin's is."""
    pair = pick(cast.alike.alone, at)
    gender = pair.one.gender
    number = pair.other.nhs_number if at % 2 else None
    if at % 5 == 4:
        given: tuple[str, ...] = (counted(gender, rng.randrange(10_000))[0],)
    elif at % 5 == 3 and pair.how in SHARED_FIRST and _apart(pair, number):
        given = pair.one.given[:1]
    else:
        given, _ = _as_sent(rng, pair.one.given)
    made = labelled(pair.one, Kind.TWIN_ALONE, UNPROVEN, given=given, nhs_number=number)
    variant = named(pair.how, "the other's number" if number else "no number")
    return replace(made, person=None, variant=variant, resembles=pair.other.nhs_number)


def new_year(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """They are in PDS, with the same birth date."""
    person = pick(cast.alike.new_year, at)
    kind = Kind.NEW_YEAR
    match at % 4:
        case 0:
            return labelled(person, kind, VERIFIED, variant="number", given=person.given)
        case 1:
            moved = _elsewhere(rng)
            return labelled(person, kind, DOUBT, variant="number, moved", postcode=moved)
        case 2:
            changes: dict[str, object] = {"given": person.given, "nhs_number": None}
            return labelled(person, kind, SAFE, variant="no number", **changes)
        case _:
            changes = {"postcode": _elsewhere(rng), "nhs_number": None}
            return labelled(person, kind, SAFE, variant="no number, moved", **changes)


def new_year_namesake(rng: random.Random, cast: Cast, at: int) -> Labelled:
    """Another child of the name and the year: nothing of the claim is theirs whom PDS knows."""
    person = pick(cast.alike.new_year, at)
    outward = (person.postcode or "").split()[0]
    number: str | None = None
    given, gender, postcode = person.given, "male", _elsewhere(rng)
    match at % 6:
        case 0:
            variant, gender, postcode = "no gender or postcode", "", ""
        case 1:
            variant, postcode = "no postcode", ""
        case 2:
            variant = "another postcode"
        case 3:
            variant, postcode = "a postcode near by", f"{outward} {rng.randint(0, 9)}QX"
        case 4:
            variant, number = "placeholder, the namesake's number", person.nhs_number
            given = (_UNNAMED[at // 6 % len(_UNNAMED)],)
        case _:
            variant = "further name on one side"
            given = given[:1] if given[1:] else (*given, "Zaki")
    made = labelled(
        person, Kind.NEW_YEAR_NAMESAKE, UNPROVEN, variant=variant, given=given,
        gender=gender or None, postcode=postcode or None, nhs_number=number,
    )  # fmt: skip
    return replace(made, person=None, resembles=person.nhs_number)


def unmarked(cast: Cast, seed: int, each: int) -> Iterator[Labelled]:
    """Not of the set: twins with each other's number of whom neither claim nor PDS says that they
    are twins (that the other was born first does not), and whose names do not tell: the first name
    is both's and the claim has no further one, or there is a placeholder. Nothing tells them from
    the child itself.
    """
    rng = random.Random(f"{seed} unmarked")
    share = [pair for pair in cast.alike.untold if pair.how in SHARED_FIRST]
    first_born = [pair.turned() for pair in cast.alike.twins if pair.how in SHARED_FIRST]
    for at in range(each):
        if at % 3 == 0:
            pair, variant = pick(first_born, at), "first name alone, the first-born's number"
            given = pair.one.given[:1]
        elif at % 3 == 1:
            pair, variant = _pair(share, at, 3), "first name alone"
            given = pair.one.given[:1]
        else:
            pair, variant = _pair(share, at, 3), "placeholder"
            given = (uncounted(pair.one.gender, rng.randrange(10_000)),)
        number = pair.other.nhs_number
        made = labelled(pair.one, Kind.TWIN_UNTOLD, SAFE, given=given, nhs_number=number)
        yield replace(made, variant=variant, counted=False)


_OWN: Final = "own number"
_OTHERS: Final = "the other's number"
_NONE: Final = "no number"
_WAYS: Final = (_OWN, _OTHERS, _NONE, _OTHERS)


def _of(rng: random.Random, pair: Pair, kind: Kind, way: str) -> Labelled:
    """The first of the two, with all given names."""
    given, exact = _as_sent(rng, pair.one.given)
    number = {_OWN: pair.one.nhs_number, _OTHERS: pair.other.nhs_number, _NONE: None}[way]
    may = SAFE
    if way == _OWN:
        may = VERIFIED if exact else DOUBT
    made = labelled(pair.one, kind, may, given=given, nhs_number=number)
    return replace(
        made,
        variant=named(pair.how, way),
        counted=way != _OTHERS,
        resembles=pair.other.nhs_number,
    )


def _pair(pairs: tuple[Pair, ...] | list[Pair], at: int, every: int) -> Pair:
    """Every `every` claims the other twin's turn comes."""
    pair = pick(pairs, at)
    return pair.turned() if at // every % 2 else pair


def _as_sent(rng: random.Random, given: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """All given names as senders have them, and whether they are spelt as PDS has them."""
    way = rng.randrange(6)
    if way == 0:
        return (" ".join(given),), True
    if way == 1:
        return ("".join(given),), True
    if way == 2 and given[0] == "Mohammed":
        return ("Muhammad", *given[1:]), False
    return given, True


def _apart(pair: Pair, number: str | None) -> bool:
    """Whether a first name alone leaves a doubt that the hub can see."""
    return pair.told or (number is None and pair.one.given[0] in _OF_MANY)


def _elsewhere(rng: random.Random) -> str:
    return f"ZZ{rng.randint(30, 60)} {rng.randint(0, 9)}QX"


MAKERS: Final = {
    Kind.TWIN_ALIKE: known,
    Kind.TWIN_UNTOLD: untold,
    Kind.TWIN_UNGENDERED: ungendered,
    Kind.TWIN_NUMBERED: numbered,
    Kind.TWIN_ALONE: alone,
    Kind.NEW_YEAR: new_year,
    Kind.NEW_YEAR_NAMESAKE: new_year_namesake,
}
