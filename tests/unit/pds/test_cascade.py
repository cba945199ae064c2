"""The queries a claim is searched with: which, in what order, how many, never by place alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.pds.client import SearchQuery
from connectors.pds.outcomes import NotSearchable
from connectors.pds.search import (
    CONFLICT,
    MANNERS,
    NOBODY,
    QUERIES_AT_MOST,
    TOO_MANY,
    Cascade,
    cascade_for,
    manner_of,
)
from sandbox.pds.matching import read_search
from schemas.events import PersonClaim

CLAIM = PersonClaim(
    family="Testchild-Jones",
    given=("Robin", "Lee"),
    birth_date="2017-03-11",
    gender="M",
    postcode="ZZ1 1AA",
)
BABY = replace(CLAIM, given=("Baby",))
CLAIMS = [
    replace(base, postcode=postcode, gender=gender, family=family)
    for base in (CLAIM, replace(CLAIM, given=("Jo",)), BABY)
    for postcode in ("ZZ1 1AA", None)
    for gender in ("M", None)
    for family in ("Testchild-Jones", "Testchild", "Ng", "L")
]


def made(claim: PersonClaim) -> Cascade:
    """The cascade of a claim that has one."""
    cascade = cascade_for(claim)
    assert isinstance(cascade, Cascade)
    return cascade


def asked(cascade: Cascade, *endings: str) -> list[str]:
    """The rules of the queries asked, if they end so one after the other; then nobody."""
    said: dict[str, str] = {}
    for ending in (*endings, *[NOBODY] * 10):
        query = cascade.following(said)
        if query is None:
            break
        said[query.rule] = ending
    return list(said)


def paths(cascade: Cascade, said: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Every way in which a cascade can go to its end without proof."""
    said = said or {}
    query = cascade.following(said)
    if query is None:
        yield said
        return
    for ending in (NOBODY, TOO_MANY, CONFLICT):
        yield from paths(cascade, {**said, query.rule: ending})


def placed(query: SearchQuery) -> bool:
    """Whether a query names a postcode."""
    return any(name.startswith("address-") for name, _ in query.parameters)


def test_the_first_query() -> None:
    """First three letters and `*`, family name, birth date, history, one result."""
    query = made(CLAIM).following({})
    assert query is not None
    assert query.parameters == (
        ("given", "Rob*"),
        ("family", "Testchild-Jones"),
        ("birthdate", "eq2017-03-11"),
        ("_history", "true"),
        ("_max-results", "1"),
    )


PREFIX, NAMES = "given_prefix_and_birth_date", "names_and_birth_date"
FUZZY = "fuzzy_names_and_birth_date"


@pytest.mark.parametrize(
    ("claim", "endings", "expected"),
    [
        (CLAIM, (), [PREFIX, FUZZY, "given_family_prefix_and_birth_date",
                     "given_family_part_and_birth_date", "names_and_birth_date_range",
                     "names_and_birth_date_swapped"]),
        (replace(CLAIM, family="Testchild"), (),
         [PREFIX, FUZZY, "given_family_prefix_and_birth_date", "names_and_birth_date_range",
          "names_and_birth_date_swapped"]),
        (replace(CLAIM, birth_date="2017-03-14", family="Testchild"), (),
         [PREFIX, FUZZY, "given_family_prefix_and_birth_date", "names_and_birth_date_range"]),
        (replace(CLAIM, birth_date="2017-03-06", family="Testchild"), (),
         [PREFIX, FUZZY, "given_family_prefix_and_birth_date", "names_and_birth_date_range"]),
        (CLAIM, (TOO_MANY,), [PREFIX, NAMES, FUZZY]),
        (CLAIM, (TOO_MANY, TOO_MANY), [PREFIX, NAMES, "names_birth_date_and_postcode"]),
        (replace(CLAIM, postcode=None), (TOO_MANY, TOO_MANY), [PREFIX, NAMES]),
        (CLAIM, (TOO_MANY, CONFLICT), [PREFIX, NAMES, FUZZY]),
        (CLAIM, (CONFLICT,), [PREFIX, FUZZY]),
        (CLAIM, (NOBODY, TOO_MANY),
         [PREFIX, FUZZY, "fuzzy_names_birth_date_gender_and_postcode"]),
        (replace(CLAIM, gender=None), (NOBODY, TOO_MANY), [PREFIX, FUZZY]),
        (CLAIM, (NOBODY, NOBODY, TOO_MANY),
         [PREFIX, FUZZY, "given_family_prefix_and_birth_date",
          "given_family_prefix_birth_date_and_postcode"]),
        (CLAIM, (NOBODY, NOBODY, NOBODY, NOBODY, TOO_MANY),
         [PREFIX, FUZZY, "given_family_prefix_and_birth_date",
          "given_family_part_and_birth_date", "names_and_birth_date_range",
          "names_birth_date_range_and_postcode_area"]),
        (replace(CLAIM, given=("Jo",)), (), [
            NAMES, FUZZY, "given_family_prefix_and_birth_date",
            "given_family_part_and_birth_date", "names_and_birth_date_range",
            "names_and_birth_date_swapped"]),
        (replace(CLAIM, given=("Jo",)), (TOO_MANY,), [NAMES, "names_birth_date_and_postcode"]),
        (BABY, (), ["family_and_birth_date", "family_prefix_and_birth_date"]),
        (BABY, (TOO_MANY,),
         ["family_and_birth_date", "fuzzy_family_birth_date_gender_and_postcode"]),
        (replace(BABY, gender=None), (TOO_MANY,), ["family_and_birth_date"]),
        (BABY, (CONFLICT,), ["family_and_birth_date"]),
    ],
)  # fmt: skip
def test_the_order_of_queries(
    claim: PersonClaim, endings: tuple[str, ...], expected: list[str]
) -> None:
    """Which query follows which, by how the ones before ended (a swap within the range of dates
    is not asked for)."""
    assert asked(made(claim), *endings) == expected


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_way_through_costs_more_than_stated(claim: PersonClaim) -> None:
    """However queries end: at most six of them, and a retrieval."""
    longest = max(len(said) for said in paths(made(claim)))
    assert longest <= QUERIES_AT_MOST - 1
    if claim == CLAIM:
        assert longest == QUERIES_AT_MOST - 1


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_postcode_never_ends_in_nobody(claim: PersonClaim) -> None:
    """A query with a postcode is asked only after one without it found several, so that "nobody"
    is said of no restricted child whom a postcode hid."""
    cascade = made(claim)
    for said in paths(cascade):
        rules = list(said)
        for place, rule in enumerate(rules):
            if placed(cascade.queries[rule]):
                assert said[rules[place - 1]] == TOO_MANY
                assert not placed(cascade.queries[rules[place - 1]])
                assert manner_of(rule).placed
        if set(said.values()) == {NOBODY}:
            assert not any(placed(cascade.queries[rule]) for rule in rules)


