"""Who said what: what leads, what conflicts, and that the order of arrival decides neither."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.deaths import Fact, FactKind
from streams.cases import provenance
from streams.cases.model import Family, Notification
from tests.support.case_facts import AT, CHILD, notification

VALUES = {
    "child.family": ["Jessop", "JESSOP", "Jessup"],
    "child.given": ["Lily", "Lily Ann", "Rose"],
    "child.birth-date": ["2019", "2019-05", "2019-05-04", "2019-05-05"],
    "child.postcode": ["ZZ4 1AB", "zz41ab", "ZZ9 9ZZ"],
    "death.date": ["2026-02", "2026-02-10", "2026-02-11"],
    "birth.attended": ["true", "false"],
}


def told(number: int, facts: tuple[Fact, ...], organisation: str = "RZ9") -> Notification:
    """A notification that came `number` hours after the first."""
    made = notification(f"n-{number}", organisation)
    return replace(
        made,
        notified=replace(made.notified, facts=facts),
        first_received_at=AT + timedelta(hours=number),
    )


def family(*notes: Notification) -> Family:
    """A case that is made of these."""
    return Family(notes[0].case_id, notes)


def said(name: str, value: str, **more: object) -> Fact:
    """A fact."""
    return Fact(name, value=value, **more)  # type: ignore[arg-type]


@st.composite
def notes(draw: st.DrawFn) -> list[Notification]:
    """A few notifications that may differ."""
    amount = draw(st.integers(1, 4))
    made = []
    for number in range(amount):
        facts = tuple(
            said(
                name, draw(st.sampled_from(values)), kind=draw(st.sampled_from(list(FactKind)[1:]))
            )
            for name, values in VALUES.items()
            if draw(st.booleans())
        )
        made.append(told(number, facts, draw(st.sampled_from(["RZ9", "RZ8"]))))
    return made


@given(notes())
def test_the_order_in_which_messages_are_held_changes_nothing(made: list[Notification]) -> None:
    """Facts, what leads and what conflicts follow from what was said, in any order."""
    expected = provenance.sources(family(*made))
    for turned in itertools.permutations(made):
        found = provenance.sources(replace(family(*made), notifications=turned))
        assert found == expected


@given(notes())
def test_nothing_said_is_lost_or_overwritten(made: list[Notification]) -> None:
    """Every fact of every message is in the case, with its organisation and message."""
    facts = provenance.stated(provenance.sources(family(*made)))
    assert len(facts) == sum(len(one.notified.facts) for one in made)
    for note in made:
        own = [one.fact for one in facts if one.event_id == note.notified.event_id]
        assert own == list(note.notified.facts)


@given(notes())
def test_conflicts_do_not_depend_on_the_order(made: list[Notification]) -> None:
    """A conflict is between two statements, whichever comes first."""
    facts = provenance.stated(provenance.sources(family(*made)))
    assert provenance.conflicts(facts) == provenance.conflicts(facts[::-1])


def test_the_oldest_notification_leads_and_its_own_correction_counts() -> None:
    """A second notifier changes nothing that the first has said; what the first left out counts."""
    first = told(1, (said("child.family", "Jessop"), Fact("death.time", absent="unknown")))
    second = told(2, (said("child.family", "Jessup"), said("death.time", "04:10")), "RZ8")
    facts = provenance.combined(provenance.sources(family(second, first)))
    assert facts.value("child.family") == "Jessop"
    assert facts.value("death.time") == "04:10"


def test_an_opinion_never_leads_and_never_conflicts() -> None:
    """A judgement stands after every fact, whoever gave it first."""
    first = told(1, (said("death.expected", "true", kind=FactKind.OPINION),))
    second = told(2, (said("death.expected", "false"),), "RZ8")
    held = family(first, second)
    assert provenance.combined(provenance.sources(held)).value("death.expected") == "false"
    assert provenance.conflicts(provenance.stated(provenance.sources(held))) == ()


def test_partial_dates_names_and_postcodes_agree_in_their_normal_form() -> None:
    """What means the same is no conflict; what does not is listed."""
    first = told(
        1,
        (
            said("child.birth-date", "2019-05"),
            said("child.family", "O'Brien-Smith"),
            said("child.given", "Lily"),
            said("child.postcode", "ZZ4 1AB"),
            said("death.time", "04:10"),
        ),
    )
    alike = told(
        2,
        (
            said("child.birth-date", "2019-05-04"),
            said("child.family", "OBRIEN SMITH"),
            said("child.given", "Lily Ann"),
            said("child.postcode", "zz41ab"),
            said("death.time", "04:10:30"),
        ),
    )
    other = told(3, (said("child.birth-date", "2019-06-04"), said("child.given", "Rose")), "RZ8")
    assert provenance.conflicts(provenance.stated(provenance.sources(family(first, alike)))) == ()
    assert provenance.conflicts(
        provenance.stated(provenance.sources(family(first, alike, other)))
    ) == ("child.birth-date", "child.given")


def test_what_changes_with_time_conflicts_only_on_one_day() -> None:
    """Two postcodes as of two days are a removal; two birth dates are a conflict on any."""
    first = told(
        1,
        (
            said("child.postcode", "ZZ4 1AB", as_at="2024-01-01"),
            said("child.birth-date", "2019-05-04", as_at="2024-01-01"),
        ),
    )
    second = told(
        2,
        (
            said("child.postcode", "ZZ9 9ZZ", as_at="2026-01-01"),
            said("child.birth-date", "2019-05-05", as_at="2026-01-01"),
        ),
    )
    found = provenance.conflicts(provenance.stated(provenance.sources(family(first, second))))
    assert found == ("child.birth-date",)


def test_rows_of_two_messages_stay_apart() -> None:
    """Row 1 of one notifier and row 1 of another are two people."""
    row = (
        Fact("professional.role", 1, "police"),
        Fact("professional.organisation", 1, "Practice Police"),
    )
    other = (
        Fact("professional.role", 1, "school"),
        Fact("professional.organisation", 1, "Practice School"),
    )
    held = family(told(1, row), told(2, other, "RZ8"))
    facts = provenance.stated(provenance.sources(held))
    roles = [one["role"] for _, one in provenance.rows(facts, "professional")]
    assert roles == ["police", "school"]
    again = provenance.combined(provenance.sources(held)).rows("professional")
    assert [one["organisation"] for one in again] == ["Practice Police", "Practice School"]


def test_what_is_not_about_the_child_is_not_compared() -> None:
    """Two people never tell the circumstances in the same words, nor are they one referrer; and
    the police know on the second day.
    """
    facts = (
        said("death.circumstances", "one"),
        said("unlisted.mood", "blue"),
        said("referrer.role", "police"),
        said("death.police-informed", "false"),
    )
    others = (
        said("death.circumstances", "two"),
        said("unlisted.mood", "red"),
        said("referrer.role", "consultant"),
        said("death.police-informed", "true"),
    )
    held = family(told(1, facts), told(2, others))
    assert provenance.conflicts(provenance.stated(provenance.sources(held))) == ()


def test_tracking_numbers_of_all_agencies_are_kept_once() -> None:
    """What other systems call the case accumulates."""
    mine = (Fact("tracking.system", 1, "MBRRACE-UK"), Fact("tracking.value", 1, "M-1"))
    theirs = (
        *mine,
        Fact("tracking.system", 2, "coroner"),
        Fact("tracking.value", 2, "C-7"),
    )
    held = family(told(1, mine), told(2, theirs, "RZ8"))
    found = provenance.tracking(provenance.stated(provenance.sources(held)))
    assert [(one.system, one.value, one.organisation) for one in found] == [
        ("MBRRACE-UK", "M-1", "RZ9"),
        ("coroner", "C-7", "RZ8"),
    ]


def test_no_place_of_a_restricted_child_is_left() -> None:
    """Places go, and so does what the catalogue does not know: it may be one."""
    facts = tuple(
        said(name, value)
        for name, value in (
            ("child.family", "Jessop"),
            ("child.postcode", "ZZ4 1AB"),
            ("child.residence-authority", CHILD["child.residence-authority"]),
            ("unlisted.where", "at home"),
        )
    )
    stated = provenance.stated(provenance.sources(family(told(1, facts))))
    assert [one.fact.name for one in provenance.without_places(stated)] == ["child.family"]
