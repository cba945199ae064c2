"""Labelled claims of a cast: one maker a kind, each claim with its truth.

What a hub may say is the contract of the identity ladder, not what it happens to say: with the
right number and details that agree a claim is to be verified; where something contradicts, or too
little is known, a person looks; never is somebody else verified.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from bench.labelled import alike, slips
from bench.labelled.cast import Cast
from bench.labelled.making import DOUBT, claim_of, labelled, named, numbered, pick
from bench.labelled.model import SAFE, UNPROVEN, VERIFIED, Kind, Labelled, Outcome
from halyard.names import normalise_name
from sandbox.pds.people import Person

EACH: Final = 150
"""Claims of a kind."""

Maker = Callable[[random.Random, Cast, int], Labelled]


def generate(cast: Cast, seed: int, each: int = EACH) -> Iterator[Labelled]:
    """`each` claims of every kind; the same for the same cast and seed."""
    held = {one.nhs_number: one for one in cast.everybody}
    for kind, make in MAKERS.items():
        rng = random.Random(f"{seed} {kind.name}")
        for at in range(each):
            made = make(rng, cast, at)
            if made.kind is not kind:
                raise ValueError(f"A maker of {kind.name} made {made.kind.name}; mend it.")
            yield _in_full(made, held) if kind in _ORDINARY and at % 3 == 2 else made


def _in_full(made: Labelled, held: Mapping[str, Person]) -> Labelled:
    """The same from a sender who states all given names."""
    further = held[made.person].given[1:] if made.person is not None else ()
    if not further:
        return made
    claim = replace(made.claim, given=(*made.claim.given, *further))
    return replace(made, claim=claim, variant=named(made.variant, "all given names"))


def strangers(cast: Cast, seed: int, each: int = EACH) -> Iterator[Labelled]:
    """Not of the set: people whom PDS does not know, whose family name, given name, birth date and
    gender are those of a record, and who live elsewhere. Nothing tells them from one who moved.
    """
    rng = random.Random(f"{seed} strangers")
    for at in range(each):
        made = _namesake(rng, cast, at)
        claim = replace(made.claim, gender=pick(cast.plain, at + 8).gender)
        yield replace(made, claim=claim, variant="other place", may=SAFE)


def _clean(rng: random.Random, cast: Cast, at: int) -> Labelled:
    return numbered(labelled(pick(cast.plain, at), Kind.CLEAN, VERIFIED), at)


def _letters(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.lettered, at)
    family, given = slips.restyle(rng, person.family), slips.restyle(rng, person.given[0])
    return numbered(labelled(person, Kind.LETTERS, VERIFIED, family=family, given=(given,)), at)


def _missing(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 1)
    left = ({"postcode": None}, {"gender": None}, {"postcode": None, "gender": None})[at // 2 % 3]
    return numbered(labelled(person, Kind.MISSING, VERIFIED, variant=" + ".join(left), **left), at)


def _typo(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 2)
    in_family = at // 2 % 2 == 0
    name = person.family if in_family else person.given[0]
    if len(name) < 3:
        return _typo(rng, cast, at + 1_000)
    typed, _ = slips.mistype(rng, name)
    change: dict[str, object] = {"family": typed} if in_family else {"given": (typed,)}
    where = "family" if in_family else "given"
    return numbered(labelled(person, Kind.TYPO, SAFE, variant=where, **change), at)


def _digits(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 3)
    if at % 3 == 0:
        number, variant = slips.other_number(rng, person.nhs_number), "valid, nobody's"
        if any(one.nhs_number == number for one in cast.everybody):
            return _digits(rng, cast, at + 3)
    elif at % 3 == 1:
        number, variant = pick(cast.plain, at + 500).nhs_number, "somebody else's"
    else:
        number, variant = slips.mistype_number(rng, person.nhs_number), "check digit wrong"
    return labelled(person, Kind.DIGITS, SAFE, variant=variant, nhs_number=number)


def _nickname(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.formal, at)
    told = "known to PDS" if person.former_names else ""
    given = (slips.NICKNAMES[person.given[0]],)
    return numbered(labelled(person, Kind.NICKNAME, SAFE, variant=told, given=given), at)


def _swapped(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 4)
    month, day = person.birth_date[5:7], person.birth_date[8:]
    if day > "12" or day == month:
        return _swapped(rng, cast, at + 1_000)
    typed = slips.swap_day_and_month(person.birth_date)
    made = labelled(person, Kind.SWAPPED, UNPROVEN, birth_date=typed)
    return numbered(made, at, otherwise=UNPROVEN)


def _old_family(rng: random.Random, cast: Cast, at: int) -> Labelled:
    if at // 2 % 2:
        person = pick(cast.renamed, at)
        old = next(former.family for former in person.former_names if former.family)
        return numbered(
            labelled(person, Kind.OLD_FAMILY, VERIFIED, variant="known to PDS", family=old), at
        )
    person = pick(cast.plain, at + 5)
    old = pick(cast.plain, at + 900).family
    return numbered(
        labelled(person, Kind.OLD_FAMILY, DOUBT, variant="not known to PDS", family=old), at
    )


def _moved(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 6)
    postcode = f"ZZ{rng.randint(30, 60)} {rng.randint(0, 9)}QX"
    return numbered(labelled(person, Kind.MOVED, VERIFIED, postcode=postcode), at)


def _twin(rng: random.Random, cast: Cast, at: int) -> Labelled:
    one, other = pick(cast.twins, at)
    return numbered(labelled((one, other)[at // 2 % 2], Kind.TWIN, VERIFIED), at)


def _twin_unnamed(rng: random.Random, cast: Cast, at: int) -> Labelled:
    one, other = pick(cast.twins, at + 1)
    given = (rng.choice(slips.PLACEHOLDERS),)
    if at % 3 == 0:
        return labelled(one, Kind.TWIN_UNNAMED, SAFE, variant="own number", given=given)
    number = other.nhs_number if at % 3 == 1 else None
    variant = "the other's number" if number else "no number"
    may = UNPROVEN if number else SAFE
    return labelled(one, Kind.TWIN_UNNAMED, may, variant=variant, given=given, nhs_number=number)


def _twin_mixed(rng: random.Random, cast: Cast, at: int) -> Labelled:
    one, other = pick(cast.twins, at + 2)
    return labelled(one, Kind.TWIN_MIXED, SAFE, nhs_number=other.nhs_number)


def _newborn(rng: random.Random, cast: Cast, at: int) -> Labelled:
    given = (rng.choice(("Baby", "Baby Girl", "Baby Boy", "Infant", "Newborn")),)
    if at // 2 % 2:
        baby, _ = pick(cast.newborns, at)
        return numbered(
            labelled(baby, Kind.NEWBORN, DOUBT, variant="unnamed in PDS", given=given), at
        )
    baby = pick(cast.plain, at + 7)
    return numbered(labelled(baby, Kind.NEWBORN, DOUBT, variant="named in PDS", given=given), at)


def _mother(rng: random.Random, cast: Cast, at: int) -> Labelled:
    baby, mother = pick(cast.newborns, at + 1)
    number = mother.nhs_number
    if at % 2:
        return labelled(baby, Kind.MOTHER, SAFE, variant="Baby", nhs_number=number, given=("Baby",))
    given = (rng.choice(("Robin", "Ann", "Joan")),)  # called after the mother, perhaps
    return labelled(baby, Kind.MOTHER, SAFE, variant="named", nhs_number=number, given=given)


def _sibling(rng: random.Random, cast: Cast, at: int) -> Labelled:
    one, other = pick(cast.siblings, at)
    return labelled(one, Kind.SIBLING, SAFE, nhs_number=other.nhs_number)


def _restricted(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.restricted, at)
    told = at // 2 % 3
    postcode = (person.postcode, f"ZZ{rng.randint(61, 90)} 1QX", None)[told]
    variant = ("postcode known", "another postcode", "no postcode")[told]
    return numbered(
        labelled(person, Kind.RESTRICTED, VERIFIED, variant=variant, postcode=postcode), at
    )


def _superseded(rng: random.Random, cast: Cast, at: int) -> Labelled:
    before, now = pick(cast.chains, at)
    if at % 3 == 0:
        made = labelled(now, Kind.SUPERSEDED, VERIFIED, variant="details of now")
    elif at % 3 == 1:
        said = claim_of(before)
        unnamed = now.given == ("Baby",)  # then nothing is left if the family name changed
        made = labelled(
            now, Kind.SUPERSEDED, SAFE if unnamed else DOUBT, variant="details of then",
            family=said.family, given=said.given,
        )  # fmt: skip
    else:
        other = pick(cast.plain, at + 300)
        if normalise_name(other.given[0]) == normalise_name(now.given[0]):
            return _superseded(rng, cast, at + 3)
        claim = replace(claim_of(other), nhs_number=before.nhs_number)
        return Labelled(claim, Kind.SUPERSEDED, "somebody else's", other.nhs_number, SAFE)
    return replace(made, claim=replace(made.claim, nhs_number=before.nhs_number))


def _invalidated(rng: random.Random, cast: Cast, at: int) -> Labelled:
    now, before = pick(cast.adopted, at)
    quarantined = frozenset({Outcome.QUARANTINED})
    old = Labelled(
        claim_of(before), Kind.INVALIDATED, "old number", None, quarantined, never=now.nhs_number
    )
    if at % 4 == 0:
        return old
    if at % 4 == 1:
        claim = replace(claim_of(now), nhs_number=before.nhs_number)
        return replace(old, claim=claim, variant="old number, new details")
    claim = replace(claim_of(before), nhs_number=None)
    if at % 4 == 2:
        return replace(old, claim=claim, variant="no number", may=UNPROVEN)
    claim = replace(claim, postcode=now.postcode)
    return replace(old, claim=claim, variant="no number, new place", may=UNPROVEN)


def _adopted(rng: random.Random, cast: Cast, at: int) -> Labelled:
    now, _ = pick(cast.adopted, at + 1)
    return numbered(labelled(now, Kind.ADOPTED, VERIFIED), at)


def _same_name(rng: random.Random, cast: Cast, at: int) -> Labelled:
    pair = pick(cast.same_name, at)
    return numbered(labelled(pair[at // 2 % 2], Kind.SAME_NAME, VERIFIED), at)


def _namesake(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 8)
    claim = replace(
        claim_of(person),
        nhs_number=None,
        gender="male" if person.gender == "female" else "female",
        postcode=f"ZZ{rng.randint(30, 60)} {rng.randint(0, 9)}QX",
    )
    return Labelled(claim, Kind.NAMESAKE, "other gender and place", None, UNPROVEN)


def _border(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.plain, at + 9)
    number = slips.border_number(rng, scottish=at % 2 == 0)
    if at // 2 % 2:
        return labelled(
            person, Kind.BORDER, SAFE, variant="lives in England now", nhs_number=number
        )
    claim = replace(claim_of(person), nhs_number=number, family=pick(cast.plain, at + 1_700).family)
    if any(
        (claim.family, claim.birth_date) == (one.family, one.birth_date) for one in cast.everybody
    ):
        return _border(rng, cast, at + 4)
    return Labelled(claim, Kind.BORDER, "not known to PDS", None, UNPROVEN)


def _thin(rng: random.Random, cast: Cast, at: int) -> Labelled:
    person = pick(cast.thin, at)
    birth_date = f"{person.birth_date}-01-01"[:10] if person.birth_date else None
    gender = person.gender if person.gender in ("male", "female") else rng.choice(("female",))
    return numbered(labelled(person, Kind.THIN, SAFE, birth_date=birth_date, gender=gender), at)


MAKERS: Final[dict[Kind, Maker]] = {
    Kind.CLEAN: _clean,
    Kind.LETTERS: _letters,
    Kind.MISSING: _missing,
    Kind.TYPO: _typo,
    Kind.DIGITS: _digits,
    Kind.NICKNAME: _nickname,
    Kind.SWAPPED: _swapped,
    Kind.OLD_FAMILY: _old_family,
    Kind.MOVED: _moved,
    Kind.TWIN: _twin,
    Kind.TWIN_UNNAMED: _twin_unnamed,
    Kind.TWIN_MIXED: _twin_mixed,
    Kind.NEWBORN: _newborn,
    Kind.MOTHER: _mother,
    Kind.SIBLING: _sibling,
    Kind.RESTRICTED: _restricted,
    Kind.SUPERSEDED: _superseded,
    Kind.INVALIDATED: _invalidated,
    Kind.ADOPTED: _adopted,
    Kind.SAME_NAME: _same_name,
    Kind.NAMESAKE: _namesake,
    Kind.BORDER: _border,
    Kind.THIN: _thin,
    **alike.MAKERS,
}
_ORDINARY: Final = frozenset(
    {Kind.CLEAN, Kind.LETTERS, Kind.MISSING, Kind.TYPO, Kind.DIGITS, Kind.NICKNAME, Kind.SWAPPED}
    | {Kind.OLD_FAMILY, Kind.MOVED, Kind.TWIN, Kind.TWIN_MIXED, Kind.SIBLING, Kind.RESTRICTED}
    | {Kind.ADOPTED, Kind.SAME_NAME, Kind.BORDER, Kind.THIN}
)
"""Kinds of which a third have all given names; the rest have the first, as most messages do."""
