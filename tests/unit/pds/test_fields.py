"""Each field of a claim against a record's: what agrees, what agrees in part, what says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as having
from hypothesis import strategies as st

from connectors.pds.agreement import Agreement
from connectors.pds.fields import (
    compare_birth_date,
    compare_family,
    compare_number,
    compare_postcode,
    names_swapped,
)
from connectors.pds.given_fit import compare_given, fit_given, tells_of_several


@pytest.mark.parametrize(
    ("claimed", "held", "gender", "expected"),
    [
        ("Rob", "Robert", Agreement.AGREES, "prefix"),
        ("Rob", "Robert", Agreement.ABSENT, "near"),
        ("Rob", "Robert", Agreement.DIFFERS, "other"),
        ("Daniel", "Danielle", Agreement.AGREES, "near"),
        ("Daniel", "Danielle", Agreement.ABSENT, "near"),
        ("Daniel", "Danielle", Agreement.DIFFERS, "other"),
        ("Ann", "Annabel", Agreement.AGREES, "near"),
        ("Nathan", "Nathaniel", Agreement.AGREES, "near"),
        ("Ali", "Alistair", Agreement.AGREES, "near"),
        ("Mohammed", "MohammedAli", Agreement.AGREES, "near"),
        ("Rob James", "Robert James", Agreement.AGREES, "prefix"),
        ("Rob James", "Robert Michael", Agreement.AGREES, "further"),
        ("Kate", "Katherine", Agreement.ABSENT, "near"),
        ("Kate", "Katherine", Agreement.DIFFERS, "other"),
    ],
)
def test_a_beginning_is_agreement_only_as_a_short_form_of_one_gender(
    claimed: str, held: str, gender: Agreement, expected: str
) -> None:
    """Daniel and Danielle, Ann and Annabel may be twins; Rob and Robert of one gender may not."""
    one, other = tuple(claimed.split()), tuple(held.split())
    assert fit_given(one, (other,), gender=gender) == expected
    assert fit_given(other, (one,), gender=gender) == expected


@pytest.mark.parametrize(
    ("claimed", "held", "expected"),
    [
        (("Robin",), (("Robin", "Lee"),), "whole"),
        (("Robin", "L"), (("Robin", "Lee"),), "whole"),
        (("Robin", "Lea"), (("Robin", "Lee"),), "further"),
        (("Robin", "K"), (("Robin", "Lee"),), "further"),
        (("Robin", "L", "Ann"), (("Robin", "Lee", "Anne"),), "whole"),
        (("Robin", "Mary", "Jane"), (("Robin", "Maryjane"),), "whole"),
        (("Robin", "Jörg"), (("Robin", "Joerg"),), "whole"),
        (("Mary Jane",), (("Maryjane", "Lee"),), "whole"),
        (("Mohammed", "A"), (("Mohammed", "Ali"),), "shared"),
        (("Mohammed", "Ali", "Khan"), (("Mohammed", "Hassan", "Khan"),), "further"),
        (("Ali", "Mohammed"), (("Muhammad", "Ali"),), "order"),
        (("Anna", "Maria"), (("Anna", "Louise"), ("Anna",)), "further"),
        (("Ali",), (("Omar",), ("Alistair",)), "near"),
        (("Björn",), (("Bjoern",),), "whole"),
        (("Sam",), (("Alex",), ("Sam",)), "former"),
        (("Sam",), (("S",), ("Sam",)), "whole"),
        (("Beth",), (("Bella",), ("B",)), "other"),
        (("Beth",), (("Bella",), ("B", "Grace")), "other"),
        (("Beth",), (("Bella",), ("Grace", "Beth")), "other"),
        (("B", "Elizabeth"), (("Bella", "Grace"),), "further"),
        (("Mohammed",), (("Mohammed", "Hussain"),), "shared"),
        (("Syed", "Ali"), (("Syed",),), "shared"),
        (("Mo",), (("Molly",),), "near"),
        (("Mohamed",), (("Muhammad", "Ali"),), "shared"),
        (("Mohamed", "Hasan"), (("Muhammad", "Ali"),), "further"),
        (("Robin", "Kit"), (("Robin", "Lee"),), "further"),
        (("Rob",), (("Robert",),), "prefix"),
        (("Robert",), (("Rob",),), "prefix"),
        (("Lee",), (("Robin", "Lee"),), "middle"),
        (("Robin", "Lee"), (("Lee",),), "middle"),
        (("Lily", "Grace"), (("Grace", "Lily"),), "order"),
        (("Grace", "Rose"), (("Lily", "Grace"),), "other"),
        (("Casey", "Marie"), (("Corey", "Marie"),), "other"),
        (("Kate",), (("Katherine",),), "near"),
        (("Jayden",), (("Hayden",),), "near"),
        (("Mia",), (("Mya",),), "other"),
        (("Eva",), (("Elva",),), "other"),
        (("Elva",), (("Eva",),), "other"),
        (("Jack",), (("Jock",),), "near"),
        (("Mary", "Jane"), (("Maryjane",),), "whole"),
        (("-",), (("Robin",),), "placeholder"),
        (("Robin",), (("Robin",), ("-",)), "whole"),
        (("Kate",), (("Alex",), ("Katherine",), ("Kate",)), "former"),
        (("Not", "Known"), (("Robin",),), "placeholder"),
        (("Robin",), (("Not", "Known"),), "placeholder"),
        (("R",), (("Robin",),), "silent"),
        (("R",), (("R",),), "silent"),
        (("\u4fca",), (("\u4fca",),), "whole"),
        (("\u4fca",), (("\u4f1f",),), "other"),
        ((), (("Robin",),), "silent"),
        (("Robin",), ((),), "silent"),
        (("Baby",), (("Robin",),), "placeholder"),
        (("Robin",), (("Baby",), ("Robin",)), "placeholder"),
    ],
)
def test_how_given_names_fit(
    claimed: tuple[str, ...], held: tuple[tuple[str, ...], ...], expected: str
) -> None:
    """Each way in which given names fit, by name; the best of a record's names counts."""
    assert fit_given(claimed, held) == expected


