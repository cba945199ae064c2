"""The questions a claim is searched with, and those it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.pds.outcomes import NotSearchable
from connectors.pds.search import Cascade, cascade_for
from sandbox.pds.matching import read_search
from schemas.events import PersonClaim

CLAIM = PersonClaim(
    family="Testchild", given=("Robin", "Lee"), birth_date="2017-03-14", postcode="ZZ1 1AA"
)


def test_first_by_prefix_then_fuzzy_and_never_by_place() -> None:
    """First three letters and `*`, history, one result; then fuzzy. No postcode in either."""
    cascade = cascade_for(CLAIM)
    assert isinstance(cascade, Cascade)
    assert cascade.first.parameters == (
        ("given", "Rob*"),
        ("family", "Testchild"),
        ("birthdate", "eq2017-03-14"),
        ("_history", "true"),
        ("_max-results", "1"),
    )
    assert dict(cascade.if_nobody.parameters)["_fuzzy-match"] == "true"
    assert cascade.if_too_many is not None
    assert dict(cascade.if_too_many.parameters)["given"] == "Robin"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"given": ()}, "given"),
        ({"given": ("Baby",)}, "given"),
        ({"given": ("Twin 2",)}, "given"),
        ({"given": ("*",)}, "given"),
        ({"family": None}, "family"),
        ({"family": "-"}, "family"),
        ({"birth_date": None}, "birth_date"),
        ({"birth_date": "2017-03"}, "birth_date"),
    ],
)
def test_too_little_is_not_asked(change: dict[str, object], rule: str) -> None:
    """No real given name, no family name, or no whole birth date: PDS is not asked."""
    assert cascade_for(replace(CLAIM, **change)) == NotSearchable(  # type: ignore[arg-type]  # fields by name
        f"pds.not_searchable.{rule}"
    )


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=2).map(tuple))
def test_every_question_is_one_that_pds_takes(family: str, given_names: tuple[str, ...]) -> None:
    """Whatever a sender calls somebody, no question breaks a rule of the API's search."""
    cascade = cascade_for(replace(CLAIM, family=family, given=given_names))
    if isinstance(cascade, NotSearchable):
        return
    for query in (cascade.first, cascade.if_nobody, cascade.if_too_many):
        if query is not None:
            read_search(query.parameters, restricted_mode=True)
            assert repr(query) == f"SearchQuery(rule='{query.rule}')"
