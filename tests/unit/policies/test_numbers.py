"""An NHS number never leaves health and social care: a test for each sector, over every flow."""

from __future__ import annotations

import itertools

import orjson
import pytest

from halyard.cli.policy_samples import SAMPLES
from policies.decision import decide
from policies.fields import NUMBERS, holds_number, mask
from policies.model import Policies, load_policies
from policies.purposes import Purpose
from policies.ruling import Flow
from stores.sectors import MAY_HOLD_NUMBER, Sector
from tests.support.policies import OUTSIDE, ask

NUMBER = "9990000018"


def test_these_are_the_sectors_outside() -> None:
    """Every sector is either one that may hold a number or one that is tested here."""
    assert set(OUTSIDE) | MAY_HOLD_NUMBER == set(Sector)
    assert set(OUTSIDE) == {
        Sector.EDUCATION,
        Sector.POLICE,
        Sector.JUSTICE,
        Sector.RESEARCH,
        Sector.OTHER,
    }


def never_told(policies: Policies, sector: Sector) -> None:
    """Over every flow, purpose and way of asking no field with a number leaves, and none stands in
    what is left of the body."""
    purposes = (None, *(one.value for one in Purpose))
    ways = itertools.product(Flow, purposes, (False, True), (False, True))
    for flow, purpose, restricted, released in ways:
        disclosure = ask(flow, sector, purpose=purpose, restricted=restricted)
        ruling = decide(policies, disclosure, released=released)
        assert not any(holds_number(name) for name in ruling.fields)
        assert NUMBER.encode() not in orjson.dumps(mask(SAMPLES[flow], ruling))


def test_education_is_never_told_a_number() -> None:
    """A school learns that its pupil attended, and no number."""
    never_told(load_policies(None), Sector.EDUCATION)


def test_police_are_never_told_a_number() -> None:
    """Nor with a person's release."""
    never_told(load_policies(None), Sector.POLICE)


def test_justice_is_never_told_a_number() -> None:
    """A coroner is asked for a report under names, not numbers."""
    never_told(load_policies(None), Sector.JUSTICE)


def test_research_is_never_told_a_number() -> None:
    """An extract has pseudonyms."""
    never_told(load_policies(None), Sector.RESEARCH)


def test_others_are_never_told_a_number() -> None:
    """Whom the directory does not know is outside."""
    never_told(load_policies(None), Sector.OTHER)


@pytest.mark.parametrize("sector", sorted(MAY_HOLD_NUMBER))
def test_health_and_care_are_told_the_number_where_they_need_it(sector: Sector) -> None:
    """The rule above is not one that nothing passes."""
    policies = load_policies(None)
    told = {
        name
        for flow in Flow
        for name in decide(policies, ask(flow, sector)).fields
        if holds_number(name)
    }
    assert told


@pytest.mark.parametrize(
    "name",
    [*sorted(NUMBERS), "mother.nhs_number", "a.b.nhs-number", "nhs_numbers", "child.chi"],
)
def test_a_field_with_a_number_is_known_wherever_it_stands(name: str) -> None:
    """A new body cannot bring a number in under a path that nobody listed."""
    assert holds_number(name)


@pytest.mark.parametrize("name", ["number", "child.nhs-number-absent", "phone_number", "letter"])
def test_what_only_sounds_like_a_number_is_none(name: str) -> None:
    """Why there is no number, and whether one is known here, are told."""
    assert not holds_number(name)
