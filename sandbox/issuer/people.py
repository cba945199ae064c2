"""The invented people who can log in for practice, of several organisations."""

from __future__ import annotations

from dataclasses import dataclass

# Codes of the practice directory (`halyard up`); none is in use
HOSPITAL, SECOND_HOSPITAL = "RZ9", "RZ8"
AUTHORITY = "E06000999"
SURGERY = "Y00001"
PANEL_OFFICE = "QZ9"


@dataclass(frozen=True, slots=True)
class PracticePerson:
    """Somebody who can log in: who, for which organisation, in which roles."""

    subject: str  # stable, and says nothing of the name
    name: str
    organisation: str  # ODS or GSS code
    roles: tuple[str, ...]
    job_role: str  # as a person would say it

    def claims(self) -> dict[str, object]:
        """What a token says of the person, beside `sub`."""
        return {
            "name": self.name,
            "organisation": self.organisation,
            "roles": list(self.roles),
            "job_role": self.job_role,
        }


PEOPLE = (
    PracticePerson("p-1001", "Amira Clinician", HOSPITAL, ("clinician",), "Emergency consultant"),
    PracticePerson("p-1002", "Noor Nurse", HOSPITAL, ("safeguarding-nurse",), "Named nurse"),
    PracticePerson(
        "p-1003", "Gwen Guardian", HOSPITAL, ("caldicott-guardian",), "Medical director"
    ),
    PracticePerson("p-1004", "Arun Auditor", HOSPITAL, ("auditor",), "Information governance"),
    PracticePerson(
        "p-1005", "Rita Records", HOSPITAL, ("records-officer",), "Patient administration"
    ),
    PracticePerson(
        "p-1101", "Olu Clinician", SECOND_HOSPITAL, ("clinician",), "Paediatric registrar"
    ),
    PracticePerson("p-1201", "Greta Clinician", SURGERY, ("clinician",), "General practitioner"),
    PracticePerson("p-2001", "Sam Social", AUTHORITY, ("social-worker",), "Duty social worker"),
    PracticePerson("p-2002", "Ada Auditor", AUTHORITY, ("auditor",), "Internal audit"),
    PracticePerson(
        "p-2003", "Gil Guardian", AUTHORITY, ("caldicott-guardian",), "Caldicott guardian"
    ),
    PracticePerson("p-2004", "Kit Clerk", AUTHORITY, ("records-officer",), "Data clerk"),
    PracticePerson(
        "p-3001", "Pat Panel", PANEL_OFFICE, ("panel-coordinator",), "Child death review office"
    ),
    PracticePerson("p-9001", "Otto Operator", HOSPITAL, ("operator",), "Operator of the hub"),
)
"""The default cast; the directory says which role a claim means."""
