"""Who a message is about: Patient (and the mother, RelatedPerson) as claims and keys.

Nothing is verified here, and nothing is refused: what is odd gets a mark. Identifiers and the
verification status are those of UK Core.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from connectors.fhir.times import iso_date
from connectors.fhir.view import Json, codings, extension, obj, objs, text, texts
from connectors.hl7v2.persons import bounded
from connectors.identifiers import Scheme, kept, made
from connectors.persons import birth_order, shared_local_id, usable_number
from schemas.events import Identifier, NhsNumberStatus, PersonClaim

NHS_NUMBER_SYSTEMS: Final = frozenset(
    {
        "https://fhir.nhs.uk/id/nhs-number",
        "http://fhir.nhs.uk/id/nhs-number",
        "http://fhir.nhs.net/id/nhs-number",
        "urn:oid:2.16.840.1.113883.2.1.4.1",
    }
)
"""Identifier systems of an NHS number, in small letters."""
_STU3: Final = "https://fhir.hl7.org.uk/STU3/StructureDefinition/"
STATUS_EXTENSIONS: Final = (
    "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus",
    _STU3 + "Extension-CareConnect-NHSNumberVerificationStatus-1",
)
MOTHER_CODES: Final = frozenset({"MTH", "NMTH", "GESTM"})  # v3-RoleCode
_CONFIDENTIAL: Final = frozenset({"R", "V"})  # v3-Confidentiality: restricted, very restricted
_LOCAL_TYPES: Final = frozenset({"MR", "PI"})  # v2-0203
_UPN_TYPES: Final = frozenset({"UPN"})  # no table has one: our own word
_GENDERS: Final = frozenset({"male", "female", "other", "unknown"})
_NAME_USES: Final = ("official", "usual", "", "temp", "nickname", "old", "maiden")
_ADDRESS_USES: Final = ("home", "", "temp", "old", "work", "billing")
_MAX_NAMES: Final = 8
_MAX_OTHERS: Final = 4


@dataclass(slots=True)
class Identifiers:
    """The identifiers of a Patient or RelatedPerson, sorted by what they are."""

    numbers: list[str] = field(default_factory=list, repr=False)  # in order of preference
    suspect: list[str] = field(default_factory=list, repr=False)  # said to be, but cannot be
    local_id: str | None = field(default=None, repr=False)
    system: str = ""  # of the local id: two may count from 1
    status: str = ""
    others: list[Identifier | None] = field(default_factory=list, repr=False)  # beside the number

    @property
    def number(self) -> str | None:
        """The NHS number that is claimed."""
        return next(iter(self.numbers or self.suspect), None)

    @property
    def local_key(self) -> str | None:
        """The local id with its system, of which patient keys are made."""
        return None if self.local_id is None else f"{self.system}^{self.local_id}"

    def local_as(self, own: Identifiers) -> str | None:
        """The key of another patient of the message whose own identifiers are `own`: one without
        a system has theirs, by which that patient was known before. None if the id may be shared.
        """
        if self.local_id is None or shared_local_id(self.local_id):
            return None
        if self.system:
            return self.local_key
        return f"{own.system}^{self.local_id}"


def identifiers(person: Json) -> Identifiers:
    """What ``identifier`` of `person` says; identifiers of use ``old`` come last, and a local id
    that is nobody's (UNKNOWN) is one only if there is no other.
    """
    found = Identifiers()
    rank = (True, 9)
    for one in sorted(objs(person, "identifier"), key=lambda one: text(one, "use") == "old"):
        value = text(one, "value")
        kinds = {coding.code.upper() for coding in codings(obj(one, "type"))}
        system = text(one, "system").rstrip("/")
        if system.lower() in NHS_NUMBER_SYSTEMS or (not system and kinds & {"NH", "NHS"}):
            # a status may stand without a number: postponed, not present
            found.status = found.status or _status_code(one)
            if value:
                number = usable_number(value)
                (found.numbers if number else found.suspect).append(number or value)
            continue
        if not value:
            continue
        if text(one, "use") == "old":
            continue
        found.others.append(_other(one, value, system, kinds))
        own = (shared_local_id(value), 0 if kinds & _LOCAL_TYPES else 1)
        if own < rank:
            rank, found.local_id, found.system = own, value, system
    return found


def person_claim(patient: Json, marks: list[str]) -> tuple[PersonClaim, Identifiers]:
    """The claim in a Patient, and the identifiers that keys are made of; adds to `marks`."""
    found = identifiers(patient)
    number = found.number
    others = tuple(dict.fromkeys(one for one in found.numbers if one != number))
    if others:
        marks.append("nhs-number-several")
    if number is not None and not found.numbers:
        marks.append("nhs-number-invalid")
    family, given = _name(patient, marks)
    if family is None:
        marks.append("family-name-missing")
    birth_text = text(patient, "birthDate")
    birth_date = iso_date(birth_text) if birth_text else None
    if birth_date is None:
        marks.append("birth-date-invalid" if birth_text else "birth-date-missing")
    order = birth_order(patient.get("multipleBirthInteger"))
    several = True if order else patient.get("multipleBirthBoolean")
    gender = text(patient, "gender")
    if gender and gender not in _GENDERS:
        marks.append("gender-unknown-code")
    claim = PersonClaim(
        nhs_number=bounded(number or "", "Patient.identifier", marks, 40),
        nhs_number_status=_status(found.status, marks),
        family=family,
        given=given,
        birth_date=birth_date,
        gender=gender if gender in _GENDERS else None,
        postcode=bounded(_postcode(patient), "Patient.address", marks, 40),
        local_id=bounded(found.local_id or "", "Patient.identifier", marks),
        other_numbers=others[:_MAX_OTHERS],
        identifiers=kept(found.others, beside=found.local_id),
        multiple_birth=several if isinstance(several, bool) else None,
        birth_order=order,
    )
    return claim, found


def _other(one: Json, value: str, system: str, kinds: set[str]) -> Identifier | None:
    """An identifier beside the number: record numbers and pupil numbers alone, with the ODS or GSS
    code of who assigned it, else the system.
    """
    assigner = text(obj(one, "assigner", "identifier"), "value") or system
    if kinds & _UPN_TYPES:
        return made(Scheme.UPN, value, assigner)
    if kinds & _LOCAL_TYPES:
        return made(Scheme.HOSPITAL_NUMBER, value, assigner)
    return None  # a passport, an account, or who knows what: nobody's business here


def identifies(identifier: Json, person: Json) -> bool:
    """Whether `person` carries `identifier`: the same NHS number, or value of the same system."""
    wanted, there = identifiers({"identifier": [identifier]}), identifiers(person)
    if wanted.numbers:
        return wanted.numbers[0] in there.numbers
    value, system = text(identifier, "value"), text(identifier, "system").rstrip("/")
    return any(
        text(one, "value") == value and text(one, "system").rstrip("/") == system
        for one in objs(person, "identifier")
    )


def is_confidential(*resources: Json) -> bool:
    """Whether the sender labels any of `resources` restricted (v3-Confidentiality R or V)."""
    return any(
        text(label, "code").upper() in _CONFIDENTIAL
        for one in resources
        for label in objs(one, "meta", "security")
    )


def mothers(related: list[Json]) -> list[Json]:
    """Those of some RelatedPersons who are a mother."""
    return [
        one
        for one in related
        if any(
            coding.code in MOTHER_CODES
            for concept in objs(one, "relationship")
            for coding in codings(concept)
        )
    ]


def _status_code(identifier: Json) -> str:
    concept = obj(extension(identifier, *STATUS_EXTENSIONS), "valueCodeableConcept")
    return next((coding.code for coding in codings(concept)), "")


def _status(code: str, marks: list[str]) -> NhsNumberStatus:
    if not code:
        return NhsNumberStatus.UNKNOWN
    try:
        return NhsNumberStatus(f"S{code}")
    except ValueError:
        marks.append("nhs-number-status-unknown")
        return NhsNumberStatus.UNKNOWN


def _name(patient: Json, marks: list[str]) -> tuple[str | None, tuple[str, ...]]:
    """Family and given names of the official name, else the usual one, else the first."""
    names = [one for one in objs(patient, "name") if text(one, "use") != "anonymous"]
    if not names:
        if objs(patient, "name"):
            marks.append("name-anonymous")
        return None, ()
    name = _preferred(names, _NAME_USES)
    given = (bounded(one, "Patient.name", marks) for one in texts(name, "given")[:_MAX_NAMES])
    family = bounded(text(name, "family"), "Patient.name", marks)
    return family, tuple(one for one in given if one)


def preferred_address(patient: Json) -> Json:
    """The home address, else the first; empty if there is none."""
    addresses = objs(patient, "address")
    return _preferred(addresses, _ADDRESS_USES) if addresses else {}


def _postcode(patient: Json) -> str:
    """Postcode of the home address, else of the first."""
    return text(preferred_address(patient), "postalCode")


def _preferred(nodes: list[Json], uses: tuple[str, ...]) -> Json:
    def rank(node: Json) -> int:
        use = text(node, "use")
        return uses.index(use) if use in uses else len(uses)

    return min(nodes, key=rank)
