"""What an event says itself of the person of its visit, under another local id: twins share most.

Family name, birth date, gender and home are both twins'; a number without the names, and names that
fit only in part, may be the sibling's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from schemas.events import PersonClaim, VisitEventKind
from stores.claims import ClaimState
from streams.identity import attendances
from streams.identity.evidence import evidence_of, standing
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

ONE = replace(CHILD, given=("Robin", "Grace"))
UNNUMBERED = replace(ONE, nhs_number=None)
PERSON = make.known(ONE, flagged=False)
ARRIVES = VisitEventKind.REGISTER
NOT_HERS_ALONE = [
    ("Twin 2",),
    ("Baby",),
    (),
    ("Robin", "Rose"),
    ("Grace", "Robin"),
    ("Grace",),
    ("Robin",),
    ("R",),
    ("Robin", "Grace", "Rose"),
    ("Rob",),
]


def take(
    book: Ledger, claim: PersonClaim, local_id: str, kind: VisitEventKind = ARRIVES
) -> str | None:
    """Whom the event is given to."""
    event = make.attendance(claim, local_id=local_id, visit="V9", kind=kind)
    attendances.take(book, event, make.TRACE)
    return book.claim(event.event_id).person


def supported(claim: PersonClaim, *, on: date | None = None) -> bool:
    limits = make.limits()
    evidence = evidence_of(claim, keys=limits.keys, profile=limits.profile, on=on)
    return standing(evidence, PERSON).supported


@pytest.mark.parametrize("given", NOT_HERS_ALONE)
@pytest.mark.parametrize("several", [None, True])
def test_a_twin_is_never_given_to_the_visits_other_child(
    given: tuple[str, ...], several: bool | None
) -> None:
    """She comes after her sister was verified, and waits for her own question."""
    book = make.ledger([PERSON])
    assert take(book, ONE, "L1") == PERSON.person
    claim = replace(UNNUMBERED, given=given, multiple_birth=several)
    event = make.attendance(claim, local_id="L2", visit="V9")
    attendances.take(book, event, make.TRACE)
    row = book.claim(event.event_id)
    assert (row.state, row.person) == (ClaimState.WAITING, None)
    parked = book.parked(row.key)
    assert parked is not None
    assert book.trace(parked.trace_id).kind == "search"


@pytest.mark.parametrize("given", NOT_HERS_ALONE)
def test_a_twin_who_waits_is_not_released_with_the_visits_other_child(
    given: tuple[str, ...],
) -> None:
    """She comes first; her sister is verified, and she goes on waiting for her own question."""
    book = make.ledger([PERSON])
    event = make.attendance(replace(UNNUMBERED, given=given), local_id="L2", visit="V9")
    attendances.take(book, event, make.TRACE)
    assert take(book, ONE, "L1") == PERSON.person
    row = book.claim(event.event_id)
    assert (row.state, row.person) == (ClaimState.WAITING, None)


def test_a_twin_under_a_placeholder_local_id_is_not_the_other() -> None:
    """UNKNOWN is both twins' id: birth date and family name are no evidence of one of them."""
    book = make.ledger([PERSON])
    first = make.attendance(replace(UNNUMBERED, given=("Baby",)), local_id="UNKNOWN", visit="V1")
    second = make.attendance(ONE, local_id="UNKNOWN", visit="V2")
    other = make.attendance(replace(UNNUMBERED, given=("Twin 2",)), local_id="UNKNOWN", visit="V3")
    for event in (first, second, other):
        attendances.take(book, event, make.TRACE)
    assert book.claim(second.event_id).person == PERSON.person
    assert book.claim(first.event_id).person is None
    assert book.claim(other.event_id).person is None


def test_who_says_all_of_one_child_goes_along() -> None:
    """Whole names, birth date and gender: the same child under a second local id."""
    book = make.ledger([PERSON])
    take(book, ONE, "L1")
    whole = replace(UNNUMBERED, postcode=None)
    assert take(book, whole, "L2", kind=VisitEventKind.UPDATE) == PERSON.person


def test_the_same_local_id_goes_along_as_before() -> None:
    """Within one visit the hospital's own id says who it is."""
    book = make.ledger([PERSON])
    take(book, ONE, "L1")
    for claim in (PersonClaim(), replace(UNNUMBERED, given=("Baby",)), UNNUMBERED):
        assert take(book, claim, "L1", kind=VisitEventKind.UPDATE) == PERSON.person


@pytest.mark.parametrize(
    "claim",
    [
        replace(UNNUMBERED, multiple_birth=True),
        replace(UNNUMBERED, birth_order=2),
        replace(UNNUMBERED, gender="male"),
        replace(UNNUMBERED, gender=None),
        replace(UNNUMBERED, birth_date=None),
        replace(UNNUMBERED, birth_date="2017-03"),
        replace(UNNUMBERED, family=None),
    ],
    ids=["several", "second", "gender", "no-gender", "no-birth-date", "partial-date", "no-family"],
)
def test_less_than_the_whole_is_no_evidence_of_ones_own(claim: PersonClaim) -> None:
    """Names, birth date and gender agree, and nobody was born with the child, or it asks itself."""
    assert supported(UNNUMBERED)
    assert not supported(claim)


def test_a_newborn_who_may_be_one_of_two_is_no_evidence() -> None:
    """Under six weeks nobody may have said yet that there were two."""
    day = date(2017, 3, 20)
    assert not supported(UNNUMBERED, on=day)
    assert supported(replace(UNNUMBERED, multiple_birth=False), on=day)


def test_a_number_counts_with_the_names_and_birth_date_alone() -> None:
    """A sibling's number may have been sent: the rest must be this child's too."""
    assert supported(ONE)
    assert not supported(PersonClaim(nhs_number=ONE.nhs_number))
    assert not supported(replace(ONE, given=("Baby",)))


def test_a_birth_under_another_local_id_of_the_visit_is_the_mothers_by_her_number() -> None:
    """A birth is told of the mother, by her number alone."""
    book = make.ledger([PERSON])
    take(book, ONE, "M1")
    birth = make.birth(ONE.nhs_number, local_id="M2", visit="V9")
    attendances.take(book, birth, make.TRACE)
    row = book.claim(birth.event_id)
    assert (row.state, row.person) == (ClaimState.VERIFIED, PERSON.person)
