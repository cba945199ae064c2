"""Every query of the cascade word for word, and what small turns of the comparison would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from connectors.pds.agreement import Agreement
from connectors.pds.comparison import (
    Manner,
    Thresholds,
    Verdict,
    compare_search,
    thresholds_of,
)
from connectors.pds.fields import compare_family, compare_number, names_swapped
from connectors.pds.given_fit import GivenFit, compare_given, fit_given
from connectors.pds.outcomes import NotSearchable, PdsRecord
from connectors.pds.search import (
    CONFLICT,
    FAMILY_PART,
    FAMILY_PREFIX,
    FAMILY_PREFIX_PLACED,
    FUZZY,
    FUZZY_ALL,
    MANNERS,
    NAMES,
    NAMES_PLACED,
    NOBODY,
    PREFIX,
    RANGE,
    RANGE_PLACED,
    SWAPPED,
    TOO_MANY,
    Cascade,
    _steps,
    cascade_for,
    manner_of,
)
from halyard.settings import PdsSettings
from schemas.events import PersonClaim

CLAIM: Final = PersonClaim(
    family="Testchild-Jones",
    given=("Robin", "Lee"),
    birth_date="2017-03-11",
    gender="M",
    postcode="zz11aa",
)
RECORD: Final = PdsRecord(
    nhs_number="9990002010",
    family="Testchild-Jones",
    given=("Robin", "Lee"),
    birth_date="2017-03-11",
    gender="male",
    postcode="ZZ9 9ZZ",
    restricted=False,
)
_WHOLE: Final = "family=Testchild-Jones birthdate=eq2017-03-11"
_EXACT: Final = "_history=true _max-results=1"
_SOUND: Final = "_fuzzy-match=true _max-results=1"
_HERE: Final = "address-postalcode=ZZ1 1AA"
_PERIOD: Final = "birthdate=ge2016-09-09 birthdate=le2017-09-10"


def worded(claim: PersonClaim) -> dict[str, str]:
    """Each query's parameters as one text."""
    cascade = cascade_for(claim)
    assert isinstance(cascade, Cascade)
    return {
        rule: " ".join(f"{name}={value}" for name, value in query.parameters)
        for rule, query in cascade.queries.items()
    }


def test_the_queries_for_a_name() -> None:
    """In the words of the API: one letter's difference and PDS refuses or misreads the question."""
    part = f"given=Robin family=jones birthdate=eq2017-03-11 {_EXACT}"
    assert worded(CLAIM) == {
        "given_prefix_and_birth_date": f"given=Rob* {_WHOLE} {_EXACT}",
        "names_and_birth_date": f"given=Robin {_WHOLE} {_EXACT}",
        "names_birth_date_and_postcode": f"given=Robin {_WHOLE} {_HERE} {_EXACT}",
        "fuzzy_names_and_birth_date": f"given=Robin {_WHOLE} {_SOUND}",
        "fuzzy_names_birth_date_gender_and_postcode": (
            f"given=Robin {_WHOLE} gender=male {_HERE} {_SOUND}"
        ),
        "given_family_prefix_and_birth_date": (
            f"given=Robin family=Te* birthdate=eq2017-03-11 {_EXACT}"
        ),
        "given_family_prefix_birth_date_and_postcode": (
            f"given=Robin family=Te* birthdate=eq2017-03-11 {_HERE} {_EXACT}"
        ),
        "given_family_part_and_birth_date": part,
        "names_and_birth_date_range": (f"given=Rob* family=Testchild-Jones {_PERIOD} {_EXACT}"),
        "names_birth_date_range_and_postcode_area": (
            f"given=Rob* family=Testchild-Jones {_PERIOD} address-postalcode=ZZ1* {_EXACT}"
        ),
        "names_and_birth_date_swapped": (
            f"given=Rob* family=Testchild-Jones birthdate=eq2017-11-03 {_EXACT}"
        ),
    }


def test_the_queries_for_a_baby() -> None:
    """Without a given name: the family name with the birth date, by sound only at one place."""
    assert worded(replace(CLAIM, given=("Baby",))) == {
        "family_and_birth_date": f"{_WHOLE} {_EXACT}",
        "fuzzy_family_birth_date_gender_and_postcode": f"{_WHOLE} gender=male {_HERE} {_SOUND}",
        "family_prefix_and_birth_date": f"family=Tes* birthdate=eq2017-03-11 {_EXACT}",
    }


def test_of_three_parts_the_last_is_asked_for() -> None:
    """The first begins like the whole name, which was asked for before."""
    asked = worded(replace(CLAIM, family="Ash-Brook-Marlow"))["given_family_part_and_birth_date"]
    assert "family=marlow" in asked


def test_each_query_has_its_own_manner() -> None:
    """What a match proves is looked up by the query's own rule; an unknown one proves nothing."""
    assert manner_of(PREFIX) is MANNERS[PREFIX]
    assert manner_of("given_family_prefix_and_birth_date") == Manner()
    assert manner_of("another") == Manner(fuzzy=True, placed=True, ranged=True)


