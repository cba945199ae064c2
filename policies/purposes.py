"""Why somebody asks: codes of the hub, each with the code of HL7 v3 PurposeOfUse it stands for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


class Purpose(StrEnum):
    """A purpose that a caller states, or that a flow has."""

    URGENT_CARE = "urgent-care"  # an unscheduled attendance
    DIRECT_CARE = "direct-care"  # scheduled care
    CHILD_PROTECTION = "child-protection"  # an authority's own duties
    CHILD_DEATH_REVIEW = "child-death-review"
    SUBJECT_ACCESS = "subject-access"
    AUDIT = "audit"
    ADMINISTRATION = "administration"  # operating the hub
    RESEARCH = "research"
    BREAK_GLASS = "break-glass"  # against the ordinary rule, in an emergency; noticed at once


HL7: Final = {
    Purpose.URGENT_CARE: "ETREAT",
    Purpose.DIRECT_CARE: "TREAT",
    Purpose.CHILD_PROTECTION: "PUBHLTH",
    Purpose.CHILD_DEATH_REVIEW: "PUBHLTH",
    Purpose.SUBJECT_ACCESS: "PATRQT",
    Purpose.AUDIT: "HCOMPL",
    Purpose.ADMINISTRATION: "HSYSADMIN",
    Purpose.RESEARCH: "HRESCH",
    Purpose.BREAK_GLASS: "BTG",
}
"""The nearest code of HL7 v3 PurposeOfUse: it has none for child protection."""
