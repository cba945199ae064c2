"""Child death overview panels and the agencies that report to them: entries of the directory.

Which panel reviews the deaths of which area is nowhere published as data: it is configuration,
with the days between which it holds.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from stores.entry import Entry, OrganisationCode


class Agency(Entry):
    """An organisation that is neither hospital nor authority here: it notifies deaths, answers
    report requests, or both.
    """

    code: OrganisationCode
    name: str
    kind: Literal["general-practice", "school", "police", "ambulance", "coroner", "other"] = "other"
    # outside health and social care nobody receives an NHS number
    health_or_social_care: bool = False
    message_endpoint: str | None = None  # where its messages are pushed; else it fetches them


class Area(Entry):
    """An authority's area and the days, both included, on which it belongs to a panel."""

    gss: str = Field(pattern=r"^E(06|08|09|10)[0-9]{6}$")
    first: date | None = None
    last: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError("`last` is before `first`")
        return self


class Panel(Entry):
    """A child death overview panel. Its secretariat's messages are those of `organisation`."""

    code: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    name: str
    organisation: OrganisationCode
    areas: tuple[Area, ...] = Field(min_length=1)
    message_endpoint: str | None = None
    due_days: int | None = Field(default=None, ge=1, le=365)  # of a report request; else the hub's

    def covers(self, gss: str, on: date) -> bool:
        """Whether the area belonged to this panel on that day."""
        return any(
            area.gss == gss
            and (area.first is None or area.first <= on)
            and (area.last is None or on <= area.last)
            for area in self.areas
        )
