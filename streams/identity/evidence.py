"""What an event says of its person, made comparable; and how that stands to a known person."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from connectors.pds.comparison import Agreement, Comparison, compare
from connectors.pds.given_fit import Given, GivenFit, tells_of_several, weigh_given
from connectors.pds.outcomes import PdsRecord
from halyard import nhs_number
from halyard.names import normalise_name, normalise_postcode
from halyard.nhs_number import NhsNumberOutcome, NumberProfile
from halyard.privacy import Keys
from schemas.deaths import DeathNotified, ReportSubmitted
from schemas.events import AttendanceReported, FlagSubmitted, PersonClaim, VisitEventKind
from stores.identities import KnownPerson

_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_PARTIAL: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?", re.ASCII)
_AGREED: Final = (Agreement.AGREES, Agreement.PARTLY)
_UNLIKE: Final = (Agreement.DIFFERS, Agreement.NEARLY)
_SIX_WEEKS: Final = timedelta(weeks=6)  # what the law gives to register a birth
_CLOCKS_DIFFER: Final = timedelta(hours=1)

Death = DeathNotified | ReportSubmitted
"""A message about a death: told at once, whatever is known of its person."""

Reported = AttendanceReported | FlagSubmitted | Death


@dataclass(frozen=True, slots=True)
class Evidence:
    """The claim with its number judged: `claim.nhs_number` is ten digits, or None if unusable.

    `number_token` is the pseudonym of that number, `demographic_token` stands for family name and
    full birth date; None where these are not there. `others`: the sender's further usable
    numbers, by token. `one_of_several`: the message tells of a multiple birth.
    `of_a_death`: it is one. `newborn`: of a child under six weeks, and it does not say that nobody
    was born with it.
    """

    number: NhsNumberOutcome
    claim: PersonClaim = field(repr=False)
    number_token: str | None
    demographic_token: str | None
    others: dict[str, str] = field(default_factory=dict, repr=False)
    one_of_several: bool = False
    of_a_death: bool = False
    newborn: bool = False

    def with_number(self, token: str) -> Evidence:
        """The same with another of the sender's numbers in front."""
        if token == self.number_token:
            return self
        first = {self.number_token: self.claim.nhs_number} if self.number_token else {}
        others = {one: number for one, number in {**first, **self.others}.items() if number}
        number = others.pop(token)
        return replace(
            self,
            claim=replace(self.claim, nhs_number=number),
            number_token=token,
            others=others,
        )

    @property
    def searchable(self) -> bool:
        """True if family name and birth date are there: the least a search needs."""
        return self.demographic_token is not None

    @property
    def traceable(self) -> bool:
        """True if PDS can be asked at all."""
        return self.number_token is not None or self.searchable


def evidence_of(
    claim: PersonClaim | None, *, keys: Keys, profile: NumberProfile, on: date | None = None
) -> Evidence:
    """Judge the number and make the tokens. `on`: the day on which it was said."""
    claim = claim or PersonClaim()
    sent = [nhs_number.parse(claim.nhs_number, profile=profile)]
    sent += [nhs_number.parse(number, profile=profile) for number in claim.other_numbers]
    judged = next((one for one in sent if one.number), sent[0])
    others = {keys.person(one.number): one.number for one in sent if one.number}
    token = keys.person(judged.number) if judged.number else None
    if token is not None:
        del others[token]
    return Evidence(
        number=judged.outcome,
        # what an agency calls somebody is no evidence of who they are (ADR 0048)
        claim=replace(claim, nhs_number=judged.number, other_numbers=(), identifiers=()),
        number_token=token,
        demographic_token=demographic_token(keys, claim.family, claim.birth_date),
        others=others,
        one_of_several=claim.one_of_several,
        newborn=on is not None
        and claim.multiple_birth is not False
        and under_six_weeks(claim.birth_date, on),
    )


def evidence_in(event: Reported, *, keys: Keys, profile: NumberProfile) -> Evidence:
    """`evidence_of` an event's claim, with what a death's message says of the birth."""
    on = event.received_at.date()
    evidence = evidence_of(event.claim, keys=keys, profile=profile, on=on)
    if not isinstance(event, Death):
        return evidence
    several = evidence.one_of_several or _one_of_several(event)
    newborn = evidence.newborn and _said(event).get("child.multiple-birth") != "false"
    return replace(evidence, one_of_several=several, of_a_death=True, newborn=newborn)


def _one_of_several(event: Death) -> bool:
    """Whether a death's message says that the child was a twin, or one of more."""
    said = _said(event)
    order = said.get("child.birth-order") or ""
    named = tells_of_several(event.claim.given)
    return said.get("child.multiple-birth") == "true" or order > "1" or named


