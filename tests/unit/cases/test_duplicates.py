"""Which notifications are proposed as one child."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.privacy import Keys
from schemas.deaths import Fact
from schemas.events import PersonClaim
from streams.cases.ages import PartialDate
from streams.cases.comparison import one_slip
from streams.cases.duplicates import (
    FEATURES,
    RULES,
    TELLING,
    TWIN_NOT_RULED_OUT,
    Profile,
    compare,
    profile_of,
    tokens,
)
from tests.support.case_facts import notification

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
NUMBER, TWINS_NUMBER = "9990000018", "9990000026"
CHILD = Profile(
    organisation="RZ9",
    local_id="L1",
    numbers=frozenset({NUMBER}),
    families=("thornby",),
    family_parts=frozenset({"thornby"}),
    givens=("aaliyah",),
    born=PartialDate.parse("2026-01-12"),
    died=PartialDate.parse("2026-02-10"),
    sex="female",
    postcodes=frozenset({"ZZ1 1AB"}),
)
UNNUMBERED = dataclasses.replace(CHILD, numbers=frozenset(), organisation="Y00001", local_id=None)


def other(of: Profile = UNNUMBERED, /, **changed: Any) -> Profile:
    """Another agency's profile of the child, without a number, changed."""
    return dataclasses.replace(of, **changed)


@pytest.mark.parametrize(
    ("changed", "differences"),
    [
        ({}, ()),
        ({"givens": ("aliyah",)}, ("given-name-nearly", TWIN_NOT_RULED_OUT)),
        ({"givens": ()}, (TWIN_NOT_RULED_OUT,)),
        ({"families": ("thornbey",)}, ("family-name-nearly",)),
        ({"families": ("smith",), "family_parts": frozenset({"smith"})}, ("family-name",)),
        ({"born": PartialDate.parse("2026-12-01")}, ("birth-date-nearly",)),
        ({"born": PartialDate.parse("2026-01")}, ("birth-date-nearly",)),
        ({"born": None}, ()),
        ({"died": PartialDate.parse("2026-02-11")}, ("death-date-nearly",)),
        ({"postcodes": frozenset({"ZZ9 9ZZ"})}, ("postcode",)),
        ({"sex": None}, ()),
        ({"slipped": "9990000019"}, ("number-nearly",)),
    ],
)
def test_a_missing_number_is_found_by_the_rest(
    changed: dict[str, Any], differences: tuple[str, ...]
) -> None:
    """One slip beside a missing number: still proposed, and the slip is shown."""
    twice = other(**changed)
    found = compare(CHILD, twice)
    assert found.proposed
    assert set(found.differences) == set(differences)
    assert set(tokens(CHILD, KEYS)) & set(tokens(twice, KEYS))


TWIN = other(givens=("zofia",), numbers=frozenset({TWINS_NUMBER}))


@pytest.mark.parametrize(
    ("one", "twin"),
    [
        (CHILD, TWIN),
        (CHILD, other(TWIN, numbers=frozenset(), sex="male")),
        (other(birth_order=1), other(TWIN, numbers=frozenset(), birth_order=2)),
        (other(givens=(), birth_order=1), other(givens=(), birth_order=2)),
        (other(birth_time="10:05"), other(TWIN, numbers=frozenset(), birth_time="10:31")),
        (CHILD, other(givens=("zofia",), organisation="RZ9", local_id="L2")),
    ],
)
def test_twins_who_are_told_apart_are_not_proposed(one: Profile, twin: Profile) -> None:
    """Same day, family and address; number, name, sex, order, time or local id say otherwise."""
    assert set(tokens(one, KEYS)) & set(tokens(twin, KEYS))  # they are compared
    assert not compare(one, twin).proposed


@pytest.mark.parametrize(
    ("one", "twin", "shown"),
    [
        (CHILD, other(givens=(), born=CHILD.born), TWIN_NOT_RULED_OUT),
        (other(givens=("ella",)), other(givens=("ellie",)), "given-name"),
        (other(givens=("jayden",)), other(givens=("hayden",)), "given-name-nearly"),
        (CHILD, other(TWIN, numbers=CHILD.numbers), "given-name"),  # the other twin's number
    ],
)
def test_twins_who_cannot_be_told_apart_are_proposed_with_what_differs(
    one: Profile, twin: Profile, shown: str
) -> None:
    """A person sees that it may be a twin."""
    found = compare(one, twin)
    assert not found.proposed or shown in found.differences


