"""Whether a death is one that child death review is about: a table of rules, tried in order.

The first rule that speaks decides; its name and source travel with the outcome ("why"). What is
not told, or contradicts itself, goes to a person: a rule never fills a gap. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from schemas.deaths import Eligibility
from streams.cases.ages import Ages, PartialDate, ages, child_when_died
from streams.cases.facts import Facts

START: Final = date(2019, 4, 1)  # NCMD collects deaths on and after this day
VIABLE_WEEKS: Final = 24  # without signs of life: before it a late foetal loss, then a stillbirth
NEWBORN_DAYS: Final = 28

NCMD: Final = "National Child Mortality Database, data security page"
ACT: Final = "Children Act 2004, section 16M(1)"
ACT_OTHERS: Final = "Children Act 2004, section 16M(2)"
PROTOCOL: Final = "child death review protocol (Cambridgeshire and Peterborough)"
JOINT: Final = "joint agency response procedure (Nottinghamshire); " + NCMD
CONFIGURATION: Final = "configuration"

# As senders write it; what names another country of the Union is away
_PERHAPS_ENGLAND: Final = frozenset(
    {"GB", "GBR", "UK", "UNITED KINGDOM", "GREAT BRITAIN", "BRITAIN"}
    | {"GB-ENG", "GB-GBN", "GB-UKM", "ENG", "ENGLAND", "E92000001"}
)

IN, OUT, PERSON = Eligibility.IN_SCOPE, Eligibility.OUT_OF_SCOPE, Eligibility.NEEDS_HUMAN


@dataclass(frozen=True, slots=True)
class EligibilityDecision:
    """In scope, out of scope or for a person; by which rule, and where the rule comes from."""

    outcome: Eligibility
    rule: str
    source: str


@dataclass(frozen=True, slots=True)
class Look:
    """All that the rules look at.

    `died` is never later than today, and any day from birth to today where no date is told;
    `ages` follows from it. `english`: the child normally lived in England; None: not told.
    `newborn`: both dates are told, and enough of them that death was within 28 days of birth.
    `no_life`: somebody says that the child was stillborn, or that there was no sign of life.
    """

    born: PartialDate | None = field(repr=False)
    died: PartialDate | None = field(repr=False)
    ages: Ages | None
    child: bool | None
    newborn: bool
    future: bool
    signs: bool | None
    no_life: bool
    attended: bool | None
    termination: bool | None
    weeks: int | None
    in_hospital: bool
    away: bool
    english: bool | None
    review_open: bool | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `says` is true where the rule applies."""

    name: str
    outcome: Eligibility
    when: str
    source: str
    says: Callable[[Look], bool]


def decide(facts: Facts, *, today: date) -> EligibilityDecision:
    """The first rule that speaks; the last always does. The first fact of a name counts."""
    look = _look(facts, today)
    rule = next((one for one in RULES if one.says(look)), RULES[-1])
    return EligibilityDecision(rule.outcome, rule.name, rule.source)


def _look(facts: Facts, today: date) -> Look:
    born = PartialDate.parse(facts.value("child.birth-date"))
    told = PartialDate.parse(facts.value("death.date"))
    future = any(one is not None and one.first > today for one in (born, told))
    died = told
    if told is not None and not future:
        died = PartialDate(told.first, min(told.last, today))
    elif told is None and born is not None and not future:
        died = PartialDate(born.first, today)
    if died is not None and born is not None and died.first < born.first <= died.last:
        died = PartialDate(born.first, died.last)
    home = facts.yes("death.stillbirth-at-home-suspected") is True
    signs = facts.yes("birth.signs-of-life")
    possible = ages(born, died) if born is not None and died is not None else None
    return Look(
        born=born,
        died=died,
        ages=possible,
        child=child_when_died(born, died) if born is not None and died is not None else None,
        newborn=told is not None and possible is not None and possible.oldest_days < NEWBORN_DAYS,
        future=future,
        signs=signs,
        no_life=facts.yes("birth.stillbirth") is True or home or signs is False,
        attended=facts.yes("birth.attended"),
        termination=facts.yes("birth.termination"),
        weeks=_weeks(facts.value("child.gestation-weeks")),
        in_hospital=(facts.code("death.place") or "").startswith("ACUTE-HOSPITAL"),
        away=_away(facts),
        english=_english(facts),
        review_open=facts.yes("review.open-on-2019-04-01"),
    )


def _weeks(text: str | None) -> int | None:
    whole = (text or "").partition("+")[0]
    return int(whole) if whole.isascii() and whole.isdecimal() and len(whole) < 4 else None


def _away(facts: Facts) -> bool:
    """Whether the death was told to be outside England."""
    authority = facts.code("death.authority") or "E"
    country = facts.code("death.country") or "GB"
    abroad = facts.code("death.place") == "ABROAD"
    return abroad or country not in _PERHAPS_ENGLAND or authority[0] != "E"


def _english(facts: Facts) -> bool | None:
    if facts.code("child.nhs-number-absent") == "NON-RESIDENT":
        return False
    usual = facts.code("child.residence-authority")
    return None if usual is None else usual.startswith("E")


def _lived(look: Look) -> bool:
    return look.ages is not None and look.ages.youngest_days > 0


def _conflict(look: Look) -> bool:
    return look.ages is not None and look.ages.conflict


def _unclear_birth(look: Look) -> bool:
    # said to be stillborn, and to have lived, or to have died on a later day than the birth
    return look.no_life and (look.signs is True or _lived(look))


def _termination(look: Look) -> bool:
    return look.termination is True


