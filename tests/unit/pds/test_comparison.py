"""Whether a record is the claimed person's: by rule, and never on a placeholder or for a twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as having
from hypothesis import strategies as st

from connectors.pds.comparison import (
    Agreement,
    Comparison,
    Manner,
    Thresholds,
    Verdict,
    compare,
    compare_search,
)
from connectors.pds.outcomes import PdsRecord
from schemas.events import PersonClaim

NUMBER, OTHER_NUMBER = "9990001014", "9990001022"
CLAIM = PersonClaim(
    nhs_number=NUMBER,
    family="TESTCHILD",
    given=("Robin",),
    birth_date="2017-03-14",
    gender="M",
    postcode="zz11aa",
)
RECORD = PdsRecord(
    nhs_number=NUMBER,
    family="Testchild",
    given=("Robin",),
    birth_date="2017-03-14",
    gender="male",
    postcode="ZZ1 1AA",
    restricted=False,
)


PLAIN, FUZZY = Manner(), Manner(fuzzy=True)
PLACED, RANGED = Manner(placed=True), Manner(ranged=True)


def by_number(claim: dict[str, Any], record: dict[str, Any] | None = None) -> Comparison:
    """The retrieval's comparison with some fields changed."""
    return compare(replace(CLAIM, **claim), replace(RECORD, **(record or {})))


def by_search(
    claim: dict[str, Any],
    record: dict[str, Any] | None = None,
    *,
    score: float | None = 1.0,
    manner: Manner = PLAIN,
    other_country: bool = False,
) -> Comparison:
    """The search's comparison with some fields changed."""
    changed = replace(CLAIM, **{"nhs_number": None, **claim})
    held = replace(RECORD, **(record or {}))
    return compare_search(changed, held, score=score, manner=manner, other_country=other_country)


def test_everything_agrees() -> None:
    """Number, birth date and names: verified, with each field's agreement said."""
    result = compare(CLAIM, RECORD)
    assert (result.verdict, result.rule) == (Verdict.VERIFIED, "pds.get.number_birth_date_names")
    assert {result.number, result.gender, result.postcode} == {Agreement.AGREES}


