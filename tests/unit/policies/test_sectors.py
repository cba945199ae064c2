"""Which sector an organisation is of."""

from __future__ import annotations

from typing import Any

import pytest

from stores.directory import Directory
from stores.panels import Agency, Area, Panel
from stores.sectors import NCMD, Sector, sector_of

PANEL = Panel(code="north", name="North", organisation="QZ9", areas=(Area(gss="E06000001"),))


@pytest.mark.parametrize(
    ("agency", "panels", "sector"),
    [
        ({"kind": "school"}, {}, Sector.EDUCATION),
        ({"kind": "police"}, {}, Sector.POLICE),
        ({"kind": "coroner"}, {}, Sector.JUSTICE),
        ({"kind": "ambulance"}, {}, Sector.OTHER),
        ({"kind": "ambulance", "health_or_social_care": True}, {}, Sector.HEALTH),
        ({"health_or_social_care": True}, {}, Sector.SOCIAL_CARE),
        ({"health_or_social_care": True}, {"north": PANEL}, Sector.CHILD_DEATH_REVIEW),
        ({}, {"north": PANEL}, Sector.OTHER),
        (None, {"north": PANEL}, Sector.CHILD_DEATH_REVIEW),
        (None, {}, Sector.OTHER),
    ],
)
def test_an_agency_is_of_its_kind_and_a_panels_of_child_death_review(
    agency: dict[str, Any] | None, panels: dict[str, Panel], sector: Sector
) -> None:
    """A panel's organisation gets what policies grant panels, not what they grant councils; who is
    not called one of health and social care is outside them.
    """
    agencies = {} if agency is None else {"QZ9": Agency(code="QZ9", name="Q", **agency)}
    directory = Directory({}, (), {}, {}, (), agencies=agencies, panels=panels)
    assert sector_of(directory, "QZ9") is sector
    assert sector_of(directory, NCMD) is Sector.CHILD_DEATH_REVIEW
