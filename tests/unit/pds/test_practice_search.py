"""The practice PDS's search, rule by rule of the real API's documentation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.pds.matching import BadSearch, find, read_search
from sandbox.pds.people import FormerHome, FormerName, Person, Register

BORN = ("birthdate", "eq2016-02-03")
FAMILY = ("family", "Ashford")
ANNA = Person(
    "9990001014",
    family="Ashford",
    given=("Annabel", "Rose"),
    birth_date="2016-02-03",
    gender="female",
    postcode="ZZ3 1AA",
    practice="Y90001",
    former_names=(
        FormerName(use="nickname", given=("Bella",)),
        FormerName(use="temp", family="Interim"),
        FormerName(use="old", family="Birchley", end="2020-01-01"),
        FormerName(use="maiden", family="Elmwood"),
    ),
    former_homes=(FormerHome("ZZ7 9ZZ", end="2021-01-01"),),
    email="Anna@Example.test",
    phone="01632960000",
    household="H1",
)


def found(*parameters: tuple[str, str], person: Person = ANNA) -> float | None:
    """The score with which a search finds the person; None if it does not."""
    search = read_search(parameters, restricted_mode=True)
    hits = find(search, Register([person]))
    return hits[0][0] if hits else None


FUZZY = ("_fuzzy-match", "true")
HISTORY = ("_history", "true")
GIVEN = ("given", "Annabel")
GENDER = ("gender", "female")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([FAMILY, BORN], 1),
        ([FAMILY, BORN, GIVEN, ("given", "Rose")], 1),
        ([FAMILY, BORN, ("given", "Ann*")], 0.95),
        ([FAMILY, BORN, ("given", "An*el")], 0.95),
        ([FAMILY, BORN, ("given", "An*x")], None),
        ([FAMILY, BORN, ("given", "Annabella")], None),
        ([("family", "Ash*"), BORN], 0.95),
        ([("family", "ASHFÓRD"), BORN], 1),
        # names in use are searched always, former ones on history
        ([FAMILY, BORN, ("given", "Bella")], 1),
        ([("family", "Interim"), BORN], 1),
        ([("family", "Birchley"), BORN], None),
        ([("family", "Elmwood"), BORN], None),
        ([("family", "Birchley"), BORN, HISTORY], 0.98),
        ([("family", "Elmwood"), BORN, HISTORY], 0.98),
        # birth dates: eq, ge, le, and a range
        ([FAMILY, ("birthdate", "2016-02-03")], 1),
        ([FAMILY, ("birthdate", "ge2016-02-03")], 1),
        ([FAMILY, ("birthdate", "ge2016-02-04")], None),
        ([FAMILY, ("birthdate", "ge2016-01-01"), ("birthdate", "le2016-12-31")], 1),
        ([FAMILY, ("birthdate", "le2016-01-01"), ("birthdate", "ge2016-12-31")], None),
        # gender
        ([FAMILY, BORN, GENDER], 1),
        ([FAMILY, BORN, ("gender", "male")], None),
        # postcodes: spaces and case do not matter, former ones on history
        ([FAMILY, BORN, ("address-postalcode", "zz31aa")], 1),
        ([FAMILY, BORN, ("address-postcode", "ZZ3 1AA")], 1),
        ([FAMILY, BORN, ("address-postalcode", "ZZ3*")], 1),
        ([FAMILY, BORN, ("address-postalcode", "ZZ4*")], None),
        ([FAMILY, BORN, ("address-postalcode", "ZZ7 9ZZ")], None),
        ([FAMILY, BORN, ("address-postalcode", "ZZ7*"), HISTORY], 0.98),
        ([FAMILY, BORN, ("address-postalcode", "ZZ[3]1AA")], None),
        ([FAMILY, BORN, ("address-postalcode", "ZZ99 7CZ")], None),
        # practice, and contacts: exact alone
        ([FAMILY, BORN, ("general-practitioner", "Y90001")], 1),
        ([FAMILY, BORN, ("general-practitioner", "Y9000")], None),
        ([FAMILY, BORN, ("email", "anna@example.TEST")], 1),
        ([FAMILY, BORN, ("email", "anna@*")], None),
        ([FAMILY, BORN, ("phone", "01632960000")], 1),
        ([FAMILY, BORN, ("phone", "0163296000*")], None),
        # nobody has died
        ([FAMILY, BORN, ("death-date", "ge2016-01-01")], None),
        # fuzzy: sound-alikes, turned names, history; no wildcards
        ([("family", "Ashfort"), GIVEN, BORN], None),
        ([("family", "Ashfort"), GIVEN, BORN, FUZZY], 0.9),
        ([("family", "Annabel"), ("given", "Ashford"), BORN], None),
        ([("family", "Annabel"), ("given", "Ashford"), BORN, FUZZY], 0.95),
        ([("family", "Birchley"), GIVEN, BORN, FUZZY], 0.98),
        ([FAMILY, GENDER, ("address-postalcode", "ZZ79ZZ"), BORN, FUZZY], 0.98),
        ([GIVEN, GENDER, ("address-postalcode", "ZZ31AA"), BORN, FUZZY], 1),
        # fuzzy: practice and date of death find nobody and lower the score
        ([FAMILY, GIVEN, BORN, FUZZY, ("general-practitioner", "Y99999")], 0.95),
        ([FAMILY, GIVEN, BORN, FUZZY, ("death-date", "2020-01-01")], 0.95),
        # exact alone
        ([FAMILY, BORN, ("_exact-match", "true")], 1),
        ([("family", "Ash*"), BORN, ("_exact-match", "true")], None),
        ([FAMILY, GIVEN, BORN, FUZZY, ("general-practitioner", "Y99999"),
          ("_exact-match", "true")], None),
    ],
)  # fmt: skip
def test_who_is_found(parameters: list[tuple[str, str]], expected: float | None) -> None:
    """Each rule of the search, with its score; None: nobody."""
    assert found(*parameters) == expected


@pytest.mark.parametrize(
    ("parameters", "code", "status"),
    [
        ([("email", "a@b.test"), ("phone", "1")], "MISSING_VALUE", 400),
        ([BORN, ("email", "a@b.test")], "INVALID_SEARCH_DATA", 400),
        ([FAMILY, BORN, ("email", "x" * 255)], "INVALID_VALUE", 400),
        ([FAMILY, BORN, ("death-date", "2020")], "INVALID_VALUE", 400),
        ([FAMILY, BORN, ("managing-organization", "X")], "ADDITIONAL_PROPERTIES", 400),
        ([FAMILY, GENDER, BORN, FUZZY, ("address-postalcode", "ZZ*")], "INVALID_SEARCH_DATA", 400),
        ([FAMILY, GENDER, BORN, FUZZY], "INVALID_SEARCH_DATA", 400),
        ([GIVEN, BORN, FUZZY, ("address-postalcode", "ZZ31AA")], "INVALID_SEARCH_DATA", 400),
        ([FAMILY, BORN, ("given", "A*")], "INVALID_SEARCH_DATA", 400),
        ([FAMILY, BORN, ("_max-results", "2")], "INVALID_VALUE", 403),
        ([FAMILY, BORN, FAMILY], "INVALID_VALUE", 400),
    ],
)
def test_what_may_not_be_asked(parameters: list[tuple[str, str]], code: str, status: int) -> None:
    """Below the minimum, malformed or not for applications: the row of the error table."""
    with pytest.raises(BadSearch) as caught:
        read_search(parameters, restricted_mode=True)
    assert (caught.value.problem.code, caught.value.problem.status) == (code, status)


@pytest.mark.parametrize(
    "place",
    [("address-postalcode", "ZZ3 1AA"), ("address-postcode", "ZZ3*"),
     ("general-practitioner", "Y90001"), ("general-practitioner", "Y99999")],
)  # fmt: skip
@pytest.mark.parametrize("fuzzy", [False, True])
def test_restricted_people_are_never_found_by_place(place: tuple[str, str], fuzzy: bool) -> None:
    """With any of the place parameters nobody restricted comes back, whatever else agrees; a
    fuzzy search with a practice, which only lowers scores, is none the wiser."""
    hidden = replace(ANNA, restricted=True)
    extra = [FUZZY] if fuzzy else []
    plain = (place[0], place[1].replace("*", " 1AA")) if fuzzy else place
    assert found(FAMILY, GIVEN, BORN, *extra, person=hidden) == 1
    assert found(FAMILY, GIVEN, BORN, plain, *extra, person=hidden) is None


def test_partial_birth_dates_are_found_by_a_range() -> None:
    """A record whose birth date is a month is in a range that holds it, and is no single day."""
    vague = replace(ANNA, birth_date="2016-02")
    assert found(FAMILY, BORN, person=vague) is None
    span = (("birthdate", "ge2016-01-01"), ("birthdate", "le2016-12-31"))
    assert found(FAMILY, *span, person=vague) == 1


def test_a_death_date_is_searched() -> None:
    """Date of death: exact and by range."""
    died = replace(ANNA, deceased="2024-05-06")
    assert found(FAMILY, BORN, ("death-date", "eq2024-05-06"), person=died) == 1
    assert found(FAMILY, BORN, ("death-date", "ge2024-05-07"), person=died) is None


def test_people_without_a_postcode_or_with_a_pseudo_one_are_not_found_by_it() -> None:
    """Nothing agrees with no postcode, and ZZ99 with nothing."""
    for postcode in (None, "ZZ99 3VZ"):
        nowhere = replace(ANNA, postcode=postcode, former_homes=())
        assert found(FAMILY, BORN, ("address-postalcode", "ZZ*"), person=nowhere) is None
