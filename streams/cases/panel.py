"""Which child death overview panel a death is proposed to: by where the child normally lived.

A proposal with its reason, which a person may overrule. Which panel has which area, and when, is
configuration (`stores.panels`); which authority came before or after which is reference data
(`stores.authorities`). The duty is that of the area of normal residence (Children Act 2004,
section 16M(1)); the panels of the other areas concerned are told. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from stores.authorities import holders
from stores.panels import Panel
from streams.cases.ages import PartialDate
from streams.cases.facts import Facts

# Rule to when it speaks, in order
RULES: Final[Mapping[str, str]] = {
    "restricted": "the child's record is restricted: a person assigns, and no panel is told",
    "not-resident": "the child did not normally live in England",
    "residence-not-told": "no authority of residence was told",
    "residence-not-known": "the code told for the residence is of no authority with children's "
    "services, and no panel has it",
    "area-divided": "the authority told was divided between, or joined from, areas of several "
    "panels",
    "panels-overlap": "two panels have the area on that day",
    "no-panel": "no panel has the area on that day",
    "two-addresses": "the child had two addresses, in areas of two panels: the one of the usual "
    "address is proposed, and a person confirms",
    "successor": "the panel of the authority that had the area on that day",
    "residence": "the panel of the authority of residence",
}


@dataclass(frozen=True, slots=True)
class PanelProposal:
    """The panel proposed (None: a person assigns one), why, and every panel that is told.

    `informed` has the proposed panel first, then those of the other areas concerned: the second
    address, the place of death; of an area that several panels may have none is told.
    `candidates`: the panels that the area of residence may have, for the person who assigns one.
    `rule` is of `RULES`.
    """

    panel: str | None
    rule: str
    informed: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Whether a person must assign the panel, or confirm it."""
        return self.panel is None or self.rule == "two-addresses"


@dataclass(frozen=True, slots=True)
class _Found:
    """The panels of an area, and the rule that says so."""

    rule: str
    panels: tuple[str, ...] = ()

    @property
    def one(self) -> str | None:
        return self.panels[0] if self.rule in ("residence", "successor") else None


def propose(
    facts: Facts, panels: Mapping[str, Panel], *, restricted: bool, received_on: date
) -> PanelProposal:
    """The panel of the usual residence on the day of death, with its reason.

    `received_on` counts instead where the day is not told in full, or is later, or no panel is
    known of for that day (a backfill of years for which nobody listed panels).
    """
    if restricted:
        return PanelProposal(None, "restricted")
    days = _days(facts.value("death.date"), received_on)
    second = _panels_of(facts.code("child.alternative-residence-authority"), panels, days)
    place = _panels_of(facts.code("death.authority"), panels, days)
    others = [found.one for found in (second, place) if found.one is not None]
    usual = facts.code("child.residence-authority")
    away = facts.code("child.nhs-number-absent") == "NON-RESIDENT"
    if away or (usual is not None and not usual.startswith("E")):
        return _unassigned("not-resident", others)
    if usual is None:
        return _unassigned("residence-not-told", others)
    found = _panels_of(usual, panels, days)
    if found.one is None:
        return PanelProposal(None, found.rule, _once(others), found.panels)
    rule = found.rule
    if facts.code("child.alternative-residence-authority") and second.panels != found.panels:
        rule = "two-addresses"
    return PanelProposal(found.one, rule, _once([found.one, *others]))


def _unassigned(rule: str, informed: list[str]) -> PanelProposal:
    return PanelProposal(None, rule, _once(informed))


def _once(codes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(codes))


def _days(died: str | None, received_on: date) -> tuple[date, ...]:
    """The days to ask for, the first that has an answer counts."""
    day = PartialDate.parse(died)
    if day is None or not day.full or day.first >= received_on:
        return (received_on,)
    return (day.first, received_on)


def _panels_of(gss: str | None, panels: Mapping[str, Panel], days: tuple[date, ...]) -> _Found:
    if gss is None:
        return _Found("residence-not-told")
    asked = [_on(gss, panels, day) for day in days]
    return next((found for found in asked if found.panels), asked[0])


def _on(gss: str, panels: Mapping[str, Panel], day: date) -> _Found:
    """The panels that have the area on a day: by its own code first, then by who holds it."""
    if direct := _covering(gss, panels, day):
        return _Found("residence" if len(direct) == 1 else "panels-overlap", direct)
    held = holders(gss, day)
    if not held:
        return _Found("residence-not-known")
    by_holder = [_covering(one.gss, panels, day) for one in held]
    codes = tuple(sorted({code for found in by_holder for code in found}))
    if not codes:
        return _Found("no-panel")
    if len(held) == 1:
        return _Found("successor" if len(codes) == 1 else "panels-overlap", codes)
    # a part of the area without a panel may be where the child lived
    return _Found("successor" if len(codes) == 1 and all(by_holder) else "area-divided", codes)


def _covering(gss: str, panels: Mapping[str, Panel], day: date) -> tuple[str, ...]:
    return tuple(sorted(code for code, panel in panels.items() if panel.covers(gss, day)))