def test_a_number_of_another_country_is_doubt_only_where_there_is_one() -> None:
    """By default a search's match at another postcode is verified (a move); not with a CHI."""
    plain = compare_search(CLAIM, RECORD, score=1.0, manner=Manner())
    assert (plain.verdict, plain.rule) == ("verified", "pds.search.birth_date_names")
    chi = compare_search(CLAIM, RECORD, score=1.0, manner=Manner(), other_country=True)
    assert (chi.verdict, chi.rule) == ("potential", "pds.search.number_of_another_country")


@pytest.mark.parametrize("several", [True, False])
def test_one_of_several_counts_in_a_search(several: bool) -> None:
    """A name that fits in part is a twin's as well as the child's own."""
    claim = replace(CLAIM, given=("Rob",), postcode=RECORD.postcode)
    record = replace(RECORD, given=("Robert",))
    found = compare_search(claim, record, score=1.0, manner=MANNERS[PREFIX], one_of_several=several)
    rule = "given_partly_perhaps_a_twin" if several else "given_partly"
    assert found.rule == f"pds.search.{rule}"


def test_a_name_that_only_begins_alike_proves_nobody() -> None:
    """Ali is not in PDS, and Alistair, born on the same day, lives elsewhere; or is a twin."""
    for place in ("ZZ8 8ZZ", RECORD.postcode):
        claim = replace(CLAIM, given=("Rob",), postcode=place)
        found = compare_search(claim, RECORD, score=1.0, manner=MANNERS[PREFIX])
        assert (found.verdict, found.rule) == (Verdict.POTENTIAL, "pds.search.given_nearly")


@pytest.mark.parametrize(("death", "verdict"), [(False, "potential"), (True, "verified")])
def test_a_search_finds_the_dead_only_for_a_death(death: bool, verdict: str) -> None:
    """Who arrives today and is found as a child who died in 2013 is a namesake."""
    record = replace(RECORD, deceased=True)
    claim = replace(CLAIM, nhs_number=None)
    found = compare_search(claim, record, score=1.0, manner=MANNERS[PREFIX], of_a_death=death)
    assert found.verdict == verdict


@pytest.mark.parametrize("score", [float("nan"), 1.01, -0.1])
def test_a_score_that_is_none_proves_nothing(score: float) -> None:
    """PDS gives 0 to 1."""
    claim = replace(CLAIM, nhs_number=None)
    found = compare_search(claim, RECORD, score=score, manner=MANNERS[PREFIX])
    assert (found.verdict, found.rule) == (Verdict.POTENTIAL, "pds.search.without_score")


def test_the_thresholds_are_those_of_the_settings() -> None:
    """Each in its own place."""
    settings = PdsSettings(least_score=0.7, least_score_fuzzy=0.9)
    assert thresholds_of(settings) == Thresholds(least_score=0.7, least_score_fuzzy=0.9)


@pytest.mark.parametrize(
    ("family", "given", "held_family", "held"),
    [
        ("Robin", ("Mary", "Ann"), "Mary Ann", ("Robin",)),  # two given names are one family name
        ("Robin", ("Testchild", "Lee"), "Testchild", ("Robin",)),  # the first alone
    ],
)
def test_swapped_names_of_several_words(
    family: str, given: tuple[str, ...], held_family: str, held: tuple[str, ...]
) -> None:
    """All given names together, or the first of them, may stand where the family name belongs."""
    assert names_swapped(family, given, held_family, held)


def test_a_prefix_is_a_name_only_of_one_gender() -> None:
    """Dan of either gender, also where only the agreement is asked for."""
    assert compare_given(("Dan",), (("Daniel",),)) == "partly"
    for gender in (Agreement.DIFFERS, Agreement.ABSENT):
        assert compare_given(("Dan",), (("Daniel",),), gender=gender) != "partly"


def test_the_same_names_in_another_order() -> None:
    """Neither side's names need be fewer for a first name to be a further one of the other."""
    assert fit_given(("Lee", "Robin"), (("Robin", "Lee"),)) is GivenFit.ORDER
    assert fit_given(("Lee",), (("Robin", "Lee"),)) is GivenFit.MIDDLE
    assert fit_given(("Robin", "Lee"), (("Lee",),)) is GivenFit.MIDDLE


def test_a_further_name_otherwise_spelt_is_no_contradiction() -> None:
    """Sam Yusuf and Sam Youssef; two slips apart, so the spelling alone makes them one name."""
    assert fit_given(("Sam", "Uthman"), (("Sam", "Osman"),)) is GivenFit.WHOLE
    assert fit_given(("Sam", "Uthman"), (("Sam", "Peter"),)) is GivenFit.FURTHER