def test_a_shared_number_or_local_id_is_always_shown_to_a_person() -> None:
    """One of the two is wrong, or both are one child: whatever else differs."""
    stranger = Profile(
        organisation="Y00001", numbers=CHILD.numbers, families=("x",), givens=("y",), sex="male"
    )
    assert compare(CHILD, stranger).rule == "shared-id"
    assert compare(CHILD, stranger).proposed
    same_record = other(organisation="RZ9", local_id="L1", givens=("y",), sex="male")
    assert compare(CHILD, same_record).rule == "shared-id"
    elsewhere = Profile(organisation="RZ8", local_id="L1")
    assert compare(CHILD, elsewhere).agreements == ()


def test_children_of_one_incident_are_not_proposed() -> None:
    """A brother with the same name, address, day of death and incident number."""
    tracking = (("coroner", "4711"),)
    one = other(tracking=tracking)
    brother = other(
        tracking=tracking, givens=("noah",), sex="male", born=PartialDate.parse("2020-05-04")
    )
    assert set(tokens(one, KEYS)) & set(tokens(brother, KEYS))
    assert compare(one, brother).rule == "told-apart"


def test_a_profile_is_read_from_form_and_claim() -> None:
    """Names without case and accents, placeholders as none, the order of "Twin 2", usable numbers
    only, other names beside the one in use.
    """
    found = profile_of(
        notification(
            claim=PersonClaim(
                nhs_number="9990000019",
                family="O'Brien-Smith",
                given=("Twin 2",),
                birth_date="2026-01-12",
                gender="female",
                postcode="zz1 1ab",
                local_id="L7",
            ),
            told={
                "death.date": "2026-02",
                "child.birth-time": "10:05:00",
                "child.birth-weight-grams": "1200",
                "child.alternative-postcode": "ZZ99 3VZ",
            },
            rows=(
                Fact("alias.family", row=1, value="Jones"),
                Fact("tracking.system", row=1, value="coroner"),
                Fact("tracking.value", row=1, value="7"),
            ),
        )
    )
    assert found == Profile(
        organisation="RZ9",
        local_id="L7",
        slipped="9990000019",
        families=("obriensmith", "jones"),
        family_parts=frozenset({"obrien", "smith"}),
        born=PartialDate.parse("2026-01-12"),
        died=PartialDate.parse("2026-02"),
        sex="female",
        postcodes=frozenset({"ZZ1 1AB"}),
        birth_order=2,
        multiple=True,
        birth_time="10:05",
        birth_weight=1200,
        tracking=(("coroner", "7"),),
    )


def test_a_verified_number_counts_beside_the_one_claimed() -> None:
    """A number that was superseded still finds the child."""
    found = profile_of(notification(claim=PersonClaim(nhs_number=NUMBER), verified=TWINS_NUMBER))
    assert found.numbers == {NUMBER, TWINS_NUMBER}
    assert compare(found, CHILD).proposed


words = st.sampled_from(
    ["", "ada", "ella", "ellie", "aaliyah", "aliyah", "smith", "smyth", "jones"]
)
names = st.lists(words, max_size=2, unique=True).map(tuple)
dates = st.sampled_from(["2026-01-12", "2026-12-01", "2026-01", "2026", "2025-01-12"])
places = st.sampled_from(["ZZ1 1AB", "ZZ1 1AC", "ZZ9 9ZZ"])
profiles = st.builds(
    Profile,
    organisation=st.sampled_from(["RZ9", "Y00001"]),
    local_id=st.sampled_from([None, "1", "2"]),
    numbers=st.sets(st.sampled_from([NUMBER, TWINS_NUMBER]), max_size=2).map(frozenset),
    slipped=st.sampled_from([None, "9990000019", "9990000028"]),
    families=names,
    family_parts=names.map(frozenset),
    givens=names,
    middles=names.map(frozenset),
    born=st.one_of(st.none(), dates.map(PartialDate.parse)),
    died=st.one_of(st.none(), dates.map(PartialDate.parse)),
    sex=st.sampled_from([None, "male", "female"]),
    postcodes=st.sets(st.sampled_from(["ZZ1 1AB", "ZZ1 1AC", "ZZ9 9ZZ"]), max_size=2).map(
        frozenset
    ),
    birth_order=st.sampled_from([None, 1, 2]),
    multiple=st.sampled_from([None, True, False]),
    birth_time=st.sampled_from([None, "10:05", "10:31"]),
    birth_weight=st.sampled_from([None, 1200, 1210, 1250, 2000]),
    tracking=st.sampled_from([(), (("coroner", "1"),), (("coroner", "2"), ("mbrrace", "1"))]),
)


