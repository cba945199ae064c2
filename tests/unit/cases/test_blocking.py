"""How much one notification may lock and look at, and which ids are evidence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.persons import shared_local_id
from halyard.privacy import Keys
from schemas.deaths import Fact
from schemas.events import PersonClaim
from streams.cases.ages import PartialDate
from streams.cases.duplicates import Profile, compare, profile_of, tokens
from streams.cases.profiles import MAX_NAMES, MAX_TOKENS
from streams.cases.sight import STRIPES, lock_name
from tests.support.case_facts import notification

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
TOLD = {"child.birth-date": "2026-01-12", "death.date": "2026-02-10", "child.postcode": "ZZ1 1AB"}


def word(number: int) -> str:
    """A name of letters alone, another for each number."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")


def many(count: int) -> tuple[Fact, ...]:
    """So many other names, tracking numbers and systems."""
    return tuple(
        fact
        for row in range(1, count + 1)
        for fact in (
            Fact("alias.family", row=row, value=f"family{word(row)}"),
            Fact("alias.given", row=row, value=f"given{word(row)}"),
            Fact("tracking.system", row=row, value="coroner"),
            Fact("tracking.value", row=row, value=f"C-{row}"),
        )
    )


@given(st.integers(0, 200))
def test_no_notification_has_many_tokens(count: int) -> None:
    """However many names and numbers a form lists: 200 names of each kind once made 41,007."""
    claim = PersonClaim(
        family="Thornby",
        given=("Aaliyah",),
        local_id="L1",
        nhs_number="9990000018",
        other_numbers=tuple(f"999000{n:04}" for n in range(count)),
    )
    found = profile_of(notification(claim=claim, told=TOLD, rows=many(count)))
    assert found.families[0] == "thornby"
    assert len(found.families) <= MAX_NAMES
    assert len(found.givens) <= MAX_NAMES
    assert 5 < len(tokens(found, KEYS)) <= MAX_TOKENS


def test_a_given_name_goes_with_its_own_family_name_and_the_one_in_use() -> None:
    """Not with every other name's."""

    def of(family: str, given: str, *rows: tuple[int, str, str]) -> set[str]:
        aliases = tuple(Fact(f"alias.{part}", row=row, value=value) for row, part, value in rows)
        claim = PersonClaim(family=family, given=(given,))
        return set(tokens(profile_of(notification(claim=claim, rows=aliases)), KEYS))

    rows = ((1, "family", "Jones"), (1, "given", "Ella"), (2, "family", "Smith"))
    found = of("Thornby", "Aaliyah", *rows, (2, "given", "Noor"))
    for family, first in (
        ("Thornby", "Aaliyah"),
        ("Thornby", "Ella"),
        ("Jones", "Ella"),
        ("Smith", "Noor"),
        ("Smith", "Aaliyah"),
    ):
        assert of(family, first) <= found
    assert not of("Smith", "Ella") & found
    assert not of("Jones", "Noor") & found


@given(st.lists(st.integers(0, 2**128 - 1).map(lambda one: f"{one:032x}"), max_size=20))
def test_locks_of_tokens_are_of_a_fixed_number(made: list[str]) -> None:
    """All tokens of all notifications together have so many locks, and one has always the same."""
    names = {lock_name(one) for one in made}
    assert names <= {f"dup:{number}" for number in range(STRIPES)}
    assert names == {lock_name(one) for one in made}


@pytest.mark.parametrize(
    "said",
    [
        *("NOT KNOWN", "not-known", "TBC", "tba", "Pending", "NOT YET ALLOCATED", "Not allocated"),
        *("-", "?", " ", "--", "BABY", "Baby boy", "n/k", "N/A", "not applicable", "awaited"),
        *("nil", "0000"),
    ],
)
def test_what_desks_type_for_no_id_is_no_id(said: str) -> None:
    """Neither for a death nor as the key of a patient."""
    assert shared_local_id(said)
    assert profile_of(notification(claim=PersonClaim(local_id=said))).local_id is None
    rows = (Fact("tracking.system", row=1, value="coroner"), Fact("tracking.value", 1, said))
    assert profile_of(notification(rows=rows)).tracking == ()


def test_an_id_without_a_digit_is_no_evidence() -> None:
    """A word that nobody has listed yet."""
    assert profile_of(notification(claim=PersonClaim(local_id="SEE NOTES"))).local_id is None
    assert profile_of(notification(claim=PersonClaim(local_id="RZ9-77"))).local_id == "RZ9-77"
    rows = (Fact("tracking.system", row=1, value="Coroner "), Fact("tracking.value", 1, " a-7 "))
    assert profile_of(notification(rows=rows)).tracking == (("coroner", "A-7"),)


CHILD = Profile(
    organisation="RZ9",
    local_id="L1",
    families=("thornby",),
    givens=("aaliyah",),
    born=PartialDate.parse("2026-01-12"),
    died=PartialDate.parse("2026-02-10"),
    sex="female",
)
STRANGER = Profile(
    organisation="RZ9",
    local_id="L1",
    families=("jessop",),
    givens=("tomasz",),
    born=PartialDate.parse("2014-07-30"),
    died=PartialDate.parse("2025-05-02"),
    sex="male",
)


@pytest.mark.parametrize(
    "agreeing", [{"born": CHILD.born}, {"died": CHILD.died}, {"families": CHILD.families}]
)
def test_a_local_id_alone_is_not_certain(agreeing: dict[str, Any]) -> None:
    """A number that two systems of one hospital gave to two children: something must agree."""
    assert not compare(CHILD, STRANGER).proposed
    found = compare(CHILD, dataclasses.replace(STRANGER, **agreeing))
    assert (found.proposed, found.rule) == (True, "shared-id")


def test_a_number_that_nobody_has_is_no_evidence() -> None:
    """A dummy passes the check digit: of a range never given out, or of tests in a live hub."""

    def of(number: str, **more: Any) -> frozenset[str]:
        return profile_of(notification(claim=PersonClaim(nhs_number=number)), **more).numbers

    assert of("1234567881") == frozenset()
    assert of("9990000018") == {"9990000018"}
    assert of("9990000018", ranges="production") == frozenset()
    verified = notification(verified="9990000018")
    assert profile_of(verified, ranges="production").numbers == {"9990000018"}
