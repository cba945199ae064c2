"""What a Patient says that a form asks too: as facts, beside the claim. Pure."""

from __future__ import annotations

from typing import Final

from connectors.fhir.answers import short_time
from connectors.fhir.persons import preferred_address
from connectors.fhir.times import english_day, english_time
from connectors.fhir.view import Json, codings, extension, obj, objs, text, texts
from connectors.hl7v2.persons import bounded
from schemas.deaths import Fact
from schemas.events import PersonClaim

ETHNIC_CATEGORY: Final = (
    "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory"
)
BIRTH_TIME: Final = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
# The NHS Data Dictionary's ethnic category codes
_ETHNICITY: Final = {
    "A": "white-british",
    "B": "white-irish",
    "C": "white-other",
    "D": "mixed-white-black-caribbean",
    "E": "mixed-white-black-african",
    "F": "mixed-white-asian",
    "G": "mixed-other",
    "H": "asian-indian",
    "J": "asian-pakistani",
    "K": "asian-bangladeshi",
    "L": "asian-other",
    "M": "black-caribbean",
    "N": "black-african",
    "P": "black-other",
    "R": "chinese",
    "S": "other",
    "Z": "not-stated",
}
_NAME_KINDS: Final = {"old": "previous", "maiden": "previous", "nickname": "nickname"}
_MAX_ALIASES: Final = 16
_MAX_ADDRESS: Final = 1_000


def patient_facts(patient: Json, claim: PersonClaim, marks: list[str]) -> tuple[Fact, ...]:
    """The facts of `patient`, whose claim is `claim`; adds to `marks`."""
    found: dict[str, str | None] = {
        "child.family": claim.family,
        "child.given": " ".join(claim.given) or None,
        "child.birth-date": claim.birth_date,
        "child.birth-time": _birth_time(patient),
        "child.sex": claim.gender,
        "child.local-id": claim.local_id,
        "child.ethnicity": _ethnicity(patient),
        **_addresses(patient, claim, marks),
        **_multiple(patient),
        **_death(patient, marks),
    }
    facts = [Fact(name, value=value) for name, value in found.items() if value]
    return (*facts, *_aliases(patient, claim, marks))


def _birth_time(patient: Json) -> str | None:
    return short_time(text(extension(obj(patient, "_birthDate"), BIRTH_TIME), "valueDateTime"))


def _ethnicity(patient: Json) -> str | None:
    concept = obj(extension(patient, ETHNIC_CATEGORY), "valueCodeableConcept")
    return next((_ETHNICITY.get(one.code.upper()) for one in codings(concept)), None)


def _addresses(patient: Json, claim: PersonClaim, marks: list[str]) -> dict[str, str | None]:
    home = preferred_address(patient)
    found = {
        "child.address": _address(home, marks),
        "child.postcode": claim.postcode,
    }
    for one in objs(patient, "address"):
        postcode = text(one, "postalCode")
        if one is not home and postcode != text(home, "postalCode") and text(one, "use") != "old":
            found["child.alternative-postcode"] = bounded(postcode, "Patient.address", marks, 40)
            found["child.alternative-address"] = _address(one, marks)
            break
    return found


def _address(address: Json, marks: list[str]) -> str | None:
    told = text(address, "text") or ", ".join(
        one
        for one in (
            *texts(address, "line"),
            text(address, "city"),
            text(address, "district"),
        )
        if one
    )
    return bounded(told, "Patient.address", marks, _MAX_ADDRESS)


def _multiple(patient: Json) -> dict[str, str | None]:
    order = patient.get("multipleBirthInteger")
    if isinstance(order, int) and not isinstance(order, bool) and 0 < order < 20:
        return {"child.multiple-birth": "true", "child.birth-order": str(order)}
    several = patient.get("multipleBirthBoolean")
    if isinstance(several, bool):
        return {"child.multiple-birth": "true" if several else "false"}
    return {}


def _death(patient: Json, marks: list[str]) -> dict[str, str | None]:
    said = text(patient, "deceasedDateTime")
    day = english_day(said) if said else None
    if said and day is None:
        marks.append("time-invalid:Patient.deceasedDateTime")
    return {"death.date": day, "death.time": english_time(said) if day else None}


def _aliases(patient: Json, claim: PersonClaim, marks: list[str]) -> list[Fact]:
    """Each further name, as a row."""
    facts: list[Fact] = []
    row = 0
    for one in objs(patient, "name"):
        use = text(one, "use")
        family = bounded(text(one, "family"), "Patient.name", marks)
        given = bounded(" ".join(texts(one, "given")), "Patient.name", marks)
        if use == "anonymous" or not (family or given) or row >= _MAX_ALIASES:
            continue
        if (family, given) == (claim.family, " ".join(claim.given) or None):
            continue
        row += 1
        told = {"family": family, "given": given, "kind": _NAME_KINDS.get(use, "alias")}
        facts += [Fact(f"alias.{part}", row, value) for part, value in told.items() if value]
    return facts
