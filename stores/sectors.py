"""The sector of an organisation: what a sharing policy speaks of, and who never gets a number."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from stores.directory import Directory


class Sector(StrEnum):
    """Where an organisation works, as sharing policies name it."""

    HEALTH = "health"
    SOCIAL_CARE = "social-care"
    CHILD_DEATH_REVIEW = "child-death-review"  # panels and the NCMD: statutory, of health and care
    EDUCATION = "education"
    POLICE = "police"
    JUSTICE = "justice"  # coroners, courts
    RESEARCH = "research"
    OTHER = "other"


MAY_HOLD_NUMBER: Final = frozenset({Sector.HEALTH, Sector.SOCIAL_CARE, Sector.CHILD_DEATH_REVIEW})
"""Health and social care: nobody outside them is ever given an NHS number."""

NCMD: Final = "NCMD"
"""What the register and the audit chain call the National Child Mortality Database."""

_OF_AGENCY: Final = {
    "general-practice": Sector.HEALTH,
    "ambulance": Sector.HEALTH,
    "school": Sector.EDUCATION,
    "police": Sector.POLICE,
    "coroner": Sector.JUSTICE,
}


def sector_of(directory: Directory, code: str) -> Sector:
    """The sector of an organisation (ODS or GSS code); `OTHER` if the directory does not know it.

    An agency that the directory does not call one of health and social care is outside them,
    whatever its kind; one of them that is a panel's organisation is of child death review.
    """
    if code == NCMD:
        return Sector.CHILD_DEATH_REVIEW
    if code in directory.hospitals:
        return Sector.HEALTH
    if code in directory.authorities:
        return Sector.SOCIAL_CARE
    reviews = any(panel.organisation == code for panel in directory.panels.values())
    if (agency := directory.agencies.get(code)) is not None:
        found = _OF_AGENCY.get(agency.kind)
        if not agency.health_or_social_care:
            return found if found is not None and found not in MAY_HOLD_NUMBER else Sector.OTHER
        if found is not None and found in MAY_HOLD_NUMBER:
            return found
        return Sector.CHILD_DEATH_REVIEW if reviews else Sector.SOCIAL_CARE
    return Sector.CHILD_DEATH_REVIEW if reviews else Sector.OTHER