@pytest.mark.parametrize(
    ("claim", "record", "verdict", "rule"),
    [
        ({"nhs_number": OTHER_NUMBER}, {}, "conflict", "number_differs"),
        ({"nhs_number": None}, {}, "conflict", "number_differs"),
        ({"birth_date": "2017-12-25"}, {}, "conflict", "birth_date_differs"),
        ({"birth_date": "1987-12-14"}, {}, "conflict", "birth_date_differs"),
        ({"birth_date": "2017-03-15"}, {}, "potential", "birth_date_nearly"),
        ({"birth_date": "2016-03-14"}, {}, "potential", "birth_date_nearly"),
        ({"birth_date": "2017-03-41"}, {}, "potential", "birth_date_nearly"),
        ({"birth_date": "2016-03-14", "given": ("Sam",)}, {}, "conflict", "birth_date_differs"),
        ({"birth_date": "2016-03-14", "given": ("Baby",)}, {}, "conflict", "birth_date_differs"),
        ({"birth_date": "2016-03-14", "given": ("Rob",)}, {"given": ("Robert",)}, "conflict",
         "birth_date_differs"),
        ({"birth_date": "2016-03-14", "family": "Other"}, {}, "conflict", "birth_date_differs"),
        ({"birth_date": None}, {}, "potential", "birth_date_absent"),
        ({"birth_date": "2017-03"}, {}, "potential", "birth_date_partly"),
        ({"birth_date": "2018"}, {}, "conflict", "birth_date_differs"),
        ({}, {"birth_date": "2017"}, "potential", "birth_date_partly"),
        ({"birth_date": "2013-08-05"}, {"birth_date": "2013-05-08"}, "potential",
         "birth_date_swapped"),
        ({"birth_date": "2013-08-05", "given": ("Sam",)}, {"birth_date": "2013-05-08"},
         "conflict", "given_differs_perhaps_a_twin"),
        ({"family": "Remarried"}, {}, "verified", "number_birth_date_given"),
        ({"given": ("Rob",)}, {"given": ("Robert",)}, "verified", "number_birth_date_names"),
        ({"given": ("Robin",)}, {"given": ("Robert",)}, "conflict",
         "given_differs_perhaps_a_twin"),
        ({"given": ("Baby",)}, {}, "verified", "number_birth_date_family"),
        ({"given": ()}, {}, "verified", "number_birth_date_family"),
        ({"given": ("Baby",), "gender": "F"}, {}, "potential", "gender_differs_perhaps_a_twin"),
        ({"given": (), "gender": "2"}, {}, "potential", "gender_differs_perhaps_a_twin"),
        ({"given": ("Baby",), "gender": "F", "family": None}, {}, "potential",
         "gender_differs_perhaps_a_twin"),
        ({"given": ("Baby",), "gender": "unknown"}, {}, "verified", "number_birth_date_family"),
        ({"given": ("Baby",), "gender": "other"}, {}, "verified", "number_birth_date_family"),
        ({"given": ("Baby",), "gender": None}, {}, "verified", "number_birth_date_family"),
        ({"given": ("Baby",), "gender": "F", "family": "Other"}, {}, "conflict",
         "family_differs"),
        ({"gender": "F"}, {}, "verified", "number_birth_date_names"),
        ({"given": ("Baby",), "family": "Other"}, {"given": ("Baby",)}, "conflict",
         "family_differs"),
        ({"given": ("Baby",), "family": None}, {"given": ("Baby",)}, "potential",
         "names_insufficient"),
        ({"given": ("Baby",), "family": "Testchild-Jones"}, {}, "potential",
         "names_insufficient"),
        ({"given": ("Baby",), "family": "Testchidl"}, {}, "potential", "names_insufficient"),
        ({"given": ("Twin 1",)}, {}, "potential", "given_unknown_perhaps_a_twin"),
        ({"given": ("Baby",)}, {"birth_order": 1}, "potential", "given_unknown_perhaps_a_twin"),
        ({}, {"birth_order": 2}, "verified", "number_birth_date_names"),
        ({"given": ("Rob",)}, {"given": ("Robert",), "birth_order": 2}, "potential",
         "given_partly_perhaps_a_twin"),
        ({"given": ("Robni",)}, {}, "potential", "given_nearly"),
        ({"given": ("Kate",), "gender": None}, {"given": ("Katherine",)}, "potential",
         "given_nearly"),
        ({"given": ("Robni",)}, {"birth_order": 1}, "conflict", "given_differs_perhaps_a_twin"),
        ({"given": ("Robni",), "family": "Other"}, {}, "conflict", "names_differ"),
        ({"given": ("Lee",)}, {"given": ("Robin", "Lee")}, "verified", "number_birth_date_names"),
        ({"given": ("Lee",)}, {"given": ("Robin", "Lee"), "birth_order": 1}, "potential",
         "given_partly_perhaps_a_twin"),
        ({"given": ("Lee",), "gender": "F"}, {"given": ("Robin", "Lee")}, "potential",
         "given_partly_perhaps_a_twin"),
        ({"given": ("Lee",), "family": "Other"}, {"given": ("Robin", "Lee")}, "potential",
         "names_insufficient"),
        ({"given": ("Lee", "Robin")}, {"given": ("Robin", "Lee"), "birth_order": 2}, "potential",
         "given_partly_perhaps_a_twin"),
        ({"given": ("Mohammed", "Hassan")}, {"given": ("Mohammed", "Hussain")}, "potential",
         "further_given_names_differ"),
        ({"given": ("Mohammed",)}, {"given": ("Muhammad",)}, "verified",
         "number_birth_date_names"),
        ({"family": "Testchidl"}, {}, "verified", "number_birth_date_names"),
        ({"given": (), "family": None}, {}, "potential", "names_insufficient"),
        ({"given": ("Kit",), "family": "Other"}, {}, "conflict", "names_differ"),
        ({"given": ("Testchild",), "family": "Robin"}, {}, "potential", "names_swapped"),
        ({"given": ("Testchild",), "family": "Robin"}, {"given": ("Robin", "Lee")}, "potential",
         "names_swapped"),
        ({}, {"family": "New", "other_families": ("Testchild",)}, "verified",
         "number_birth_date_names"),
        ({"given": ("Izzy",)}, {"given": ("Isla",), "other_given": (("Izzy",),)}, "verified",
         "number_birth_date_names"),
        ({}, {"family": None, "given": (), "birth_date": None}, "potential", "birth_date_absent"),
    ],
)  # fmt: skip
def test_retrieval_rules(
    claim: dict[str, Any], record: dict[str, Any], verdict: str, rule: str
) -> None:
    """Each rule of a retrieval, by name."""
    result = by_number(claim, record)
    assert (result.verdict, result.rule) == (verdict, f"pds.get.{rule}")


