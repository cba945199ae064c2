"""Is the record PDS gave the person whom the sender claims? Pure, and each answer has its rule.

A number that exists verifies nothing: other demographics must confirm it (ISB 0149 requirement
14). A placeholder given name is never agreement, and a given name that contradicts is never
outvoted by family name and birth date, because twins share those. Without a given name another
gender, a multiple birth, an age under six weeks, or a birth date that stands for "not known" leaves
it to a person. A birth date that is not the same, whole, on both sides proves nothing whatever else
agrees (ADR 0043).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from connectors.pds.agreement import Agreement as Agreement
from connectors.pds.fields import compare_birth_date as compare_birth_date
from connectors.pds.fields import compare_family as compare_family
from connectors.pds.fields import (
    compare_gender,
    compare_number,
    names_swapped,
    stands_for_unknown,
)
from connectors.pds.fields import compare_postcode as compare_postcode
from connectors.pds.given_fit import Given, GivenFit, tells_of_several, weigh_given
from connectors.pds.given_fit import compare_given as compare_given
from connectors.pds.outcomes import PdsRecord
from halyard.settings import PdsSettings
from schemas.events import PersonClaim


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What PDS's score (0 to 1) must reach at least before a search's match verifies anything."""

    least_score: float = 0.80
    least_score_fuzzy: float = 0.85


DEFAULT_THRESHOLDS: Final = Thresholds()


def thresholds_of(settings: PdsSettings) -> Thresholds:
    """The thresholds in `settings`."""
    return Thresholds(settings.least_score, settings.least_score_fuzzy)


class Several(IntEnum):
    """Whether the claimed child may be one of twins or more."""

    NO = 0
    PERHAPS = 1  # PDS says that it was born first, which only children are too; or nobody says
    SAID = 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How a search found its only match, as far as it matters for what the match proves.

    `fuzzy`: by sound. `placed`: others fitted too, and the postcode chose between them, which never
    finds a restricted record. `ranged`: by another birth date than the claimed one.
    """

    fuzzy: bool = False
    placed: bool = False
    ranged: bool = False


class Verdict(StrEnum):
    """What the fields come to together."""

    VERIFIED = "verified"
    POTENTIAL = "potential"  # not contradicted, not proven: a person looks
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict, the stable name of the rule that gave it, and the fields it stands on."""

    verdict: Verdict
    rule: str
    number: Agreement
    birth_date: Agreement
    family: Agreement
    given: Agreement
    gender: Agreement
    postcode: Agreement

    @property
    def verified(self) -> bool:
        """True if the record is the claimed person's."""
        return self.verdict is Verdict.VERIFIED


def compare(
    claim: PersonClaim,
    record: PdsRecord,
    *,
    requested: str | None = None,
    one_of_several: bool = False,
    order_unknown: bool = False,
    newborn: bool = False,
) -> Comparison:
    """Judge a record that was asked for by number.

    `requested`: the number asked for, where PDS answered with its successor. `one_of_several`: the
    sender says that it was a multiple birth, so that a child without a given name of its own may
    be the other one; "Twin 2" on either side, and PDS's order of birth, say so too.
    `order_unknown`: the record would not say (it is not PDS's answer itself). `newborn`: the child
    was less than six weeks old, when nobody may have said yet.
    """
    several = Several.SAID if one_of_several else Several.PERHAPS if order_unknown else Several.NO
    fields = _Fields.of(claim, record, requested, several)
    verdict, rule = _judge_retrieval(fields, newborn=newborn)
    return fields.comparison(verdict, f"pds.get.{rule}")


def compare_search(
    claim: PersonClaim,
    record: PdsRecord,
    *,
    score: float | None,
    manner: Manner,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    one_of_several: bool = False,
    other_country: bool = False,
    of_a_death: bool = False,
) -> Comparison:
    """Judge the only match of a search. `score` is PDS's, 0 to 1; None, or outside, if it is none.

    `other_country`: the claim came with a Scottish or Northern Irish number, so that an English
    record of the same name may be a namesake's. `of_a_death`: the message tells of a death; of
    anything else a record of somebody who has died is a namesake's.
    """
    several = Several.SAID if one_of_several else Several.NO
    fields = _Fields.of(claim, record, None, several)
    least = thresholds.least_score_fuzzy if manner.fuzzy else thresholds.least_score
    others = _Others(manner, other_country, died=record.deceased and not of_a_death)
    verdict, rule = _judge_search(fields, score, least, others)
    return fields.comparison(verdict, f"pds.search.{rule}")


@dataclass(frozen=True, slots=True)
class _Others:
    """What lets the match of a search be somebody else, whatever the fields say."""

    manner: Manner
    country: bool
    died: bool


