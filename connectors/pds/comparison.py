"""Is the record PDS gave the person whom the sender claims? Pure, and each answer has its rule.

A number that exists verifies nothing: other demographics must confirm it (ISB 0149 requirement
14). A placeholder given name is never agreement, and a given name that contradicts is never
outvoted by family name and birth date, because twins share those. Without a given name another
gender, or a multiple birth, leaves it to a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connectors.pds.outcomes import PdsRecord
from halyard.names import is_placeholder_given, name_parts, normalise_name, normalise_postcode
from halyard.nhs_number import check_digit
from schemas.events import PersonClaim

# "Potential match" begins at 0.85 in the Department for Education's matcher; PDS gives about
# 0.83 to a full hit by wildcard, so that a search with one is asked for less.
LEAST_SCORE_FUZZY: Final = 0.85
LEAST_SCORE: Final = 0.80
_SHORTEST_PREFIX: Final = 3
_FULL_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NO_FAMILY: Final = frozenset({"unknown", "unk", "notknown", "nk", "none", "x", "xx", "xxx"})


class Agreement(StrEnum):
    """How one field of claim and record stand to each other."""

    AGREES = "agrees"
    PARTLY = "partly"  # a part, a prefix, the same outward code, a partial date
    SWAPPED = "swapped"  # day and month (birth date); given and family (names)
    SUPERSEDED = "superseded"  # the claim has the number that was merged into the record's
    ABSENT = "absent"  # one side says nothing
    PLACEHOLDER = "placeholder"  # one side says "Baby", "Twin 1", "Unknown", ...
    DIFFERS = "differs"


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
) -> Comparison:
    """Judge a record that was asked for by number.

    `requested`: the number asked for, where PDS answered with its successor. `one_of_several`: the
    sender says that it was a multiple birth, so that a child without a given name of its own may
    be the other one.
    """
    fields = _Fields.of(claim, record, requested)
    verdict, rule = _judge_retrieval(fields, one_of_several)
    return fields.comparison(verdict, f"pds.get.{rule}")


def compare_search(
    claim: PersonClaim, record: PdsRecord, *, score: float | None, fuzzy: bool
) -> Comparison:
    """Judge the only match of a search. `score` is PDS's, 0 to 1."""
    fields = _Fields.of(claim, record, None)
    verdict, rule = _judge_search(fields, score, LEAST_SCORE_FUZZY if fuzzy else LEAST_SCORE)
    return fields.comparison(verdict, f"pds.search.{rule}")


_AGREED: Final = (Agreement.AGREES, Agreement.PARTLY)
_SILENT: Final = (Agreement.ABSENT, Agreement.PLACEHOLDER)


@dataclass(frozen=True, slots=True)
class _Fields:
    number: Agreement
    birth_date: Agreement
    family: Agreement
    given: Agreement
    gender: Agreement
    postcode: Agreement

    @classmethod
    def of(cls, claim: PersonClaim, record: PdsRecord, requested: str | None) -> _Fields:
        gender = compare_gender(claim.gender, record.gender)
        family = compare_family(claim.family, (record.family, *record.other_families))
        given = compare_given(
            claim.given, (record.given, *record.other_given), same_gender=gender is not _DIFFERS
        )
        if (
            (family, given) == (_DIFFERS, _DIFFERS)
            and normalise_name(claim.family) in name_parts(" ".join(record.given))
            and normalise_name(record.family) == normalise_name(" ".join(claim.given))
        ):
            family = given = Agreement.SWAPPED
        return cls(
            number=_compare_number(claim.nhs_number, record.nhs_number, requested),
            birth_date=compare_birth_date(claim.birth_date, record.birth_date),
            family=family,
            given=given,
            gender=gender,
            postcode=compare_postcode(claim.postcode, record.postcode),
        )

    def comparison(self, verdict: Verdict, rule: str) -> Comparison:
        return Comparison(
            verdict,
            rule,
            self.number,
            self.birth_date,
            self.family,
            self.given,
            self.gender,
            self.postcode,
        )


_DIFFERS: Final = Agreement.DIFFERS


def _judge_retrieval(on: _Fields, one_of_several: bool) -> tuple[Verdict, str]:
    if on.number not in (Agreement.AGREES, Agreement.SUPERSEDED):
        return Verdict.CONFLICT, "number_differs"
    if on.birth_date is _DIFFERS:
        return Verdict.CONFLICT, "birth_date_differs"
    names_verdict, names_rule = _judge_names(on, one_of_several)
    if names_verdict is Verdict.CONFLICT:
        return names_verdict, names_rule
    if on.birth_date is not Agreement.AGREES:
        return Verdict.POTENTIAL, f"birth_date_{on.birth_date}"
    return names_verdict, names_rule


def _judge_names(on: _Fields, one_of_several: bool) -> tuple[Verdict, str]:
    if on.given is Agreement.SWAPPED:
        return Verdict.POTENTIAL, "names_swapped"
    if on.given in _AGREED:
        both = on.family in _AGREED
        return Verdict.VERIFIED, "number_birth_date_names" if both else "number_birth_date_given"
    if on.given is _DIFFERS:
        twin = on.family in _AGREED
        return Verdict.CONFLICT, "given_differs_perhaps_a_twin" if twin else "names_differ"
    # The given name is silent: the family name must agree whole
    if on.family is _DIFFERS:
        return Verdict.CONFLICT, "family_differs"
    # Nothing tells twins apart then but the gender
    if on.gender is _DIFFERS:
        return Verdict.POTENTIAL, "gender_differs_perhaps_a_twin"
    if one_of_several:
        return Verdict.POTENTIAL, "given_unknown_perhaps_a_twin"
    if on.family is Agreement.AGREES:
        return Verdict.VERIFIED, "number_birth_date_family"
    return Verdict.POTENTIAL, "names_insufficient"