NAMES = st.lists(
    st.sampled_from(["Ann", "Anna", "Lily", "Grace", "Mohammed", "Muhammad", "Kate", "R", "Rob"]),
    max_size=3,
).map(tuple)


@having(NAMES, NAMES)
def test_given_names_fit_both_ways_alike(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Which side claims and which is held makes no difference."""
    assert fit_given(one, (other,)) == fit_given(other, (one,))


@having(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_family_names_agree_both_ways_alike(one: str, other: str) -> None:
    """Which side claims and which is held makes no difference."""
    assert compare_family(one, (other,)) == compare_family(other, (one,))


DATES = st.one_of(
    st.dates().map(lambda day: day.isoformat()),
    st.sampled_from(["2017", "2017-03", "2017-03-14", "2017-03-41", "", None]),
)


@having(DATES, DATES)
def test_birth_dates_agree_both_ways_alike(one: str | None, other: str | None) -> None:
    """Which side claims and which is held makes no difference."""
    assert compare_birth_date(one, other) == compare_birth_date(other, one)


@pytest.mark.parametrize(
    ("claimed", "held", "expected"),
    [
        ("2017-03-14", "2017-03-14", "agrees"),
        ("2017-03-14", "2017-03-15", "nearly"),
        ("2017-03-14", "2017-03-41", "nearly"),
        ("2017-03-14", "2071-03-14", "nearly"),
        ("2017-03-14", "2017-04-15", "differs"),
        ("2017-03-04", "2017-04-03", "swapped"),
        ("2017-03-14", "2017-03", "partly"),
        ("2017", "2017-03-14", "partly"),
        ("2016", "2017-03-14", "differs"),
        ("2017-03-14", None, "absent"),
        ("", "2017-03-14", "absent"),
    ],
)
def test_birth_dates(claimed: str | None, held: str | None, expected: str) -> None:
    """Only the same whole date agrees; a digit, a swap, a part each has its own word."""
    assert compare_birth_date(claimed, held) == expected


@pytest.mark.parametrize(
    ("family", "given", "held_family", "held", "expected"),
    [
        ("Robin", ("Testchild",), "Testchild", ("Robin",), True),
        ("Robin", ("Testchild",), "Testchild", ("Robin", "Lee"), True),
        ("Robin Lee", ("Testchild",), "Testchild", ("Robin", "Lee"), True),
        ("Robin", ("Other",), "Testchild", ("Robin",), False),
        ("Other", ("Testchild",), "Testchild", ("Robin",), False),
        (None, (), None, (), False),
    ],
)
def test_names_in_each_others_place(
    family: str | None,
    given: tuple[str, ...],
    held_family: str | None,
    held: tuple[str, ...],
    expected: bool,
) -> None:
    """Given and family name are swapped only if both stand in the other's place."""
    assert names_swapped(family, given, held_family, held) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("Twin 1", True), ("twin2", True), ("Baby Twin A", True), ("Triplet", True),
     ("Quad 3", True), ("TwinA", True), ("Baby 2", True), ("BabyB", True), ("Twinkle", False),
     ("Baby", False), ("", False)],
)  # fmt: skip
def test_a_name_that_tells_of_several(given: str, expected: bool) -> None:
    """Twin, triplet and quad, and what counts babies; not the beginning of a name."""
    assert tells_of_several((given,)) is expected
    assert tells_of_several(("Robin",), tuple(given.split())) is expected