_AGREED: Final = (Agreement.AGREES, Agreement.PARTLY)
_DIFFERS: Final = Agreement.DIFFERS
_UNLIKE: Final = (Agreement.DIFFERS, Agreement.NEARLY)
_SILENT: Final = (GivenFit.SILENT, GivenFit.PLACEHOLDER)
_LESS_SAID: Final = (GivenFit.SHARED, GivenFit.MIDDLE)
_PLACED: Final = (GivenFit.SPELLING, GivenFit.FORMER)


@dataclass(frozen=True, slots=True)
class _Fields:
    number: Agreement
    birth_date: Agreement
    unknown_date: bool
    family: Agreement
    fit: GivenFit
    beyond: bool
    swapped: bool
    gender: Agreement
    postcode: Agreement
    several: Several
    other_order: bool

    @classmethod
    def of(
        cls, claim: PersonClaim, record: PdsRecord, requested: str | None, several: Several
    ) -> _Fields:
        gender = compare_gender(claim.gender, record.gender)
        family = compare_family(claim.family, (record.family, *record.other_families))
        given = weigh_given(
            claim.given,
            (record.given, *record.other_given),
            gender=gender,
            families=(claim.family, record.family, *record.other_families),
        )
        several = max(several, _several(claim, record))
        fit = _among_several(given, several)
        return cls(
            number=compare_number(claim.nhs_number, record.nhs_number, requested),
            birth_date=compare_birth_date(claim.birth_date, record.birth_date),
            unknown_date=stands_for_unknown(claim.birth_date),
            family=family,
            fit=fit,
            beyond=given.more,
            swapped=family in _UNLIKE
            and fit.agreement in _UNLIKE
            and names_swapped(claim.family, claim.given, record.family, record.given),
            gender=gender,
            postcode=compare_postcode(claim.postcode, record.postcode),
            several=several,
            other_order=None not in (claim.birth_order, record.birth_order)
            and claim.birth_order != record.birth_order,
        )

    @property
    def given(self) -> Agreement:
        return self.fit.agreement

    def comparison(self, verdict: Verdict, rule: str) -> Comparison:
        return Comparison(
            verdict,
            rule,
            self.number,
            self.birth_date,
            Agreement.SWAPPED if self.swapped else self.family,
            Agreement.SWAPPED if self.swapped else self.given,
            self.gender,
            self.postcode,
        )


def _several(claim: PersonClaim, record: PdsRecord) -> Several:
    """What claim and record themselves say."""
    if claim.one_of_several or tells_of_several(claim.given, record.given, *record.other_given):
        return Several.SAID
    order = record.birth_order
    return Several.NO if order is None else Several.PERHAPS if order == 1 else Several.SAID


def _among_several(given: Given, several: Several) -> GivenFit:
    """A further name that one side alone has may be what tells twins apart. Who may be an only
    child is so called with fewer names than PDS has, as most are.
    """
    told = given.more or (given.less and several is Several.SAID)
    if several and told and given.fit in (GivenFit.WHOLE, GivenFit.SPELLING):
        return GivenFit.SHARED
    return given.fit


_Verdict = tuple[Verdict, str]


def _judge_retrieval(on: _Fields, *, newborn: bool) -> _Verdict:
    if on.number not in (Agreement.AGREES, Agreement.SUPERSEDED):
        return Verdict.CONFLICT, "number_differs"
    # A wrong digit is believed only of somebody who is otherwise named: brothers are born on
    # dates that differ in one
    named = on.fit is GivenFit.WHOLE and on.family in _AGREED
    if on.birth_date is _DIFFERS or (on.birth_date is Agreement.NEARLY and not named):
        return Verdict.CONFLICT, "birth_date_differs"
    names_verdict, names_rule = _judge_names(on, newborn=newborn)
    if names_verdict is Verdict.CONFLICT:
        return names_verdict, names_rule
    if on.birth_date is not Agreement.AGREES:
        return Verdict.POTENTIAL, f"birth_date_{on.birth_date}"
    return names_verdict, names_rule


def _judge_names(on: _Fields, *, newborn: bool) -> _Verdict:
    if on.swapped:
        return Verdict.POTENTIAL, "names_swapped"
    if on.given in _AGREED:
        return _judge_given(on)
    if on.given in _UNLIKE and on.fit is not GivenFit.BESIDE:
        family = on.family in _AGREED
        if on.fit is GivenFit.NEAR and family and not on.several:
            return Verdict.POTENTIAL, "given_nearly"
        return Verdict.CONFLICT, "given_differs_perhaps_a_twin" if family else "names_differ"
    # The given name is silent, or nobody knows whose it is: the family name must agree whole
    if on.family is _DIFFERS:
        return Verdict.CONFLICT, "family_differs"
    # Nothing tells twins apart then but the gender
    if on.gender is _DIFFERS:
        return Verdict.POTENTIAL, "gender_differs_perhaps_a_twin"
    if on.several or newborn or on.fit is GivenFit.BESIDE:
        return Verdict.POTENTIAL, "given_unknown_perhaps_a_twin"
    if on.unknown_date and on.birth_date is Agreement.AGREES:
        return Verdict.POTENTIAL, "birth_date_stands_for_unknown"
    if on.family is Agreement.AGREES:
        return Verdict.VERIFIED, "number_birth_date_family"
    return Verdict.POTENTIAL, "names_insufficient"