def _judge_search(on: _Fields, score: float | None, least: float) -> tuple[Verdict, str]:
    if on.birth_date is _DIFFERS:
        return Verdict.CONFLICT, "birth_date_differs"
    if on.given is Agreement.PLACEHOLDER:
        return Verdict.POTENTIAL, "placeholder_given"
    if on.given is _DIFFERS or on.family is _DIFFERS:
        return Verdict.CONFLICT, "given_differs" if on.given is _DIFFERS else "family_differs"
    if on.number is _DIFFERS:
        return Verdict.POTENTIAL, "another_number"
    if score is None:
        return Verdict.POTENTIAL, "without_score"
    if score < least:
        return Verdict.POTENTIAL, "low_score"
    if on.birth_date is not Agreement.AGREES:
        return Verdict.POTENTIAL, f"birth_date_{on.birth_date}"
    if on.family is Agreement.AGREES and on.given in _AGREED:
        return Verdict.VERIFIED, "birth_date_names"
    return Verdict.POTENTIAL, "names_insufficient"


def _compare_number(claimed: str | None, held: str, requested: str | None) -> Agreement:
    """A number with a wrong check digit is a slip of the pen: it says nothing."""
    digits = re.sub(r"[ \-]", "", claimed or "")
    if not re.fullmatch(r"[0-9]{10}", digits, re.ASCII) or check_digit(digits[:9]) != int(
        digits[9]
    ):
        return Agreement.ABSENT
    if digits == held:
        return Agreement.AGREES
    return Agreement.SUPERSEDED if digits == requested else Agreement.DIFFERS


def compare_birth_date(claimed: str | None, held: str | None) -> Agreement:
    """ISO dates, either of them perhaps partial. Day and month swapped is no agreement."""
    if not claimed or not held:
        return Agreement.ABSENT
    if not (_FULL_DATE.fullmatch(claimed) and _FULL_DATE.fullmatch(held)):
        shorter, longer = sorted((claimed, held), key=len)
        return Agreement.PARTLY if longer.startswith(shorter) else Agreement.DIFFERS
    if claimed == held:
        return Agreement.AGREES
    swapped = f"{claimed[:4]}-{claimed[8:]}-{claimed[5:7]}"
    return Agreement.SWAPPED if swapped == held else Agreement.DIFFERS


def compare_family(claimed: str | None, held: tuple[str | None, ...]) -> Agreement:
    """A family name against those of a record, now and before."""
    name = normalise_name(claimed)
    names = {each for family in held if (each := normalise_name(family))}
    if not name or name in _NO_FAMILY or not names:
        return Agreement.ABSENT
    if name in names:
        return Agreement.AGREES
    parts = {part for family in held for part in name_parts(family)}
    shared = parts.intersection(name_parts(claimed))
    long_enough = any(len(part) >= _SHORTEST_PREFIX for part in shared)
    return Agreement.PARTLY if long_enough else Agreement.DIFFERS


def compare_given(
    claimed: tuple[str, ...], held: tuple[tuple[str, ...], ...], *, same_gender: bool = True
) -> Agreement:
    """Given names against each set of a record's. A middle name alone is no agreement.

    Rob and Robert agree in part (a prefix of three letters or more) unless the genders differ:
    Daniel and Danielle may be twins. An initial says nothing, unless it is a wrong one.
    """
    held = tuple(names for names in held if names)
    if not any(each.strip() for each in claimed) or not held:
        return Agreement.ABSENT
    if is_placeholder_given(" ".join(claimed)) or is_placeholder_given(" ".join(held[0])):
        return Agreement.PLACEHOLDER
    agreements = [_compare_given_set(claimed, names, same_gender) for names in held]
    for best in (Agreement.AGREES, Agreement.PARTLY, Agreement.ABSENT):
        if best in agreements:
            return best
    return Agreement.DIFFERS


def _compare_given_set(
    claimed: tuple[str, ...], held: tuple[str, ...], same_gender: bool
) -> Agreement:
    ours, theirs = name_parts(" ".join(claimed)), name_parts(" ".join(held))
    if not ours or not theirs:
        return Agreement.ABSENT
    if ours[0] in theirs or theirs[0] in ours or "".join(ours) == "".join(theirs):
        # A lone initial that equals a middle initial is not enough to call it the same name
        return Agreement.AGREES if min(len(ours[0]), len(theirs[0])) > 1 else Agreement.ABSENT
    shorter, longer = sorted((ours[0], theirs[0]), key=len)
    if not longer.startswith(shorter) or not same_gender:
        return Agreement.DIFFERS
    return Agreement.PARTLY if len(shorter) >= _SHORTEST_PREFIX else Agreement.ABSENT


def compare_gender(claimed: str | None, held: str | None) -> Agreement:
    """Only male and female say anything; HL7's M and F and the NHS's 1 and 2 are understood."""
    ours, theirs = _GENDERS.get((claimed or "").casefold()), _GENDERS.get((held or "").casefold())
    if ours is None or theirs is None:
        return Agreement.ABSENT
    return Agreement.AGREES if ours == theirs else Agreement.DIFFERS


_GENDERS: Final = {
    "male": "male", "m": "male", "1": "male",
    "female": "female", "f": "female", "2": "female",
}  # fmt: skip


def compare_postcode(claimed: str | None, held: str | None) -> Agreement:
    """Full postcodes; the same outward half agrees in part."""
    ours, theirs = normalise_postcode(claimed), normalise_postcode(held)
    if ours is None or theirs is None:
        return Agreement.ABSENT
    if ours == theirs:
        return Agreement.AGREES
    return Agreement.PARTLY if ours.split()[0] == theirs.split()[0] else Agreement.DIFFERS
