"""A number that is not the flagged child's: part of a name is then no agreement on the name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import PersonClaim
from stores.claims import ClaimState
from streams.identity import attendances
from streams.identity.evidence import evidence_of, standing
from tests.support import identity as make
from tests.support.identity import CHILD

ONE = replace(CHILD, given=("Robin", "Grace"))
PERSON = make.known(ONE)
OWN = make.number(77)
IN_PART = [
    ("Robin", "Rose"),
    ("Robin",),
    ("Grace",),
    ("Grace", "Robin"),
    ("Robin", "Grace", "Rose"),
]


def decided(claim: PersonClaim, *, former: tuple[str, ...] = ()) -> tuple[ClaimState, str, int]:
    """State, rule and the priority of the question of an arrival."""
    book = make.ledger([replace(PERSON, former=former)])
    event = make.attendance(claim)
    attendances.take(book, event, make.TRACE)
    row = book.claim(event.event_id)
    parked = book.parked(row.key)
    assert parked is not None
    return row.state, row.rule, book.trace(parked.trace_id).priority


@pytest.mark.parametrize("given", IN_PART)
def test_a_twin_with_a_number_of_her_own_waits(given: tuple[str, ...]) -> None:
    """Nobody is told of her sister; PDS is asked as urgently as of a child who agrees."""
    claim = replace(ONE, given=given, nhs_number=OWN)
    assert decided(claim) == (ClaimState.WAITING, "names-and-birth-date", 1)


@pytest.mark.parametrize("given", IN_PART)
@pytest.mark.parametrize("sent", [None, "9991000000"], ids=["none", "no-number"])
def test_without_a_usable_number_part_of_the_name_is_enough(
    given: tuple[str, ...], sent: str | None
) -> None:
    """A number that cannot be one says nothing: the flagged child may be here."""
    claim = replace(ONE, given=given, nhs_number=sent)
    assert decided(claim) == (ClaimState.PROVISIONAL, "partial-demographics", 1)


def test_the_whole_name_outweighs_a_mistyped_number() -> None:
    """Twins do not have all names alike: it is the flagged child under a stranger's number."""
    assert decided(replace(ONE, nhs_number=OWN)) == (
        ClaimState.PROVISIONAL,
        "partial-demographics",
        1,
    )


def test_a_superseded_number_of_the_child_does_not_differ() -> None:
    """Who sends it means the child: as with the number that holds now."""
    limits = make.limits()
    claim = replace(ONE, given=("Robin", "Rose"), nhs_number=OWN)
    evidence = evidence_of(claim, keys=limits.keys, profile=limits.profile)
    assert evidence.number_token is not None
    former = replace(PERSON, former=(evidence.number_token,))
    assert standing(evidence, former).all_but_number
    assert not standing(evidence, PERSON).all_but_number