def _said(event: Death) -> dict[str, str | None]:
    return {fact.name: fact.value for fact in event.facts}


def under_six_weeks(birth_date: str | None, on: date) -> bool:
    """Whether a whole birth date is less than six weeks before a day (or the day after it)."""
    if not _DAY.fullmatch(birth_date or ""):
        return False
    try:
        age = on - date.fromisoformat(birth_date or "")
    except ValueError:
        return False
    return timedelta(days=-1) <= age < _SIX_WEEKS


def demographic_token(keys: Keys, family: str | None, birth_date: str | None) -> str | None:
    """Keyed digest of family name and full birth date; None if either is missing."""
    name = normalise_name(family)
    if not name or birth_date is None or not _DAY.fullmatch(birth_date):
        return None
    return keys.token("demographic", name, birth_date)


def number_fingerprint(token: str) -> str:
    """What makes two questions for a number the same."""
    return f"get:{token}"


def search_fingerprint(keys: Keys, evidence: Evidence) -> str:
    """What makes two searches the same question."""
    claim = evidence.claim
    return keys.token(
        "search",
        normalise_name(claim.family),
        "|".join(normalise_name(given) for given in claim.given),
        claim.birth_date or "",
        (claim.gender or "").casefold(),
        normalise_postcode(claim.postcode) or "",
    )


def known_person(
    record: PdsRecord, *, keys: Keys, verified_at: datetime, keep_until: datetime
) -> KnownPerson:
    """A record of PDS as a person of the local index."""
    families = (record.family, *record.other_families)
    tokens = {demographic_token(keys, family, record.birth_date) for family in families}
    return KnownPerson(
        person=keys.person(record.nhs_number),
        nhs_number=record.nhs_number,
        family=record.family,
        given=record.given,
        other_families=record.other_families,
        other_given=record.other_given,
        birth_date=record.birth_date,
        gender=record.gender,
        postcode=None if record.restricted else record.postcode,
        restricted=record.restricted,
        deceased=record.deceased,
        demographic_tokens=tuple(sorted(token for token in tokens if token)),
        verified_at=verified_at,
        keep_until=keep_until,
    )


def same_record(known: KnownPerson, found: KnownPerson) -> bool:
    """Whether PDS's record of a person is, field by field, what is known of them."""
    ours = replace(
        found,
        verified_at=known.verified_at,
        keep_until=known.keep_until,
        flagged=known.flagged,
        flagged_at=known.flagged_at,
        former=known.former,
    )
    return ours == known


def freshest(
    held: KnownPerson, person: KnownPerson, until: datetime, *, flagged_at: datetime | None
) -> KnownPerson:
    """Two states of one person as one, kept until then at least; `flagged_at` if now flagged.

    What `person` says counts: PDS said it after `held`, or else the answer was `outdated` and asked
    for again. The times of verification are of several tracers' clocks and do not tell.
    """
    return replace(
        person,
        verified_at=max(held.verified_at, person.verified_at),
        keep_until=max(held.keep_until, person.keep_until, until),
        flagged=held.flagged or flagged_at is not None,
        flagged_at=flagged_at or held.flagged_at,
        former=tuple(sorted({*held.former, *person.former})),
    )


