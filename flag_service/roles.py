"""The roles in which somebody uses the hub, each within one organisation."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A role; which claims of an issuer mean which role is configuration (the directory)."""

    HOSPITAL_SYSTEM = "hospital-system"
    CLINICIAN = "clinician"
    SAFEGUARDING_NURSE = "safeguarding-nurse"
    LA_SYSTEM = "la-system"
    SOCIAL_WORKER = "social-worker"
    AGENCY_SYSTEM = "agency-system"  # a school, the police, a practice: notifies, reports, is told
    PANEL_COORDINATOR = "panel-coordinator"
    NCMD = "ncmd"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    CALDICOTT_GUARDIAN = "caldicott-guardian"
