"""A child of whom a message says that there are several: what its number and search prove."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.pds.outcomes import Found
from schemas.events import NhsNumberStatus, PersonClaim
from streams.identity.answers import TraceAnswer, judge
from streams.identity.evidence import Reported, evidence_in
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.identity import CHILD

UNNAMED = replace(CHILD, given=("Baby",))
BUILDERS = [make.attendance, make.flag, say.death]


@pytest.mark.parametrize("build", BUILDERS, ids=["attendance", "flag", "death"])
@pytest.mark.parametrize(
    ("told", "several"),
    [
        ({}, False),
        ({"multiple_birth": False}, False),
        ({"birth_order": 1}, False),
        ({"multiple_birth": True}, True),
        ({"multiple_birth": True, "birth_order": 1}, True),
        ({"birth_order": 2}, True),
    ],
)
def test_an_unnamed_child_of_several_is_nobody_by_its_number(
    build: Any, told: dict[str, Any], several: bool
) -> None:
    """Arrival, flag and death alike: PDS states no order of birth, the message says that there are
    several, and the number may be the other twin's."""
    event: Reported = build(replace(UNNAMED, **told))
    limits = make.limits()
    evidence = evidence_in(event, keys=limits.keys, profile=limits.profile)
    assert evidence.one_of_several is several
    found = judge(TraceAnswer(Found(make.record())), evidence)
    assert (found.indicator is NhsNumberStatus.VERIFIED) is not several
    if several:
        assert found.rule == "pds.get.given_unknown_perhaps_a_twin"


@pytest.mark.parametrize("build", BUILDERS[:2], ids=["attendance", "flag"])
def test_a_named_twin_is_verified_by_its_own_name(build: Any) -> None:
    """The guard is for what twins share: a whole given name is not."""
    event: Reported = build(replace(CHILD, multiple_birth=True, birth_order=2))
    limits = make.limits()
    evidence = evidence_in(event, keys=limits.keys, profile=limits.profile)
    assert evidence.one_of_several
    assert judge(TraceAnswer(Found(make.record())), evidence).record is not None


def test_no_repr_shows_the_birth() -> None:
    """That somebody is a twin tells who they are."""
    assert repr(PersonClaim(multiple_birth=True, birth_order=7)) == repr(PersonClaim())