@pytest.mark.parametrize(
    ("born", "swapped"),
    [
        ("2017-03-12", "2017-12-03"),  # the twelfth can be a month
        ("2017-03-13", None),
        ("2017-05-05", None),
        ("2017-01-02", None),  # the half year either way has it already
        ("2010-05-11", None),
        ("2010-11-01", "2010-01-11"),
    ],
)
def test_a_swapped_birth_date_is_asked_for_where_it_is_one(born: str, swapped: str | None) -> None:
    """Day and month both change place, and only where the range did not ask for that date."""
    asked = worded(replace(CLAIM, birth_date=born)).get("names_and_birth_date_swapped")
    wanted = f"given=Rob* family=Testchild-Jones birthdate=eq{swapped} {_EXACT}"
    assert asked == (None if swapped is None else wanted)


@pytest.mark.parametrize(
    ("family", "asked"),
    [
        ("A" * 35, "A" * 35),
        ("A" * 36, "A" * 34 + "*"),
        ("  Test*child   ", "Test child"),
        ("Testchild (was Smith)", "Testchild"),
        ("-Testchild'", "Testchild"),
        ("Test  \t child", "Test child"),
    ],
)
def test_a_family_name_as_pds_takes_it(family: str, asked: str) -> None:
    """At most 35 characters, no wildcard or note of the sender's, nothing loose at the ends."""
    found = worded(replace(CLAIM, family=family))["names_and_birth_date"]
    assert f"family={asked} birthdate" in found


@pytest.mark.parametrize(
    ("given", "family", "rules"),
    [
        ("Rob", "Testchild", {"given_prefix_and_birth_date", "given_family_prefix_and_birth_date"}),
        ("Jo", "Ng", {"given_family_prefix_and_birth_date"}),
        ("Jo", "L", set()),
    ],
)
def test_a_wildcard_needs_its_letters(given: str, family: str, rules: set[str]) -> None:
    """Three of a given name, two of a family name: a name that has just as many is enough."""
    queries = worded(replace(CLAIM, given=(given,), family=family))
    assert {rule for rule in queries if rule.endswith("prefix_and_birth_date")} == rules


@pytest.mark.parametrize(
    ("claim", "rule"),
    [
        (replace(CLAIM, given=("-", "Lee")), "given"),
        (replace(CLAIM, family="*"), "family"),
        (replace(CLAIM, birth_date="2017-02-30"), "birth_date"),
        (replace(CLAIM, birth_date=None), "birth_date"),
    ],
)
def test_why_a_claim_cannot_be_searched_for(claim: PersonClaim, rule: str) -> None:
    """The rule names the field that is wanting."""
    assert cascade_for(claim) == NotSearchable(f"pds.not_searchable.{rule}")


def test_two_placeholder_words_are_one_placeholder() -> None:
    """Baby and Girl sent apart name no child."""
    cascade = cascade_for(replace(CLAIM, given=("Baby", "Girl")))
    assert isinstance(cascade, Cascade)
    assert cascade.placeholder


@pytest.mark.parametrize(
    ("one", "other", "stands"),
    [
        ("Ashfor", "Ashfro", "nearly"),  # two neighbours exchanged are one slip
        ("Ashfor", "Akhfzr", "differs"),  # six letters: one slip at most
        ("Ashford", "Akhfzrd", "nearly"),  # from seven letters on: two
        ("Ashford", "Akhfzrp", "differs"),
        ("Lee", "Leo", "differs"),
    ],
)
def test_how_many_slips_a_family_name_may_have(one: str, other: str, stands: str) -> None:
    """None below four letters, one from four, two from seven."""
    assert compare_family(one, (other,)) == stands
    assert compare_family(other, (one,)) == stands


def test_a_number_in_other_digits_is_none() -> None:
    """Full-width digits and an absent number say nothing about whose record it is."""
    assert compare_number("９９９０００２０１０", "9990002010", None) == "absent"
    assert compare_number(None, "9990002010", None) == "absent"


@pytest.mark.parametrize(
    ("endings", "asked"),
    [
        ({}, {PREFIX, NAMES, FUZZY, FAMILY_PREFIX, FAMILY_PART, RANGE, SWAPPED}),
        ({PREFIX: NOBODY}, {PREFIX, FUZZY, FAMILY_PREFIX, FAMILY_PART, RANGE, SWAPPED}),
        ({PREFIX: TOO_MANY}, {PREFIX, NAMES, FUZZY}),
        ({PREFIX: TOO_MANY, NAMES: TOO_MANY}, {PREFIX, NAMES, NAMES_PLACED}),
        ({PREFIX: CONFLICT, NAMES: NOBODY}, {PREFIX, FUZZY}),
        ({PREFIX: NOBODY, FUZZY: TOO_MANY}, {PREFIX, FUZZY, FUZZY_ALL}),
        ({PREFIX: TOO_MANY, FAMILY_PREFIX: TOO_MANY}, {PREFIX, NAMES, FUZZY, FAMILY_PREFIX_PLACED}),
        ({PREFIX: TOO_MANY, RANGE: TOO_MANY}, {PREFIX, NAMES, FUZZY, RANGE_PLACED}),
    ],
)
def test_what_each_ending_leaves_to_ask(endings: dict[str, str], asked: set[str]) -> None:
    """Which queries may still help, whether or not they were made or asked before."""
    assert {rule for rule, wanted in _steps() if wanted(endings)} == asked
