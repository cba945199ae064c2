"""What the practice PDS answers, in the real API's shapes (FHIR R4, UK Core)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sandbox.pds.people import FormerName, Person

Json = dict[str, Any]

_ERROR_SYSTEM: Final = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"
_UK_CORE: Final = "https://fhir.hl7.org.uk"
_ODS: Final = "https://fhir.nhs.uk/Id/ods-organization-code"


@dataclass(frozen=True, slots=True)
class Problem:
    """A row of the API's error table: HTTP status, Spine code, FHIR issue code, display text."""

    status: int
    code: str
    issue: str
    display: str
    severity: str = "error"

    def body(self, diagnostics: str | None = None) -> Json:
        """The OperationOutcome. `diagnostics` is left out where the real API has none."""
        issue: Json = {
            "severity": self.severity,
            "code": self.issue,
            "details": {
                "coding": [
                    {
                        "system": _ERROR_SYSTEM,
                        "version": "1",
                        "code": self.code,
                        "display": self.display,
                    }
                ]
            },
        }
        if diagnostics is not None:
            issue["diagnostics"] = diagnostics
        return {"resourceType": "OperationOutcome", "issue": [issue]}


INVALID_RESOURCE_ID: Final = Problem(400, "INVALID_RESOURCE_ID", "value", "Resource Id is invalid")
UNSUPPORTED_SERVICE: Final = Problem(
    400, "UNSUPPORTED_SERVICE", "processing", "Unsupported Service"
)
MISSING_VALUE: Final = Problem(400, "MISSING_VALUE", "required", "Required value is missing")
INVALID_VALUE: Final = Problem(400, "INVALID_VALUE", "value", "Provided value is invalid")
INVALID_SEARCH_DATA: Final = Problem(400, "INVALID_SEARCH_DATA", "value", "Search data is invalid")
ADDITIONAL_PROPERTIES: Final = Problem(
    400, "ADDITIONAL_PROPERTIES", "invariant", "Additional properties should not be included"
)
ACCESS_DENIED: Final = Problem(401, "ACCESS_DENIED", "forbidden", "Access Denied - Unauthorised")
TOO_MANY_WANTED: Final = Problem(
    403,
    "INVALID_VALUE",
    "token",
    "Cannot retrieve more than one result with Application Restricted access token",
)
INVALID_METHOD: Final = Problem(
    403, "INVALID_METHOD", "forbidden", "Cannot update resource with application-restricted token"
)
RESOURCE_NOT_FOUND: Final = Problem(
    404, "RESOURCE_NOT_FOUND", "not-found", "Resource not found", "information"
)
INVALIDATED_RESOURCE: Final = Problem(
    404,
    "INVALIDATED_RESOURCE",
    "processing",
    "Resource that has been marked as invalid was requested - "
    "invalid resources cannot be retrieved",
)
TOO_MANY_MATCHES: Final = Problem(
    200, "TOO_MANY_MATCHES", "multiple-matches", "Too Many Matches", "information"
)
UNABLE_TO_CALL_SERVICE: Final = Problem(
    408, "UNABLE_TO_CALL_SERVICE", "processing", "Failed to generate response"
)
TOO_MANY_REQUESTS: Final = Problem(
    429, "TOO_MANY_REQUESTS", "value", "You have exceeded your application's rate limit"
)
# Only NHS England's sandbox answers so: a 200 that is neither a record nor a Bundle
NOT_SUPPORTED: Final = Problem(200, "NOT_SUPPORTED", "not-supported", "Not supported", "warning")


def patient(person: Person, *, in_search: bool = False) -> Json:
    """The Patient resource: what a search gives is a part of what a retrieval gives."""
    resource: Json = {
        "resourceType": "Patient",
        "id": person.nhs_number,
        "identifier": [_identifier(person.nhs_number)],
        "meta": {"versionId": str(person.version), "security": [_security(person.restricted)]},
    }
    if person.minimal:
        return resource
    resource["name"] = _names(person, in_search=in_search)
    if person.gender:
        resource["gender"] = person.gender
    if person.birth_date:
        resource["birthDate"] = person.birth_date
    if person.multiple_birth is not None:
        resource["multipleBirthInteger"] = person.multiple_birth
    if person.deceased is not None:
        resource["deceasedDateTime"] = person.deceased
        resource["extension"] = [_death_notification(person.deceased)]
    if not person.restricted:
        resource.update(_whereabouts(person))
    return resource