@pytest.mark.parametrize(
    ("claim", "record", "options", "verdict", "rule"),
    [
        ({}, {}, {}, "verified", "birth_date_names"),
        ({}, {}, {"manner": Manner()}, "verified", "birth_date_names"),
        ({}, {}, {"manner": FUZZY}, "verified", "birth_date_names"),
        ({"given": ("Rob",)}, {"given": ("Robert",)}, {}, "potential", "given_partly"),
        ({"given": ("Rob",)}, {"given": ("Robert",)}, {"manner": Manner()}, "potential",
         "given_partly"),
        ({"given": ("Rob",)}, {"given": ("Robert",)}, {"manner": FUZZY}, "potential",
         "given_partly"),
        ({"given": ("Rob",), "gender": None}, {"given": ("Robert",)}, {}, "potential",
         "given_nearly"),
        ({"given": ("Lee",)}, {"given": ("Robin", "Lee")}, {}, "potential", "given_partly"),
        ({"given": ("Mohammed",)}, {"given": ("Mohammed", "Ali")}, {}, "potential",
         "given_partly"),
        ({"given": ("Rob",)}, {"given": ("Robert",), "birth_order": 2}, {}, "potential",
         "given_partly_perhaps_a_twin"),
        ({"given": ("Alex",), "gender": None}, {"given": ("Alexandra",), "gender": "female"}, {},
         "potential", "given_nearly"),
        ({"given": ("Alex",)}, {"given": ("Alexandra",), "gender": "female"}, {}, "conflict",
         "given_differs"),
        ({"given": ("Mohammed",)}, {"given": ("Muhammad",)}, {"manner": FUZZY}, "verified",
         "birth_date_names"),
        ({"given": ("Mohammed",), "postcode": None}, {"given": ("Muhammad",)}, {"manner": FUZZY},
         "potential", "given_partly"),
        ({"given": ("Mohammed", "Hassan")}, {"given": ("Mohammed", "Hussain")}, {}, "potential",
         "further_given_names_differ"),
        ({}, {}, {"score": None}, "potential", "without_score"),
        ({}, {}, {"score": 0}, "potential", "low_score"),
        ({}, {}, {"score": 0.79}, "potential", "low_score"),
        ({}, {}, {"score": 0.80}, "verified", "birth_date_names"),
        ({}, {}, {"score": 0.84, "manner": FUZZY}, "potential", "low_score"),
        ({}, {}, {"score": 0.85, "manner": FUZZY}, "verified", "birth_date_names"),
        ({"given": ("Baby",)}, {}, {}, "potential", "placeholder_given"),
        ({"given": ("Baby",), "family": "Other"}, {}, {}, "conflict", "family_differs"),
        ({}, {"given": ("Baby",)}, {}, "potential", "placeholder_given"),
        ({"given": ("Robin",)}, {"given": ("Robert",)}, {}, "conflict", "given_differs"),
        ({"given": ("Robni",)}, {}, {}, "potential", "given_nearly"),
        ({"gender": "F"}, {}, {}, "potential", "gender_differs"),
        ({"gender": None}, {}, {}, "verified", "birth_date_names"),
        ({"family": "Testchyld"}, {}, {"manner": FUZZY}, "verified", "birth_date_given_postcode"),
        ({"family": "Testchyld", "postcode": None}, {}, {"manner": FUZZY}, "potential",
         "family_nearly"),
        ({"family": "Testchild-Jones"}, {}, {}, "verified", "birth_date_given_postcode"),
        ({"family": "Testchild-Jones", "postcode": "ZZ2 2BB"}, {}, {}, "potential",
         "family_partly"),
        ({"family": "Other"}, {}, {}, "conflict", "family_differs"),
        ({"family": "Testchyld", "given": ("Rob",)}, {"given": ("Robert",)}, {}, "potential",
         "given_partly"),
        ({"given": ("Testchild",), "family": "Robin"}, {}, {"manner": FUZZY}, "potential",
         "names_swapped"),
        ({"given": ("R",)}, {}, {}, "potential", "names_insufficient"),
        ({"family": None}, {}, {}, "potential", "names_insufficient"),
        ({"birth_date": "2017-03"}, {}, {}, "potential", "birth_date_partly"),
        ({"birth_date": "2017-04-14"}, {}, {"manner": RANGED}, "potential", "birth_date_nearly"),
        ({"birth_date": "2017-05-25"}, {}, {"manner": RANGED}, "conflict", "birth_date_differs"),
        ({"birth_date": "2017-05-08"}, {"birth_date": "2017-08-05"}, {"manner": RANGED},
         "potential", "birth_date_swapped"),
        ({}, {}, {"manner": RANGED}, "potential", "birth_date_range"),
        ({}, {}, {"manner": PLACED}, "verified", "birth_date_names_postcode"),
        ({"postcode": "ZZ2 2BB"}, {}, {"manner": PLACED}, "potential", "placed_elsewhere"),
        ({"postcode": None}, {}, {"manner": PLACED}, "potential", "placed_elsewhere"),
        ({}, {}, {"other_country": True}, "verified", "birth_date_names"),
        ({"postcode": None}, {}, {"other_country": True}, "potential",
         "number_of_another_country"),
        ({"nhs_number": OTHER_NUMBER}, {}, {}, "potential", "another_number"),
        ({"nhs_number": "9990001015"}, {}, {}, "verified", "birth_date_names"),
        ({}, {"restricted": True, "postcode": None}, {}, "verified", "birth_date_names"),
        ({}, {"deceased": True}, {}, "potential", "deceased"),
    ],
)  # fmt: skip
def test_search_rules(
    claim: dict[str, Any],
    record: dict[str, Any],
    options: dict[str, Any],
    verdict: str,
    rule: str,
) -> None:
    """Each rule of a search, by name; a slip in the number's check digit says nothing."""
    result = by_search(claim, record, **options)
    assert (result.verdict, result.rule) == (verdict, f"pds.search.{rule}")


