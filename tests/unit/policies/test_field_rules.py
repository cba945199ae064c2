"""Which fields tell where somebody is, by flow and recipient; and bodies of an unusual kind."""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import Any

import pytest

from policies.fields import WITHHELD, mask, may_leave, names, patterns, tells_place
from policies.ruling import Decision, Flow, Ruling
from schemas.death_fields import catalogue
from stores.sectors import MAY_HOLD_NUMBER, Sector

CASES = (Flow.CASE_EVENT, Flow.NCMD_SUBMISSION, Flow.EXTRACT)


@pytest.mark.parametrize(
    "name",
    [
        *("hospital.ods", "hospital.name", "hospital.site_ods", "visit.department", "postcode"),
        *("visit.discharge_destination", "site", "site_ods", "department", "address"),
        *("address.line", "person.address", "person.address.postcode"),
        *("earlier_attendances.hospital", "earlier_attendances.department"),
    ],
)
def test_a_place_is_a_place_in_every_flow(name: str) -> None:
    """Whoever is told: of a restricted person none of these leaves."""
    for flow, sector in itertools.product(Flow, Sector):
        assert tells_place(flow, sector, name)
        assert not may_leave(flow, sector, name, restricted=True)


@pytest.mark.parametrize(
    "name",
    [
        *("visit.reason", "visit.arrived_at", "hospital.callback.phone", "birth_date", "addressed"),
        *("person.addressee", "earlier_attendances", "letter", "person.nhs_number", "answer"),
    ],
)
def test_what_is_no_place_leaves_in_every_flow(name: str) -> None:
    """Also of a restricted person, to whom may hold a number; the count of earlier attendances
    tells of no place, and a name that only begins like one is none.
    """
    for flow, sector in itertools.product(Flow, MAY_HOLD_NUMBER):
        assert not tells_place(flow, sector, name)
        assert may_leave(flow, sector, name, restricted=True)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, CASES) for name in sorted(catalogue()) if catalogue()[name].location),
        *((name, CASES) for name in ("unlisted", "unlisted.words", "unlisted.child.sex")),
        *((name, ()) for name in ("child.sex", "event.kind", "panel", "case_id", "death.unlisted")),
        *((f"organisation.{name}", (Flow.ACCESS_NOTICE,)) for name in ("code", "name")),
        *((f"by.{name}", (Flow.ACCESS_NOTICE,)) for name in ("name", "job_role")),
        ("by.system", ()),
        *((f"other_identifiers{name}", (Flow.PERSON_RECORD,)) for name in ("", ".value")),
        ("other_identifiers_known", ()),
    ],
)
def test_some_tell_a_place_in_some_flows_alone(name: str, where: tuple[Flow, ...]) -> None:
    """In a case what nobody knows to be none; in a notice who looked; in a record from where."""
    for flow, sector in itertools.product(Flow, Sector):
        assert tells_place(flow, sector, name) is (flow in where)


@pytest.mark.parametrize(
    "name",
    [
        *("flags.authority", "flags.authority_name", "flags.phone_office", "flags.local_id"),
        *("flags.phone_emergency", "accesses", "accesses.organisation"),
    ],
)
def test_whose_plan_it_is_tells_a_place_to_all_but_an_authority(name: str) -> None:
    """In a look-up: an authority sees it of its own plans. In an alert it is what the authority
    itself is told.
    """
    for sector in Sector:
        own = sector is Sector.SOCIAL_CARE
        assert tells_place(Flow.FLAG_LOOKUP, sector, name) is not own
        assert may_leave(Flow.FLAG_LOOKUP, sector, name, restricted=True) is own
        assert not tells_place(Flow.ALERT, sector, name)


def test_a_number_stays_in_health_and_care_and_a_place_goes_to_others_if_not_restricted() -> None:
    """The two hard rules, one without the other."""
    for sector in Sector:
        number = may_leave(Flow.ALERT, sector, "person.nhs_number", restricted=False)
        assert number is (sector in MAY_HOLD_NUMBER)
        assert may_leave(Flow.ALERT, sector, "hospital.ods", restricted=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (("*",), {"a", "a.b", "ab.c"}),
        (("a",), {"a"}),
        (("a.*",), {"a.b"}),
        (("a*",), set()),  # no pattern: it means nothing, and grants nothing
        (("ab.*", "a"), {"a", "ab.c"}),
        ((), set()),
    ],
)
def test_what_a_pattern_means(written: tuple[str, ...], meant: set[str]) -> None:
    """A name, everything beneath one, or everything."""
    found = patterns(written)
    assert found.select({"a", "a.b", "ab.c"}) == meant
    assert {name for name in ("a", "a.b", "ab.c") if found.match(name)} == meant


def permitting(*fields: str) -> Ruling:
    """A ruling that permits these fields."""
    return Ruling(Decision.PERMIT, "p", 1, "permitted", "x", "y", frozenset(fields))


BODY: dict[str, Any] = {
    "visit": MappingProxyType({"reason": "x", "department": WITHHELD, "none": None}),
    "tuples": ({"a": 1}, {"b": 2}),
    "codes": ("x", "y"),
    "silent": [None, WITHHELD],
    "nested": [["x"], [None]],
    "number": 0,
    "birth": False,
    "text": "",
}


def test_a_body_may_have_other_mappings_and_tuples() -> None:
    """They are named and masked as objects and lists are; nothing escapes by being unusual."""
    told = {"visit.reason", "tuples.a", "tuples.b", "codes", "nested", "number", "birth", "text"}
    assert names(BODY) == told
    assert mask(BODY, permitting()) == {
        "visit": {"reason": None, "department": WITHHELD, "none": None},
        "tuples": [{"a": None}, {"b": None}],
        "codes": None,
        "silent": [None, WITHHELD],
        "nested": [None, [None]],
        "number": None,
        "birth": None,
        "text": None,
    }


def test_what_is_permitted_of_an_unusual_body_is_left() -> None:
    """Each where it stood, and the rest gone."""
    left = mask(BODY, permitting("visit.reason", "tuples.b", "codes", "nested", "birth"))
    assert names(left) == {"visit.reason", "tuples.b", "codes", "nested", "birth"}
    assert left["tuples"] == [{"a": None}, {"b": 2}]
    assert (left["codes"], left["nested"], left["birth"]) == (("x", "y"), [["x"], [None]], False)