def searchset(found: list[tuple[float, Person]], base_url: str, now: datetime) -> Json:
    """A search's Bundle; without `entry` where nobody was found."""
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "searchset",
        "timestamp": now.isoformat(timespec="seconds"),
        "total": len(found),
    }
    if found:
        bundle["entry"] = [
            {
                "fullUrl": f"{base_url}/Patient/{person.nhs_number}",
                "search": {"score": score},
                "resource": patient(person, in_search=True),
            }
            for score, person in found
        ]
    return bundle


def _coding(system: str, code: str, display: str, version: str | None = "1.0.0") -> Json:
    coding = {"system": system, "code": code, "display": display}
    return coding if version is None else {**coding, "version": version}


def _identifier(number: str) -> Json:
    status = _coding(
        f"{_UK_CORE}/CodeSystem/UKCore-NHSNumberVerificationStatus",
        "01",
        "Number present and verified",
    )
    return {
        "system": "https://fhir.nhs.uk/Id/nhs-number",
        "value": number,
        "extension": [
            {
                "url": f"{_UK_CORE}/StructureDefinition/"
                "Extension-UKCore-NHSNumberVerificationStatus",
                "valueCodeableConcept": {"coding": [status]},
            }
        ],
    }


def _security(restricted: bool) -> Json:
    code, display = ("R", "restricted") if restricted else ("U", "unrestricted")
    return _coding("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code, display, None)


def _names(person: Person, *, in_search: bool) -> list[Json]:
    names: list[Json] = [
        {
            "id": "N1",
            "use": "usual",
            "period": {"start": _since(person)},
            "given": list(person.given),
            "family": person.family,
        }
    ]
    former = person.former_names
    if in_search:  # a search's answer has no old or maiden names
        former = tuple(name for name in former if name.use in ("nickname", "temp"))
    names += [_former(name, person, place) for place, name in enumerate(former, start=2)]
    return names


def _since(person: Person) -> str:
    """From when the usual name holds: the end of an old one, or birth where that is known."""
    ends = [name.end for name in person.former_names if name.end and name.use in ("old", "maiden")]
    whole = person.birth_date if len(person.birth_date) == 10 else "2010-01-01"
    return max(ends, default=whole)


def _former(name: FormerName, person: Person, place: int) -> Json:
    start = name.start or (person.birth_date if len(person.birth_date) == 10 else "2000-01-01")
    return {
        "id": f"N{place}",
        "use": name.use,
        "period": {"start": start, **({"end": name.end} if name.end else {})},
        "given": list(name.given or person.given),
        "family": name.family or person.family,
    }


def _death_notification(when: str) -> Json:
    status = _coding(
        f"{_UK_CORE}/CodeSystem/UKCore-DeathNotificationStatus",
        "2",
        "Formal - death notice received from Registrar of Deaths",
    )
    return {
        "url": f"{_UK_CORE}/StructureDefinition/Extension-UKCore-DeathNotificationStatus",
        "extension": [
            {"url": "deathNotificationStatus", "valueCodeableConcept": {"coding": [status]}},
            {"url": "systemEffectiveDate", "valueDateTime": when},
        ],
    }


def _whereabouts(person: Person) -> Json:
    practice = {"system": _ODS, "value": person.practice, "period": {"start": "2020-01-01"}}
    found: Json = {
        "generalPractitioner": [{"id": "G1", "type": "Organization", "identifier": practice}],
    }
    if person.postcode:
        found["address"] = [
            {
                "id": "A1",
                "use": "home",
                "period": {"start": "2020-01-01"},
                "line": ["1 Practice Row", "Sandbox"],
                "postalCode": person.postcode,
            }
        ]
    if contacts := _contacts(person):
        found["telecom"] = contacts
    return found


def _contacts(person: Person) -> list[Json]:
    held = (("phone", person.phone), ("email", person.email))
    return [
        {"id": f"T{place}", "use": "home", "system": system, "value": value,
         "period": {"start": "2020-01-01"}}
        for place, (system, value) in enumerate(held, start=1)
        if value
    ]  # fmt: skip
