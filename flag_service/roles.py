"""The roles in which somebody uses the hub, each within one organisation."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A role; which claims of an issuer mean which role is configuration (the directory)."""

    HOSPITAL_SYSTEM = "hospital-system"
    CLINICIAN = "clinician"
    SAFEGUARDING_NURSE = "safeguarding-nurse"
    LA_SYSTEM = "la-system"
    SOCIAL_WORKER = "social-worker"
    # a council's data clerk, a hospital's patient administrator: works the worklist, sees no flag
    RECORDS_OFFICER = "records-officer"
    AGENCY_SYSTEM = "agency-system"  # a school, the police, a practice: notifies, reports, is told
    PDS_RELAY = "pds-relay"  # hands in word of changes at PDS, and does nothing else
    PANEL_COORDINATOR = "panel-coordinator"
    NCMD = "ncmd"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    CALDICOTT_GUARDIAN = "caldicott-guardian"


OF_PEOPLE: Final = frozenset(
    {
        Role.CLINICIAN,
        Role.SAFEGUARDING_NURSE,
        Role.SOCIAL_WORKER,
        Role.RECORDS_OFFICER,
        Role.AUDITOR,
        Role.CALDICOTT_GUARDIAN,
    }
)
"""Roles that no machine is given. A panel's system fetches its letters as panel-coordinator; what
people alone may do, it may not (`flag_service.matrix.Line.people`)."""
