"""What the FHIR look-ups can do: one table for routes, OpenAPI and CapabilityStatements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from connectors.fhir.outcomes import CONTENT_TYPE
from connectors.fhir.writing import NHS_NUMBER
from flag_service.fhir_search import INCLUDE


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter; `name` as FHIR registers it, `sent` as it stands in a search."""

    name: str
    sent: str
    kind: str  # FHIR search parameter type
    words: str
    example: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Search:
    """One search of one type, by GET and by POST to ``_search``."""

    path: str  # last part of the URL
    resource: str  # FHIR type
    words: str
    parameters: tuple[Parameter, ...]
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Face:
    """A group of searches under one base URL."""

    base: str
    name: str
    words: str
    searches: tuple[Search, ...]

    def get_path(self, search: Search) -> str:
        """Where it is searched by GET."""
        return f"{self.base}/{search.path}"

    def post_path(self, search: Search) -> str:
        """Where it is searched by POST: no number stands in a URL then."""
        return f"{self.base}/{search.path}/_search"

    @property
    def metadata(self) -> str:
        """Where the CapabilityStatement stands."""
        return f"{self.base}/metadata"


_SYNTHETIC: Final = "9990000018"
_PATIENT: Final = Parameter(
    "patient",
    "patient:identifier",
    "reference",
    f"The NHS number: {NHS_NUMBER}|<number>.",
    f"{NHS_NUMBER}|{_SYNTHETIC}",
)

PATIENT_FLAGS: Final = Face(
    "/patient-flags/FHIR/R4",
    "PatientFlags",
    "Child protection flags in the shape of the Patient Flags interface.",
    (
        Search(
            "PatientFlag",
            "Flag",
            "Flag, CarePlan and CareTeam of each plan. PatientFlag stands for Flag.",
            (
                Parameter(
                    "patient",
                    "patient",
                    "reference",
                    f"The NHS number, bare or as {NHS_NUMBER}|<number>.",
                    _SYNTHETIC,
                ),
                Parameter(
                    "code",
                    "code",
                    "token",
                    "The child protection flag, in any spelling that has been published.",
                    "child-protection-information-sharing-flag",
                ),
            ),
        ),
    ),
)

CPIS: Final = Face(
    "/cpis/FHIR/R4",
    "CPIS",
    "Plans and accesses in the shape of the CP-IS interface.",
    (
        Search("CareTeam", "CareTeam", "Whom to ring about each plan.", (_PATIENT,)),
        Search(
            "AuditEvent",
            "AuditEvent",
            "The last 25 accesses to the flag.",
            (
                _PATIENT,
                Parameter(
                    "_include",
                    "_include",
                    "special",
                    "Adds a PractitionerRole for each access.",
                    INCLUDE,
                    required=False,
                ),
            ),
            (INCLUDE,),
        ),
    ),
)

FACES: Final = (PATIENT_FLAGS, CPIS)
PREFIXES: Final = tuple(f"{face.base}/" for face in FACES)


def statement(face: Face, at: datetime) -> dict[str, Any]:
    """The CapabilityStatement of `face`: what runs, and nothing else."""
    return {
        "resourceType": "CapabilityStatement",
        "name": f"Halyard{face.name}",
        "title": f"Halyard: {face.name}",
        "status": "active",
        "date": at.date().isoformat(),
        "description": f"{face.words} No conformance with an NHS interface is claimed.",
        "kind": "instance",
        "software": {"name": "Halyard", "version": version("halyard")},
        "implementation": {"description": "The Halyard hub", "url": face.base},
        "fhirVersion": "4.0.1",
        "format": [CONTENT_TYPE],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "OAuth 2.0 bearer token of the hub's issuer."},
                "resource": [_resource(search) for search in face.searches],
            }
        ],
    }


def _resource(search: Search) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": search.resource,
        "documentation": f"{search.words} GET {search.path} or POST {search.path}/_search.",
        "interaction": [{"code": "search-type"}],
        "searchParam": [
            {"name": one.name, "type": one.kind, "documentation": f"{one.sent}: {one.words}"}
            for one in search.parameters
            if one.name != "_include"
        ],
    }
    return {**told, "searchInclude": list(search.includes)} if search.includes else told