def compare_known(evidence: Evidence, person: KnownPerson) -> Comparison:
    """Field by field, with the rules that hold for an answer of PDS."""
    # who sends a number that PDS superseded means the person it stands for now
    old = evidence.number_token is not None and evidence.number_token in person.former
    record = PdsRecord(
        nhs_number=(evidence.claim.nhs_number if old else None) or person.nhs_number,
        family=person.family,
        given=person.given,
        other_families=person.other_families,
        other_given=person.other_given,
        birth_date=person.birth_date,
        gender=person.gender,
        postcode=person.postcode,
        restricted=person.restricted,
    )
    # The index does not keep the order of birth: any part of a given name may be a twin's
    several = evidence.one_of_several
    return compare(evidence.claim, record, one_of_several=several, order_unknown=True)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an event's evidence stands to one known person."""

    person: KnownPerson
    fields: Comparison
    evidence: Evidence

    @property
    def names_and_birth_date(self) -> bool:
        """Family, given and birth date agree; a placeholder is no agreement."""
        return (
            self.fields.family in _AGREED
            and self.fields.given in _AGREED
            and self.fields.birth_date is Agreement.AGREES
        )

    @property
    def number(self) -> bool:
        """The number is the same."""
        return self.fields.number is Agreement.AGREES

    @property
    def full(self) -> bool:
        """Number, names and birth date agree, as far as PDS's answer would have to."""
        return self.number and self.names_and_birth_date and self.fields.verified

    @property
    def number_and_more(self) -> bool:
        """The number and one more demographic agree, and it is not a sibling's number."""
        if self.fields.birth_date in _UNLIKE and self.fields.given in _UNLIKE:
            return False
        more = (
            self.fields.birth_date is Agreement.AGREES,
            self.fields.family in _AGREED,
            self.fields.given in _AGREED,
            self.fields.postcode is Agreement.AGREES,
        )
        return self.number and any(more)

    @property
    def all_but_number(self) -> bool:
        """Names, birth date and postcode agree; beside another number the given names whole.

        Twins have all that, part of their names too, and each a number.
        """
        if not self.names_and_birth_date or self.fields.postcode is not Agreement.AGREES:
            return False
        return self.fields.number is not Agreement.DIFFERS or self._same_given_names

    @property
    def compatible(self) -> bool:
        """Nothing rules the person out: own number absent or equal, birth date not another."""
        return self.fields.number is not Agreement.DIFFERS and self.fields.birth_date in (
            Agreement.AGREES,
            Agreement.PARTLY,
            Agreement.ABSENT,
        )

    @property
    def uncontradicted(self) -> bool:
        """No field at all says otherwise."""
        names = (self.fields.family, self.fields.given)
        wrong = (*_UNLIKE, Agreement.SWAPPED)
        return self.compatible and not any(name in wrong for name in names)

    @property
    def supported(self) -> bool:
        """The event itself says whose it is, and it can be no twin's: number, names and birth date;
        or all given names, family name, birth date and gender of a child that is no newborn, and
        of whom nobody says that it is one of several.
        """
        if self.full:
            return True
        if self.number or self.evidence.one_of_several or self.evidence.newborn:
            return False
        alike = self.names_and_birth_date and self.fields.gender is Agreement.AGREES
        return alike and self.uncontradicted and self._same_given_names

    @property
    def _same_given_names(self) -> bool:
        # the index does not say whether there is a twin: one name more or less may be what tells
        held = (self.person.given, *self.person.other_given)
        given = weigh_given(self.evidence.claim.given, held, gender=self.fields.gender)
        return given == Given(GivenFit.WHOLE)


def standing(evidence: Evidence, person: KnownPerson) -> Standing:
    """Compare an event's evidence with one known person."""
    return Standing(person, compare_known(evidence, person), evidence)


def occurred(event: AttendanceReported) -> datetime:
    """When it happened, in the sender's local time as far as it is told.

    A time more than an hour after receipt is a wrong clock or a slip, and is passed over.
    """
    latest = event.received_at + _CLOCKS_DIFFER
    for moment in (event.occurred_at, event.recorded_at, event.message_at):
        if moment is not None and moment.utc <= latest:
            return moment.utc + timedelta(minutes=moment.offset_minutes)
    return event.received_at


def about_person(event: Reported) -> bool:
    """Whether it is of no visit: evidence for its key's visits, never an entry of its own."""
    return isinstance(event, AttendanceReported) and event.kind is VisitEventKind.DEMOGRAPHICS


def is_merge(event: Reported) -> bool:
    """Whether it tells that two patients are one, and of neither what is not known."""
    return isinstance(event, AttendanceReported) and event.kind is VisitEventKind.MERGE


def hides_place(event: Reported) -> bool:
    """Whether it hides where a patient is, in all their visits (A28, A31)."""
    return (
        isinstance(event, AttendanceReported)
        and event.kind is VisitEventKind.DEMOGRAPHICS
        and event.detail.location_shielded
    )


def is_birth(event: Reported) -> bool:
    """Whether it is a newborn's message, told of the mother."""
    return isinstance(event, AttendanceReported) and event.kind is VisitEventKind.BIRTH


def perhaps_child(birth_date: str | None, at: datetime, *, adult_age: int) -> bool:
    """True unless the birth date shows that the person has come of age on that day.

    An unknown or unusable birth date, and the youngest reading of a partial one, count as a
    child's. Who was born on 29 February comes of age on 1 March of a common year.
    """
    text = birth_date or ""
    if whole := _DAY.fullmatch(text):
        year, month, day = (int(part) for part in whole.groups())
    elif partial := _PARTIAL.fullmatch(text):
        year, month, day = int(partial[1]), int(partial[2] or 12), 31
    else:
        return True
    return (at.year, at.month, at.day) < (year + adult_age, month, day)
