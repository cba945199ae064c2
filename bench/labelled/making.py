"""What the makers of labelled claims share: a true claim, and changes of it with their label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from bench.labelled.model import SAFE, VERIFIED, Kind, Labelled, Outcome
from halyard.names import normalise_name
from sandbox.pds.people import Person
from schemas.events import PersonClaim

T = TypeVar("T")
DOUBT: Final = VERIFIED | {Outcome.POTENTIAL}


def claim_of(person: Person) -> PersonClaim:
    """What is true of a person now, as a hospital has it: number, first given name and the rest."""
    return PersonClaim(
        nhs_number=person.nhs_number,
        family=person.family,
        given=person.given[:1],
        birth_date=person.birth_date,
        gender=person.gender,
        postcode=person.postcode,
    )


def labelled(
    person: Person,
    kind: Kind,
    may: frozenset[Outcome],
    *,
    variant: str = "",
    **changes: object,
) -> Labelled:
    """A person's true claim with some fields changed."""
    claim = replace(claim_of(person), **changes)  # type: ignore[arg-type]  # fields by name
    hidden = person.postcode if person.restricted and claim.postcode != person.postcode else None
    if may == VERIFIED and len(normalise_name(" ".join(claim.given))) < 2:
        may = SAFE  # an initial is hardly a name
    if may == VERIFIED and person.multiple_birth and person.given[1:] and not claim.given[1:]:
        may = DOUBT  # twins may share the first of several names: then it is neither's alone
    if person.restricted and Outcome.POTENTIAL in may:
        may |= {Outcome.CONFLICT}  # of a restricted record nobody is told even that
    return Labelled(claim, kind, variant, person.nhs_number, may, person.restricted, hidden=hidden)


def numbered(
    made: Labelled, at: int, *, otherwise: frozenset[Outcome] = SAFE, every: int = 2
) -> Labelled:
    """Of every second (`every`-th) the number is left out, with what may be said then."""
    if at % every:
        return replace(made, variant=named(made.variant, "number"))
    return replace(
        made,
        claim=replace(made.claim, nhs_number=None),
        variant=named(made.variant, "no number"),
        may=otherwise,
    )


def named(*parts: str) -> str:
    """A variant's parts together."""
    return ", ".join(part for part in parts if part)


def pick(of: Sequence[T], at: int) -> T:
    """One after the other: a kind uses as many people as there are."""
    return of[at * 7919 % len(of)]
