"""Which panel a death is proposed to."""

from __future__ import annotations

from datetime import date

import pytest

from stores.panels import Area, Panel
from streams.cases.panel import RULES, PanelProposal, propose
from tests.support.case_facts import CHILD, facts, panel

RECEIVED = date(2026, 2, 12)
DIED = date(2026, 2, 10)
NORTH, SOUTH = panel("north", "E06000001"), panel("south", "E06000002", "E06000065")
PANELS = {one.code: one for one in (NORTH, SOUTH)}
OLD = "2023-03-31"  # the last day of the counties of Cumbria and North Yorkshire


def proposed(changed: dict[str, str], *panels: Panel, restricted: bool = False) -> PanelProposal:
    """The proposal for the child of `CHILD`, changed."""
    known = {one.code: one for one in panels} or PANELS
    return propose(facts(CHILD, changed), known, restricted=restricted, received_on=RECEIVED)


SECOND = "child.alternative-residence-authority"
CASES = [
    ({}, "north", "residence", ["north"]),
    ({"death.authority": "E06000002"}, "north", "residence", ["north", "south"]),
    ({"death.place": "abroad"}, "north", "residence", ["north"]),
    ({"death.date": "2026"}, "north", "residence", ["north"]),
    ({SECOND: "E06000002"}, "north", "two-addresses", ["north", "south"]),
    ({SECOND: "E06000001"}, "north", "residence", ["north"]),
    ({SECOND: "E06000003"}, "north", "two-addresses", ["north"]),
    ({SECOND: " e06000001"}, "north", "residence", ["north"]),
    ({"child.residence-authority": "e06000001 "}, "north", "residence", ["north"]),
    # the old code of a reorganised county, and the new one for a death before it
    ({"child.residence-authority": "E10000023"}, "south", "successor", ["south"]),
    ({"child.residence-authority": "E10000006"}, None, "no-panel", []),
    ({"child.residence-authority": "E06000003"}, None, "no-panel", []),
    ({"child.residence-authority": "E06000777"}, None, "residence-not-known", []),
    ({"child.residence-authority": ""}, None, "residence-not-told", []),
    (
        {"child.residence-authority": "", "death.authority": "E06000002"},
        None,
        "residence-not-told",
        ["south"],
    ),
    (
        {"child.residence-authority": "W06000001", "death.authority": "E06000002"},
        None,
        "not-resident",
        ["south"],
    ),
    ({"child.nhs-number-absent": "non-resident"}, None, "not-resident", []),
]


@pytest.mark.parametrize(("changed", "code", "rule", "informed"), CASES)
def test_the_panel_of_the_usual_residence_is_proposed(
    changed: dict[str, str], code: str | None, rule: str, informed: list[str]
) -> None:
    """With its reason, and every panel concerned is told; unknown goes to a person."""
    found = proposed(changed)
    assert (found.panel, found.rule, list(found.informed)) == (code, rule, informed)
    assert found.needs_person is (code is None or rule == "two-addresses")
    assert found.rule in RULES


def test_a_restricted_child_is_proposed_to_nobody() -> None:
    """A person assigns; no panel learns of an area."""
    found = proposed({SECOND: "E06000002"}, restricted=True)
    assert found == PanelProposal(None, "restricted")
    assert found.needs_person


def test_the_area_belongs_to_the_panel_of_the_day_of_death() -> None:
    """Not to the one that has it when the notification comes."""
    before = panel("before", "E06000001", last=DIED)
    after = panel("after", "E06000001", first=date(2026, 2, 11))
    assert proposed({}, before, after).panel == "before"
    assert proposed({"death.date": "2026-02-11"}, before, after).panel == "after"
    # a month allows both: the day of receipt counts
    assert proposed({"death.date": "2026-02"}, before, after).panel == "after"


def test_a_day_without_panels_is_that_of_receipt() -> None:
    """A backfill of years for which nobody listed panels finds today's."""
    assert (
        proposed({"death.date": "2020-01-01"}, panel("now", "E06000001", first=DIED)).panel == "now"
    )


def test_an_authority_is_followed_to_the_panel_of_its_time() -> None:
    """Backwards for a code of today, forwards for an old one; a divided area goes to a person
    unless one panel has all of it.
    """
    county = Panel(
        code="county",
        name="county",
        organisation="QZ9",
        areas=(Area(gss="E10000006", last=date(2023, 3, 31)),),
    )
    west, east = panel("west", "E06000063"), panel("east", "E06000064")
    both = panel("both", "E06000063", "E06000064")
    new = {"child.residence-authority": "E06000063", "death.date": OLD}
    old = {"child.residence-authority": "E10000006"}
    assert proposed(new, county).panel == "county"
    assert proposed(new, county).rule == "successor"
    assert proposed(old, west, east) == PanelProposal(None, "area-divided", (), ("east", "west"))
    assert proposed(old, both).panel == "both"
    # a part of the county has no panel: the child may have lived there
    assert proposed(old, west) == PanelProposal(None, "area-divided", (), ("west",))


def test_two_panels_of_one_area_are_for_a_person() -> None:
    """Neither is preferred, and neither is told: the person is shown both."""
    found = proposed({}, panel("one", "E06000001"), panel("other", "E06000001"))
    assert found == PanelProposal(None, "panels-overlap", (), ("one", "other"))
    # nor where the child only died there, or had a second address
    south = {"child.residence-authority": "E06000002", "death.authority": "E06000001"}
    found = proposed(south, SOUTH, panel("one", "E06000001"), panel("other", "E06000001"))
    assert (found.panel, found.informed, found.candidates) == ("south", ("south",), ())