def _judge_given(on: _Fields) -> _Verdict:
    """The given names fit, whole or in part."""
    both = on.family in (*_AGREED, Agreement.NEARLY)
    if on.fit is GivenFit.WHOLE:
        return Verdict.VERIFIED, "number_birth_date_names" if both else "number_birth_date_given"
    if on.fit is GivenFit.FURTHER:
        return Verdict.POTENTIAL, "further_given_names_differ"
    # Twins are called Lily Grace and Grace Lily. Who is called Mohammed may be Mohammed Ali; who
    # is called Mohammed Ali is not the child of whom PDS has Mohammed and nothing more
    apart = on.fit is GivenFit.ORDER or (on.beyond and on.fit in _LESS_SAID)
    if on.several or on.gender is _DIFFERS or apart:
        return Verdict.POTENTIAL, "given_partly_perhaps_a_twin"
    if not both:
        return Verdict.POTENTIAL, "names_insufficient"
    return Verdict.VERIFIED, "number_birth_date_names"


def _judge_search(on: _Fields, score: float | None, least: float, others: _Others) -> _Verdict:
    contradicted = _contradiction(on)
    if contradicted is not None:
        return Verdict.CONFLICT, contradicted
    doubt = _doubt(on, score, least, others)
    if doubt is not None:
        return Verdict.POTENTIAL, doubt
    here = on.postcode is Agreement.AGREES
    if on.fit is not GivenFit.WHOLE:
        # The name is not the whole one: Ali is not in PDS, and Alistair, born on the same day, is;
        # what twins share (a shared name, how their names begin) is no proof even at their home
        apart = here and on.fit in _PLACED
        if not (apart and on.gender is Agreement.AGREES and on.family is Agreement.AGREES):
            return Verdict.POTENTIAL, "given_partly"
        return Verdict.VERIFIED, "birth_date_names"
    if on.family is Agreement.AGREES:
        rule = "birth_date_names_postcode" if others.manner.placed else "birth_date_names"
        return Verdict.VERIFIED, rule
    if here:
        return Verdict.VERIFIED, "birth_date_given_postcode"
    return Verdict.POTENTIAL, f"family_{on.family}"


def _contradiction(on: _Fields) -> str | None:
    """What rules the person out whom a search found."""
    if on.birth_date is _DIFFERS:
        return "birth_date_differs"
    if on.swapped:
        return None
    if on.fit is GivenFit.OTHER:
        return "given_differs"
    # Never "the same child under another family name": that is how an adopted child looks
    return "family_differs" if on.family is _DIFFERS else None


def _doubt(on: _Fields, score: float | None, least: float, others: _Others) -> str | None:
    """What keeps a search's match from being proven; the first reason counts."""
    here, manner = on.postcode is Agreement.AGREES, others.manner
    scored = score is not None and 0 <= score <= 1
    partly = on.fit not in (GivenFit.WHOLE, *_SILENT)
    reasons = (
        (on.swapped, "names_swapped"),
        (on.fit in (GivenFit.PLACEHOLDER, GivenFit.BESIDE), "placeholder_given"),
        (on.fit is GivenFit.NEAR, "given_nearly"),
        (on.number is _DIFFERS, "another_number"),
        (on.birth_date is not Agreement.AGREES, f"birth_date_{on.birth_date}"),
        (manner.ranged, "birth_date_range"),
        (not scored, "without_score"),
        (score is not None and score < least, "low_score"),
        (others.died, "deceased"),
        (on.fit is GivenFit.SILENT or on.family is Agreement.ABSENT, "names_insufficient"),
        (on.fit is GivenFit.FURTHER, "further_given_names_differ"),
        (on.gender is _DIFFERS, "gender_differs"),
        (partly and bool(on.several), "given_partly_perhaps_a_twin"),
        (on.other_order, "birth_order_differs"),
        (manner.placed and not here, "placed_elsewhere"),
        (others.country and not here, "number_of_another_country"),
        (on.unknown_date and not here, "birth_date_stands_for_unknown"),
        (on.gender is Agreement.ABSENT and not here, "gender_and_home_unknown"),
    )
    return next((reason for holds, reason in reasons if holds), None)