@pytest.mark.parametrize(
    ("given", "verdict", "rule"),
    [
        (("Robin",), "verified", "number_birth_date_names"),
        (("Baby",), "potential", "given_unknown_perhaps_a_twin"),
        ((), "potential", "given_unknown_perhaps_a_twin"),
        (("Kit",), "conflict", "given_differs_perhaps_a_twin"),
    ],
)
def test_one_of_a_multiple_birth_needs_its_given_name(
    given: tuple[str, ...], verdict: str, rule: str
) -> None:
    """Number, birth date and family name are not enough where the sender tells of twins."""
    result = compare(replace(CLAIM, given=given), RECORD, one_of_several=True)
    assert (result.verdict, result.rule) == (verdict, f"pds.get.{rule}")


def test_superseded_number_counts_as_the_number() -> None:
    """A claim with the merged number is compared with the successor, and the field says so."""
    result = compare(CLAIM, replace(RECORD, nhs_number=OTHER_NUMBER), requested=NUMBER)
    assert result.verified
    assert result.number is Agreement.SUPERSEDED


def test_number_may_be_written_as_shown_to_people() -> None:
    """Spaces in a claim's number are no difference."""
    assert by_number({"nhs_number": "999 000 1014"}).verified


NAMES = st.sampled_from(
    ["Ann", "Anna", "Annabel", "Rob", "Robin", "Robert", "Daniel", "Danielle", "Casey", "Corey",
     "Marie", "Casey Marie", "Corey Marie", "Łucja", "Zoë", "Jo", "Bo", "Baby", "Twin 1", "B/O Ann",
     "Unknown", "", "R"]
)  # fmt: skip
CLAIMS = st.builds(
    PersonClaim,
    nhs_number=st.sampled_from([NUMBER, OTHER_NUMBER, None, "x"]),
    family=st.sampled_from(["Testchild", "Testchild-Jones", "Other", "Unknown", "", None]),
    given=st.lists(NAMES, max_size=2).map(tuple),
    birth_date=st.sampled_from(["2017-03-14", "2017-03", "2017", "2014-03-17", "", None]),
    gender=st.sampled_from(["M", "female", "1", None, "x"]),
    postcode=st.sampled_from(["ZZ1 1AA", "zz11aa", "ZZ99 3VZ", None]),
)
RECORDS = st.builds(
    PdsRecord,
    nhs_number=st.sampled_from([NUMBER, OTHER_NUMBER]),
    family=st.sampled_from(["Testchild", "Other", None]),
    given=st.lists(NAMES, max_size=2).map(tuple),
    other_families=st.sampled_from([(), ("Testchild",)]),
    birth_date=st.sampled_from(["2017-03-14", "2017-03", "2017-14-03", None]),
    gender=st.sampled_from(["male", "female", None]),
    postcode=st.sampled_from(["ZZ1 1AA", None]),
    restricted=st.booleans(),
)