def test_a_query_that_is_not_known_proves_nothing() -> None:
    """A rule of another version of the hub is taken for the weakest manner."""
    assert manner_of("something_new").ranged


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"given": ("*",), "family": "Testchild"}, None),
        ({"given": ("()",)}, None),
        ({"family": None}, "family"),
        ({"family": "-"}, "family"),
        ({"birth_date": None}, "birth_date"),
        ({"birth_date": "2017-03"}, "birth_date"),
        ({"birth_date": "2017-02-30"}, "birth_date"),
        ({"birth_date": "0000-01-01"}, "birth_date"),
    ],
)
def test_too_little_is_not_asked(change: dict[str, Any], rule: str | None) -> None:
    """No family name, or no real whole birth date: PDS is not asked. No given name: as a baby."""
    cascade = cascade_for(replace(CLAIM, **change))
    if rule is None:
        assert isinstance(cascade, Cascade)
        assert cascade.placeholder
    else:
        assert cascade == NotSearchable(f"pds.not_searchable.{rule}")


def test_a_long_name_goes_on_as_it_may() -> None:
    """A family name longer than PDS takes is cut with a wildcard, and without one by sound."""
    cascade = made(replace(CLAIM, family="Long" * 12))
    assert dict(cascade.queries[PREFIX].parameters)["family"] == f"{'Long' * 8}Lo*"
    assert len(dict(cascade.queries[FUZZY].parameters)["family"]) == 35


@pytest.mark.parametrize("postcode", ["ZZ99 3VZ", "ZZ993WZ", "zz99 7cz"])
def test_no_fixed_abode_is_never_sent(postcode: str) -> None:
    """The pseudo-postcodes are no place: no query names them."""
    for claim in (replace(CLAIM, postcode=postcode), replace(BABY, postcode=postcode)):
        for query in made(claim).queries.values():
            assert not placed(query)


TEXT = st.one_of(st.text(max_size=60), st.sampled_from(["O'Brien", "D", "Li", "de la Testchild"]))


@given(
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.dates().map(lambda day: day.isoformat()),
    st.sampled_from(["M", "female", "9", None]),
    st.sampled_from(["ZZ1 1AA", "ZZ99 3VZ", "ZZ11AA", "nowhere", None]),
)
def test_every_query_is_one_that_pds_takes(
    family: str,
    given_names: tuple[str, ...],
    born: str,
    gender: str | None,
    postcode: str | None,
) -> None:
    """Whatever a sender says of somebody: no query breaks a rule of the API's search, asks for
    more than one result, leaves out the family name or the birth date, or shows its parameters."""
    claim = PersonClaim(
        family=family, given=given_names, birth_date=born, gender=gender, postcode=postcode
    )
    cascade = cascade_for(claim)
    if isinstance(cascade, NotSearchable):
        return
    for rule, query in cascade.queries.items():
        assert rule == query.rule
        assert rule in MANNERS
        read = read_search(query.parameters, restricted_mode=True)
        assert (read.max_results, bool(read.family)) == (1, True)
        assert read.born_from >= "0000"
        assert read.history or read.fuzzy
        assert repr(query) == f"SearchQuery(rule='{query.rule}')"
