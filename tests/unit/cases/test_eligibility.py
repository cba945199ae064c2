"""Whether a death is in scope."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deaths import Eligibility, Fact
from streams.cases.eligibility import RULES, decide
from streams.cases.facts import facts_of
from tests.support.case_facts import CHILD, NEWBORN, facts

TODAY = date(2026, 3, 1)
IN, OUT, PERSON = Eligibility.IN_SCOPE, Eligibility.OUT_OF_SCOPE, Eligibility.NEEDS_HUMAN
STILL = NEWBORN | {"birth.stillbirth": "true", "birth.signs-of-life": "false"}
ALIVE = NEWBORN | {"birth.signs-of-life": "true"}

CASES = [
    (CHILD, {}, IN, "under-18"),
    (CHILD, {"child.birth-date": "2008-02-11"}, IN, "under-18"),
    (CHILD, {"child.birth-date": "2008-02-10"}, OUT, "came-of-age"),
    (CHILD, {"child.birth-date": "2008-02"}, PERSON, "age-not-told"),
    (CHILD, {"child.birth-date": "2008"}, PERSON, "age-not-told"),
    (CHILD, {"child.birth-date": "2019"}, IN, "under-18"),
    (CHILD, {"child.birth-date": ""}, PERSON, "age-not-told"),
    (CHILD, {"child.birth-date": "2026-02-11"}, PERSON, "death-before-birth"),
    (CHILD, {"death.date": "2026-03-02"}, PERSON, "future-date"),
    (CHILD, {"death.date": "2026-03"}, IN, "under-18"),  # up to today
    # no date of death: they are dead by today, and were born after April 2019; but perhaps
    # stillborn, which waiting does not change
    (ALIVE, {"death.date": "", "child.birth-date": "2019-05-04"}, IN, "under-18"),
    (CHILD, {"death.date": ""}, PERSON, "signs-of-life-not-told"),
    (ALIVE, {"death.date": "", "child.birth-date": "2019-03-04"}, PERSON, "date-not-told"),
    (CHILD, {"death.date": "", "child.birth-date": "2005"}, PERSON, "age-not-told"),
    # signs of life, whatever the gestation
    (ALIVE, {}, IN, "signs-of-life"),
    (ALIVE, {"child.gestation-weeks": "19"}, IN, "signs-of-life"),
    (ALIVE, {"child.birth-date": "2026-01-20"}, IN, "signs-of-life"),
    (NEWBORN, {}, PERSON, "signs-of-life-not-told"),
    (NEWBORN, {"death.date": ""}, PERSON, "signs-of-life-not-told"),
    (
        NEWBORN,
        {"death.date": "", "child.birth-date": "2026-01-01"},
        PERSON,
        "signs-of-life-not-told",
    ),
    (CHILD, {"child.birth-date": "2026", "death.date": "2026"}, PERSON, "signs-of-life-not-told"),
    (NEWBORN, {"birth.stillbirth": "false"}, PERSON, "signs-of-life-not-told"),
    (NEWBORN, {"child.birth-date": "2026-02-09"}, IN, "under-18"),  # lived for a day
    # stillbirth
    (STILL, {"birth.attended": "true"}, OUT, "stillbirth"),
    (STILL, {"birth.attended": "true", "child.gestation-weeks": "24"}, OUT, "stillbirth"),
    (STILL, {"birth.attended": "true", "child.gestation-weeks": "23+6"}, OUT, "late-foetal-loss"),
    (STILL, {"child.gestation-weeks": "22"}, PERSON, "foetal-loss-not-attended"),
    (
        STILL,
        {"child.gestation-weeks": "22", "birth.attended": "false"},
        PERSON,
        "foetal-loss-not-attended",
    ),
    (STILL, {"birth.attended": "false"}, IN, "unattended-stillbirth"),
    (
        NEWBORN,
        {"death.stillbirth-at-home-suspected": "true", "birth.attended": "false"},
        IN,
        "unattended-stillbirth",
    ),
    (NEWBORN, {"death.stillbirth-at-home-suspected": "true"}, PERSON, "stillbirth-not-clear"),
    (STILL, {}, PERSON, "stillbirth-not-clear"),
    *(
        (STILL, {"birth.attended": "false"} | elsewhere, PERSON, "unattended-stillbirth-elsewhere")
        for elsewhere in (
            {"child.residence-authority": ""},
            {"child.residence-authority": "W06000001"},
            {"death.country": "FR"},
            {"death.place": "abroad"},
        )
    ),
    # no life, or a termination, of somebody whose age nobody knows: never out of scope unseen
    *(
        (base, dates | more, PERSON, "no-life-age-not-told")
        for base, more in (
            (STILL, {"birth.attended": "true"}),
            (STILL, {"birth.attended": "true", "child.gestation-weeks": "20"}),
            (STILL, {"birth.attended": "false"}),
            (ALIVE, {"birth.termination": "true"}),
        )
        for dates in (
            {"child.birth-date": "", "death.date": ""},
            {"child.birth-date": "2010-05-04", "death.date": ""},
            {"child.birth-date": "2026-02-20", "death.date": ""},
            {"child.birth-date": "", "death.date": "2026-02-10"},
            {"child.birth-date": "2026", "death.date": "2026"},
        )
    ),
    (STILL, {"child.birth-date": "2010-05-04"}, PERSON, "lived-and-stillborn"),
    (STILL, {"child.birth-date": "2026-02", "birth.attended": "true"}, OUT, "stillbirth"),
    (
        STILL,
        {"birth.attended": "false", "death.place": "acute-hospital.other"},
        PERSON,
        "stillbirth-in-hospital-unattended",
    ),
    (
        STILL,
        {"birth.attended": "false", "child.birth-date": "2019-03-31", "death.date": "2019-03-31"},
        PERSON,
        "stillbirth-not-clear",
    ),
    (STILL, {"birth.signs-of-life": "true"}, PERSON, "lived-and-stillborn"),
    (STILL, {"death.date": "2026-02-20"}, PERSON, "lived-and-stillborn"),
    # termination
    (STILL, {"birth.termination": "true"}, OUT, "termination"),
    (ALIVE, {"birth.termination": "true"}, OUT, "termination"),
    (CHILD, {"birth.termination": "true"}, PERSON, "termination-and-lived"),
    # before April 2019
    (CHILD | {"child.birth-date": "2010"}, {"death.date": "2019-04-01"}, IN, "under-18"),
    (
        CHILD | {"child.birth-date": "2010"},
        {"death.date": "2019-03-31"},
        PERSON,
        "date-not-told",
    ),
    (
        CHILD | {"child.birth-date": "2010"},
        {"death.date": "2019-03-31", "review.open-on-2019-04-01": "false"},
        OUT,
        "before-april-2019",
    ),
    (
        CHILD | {"child.birth-date": "2010"},
        {"death.date": "2019-03-31", "review.open-on-2019-04-01": "true"},
        IN,
        "under-18",
    ),
    (CHILD | {"child.birth-date": "2010"}, {"death.date": "2019"}, PERSON, "date-not-told"),
    # residence
    (CHILD, {"child.residence-authority": ""}, PERSON, "residence-not-told"),
    (CHILD, {"child.nhs-number-absent": "non-resident"}, PERSON, "not-resident"),
    (CHILD, {"child.residence-authority": "W06000001"}, PERSON, "not-resident"),
    (CHILD, {"death.place": "abroad"}, IN, "resident-died-away"),
    (CHILD, {"death.country": "FR"}, IN, "resident-died-away"),
    (CHILD, {"death.authority": "S12000005"}, IN, "resident-died-away"),
    (CHILD, {"death.authority": "E06000002"}, IN, "under-18"),
    (CHILD, {"death.authority": " e06000002 "}, IN, "under-18"),
    (CHILD, {"death.country": "gb-eng"}, IN, "under-18"),
    (CHILD, {"death.country": "England"}, IN, "under-18"),
    (CHILD, {"death.country": "United Kingdom"}, IN, "under-18"),
    (CHILD, {"death.country": "GB-SCT"}, IN, "resident-died-away"),
    (CHILD, {"death.place": " Abroad"}, IN, "resident-died-away"),
    (CHILD, {"child.residence-authority": "e06000001 "}, IN, "under-18"),
    (CHILD, {"child.residence-authority": " "}, PERSON, "residence-not-told"),
    (CHILD, {"child.nhs-number-absent": "Non-Resident"}, PERSON, "not-resident"),
    (
        CHILD,
        {"death.country": "FR", "child.residence-authority": ""},
        PERSON,
        "residence-not-told-died-away",
    ),
]


@pytest.mark.parametrize(("base", "changed", "outcome", "rule"), CASES)
def test_a_rule_decides(
    base: dict[str, str], changed: dict[str, str], outcome: Eligibility, rule: str
) -> None:
    """One row or more for each rule, at its edges."""
    decision = decide(facts(base, changed), today=TODAY)
    assert (decision.outcome, decision.rule) == (outcome, rule)
    assert decision.source


def test_every_rule_has_a_row_above() -> None:
    """No rule is without an example."""
    assert {rule for _, _, _, rule in CASES} == {rule.name for rule in RULES}


def test_what_no_source_confirms_decides_nothing_against_a_child() -> None:
    """A rule that is configuration never takes a death out of scope."""
    assert not [one.name for one in RULES if one.source == "configuration" and one.outcome is OUT]


NAMES = {name for base, changed, _, _ in CASES for name in {**base, **changed}}
SAID = st.one_of(
    st.sampled_from(["true", "false", "abroad", "home", "E06000001", "W06000001", "FR", "23", "x"]),
    st.dates(date(2000, 1, 1), date(2027, 1, 1)).map(date.isoformat),
    st.sampled_from(["2008", "2008-02", "2026"]),
)


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), SAID))
def test_any_facts_are_decided_and_gaps_never_decide(told: dict[str, str]) -> None:
    """Never raises; and where no date of birth is told, only a death before NCMD decides."""
    decision = decide(
        facts_of(Fact(name, value=value) for name, value in told.items()), today=TODAY
    )
    assert decision.rule in {rule.name for rule in RULES}
    if "child.birth-date" not in told and decision.outcome is not PERSON:
        assert decision.rule == "before-april-2019"