def _older_than_newborn(look: Look) -> bool:
    return look.ages is not None and look.ages.youngest_days >= NEWBORN_DAYS


def _loss(look: Look) -> bool:
    return look.no_life and look.weeks is not None and look.weeks < VIABLE_WEEKS


def _maybe_stillborn(look: Look) -> bool:
    # nobody says, and the death may have been on the day of birth: waiting changes nothing in it
    return look.signs is None and look.ages is not None and look.ages.youngest_days == 0


def _unattended(look: Look) -> bool:
    return look.no_life and look.attended is False and not _perhaps_before(look)


def _before(look: Look) -> bool:
    return look.died is not None and look.died.last < START


def _perhaps_before(look: Look) -> bool:
    return look.died is None or look.died.first < START


def _always(_: Look) -> bool:
    return True


RULES: Final = (
    Rule(
        "future-date",
        PERSON,
        "the birth or the death is dated after today",
        CONFIGURATION,
        lambda look: look.future,
    ),
    Rule(
        "death-before-birth",
        PERSON,
        "the death is dated before the birth",
        CONFIGURATION,
        _conflict,
    ),
    Rule(
        "lived-and-stillborn",
        PERSON,
        "said to be stillborn, and to have shown signs of life or died on a later day",
        CONFIGURATION,
        _unclear_birth,
    ),
    Rule(
        "termination-and-lived",
        PERSON,
        "said to be a lawful termination, of a child who lived for 28 days or more",
        CONFIGURATION,
        lambda look: _termination(look) and _older_than_newborn(look),
    ),
    Rule(
        "no-life-age-not-told",
        PERSON,
        "said to be stillborn or a termination, and the dates do not tell that death was within "
        "28 days of birth",
        CONFIGURATION,
        lambda look: (look.no_life or _termination(look)) and not look.newborn,
    ),
    Rule(
        "termination",
        OUT,
        "a lawful planned termination, at any gestation, also where the child was born alive",
        PROTOCOL,
        _termination,
    ),
    Rule(
        "foetal-loss-not-attended",
        PERSON,
        "no signs of life before 24 weeks, and nobody says that a professional was present",
        CONFIGURATION,
        lambda look: _loss(look) and look.attended is not True,
    ),
    Rule(
        "late-foetal-loss",
        OUT,
        "no signs of life before 24 weeks, a healthcare professional was present",
        PROTOCOL,
        _loss,
    ),
    Rule(
        "stillbirth-in-hospital-unattended",
        PERSON,
        "stillbirth without a healthcare professional, but in hospital: the sources differ",
        CONFIGURATION,
        lambda look: look.no_life and look.attended is False and look.in_hospital,
    ),
    Rule(
        "unattended-stillbirth",
        IN,
        "stillbirth with no healthcare professional present, in England, of parents who live "
        "there; it began on 1 April 2019",
        JOINT,
        lambda look: _unattended(look) and look.english is True and not look.away,
    ),
    Rule(
        "unattended-stillbirth-elsewhere",
        PERSON,
        "stillbirth with no healthcare professional present, outside England, or not told to be of "
        "parents who live there",
        CONFIGURATION,
        _unattended,
    ),
    Rule(
        "stillbirth",
        OUT,
        "stillbirth with a healthcare professional present",
        NCMD,
        lambda look: look.no_life and look.attended is True,
    ),
    Rule(
        "stillbirth-not-clear",
        PERSON,
        "stillbirth, and not told whether a professional was present, or when it was",
        CONFIGURATION,
        lambda look: look.no_life,
    ),
    Rule(
        "came-of-age",
        OUT,
        "died on the 18th birthday or later, however partial dates are completed",
        NCMD,
        lambda look: look.child is False,
    ),
    Rule(
        "before-april-2019",
        OUT,
        "died before 1 April 2019, and no review was open on that day",
        NCMD,
        lambda look: _before(look) and look.review_open is False,
    ),
    Rule(
        "age-not-told",
        PERSON,
        "the dates do not tell whether it was before the 18th birthday",
        CONFIGURATION,
        lambda look: look.child is None,
    ),
    Rule(
        "signs-of-life-not-told",
        PERSON,
        "may have died on the day of birth, and nobody says whether there were signs of life",
        CONFIGURATION,
        _maybe_stillborn,
    ),
    Rule(
        "date-not-told",
        PERSON,
        "perhaps died before 1 April 2019, and not told whether a review was open on that day",
        CONFIGURATION,
        lambda look: _perhaps_before(look) and look.review_open is not True,
    ),
    Rule(
        "not-resident",
        PERSON,
        "did not normally live in England: partners may review such a death in their area",
        ACT_OTHERS,
        lambda look: look.english is False,
    ),
    Rule(
        "residence-not-told-died-away",
        PERSON,
        "died outside England, and not told where the child normally lived",
        ACT,
        lambda look: look.away and look.english is None,
    ),
    Rule(
        "residence-not-told",
        PERSON,
        "not told where the child normally lived",
        ACT,
        lambda look: look.english is None,
    ),
    Rule(
        "resident-died-away",
        IN,
        "under 18, normally lived in England, died outside it",
        ACT,
        lambda look: look.away,
    ),
    Rule(
        "signs-of-life",
        IN,
        "born with signs of life, at whatever gestation, died within 28 days",
        CONFIGURATION,
        lambda look: (
            look.signs is True and look.ages is not None and look.ages.oldest_days < NEWBORN_DAYS
        ),
    ),
    Rule("under-18", IN, "under 18, normally lived in England", f"{ACT}; {NCMD}", _always),
)