@given(profiles, profiles)
def test_likeness_is_symmetric_and_names_no_value(one: Profile, another: Profile) -> None:
    """The same whichever comes first and whenever; rules and features come from fixed lists."""
    found = compare(one, another)
    assert found == compare(another, one) == compare(one, another)
    features = {feature.name for feature in FEATURES}
    assert found.rule in RULES
    assert set(found.agreements) <= features
    assert {name.removesuffix("-nearly") for name in found.differences} <= features | {
        TWIN_NOT_RULED_OUT
    }


@given(profiles, profiles)
def test_nothing_is_proposed_without_a_difference_on_what_twins_share(
    one: Profile, another: Profile
) -> None:
    """A proposal that shows no difference rests on what tells twins apart."""
    found = compare(one, another)
    if found.proposed and not found.differences:
        assert TELLING & set(found.agreements) - {"sex"}


ALTERATIONS: dict[str, Callable[[Profile], Profile]] = {
    "number": lambda one: dataclasses.replace(one, numbers=frozenset()),
    "birth date": lambda one: dataclasses.replace(one, born=PartialDate.parse("2026-01-13")),
    "death date": lambda one: dataclasses.replace(one, died=PartialDate.parse("2026-02-01")),
    "family": lambda one: dataclasses.replace(one, families=("x",)),
    "given": lambda one: dataclasses.replace(one, givens=("x",)),
    "postcode": lambda one: dataclasses.replace(one, postcodes=frozenset({"ZZ8 8AB"})),
    "local id": lambda one: dataclasses.replace(one, local_id=None),
}


@given(st.sets(st.sampled_from(sorted(ALTERATIONS)), max_size=4))
def test_what_is_wrong_in_up_to_four_places_is_still_compared(wrong: set[str]) -> None:
    """A token is shared while number or local id holds, or any three of the other five."""
    altered = CHILD
    for name in wrong:
        altered = ALTERATIONS[name](altered)
    shared = set(tokens(CHILD, KEYS)) & set(tokens(altered, KEYS))
    others = wrong - {"number", "local id"}
    if not wrong >= {"number", "local id"} or len(others) <= 2:
        assert shared


@given(profiles)
def test_tokens_are_keyed_sorted_and_the_same_again(one: Profile) -> None:
    """32 hex digits each; another key gives others."""
    made = tokens(one, KEYS)
    assert made == tokens(one, KEYS) == tuple(sorted(set(made)))
    assert all(len(token) == 32 and set(token) <= set(string.hexdigits) for token in made)
    assert not set(made) & set(tokens(one, Keys(bus=b"b" * 32, store=b"t" * 32)))


texts = st.text("abc", max_size=5)


@given(texts, texts)
def test_one_slip_is_one_edit(one: str, another: str) -> None:
    """As counted by trying every edit."""
    letters = "abc"
    edits = {one[:at] + one[at + 1 :] for at in range(len(one))}
    edits |= {one[:at] + x + one[at:] for at in range(len(one) + 1) for x in letters}
    edits |= {one[:at] + x + one[at + 1 :] for at in range(len(one)) for x in letters}
    edits |= {one[:at] + one[at + 1] + one[at] + one[at + 2 :] for at in range(len(one) - 1)}
    assert one_slip(one, another) is (another in edits - {one})