@having(CLAIMS, RECORDS)
def test_what_verified_always_means(claim: PersonClaim, record: PdsRecord) -> None:
    """Verified by number: same number, same whole birth date, a name that agrees, no other given
    name. Verified by search: both names agree, and the given one is no placeholder."""
    retrieved = compare(claim, record)
    if retrieved.verified:
        assert claim.nhs_number == record.nhs_number
        assert claim.birth_date == record.birth_date == "2017-03-14"
        assert Agreement.AGREES in (retrieved.family, retrieved.given) or (
            retrieved.given is Agreement.PARTLY
        )
        assert retrieved.given is not Agreement.DIFFERS
        assert retrieved.gender is not Agreement.DIFFERS or retrieved.given in (
            Agreement.AGREES,
            Agreement.PARTLY,
        )
    searched = compare_search(claim, record, score=1.0, manner=PLAIN)
    if searched.verified:
        assert claim.birth_date == record.birth_date == "2017-03-14"
        assert searched.family is Agreement.AGREES
        assert searched.given in (Agreement.AGREES, Agreement.PARTLY)


@having(CLAIMS, RECORDS)
def test_no_repr_shows_the_person(claim: PersonClaim, record: PdsRecord) -> None:
    """Neither a record nor a comparison shows a name, date, postcode or number in its repr."""
    shown = repr(record) + repr(compare(claim, record))
    for secret in (NUMBER, OTHER_NUMBER, "Testchild", "2017", "ZZ1"):
        assert secret not in shown


@having(st.sampled_from([("Casey", "Corey"), ("Casey Marie", "Corey Marie"), ("Robin", "Robert"),
                         ("Ella", "Bella"), ("Jayden", "Hayden")]))  # fmt: skip
def test_twins_are_never_confused(pair: tuple[str, str]) -> None:
    """Same family name, birth date and postcode: one twin is never verified as the other."""
    for mine, other in (pair, pair[::-1]):
        assert not by_number({"given": (mine,)}, {"given": (other,)}).verified
        assert not by_search({"given": (mine,)}, {"given": (other,)}).verified


@having(CLAIMS, RECORDS, st.sampled_from([PLAIN, FUZZY, PLACED, RANGED]))
def test_no_birth_date_but_the_same_proves_anything(
    claim: PersonClaim, record: PdsRecord, manner: Manner
) -> None:
    """Whatever else agrees, and however it was found: another birth date, given name or number is
    never verified, nor is anything that a range of dates found."""
    for found in (compare(claim, record), compare_search(claim, record, score=1, manner=manner)):
        if found.verified:
            assert found.birth_date is Agreement.AGREES
            assert found.given not in (Agreement.DIFFERS, Agreement.NEARLY, Agreement.SWAPPED)
            assert found.number is not Agreement.DIFFERS
            assert not (found.rule.startswith("pds.search.") and manner.ranged)


@having(CLAIMS, RECORDS, st.floats(0, 1), st.floats(0.5, 1))
def test_stricter_thresholds_never_verify_more(
    claim: PersonClaim, record: PdsRecord, score: float, least: float
) -> None:
    """What is verified at a threshold is verified at each lower one, and below it never."""
    strict, lax = Thresholds(least, least), Thresholds(0.5, 0.5)
    strictly = compare_search(claim, record, score=score, manner=PLAIN, thresholds=strict)
    if strictly.verified:
        assert score >= least
        assert compare_search(claim, record, score=score, manner=PLAIN, thresholds=lax).verified