@pytest.mark.parametrize(
    ("claimed", "requested", "expected"),
    [
        ("999 000 1014", None, "agrees"),
        ("9990001022", "9990001022", "superseded"),
        ("9990001022", None, "differs"),
        ("9990001015", None, "absent"),
        (None, None, "absent"),
        ("999000101", None, "absent"),
    ],
)
def test_numbers(claimed: str | None, requested: str | None, expected: str) -> None:
    """A wrong check digit says nothing; another number differs, unless it was merged."""
    assert compare_number(claimed, "9990001014", requested) == expected


@pytest.mark.parametrize(
    ("claimed", "held", "expected"),
    [
        ("zz11aa", "ZZ1 1AA", "agrees"),
        ("ZZ1 2BB", "ZZ1 1AA", "partly"),
        ("ZZ2 1AA", "ZZ1 1AA", "differs"),
        ("ZZ99 3VZ", "ZZ1 1AA", "absent"),
        (None, "ZZ1 1AA", "absent"),
    ],
)
def test_postcodes(claimed: str | None, held: str | None, expected: str) -> None:
    """The outward half agrees in part; a pseudo-postcode says nothing."""
    assert compare_postcode(claimed, held) == expected


@pytest.mark.parametrize(
    ("claimed", "held", "expected"),
    [
        (("Marie",), ("Anna", "Marie"), "partly"),
        (("Anna-Marie",), ("Anna Marie",), "agrees"),
        (("Annamarie",), ("Anna", "Marie"), "agrees"),
        (("ZOE",), ("Zoë",), "agrees"),
        (("R",), ("Robin",), "absent"),
        (("S",), ("Robin",), "differs"),
        (("Jo",), ("Joanna",), "nearly"),
        (("Unknown",), ("Robin",), "placeholder"),
        ((" ",), ("Robin",), "absent"),
        (("-",), ("Robin",), "placeholder"),
    ],
)
def test_given_names(claimed: tuple[str, ...], held: tuple[str, ...], expected: str) -> None:
    """Given names agree by the first or by any other, in part by a prefix, not by an initial."""
    assert compare_given(claimed, (held,)) == expected


@pytest.mark.parametrize(
    ("claimed", "held", "expected"),
    [
        ("O’PRACTICE", "O'Practice", "agrees"),
        ("Ashdown Brook", "Ashdown-Brook", "agrees"),
        ("Brook", "Ashdown-Brook", "partly"),
        ("Li", "Li-Wong", "differs"),
        ("Testchidl", "Testchild", "nearly"),
        ("Tetschidl", "Testchild", "nearly"),
        ("Tetschixl", "Testchild", "differs"),
        ("Pool", "Cool", "nearly"),
        ("Lee", "Les", "differs"),
        ("Van Dyke", "Van Berg", "differs"),
        ("Kaur Gill", "Kaur Sandhu", "differs"),
        ("Mueller", "Müller", "agrees"),
        ("Muller", "Müller", "agrees"),
        ("Møller", "Moeller", "agrees"),
        ("O Suilleabhain", "Ó Súilleabháin", "agrees"),
        ("Zoltowska", "Żółtowska", "agrees"),
        ("UNKNOWN", "Testchild", "absent"),
        ("Smith (Jones)", "Smith", "agrees"),
    ],
)
def test_family_names(claimed: str, held: str, expected: str) -> None:
    """Family names agree whatever their spelling marks; a shared long part agrees in part."""
    assert compare_family(claimed, (held,)) == expected


@having(st.dates(), st.dates())
def test_whole_birth_dates_agree_only_if_equal(claimed: Any, held: Any) -> None:
    """Two whole dates agree exactly when equal; swapped day and month is its own answer."""
    result = compare_birth_date(claimed.isoformat(), held.isoformat())
    assert (result is Agreement.AGREES) == (claimed == held)
    if result is Agreement.SWAPPED:
        assert (claimed.year, claimed.month, claimed.day) == (held.year, held.day, held.month)
